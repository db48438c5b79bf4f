"""LiteRT: `.tflite` models, from the process's start to the first prediction in a fraction of TensorFlow's time.

Rows are run one at a time: on the few threads of a function a larger call costs LiteRT as much per row, and a shape
that never changes is never planned anew.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from inference import runtimes
from inference.errors import ModelError, PredictionError
from inference.runtimes import Array, TensorSpec

Details = Mapping[str, Any]


class LiteRtModel:
    """One signature of a `.tflite` file; a quantized tensor is given and taken as the real numbers it stands for."""

    bytes_per_call = 0

    def __init__(
        self,
        call: Callable[..., dict[str, Array]],
        inputs: Mapping[str, Details],
        outputs: Mapping[str, Details],
    ) -> None:
        self._call = call
        self._inputs = inputs
        self._outputs = outputs
        self.inputs = tuple(_spec(name, details) for name, details in inputs.items())
        self.outputs = tuple(_spec(name, details) for name, details in outputs.items())

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Run the signature once, on tensors of the shapes of `inputs`."""
        quantized = {name: _quantize(tensors[name], details) for name, details in self._inputs.items()}
        try:
            outputs = self._call(**quantized)
        except (MemoryError, RuntimeError, ValueError) as error:
            if runtimes.is_out_of_memory(error):
                raise ModelError(f"LiteRT ran out of memory: {error}") from error
            raise PredictionError(f"the model failed on these values: {error}") from error
        return {name: _dequantize(outputs[name], details) for name, details in self._outputs.items()}


def load(file: Path, signature: str) -> LiteRtModel:
    """Load a `.tflite` file, by its signature or, where the file has none, by its tensors.

    Raises:
        ModelError: there is no such signature, or LiteRT cannot run it.
    """
    try:
        interpreter = Interpreter(model_path=str(file), num_threads=runtimes.threads())
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"LiteRT cannot load {file.name}: {error}") from error
    signatures = interpreter.get_signature_list()
    if signature in signatures:
        runner = interpreter.get_signature_runner(signature)
        return LiteRtModel(runner, runner.get_input_details(), runner.get_output_details())
    if signatures:
        raise ModelError(f"{file.name} has no signature {signature!r}; it has {', '.join(sorted(signatures))}")
    runtimes.check_default_signature(file, signature)
    return _without_signature(interpreter)


def _without_signature(interpreter: Any) -> LiteRtModel:
    inputs = {details["name"]: details for details in interpreter.get_input_details()}
    outputs = {details["name"]: details for details in interpreter.get_output_details()}

    def call(**tensors: Array) -> dict[str, Array]:
        for name, tensor in tensors.items():
            interpreter.resize_tensor_input(inputs[name]["index"], tensor.shape)
        interpreter.allocate_tensors()
        for name, tensor in tensors.items():
            interpreter.set_tensor(inputs[name]["index"], tensor)
        interpreter.invoke()
        return {name: interpreter.get_tensor(details["index"]) for name, details in outputs.items()}

    return LiteRtModel(call, inputs, outputs)


def _spec(name: str, details: Details) -> TensorSpec:
    shape = tuple(None if length < 0 else int(length) for length in details["shape_signature"])
    if _quantization(details):
        return TensorSpec(name, shape, np.dtype(np.float32))
    dtype = np.dtype(details["dtype"])
    return TensorSpec(name, shape, np.dtype(object) if dtype.kind in "SU" else dtype)


def _quantization(details: Details) -> tuple[float, int] | None:
    """Scale and zero point of a quantized tensor: real = (stored - zero point) * scale."""
    scale, zero_point = details["quantization"]
    return (float(scale), int(zero_point)) if scale and np.dtype(details["dtype"]).kind in "iu" else None


def _quantize(tensor: Array, details: Details) -> Array:
    quantization = _quantization(details)
    if quantization is None:
        return tensor
    scale, zero_point = quantization
    if np.isnan(tensor).any():
        raise PredictionError(f"{details['name']} is quantized, and has no number for NaN")
    limits = np.iinfo(details["dtype"])
    stored = np.clip(np.rint(tensor / scale) + zero_point, limits.min, limits.max)
    quantized: Array = stored.astype(details["dtype"])
    return quantized


def _dequantize(tensor: Array, details: Details) -> Array:
    quantization = _quantization(details)
    if quantization is None:
        return tensor
    scale, zero_point = quantization
    return ((tensor.astype(np.float32) - zero_point) * scale).astype(np.float32)
