"""What this function serves, read once from the environment that Terraform set."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inference.errors import ModelError
from inference.limits import Limits
from inference.runtimes import TABLE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: The version of what the fields of a model's document mean. Raise it here and in Terraform's module `registry` for a
#: change that older code would misread although it knows every field.
CONTRACT = 2

_WAY_OUT = (
    "the code and the document come from different versions of Modelyard. Run `modelctl package` (or `modelctl image`, "
    "if the runtime comes as an image) and apply again"
)

_Section = TypeVar("_Section", bound="DataclassInstance")


# Nothing compares or prints the sections, and generating the methods for that takes a millisecond of every cold start.
@dataclass(frozen=True, eq=False, repr=False)
class BatchConfig:
    """The fields of the registry entry's `batch` that the function reads."""

    #: The most rows of one call, which are then independent of each other; 0: the first dimension is not a batch; None:
    #: the signature decides.
    rows: int | None = None


@dataclass(frozen=True, eq=False, repr=False)
class InputConfig:
    """How an input becomes an array: `input`, `limits` and `batch` of the registry entry."""

    format: str
    #: Height and width in pixels; None: those of the model's signature.
    size: tuple[int, int] | None = None
    #: The filter that resizes: bilinear, nearest or bicubic as Pillow has them, or keras.
    resample: str = "bilinear"
    #: Pillow's name for the channels (L, RGB, RGBA); None: as many channels as the signature has.
    mode: str | None = None
    #: The colour behind transparent pixels: red, green, blue; None: the colour that is stored for each.
    background: tuple[int, int, int] | None = None
    #: The factor for pixel values, 0 to 255; None: they are unchanged.
    scale: float | None = None
    #: Per channel, what is subtracted from the scaled pixels and what the difference is divided by; empty: nothing.
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    #: The position of the channels: last (NHWC) or first (NCHW).
    layout: str = "NHWC"
    #: Names of the columns of CSV and of records in JSON, in the model's order; empty: columns are taken in their
    #: order.
    columns: tuple[str, ...] = ()
    #: Whether CSV begins with column names; "auto": the first row must show which.
    header: bool | str = "auto"
    #: Whether floats may be missing; they are then NaN.
    missing: bool = False
    limits: Limits = field(default_factory=Limits)
    batch: BatchConfig = field(default_factory=BatchConfig)

    @property
    def max_records(self) -> float:
        """The most rows of one input; unlimited if the first dimension is not a batch."""
        return math.inf if self.batch.rows == 0 else self.limits.records


@dataclass(frozen=True, eq=False, repr=False)
class OutputConfig:
    """What the numbers mean: `output` of the registry entry."""

    #: The output that predictions are made from; None: all outputs.
    name: str | None = None
    #: The file in the artifact with one label per line; None: predictions are the raw output.
    labels: str | None = None
    #: How many labels a prediction lists; None: all.
    top_k: int | None = None
    #: The lowest score of a label that a prediction lists; None: any.
    threshold: float | None = None
    #: What turns the output into scores (softmax, sigmoid); None: it already is scores.
    activation: str | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Route:
    """Which uploads are the model's: `route` of the registry entry."""

    #: A key begins with one of these.
    prefixes: tuple[str, ...]
    #: And ends with one of these, if there are any.
    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Config:
    """One model and where its weights and results are."""

    name: str
    version: str
    digest: str
    runtime: str
    signature: str
    #: How often a message is received before it goes to the dead-letter queue (the queue's `maxReceiveCount`).
    retries: int
    input: InputConfig
    output: OutputConfig
    route: Route
    #: The folder of the artifact's files.
    artifact: Path
    #: Name of the results bucket.
    results: str


def read(environment: Mapping[str, str]) -> Config:
    """Read the configuration from the function's environment.

    `MODELYARD_MODEL` is the document that Terraform's module `registry` makes from an entry: all fields with a value.

    Raises:
        ModelError: the document has another contract, or a field or a runtime that this code does not know. Ignoring it
            would give wrong answers.
        KeyError, TypeError: a variable or a required field is missing.
    """
    document: dict[str, Any] = json.loads(environment["MODELYARD_MODEL"])
    contract = document.pop("contract", None)
    if contract != CONTRACT:
        raise ModelError(f"the model's document has contract {contract}, but this code reads {CONTRACT}: {_WAY_OUT}")
    if document["runtime"] not in TABLE:
        raise ModelError(
            f"the model's document names the runtime {document['runtime']}, which this code does not know: {_WAY_OUT}"
        )
    limits = _made(Limits, document.pop("limits", {}), "limits.")
    batch = _made(BatchConfig, document.pop("batch", {}), "batch.")
    return _made(
        Config,
        document,
        input=_made(InputConfig, document.pop("input"), "input.", limits=limits, batch=batch),
        output=_made(OutputConfig, document.pop("output", {}), "output."),
        route=_made(Route, document.pop("route"), "route."),
        artifact=Path(environment["MODELYARD_WEIGHTS"]) / document["digest"],
        results=environment["MODELYARD_RESULTS"],
    )


def _made(kind: type[_Section], values: Mapping[str, Any], path: str = "", **more: Any) -> _Section:
    """One section of the document, together with the values in `more`; lists become tuples.

    Raises:
        ModelError: it has a field that this code does not know.
    """
    known = {field.name for field in fields(kind)} - more.keys()
    if unknown := sorted(values.keys() - known):
        raise ModelError(
            f"the model's document has the field {path}{unknown[0]}, which this code does not know: {_WAY_OUT}"
        )
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}, **more)
