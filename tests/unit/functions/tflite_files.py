"""Small `.tflite` files: what TensorFlow's converter makes of a function, and changes that it would not make."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema


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


def changed(folder: Path, change: Callable[[Any], Any]) -> Path:
    """Change the model of a file in the form of FlatBuffers' object API; gives the folder."""
    model = schema.ModelT.InitFromPackedBuf((folder / "model.tflite").read_bytes())
    change(model)
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
