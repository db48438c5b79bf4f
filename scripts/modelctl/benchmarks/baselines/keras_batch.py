"""The same with one `model.predict()` for all objects of an event, each of which holds one instance."""

import json
import os
from urllib.parse import unquote_plus

import boto3
import numpy as np
import tensorflow as tf

s3 = boto3.client("s3")
model = tf.keras.models.load_model(os.environ["MODEL"])
bucket, folder = os.environ["RESULTS"].split("/")


def handler(event, context):
    """Messages with S3 notifications to results `<folder>/<key>.json`."""
    keys, instances = [], []
    for message in event["Records"]:
        for record in json.loads(message["body"])["Records"]:
            key = unquote_plus(record["s3"]["object"]["key"])
            body = s3.get_object(Bucket=record["s3"]["bucket"]["name"], Key=key)["Body"].read()
            keys.append(key)
            instances += json.loads(body)["instances"]
    for key, prediction in zip(keys, model.predict(np.array(instances, np.float32), verbose=0).tolist(), strict=True):
        result = json.dumps({"predictions": [prediction]})
        s3.put_object(Bucket=bucket, Key=f"{folder}/{key}.json", Body=result)
