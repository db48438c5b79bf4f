"""The meaning of the first dimension of a model's inputs: it decides how the model is called and what a prediction is.

docs/inputs.md explains it to users ("What a prediction depends on"). A signature does not distinguish a batch of
independent rows from a sequence, or from anything else of any length. So rows of several inputs are combined, and the
rows of such a dimension are split, only if the registry says that they are independent (`batch.rows`).
"""

import enum

from inference.errors import ModelError
from inference.runtimes import Specs


class Rows(enum.Enum):
    """What the first dimension means."""

    #: Not rows: `batch.rows` is 0, an input is a single value, or the inputs have different fixed lengths. Each input
    #: is one call and gets one prediction, the whole output.
    NONE = enum.auto()
    #: Fixed at 1: every row is a separate call.
    SINGLE = enum.auto()
    #: Of any length: each input is one call, and each row has a prediction if every output has as many rows.
    OPEN = enum.auto()
    #: Fixed at another length: like OPEN for inputs that consist of rows. Any other input is a whole tensor with one
    #: prediction, since such a dimension may be a vector's.
    FIXED = enum.auto()
    #: `batch.rows` is at least 1: rows of one or several inputs share calls, and each has a prediction.
    INDEPENDENT = enum.auto()


def rows_of(specs: Specs, rows: int | None) -> Rows:
    """What the first dimension of these inputs means, with this `batch.rows`."""
    if rows == 0 or not are_stacked(specs):
        return Rows.NONE
    lengths = {spec.shape[0] for spec in specs if spec.shape is not None}
    lengths.discard(None)
    if len(lengths) > 1:
        return Rows.NONE
    if rows is not None:
        return Rows.INDEPENDENT
    if not lengths:
        return Rows.OPEN
    return Rows.SINGLE if lengths == {1} else Rows.FIXED


def are_stacked(specs: Specs) -> bool:
    """Whether instances can be stacked along a first dimension: every input has one, as far as is known."""
    return bool(specs) and () not in [spec.shape for spec in specs]


def fixed_rows(specs: Specs) -> int | None:
    """The exact number of rows of a call; None: any number."""
    return next((spec.shape[0] for spec in specs if spec.shape and spec.shape[0] is not None), None)


def check_rows(specs: Specs, rows: int | None) -> None:
    """Refuse rows that the signature cannot have.

    Raises:
        ModelError: `batch.rows` is at least 1, and an input has no first dimension, or several have different lengths.
    """
    if not rows:
        return
    lengths = {spec.name: spec.shape[0] if spec.shape else None for spec in specs if spec.shape is not None}
    if not are_stacked(specs) or len(set(lengths.values()) - {None}) > 1:
        shapes = ", ".join(f"{spec.name} {list(spec.shape or ())}" for spec in specs) or "no inputs"
        raise ModelError(
            f"batch.rows is {rows}, but the signature's inputs do not share a first dimension ({shapes}): "
            "set batch.rows to 0"
        )
