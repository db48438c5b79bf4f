"""A direct call of a SavedModel as TensorFlow's own guide loads it."""

import os

import tensorflow as tf

model = tf.saved_model.load(os.environ["MODEL"])
predict = model.signatures["serving_default"]


def handler(event, context):
    """`{"instances": [scan]}` to `{"predictions": [scores]}`."""
    scan = tf.constant(event["instances"], tf.float32)
    return {"predictions": predict(scan=scan)["output_0"].numpy().tolist()}
