"""Converts a Keras model or a SavedModel to a `.tflite` file, in a separate process, which TensorFlow may crash."""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelctl.errors import UserError
from modelctl.importing import inputs

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported

import tensorflow as tf

from inference import keras_files

#: How the converter names the ops that LiteRT lacks. Flex ops are also missing, since their kernels are not in the
#: layer.
_LACKING = re.compile(r"'tf\.(\w+)' op|(?:Flex|Custom|TF Select) ops: ([\w, ]+)")


def convert(source: Path, signature: str, quantize: str, representative: Path, target: Path) -> None:
    """Write the model as `target`, with the same signature.

    Args:
        source: the folder of a SavedModel, or a Keras file.
        signature: the one signature that is converted.
        quantize: none, float16 (weights of 16 bits) or int8 (weights and, where LiteRT can, the values between layers;
            the model's inputs and outputs keep their types).
        representative: inputs that `inputs.save` wrote, from which int8 learns the ranges of numbers.
        target: the `.tflite` file.

    Raises:
        UserError: LiteRT cannot run one of the model's ops, or the converter failed otherwise.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = source if source.is_dir() else _export(source, Path(scratch))
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[signature])
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantize == "int8":
            ops = tf.lite.OpsSet
            converter.target_spec.supported_ops = [ops.TFLITE_BUILTINS_INT8, ops.TFLITE_BUILTINS]
            converter.representative_dataset = lambda: _representative(representative, signature)
        try:
            target.write_bytes(converter.convert())
        except Exception as problem:  # the converter raises many types
            raise UserError(_says(str(problem))) from problem


def _export(file: Path, folder: Path) -> Path:
    """Export a Keras file as a SavedModel for a batch of one.

    LiteRT is called with one row at a time anyway. With a batch of any length, the converter refuses layers that loop
    over a sequence, such as LSTM and GRU.
    """
    model = keras_files.read(file)
    model.export(folder, {name: _one_row(spec) for name, spec in model.signature.items()})
    return folder


def _one_row(spec: Any) -> Any:
    first = 1 if spec.shape[0] is None else spec.shape[0]
    return tf.TensorSpec((first, *spec.shape[1:]), spec.dtype, name=spec.name)


def _representative(file: Path, signature: str) -> Iterator[Any]:
    for tensors in inputs.load(file):
        yield signature, tensors


def _says(problem: str) -> str:
    found = {name for match in _LACKING.findall(problem) for group in match for name in re.findall(r"\w+", group)}
    if not found:
        first = next(iter(problem.strip().splitlines()), "no reason given")
        return f"TensorFlow's converter failed: {first[:300]}; `--runtime tensorflow` serves the model as it is"
    names = ", ".join(sorted(found))
    return (
        f"LiteRT cannot run {'the op' if len(found) == 1 else 'the ops'} {names}: import the model with "
        "`--runtime tensorflow`, which runs every op"
    )
