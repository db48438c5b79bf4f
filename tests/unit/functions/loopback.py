"""What a function speaks to, on loopback: Lambda's Runtime API and S3, for handlers that run in their own process."""

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from modelctl import paths
from unit.functions.fake_s3 import FakeS3


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a function's process that is killed breaks its connections."""


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free loopback port; gives host and port."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body are two packets, of which the second otherwise waits 40 ms for the first one's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name of the base class)
        """Say nothing."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def served_s3(fake: FakeS3) -> Iterator[str]:
    """Serve a `FakeS3` over HTTP, so that a real client speaks to it; gives its endpoint URL."""

    class Handler(_Handler):
        def address(self) -> dict[str, str]:
            url = urllib.parse.urlsplit(self.path)
            bucket, _, key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
            return {"Bucket": bucket, "Key": key}

        def do_GET(self) -> None:
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

        def do_PUT(self) -> None:
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

    with _served(Handler) as address:
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


@dataclass(frozen=True)
class Run:
    """What a handler's process answered and wrote."""

    answers: list[Any]
    output: str
    #: The most that its process had in memory; None where the system does not tell.
    peak_memory_mb: float | None


def run_handler(handler: str, events: Sequence[Any], environment: dict[str, str], timeout_s: float = 60) -> Run:
    """Run a handler under awslambdaric, AWS's own runtime client, in a process that sees this environment only.

    Raises:
        AssertionError: it did not answer every event.
    """
    waiting: queue.Queue[tuple[str, bytes]] = queue.Queue()
    answers: queue.Queue[Any] = queue.Queue()
    for number, event in enumerate(events):
        waiting.put((f"request-{number}", json.dumps(event).encode()))

    class RuntimeApi(_Handler):
        def do_GET(self) -> None:
            try:
                request_id, event = waiting.get(timeout=timeout_s)
            except queue.Empty:
                return
            headers = {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + timeout_s) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:tested:live",
                "Content-Type": "application/json",
            }
            self.answer(200, event, headers)

        def do_POST(self) -> None:
            answers.put(json.loads(self.body()))
            self.answer(202)

    with _served(RuntimeApi) as address:
        process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", handler],
            env={"AWS_LAMBDA_RUNTIME_API": address, "PYTHONPATH": str(paths.FUNCTIONS), **environment},
            cwd=paths.FUNCTIONS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            received = [answers.get(timeout=timeout_s) for _ in events]
        except queue.Empty:
            received = []
        finally:
            peak_memory_mb = _peak_memory_mb(process.pid)
            # It waits for a further event, inside the client's native code.
            os.kill(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
    assert len(received) == len(events), output
    return Run(received, output, peak_memory_mb)


def _peak_memory_mb(pid: int) -> float | None:
    status = Path(f"/proc/{pid}/status")
    # A process that has ended has no such line.
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else None
