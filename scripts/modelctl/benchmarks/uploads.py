"""Inputs and results of the benchmarked functions, in the S3 of a local stack that exists only for the benchmark.

It is accessed over TLS and enforces permissions, as on AWS; a request takes server and client together about 2 ms.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from modelctl.local.stack import LocalStack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_INPUTS, RESULTS = "benchmark-inputs", "benchmark-results"


class Uploads:
    """The two buckets.

    Attributes:
        access: the variables with which a function accesses this S3.
    """

    def __init__(self, access: Mapping[str, str]) -> None:
        self.access = access
        session = boto3.Session(access["AWS_ACCESS_KEY_ID"], access["AWS_SECRET_ACCESS_KEY"])
        self._client: S3Client = session.client(
            "s3",
            endpoint_url=access["AWS_ENDPOINT_URL"],
            region_name=access["AWS_REGION"],
            verify=access["AWS_CA_BUNDLE"],
        )
        for bucket in (_INPUTS, RESULTS):
            self._client.create_bucket(Bucket=bucket)

    def upload(self, key: str, body: bytes) -> dict[str, Any]:
        """Upload an input and return the queue message that announces it."""
        etag = self._client.put_object(Bucket=_INPUTS, Key=key, Body=body)["ETag"]
        entry = {"key": key, "size": len(body), "eTag": etag.strip('"'), "sequencer": "0055AED6DCD90281E5"}
        record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": _INPUTS}, "object": entry}}
        return {"messageId": key, "eventSource": "aws:sqs", "body": json.dumps({"Records": [record]})}

    def take_predictions(self) -> dict[str, Any]:
        """The predictions of all results by key; the results are deleted, since an input that has one is done."""
        predictions = {}
        for found in self._client.list_objects_v2(Bucket=RESULTS).get("Contents", []):
            body = self._client.get_object(Bucket=RESULTS, Key=found["Key"])["Body"].read()
            predictions[found["Key"]] = json.loads(body).get("predictions")
            self._client.delete_object(Bucket=RESULTS, Key=found["Key"])
        return predictions


@contextmanager
def served(folder: Path) -> Iterator[Uploads]:
    """Serve an S3 whose data are stored below `folder`."""
    stack = LocalStack(folder)
    stack.start()
    try:
        yield Uploads(stack.environment())
    finally:
        stack.stop()
