"""S3 as the function needs it: one read, one conditional write, and what its errors mean."""

import datetime
import enum
import functools
from collections.abc import Mapping
from typing import NamedTuple, Protocol

#: The number of fetches and writes that run at the same time.
PARALLEL = 16

#: The most seconds to connect, and to wait for a byte of the answer. S3 answers in milliseconds.
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 2, 10

#: Tries per request, including the first.
ATTEMPTS = 4


class Read(NamedTuple):
    """A read of an object. One of more than `most` bytes is not read and has an empty body, unless `cut` is set."""

    bucket: str
    key: str
    #: The most bytes to read.
    most: int
    #: The version to read; None: the current one.
    version_id: str | None = None
    #: The expected ETag, in quotes: any other content is refused.
    etag: str | None = None
    #: Read the first `most` bytes of a larger object.
    cut: bool = False


class Found(NamedTuple):
    """An object that was read."""

    #: Its bytes: all of them, unless the read asked for fewer.
    body: bytes
    #: The number of bytes that the object has.
    size: int
    #: In quotes, as S3 returns and accepts it.
    etag: str
    #: None in a bucket that never had versions.
    version_id: str | None
    #: In whole seconds. For an object that was uploaded in parts, this is when its upload began.
    last_modified: datetime.datetime
    #: Its `Content-Encoding`; empty if it has none.
    encoding: str = ""


class Objects(Protocol):
    """Reads and writes objects. Many threads use the same instance at the same time."""

    def read(self, wanted: Read) -> Found:
        """Read an object.

        Raises:
            RefusedError: S3 refused.
            UnansweredError: it did not answer, or the body broke off every time.
        """

    def write(self, bucket: str, key: str, body: bytes, replaces: str | None) -> None:
        """Write a JSON document.

        Args:
            bucket: its bucket.
            key: its key.
            body: the document.
            replaces: the ETag, in quotes, of the object that it may replace; None: there must be none.

        Raises:
            RefusedError: S3 refused, perhaps because another object exists. If an earlier answer was lost, the existing
                object may be this one.
            UnansweredError: it did not answer.
        """

    def write_unannounced(self, bucket: str, key: str, body: bytes, replaces: str | None) -> str:
        """Write a JSON document whose event has another `reason` than those of `write`, and return its ETag, in quotes.

        It is a multipart upload of one part, whose reason is CompleteMultipartUpload and not PutObject.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html. The condition is checked at the end
        (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html). If it does not hold, the
        part stays until the bucket's lifecycle rule removes abandoned uploads.

        Args and Raises: as `write`.
        """


class Refusal(enum.Enum):
    """The meaning of an error from S3."""

    #: The object or version does not exist.
    MISSING = enum.auto()
    #: It exists, but the request's condition does not hold, or another write is under way.
    CHANGED = enum.auto()
    #: Access denied, without the name of an action: a missing permission or a missing object.
    UNEXPLAINED = enum.auto()
    #: Its storage class or access tier is an archive: it must be restored before it can be read.
    ARCHIVED = enum.auto()
    #: It is encrypted with a key that only its uploader has (SSE-C).
    CUSTOMER_KEY = enum.auto()
    #: It is encrypted with a KMS key that was deleted.
    KEY_DELETED = enum.auto()
    #: Anything else: throttled, broken, not allowed.
    FAILED = enum.auto()


#: Refusals of an object that exists but that no permission makes readable.
UNREADABLE = (Refusal.ARCHIVED, Refusal.CUSTOMER_KEY, Refusal.KEY_DELETED)


class UnansweredError(Exception):
    """S3 did not answer any of the tries."""


class RefusedError(Exception):
    """S3 answered with an error.

    Args:
        status: the status of the answer.
        code: S3's name for the error.
        message: what S3 says about it.
        details: what else S3's answer says, such as `StorageClass`.
    """

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(f"S3 answered {status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details or {}

    @property
    def refusal(self) -> Refusal:
        """The meaning of the answer.

        A caller without s3:ListBucket, such as this function, gets a 403 for a missing object. Its message then names
        the action that the caller lacks: "... is not authorized to perform: s3:ListBucket on resource: ...", or
        s3:ListBucketVersions for a version. A 403 that names another action (s3:GetObject, kms:Decrypt) is a missing
        permission. A 403 that a VPC endpoint's policy causes may name no action, so the platform's own endpoint allows
        both actions, and only the role's policies refuse them. 405 means a delete marker.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html

        A refusal by KMS is a 400 with KMS's own code. A key that is disabled or about to be deleted (DisabledException,
        KMSInvalidStateException) can be enabled again, and throttling passes; a deleted key (NotFoundException) never
        comes back.
        https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
        """
        match self.status:
            case 404 | 405 if self.code != "NoSuchBucket":
                return Refusal.MISSING
            case 409 | 412:
                return Refusal.CHANGED
            case 403 if self.code == "AccessDenied":
                if "perform: s3:ListBucket" in self.message:
                    return Refusal.MISSING
                return Refusal.FAILED if "perform: " in self.message else Refusal.UNEXPLAINED
            case 403 if self.code == "InvalidObjectState":
                return Refusal.ARCHIVED
            case 400 if self.code == "InvalidRequest" and "form of Server Side Encryption" in self.message:
                return Refusal.CUSTOMER_KEY
            case 400 if self.code == "KMS.NotFoundException":
                return Refusal.KEY_DELETED
            case _:
                return Refusal.FAILED


@functools.cache
def client() -> Objects:
    """The client for S3, with the environment's credentials and endpoint; it is created at the first S3 event."""
    from inference.s3.with_obstore import ObstoreObjects

    return ObstoreObjects()
