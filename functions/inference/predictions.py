"""The meaning of a model's numbers: raw values, or a label with its score."""

import base64
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np

from inference import tensors
from inference.config import OutputConfig
from inference.errors import ModelError, PredictionError, TooLargeError
from inference.limits import max_result_bytes, max_values
from inference.result_json import as_json
from inference.rows import Rows
from inference.runtimes import Array, TensorSpec

#: Up to this many numbers are converted one by one; more are faster to convert together.
_FEW = 16

#: 10**22 is the largest power of ten that is exact in float64: an integer divided by such a power is the float64
#: nearest to that decimal.
_MOST_PLACES = 22


class Predictions:
    """The predictions of one input, as the JSON of its result.

    As Python objects they would need several times the memory, so each is written as soon as it is computed.
    """

    def __init__(self) -> None:
        #: How many there are.
        self.count = 0
        #: The JSON list of them.
        self.json = bytearray(b"[]")

    def add(self, prediction: Any) -> None:
        """Append one.

        Raises:
            TooLargeError: the result has no room for it.
        """
        text = as_json(prediction)
        if self.size + len(text) > max_result_bytes():
            raise TooLargeError(
                f"its result has room for {self.count} predictions: they may take {max_result_bytes()} bytes of JSON, "
                "a 16th of the memory; split the object, or raise memory_mb"
            )
        self.json[-1:] = b"%b%b]" % (b", " if self.count else b"", text)
        self.count += 1

    def drop(self) -> None:
        """Free the JSON once it is stored; the number of predictions is kept."""
        self.json = bytearray()

    @property
    def size(self) -> int:
        """Bytes of the JSON."""
        return len(self.json)


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels of an artifact, one per line, in the order of the model's output.

    A line ends with LF, CR LF or CR. A byte-order mark and blank lines at the end are ignored. Terraform's module
    `registry` splits lines in the same way (artifacts.tf).

    Raises:
        ModelError: the file is missing, empty, or not text.
    """
    try:
        labels = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ModelError(f"output.labels: cannot read {path.name} from the artifact: {error}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f'output.labels: "{path.name}" is not UTF-8 text; save it as UTF-8') from error
    while labels and not labels[-1].strip(" \t"):
        labels.pop()
    if not labels:
        raise ModelError(f'output.labels: "{path.name}" is empty; expected one label per line')
    return tuple(labels)


def chosen(outputs: tuple[TensorSpec, ...], config: OutputConfig) -> tuple[TensorSpec, ...]:
    """The outputs that a prediction is made from.

    Raises:
        ModelError: the registry entry names one that the model does not have.
    """
    if config.name is None:
        return outputs
    if named := tuple(spec for spec in outputs if spec.name == config.name):
        return named
    names = ", ".join(spec.name for spec in outputs)
    raise ModelError(f"output.name is {config.name!r}, but the outputs of the model are {names}: choose one of these")


def check_labels(labels: tuple[str, ...], outputs: tuple[TensorSpec, ...], config: OutputConfig, rows: Rows) -> None:
    """Refuse labels that cannot belong to the output of a prediction, as far as the signature shows.

    Raises:
        ModelError: there are several outputs and none is named, or the output has no scores, or not one per label.
    """
    outputs = chosen(outputs, config)
    if len(outputs) != 1:
        names = ", ".join(spec.name for spec in outputs)
        raise ModelError(
            f"output.labels belongs to one output, but the model has {names}: choose the one with the scores in "
            "output.name (`modelctl import` takes it as --output)"
        )
    if outputs[0].dtype.kind not in "fiu":
        raise ModelError(f"output.labels needs an output of numbers; {outputs[0].name} is {outputs[0].dtype.name}")
    # An output that is not in rows belongs to one prediction; its scores are counted when there is one.
    in_rows = rows not in (Rows.NONE, Rows.FIXED) and (outputs[0].shape or (None,))[0] in (None, 1)
    if in_rows and outputs[0].instance_size is not None:
        _check_count(labels, outputs[0].instance_size, config)


def labelled(output: Array, labels: tuple[str, ...], config: OutputConfig) -> dict[str, Any]:
    """The prediction for one instance's output: the best label, its score, and the best ones with theirs.

    Only labels that reach the threshold count; if none does, the prediction has no label and no score. A single score
    for two labels comes from a sigmoid: it is the probability of the second one. A single label names a single value
    (of a regression, or a probability), which is returned as it is.

    Raises:
        ModelError: there are not as many scores as labels.
        PredictionError: a score is not finite.
    """
    _check_count(labels, output.size, config)
    _check_finite(output)
    scores = _activated(output.ravel(), config.activation)
    if len(labels) == 1:
        score = _numbers(scores)[0]
        reached = config.threshold is None or score >= config.threshold
        return {"label": labels[0], "score": score} if reached else {"label": None, "score": None}
    if scores.size == 1:
        scores = np.array([1 - scores[0], scores[0]])
    best = np.argsort(-scores, kind="stable")[: config.top_k]
    top = [[labels[index], _short(scores[index])] for index in best]
    if config.threshold is not None:
        # Compare the score that is shown: a 32-bit float of 0.7 is slightly less than 0.7.
        top = [[label, score] for label, score in top if score >= config.threshold]
    best_label, best_score = top[0] if top else (None, None)
    return {"label": best_label, "score": best_score, "top": top}


def _activated(scores: Array, activation: str | None) -> Array:
    """Probabilities from logits; no exponent is positive, so none overflows."""
    if activation is None:
        return scores if scores.dtype.kind == "f" else scores.astype(np.float64)
    logits = scores.astype(np.float64)
    if activation == "softmax":
        powers = np.exp(logits - logits.max())
        probabilities: Array = powers / powers.sum()
    else:
        powers = np.exp(-np.abs(logits))
        probabilities = np.where(logits >= 0, 1.0, powers) / (1 + powers)
    return probabilities


def raw(outputs: dict[str, Array], *, bare: bool = False) -> Any:
    """The outputs as TensorFlow Serving's REST API writes them: the values of one output, or an object by output name.

    With `bare`, outputs of one element are written without brackets.

    Raises:
        PredictionError: a value is NaN or infinite, for which JSON has no number.
    """
    if bare:
        outputs = {name: array.reshape(()) if array.size == 1 else array for name, array in outputs.items()}
    values = {name: _values(name, array) for name, array in outputs.items()}
    return values if len(values) != 1 else next(iter(values.values()))


def in_shortest_digits(outputs: dict[str, Array]) -> dict[str, Array]:
    """The outputs of many rows with the numbers that `raw` would write, if converting them together is faster.

    An output stays unchanged if it has a value that is not finite, which `raw` refuses, or if several copies of it
    would not fit into memory.
    """
    shortened = {}
    for name, array in outputs.items():
        is_short = array.dtype.kind == "f" and array.dtype.itemsize < 8
        if is_short and _FEW < array.size <= max_values() and np.isfinite(array).all():
            array = _shortest(array)
        shortened[name] = array
    return shortened


def check_size(values: int) -> None:
    """Refuse a prediction that is too large for the memory, before it is built from Python objects.

    Raises:
        TooLargeError: it has more values than there is memory for.
    """
    most = max_values()
    if values > most:
        raise TooLargeError(
            f"a prediction has {values} values; it may have at most {most} with this memory (memory_mb)"
        )


def _values(name: str, array: Array) -> Any:
    if array.dtype.kind in "OSU":
        return _strings(array.tolist(), as_bytes=name.endswith("_bytes"))
    _check_finite(array)
    return _numbers(array)


def _numbers(array: Array) -> Any:
    """Numbers or booleans for JSON, floats with the fewest digits that identify them in their type.

    The float32 nearest to 0.1 becomes 0.1, not 0.10000000149011612; parsed as float32, it is the same number.
    """
    if array.dtype.kind != "f" or array.dtype.itemsize >= 8:
        return array.tolist()
    if array.ndim == 0:
        return float(str(array))
    if array.ndim == 1 and array.size <= _FEW:
        return list(map(float, map(str, array)))
    return _shortest(array).tolist()


def _shortest(array: Array) -> Array:
    """For finite numbers of a smaller type, the float64 numbers that Python prints as their shortest decimals.

    A decimal is parsed as a number if it is less than half a step away from it, where a step is the distance to the
    type's next number. The last place of the shortest decimal is either the power of ten just above a step, which may
    be near enough, or the one just below it, which always is. The exceptions are powers of two, which have a nearer
    neighbour, and numbers that need more places than `_MOST_PLACES`: numpy converts those, one by one.
    """
    exact = array.astype(np.float64)
    powers, lowest = _powers(array.dtype)
    powers = powers[np.frexp(array)[1] - lowest]
    short: Array = np.rint(exact * powers) / powers
    wrong = short.astype(array.dtype) != array
    if wrong.any():
        powers = 10 * powers[wrong]
        short[wrong] = np.rint(exact[wrong] * powers) / powers
        wrong = short.astype(array.dtype) != array
        short[wrong] = [float(str(number)) for number in array[wrong]]
    return short


@functools.cache
def _powers(dtype: np.dtype[Any]) -> tuple[Array, int]:
    """The power of ten whose inverse is just above a step, or NaN, by exponent of two; and the lowest exponent."""
    info = np.finfo(dtype)
    lowest = info.minexp - info.nmant
    steps = [2.0 ** max(exponent - 1 - info.nmant, lowest) for exponent in range(lowest, info.maxexp + 1)]
    places = [math.floor(-math.log10(step)) for step in steps]
    return np.array([10.0**place if 0 <= place < _MOST_PLACES else math.nan for place in places]), lowest


def _strings(value: Any, *, as_bytes: bool) -> Any:
    """Text, or base64 if the output's name ends in `_bytes` (TensorFlow Serving's rule) or the bytes are not text."""
    if isinstance(value, list):
        return [_strings(element, as_bytes=as_bytes) for element in value]
    if isinstance(value, str):
        return value
    try:
        if not as_bytes:
            return value.decode()
    except UnicodeDecodeError:
        pass
    return {"b64": base64.b64encode(value).decode()}


def _check_count(labels: tuple[str, ...], scores: int, config: OutputConfig) -> None:
    if scores != len(labels) and not (scores == 1 and len(labels) == 2):
        returns = "1 score" if scores == 1 else f"{scores} scores"
        raise ModelError(f"output.labels names {len(labels)} labels, but the model returns {returns}")
    if scores == 1 and config.activation == "softmax":
        raise ModelError(
            "output.activation softmax of a single score is always 1: use sigmoid to make it a probability"
        )


def _check_finite(array: Array) -> None:
    if array.dtype.kind == "f" and not (tensors.is_surely_within(array, array.dtype) or np.isfinite(array).all()):
        raise PredictionError("the model's output contains NaN or infinite values, which JSON cannot represent")


def _short(score: Any) -> float:
    """A score with six significant digits; a 32-bit float has seven."""
    return float(f"{float(score):.6g}")
