"""ONNX Runtime and nothing around it, on one thread as it is in a function of that memory size."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_session = onnxruntime.InferenceSession(os.environ["MODEL"], _options)
_names = [output.name for output in _session.get_outputs()]


def predict(tensors):
    """The output tensors by name for input tensors by name."""
    return dict(zip(_names, _session.run(_names, tensors), strict=True))
