"""The classic handler for uploads: it imports TensorFlow, loads the SavedModel, and predicts each object by itself."""

import json
import os
from urllib.parse import unquote_plus

import boto3
import tensorflow as tf

s3 = boto3.client("s3")
model = tf.saved_model.load(os.environ["MODEL"])
predict = model.signatures["serving_default"]
bucket, folder = os.environ["RESULTS"].split("/")


def handler(event, context):
    """Messages with S3 notifications to results `<folder>/<key>.json`."""
    for message in event["Records"]:
        for record in json.loads(message["body"])["Records"]:
            key = unquote_plus(record["s3"]["object"]["key"])
            body = s3.get_object(Bucket=record["s3"]["bucket"]["name"], Key=key)["Body"].read()
            scan = tf.constant(json.loads(body)["instances"], tf.float32)
            result = json.dumps({"predictions": predict(scan=scan)["output_0"].numpy().tolist()})
            s3.put_object(Bucket=bucket, Key=f"{folder}/{key}.json", Body=result)
