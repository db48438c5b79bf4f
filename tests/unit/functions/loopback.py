"""An S3 on loopback, for handlers that run in their own process."""

import email.utils
import shutil
import urllib.parse
import xml.sax.saxutils
from collections.abc import Iterator
from contextlib import contextmanager

from inference.s3 import RefusedError
from modelctl.runtime_api import LoopbackHandler, served
from unit.functions.fake_s3 import FakeS3


def error_document(code: str, message: str, **details: str) -> bytes:
    """An error of S3: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#RESTErrorResponses"""
    said = {"Code": code, "Message": message, **details, "RequestId": "4442587FB7D0A2F9", "HostId": "Uuag1LuByRx9e6j="}
    escaped = {name: xml.sax.saxutils.escape(value, {'"': "&quot;", "'": "&apos;"}) for name, value in said.items()}
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in escaped.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{fields}</Error>'.encode()


@contextmanager
def served_s3(fake: FakeS3) -> Iterator[str]:
    """Serve a `FakeS3` over HTTP, so that a real client speaks to it; gives its endpoint URL."""

    #: The parts of multipart uploads by their ids.
    parts: dict[str, bytes] = {}

    class Handler(LoopbackHandler):
        def query(self, name: str) -> str | None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query, keep_blank_values=True)
            (value,) = query.get(name, [None])
            return value

        def address(self) -> tuple[str, str]:
            path, _, _ = self.path.partition("?")
            bucket, _, key = urllib.parse.unquote(path).removeprefix("/").partition("/")
            return bucket, key

        def do_GET(self) -> None:  # noqa: N802  (the name of the base class)
            try:
                found = fake.find(*self.address(), self.query("versionId"), self.headers.get("If-Match"))
            except RefusedError as error:
                self.refuse(error)
            else:
                modified = email.utils.format_datetime(found.last_modified, usegmt=True)
                headers = {"ETag": found.etag, "x-amz-version-id": found.version_id, "Last-Modified": modified}
                if found.content_encoding:
                    headers["Content-Encoding"] = found.content_encoding
                self.answer(200, headers=headers | {"Content-Length": str(found.size)})
                shutil.copyfileobj(found.stream(), self.wfile)

        def do_PUT(self) -> None:  # noqa: N802  (the name of the base class)
            upload = self.query("uploadId")
            if upload is not None:
                parts[upload] = self.body()
                self.answer(200, b"", {"ETag": '"part"'})
                return
            try:
                if "If-Match" in self.headers or "If-None-Match" in self.headers:
                    written = fake.put(
                        *self.address(), self.body(), self.headers.get("If-Match"), self.headers["Content-Type"]
                    )
                else:
                    written = fake.upload(*self.address(), self.body())
            except RefusedError as error:
                self.refuse(error)
            else:
                self.answer(200, b"", {"ETag": written.etag})

        def do_POST(self) -> None:  # noqa: N802  (the name of the base class)
            """A multipart upload of one part: its beginning, and its end, whose answer has the ETag in XML."""
            said, upload = self.body(), self.query("uploadId")
            if upload is None:
                self.answer(200, b"<R><UploadId>upload-%d</UploadId></R>" % len(parts))
                return
            assert b"<PartNumber>1</PartNumber>" in said
            replaces = self.headers.get("If-Match")
            assert (replaces is None) == (self.headers.get("If-None-Match") == "*")
            try:
                etag = fake.write_unannounced(*self.address(), parts[upload], replaces)
            except RefusedError as error:
                self.refuse(error)
            else:
                self.answer(200, b"<R><ETag>%s</ETag></R>" % xml.sax.saxutils.escape(etag).encode())

        def refuse(self, error: RefusedError) -> None:
            self.answer(error.status, error_document(error.code, error.message, **error.details))

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
