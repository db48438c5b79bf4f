"""Lambda's Runtime API on loopback: runs a handler under AWS's own runtime client, awslambdaric, and times it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from modelctl import interrupts, paths
from modelctl.errors import UserError
from modelctl.local import memory


@dataclass(frozen=True)
class Run:
    """What a handler's process answered and wrote, and when; milliseconds count from the start of the process."""

    answers: list[Any]
    #: When it asked for each event, and got it at once: the first time is the end of its initialisation.
    asked_ms: list[float]
    #: When it began to post each answer.
    answered_ms: list[float]
    #: What it wrote until it asked for the first event, and what it wrote in all.
    initialisation: str
    output: str
    #: The most that its process had in memory, pages of files included.
    peak_memory_mb: int


class LoopbackHandler(BaseHTTPRequestHandler):
    """Requests of functions, over connections that stay open."""

    protocol_version = "HTTP/1.1"
    # Header and body are two packets, of which the second otherwise waits 40 ms for the first one's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name of the base class)
        """Say nothing."""

    def body(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer the request; `headers` win over what follows from the body."""
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a function's process that is killed breaks its connections."""


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
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


def run_handler(
    handler: str,
    events: Sequence[Any],
    environment: Mapping[str, str],
    *,
    python: Sequence[str | Path] = (sys.executable,),
    folder: Path = paths.FUNCTIONS,
    timeout_s: float = 60,
) -> Run:
    """Run a handler on events, one after the other, in a process of its own.

    Args:
        handler: its module and name, as Lambda takes them.
        events: JSON values.
        environment: all that the process sees, beside the address of its Runtime API.
        python: the interpreter with its options.
        folder: of its code; the working directory, as on Lambda.
        timeout_s: how long each may take to be answered.

    Raises:
        UserError: it did not answer every event; the message has what it wrote.
    """
    waiting: queue.Queue[tuple[str, bytes]] = queue.Queue()
    #: When an answer came and what it is; None once no more can come.
    answers: queue.Queue[tuple[float, Any] | None] = queue.Queue()
    asked: list[float] = []
    for number, event in enumerate(events):
        waiting.put((f"request-{number}", json.dumps(event).encode()))

    class RuntimeApi(LoopbackHandler):
        def do_GET(self) -> None:
            asked.append(time.perf_counter())
            if len(asked) == 1:
                initialisation.append(written())
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
            answered = time.perf_counter()
            answers.put((answered, json.loads(self.body())))
            self.answer(202)

    initialisation: list[str] = []
    # A file and no pipe, which would stop whoever writes more than it holds.
    with tempfile.TemporaryFile() as output, served(RuntimeApi) as address, ExitStack() as ending:

        def written() -> str:
            return os.pread(output.fileno(), os.fstat(output.fileno()).st_size, 0).decode(errors="replace")

        started = time.perf_counter()
        with interrupts.deferred():
            process = subprocess.Popen(
                [*python, "-m", "awslambdaric", handler],
                env={"AWS_LAMBDA_RUNTIME_API": address, "PYTHONPATH": str(paths.FUNCTIONS), **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            # Killed, because it waits for a further event inside the client's native code.
            ending.callback(process.wait)
            ending.callback(process.kill)

        def watch() -> None:
            process.wait()
            answers.put(None)

        threading.Thread(target=watch, daemon=True).start()
        received: list[tuple[float, Any]] = []
        with suppress(queue.Empty):
            while len(received) < len(events) and (answer := answers.get(timeout=timeout_s)) is not None:
                received.append(answer)
        peak_memory_mb = memory.peak_mb(process.pid, isolated=False)
        ending.close()
        if len(received) < len(events):
            raise UserError(f"{handler} answered {len(received)} of {len(events)} events and wrote:\n{written()}")
        return Run(
            answers=[answer for _, answer in received],
            asked_ms=[(at - started) * 1000 for at in asked[: len(events)]],
            answered_ms=[(at - started) * 1000 for at, _ in received],
            initialisation="".join(initialisation),
            output=written(),
            peak_memory_mb=peak_memory_mb,
        )
