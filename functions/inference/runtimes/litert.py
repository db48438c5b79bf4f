"""LiteRT: `.tflite` models, which make the first prediction of a process in a fraction of TensorFlow's time.

Rows are run one at a time: on the few threads of a function, a larger call costs LiteRT as much per row, and for a
constant shape nothing is planned again.

Every call starts from the state in the file. The state of fused ops (RNN, LSTM, SVDF) is reset before the call. The
state of a `tf.Variable` cannot be reset, so a file that assigns to one gets a new interpreter for each call. Tables
(HASHTABLE) are filled once and never change. Random ops draw new numbers in every call, which do not depend on any
input.
"""

import mmap
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from inference import runtimes
from inference.errors import ModelError, PredictionError
from inference.runtimes import Array, Quantization, TensorSpec

Details = Mapping[str, Any]

#: The op that changes a `tf.Variable`: https://github.com/google-ai-edge/LiteRT, schema.fbs, BuiltinOperator.
_ASSIGN_VARIABLE = 144

#: How LiteRT names an op without a kernel: a custom op of the model, or an op of TensorFlow (Flex).
_LACKING = r"(?s)unresolved custom op: (?:Flex)?(\w+)|Select TensorFlow op.*?\(Flex(\w+)\) failed to prepare"

#: How a kernel says that it cannot compute with tensors of the model's types or shapes, whatever their values, or with
#: a `tf.Variable` that has no value in the file (READ_VARIABLE).
_UNSUPPORTED = (
    r"(?i)unsupported|not implemented|n[o']t (currently |yet )?support(ed| (data )?type)|supported currently"
    r"|only (currently )?supports? (?!value)|\btype [!=]= |variable != nullptr was not true"
)

#: Replaces the text of an error that has none, which LiteRT raises if a tensor whose shape an op calculates does not
#: fit into memory.
_NO_REASON = "it gave no reason, which happens when it runs out of memory"

#: The most characters of earlier errors that an interpreter may repeat; beyond that, it is replaced.
_MOST_SAID = 2**16


class LiteRtModel:
    """One signature of a `.tflite` file; quantized tensors are passed as the real numbers that they represent.

    Args:
        graph: the signature in an interpreter.
        start: resets it to the state from which every call starts.
    """

    bytes_per_call = 0

    def __init__(self, graph: "_Graph", start: Callable[[], Any] | None = None) -> None:
        self._graph = graph
        self._start = start
        self.inputs = tuple(_spec(name, details) for name, details in graph.inputs.items())
        # An output without dimensions is a single value or has an unknown shape; LiteRT does not say which.
        specs = (_spec(name, details) for name, details in graph.outputs.items())
        self.outputs = tuple(replace(spec, shape=spec.shape or None) for spec in specs)

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Run the signature once, on tensors of the shapes of `inputs`."""
        graph = self._graph
        quantized = {spec.name: _quantized(tensors[spec.name], spec) for spec in self.inputs}
        if self._start:
            self._start()
        try:
            outputs = graph.call(**quantized)
        except (RuntimeError, ValueError) as error:
            text = graph.news(error) or _NO_REASON
            if why := _models_fault(text):
                raise ModelError(why) from error
            raise PredictionError(f"the model failed on these values: {text}") from error
        except Exception as error:
            raise ModelError(f"LiteRT cannot run the model: {type(error).__name__}: {error}") from error
        return {
            spec.name: spec.quantization.real(outputs[spec.name]) if spec.quantization else outputs[spec.name]
            for spec in self.outputs
        }


def load(file: Path, signature: str) -> LiteRtModel:
    """Load a `.tflite` file by its signature or, if it has none, by its tensors.

    Raises:
        ModelError: there is no such signature, or LiteRT cannot run it.
    """
    graph = _Graph(file, signature)
    has_variables = not graph.reset()
    problem = graph.prepare()
    if why := _models_fault(problem):
        raise ModelError(why)
    if problem and not any(-1 in details["shape_signature"] for details in graph.inputs.values()):
        raise ModelError(f"LiteRT cannot run {file.name}: {problem}")
    if _ASSIGN_VARIABLE in _op_codes(file) or not graph.reset():
        return LiteRtModel(graph, start=graph.open)
    return LiteRtModel(graph, start=graph.reset if has_variables else None)


class _Graph:
    """A signature of a `.tflite` file, or the graph of a file that names none, in its own interpreter.

    Raises (the constructor and `open`):
        ModelError: the file does not have the signature, or LiteRT cannot load it.
    """

    #: LiteRT's details, by name.
    inputs: Mapping[str, Details]
    outputs: Mapping[str, Details]
    #: Runs the graph on arrays by input name.
    call: Callable[..., dict[str, Array]]

    def __init__(self, file: Path, signature: str) -> None:
        self._file = file
        self._signature = signature
        self.open()

    def open(self) -> None:
        """Create a new interpreter for the file."""
        file, signature = self._file, self._signature
        try:
            self._interpreter: Any = Interpreter(model_path=str(file), num_threads=runtimes.threads())
            signatures = self._interpreter.get_signature_list()
            self._runner: Any = self._interpreter.get_signature_runner(signature) if signature in signatures else None
            of = self._runner or self._interpreter
            inputs, outputs = of.get_input_details(), of.get_output_details()
        except (MemoryError, RuntimeError, ValueError) as error:
            raise ModelError(f"LiteRT cannot load {file.name}: {error}") from error
        if signatures and not self._runner:
            raise ModelError(f"{file.name} has no signature {signature!r}; it has {', '.join(sorted(signatures))}")
        if not signatures:
            runtimes.check_default_signature(file, signature)
            inputs, outputs = ({details["name"]: details for details in found} for found in (inputs, outputs))
        self._said = ""
        self.inputs, self.outputs = inputs, outputs
        self.call = self._runner or self._call_without_signature

    def prepare(self) -> str:
        """Prepare the ops for the shapes in the file, with 1 for an open length; returns the error, or ""."""
        try:
            if self._runner:
                # The interpreter's own method prepares only the first signature.
                wrapper = self._interpreter._interpreter
                wrapper.AllocateTensors(wrapper.GetSubgraphIndexFromSignature(self._signature))
            else:
                self._interpreter.allocate_tensors()
        except RuntimeError as error:
            return self.news(error) or _NO_REASON
        except MemoryError:
            return _NO_REASON
        return ""

    def reset(self) -> bool:
        """Set the variables of fused ops to zero; False if one has no memory yet, and will be zero once it has."""
        try:
            self._interpreter.reset_all_variables()
        except RuntimeError as error:
            self.news(error)
            return False
        return True

    def news(self, error: Exception) -> str:
        """An error's text without the part that LiteRT repeats: errors of earlier calls, about other inputs."""
        if not isinstance(error, RuntimeError):
            return str(error)
        said, self._said = self._said, str(error)
        news = self._said.removeprefix(said)
        if len(self._said) > _MOST_SAID:
            self.open()
        return news

    def _call_without_signature(self, **tensors: Array) -> dict[str, Array]:
        interpreter = self._interpreter
        for name, tensor in tensors.items():
            interpreter.resize_tensor_input(self.inputs[name]["index"], tensor.shape)
        interpreter.allocate_tensors()
        for name, tensor in tensors.items():
            interpreter.set_tensor(self.inputs[name]["index"], tensor)
        interpreter.invoke()
        return {name: interpreter.get_tensor(details["index"]) for name, details in self.outputs.items()}


