"""The shortest handler that serves uploads with a LiteRT model: no check, no retry, no condition on the write."""

import json
import os
from urllib.parse import unquote_plus

import boto3
import numpy as np
from ai_edge_litert.interpreter import Interpreter

s3 = boto3.client("s3")
predict = Interpreter(os.environ["MODEL"]).get_signature_runner()
bucket, folder = os.environ["RESULTS"].split("/")


def handler(event, context):
    """Messages with S3 notifications to results `<folder>/<key>.json`."""
    for message in event["Records"]:
        for record in json.loads(message["body"])["Records"]:
            key = unquote_plus(record["s3"]["object"]["key"])
            body = s3.get_object(Bucket=record["s3"]["bucket"]["name"], Key=key)["Body"].read()
            scan = np.array(json.loads(body)["instances"], np.float32)
            result = json.dumps({"predictions": predict(scan=scan)["output_0"].tolist()})
            s3.put_object(Bucket=bucket, Key=f"{folder}/{key}.json", Body=result)
