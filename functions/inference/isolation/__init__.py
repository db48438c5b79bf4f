"""A separate process for inputs that may end the process that serves them.

An input that crashes the process, hangs or runs out of memory ends the invocation for the other messages of its batch
as well, even for those that are already answered. So an invocation that receives a message again serves its inputs in a
child process (`__main__`), which decodes and predicts one at a time, while the function's own process reads from and
writes to S3. If the child ends, only its current input is lost, and the next input gets a new child.

The child is started as a new program, never forked: the threads of the runtime and of the S3 client do not survive a
fork. It communicates through a pair of sockets, since Lambda has no /dev/shm for the queues and locks of
`multiprocessing`.

The child may use all memory that is left. The function's own process monitors it, the more often the less is left. The
limits of the system are not suitable: under RLIMIT_AS or RLIMIT_DATA, libraries that get no memory blame the bytes, and
an input that the function can serve would be refused. If Linux itself runs out of memory, it kills the child first
(`_go_first`).
"""

import contextlib
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from typing import Any, NamedTuple, Protocol

from inference import memory
from inference.config import Config
from inference.errors import CrashError, ModelError, TooLongError
from inference.isolation import messages
from inference.isolation.channel import Channel
from inference.isolation.messages import Loading, Reply, Said
from inference.runtimes import memory_mb

logger = logging.getLogger(__name__)

#: The most and the fewest seconds between two checks of both processes' memory.
_LOOK_EVERY_S = 0.05
_LOOK_OFTEN_S = 0.001

#: The highest rate at which memory can fill up. One thread that fills new pages reaches about half of it.
_MB_PER_S = 4000

#: The share of the function's memory at which the child is ended, before Lambda ends the environment.
_MOST_MEMORY = 0.95


class Request(NamedTuple):
    """An input to serve."""

    key: str
    body: bytes
    #: The object's `Content-Encoding`.
    encoding: str
    #: What log lines name it by.
    names: dict[str, Any]


class Isolation(Protocol):
    """Serves inputs so that each can harm only itself."""

    @property
    def loaded(self) -> bool:
        """Whether a process has loaded the model."""

    def load(self, within_s: float) -> None:
        """Start a process that loads the model.

        Raises:
            CrashError: the process could not be started, ended, or took too much memory.
            TooLongError: it was not ready in time.
            ModelError: the model cannot be loaded.
        """

    def serve(self, request: Request, within_s: float) -> Reply:
        """Decode and predict one input, once the model is loaded.

        Raises:
            CrashError: the process that served it ended, or took too much memory.
            TooLongError: it was not served in time.
        """

    def end(self) -> None:
        """End the process, if there is one."""


def has_room() -> bool:
    """Whether the function's memory has room for a child beside this process, judged by this one's peak."""
    return memory.private_mb() + memory.peak_mb() <= memory_mb() * _MOST_MEMORY


def look_after_s(room_mb: float) -> float:
    """Seconds until the next check of the memory, which comes before this much free memory can fill up."""
    return min(max(room_mb / _MB_PER_S, _LOOK_OFTEN_S), _LOOK_EVERY_S)


class Child:
    """The child process; started for the first input, and again for the next one after it ended."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        #: Its current task, the seconds that it may take, and its deadline by `time.perf_counter`.
        self._doing = ""
        self._within_s = self._until = 0.0

    @property
    def loaded(self) -> bool:
        """See `Isolation`."""
        return self._channel is not None

    def load(self, within_s: float) -> None:
        """See `Isolation`."""
        started = time.perf_counter()
        self._begins("loading the model", within_s)
        self._start()
        said = self._answer_to((self._config, logging.getLogger("inference").getEffectiveLevel()))
        if not isinstance(said, Loading):
            raise self._out_of_turn(said)
        if said.problem is not None:
            self.end()
            raise ModelError(said.problem)
        milliseconds = round((time.perf_counter() - started) * 1000)
        logger.info("a child process that serves one input at a time is ready after %d ms", milliseconds)

    def serve(self, request: Request, within_s: float) -> Reply:
        """See `Isolation`."""
        self._begins("serving the input", within_s)
        reply = self._answer_to(request)
        if not isinstance(reply, Reply):
            raise self._out_of_turn(reply)
        return reply

    def end(self) -> None:
        """See `Isolation`."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._channel = self._process = None

    def _begins(self, doing: str, within_s: float) -> None:
        self._doing, self._within_s, self._until = doing, within_s, time.perf_counter() + within_s

    def _start(self) -> None:
        own, its = socket.socketpair()
        with its:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-s", "-m", __name__, str(its.fileno())],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                    stdin=subprocess.DEVNULL,
                    pass_fds=[its.fileno()],
                )
            except OSError as error:
                # Lambda limits processes and threads: the model's own code may have left none.
                own.close()
                raise CrashError(f"the process {self._doing} could not be started: {error}") from error
        self._channel = Channel(own, self._look)

    def _answer_to(self, what: object) -> Loading | Reply:
        """The child's reply, unless it runs out of time or memory first; log records are passed on."""
        if self._channel is None:
            raise TypeError("the child was not started")
        try:
            with contextlib.suppress(OSError):  # the reason is found when it does not answer
                self._channel.send(pickle.dumps(what))
            while True:
                said = messages.decoded(self._channel.receive())
                if not isinstance(said, logging.LogRecord):
                    return said
                logging.getLogger(said.name).handle(said)
        except (EOFError, OSError):
            raise CrashError(f"the process {self._doing} {self._how_it_ended()}") from None
        except ValueError as error:
            # The rest of its output could be mistaken for the reply to another input.
            self.end()
            raise CrashError(
                f"the process {self._doing} was killed, because its messages are not readable: {error}"
            ) from None

    def _look(self) -> float:
        """Seconds until the next check; ends the child if it has no time or memory left."""
        if self._process is None:
            raise TypeError("the child was not started")
        own, its = memory.private_mb(), memory.private_mb(self._process.pid)
        room = memory_mb() * _MOST_MEMORY - own - its
        if room < 0:
            self.end()
            raise CrashError(
                f"out of memory: the process {self._doing} took {its:.0f} MB in addition to the function's own "
                f"{own:.0f} MB; the function has {memory_mb()} MB (memory_mb)"
            )
        left_s = self._until - time.perf_counter()
        if left_s <= 0:
            self.end()
            raise TooLongError(
                f"the process {self._doing} did not finish within {self._within_s:.1f} s, all that was left of "
                "timeout_s, or half of it while others waited; raise timeout_s to give it more"
            )
        return min(left_s, look_after_s(room))

    def _out_of_turn(self, said: Said) -> CrashError:
        """End it: the rest of its output could be mistaken for the reply to another input."""
        self.end()
        return CrashError(f"the process {self._doing} was killed, because it sent {said!r} out of turn")

    def _how_it_ended(self) -> str:
        process, self._process = self._process, None
        if self._channel is not None:
            self._channel.close()
        self._channel = None
        if process is None:
            return "is gone"
        # It has closed its end, which a model's own code can do without ending the process.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        process.kill()
        code = process.wait()
        if code >= 0:
            return f"exited with status {code}"
        hint = f"; a system that is out of memory kills processes this way (memory_mb is {memory_mb()})"
        return f"was killed by {signal.Signals(-code).name}{hint if -code == signal.SIGKILL else ''}"
