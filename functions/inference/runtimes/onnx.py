"""ONNX Runtime: `.onnx` models, the export format for PyTorch and scikit-learn.

Small rows are run together, since a call costs many times as much as a row. Rows as large as an image are run one at a
time, since on the few threads of a function a larger call costs as much per row and needs more memory.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inference import runtimes
from inference.errors import ModelError, PredictionError
from inference.runtimes import Array, TensorSpec

# From version 1.29 on it has telemetry: it writes events to a file, and a thread sends them.
# https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Discard everything that is written to standard error."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# During the import it logs, in colours, which GPUs and processors it does not find. If the import fails, it raises the
# reason.
with _silence():
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as raised

# Fatal errors only, for sessions too: what it logs as an error, in colours and on several lines, it also raises.
ort.set_default_logger_severity(4)

#: The most bytes of inputs and outputs of a shared call. The tensors between them, which grow with the rows as well,
#: then stay small.
BYTES_PER_CALL = 16 * 1024

#: The types of tensors that numpy has as well, by ONNX Runtime's names.
_DTYPES = {
    "string": "object",
    "bool": "bool",
    "float16": "float16",
    "float": "float32",
    "double": "float64",
    **{name: name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}

#: What is raised for values that fit the signature but that an op refuses; running out of memory raises these as well.
#: Any other error (no kernel for an op, an internal error) would be raised for other values too.
_REFUSED = (raised.InvalidArgument, raised.Fail, raised.RuntimeException, ValueError)

_DECODE = np.frompyfunc(bytes.decode, 1, 1)
_ENCODE = np.frompyfunc(str.encode, 1, 1)


class OnnxModel:
    """The graph of an `.onnx` file."""

    bytes_per_call = BYTES_PER_CALL

    def __init__(self, session: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self._session = session
        self.inputs = inputs
        self.outputs = outputs

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph once."""
        names = [spec.name for spec in self.outputs]
        try:
            outputs = self._session.run(names, {spec.name: _given(tensors[spec.name]) for spec in self.inputs})
            return dict(zip(names, map(_taken, outputs), strict=True))
        except _REFUSED as error:
            if runtimes.says_out_of_memory(str(error)):
                raise ModelError(f"ONNX Runtime ran out of memory: {error}") from error
            raise PredictionError(f"the model failed on these values: {error}") from error
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot run the model: {type(error).__name__}: {error}") from error


def load(file: Path, signature: str) -> OnnxModel:
    """Load an `.onnx` file, which has one signature; weights that it keeps in other files are beside it.

    Raises:
        ModelError: ONNX Runtime cannot load it, or an input or output is not a tensor.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = runtimes.threads()
    # Threads that spin while they wait for work take processor time from the rest of the function, and it is billed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # It would keep a plan for every input shape that it has ever seen.
    options.enable_mem_pattern = False
    try:
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # The op StringNormalizer needs en_US.UTF-8 if its exporter names no locale.
        way_out = "; for a text vectorizer, skl2onnx accepts options={TfidfVectorizer: {'locale': 'C'}}"
        raise ModelError(
            f"ONNX Runtime cannot load {file.name}: {str(error).strip()}{way_out if 'locale' in str(error) else ''}"
        ) from error
    nodes = session.get_inputs()
    # Without dimensions it is a single value or has an unknown shape, and ONNX Runtime does not say which. Exporters
    # omit the shapes of outputs that they do not know, but hardly ever those of inputs.
    open_inputs = frozenset() if all(node.shape for node in nodes) else _without_shape(file)
    inputs = tuple(_spec(node, file.name, is_open=node.name in open_inputs) for node in nodes)
    outputs = tuple(_spec(node, file.name, is_open=not node.shape) for node in session.get_outputs())
    return OnnxModel(session, inputs, outputs)


def _without_shape(file: Path) -> frozenset[str]:
    """The inputs that have no shape in a file: onnx.proto, ModelProto.graph.input, ValueInfoProto.name and type."""
    from inference import protobuf

    inputs = [*protobuf.read(file).messages(7, 11)]
    return frozenset(value.text(1) for value in inputs if not any(value.messages(2, 1, 2)))


def _spec(node: Any, file: str, *, is_open: bool) -> TensorSpec:
    """The spec of an input or output; a dimension is a length, a name or nothing."""
    kind = str(node.type)
    if not kind.startswith("tensor("):
        raise ModelError(
            f"{file}: {node.name!r} is {kind}, and only tensors can be served; export the model with tensors only "
            "(skl2onnx: options={'zipmap': False})"
        )
    dtype = _DTYPES.get(kind.removeprefix("tensor(").removesuffix(")"))
    if dtype is None:
        raise ModelError(
            f"{file}: {node.name!r} is {kind}, and numpy has no such type; export the model with another type"
        )
    shape = tuple(length if isinstance(length, int) else None for length in node.shape)
    return TensorSpec(node.name, None if is_open else shape, np.dtype(dtype))


def _given(tensor: Array) -> Array:
    """A tensor as ONNX Runtime accepts it: strings are text."""
    return np.asarray(_DECODE(tensor), object) if tensor.dtype.kind == "O" else tensor


def _taken(tensor: Array) -> Array:
    """A tensor as the signature has it: strings are bytes."""
    return np.asarray(_ENCODE(tensor), object) if tensor.dtype.kind == "O" else tensor
