"""The S3 client of the function, and what its errors mean."""

import functools
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
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


def status(error: Exception) -> int:
    """The HTTP status of S3's answer; 0 where there was none."""
    response: dict[str, Any] = getattr(error, "response", {})
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code(error: Exception) -> str:
    """S3's name for the error, such as NoSuchKey."""
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))
