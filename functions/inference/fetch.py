"""Reads an uploaded object: the version that its event names, and never more bytes than the limit."""

import dataclasses
from typing import NamedTuple

from inference import s3
from inference.errors import NotFoundError, StorageError, TooLargeError, UnreadableError
from inference.events import UploadedObject, version_id, whole_seconds
from inference.s3 import Objects, Read, RefusedError, UnansweredError

#: Why an object cannot be read, and what helps: a new version, which gets its own event and result.
_UNREADABLE = {
    s3.Refusal.ARCHIVED: (
        "its storage class or access tier is an archive, which S3 cannot read directly: upload it again with the "
        "storage class STANDARD, or restore it and copy it onto itself with that class"
    ),
    s3.Refusal.CUSTOMER_KEY: (
        "it is encrypted with a customer-provided key (SSE-C), which the function does not have: upload it again "
        "without such a key; the bucket's default encryption then applies"
    ),
    s3.Refusal.KEY_DELETED: "the KMS key that it is encrypted with was deleted: upload it again with another key",
}

_UNEXPLAINED = (
    "S3 gives no reason: either a policy denies reading it, or this version was deleted and the policy of the network's"
    " S3 endpoint hides that, because it does not allow s3:ListBucket and s3:ListBucketVersions on the inputs bucket"
)


class Fetched(NamedTuple):
    """An object as S3 returned it."""

    #: What its event says, completed from S3's answer.
    uploaded: UploadedObject
    body: bytes
    #: Its `Content-Encoding`; empty if it has none.
    encoding: str


def fetch(objects: Objects, uploaded: UploadedObject, max_bytes: int) -> Fetched:
    """Read an object.

    Raises:
        TooLargeError: it has more than `max_bytes`; it is then not read.
        NotFoundError: that version is gone.
        UnreadableError: S3 has it, but it cannot be read as it is.
        StorageError: S3 refused or did not answer.
    """
    if uploaded.size is not None:
        check_size(uploaded.size, max_bytes)
    # In a bucket without versions, only the ETag identifies the content.
    unversioned = uploaded.version_id is None and uploaded.etag is not None
    etag = f'"{uploaded.etag}"' if unversioned else None
    try:
        found = objects.read(Read(uploaded.bucket, uploaded.key, max_bytes, uploaded.version_id, etag))
    except RefusedError as error:
        raise _meaning(error, uploaded) from error
    except UnansweredError as error:
        raise _storage_error(error, uploaded) from error
    check_size(found.size, max_bytes)
    complete = dataclasses.replace(
        uploaded,
        version_id=uploaded.version_id or version_id(found.version_id),
        etag=uploaded.etag or found.etag.strip('"'),
        size=found.size,
        last_modified=whole_seconds(found.last_modified),
    )
    return Fetched(complete, found.body, found.encoding)


def is_current(objects: Objects, uploaded: UploadedObject) -> bool | None:
    """Whether it is still the current object of its key; None: there is none, or it cannot be read.

    Raises:
        StorageError: S3 refused or did not answer.
    """
    try:
        # None of its bytes are needed, only the version and the ETag.
        found = objects.read(Read(uploaded.bucket, uploaded.key, 0))
    except RefusedError as error:
        if error.refusal in (s3.Refusal.MISSING, *s3.UNREADABLE):
            return None
        raise _storage_error(error, uploaded) from error
    except UnansweredError as error:
        raise _storage_error(error, uploaded) from error
    # Values that its event leaves out are taken from the current version.
    version, etag = version_id(found.version_id), found.etag.strip('"')
    return uploaded.version_id in (None, version) and uploaded.etag in (None, etag)


def check_size(size: int, max_bytes: int) -> None:
    """Refuse an object that is too large.

    Raises:
        TooLargeError: it has more than `max_bytes`.
    """
    if size > max_bytes:
        raise TooLargeError(f"{size} bytes; an input may have at most {max_bytes} (limits.bytes)")


def _meaning(error: RefusedError, uploaded: UploadedObject) -> Exception:
    """What S3's refusal means for the input.

    Access denied without a reason counts as a missing permission. It may be a missing version; but if it counted as
    one, a function with wrong permissions would give up its inputs, instead of leaving them in the queue until the
    permissions are fixed.
    """
    if error.refusal in (s3.Refusal.MISSING, s3.Refusal.CHANGED):
        return NotFoundError(f"this version was deleted or replaced before it was read (S3: {error.code})")
    if error.refusal in _UNREADABLE:
        details = (error.details[name] for name in ("StorageClass", "AccessTier") if name in error.details)
        return UnreadableError(f"{_UNREADABLE[error.refusal]} (S3: {', '.join((error.message, *details))})")
    return _storage_error(error, uploaded)


def _storage_error(error: RefusedError | UnansweredError, uploaded: UploadedObject) -> StorageError:
    unexplained = isinstance(error, RefusedError) and error.refusal is s3.Refusal.UNEXPLAINED
    hint = f"; {_UNEXPLAINED}" if unexplained else ""
    return StorageError(f"s3://{uploaded.bucket}/{uploaded.key} could not be read: {error}{hint}")
