"""The small interface that every runtime implements, and the choice of one.

Only the chosen runtime is imported: loading another's library would take most of a cold start. `runtimes.json` defines
the runtimes; Terraform and modelctl read it as well, and `modelctl/runtimes.py` explains its fields.
"""

import functools
import importlib
import json
import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

# numpy reads it on import, and this module is the first to import numpy. Nothing here uses its linear algebra, and
# creating threads for it takes a quarter of a cold start's processor time. The registry's `env` may set another value.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from inference.errors import ModelError

Array = np.ndarray[Any, np.dtype[Any]]

#: The definition of each runtime, by name.
TABLE: Mapping[str, Mapping[str, Any]] = json.loads((Path(__file__).parents[1] / "runtimes.json").read_bytes())

#: MB of memory that come with one vCPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEMORY_PER_VCPU = 1769

#: The name for the signature of a file that names none: TensorFlow's own default.
DEFAULT_SIGNATURE = "serving_default"

#: How LiteRT and ONNX Runtime, which have no separate error for it, say that memory ran out. Like other patterns of
#: errors, it is compiled at the first search, since a cold start has no time for it.
_OUT_OF_MEMORY = r"(?i)fail(ed|ure)? to alloc|allocation fail|could not allocate|bad_alloc|out of memory"


@dataclass(frozen=True)
class Quantization:
    """How the integers of a quantized tensor represent real numbers: real = (stored - zero_point) * scale."""

    #: The integers' type.
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def real(self, stored: Array) -> Array:
        """The numbers that integers represent, as float32."""
        return np.asarray((stored.astype(np.float32) - self.zero_point) * self.scale, np.float32)

    def stored(self, real: Array) -> Array:
        """The integers that represent numbers; a number out of range becomes the smallest or largest integer."""
        limits = np.iinfo(self.dtype)
        integers = np.clip(np.rint(real / self.scale) + self.zero_point, limits.min, limits.max)
        return np.asarray(integers, self.dtype)

    @functools.cached_property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest number that an integer represents."""
        limits = np.iinfo(self.dtype)
        return (limits.min - self.zero_point) * self.scale, (limits.max - self.zero_point) * self.scale


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and type of one input or output of a signature."""

    name: str
    #: Includes the batch dimension; None as a dimension: any length; None as the shape: any shape.
    shape: tuple[int | None, ...] | None
    #: Strings are `object`: an array of bytes. A quantized tensor is float32, the type of what its integers represent.
    dtype: np.dtype[Any]
    quantization: Quantization | None = None

    @functools.cached_property
    def instance(self) -> tuple[int | None, ...] | None:
        """The shape of one instance of a batch."""
        return None if self.shape is None else self.shape[1:]

    @functools.cached_property
    def instance_size(self) -> int | None:
        """How many elements one instance has; None: any number."""
        lengths = (None,) if self.instance is None else self.instance
        return None if None in lengths else math.prod(length or 0 for length in lengths)

    @property
    def stored(self) -> np.dtype[Any]:
        """The type of the tensor in the file."""
        return self.quantization.dtype if self.quantization else self.dtype

    @property
    def holds_bytes(self) -> bool:
        """Whether each element of the tensor in the file is a byte."""
        return self.stored.kind in "iu" and self.stored.itemsize == 1

    @property
    def has_nan(self) -> bool:
        """Whether an element may be NaN, which no integer of a quantized tensor represents."""
        return self.stored.kind == "f"


#: The inputs, or the outputs, of a signature.
Specs = tuple[TensorSpec, ...]


class Model(Protocol):
    """A loaded model's signature, ready to be called."""

    inputs: Specs
    outputs: Specs
    #: The most bytes of inputs and outputs of independent rows that share a call; 0: rows do not share calls.
    bytes_per_call: int

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Run the signature on one array per input, by name, and return one array per output.

        Raises:
            PredictionError: the model refused these values.
            ModelError: the model ran out of memory.
        """
        ...


def load(runtime: str, artifact: Path, signature: str) -> Model:
    """Load the model of an artifact's folder.

    Raises:
        ModelError: the folder, the model file or the signature is missing, the library refuses the file, or a tensor
            has a type that no input or result can have.
    """
    if not artifact.is_dir():
        raise ModelError(f"no weights at {artifact}: weights_sync copies them there during `terraform apply`")
    file = _model_file(runtime, artifact)
    if not _is_one_of(file, TABLE[runtime]["signatures"]):
        check_default_signature(file, signature)
    try:
        model = cast(Model, importlib.import_module(f"inference.runtimes.{runtime}").load(file, signature))
    except ModelError as error:
        # Imported only now: a cold start has no time for it.
        from inference import model_files

        files = {path.relative_to(artifact).as_posix(): path for path in artifact.rglob("*") if path.is_file()}
        if problem := next(model_files.problems(files, file.name), None):
            raise ModelError(problem) from error
        raise
    if not model.outputs:
        raise ModelError(f"{file.name} has no outputs, so there is nothing to serve")
    for spec in (*model.inputs, *model.outputs):
        if spec.dtype.kind not in "biufO":
            raise ModelError(f"{spec.name!r} is {spec.dtype.name}, which cannot be served: export it as float32")
    return model


def _model_file(runtime: str, artifact: Path) -> Path:
    """The one file of an artifact that the runtime accepts.

    Raises:
        ModelError: there is none, or there are several.
    """
    files = sorted(path for path in artifact.iterdir() if _is_one_of(path, TABLE[runtime]["files"]))
    if not files:
        raise ModelError(f"no model in {artifact}: the runtime {runtime} takes {TABLE[runtime]['takes']}")
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise ModelError(f"the artifact contains several models ({names}): keep only one of them in its folder")
    return files[0]


def _is_one_of(file: Path, kinds: Collection[str]) -> bool:
    """Whether a file is one of these kinds, by its suffix or its name."""
    return file.suffix in kinds or file.name in kinds


def check_default_signature(file: Path, signature: str) -> None:
    """Refuse to look for a signature in a file that names none: there is only one way to call it.

    Raises:
        ModelError: the registry entry names another signature.
    """
    if signature != DEFAULT_SIGNATURE:
        raise ModelError(f"{file.name} has no named signatures, so {signature!r} is not in it; leave the field out")


def says_out_of_memory(text: str) -> bool:
    """Whether a library says that memory ran out, which is not the fault of the values."""
    return bool(re.search(_OUT_OF_MEMORY, text))


def memory_mb() -> int:
    """The function's memory size."""
    return int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_PER_VCPU))


def threads() -> int:
    """The number of threads that compute: one per vCPU of this memory size, but no more than there are processors."""
    processors = os.cpu_count() or 1
    return max(1, min(processors, round(memory_mb() / MEMORY_PER_VCPU)))
