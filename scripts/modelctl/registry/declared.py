"""What model files say about inputs and outputs, read without a runtime: so labels are checked before an apply.

Terraform cannot read these files. Keras files do not say it, and others may leave a shape open.
"""

import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as litert

from inference import config as configuration
from inference.config import Config
from inference.errors import ModelError
from inference.predictions import check_labels
from inference.protobuf import Message
from inference.rows import rows_of
from inference.runtimes import Specs, TensorSpec
from modelctl.runtimes import SAVED_MODEL

#: The inputs and the outputs of a signature.
Signature = tuple[Specs, Specs]

#: numpy's names of the types of tensors in onnx.proto, TensorProto.DataType.
_ONNX_TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "object",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
}  # fmt: skip

#: The same of LiteRT's.
_LITERT_TYPES = {
    litert.TensorType.STRING: "object",
    **{getattr(litert.TensorType, name.upper()): name for name in _ONNX_TYPES.values() if name != "object"},
}

#: The same of TensorFlow's types.proto, DataType.
_TENSORFLOW_TYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "object", 9: "int64",
    10: "bool", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip


def label_problems(
    variables: Mapping[str, Mapping[str, str]], files: Mapping[str, Sequence[str]], labels: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """A problem, as the Terraform module gives them, per model whose labels cannot belong to its output.

    Args:
        variables: by model, the environment of its function.
        files: by model, the one file that its runtime would load.
        labels: by model, its labels with a line feed between two, if it has some.
    """
    for name, text in labels.items():
        config = configuration.read({**variables[name], "MODELYARD_RESULTS": ""})
        if found := signature(Path(files[name][0]), config):
            inputs, outputs = found
            try:
                check_labels(tuple(text.split("\n")), outputs, config.output, rows_of(inputs, config.input.batch.rows))
            except ModelError as error:
                field, _, message = str(error).partition(" ")
                path = f"models.{name}.{field}"
                yield {"path": path, "at": path, "message": message}


def signature(file: Path, config: Config) -> Signature | None:
    """The signature by which a model is called, as far as its file says; None if it does not, or cannot be read.

    Errors in a file are reported by the function when it loads the file.
    """
    read = {".tflite": _of_litert, ".onnx": _of_onnx, SAVED_MODEL: _of_saved_model}
    kind = file.name if file.name == SAVED_MODEL else file.suffix
    if kind not in read:
        return None
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = read[kind](data, config.signature)
    except Exception:  # bytes that are not a model can raise anything
        return None
    if found is None or kind == SAVED_MODEL:
        return found
    inputs, outputs = found
    # Other runtimes do not distinguish an output that is a single value from one of unknown shape.
    return inputs, tuple(replace(spec, shape=spec.shape or None) for spec in outputs)


def _of_litert(data: mmap.mmap, name: str) -> Signature | None:
    if not litert.Model.ModelBufferHasIdentifier(data, 0):
        return None
    model = litert.Model.GetRootAs(data, 0)
    definitions = [model.SignatureDefs(index) for index in range(model.SignatureDefsLength())]
    if not definitions:
        graph = model.Subgraphs(0)
        inputs = [graph.Tensors(graph.Inputs(index)) for index in range(graph.InputsLength())]
        outputs = [graph.Tensors(graph.Outputs(index)) for index in range(graph.OutputsLength())]
        return tuple(map(_litert_spec, inputs)), tuple(map(_litert_spec, outputs))
    for found in definitions:
        if found.SignatureKey() == name.encode():
            graph = model.Subgraphs(found.SubgraphIndex())
            inputs = [found.Inputs(index) for index in range(found.InputsLength())]
            outputs = [found.Outputs(index) for index in range(found.OutputsLength())]
            given, taken = (
                tuple(_litert_spec(graph.Tensors(entry.TensorIndex()), entry.Name()) for entry in entries)
                for entries in (inputs, outputs)
            )
            return given, taken
    return None


def _litert_spec(tensor: Any, name: bytes | None = None) -> TensorSpec:
    """The spec of a tensor, under the name that a signature gives it."""
    if tensor.ShapeSignatureIsNone():
        shape = [tensor.Shape(index) for index in range(tensor.ShapeLength())]
    else:
        shape = [tensor.ShapeSignature(index) for index in range(tensor.ShapeSignatureLength())]
    is_quantized = tensor.Quantization() and tensor.Quantization().ScaleLength()
    dtype = "float32" if is_quantized else _LITERT_TYPES[tensor.Type()]
    return _spec((name or tensor.Name()).decode(), shape, dtype)


def _of_onnx(data: mmap.mmap, _: str) -> Signature | None:
    """By onnx.proto: ModelProto.graph is 7, and in it initializer 5, input 11 and output 12."""

    def spec(value: Message) -> TensorSpec:
        (tensor,) = value.messages(2, 1)
        lengths = [dimension.number(1) for dimension in tensor.messages(2, 1)]
        return _spec(value.text(1), lengths if any(tensor.messages(2)) else None, _ONNX_TYPES[tensor.number(1)])

    (graph,) = Message(data, 0, len(data)).messages(7)
    # Older files list their weights among the inputs.
    weights = {weight.text(8) for weight in graph.messages(5)}
    inputs = [value for value in graph.messages(11) if value.text(1) not in weights]
    return tuple(map(spec, inputs)), tuple(map(spec, graph.messages(12)))


def _of_saved_model(data: mmap.mmap, name: str) -> Signature | None:
    """By saved_model.proto and meta_graph.proto: SavedModel.meta_graphs is 2, in it tags 1, 4 and signature_def 5."""

    def spec(entry: Message) -> TensorSpec:
        (info,) = entry.messages(2)
        (shape,) = info.messages(3)
        lengths = None if shape.number(3) else [dimension.number(1) for dimension in shape.messages(2)]
        return _spec(entry.text(1), lengths, _TENSORFLOW_TYPES[info.number(2)])

    graphs = Message(data, 0, len(data)).messages(2)
    served = [graph for graph in graphs if [str(tag) for tag in graph.messages(1, 4)] == ["serve"]]
    found = [entry for graph in served for entry in graph.messages(5) if entry.text(1) == name]
    if len(found) != 1:
        return None
    (definition,) = found[0].messages(2)
    return tuple(map(spec, definition.messages(1))), tuple(map(spec, definition.messages(2)))


def _spec(name: str, lengths: Iterable[int] | None, dtype: str) -> TensorSpec:
    """A spec, in which a dimension that has no length or a negative one is open."""
    shape = None if lengths is None else tuple(length if length > 0 else None for length in lengths)
    return TensorSpec(name, shape, np.dtype(dtype))
