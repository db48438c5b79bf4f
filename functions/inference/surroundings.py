"""What a batch depends on besides its messages, the model and S3: time, randomness, threads and processes.

They are passed in as one value, so that a simulation can run the same code on one thread and in virtual time, with a
reproducible outcome.
"""

import functools
import random
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from inference import s3
from inference.config import Config

if TYPE_CHECKING:
    from inference.isolation import Isolation


def _in_this_process(_config: Config) -> "Isolation | None":
    return None


class Surroundings(NamedTuple):
    """Python's functions with these names, or substitutes for them."""

    #: Seconds since 1970.
    time: Callable[[], float]
    #: Seconds of a monotonic clock.
    perf_counter: Callable[[], float]
    sleep: Callable[[float], None]
    uniform: Callable[[float, float], float]
    #: The threads that wait for S3.
    executor: Executor
    #: Creates the process that serves risky inputs; None: the memory has no room for one.
    isolate: "Callable[[Config], Isolation | None]" = _in_this_process

    def milliseconds_since(self, started: float) -> float:
        """The time that has passed since `perf_counter` returned `started`."""
        return round((self.perf_counter() - started) * 1000, 3)


@functools.cache
def real() -> Surroundings:
    """The real surroundings; their threads live as long as this execution environment."""
    executor = ThreadPoolExecutor(s3.PARALLEL, thread_name_prefix="s3")
    return Surroundings(time.time, time.perf_counter, time.sleep, random.uniform, executor, _isolate)


def _isolate(config: Config) -> "Isolation | None":
    # Imported here, since most invocations need no other process.
    from inference import isolation

    return isolation.Child(config) if isolation.has_room() else None
