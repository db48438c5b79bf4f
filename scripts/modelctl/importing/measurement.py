"""What calls of a model show about `batch.rows` and `limits.records` of its entry."""

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

#: The seconds that all calls may take, and what they cost per row of the largest call, in calls of one row: each row is
#: called once alone and three times in the largest call; the smaller sizes add less than one.
_SECONDS = 60.0
_CALLS_PER_ROW = 5
#: The tensors of the rows alone and of their answers, and those of a call that others are compared with.
_COPIES = 3

#: What `limits.records` may be at most.
_MOST_RECORDS = 1_000_000

#: Given rows that are used at most.
_MOST_GIVEN = 200
#: Rows that are made of given ones, and that are made up, for each that is needed: the model may refuse some.
_CROSSED, _MADE_UP = 1, 3


@dataclass(frozen=True)
class Function:
    """What the function that will serve the model has.

    Args:
        batch_rows: rows of a call whose own cost no longer counts, for its runtime.
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
        why: how that shows, or why it could not.
        rows: what `batch.rows` should be; None: left out.
        records: what `limits.records` has to be, if it has to be less than it is.
        memory: of calls of several rows; None: not measured.
    """

    independent: bool | None
    why: str
    rows: int | None
    records: int | None
    memory: dict[str, int] | None


def measure(model: Model, given: Sequence[Tensors], function: Function) -> Measured:
    """Measure a model with given inputs, and with made-up ones where they do not suffice."""
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
    """How many rows an input has that the model takes, although it refuses the first of them alone."""
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
    """What an entry should say of a model.

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
    """To two digits, so that another measurement finds the same."""
    step = int(f"1{'0' * (len(str(number)) - 2)}")
    return max(1, number // step * step)
