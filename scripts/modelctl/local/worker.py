"""Execution environments: processes that run a function's code under AWS's own runtime client."""

import json
import os
import queue
import re
import select
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from ministack.core import lambda_runtime

from modelctl.local import execution, logs, memory
from modelctl.runtime_api import Answer, Event, LoopbackServer, runtime_api

# Lambda stops the initialisation after this time, then starts it again under the function's own timeout
# (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
_INIT_TIMEOUT_S = 10.0

# How many lines of a function's output are kept until its invocation ends; the oldest are dropped first.
_MAX_LINES = 10_000

# Seconds between two checks of whether the process is gone.
_LOOK_EVERY_S = 0.1

_TIMED_OUT = "Sandbox.Timedout"

_STRING_OR_INFINITY = re.compile(r'("(?:[^"\\]|\\.)*")|Infinity')


class InitError(Exception):
    """The function's process did not reach its first request for an event.

    Attributes:
        payload: the error object that AWS would return.
    """

    def __init__(self, payload: dict[str, Any]) -> None:
        super().__init__(payload.get("errorMessage", ""))
        self.payload = payload


@dataclass(frozen=True)
class Invocation:
    """How one invocation ended.

    Attributes:
        payload: the function's answer, or the error object that AWS would return.
        failed: whether it is an error.
        duration_ms: from handing out the event to the answer.
        lines: everything that goes to the log, including the platform's lines.
        log_stream: the log stream for them.
    """

    payload: Any
    failed: bool
    duration_ms: float
    lines: list[logs.Line]
    log_stream: str


