"""The small interface behind which every runtime runs a model, and the choice of one.

Only the chosen runtime is imported: loading another's library would cost most of a cold start. What the runtimes are is
said in `runtimes.json`, which Terraform and modelctl read as well; `modelctl/runtimes.py` explains its fields.
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

# numpy reads it when it is imported, which this module is the first to do. Nothing here calculates with its linear
# algebra, and making threads for that takes a quarter of a cold start's processor time. The registry's `env` may set it
# otherwise.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from inference.errors import ModelError

Array = np.ndarray[Any, np.dtype[Any]]

#: By runtime, what it is.
TABLE: Mapping[str, Mapping[str, Any]] = json.loads((Path(__file__).parents[1] / "runtimes.json").read_bytes())

#: MB of memory that come with one vCPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEMORY_PER_VCPU = 1769

#: The signature of a model whose file names none: TensorFlow's own default.
DEFAULT_SIGNATURE = "serving_default"

#: How LiteRT and ONNX Runtime, which have no error of its own for it, say that memory ran out. Like other
#: patterns of errors, it is compiled where it is first searched for, since a cold start has no time for it.
_OUT_OF_MEMORY = r"(?i)fail(ed|ure)? to alloc|allocation fail|could not allocate|bad_alloc|out of memory"


@dataclass(frozen=True)
class Quantization:
    """How the integers of a quantized tensor stand for real numbers: real = (stored - zero_point) * scale."""

    #: The integers' type.
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def real(self, stored: Array) -> Array:
        """The numbers that integers stand for, as float32."""
        return np.asarray((stored.astype(np.float32) - self.zero_point) * self.scale, np.float32)

    def stored(self, real: Array) -> Array:
        """The integers that stand for numbers: for one that is beyond all of them, the smallest or largest."""
        limits = np.iinfo(self.dtype)
        integers = np.clip(np.rint(real / self.scale) + self.zero_point, limits.min, limits.max)
        return np.asarray(integers, self.dtype)

    @functools.cached_property
    def range(self) -> tuple[float, float]:
        """The least and the largest number that an integer stands for."""
        limits = np.iinfo(self.dtype)
        return (limits.min - self.zero_point) * self.scale, (limits.max - self.zero_point) * self.scale


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and type of one input or output of a signature."""

    name: str
    #: With the batch dimension; None in place of a dimension: any length; None in place of all: any shape.
    shape: tuple[int | None, ...] | None
    #: Strings are `object`: an array of bytes. Of a quantized tensor float32, the type of what its integers stand for.
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
        """Whether a byte is an element of the tensor as it is in the file."""
        return self.stored.kind in "iu" and self.stored.itemsize == 1

    @property
    def has_nan(self) -> bool:
        """Whether an element may be NaN, which no integer of a quantized tensor stands for."""
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
        """Run the signature on one array per input, by name; gives one array per output.

        Raises:
            PredictionError: the model refused these values.
            ModelError: the model ran out of memory.
        """
        ...


def load(runtime: str, artifact: Path, signature: str) -> Model:
    """Load the model of an artifact's folder.

    Raises:
        ModelError: the folder, the model file or the signature is missing, the library refuses the file, or a tensor is
            of a type that no input and no result has.
    """
    if not artifact.is_dir():
        raise ModelError(f"no weights at {artifact}: weights_sync copies them there during `terraform apply`")
    file = _model_file(runtime, artifact)
    if not _is_one_of(file, TABLE[runtime]["signatures"]):
        check_default_signature(file, signature)
    try:
        model = cast(Model, importlib.import_module(f"inference.runtimes.{runtime}").load(file, signature))
    except ModelError as error:
        # Only now: a cold start has no time for it.
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
    """The one file of an artifact that the runtime takes.

    Raises:
        ModelError: there is none, or there are several.
    """
    files = sorted(path for path in artifact.iterdir() if _is_one_of(path, TABLE[runtime]["files"]))
    if not files:
        raise ModelError(f"no model in {artifact}: the runtime {runtime} takes {TABLE[runtime]['takes']}")
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise ModelError(f"the artifact holds several models ({names}): keep only one of them in its folder")
    return files[0]


def _is_one_of(file: Path, kinds: Collection[str]) -> bool:
    """Whether a file is of one of these kinds: its suffix, or its name, is among them."""
    return file.suffix in kinds or file.name in kinds


def check_default_signature(file: Path, signature: str) -> None:
    """Refuse to look for a signature in a file that names none: it has one way to be called.

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
    """How many threads compute: the vCPUs that the memory size buys, and no more than there are."""
    processors = os.cpu_count() or 1
    return max(1, min(processors, round(memory_mb() / MEMORY_PER_VCPU)))
