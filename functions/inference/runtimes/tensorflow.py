"""TensorFlow: SavedModels, `.keras` and HDF5 files, every op exactly as trained.

A larger call costs TensorFlow less per row, so rows are run together.
"""

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inference import runtimes
from inference.errors import ModelError, PredictionError
from inference.runtimes import Array, TensorSpec

# TensorFlow reads both while it loads; the registry's `env` may set them otherwise. Without the first it logs a dozen
# lines about its build in every new environment.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(runtimes.threads()))

import tensorflow as tf

#: Bytes of inputs and outputs: from there on a call's own cost no longer counts, and a convolution's activations, some
#: twenty times as large, stay within the memory.
BYTES_PER_CALL = 8 * 2**20

#: What is raised for values that fit the signature and that an op refuses. Whatever else an op raises (out of memory,
#: no kernel for it, an internal error) would be raised for other values too.
_REFUSED = (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError, ValueError, TypeError)


class TensorFlowModel:
    """One function of a model, traced once."""

    bytes_per_call = BYTES_PER_CALL

    def __init__(
        self,
        function: Callable[..., Mapping[str, Any]],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        self._function = function
        self.inputs = inputs
        self.outputs = outputs

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Run the signature once."""
        try:
            arguments = {spec.name: tf.constant(tensors[spec.name], tf.as_dtype(spec.dtype)) for spec in self.inputs}
            outputs = self._function(**arguments)
        except _REFUSED as error:
            raise PredictionError(f"the model failed on these values: {error}") from error
        except (tf.errors.OpError, MemoryError) as error:
            raise ModelError(f"TensorFlow cannot run the model: {type(error).__name__}: {error}") from error
        return {name: np.asarray(tensor) for name, tensor in outputs.items()}


def load(file: Path, signature: str) -> TensorFlowModel:
    """Load a Keras file, which has one signature, or the SavedModel that a `saved_model.pb` is part of.

    Raises:
        ModelError: there is no such signature, or TensorFlow cannot load it.
    """
    return _load_saved_model(file.parent, signature) if file.suffix == ".pb" else _load_keras(file)


def _load_saved_model(artifact: Path, signature: str) -> TensorFlowModel:
    try:
        loaded = tf.saved_model.load(str(artifact))
    except Exception as error:
        raise ModelError(f"TensorFlow cannot load the SavedModel in {artifact}: {error}") from error
    function = loaded.signatures.get(signature)
    if function is None:
        names = ", ".join(sorted(loaded.signatures)) or "none"
        raise ModelError(f"the SavedModel has no signature {signature!r}; it has: {names}")
    _, inputs = function.structured_input_signature

    def call(**tensors: Any) -> Mapping[str, Any]:
        # The function holds its variables only weakly: naming the loaded object here keeps them.
        _ = loaded
        outputs: Mapping[str, Any] = function(**tensors)
        return outputs

    return TensorFlowModel(call, _specs(inputs), _specs(function.structured_outputs))


def _load_keras(path: Path) -> TensorFlowModel:
    """Load a Keras file, without running code from it (`safe_mode`); it has one signature, its call.

    Inputs and outputs are named as `model.export` names them, so a file and its SavedModel answer alike.
    """
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ModelError(f"Keras cannot load {path.name}: it is no zip, so it is cut off or of another format")
    try:
        model = tf.keras.models.load_model(str(path), compile=False, safe_mode=True)
    except Exception as error:
        if "Lambda" in str(error):
            raise ModelError(
                f"{path.name} holds Python code (a Lambda layer), which is not run; publish its SavedModel instead "
                "(model.export)"
            ) from error
        raise ModelError(f"Keras cannot load {path.name}: {error}") from error
    if not getattr(model, "inputs", None):
        raise ModelError(f"{path.name} does not say the shapes of its inputs: publish its SavedModel (model.export)")
    structure = model.inputs[0] if len(model.inputs) == 1 else model.input
    signature = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name) for tensor in model.inputs}

    def call(**tensors: Any) -> Mapping[str, Any]:
        arguments = tf.nest.pack_sequence_as(structure, [tensors[tensor.name] for tensor in model.inputs])
        outputs = model(arguments, training=False)
        if isinstance(outputs, dict) and not any(map(tf.nest.is_nested, outputs.values())):
            return outputs
        return {f"output_{index}": tensor for index, tensor in enumerate(tf.nest.flatten(outputs))}

    function = tf.function(call, autograph=False).get_concrete_function(**signature)
    return TensorFlowModel(function, _specs(signature), _specs(function.structured_outputs))


def _specs(signature: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name,
            None if spec.shape.rank is None else tuple(spec.shape.as_list()),
            np.dtype(spec.dtype.as_numpy_dtype),
        )
        for name, spec in signature.items()
    )