class FunctionWorker(lambda_runtime.ProvidedWorker):  # type: ignore[misc]  # ministack ships no types
    """One execution environment: a process that gets one event after the other from its own Runtime API.

    The life cycle is the emulator's for custom runtimes. This class starts `awslambdaric` in a sandbox instead of a
    `bootstrap` file, waits for what happens instead of polling, and measures.
    """

    def __init__(self, host: execution.Host, func_name: str, config: dict[str, Any], code_zip: bytes) -> None:
        super().__init__(func_name, config, code_zip)
        self._host = host
        # The emulator clears `_proc` of an environment that it ends, even in the middle of a call.
        self._process: subprocess.Popen[bytes] | None = None
        self._output: _Output | None = None
        self._stop_s3: Callable[[], None] | None = None
        self._log_stream = ""
        self._exited = False
        self._out_of_memory = False
        self._invoked_at = self._answered_at = 0.0
        self._result: dict[str, Any] = {}
        self._current_request_id: str | None = None

    def invoke(self, event: Any, request_id: str, *, arn: str, trace_id: str | None = None) -> Invocation:
        """Run one event until its answer, its failure or its timeout.

        Args:
            event: the JSON value that the handler gets.
            request_id: the invocation's id.
            arn: what the caller called, with its alias or version; the handler's `context.invoked_function_arn`.
            trace_id: X-Ray's header.
        """
        with self._lock:
            before: list[logs.Line] = []
            try:
                init_ms = self._initialise(request_id, before)
            except InitError as error:
                error_type = error.payload.get("errorType")
                status = "timeout" if error_type == _TIMED_OUT else "error"
                return self._ended(self._report(request_id, None, status, error_type), error.payload, before)
            result, in_time = self._run(event, request_id, arn, trace_id)
            if "response" in result:
                return self._ended(self._report(request_id, init_ms, "success"), result["response"], before)
            if "error" in result:
                return self._ended(self._report(request_id, init_ms, "error"), result["error"], before)
            self._answered_at = time.perf_counter()
            payload = self._exit_error(request_id) if in_time else _timeout_error(request_id, self.config["Timeout"])
            status = "error" if in_time else "timeout"
            report = self._report(request_id, init_ms, status, payload["errorType"])
            # What is left of the environment is useless, and only after its end is its output complete.
            self._teardown()
            return self._ended(report, payload, before)

    def bound_memory(self) -> None:
        """If it uses more memory than the function has, kill the process, or one that asked to be killed first."""
        process, isolated = self._process, self._host.isolated
        if process and memory.resident_mb(process.pid, isolated=isolated) > self.config["MemorySize"]:
            if (first := memory.first_to_go(process.pid, isolated=isolated)) is not None:
                with suppress(ProcessLookupError):
                    os.kill(first, signal.SIGKILL)
                return
            self._out_of_memory = True
            if isolated:
                # The process that builds the sandbox kills and reaps the function; without it, nothing would reap the
                # function.
                process.terminate()
            else:
                process.kill()

    def _initialise(self, request_id: str, before: list[logs.Line]) -> float | None:
        """Make sure that the process waits for an event; from then on, the invocation counts.

        An initialisation that Lambda stops is started over as part of the invocation.

        Args:
            request_id: the invocation's id.
            before: receives the log lines up to that point.

        Returns:
            Milliseconds that the initialisation took; None if there was none, or only one within the invocation.

        Raises:
            InitError: the process failed, ended or, within the invocation, took too long.
        """
        self._invoked_at = began = time.perf_counter()
        try:
            started = self._ensure_started(_INIT_TIMEOUT_S)
        except lambda_runtime.ProvidedInitTimeout:
            started = False
            before += [*self._take_output(), logs.init_timeout(_INIT_TIMEOUT_S)]
            before.append(logs.start(request_id, self.config["Version"]))
            self._invoked_at = time.perf_counter()
            try:
                self._ensure_started(self.config["Timeout"])
            except lambda_runtime.ProvidedInitTimeout:
                raise InitError(_timeout_error(request_id, self.config["Timeout"])) from None
        else:
            before += [*self._take_output(), logs.start(request_id, self.config["Version"])]
            self._invoked_at = time.perf_counter()
        return (self._invoked_at - began) * 1000 if started else None

    def _run(self, event: Any, request_id: str, arn: str, trace_id: str | None) -> tuple[dict[str, Any], bool]:
        """Hand out the event; return the answer, if any, and whether it or the end of the process came in time."""
        with self._state_lock:
            self._result = {}
            if not self._exited:
                self._response_ready.clear()
            self._current_request_id = request_id
            pending = self._pending
        left_s = max(0.0, self.config["Timeout"] - (time.perf_counter() - self._invoked_at))
        deadline_ms = int((time.time() + left_s) * 1000)
        pending.put(Event(request_id, _as_it_was_sent(event), deadline_ms, arn, trace_id))
        in_time = self._response_ready.wait(left_s)
        with self._state_lock:
            result = self._result
            self._result, self._current_request_id = {}, None
            return result, in_time

    def _report(
        self, request_id: str, init_ms: float | None, status: str, error_type: str | None = None
    ) -> logs.Report:
        ended = self._answered_at if self._answered_at > self._invoked_at else time.perf_counter()
        memory_mb: int = self.config["MemorySize"]
        if not self._out_of_memory:
            peak_mb = memory.peak_mb(self._process.pid, isolated=self._host.isolated) if self._process else 0
            memory_mb = min(memory_mb, peak_mb)
        return logs.Report(request_id, (ended - self._invoked_at) * 1000, init_ms, memory_mb, status, error_type)

    def _ended(self, report: logs.Report, payload: Any, before: list[logs.Line]) -> Invocation:
        lines = [*before, *self._take_output()]
        # If the runtime client reported an error, it has also logged it.
        if report.error_type and "stackTrace" not in payload:
            lines.append(logs.failure(report.request_id, payload["errorMessage"]))
        lines.append(logs.end(report, self.config["MemorySize"]))
        return Invocation(payload, report.status != "success", report.duration_ms, lines, self._log_stream)

    def _ensure_started(self, init_timeout: float) -> bool:
        """Start the process if none is alive; return whether none was.

        Raises:
            InitError: it ended or failed before it asked for an event.
            ProvidedInitTimeout: it did not ask for one in time, and was ended.
        """
        with self._state_lock:
            if self._proc is not None and not self._exited:
                return False
        try:
            self._spawn(init_timeout)
        except execution.MountError as error:
            raise InitError({"errorType": "EFSMountFailureException", "errorMessage": str(error)}) from error
        except OSError as error:
            # For example, a full disk. AWS says only that the function was not the cause.
            message = f"the local stack could not start the function: {error}"
            raise InitError({"errorType": "ServiceException", "errorMessage": message}) from error
        return True

    def _spawn(self, init_timeout: float) -> None:
        self._teardown()
        generation, pending = self._begin()
        self._log_stream = f"{datetime.now(UTC):%Y/%m/%d}/[{self.config['Version']}]{uuid.uuid4().hex}"
        try:
            if not self._host.s3:
                self._serve(generation, pending)
            address = self._server.address if self._server else None
            process = execution.prepare(self._host, self.config, self.code_zip, address, self._log_stream)
            started = process.start()
            self._process = self._proc = started.process
            self._output = _Output(started.output)
            if self._host.s3:
                runtime_api, s3 = started.listeners
                self._serve(generation, pending, runtime_api)
                self._stop_s3 = self._host.s3.serve(s3)
            self._log_thread = self._thread("output", self._output.pump)
            self._thread("end", self._watch, self._process, generation)
            self._await_init(init_timeout)
        except BaseException:
            self._teardown()
            raise

    def _begin(self) -> "tuple[int, queue.Queue[Event]]":
        """Reset what belonged to the previous process; its late messages are recognized by their generation."""
        pending: queue.Queue[Event] = queue.Queue(maxsize=1)
        with self._state_lock:
            self._generation += 1
            self._stopping = self._exited = self._out_of_memory = False
            for event in (self._first_poll, self._init_settled, self._response_ready):
                event.clear()
            self._init_error = self._current_request_id = None
            self._result = {}
            self._pending = pending
            return self._generation, pending

    def _shutdown_server(self) -> None:
        super()._shutdown_server()
        stop, self._stop_s3 = self._stop_s3, None
        if stop:
            stop()

    def _serve(self, generation: int, pending: "queue.Queue[Event]", listener: socket.socket | None = None) -> None:
        def next_event() -> Event | None:
            alive = self._mark_first_poll(generation)
            while alive:
                with suppress(queue.Empty):
                    return pending.get(timeout=_LOOK_EVERY_S)
                alive = generation == self._generation and not self._stopping
            return None

        def accept(answer: Answer) -> bool:
            if answer.request_id is None:
                self._record_init_error(generation, answer.payload)
                return True
            self._answered_at = answer.at
            kind = "error" if answer.failed else "response"
            return bool(self._record_result(generation, answer.request_id, kind, answer.payload))

        self._server = LoopbackServer(runtime_api(next_event, accept), listener)
        self._server_thread = self._thread("runtime-api", self._server.serve_forever, _LOOK_EVERY_S)

    def _thread(self, what: str, work: Any, *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True, name=f"{what}-{self.func_name}")
        thread.start()
        return thread

    def _watch(self, process: "subprocess.Popen[bytes]", generation: int) -> None:
        """Wake the waiting thread when a process ends."""
        process.wait()
        with self._state_lock:
            if generation == self._generation:
                self._exited = True
                self._init_settled.set()
                self._response_ready.set()

    def _await_init(self, init_timeout: float) -> None:
        if not self._init_settled.wait(init_timeout):
            raise lambda_runtime.ProvidedInitTimeout
        if self._init_error is not None:
            raise InitError(self._init_error)
        if not self._first_poll.is_set():
            raise InitError(self._exit_error(""))

    def _take_output(self) -> list[logs.Line]:
        return self._output.take() if self._output else []

    def _exit_error(self, request_id: str) -> dict[str, Any]:
        code = self._process.wait() if self._process else 0
        # A process killed by a signal reports 128 plus its number through the sandbox, and the negative number without.
        number = code - 128 if code > 128 else -code
        how = f"signal: {(signal.strsignal(number) or str(number)).lower()}" if number > 0 else f"exit status {code}"
        return {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: {how}",
        }