def _models_fault(text: str) -> str:
    """The message for an error that other values would cause as well; "" if there is none or these may be at fault."""
    if not text:
        return ""
    if found := re.search(_LACKING, text):
        return (
            f"LiteRT cannot run the op {found[1] or found[2]}: import the Keras model or SavedModel that the file was "
            f"made from, with `--runtime tensorflow`, which runs every op ({text})"
        )
    if runtimes.says_out_of_memory(text):
        return f"LiteRT ran out of memory: {text}"
    return f"LiteRT cannot run the model: {text}" if re.search(_UNSUPPORTED, text) else ""


def _op_codes(file: Path) -> set[int]:
    """The builtin ops that a `.tflite` file has.

    They are read from the file because LiteRT lists only those of the first signature, without its loops and branches.
    In a FlatBuffer, a table begins with the distance back to its list of fields, which gives the offset of each field
    within the table. The root's field 1 is the vector of the ops; an op's field 3 is its code, which in older files is
    field 0. https://flatbuffers.dev/internals/
    """

    def number(form: str, place: int) -> int:
        return int(struct.unpack_from(form, data, place)[0])

    def target(place: int) -> int:
        return place + number("<I", place)

    def field(table: int, index: int) -> int:
        """The position of a table's field; 0 if it is left out."""
        fields = table - number("<i", table)
        offset = number("<H", fields + 4 + 2 * index) if 4 + 2 * index < number("<H", fields) else 0
        return table + offset if offset else 0

    def code(op: int, index: int, form: str) -> int:
        place = field(op, index)
        return number(form, place) if place else 0

    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        vector = field(target(0), 1)
        if not vector:
            return set()
        first = target(vector) + 4
        ops = [target(first + 4 * index) for index in range(number("<I", target(vector)))]
        return {code(op, 3, "<i") or code(op, 0, "<b") for op in ops}


def _spec(name: str, details: Details) -> TensorSpec:
    shape = tuple(None if length < 0 else int(length) for length in details["shape_signature"])
    if len(details["quantization_parameters"]["scales"]) > 1:
        raise ModelError(f"{name!r} is quantized per channel, which cannot be served: quantize it per tensor")
    dtype = np.dtype(details["dtype"])
    scale, zero_point = details["quantization"]
    if scale and dtype.kind in "iu":
        return TensorSpec(name, shape, np.dtype(np.float32), Quantization(dtype, float(scale), int(zero_point)))
    if dtype.kind == "O":
        raise ModelError(f"{name!r} is a resource handle; only tensors can be served: leave it out of the signature")
    return TensorSpec(name, shape, np.dtype(object) if dtype.kind in "SU" else dtype)


def _quantized(tensor: Array, spec: TensorSpec) -> Array:
    """A tensor as LiteRT accepts it."""
    if spec.quantization is None:
        return tensor
    if np.isnan(tensor).any():
        raise PredictionError(f"{spec.name} is quantized and cannot represent NaN")
    return spec.quantization.stored(tensor)
