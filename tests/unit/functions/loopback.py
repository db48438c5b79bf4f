"""An S3 on loopback, for handlers that run in their own process."""

import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from modelctl.runtime_api import LoopbackHandler, served
from unit.functions.fake_s3 import FakeS3


@contextmanager
def served_s3(fake: FakeS3) -> Iterator[str]:
    """Serve a `FakeS3` over HTTP, so that a real client speaks to it; gives its endpoint URL."""

    class Handler(LoopbackHandler):
        def address(self) -> dict[str, str]:
            url = urllib.parse.urlsplit(self.path)
            bucket, _, key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
            return {"Bucket": bucket, "Key": key}

        def do_GET(self) -> None:  # noqa: N802  (the name of the base class)
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            (version_id,) = query.get("versionId", [None])
            try:
                found = fake.get_object(**self.address(), VersionId=version_id, IfMatch=self.headers.get("If-Match"))
            except ClientError as error:
                self.refuse(error)
            else:
                headers = {"ETag": found["ETag"], "x-amz-version-id": found["VersionId"]}
                self.answer(200, headers=headers | {"Content-Length": str(found["ContentLength"])})
                shutil.copyfileobj(found["Body"], self.wfile)

        def do_PUT(self) -> None:  # noqa: N802  (the name of the base class)
            try:
                written = fake.put_object(
                    **self.address(),
                    Body=self.body(),
                    ContentType=self.headers["Content-Type"],
                    IfNoneMatch=self.headers.get("If-None-Match"),
                    IfMatch=self.headers.get("If-Match"),
                )
            except ClientError as error:
                self.refuse(error)
            else:
                self.answer(200, b"", {"ETag": written["ETag"]})

        def refuse(self, error: ClientError) -> None:
            details = error.response["Error"]
            body = f"<Error><Code>{details['Code']}</Code><Message>{details['Message']}</Message></Error>"
            self.answer(error.response["ResponseMetadata"]["HTTPStatusCode"], body.encode())

    with served(Handler) as address:
        yield f"http://{address}"


def access(endpoint: str) -> dict[str, str]:
    """The environment by which a client speaks to a served S3."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
