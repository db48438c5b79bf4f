"""S3 in memory: versions, ETags and conditional writes as the functions rely on them; real S3 comes in tests/e2e."""

import hashlib
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

INPUTS, RESULTS = "inputs", "results"


def refusal(status: int, code: str, message: str = "refused", **details: str) -> ClientError:
    """What the client raises when S3 refuses; `details` are what else its answer says."""
    error = {"Code": code, "Message": message, **details}
    response: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Operation")


def denied(action: str, by: str = "because no identity-based policy allows the {action} action") -> str:
    """S3's message where policies do not allow an action; `by` says which.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
    """
    return (
        f"User: arn:aws:sts::000000000000:assumed-role/digits/digits is not authorized to perform: {action} "
        f'on resource: "arn:aws:s3:::bucket" {by.format(action=action)}'
    )


@dataclass(frozen=True)
class Stored:
    """One version of an object."""

    version_id: str
    body: bytes
    content_type: str = "binary/octet-stream"
    content_encoding: str | None = None

    @property
    def etag(self) -> str:
        """In quotes, as S3 answers it."""
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.body)

    def stream(self) -> StreamingBody:
        """Its bytes, as the client answers them."""
        return StreamingBody(io.BytesIO(self.body), self.size)


@dataclass
class FakeS3:
    """Buckets of versioned objects; a missing key is a 403, as it is on AWS without s3:ListBucket."""

    objects: dict[tuple[str, str], list[Stored]] = field(default_factory=dict)
    #: Called before each write with its bucket and key; may write as somebody else would, or raise.
    before_put: Callable[[str, str], None] = lambda bucket, key: None
    #: Called before each read with its bucket and key; may raise.
    before_get: Callable[[str, str], None] = lambda bucket, key: None
    gets: list[tuple[str, str]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _versions: int = 0

    def upload(
        self,
        bucket: str,
        key: str,
        body: bytes,
        content_type: str = "binary/octet-stream",
        content_encoding: str | None = None,
    ) -> Stored:
        """Store a new version, unconditionally."""
        with self._lock:
            self._versions += 1
            stored = Stored(f"v{self._versions}", body, content_type, content_encoding)
            self.objects.setdefault((bucket, key), []).append(stored)
            return stored

    def current(self, bucket: str, key: str) -> Stored | None:
        """The newest version."""
        versions = self.objects.get((bucket, key))
        return versions[-1] if versions else None

    def get_object(self, *, Bucket: str, Key: str, VersionId: str | None = None, IfMatch: str | None = None) -> Any:  # noqa: N803
        """The parameters are S3's."""
        self.gets.append((Bucket, Key))
        self.before_get(Bucket, Key)
        with self._lock:
            versions = self.objects.get((Bucket, Key), [])
            found = [stored for stored in versions if VersionId in (None, stored.version_id)]
        if not found:
            raise refusal(403, "AccessDenied", denied(f"s3:ListBucket{'' if VersionId is None else 'Versions'}"))
        if IfMatch not in (None, found[-1].etag):
            raise refusal(412, "PreconditionFailed")
        stored = found[-1]
        return {
            "Body": stored.stream(),
            "ContentLength": stored.size,
            "ETag": stored.etag,
            "VersionId": stored.version_id,
            **({"ContentEncoding": stored.content_encoding} if stored.content_encoding else {}),
        }

    def head_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        """The parameters are S3's."""
        found = self.get_object(Bucket=Bucket, Key=Key)
        return {name: value for name, value in found.items() if name != "Body"}

    def put_object(
        self,
        *,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Body: bytes,  # noqa: N803
        ContentType: str,  # noqa: N803
        IfNoneMatch: str | None = None,  # noqa: N803
        IfMatch: str | None = None,  # noqa: N803
    ) -> Any:
        """The parameters are S3's."""
        self.before_put(Bucket, Key)
        with self._lock:
            current = self.current(Bucket, Key)
            if IfNoneMatch == "*" and current is not None:
                raise refusal(412, "PreconditionFailed")
            if IfMatch is not None and current is None:
                raise refusal(404, "NoSuchKey")
            if IfMatch is not None and current is not None and IfMatch != current.etag:
                raise refusal(412, "PreconditionFailed")
            return {"ETag": self.upload(Bucket, Key, Body, ContentType).etag}
