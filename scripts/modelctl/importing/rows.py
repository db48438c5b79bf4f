"""Finds out whether a model's rows are independent, by comparing calls of many rows with calls of one.

The calls have several sizes, since a model may mix rows only above a certain number. Each row's answer in a call is
compared with its answer alone, which shows what depends on the size of the call or on the position in it. A call of
another size may sum the same numbers in another order, so rounding errors are allowed. Then half of the rows keep their
positions while the others are replaced, which shows what depends on the neighbours. This finds far smaller differences,
since calls of the same shape round alike.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.errors import PredictionError
from inference.rows import Rows, fixed_rows, rows_of
from inference.runtimes import Array, Model
from modelctl.importing import proof
from modelctl.importing.inputs import Tensors

#: The sizes of the calls that are compared with calls of one row.
SIZES = (2, 17, 65)

#: The allowed rounding error of a number, as a share of its row's largest number or, if that is larger, of the median
#: row's: in a call of another size, and in the same call with other neighbours; by the bytes of a number.
_OTHER_CALL = {2: 5e-2, 4: 1e-2, 8: 1e-2}
_OTHER_NEIGHBOURS = {2: 4e-3, 4: 2e-6, 8: 2e-6}

#: In a call of another size, an integer or a text may differ in one row of this many: rounding decides which of two
#: nearly equal scores is the best.
_ROWS_PER_TIE = 16

_SEED = 22


@dataclass(frozen=True)
class Finding:
    """What calls with several rows have shown.

    Args:
        independent: whether a prediction depends on its own row only; None: that could not be measured.
        says: the evidence, or why it could not be measured.
        most: the number of rows of the largest call that was compared.
        fixed: whether every call takes exactly this number.
    """

    independent: bool | None
    says: str
    most: int = 1
    fixed: bool = False


class _MixedRowsError(Exception):
    """A row's answer depends on something else; the message has the evidence."""


class _NotMeasurableError(Exception):
    """The model's answers prove nothing; the message says why."""


def measure(model: Model, candidates: Iterable[Tensors], most: int) -> Finding:
    """Compare calls of several rows with calls of one.

    Args:
        model: which is called.
        candidates: rows of one shape, all different; those that the model refuses are skipped.
        most: the most rows of a call, at least 2.

    Raises:
        ModelError: the model ran out of memory.
        UserError: a candidate cannot be made up.
    """
    try:
        match rows_of(model.inputs, None):
            case Rows.OPEN:
                return _of_any_number(model, candidates, most)
            case Rows.SINGLE:
                return _of_one(model, candidates)
            case Rows.FIXED:
                return _of_fixed_number(model, candidates, fixed_rows(model.inputs) or 1)
        raise _MixedRowsError("the inputs have no first dimension in common")
    except _MixedRowsError as shows:
        return Finding(False, str(shows))
    except _NotMeasurableError as why:
        return Finding(None, str(why))


def _of_any_number(model: Model, candidates: Iterable[Tensors], most: int) -> Finding:
    rows, answers = _alone(model, candidates, min(most, max(SIZES)))
    calls = _Calls(model, rows, _joined(answers), "alone")
    refused: dict[int, str] = {}
    sizes = sorted({min(size, most) for size in SIZES})
    for size in sizes:
        try:
            calls.compare(size)
        except PredictionError as error:
            refused[size] = str(error)
    if len(refused) == len(sizes):
        return Finding(True, "the model takes one row per call and refuses more")
    for size, why in refused.items():
        raise _NotMeasurableError(f"the model refuses a call of {size} rows, each of which it answers alone: {why}")
    _check_that_answers_differ(answers)
    counts = " and ".join([", ".join(map(str, sizes[:-1])), str(sizes[-1])] if sizes[1:] else [str(sizes[0])])
    says = f"calls of {counts} rows give the same answers as calls of one ({calls.differences()})"
    return Finding(True, says, sizes[-1])


def _of_one(model: Model, candidates: Iterable[Tensors]) -> Finding:
    """The finding for a model that takes one row per call: an output without a leading 1 is not a row."""
    _, answers = _alone(model, candidates, min(SIZES))
    for answer in answers:
        _check_one_row(answer)
    for spec in model.outputs:
        if spec.shape is None or spec.shape[:1] != (1,):
            raise _NotMeasurableError(
                f"a call takes one row, and the signature leaves open how many rows {spec.name} has"
            )
    return Finding(True, "the signature takes one row per call", fixed=True)


