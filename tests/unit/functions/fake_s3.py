"""S3 in memory: versions, ETags and conditional writes as the functions rely on them; real S3 comes in tests/e2e."""

import datetime
import hashlib
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from inference.s3 import Found, Read, RefusedError

INPUTS, RESULTS = "inputs", "results"


def refusal(status: int, code: str, message: str = "refused", **details: str) -> RefusedError:
    """What is raised when S3 refuses; `details` are what else its answer says."""
    return RefusedError(status, code, message, details)


def denied(action: str, by: str = "because no identity-based policy allows the {action} action") -> str:
    """S3's message where policies do not allow an action; `by` says which.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
    """
    return (
        f"User: arn:aws:sts::000000000000:assumed-role/digits/digits is not authorized to perform: {action} "
        f'on resource: "arn:aws:s3:::bucket" {by.format(action=action)}'
    )


class Stream(Protocol):
    """Bytes that are read."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many, or all."""


@dataclass(frozen=True)
class Stored:
    """One version of an object."""

    version_id: str
    body: bytes
    #: In whole seconds, as S3 keeps it.
    last_modified: datetime.datetime
    content_type: str = "binary/octet-stream"
    content_encoding: str | None = None
    #: What S3's event says of how it was written.
    reason: str = "PutObject"

    @property
    def etag(self) -> str:
        """In quotes, as S3 answers it; of a multipart upload of one part it is made of the part's."""
        digest = hashlib.md5(self.body, usedforsecurity=False)
        if self.reason == "PutObject":
            return f'"{digest.hexdigest()}"'
        return f'"{hashlib.md5(digest.digest(), usedforsecurity=False).hexdigest()}-1"'

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.body)

    def stream(self) -> Stream:
        """Its bytes."""
        return io.BytesIO(self.body)


@dataclass
class FakeS3:
    """Buckets of versioned objects; a missing key is a 403, as it is on AWS without s3:ListBucket."""

    objects: dict[tuple[str, str], list[Stored]] = field(default_factory=dict)
    #: The keys whose current version is a delete marker.
    deleted: set[tuple[str, str]] = field(default_factory=set)
    #: Called before each write with its bucket and key; may write as somebody else would, or raise.
    before_put: Callable[[str, str], None] = lambda bucket, key: None
    #: Called before each read with its bucket and key; may raise.
    before_get: Callable[[str, str], None] = lambda bucket, key: None
    #: Seconds since 1970; the clock does not advance unless a test says so.
    time: Callable[[], float] = lambda: 1_800_000_000
    gets: list[tuple[str, str]] = field(default_factory=list)
    #: How many bytes each of them read.
    taken: list[int] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _versions: int = 0

    def upload(
        self,
        bucket: str,
        key: str,
        body: bytes,
        content_type: str = "binary/octet-stream",
        content_encoding: str | None = None,
        reason: str = "PutObject",
    ) -> Stored:
        """Store a new version, unconditionally."""
        with self._lock:
            self._versions += 1
            last_modified = datetime.datetime.fromtimestamp(int(self.time()), datetime.UTC)
            stored = Stored(f"v{self._versions}", body, last_modified, content_type, content_encoding, reason)
            self.objects.setdefault((bucket, key), []).append(stored)
            self.deleted.discard((bucket, key))
            return stored

    def delete(self, bucket: str, key: str) -> None:
        """Put a delete marker over the versions of a key."""
        self.deleted.add((bucket, key))

    def current(self, bucket: str, key: str) -> Stored | None:
        """The newest version, unless it is a delete marker."""
        versions = self.objects.get((bucket, key))
        return versions[-1] if versions and (bucket, key) not in self.deleted else None

    def find(self, bucket: str, key: str, version_id: str | None = None, etag: str | None = None) -> Stored:
        """The object or version that a request asks for.

        Raises:
            RefusedError: there is none, or with another ETag.
        """
        self.gets.append((bucket, key))
        self.before_get(bucket, key)
        with self._lock:
            versions = self.objects.get((bucket, key), [])
            if version_id is None and (bucket, key) in self.deleted:
                versions = []
            found = [stored for stored in versions if version_id in (None, stored.version_id)]
        if not found:
            raise refusal(403, "AccessDenied", denied(f"s3:ListBucket{'' if version_id is None else 'Versions'}"))
        if etag not in (None, found[-1].etag):
            raise refusal(412, "PreconditionFailed")
        return found[-1]

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        replaces: str | None,
        content_type: str,
        reason: str = "PutObject",
    ) -> Stored:
        """Store a new version, if the condition holds (see `Objects.write`)."""
        self.before_put(bucket, key)
        with self._lock:
            current = self.current(bucket, key)
            if replaces is None and current is not None:
                raise refusal(412, "PreconditionFailed")
            if replaces is not None and current is None:
                raise refusal(404, "NoSuchKey")
            if replaces is not None and current is not None and replaces != current.etag:
                raise refusal(412, "PreconditionFailed")
            return self.upload(bucket, key, body, content_type, reason=reason)

    def read(self, wanted: Read) -> Found:
        """See `Objects`."""
        stored = self.find(wanted.bucket, wanted.key, wanted.version_id, wanted.etag)
        amount = stored.size if stored.size <= wanted.most else wanted.most if wanted.cut else 0
        self.taken.append(amount)
        body, encoding = stored.body[:amount], stored.content_encoding or ""
        return Found(body, stored.size, stored.etag, stored.version_id, stored.last_modified, encoding)

    def write(self, bucket: str, key: str, body: bytes, replaces: str | None) -> None:
        """See `Objects`."""
        self.put(bucket, key, body, replaces, "application/json")

    def write_unannounced(self, bucket: str, key: str, body: bytes, replaces: str | None) -> str:
        """See `Objects`."""
        return self.put(bucket, key, body, replaces, "application/json", "CompleteMultipartUpload").etag
