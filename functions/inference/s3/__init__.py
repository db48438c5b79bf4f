"""S3 as the function needs it: one read, one conditional write, and what its errors mean."""

import datetime
import enum
import functools
from collections.abc import Mapping
from typing import NamedTuple, Protocol

#: Fetches and writes that run at the same time.
PARALLEL = 16

#: Seconds until a connection must be there, and without a byte of an answer. S3 answers in milliseconds.
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 2, 10

#: Tries of a request, the first included.
ATTEMPTS = 4


class Read(NamedTuple):
    """A read of an object. One of more than `most` bytes is not read, and its body is empty, unless it may be cut."""

    bucket: str
    key: str
    #: Bytes.
    most: int
    #: The version that is wanted; None: the current one.
    version_id: str | None = None
    #: In quotes: any other content is refused.
    etag: str | None = None
    #: Of a larger object, read the first `most` bytes.
    cut: bool = False


class Found(NamedTuple):
    """An object that was read."""

    #: Its bytes, all of them unless the reader asked for less.
    body: bytes
    #: How many bytes the object has.
    size: int
    #: In quotes, as S3 gives it and takes it.
    etag: str
    #: None in a bucket that never had versions.
    version_id: str | None
    #: In whole seconds. Of an object that was uploaded in parts, when its upload began.
    last_modified: datetime.datetime
    #: Its `Content-Encoding`; empty if it has none.
    encoding: str = ""


class Objects(Protocol):
    """The objects that the function may read and write. Many threads use one at the same time."""

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
            RefusedError: S3 refused, also because another object is there. After an answer that was lost, the object
                that is there may be this one.
            UnansweredError: it did not answer.
        """

    def write_unannounced(self, bucket: str, key: str, body: bytes, replaces: str | None) -> str:
        """Write a JSON document whose event says another `reason` than those of `write`; returns its ETag, in quotes.

        It is a multipart upload of one part, whose reason is CompleteMultipartUpload and not PutObject.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html. Its condition is compared last
        (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html). If it does not hold, the
        part stays until the bucket's lifecycle rule removes abandoned uploads.

        Args and Raises: as `write`.
        """


class Refusal(enum.Enum):
    """What S3 says where it refuses."""

    #: The object or version does not exist.
    MISSING = enum.auto()
    #: There is, but not as the request's condition wants it, or another write is under way.
    CHANGED = enum.auto()
    #: Access denied, for no action that it names: a missing permission, or a missing object.
    UNEXPLAINED = enum.auto()
    #: Its storage class or access tier is an archive: it must be restored before it can be read.
    ARCHIVED = enum.auto()
    #: It is encrypted with a key that only its uploader has (SSE-C).
    CUSTOMER_KEY = enum.auto()
    #: It is encrypted with a KMS key that was deleted.
    KEY_DELETED = enum.auto()
    #: Anything else: throttled, broken, not allowed.
    FAILED = enum.auto()


#: Refusals of an object that exists and that no permission makes readable.
UNREADABLE = (Refusal.ARCHIVED, Refusal.CUSTOMER_KEY, Refusal.KEY_DELETED)


class UnansweredError(Exception):
    """S3 did not answer, after all tries."""


class RefusedError(Exception):
    """S3 answered with an error.

    Args:
        status: the status of the answer.
        code: S3's name of the error.
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
        """What the answer means.

        A caller without s3:ListBucket, such as this function, gets a 403 for a missing object. Its message then names
        the action that the caller lacks: "... is not authorized to perform: s3:ListBucket on resource: ...", for a
        version s3:ListBucketVersions. A 403 that names another action (s3:GetObject, kms:Decrypt) is a missing
        permission. One that a VPC endpoint's policy causes may name none, so the platform's own endpoint lets both
        actions through, and only the role's policies refuse them. 405 is a delete marker.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html

        What KMS refuses comes as a 400 with KMS's own code. A key that is disabled or about to be deleted
        (DisabledException, KMSInvalidStateException) can be put back into use, and throttling passes; a deleted one
        (NotFoundException) never comes back.
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
    """The objects in S3, by the credentials and the endpoint of the environment; made at the first S3 event."""
    from inference.s3.with_obstore import ObstoreObjects

    return ObstoreObjects()
