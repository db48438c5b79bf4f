"""What a batch depends on beside its messages, the model and S3: the time, chance and threads.

They are passed in as one value, so that a simulation can drive the same code on one thread, in time of its own, and see
the same each time.
"""

import functools
import random
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NamedTuple

from inference import s3


class Surroundings(NamedTuple):
    """Python's functions of these names, or what stands in for them."""

    #: Seconds since 1970.
    time: Callable[[], float]
    #: Seconds of a clock that never goes back.
    perf_counter: Callable[[], float]
    sleep: Callable[[float], None]
    uniform: Callable[[float, float], float]
    #: The threads that wait for S3.
    executor: Executor

    def milliseconds_since(self, started: float) -> float:
        """What has passed since `perf_counter` gave `started`."""
        return round((self.perf_counter() - started) * 1000, 3)


@functools.cache
def real() -> Surroundings:
    """Those of this environment; the threads live as long as it does."""
    executor = ThreadPoolExecutor(s3.PARALLEL, thread_name_prefix="s3")
    return Surroundings(time.time, time.perf_counter, time.sleep, random.uniform, executor)
