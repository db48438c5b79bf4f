"""The bytes of an uploaded object: of the version that its event names, and never more than the limit."""

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from inference import s3
from inference.errors import NotFoundError, StorageError, TooLargeError, UnreadableError
from inference.events import UploadedObject, version_id

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

#: Reads of one object's body that are begun; the client retries the request by itself, but not a body that breaks off.
_ATTEMPTS = 3

#: Why nobody can read an object, and what helps: a new version, which gets an event and a result of its own.
_UNREADABLE = {
    s3.Refusal.ARCHIVED: (
        "its storage class or access tier is an archive, from which S3 does not read: upload it again with the storage "
        "class STANDARD, or restore it and copy it onto itself with that class"
    ),
    s3.Refusal.CUSTOMER_KEY: (
        "it is encrypted with a customer-provided key (SSE-C), which the function does not have: upload it again "
        "without one; the bucket's default encryption then applies"
    ),
    s3.Refusal.KEY_DELETED: "the KMS key that it is encrypted with was deleted: upload it again with another key",
}

_UNEXPLAINED = (
    "S3 gives no reason: either a policy denies reading it, or this version was deleted and the policy of the network's"
    " S3 endpoint hides that, because it does not allow s3:ListBucket and s3:ListBucketVersions on the inputs bucket"
)


class Fetched(NamedTuple):
    """An object as S3 has it."""

    #: What its event said about it; the rest is filled in from the answer.
    uploaded: UploadedObject
    body: bytes
    #: Its `Content-Encoding`; empty if it has none.
    encoding: str


def fetch(client: "S3Client", uploaded: UploadedObject, max_bytes: int) -> Fetched:
    """Read an object.

    Raises:
        TooLargeError: it has more than `max_bytes`; it is then not read.
        NotFoundError: that version is gone.
        UnreadableError: S3 has it, but nobody can read it as it is.
        StorageError: S3 refused or did not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if uploaded.size is not None:
        check_size(uploaded.size, max_bytes)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            response = client.get_object(Bucket=uploaded.bucket, Key=uploaded.key, **_version(uploaded))
            # Closed at once where it is too large: what is not read must not be sent either.
            with contextlib.closing(response["Body"]) as stream:
                check_size(response["ContentLength"], max_bytes)
                body = stream.read()
        except ClientError as error:
            raise _meaning(error, uploaded) from error
        except (BotoCoreError, OSError) as error:
            if attempt == _ATTEMPTS:
                raise StorageError(f"s3://{uploaded.bucket}/{uploaded.key} could not be read: {error}") from error
        else:
            found = dataclasses.replace(
                uploaded,
                version_id=uploaded.version_id or version_id(response.get("VersionId")),
                etag=uploaded.etag or response["ETag"].strip('"'),
                size=len(body),
            )
            return Fetched(found, body, response.get("ContentEncoding", ""))
    raise AssertionError("the last attempt returns or raises")


def _version(uploaded: UploadedObject) -> dict[str, Any]:
    """The parameters that ask for the very version of the event; in a bucket without versions its ETag has to do."""
    if uploaded.version_id is not None:
        return {"VersionId": uploaded.version_id}
    return {} if uploaded.etag is None else {"IfMatch": f'"{uploaded.etag}"'}


def check_size(size: int, max_bytes: int) -> None:
    """Refuse an object of this many bytes.

    Raises:
        TooLargeError: they are more than `max_bytes`.
    """
    if size > max_bytes:
        raise TooLargeError(f"{size} bytes; an input may have {max_bytes} (limits.bytes)")


def _meaning(error: "ClientError", uploaded: UploadedObject) -> Exception:
    """What S3's refusal says about the input.

    Access denied without a reason counts as a missing permission: it may be a missing version, but taking it for one
    would end the inputs of a function whose permissions are wrong, where the queue keeps them until they are fixed.
    """
    refusal = s3.refusal(error)
    if refusal in (s3.Refusal.MISSING, s3.Refusal.CHANGED):
        code = error.response["Error"]["Code"]
        return NotFoundError(f"this version was deleted or replaced before it was read (S3: {code})")
    if refusal in _UNREADABLE:
        details: dict[str, Any] = {**error.response["Error"]}
        said = (details[name] for name in ("Message", "StorageClass", "AccessTier") if name in details)
        return UnreadableError(f"{_UNREADABLE[refusal]} (S3: {', '.join(said)})")
    hint = f"; {_UNEXPLAINED}" if refusal is s3.Refusal.UNEXPLAINED else ""
    return StorageError(f"s3://{uploaded.bucket}/{uploaded.key} could not be read: {error}{hint}")
