"""What the runtimes are: `functions/inference/runtimes.json`, which Terraform and the function read as well."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelctl import paths

FILE = paths.FUNCTIONS / "inference" / "runtimes.json"

SAVED_MODEL = "saved_model.pb"


@dataclass(frozen=True)
class Runtime:
    """One runtime; CONTRIBUTING.md explains how to add one.

    Attributes:
        files: the kinds of model files that it takes, each a suffix or a name.
        signatures: those of `files` that name their own signatures.
        takes: the same as `files`, in words for messages.
        converts: the runtimes whose models `modelctl import` converts for this one.
        package: how its library is shipped: a Lambda layer, or an image if it is too large for one.
        imports: the modules that must be importable from its layer with nothing but Python installed.
        memory_mb: the default of `memory_mb`.
        timeout_s: the default of `timeout_s`. TensorFlow's has a minute more than the others', for its first call:
            importing it takes 5 s from a warm disk and several times that while Lambda fetches the image, and may start
            over after Lambda's ten seconds of initialization; loading the model and warming each batch shape, 0.3 to
            1.6 s, follow.
        batch_rows: the `batch.rows` that `modelctl import` gives a model whose rows are independent: in a call of that
            many, the call's own cost no longer counts. 1 where a larger call costs as much per row.
        slow_import: whether importing takes so long that Lambda's initialization might not suffice to load a model.
    """

    files: tuple[str, ...]
    signatures: tuple[str, ...]
    takes: str
    converts: tuple[str, ...]
    package: Literal["layer", "image"]
    imports: tuple[str, ...]
    memory_mb: int
    timeout_s: int
    batch_rows: int
    slow_import: bool


def _runtime(fields: Mapping[str, Any]) -> Runtime:
    values: dict[str, Any] = {
        field: tuple(value) if isinstance(value, list) else value for field, value in fields.items()
    }
    return Runtime(**values)


#: By name, in the order in which people read them.
TABLE: Mapping[str, Runtime] = {name: _runtime(fields) for name, fields in json.loads(FILE.read_bytes()).items()}
