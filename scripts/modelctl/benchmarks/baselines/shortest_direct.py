"""The shortest handler that answers a direct call of a LiteRT model."""

import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter

predict = Interpreter(os.environ["MODEL"]).get_signature_runner()


def handler(event, context):
    """`{"instances": [scan]}` to `{"predictions": [scores]}`."""
    scan = np.array(event["instances"], np.float32)
    return {"predictions": predict(scan=scan)["output_0"].tolist()}
