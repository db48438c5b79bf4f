"""What results say before their predictions: of which input they are, by which model, and what went wrong."""

import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from inference.events import UploadedObject
from inference.keys import result_key
from modelctl.deployed.deployment import Deployment, Model
from modelctl.deployed.results import NOT_THERE

#: What is read of a result: the key of its input, all of it escaped, takes 6 KB of it, and an error less than 1 KB.
_HEAD_BYTES = 16 * 2**10


@dataclass(frozen=True)
class ResultHead:
    """A result without its predictions."""

    #: The input that it is of; None if the object is not a result document.
    uploaded: UploadedObject | None
    written: datetime
    etag: str
    version: str | None = None
    digest: str | None = None
    #: Whether its input's last attempt had not ended, or failed; such a result is replaced by an answer.
    provisional: bool = False
    #: `type` and `message` of what it has in the place of predictions.
    error: dict[str, str] | None = None

    def is_of(self, version_id: str | None, etag: str | None) -> bool:
        """Whether it is of this version of its input; of an object without a version, the ETag decides."""
        if self.uploaded is None:
            return False
        if version_id or self.uploaded.version_id:
            return self.uploaded.version_id == version_id
        return self.uploaded.etag == etag


def read(deployed: Deployment, model: Model, key: str) -> ResultHead | None:
    """The head of the result of an input's key; None if there is none."""
    name = result_key(model.name, key)
    try:
        answer = deployed.s3.get_object(Bucket=deployed.results, Key=name, Range=f"bytes=0-{_HEAD_BYTES - 1}")
    except ClientError as problem:
        code = problem.response["Error"]["Code"]
        if code in NOT_THERE:
            return None
        if code != "InvalidRange":
            raise
        # An empty object, which no function wrote.
        found = deployed.s3.head_object(Bucket=deployed.results, Key=name)
        return ResultHead(None, found["LastModified"], found["ETag"])
    head = answer["Body"].read()
    return ResultHead(written=answer["LastModified"], etag=answer["ETag"], **_said(head))


def _said(head: bytes) -> dict[str, Any]:
    # What follows may be megabytes, and cut off. In a string these quotes would be escaped.
    identity, found, _ = head.partition(b', "predictions": ')
    try:
        document = json.loads(identity + b"}" if found else head)
        source = document["input"]
        uploaded = UploadedObject(**{field.name: source.get(field.name) for field in fields(UploadedObject)})
        error = document.get("error")
        return {
            "uploaded": uploaded,
            "version": str(document["version"]),
            "digest": str(document["digest"]),
            "provisional": document.get("provisional") is True,
            "error": {name: str(error[name]) for name in ("type", "message")} if error else None,
        }
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return {"uploaded": None}
