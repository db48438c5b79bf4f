"""Derives `batch.rows` and `limits.records` of an entry from calls of its model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inference.errors import ModelError, PredictionError
from inference.rows import Rows, rows_of
from inference.runtimes import Model
from modelctl.errors import UserError
from modelctl.importing import cost, inputs, rows
from modelctl.importing.cost import Cost
from modelctl.importing.inputs import Tensors
from modelctl.importing.rows import Finding

#: The most seconds for all calls, and their cost per row of the largest call, in calls of one row: each row is called
#: once alone and three times in the largest call, and the smaller sizes add less than one.
_SECONDS = 60.0
_CALLS_PER_ROW = 5
#: The copies in memory: the tensors of the single rows and their answers, and those of a call that others are compared
#: with.
_COPIES = 3

#: The most that `limits.records` may be.
_MOST_RECORDS = 1_000_000

#: The most given rows that are used.
_MOST_GIVEN = 200
#: How many rows are combined from given ones, and made up, per row that is needed: the model may refuse some.
_CROSSED, _MADE_UP = 1, 3


@dataclass(frozen=True)
class Function:
    """The settings of the function that will serve the model.

    Args:
        batch_rows: for its runtime, the rows per call from which the cost of the call itself no longer counts.
        memory_mb: its memory.
        records: instances that an input may have: `limits.records` of its entry, or its default.
    """

    batch_rows: int
    memory_mb: int
    records: int


@dataclass(frozen=True)
class Measured:
    """What was found.

    Args:
        independent: whether rows are independent of each other; None: that could not be measured.
        why: the evidence, or why it could not be measured.
        rows: what `batch.rows` should be; None: left out.
        records: what `limits.records` must be, if it must be lower than it is.
        memory: the memory of calls with several rows; None: not measured.
    """

    independent: bool | None
    why: str
    rows: int | None
    records: int | None
    memory: dict[str, int] | None


def measure(model: Model, given: Sequence[Tensors], function: Function) -> Measured:
    """Measure a model with given inputs, and with made-up ones if these are not enough."""
    try:
        any_number = rows_of(model.inputs, None) is Rows.OPEN
        if any_number and (whole := _taken_whole(model, given)):
            finding = Finding(False, f"the model takes the {whole} rows of an input together, but refuses one alone")
            return decide(finding, None, function)
        return _measure_rows(model, inputs.split(given)[:_MOST_GIVEN], function, any_number=any_number)
    except (ModelError, UserError) as error:
        return decide(Finding(None, str(error)), None, function)


def _measure_rows(model: Model, given: Sequence[Tensors], function: Function, *, any_number: bool) -> Measured:
    size = most = max(rows.SIZES)

    def candidates() -> Iterator[Tensors]:
        return inputs.different_rows(given, model.inputs, crossed=_CROSSED * size, made_up=_MADE_UP * size)

    found = cost.measure(model, candidates()) if any_number else None
    if found:
        most = min(size, found.most_rows(copies=_COPIES, seconds=_SECONDS / _CALLS_PER_ROW))
    if most < rows.SIZES[0]:
        why = "calls of several rows would take too long, or more memory than this machine has free"
        return decide(Finding(None, why), found, function)
    try:
        finding = rows.measure(model, candidates(), most)
    except ModelError as error:
        finding = Finding(None, str(error))
    return decide(finding, found, function)


def _taken_whole(model: Model, given: Sequence[Tensors]) -> int | None:
    """The number of rows of an input that the model accepts although it refuses the first row alone."""
    for tensors in given:
        split = inputs.split([tensors])
        if len(split) > 1 and not _takes(model, split[0]) and _takes(model, tensors):
            return len(split)
    return None


def _takes(model: Model, tensors: Tensors) -> bool:
    try:
        model(tensors)
    except PredictionError:
        return False
    return True


def decide(finding: Finding, found: Cost | None, function: Function) -> Measured:
    """What an entry should say about a model.

    Args:
        finding: of its rows.
        found: what they cost, if that was measured.
        function: that will serve it.
    """
    fitting = min(found.fitting(function.memory_mb), _MOST_RECORDS) if found else _MOST_RECORDS
    number, records = None, None
    if finding.independent:
        wanted = finding.most if finding.fixed else min(finding.most, function.batch_rows)
        number = max(1, min(wanted, fitting))
    elif finding.independent is False:
        number = 0
    elif fitting < function.records:
        records = _rounded_down(fitting)
    memory = None
    if found:
        sizes = {"base_bytes": found.base, "row_bytes": round(found.row)}
        memory = {**sizes, "memory_mb": function.memory_mb, "fitting_rows": fitting}
    return Measured(finding.independent, finding.says, number, records, memory)


def _rounded_down(number: int) -> int:
    """Round down to two digits, so that another measurement finds the same."""
    step = int(f"1{'0' * (len(str(number)) - 2)}")
    return max(1, number // step * step)
