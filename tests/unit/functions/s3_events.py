"""The bodies of queue messages as S3 and EventBridge write them; fields that do not matter are AWS's own examples."""

import json
from typing import Any


def notification(key: str, event_name: str = "ObjectCreated:Put", **entry: Any) -> str:
    """An S3 notification of one object; `key` is URL-encoded, as S3 does it."""
    s3_object = {"key": key, "size": 312, "eTag": "d41d8cd9", "versionId": "v1", "sequencer": "0A1B2C3D4E5F678901"}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": event_name,
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "digits",
            "bucket": {"name": "inputs", "arn": "arn:aws:s3:::inputs"},
            "object": s3_object | entry,
        },
    }
    return json.dumps({"Records": [record]})


def eventbridge(key: str, detail_type: str = "Object Created", **entry: Any) -> str:
    """An S3 event as EventBridge delivers it."""
    s3_object = {"key": key, "size": 5, "etag": "b1946ac9", "version-id": "v2", "sequencer": "00617F08299329D189"}
    return json.dumps(
        {
            "version": "0",
            "detail-type": detail_type,
            "source": "aws.s3",
            "time": "2021-11-12T00:00:00Z",
            "region": "us-east-1",
            "resources": ["arn:aws:s3:::inputs"],
            "detail": {
                "version": "0",
                "bucket": {"name": "inputs"},
                "object": s3_object | entry,
                "request-id": "N4N7GDK58NMKJ12R",
                "reason": "PutObject",
            },
        }
    )