def _timeout_error(request_id: str, timeout_s: float) -> dict[str, Any]:
    return {
        "errorType": _TIMED_OUT,
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after {timeout_s:.2f} seconds",
    }


def _as_it_was_sent(value: Any) -> bytes:
    """An event as JSON, with numbers beyond a float's range as numbers.

    Lambda passes the payload on unchanged, so `1e400` reaches the handler as an infinite float. The emulator has parsed
    it by then, and Python would write `Infinity`, which the runtime client refuses before it calls the handler.
    """
    text = json.dumps(value)
    if "Infinity" in text:
        text = _STRING_OR_INFINITY.sub(lambda found: found[1] or "1e400", text)
    return text.encode()


class _Output:
    """What a process has written so far.

    It is read while the process runs, since a full pipe would block the process. What a handler wrote before its answer
    is in the pipe when the answer arrives, so `take` has all of it without waiting.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._lines: deque[logs.Line] = deque(maxlen=_MAX_LINES)
        self._partial = b""
        os.set_blocking(stream.fileno(), False)

    def pump(self) -> None:
        """Read until the last process with the pipe is gone."""
        readable = select.poll()
        readable.register(self._stream.fileno(), select.POLLIN)
        while self._read():
            readable.poll()
        with self._lock:
            self._stream.close()

    def take(self) -> list[logs.Line]:
        """Return the lines since the last call."""
        self._read()
        with self._lock:
            if self._partial:
                self._add(self._partial)
                self._partial = b""
            taken = list(self._lines)
            self._lines.clear()
            return taken

    def _read(self) -> bool:
        """Read what is available; return whether more can come."""
        with self._lock:
            while not self._stream.closed:
                try:
                    data = os.read(self._stream.fileno(), 65536)
                except BlockingIOError:
                    return True
                if not data:
                    return False
                *whole, self._partial = (self._partial + data).split(b"\n")
                for line in whole:
                    self._add(line)
            return False

    def _add(self, line: bytes) -> None:
        # The runtime client separates the lines of a traceback by \r, so that it remains one event.
        text = line.decode(errors="replace").rstrip("\r").replace("\r", "\n")
        self._lines.append(logs.Line(logs.now_ms(), text))
