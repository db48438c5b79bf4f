"""What results say before their predictions: their input, their model, and what went wrong."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from inference.events import UploadedObject
from inference.keys import result_key
from inference.result_documents import HEAD_BYTES, read_head
from modelctl.deployed.deployment import Deployment, Model
from modelctl.deployed.results import NOT_THERE


@dataclass(frozen=True)
class ResultHead:
    """A result without its predictions."""

    #: The input that it belongs to; None if the object is not a result document.
    uploaded: UploadedObject | None
    written: datetime
    etag: str
    version: str | None = None
    digest: str | None = None
    #: Whether its input's last attempt is still under way, or failed; an answer replaces such a result.
    provisional: bool = False
    #: `type` and `message` of the error, if it has one instead of predictions.
    error: dict[str, str] | None = None

    def is_of(self, version_id: str | None, etag: str | None) -> bool:
        """Whether it belongs to this version of its input; for an object without a version, the ETag decides."""
        if self.uploaded is None:
            return False
        if version_id or self.uploaded.version_id:
            return self.uploaded.version_id == version_id
        return self.uploaded.etag == etag


def read(deployed: Deployment, model: Model, key: str) -> ResultHead | None:
    """The head of the result of an input's key; None if there is none."""
    name = result_key(model.name, key)
    try:
        answer = deployed.s3.get_object(Bucket=deployed.results, Key=name, Range=f"bytes=0-{HEAD_BYTES - 1}")
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
    if (found := read_head(head)) is None:
        return {"uploaded": None}
    document, uploaded = found
    error = document.get("error")
    try:
        return {
            "uploaded": uploaded,
            "version": str(document["version"]),
            "digest": str(document["digest"]),
            "provisional": document.get("provisional") is True,
            "error": {name: str(error[name]) for name in ("type", "message")} if error else None,
        }
    except (KeyError, TypeError):
        return {"uploaded": None}
