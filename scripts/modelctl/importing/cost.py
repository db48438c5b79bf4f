"""What a row costs in a call of a model: memory, from the peak of the process, and time."""

import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.errors import ModelError, PredictionError
from inference.runtimes import Model
from modelctl.importing.inputs import Tensors

#: Calls grow by this factor until one shows a row's memory clearly enough, or the next would take too much.
_GROWTH = 4
_ENOUGH_BYTES = 64 * 2**20
_MOST_ROWS = 8192
_MOST_SECONDS = 1.0

#: A measurement may use half of the machine's free memory, but no more than this.
_MOST_BYTES = 2 * 2**30

_STATUS = Path("/proc/self/status")
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Cost:
    """What calls of several rows have cost.

    Args:
        base: bytes of the process with the model, after a call with one row.
        row: bytes by which a call's peak grows per row.
        tensors: bytes of a row's inputs and outputs, which are part of that.
        seconds: the time of a call with one row.
    """

    base: int
    row: float
    tensors: int
    seconds: float

    def most_rows(self, *, copies: int, seconds: float) -> int:
        """How many rows a call may have on this machine.

        Args:
            copies: how often the tensors of as many rows are in memory in addition to those of the call.
            seconds: the most time for as many calls of one row.
        """
        by_memory = _budget() / max(1.0, self.row + copies * self.tensors)
        by_time = seconds / max(1e-6, self.seconds)
        return int(min(_MOST_ROWS, by_memory, by_time))

    def fitting(self, memory_mb: int) -> int:
        """How many rows of one call fit into a function's memory; a quarter of it is for what is made from them."""
        left = memory_mb * 2**20 * 3 / 4 - self.base
        return max(0, int(left / max(1.0, self.row)))


def measure(model: Model, candidates: Iterable[Tensors]) -> Cost | None:
    """Call the model with more and more copies of one row; None if it refuses such calls.

    Args:
        model: the model, which takes any number of rows as far as its signature shows.
        candidates: rows; the first that the model has an answer to is used.

    Raises:
        ModelError: it cannot run, or runs out of memory.
        UserError: a candidate cannot be made up.
    """
    before = _now()
    for row in candidates:
        try:
            # The first call takes additional time, and memory that the process keeps.
            first = _call(model, row, 1)
        except PredictionError:
            continue
        try:
            return _grow(model, row, max(0, first.peak - before))
        except PredictionError:
            return None
    return None


def _grow(model: Model, row: Tensors, guess: float) -> Cost:
    last = first = _call(model, row, 1)
    base, count = _now(), 1
    per_row = guess
    while last.peak - first.peak < _ENOUGH_BYTES and count < _MOST_ROWS:
        following = min(count * _GROWTH, _MOST_ROWS)
        if following * per_row > _budget() or following / count * last.seconds > _MOST_SECONDS:
            break
        try:
            larger = _call(model, row, following)
        except (ModelError, PredictionError):
            if count == 1:
                raise
            break
        # The process may keep memory that a call freed and use it for the next call, so a call needs at least its
        # tensors.
        per_row = max(first.tensors, (larger.peak - last.peak) / (following - count))
        last, count = larger, following
    return Cost(base, per_row, first.tensors, first.seconds)


@dataclass(frozen=True)
class _Call:
    """What one call took: the peak bytes of the process, the bytes of its tensors, and seconds."""

    peak: int
    tensors: int
    seconds: float


def _budget() -> int:
    """Bytes that a measurement may use on this machine."""
    try:
        fields = dict(line.split(":", 1) for line in _MEMORY.read_text(encoding="utf-8").splitlines())
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(_MOST_BYTES, free // 2)


def _call(model: Model, row: Tensors, count: int) -> _Call:
    """Call the model with this many copies of a row."""
    _forget_peak()
    before = time.perf_counter()
    tensors = {name: np.repeat(array, count, axis=0) for name, array in row.items()}
    outputs = model(tensors)
    seconds = time.perf_counter() - before
    return _Call(_peak(), sum(array.nbytes for array in (*tensors.values(), *outputs.values())), seconds)


def _forget_peak() -> None:
    """Reset the peak to the current memory, if the system can: loading a model takes more memory than a call."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _peak() -> int:
    """Bytes: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html."""
    if _STATUS.exists():
        return _status("VmHWM")
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def _now() -> int:
    return _status("VmRSS") if _STATUS.exists() else _peak()


def _status(field: str) -> int:
    (line,) = (line for line in _STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024
