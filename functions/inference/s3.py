"""The S3 client of the function, and what its errors mean."""

import enum
import functools
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client
else:
    S3Client = Any

#: Fetches and writes that run at the same time.
PARALLEL = 16


@functools.cache
def client() -> S3Client:
    """The client, made at the first S3 event: making it is the largest part of such an event's cold start.

    It comes from botocore directly, since boto3 adds 40 ms of imports for resources that nobody uses here. The time
    limits are short because S3 answers in milliseconds; three quick retries with jitter are left to botocore.
    """
    import botocore.session
    from botocore.config import Config

    config = Config(
        connect_timeout=2,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 4},
        max_pool_connections=PARALLEL,
        tcp_keepalive=True,
    )
    return cast(S3Client, botocore.session.get_session().create_client("s3", config=config))


class Refusal(enum.Enum):
    """What S3 says where it refuses."""

    #: There is no such object or version.
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


def refusal(error: "ClientError") -> Refusal:
    """What an error answer of S3 means.

    A caller without s3:ListBucket, such as this function, gets a 403 for a missing object. Its message then names the
    action that the caller lacks: "... is not authorized to perform: s3:ListBucket on resource: ...", for a
    version s3:ListBucketVersions. A 403 that names another action (s3:GetObject, kms:Decrypt) is a missing permission.
    One that a VPC endpoint's policy causes may name none, so the platform's own endpoint lets both actions through, and
    only the role's policies refuse them. 405 is a delete marker.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html

    What KMS refuses comes as a 400 with KMS's own code. A key that is disabled or about to be deleted
    (DisabledException, KMSInvalidStateException) can be put back into use, and throttling passes; a deleted one
    (NotFoundException) never comes back.
    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
    """
    details = error.response.get("Error", {})
    message = details.get("Message", "")
    match error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"):
        case 404 | 405 if details.get("Code") != "NoSuchBucket":
            return Refusal.MISSING
        case 409 | 412:
            return Refusal.CHANGED
        case 403 if details.get("Code") == "AccessDenied":
            if "perform: s3:ListBucket" in message:
                return Refusal.MISSING
            return Refusal.FAILED if "perform: " in message else Refusal.UNEXPLAINED
        case 403 if details.get("Code") == "InvalidObjectState":
            return Refusal.ARCHIVED
        case 400 if details.get("Code") == "InvalidRequest" and "form of Server Side Encryption" in message:
            return Refusal.CUSTOMER_KEY
        case 400 if details.get("Code") == "KMS.NotFoundException":
            return Refusal.KEY_DELETED
        case _:
            return Refusal.FAILED