def _of_fixed_number(model: Model, candidates: Iterable[Tensors], length: int) -> Finding:
    rows = list(itertools.islice(candidates, length))
    if len(rows) < 2:
        raise _NotMeasurableError("the model cannot be called with two different rows; give some with --samples")
    try:
        answers = model(_taken(rows, np.arange(length)))
        if without := [name for name, array in answers.items() if array.shape[:1] != (length,)]:
            shape = list(answers[without[0]].shape)
            raise _MixedRowsError(f"the output {without[0]} has the shape {shape} for {length} rows")
        expected = {name: array[: len(rows)] for name, array in answers.items()}
        calls = _Calls(model, rows, expected, "in another place")
        calls.compare(length)
    except PredictionError as error:
        raise _NotMeasurableError(f"the model refuses {length} rows: {error}") from error
    _check_that_answers_differ([{name: array[row] for name, array in answers.items()} for row in range(length)])
    says = f"each row of a call of {length} gets the same answer beside other rows ({calls.differences()})"
    return Finding(True, says, length, fixed=True)


class _Calls:
    """Calls of many rows, compared with the answers that each row gets otherwise.

    Args:
        model: which is called.
        rows: all different.
        expected: the answer to each of the rows, by output.
        elsewhere: in which calls they get it.
    """

    def __init__(self, model: Model, rows: Sequence[Tensors], expected: Mapping[str, Array], elsewhere: str) -> None:
        self._model = model
        self._rows = rows
        self._expected = expected
        self._elsewhere = elsewhere
        self._scales = {name: _scale(array) for name, array in expected.items()}
        self._largest = 0.0
        self._ties: set[int] = set()
        self._random = np.random.default_rng(_SEED)

    def compare(self, size: int) -> None:
        """Make calls of this many rows.

        Raises:
            _MixedRowsError: a row gets another answer than it should.
            PredictionError: the model refuses such a call.
        """
        places = np.arange(size)
        which = places % len(self._rows)
        first = self._answer(which)
        for parity in (0, 1):
            kept = places % 2 == parity
            others = which.copy()
            others[~kept] = np.resize(self._random.permutation(which[kept]), int((~kept).sum()))
            outputs = self._answer(others)
            for name, array in outputs.items():
                wrong = _wrong(array, first[name], self._scales[name][which], _OTHER_NEIGHBOURS)
                if (wrong & kept).any():
                    self._check_repeats(which, first)
                    row, by = _worst(array, first[name], wrong & kept)
                    raise _MixedRowsError(f"row {row} of a call of {size} differs {by}when the rows beside it change")

    def differences(self) -> str:
        """How far the answers were off."""
        number = len(self._ties)
        rows = f"{number} row{'' if number == 1 else 's'}"
        ties = f"; an integer or text of {rows} changes, as ties can" if self._ties else ""
        return f"largest relative difference {self._largest:.2g}{ties}"

    def _answer(self, which: Array) -> dict[str, Array]:
        """The answers to a call of these rows, after a check that each is as expected."""
        size = len(which)
        outputs = self._model(_taken(self._rows, which))
        for name, array in outputs.items():
            expected = self._expected[name][which]
            if array.shape != expected.shape:
                raise _MixedRowsError(
                    f"the output {name} has the shape {list(array.shape)} for {size} rows, but alone each row has "
                    f"{list(expected.shape[1:])}"
                )
            wrong = _wrong(array, expected, self._scales[name][which], _OTHER_CALL)
            others = {*which[wrong].tolist()}
            if len(others) > (0 if array.dtype.kind == "f" else size // _ROWS_PER_TIE):
                row, by = _worst(array, expected, wrong)
                raise _MixedRowsError(f"row {row} of a call of {size} differs {by}from the same row {self._elsewhere}")
            self._ties |= others
            if array.dtype.kind == "f":
                shares = _off(array, expected) / np.maximum(self._scales[name][which], np.finfo(np.float64).tiny)
                self._largest = max(self._largest, float(shares.max()))
        return outputs

    def _check_repeats(self, which: Array, first: Mapping[str, Array]) -> None:
        again = self._model(_taken(self._rows, which))
        if any(_wrong(again[name], first[name], self._scales[name][which], _OTHER_NEIGHBOURS).any() for name in first):
            raise _NotMeasurableError("the model answers the same rows differently when they are called again")


def _alone(model: Model, candidates: Iterable[Tensors], most: int) -> tuple[list[Tensors], list[Tensors]]:
    """At most this many rows that the model has an answer to, and the answer to each alone."""
    rows: list[Tensors] = []
    answers: list[Tensors] = []
    refusal = "there are none"
    for row in candidates:
        try:
            answer = model(row)
            again = model(row) if not rows else answer
        except PredictionError as error:
            refusal = str(error)
            continue
        if not all(proof.is_finite(array) for array in answer.values()):
            refusal = "its answers are NaN or infinite"
            continue
        for name, array in answer.items():
            one, other = array[np.newaxis], again[name][np.newaxis]
            if one.shape != other.shape or _wrong(one, other, _scale(one), _OTHER_NEIGHBOURS).any():
                raise _NotMeasurableError("the model answers the same row differently when it is called again")
        rows.append(row)
        answers.append(answer)
        if len(rows) == most:
            break
    if len(rows) < 2:
        raise _NotMeasurableError(
            f"the model answers fewer than two different rows ({refusal}); with --samples, give rows that it answers"
        )
    return rows, answers


def _joined(answers: Sequence[Tensors]) -> dict[str, Array]:
    """The answers to all rows, by output.

    Raises:
        _MixedRowsError: the answers are not rows.
    """
    joined = {}
    for name, first in answers[0].items():
        for answer in answers:
            _check_one_row(answer)
            shape = answer[name].shape
            if shape != first.shape:
                shapes = f"{list(first.shape)} or {list(shape)}"
                raise _MixedRowsError(f"the output {name} has the shape {shapes} for one row, depending on the row")
        joined[name] = np.concatenate([answer[name] for answer in answers])
    return joined


def _check_one_row(answer: Tensors) -> None:
    for name, array in answer.items():
        if array.shape[:1] != (1,):
            raise _MixedRowsError(f"the output {name} has the shape {list(array.shape)} for one row")


def _check_that_answers_differ(answers: Sequence[Tensors]) -> None:
    if not proof.any_differ(answers):
        raise _NotMeasurableError(
            f"the model gives the same answer to all {len(answers)} rows; with --samples, give rows that it answers "
            "differently"
        )


def _taken(rows: Sequence[Tensors], which: Array) -> Tensors:
    """The tensors of a call of some of the rows."""
    return {name: np.concatenate([rows[index % len(rows)][name] for index in which]) for name in rows[0]}


def _scale(array: Array) -> Array:
    """Per row, the number that rounding is relative to: a number near zero is a difference of larger ones."""
    largest = _per_row(np.abs(_wide(array))) if array.dtype.kind == "f" else np.zeros(len(array))
    scale: Array = np.maximum(largest, np.median(largest))
    return scale


def _wrong(array: Array, expected: Array, scale: Array, allowed: Mapping[int, float]) -> Array:
    """Per row, whether it differs by more than rounding."""
    if array.dtype.kind != "f":
        return np.asarray(_per_row((array != expected).astype(np.float64)) > 0)
    # A difference that is NaN is wrong.
    return ~(_off(array, expected) <= allowed[array.dtype.itemsize] * scale)


def _off(array: Array, expected: Array) -> Array:
    """Per row, the largest difference of a number."""
    with np.errstate(invalid="ignore"):
        return _per_row(np.abs(_wide(array) - _wide(expected)))


def _worst(array: Array, expected: Array, wrong: Array) -> tuple[int, str]:
    """The row that differs most, counted from 1, and its difference."""
    if array.dtype.kind not in "fiu":
        return int(np.flatnonzero(wrong)[0]) + 1, ""
    off = np.where(wrong, np.nan_to_num(_off(array, expected), nan=np.inf), -1)
    return int(off.argmax()) + 1, f"by {off.max():.2g} "


def _per_row(numbers: Array) -> Array:
    """The largest number of each row; 0 for an empty row."""
    largest: Array = numbers.reshape(len(numbers), -1).max(axis=1, initial=0)
    return largest


def _wide(array: Array) -> Array:
    """In a type in which differences are exact enough."""
    return array.astype(np.float64)
