"""Small `.tflite` files: what TensorFlow's converter makes of a function, and changes that it would not make."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter


def converted(folder: Path, *, custom: bool = False, flex: bool = False, **signatures: Any) -> Path:
    """A file of functions by the name of their signature, which may have ops that LiteRT lacks; gives the folder.

    Args:
        folder: where to write `model.tflite`.
        custom: whether ops that LiteRT lacks are kept as custom ops.
        flex: whether they are kept as TensorFlow's.
        signatures: `tf.function`s with an input signature.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as saved:
        tf.saved_model.save(tf.Module(), saved, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved, list(signatures))
        converter.allow_custom_ops = custom
        if flex:
            ops = tf.lite.OpsSet
            converter.target_spec.supported_ops = [ops.TFLITE_BUILTINS, ops.SELECT_TF_OPS]
        (folder / "model.tflite").write_bytes(converter.convert())
    return folder


def dequantizing(folder: Path, dtype: str, shape: Sequence[int], scale: float, zero_point: int) -> Path:
    """A file without signatures that gives the numbers that its quantized input `x` stands for; gives the folder."""
    model, graph, op = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    code, quantization = schema.OperatorCodeT(), schema.QuantizationParametersT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 2
    quantization.scale, quantization.zeroPoint = [scale], [zero_point]
    graph.tensors = [schema.TensorT(), schema.TensorT()]
    for tensor, name, kind in zip(graph.tensors, ("x", "y"), (dtype.upper(), "FLOAT32"), strict=True):
        tensor.name, tensor.shape, tensor.type = name, list(shape), getattr(schema.TensorType, kind)
        tensor.buffer = 0
    graph.tensors[0].quantization = quantization
    op.inputs, op.outputs = [0], [1]
    graph.inputs, graph.outputs, graph.operators = [0], [1], [op]
    model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [graph], [code], [schema.BufferT()]
    return _written(folder, model)


def bare_answer(folder: Path, stored: Any) -> Any:
    """What LiteRT's interpreter gives of a file's only input, as it is stored, for its only output."""
    interpreter = Interpreter(str(folder / "model.tflite"))
    interpreter.allocate_tensors()
    (given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(given["index"], np.asarray(stored, given["dtype"]).reshape(given["shape"]))
    interpreter.invoke()
    return interpreter.get_tensor(taken["index"])


def changed(folder: Path, change: Callable[[Any], Any]) -> Path:
    """Change the model of a file in the form of FlatBuffers' object API; gives the folder."""
    model = schema.ModelT.InitFromPackedBuf((folder / "model.tflite").read_bytes())
    change(model)
    return _written(folder, model)


def _written(folder: Path, model: Any) -> Path:
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    (folder / "model.tflite").write_bytes(builder.Output())
    return folder


def tensor(model: Any, end: str) -> Any:
    """The first of a model's `inputs` or `outputs`."""
    graph = model.subgraphs[0]
    return graph.tensors[getattr(graph, end)[0]]


def of_type(name: str, end: str) -> Callable[[Any], None]:
    """Makes the first input or output one of this type."""

    def change(model: Any) -> None:
        tensor(model, end).type = getattr(schema.TensorType, name)

    return change


def all_of_type(name: str) -> Callable[[Any], None]:
    """Makes all tensors of float32 ones of this type."""

    def change(model: Any) -> None:
        for found in model.subgraphs[0].tensors:
            if found.type == schema.TensorType.FLOAT32:
                found.type = getattr(schema.TensorType, name)

    return change


def by_channel(model: Any) -> None:
    """Quantizes the first output with a scale for each of its two columns."""
    found = tensor(model, "outputs")
    found.type = schema.TensorType.INT8
    found.quantization = schema.QuantizationParametersT()
    found.quantization.scale, found.quantization.zeroPoint = [0.5, 0.25], [0, 0]
    found.quantization.quantizedDimension = 1


def input_shape(*shape: int) -> Callable[[Any], None]:
    """Gives the first input another shape, and leaves all else as it is."""

    def change(model: Any) -> None:
        tensor(model, "inputs").shape = list(shape)

    return change


def without_signature(model: Any) -> None:
    """Takes away the names of the signatures, as older converters do not write them."""
    model.signatureDefs = None
