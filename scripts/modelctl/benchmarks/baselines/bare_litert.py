"""LiteRT and nothing around it."""

import os

from ai_edge_litert.interpreter import Interpreter

_runner = Interpreter(os.environ["MODEL"]).get_signature_runner()


def predict(tensors):
    """The output tensors by name for input tensors by name."""
    return _runner(**tensors)
