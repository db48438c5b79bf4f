"""S3 through botocore, AWS's own client, whose import alone takes longer than most uploads.

It is used without boto3, which adds 40 ms of imports for resources that are not used here.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from inference import s3
from inference.s3 import Found, Read, RefusedError, UnansweredError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: How often the read of a body is begun; the client retries a request by itself, but not a body that breaks off.
_BODIES = 3


class BotocoreObjects:
    """Objects in S3. botocore itself makes three quick retries with jitter.

    Args:
        client: botocore's client; None: one that is configured by the environment, as in a function.
    """

    def __init__(self, client: "S3Client | None" = None) -> None:
        if client is not None:
            self._client = client
            return
        config = Config(
            connect_timeout=s3.CONNECT_TIMEOUT_S,
            read_timeout=s3.READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": s3.ATTEMPTS},
            max_pool_connections=s3.PARALLEL,
            tcp_keepalive=True,
        )
        self._client = cast("S3Client", botocore.session.get_session().create_client("s3", config=config))

    def read(self, wanted: Read) -> Found:
        """See `Objects`."""
        for _ in range(_BODIES - 1):
            with contextlib.suppress(UnansweredError):
                return self._read(wanted)
        return self._read(wanted)

    def _read(self, wanted: Read) -> Found:
        options: dict[str, Any] = {"VersionId": wanted.version_id, "IfMatch": wanted.etag}
        options = {name: value for name, value in options.items() if value is not None}
        with _told(), contextlib.ExitStack() as open_until_read:
            answer = self._client.get_object(Bucket=wanted.bucket, Key=wanted.key, **options)
            # A body that is too large is closed immediately, so that S3 does not send what is not read.
            stream = open_until_read.enter_context(contextlib.closing(answer["Body"]))
            size = answer["ContentLength"]
            body = stream.read(None if size <= wanted.most else wanted.most if wanted.cut else 0)
            version, encoding = answer.get("VersionId"), answer.get("ContentEncoding", "")
            return Found(body, size, answer["ETag"], version, answer["LastModified"], encoding)

    def write(self, bucket: str, key: str, body: bytes, replaces: str | None) -> None:
        """See `Objects`."""
        condition: Any = {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces}
        with _told():
            self._client.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", **condition)

    def write_unannounced(self, bucket: str, key: str, body: bytes, replaces: str | None) -> str:
        """See `Objects`."""
        condition: Any = {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces}
        address: Any = {"Bucket": bucket, "Key": key}
        with _told():
            address["UploadId"] = self._client.create_multipart_upload(**address, ContentType="application/json")[
                "UploadId"
            ]
            sent = self._client.upload_part(**address, PartNumber=1, Body=body)
            # The upload is begun with a checksum algorithm, so its completion must include the checksum.
            part: Any = {name: value for name, value in sent.items() if name.startswith(("ETag", "Checksum"))}
            parts: Any = {"Parts": [{"PartNumber": 1, **part}]}
            return self._client.complete_multipart_upload(**address, MultipartUpload=parts, **condition)["ETag"]


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Translate botocore's errors to those of `Objects`."""
    try:
        yield
    except ClientError as error:
        details = {name: str(value) for name, value in error.response["Error"].items()}
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        raise RefusedError(status, details.pop("Code", ""), details.pop("Message", ""), details) from error
    except (BotoCoreError, OSError) as error:
        raise UnansweredError(str(error)) from error
