"""Lambda's Runtime API on loopback, which serves events to AWS's own runtime client, awslambdaric.

`runtime_api` serves the local stack and `run_handler`, which runs a handler on given events and times it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import os
import queue
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from modelctl import interrupts, paths
from modelctl.errors import UserError
from modelctl.local import memory
from modelctl.local.layout import ACCOUNT, REGION

# Where a process posts its answers.
_ANSWERED = re.compile(r"/runtime/(?:init|invocation/(?P<request_id>[^/]+))/(?P<kind>response|error)$")

# The ARN under which `run_handler` invokes handlers; no such function exists.
_FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:tested:live"


@dataclass(frozen=True)
class Run:
    """The answers and output of a handler's process, with times in milliseconds from its start."""

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
    """Handles requests of functions, over persistent connections."""

    protocol_version = "HTTP/1.1"
    # Header and body are two packets, of which the second otherwise waits 40 ms for the first one's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name of the base class)
        """Log nothing."""

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


class LoopbackServer(socketserver.ThreadingTCPServer):
    """Serves on a listening socket or on a free loopback port, with one thread per connection."""

    daemon_threads = True

    def __init__(self, handler: type[LoopbackHandler], listener: socket.socket | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler, bind_and_activate=listener is None)
        if listener is not None:
            self.socket.close()
            self.socket = listener
        self.address = "{}:{}".format(*self.socket.getsockname())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Show what went wrong, unless a connection broke: those of a function's process do when it is killed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served(handler: type[LoopbackHandler]) -> Iterator[str]:
    """Serve on loopback; yields host and port."""
    server = LoopbackServer(handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Event:
    """The event of an invocation.

    Attributes:
        request_id: the invocation's id.
        body: the event as JSON.
        deadline_ms: when the handler must have answered, in milliseconds since the epoch.
        function_arn: what was called, with its alias or version.
        trace_id: X-Ray's header.
    """

    request_id: str
    body: bytes
    deadline_ms: int
    function_arn: str
    trace_id: str | None = None


@dataclass(frozen=True)
class Answer:
    """An answer that a process posts.

    Attributes:
        at: when it began to, by `time.perf_counter`.
        request_id: the invocation that it answers; None if its initialisation failed.
        payload: the handler's answer, or the error object.
        failed: whether it is an error.
    """

    at: float
    request_id: str | None
    payload: Any
    failed: bool


def runtime_api(next_event: Callable[[], Event | None], accept: Callable[[Answer], bool]) -> type[LoopbackHandler]:
    """The Runtime API of one process.

    Args:
        next_event: waits for an event; None if there will be none.
        accept: takes an answer; False if nobody waits for it.
    """

    class RuntimeApi(LoopbackHandler):
        def do_GET(self) -> None:
            event = next_event()
            if event is None:
                self.answer(500)
                return
            headers = {
                "Lambda-Runtime-Aws-Request-Id": event.request_id,
                "Lambda-Runtime-Deadline-Ms": str(event.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": event.function_arn,
                "Content-Type": "application/json",
            }
            if event.trace_id:
                headers["Lambda-Runtime-Trace-Id"] = event.trace_id
            self.answer(200, event.body, headers)

        def do_POST(self) -> None:
            at = time.perf_counter()
            payload = json.loads(self.body())
            found = _ANSWERED.search(self.path)
            accepted = found and accept(Answer(at, found["request_id"], payload, found["kind"] == "error"))
            self.answer(202 if accepted else 400)

    return RuntimeApi


def run_handler(
    handler: str,
    events: Sequence[Any],
    environment: Mapping[str, str],
    *,
    python: Sequence[str | Path] = (sys.executable,),
    folder: Path = paths.FUNCTIONS,
    timeout_s: float = 60,
) -> Run:
    """Run a handler on events, one after the other, in a new process.

    Args:
        handler: its module and name, as Lambda takes them.
        events: JSON values.
        environment: all that the process sees, besides the address of its Runtime API.
        python: the interpreter with its options.
        folder: of its code; the working directory, as on Lambda.
        timeout_s: how long each may take to be answered.

    Raises:
        UserError: it did not answer every event; the message has what it wrote.
    """
    waiting: queue.Queue[tuple[str, bytes]] = queue.Queue()
    #: None once no more can come.
    answers: queue.Queue[Answer | None] = queue.Queue()
    asked: list[float] = []
    initialisation: list[str] = []
    for number, event in enumerate(events):
        waiting.put((f"request-{number}", json.dumps(event).encode()))

    def next_event() -> Event | None:
        asked.append(time.perf_counter())
        if len(asked) == 1:
            initialisation.append(written())
        try:
            request_id, body = waiting.get(timeout=timeout_s)
        except queue.Empty:
            return None
        return Event(request_id, body, int((time.time() + timeout_s) * 1000), _FUNCTION_ARN)

    def accept(answer: Answer) -> bool:
        answers.put(answer)
        return True

    # A file, not a pipe: a full pipe would block the process that writes to it.
    with (
        tempfile.TemporaryFile() as output,
        served(runtime_api(next_event, accept)) as address,
        ExitStack() as ending,
    ):

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
        received: list[Answer] = []
        with suppress(queue.Empty):
            while len(received) < len(events) and (answer := answers.get(timeout=timeout_s)) is not None:
                received.append(answer)
        peak_memory_mb = memory.peak_mb(process.pid, isolated=False)
        ending.close()
        if len(received) < len(events):
            raise UserError(f"{handler} answered {len(received)} of {len(events)} events and wrote:\n{written()}")
        return Run(
            answers=[answer.payload for answer in received],
            asked_ms=[(at - started) * 1000 for at in asked[: len(events)]],
            answered_ms=[(answer.at - started) * 1000 for answer in received],
            initialisation="".join(initialisation),
            output=written(),
            peak_memory_mb=peak_memory_mb,
        )
