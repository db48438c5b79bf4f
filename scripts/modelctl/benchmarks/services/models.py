"""The model of a peer's service, loaded in the shortest way that its library offers."""

import os


def load():
    """A function from scans, float32, to scores."""
    path = os.environ["MODEL"]
    if path.endswith(".tflite"):
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(path).get_signature_runner()
        return lambda scan: runner(scan=scan)["output_0"]
    import tensorflow as tf

    model = tf.saved_model.load(path)
    predict = model.signatures["serving_default"]
    # The signature does not keep its model alive.
    return lambda scan, _model=model: predict(scan=tf.constant(scan))["output_0"].numpy()
