"""Virtual time: things happen one after the other, each at its time, and no wait takes real time.

The code under test runs in fibers: threads of which one runs at a time, and only while the loop waits for it. So the
same seed gives the same history each time.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class Killed(BaseException):
    """The end of an execution environment: nothing in the function comes after it."""


class Worker:
    """A thread that runs one fiber after the other, since starting a thread takes longer than most of them."""

    idle: list["Worker"] = []  # noqa: RUF012 - of all simulations of this process

    def __init__(self) -> None:
        self.go = threading.Lock()
        self.go.acquire()
        self.job: Callable[[], None] = lambda: None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.go.acquire()
            self.job()


class Fiber:
    """A piece of work that is suspended while it waits."""

    def __init__(self, loop: "Loop", work: Callable[[], Any], group: Any) -> None:
        #: Which execution environment it belongs to.
        self.group = group
        self.done = False
        self.outcome: Any = None
        self.error: BaseException | None = None
        self._loop = loop
        self._work = work
        self._killed = False
        self._waits_for_it: Fiber | None = None
        self._worker = Worker.idle.pop() if Worker.idle else Worker()
        self._worker.job = self._run
        loop.fibers[self] = None

    def resume(self) -> None:
        """Let it go on, until it waits again or ends."""
        if self.done:
            return
        before, self._loop.running = self._loop.running, self
        self._worker.go.release()
        self._loop.stands.acquire()
        self._loop.running = before

    def kill(self) -> None:
        """End it where it is suspended."""
        self._killed = True
        self.resume()

    def stand_still(self) -> None:
        """Called in the fiber: until `resume`."""
        self._loop.stands.release()
        self._worker.go.acquire()
        if self._killed:
            raise Killed

    def result(self) -> Any:
        """Called in another fiber: what it returns or raises, once it has ended."""
        if not self.done:
            self._waits_for_it = self._loop.running
            assert self._waits_for_it is not None
            self._waits_for_it.stand_still()
        if self.error is not None:
            raise self.error
        return self.outcome

    def _run(self) -> None:
        try:
            if self._killed:
                raise Killed
            self.outcome = self._work()
        except BaseException as error:
            self.error = error
        self.done = True
        del self._loop.fibers[self]
        if self._waits_for_it is not None:
            self._loop.after(0, self._waits_for_it.resume)
        Worker.idle.append(self._worker)
        self._loop.stands.release()


class Loop:
    """What happens, in the order of its time."""

    def __init__(self, start: float) -> None:
        #: Seconds since 1970.
        self.now = start
        #: The fiber that runs.
        self.running: Fiber | None = None
        self.stands = threading.Lock()
        self.stands.acquire()
        #: Those that have not ended, in the order of their beginnings.
        self.fibers: dict[Fiber, None] = {}
        #: Why everything ends.
        self.failure: BaseException | None = None
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something later; things of the same time happen in the order in which they were asked for."""
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), action))

    def start(self, work: Callable[[], Any], group: Any) -> Fiber:
        """Begin a piece of work, as soon as what runs now waits."""
        fiber = Fiber(self, work, group)
        self.after(0, fiber.resume)
        return fiber

    def wait(self, seconds: float) -> None:
        """Called in a fiber: let virtual time pass."""
        fiber = self.running
        assert fiber is not None
        self.after(seconds, fiber.resume)
        fiber.stand_still()

    def run(self) -> None:
        """Until nothing is left to happen.

        Raises:
            BaseException: the `failure`, as soon as there is one.
        """
        while self._due:
            self.now, _, action = heapq.heappop(self._due)
            action()
            if self.failure is not None:
                raise self.failure

    def close(self) -> None:
        """End the fibers that have not ended."""
        while self.fibers:
            next(iter(self.fibers)).kill()


class FiberExecutor(Executor):
    """Does things at the same time, as threads that wait for S3 do."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[T]:
        assert self._loop.running is not None
        group = self._loop.running.group
        fibers = [
            group.start(lambda arguments=arguments: fn(*arguments)) for arguments in zip(*iterables, strict=False)
        ]
        return (fiber.result() for fiber in fibers)
