"""An S3 in memory as boto3's client, for code that is not the function."""

import io
from typing import Any, BinaryIO

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from inference.s3 import RefusedError
from unit.functions.fake_s3 import FakeS3


def client_error(status: int, code: str, message: str = "refused") -> ClientError:
    """What boto3 raises when a service refuses."""
    said: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "Operation")


class BotoClient:
    """boto3's client of S3, as far as `modelctl` and weights_sync use it."""

    def __init__(self, fake: FakeS3) -> None:
        self._fake = fake

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        """The parameters are S3's."""
        try:
            stored = self._fake.find(Bucket, Key)
        except RefusedError as error:
            raise client_error(error.status, error.code, error.message) from error
        return {"Body": StreamingBody(io.BytesIO(stored.body), stored.size), "ContentLength": stored.size}

    # What is not read of an answer costs nothing here.
    head_object = get_object

    def put_object(self, *, Bucket: str, Key: str, Body: BinaryIO) -> dict[str, Any]:  # noqa: N803
        """The parameters are S3's."""
        stored = self._fake.upload(Bucket, Key, Body.read())
        return {"ETag": stored.etag, "VersionId": stored.version_id}
