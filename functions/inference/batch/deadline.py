"""The time that an invocation has left."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal

#: Milliseconds that are reserved for writing results, but at most a quarter of the time.
_RESERVE_MS = 1000

#: What is timed: an input from its fetch to its written result, loading the model, or one step.
Span = Literal["all", "loading", "decoding", "prediction"]


class Deadline:
    """Decides whether there is time for one more input, judged by the slowest so far; the first is always tried.

    An input that is already decoded needs time only for its prediction.
    """

    def __init__(self, remaining_ms: Callable[[], int]) -> None:
        self._remaining_ms = remaining_ms
        self._longest_ms: dict[Span, float] = {}
        self._total_ms = remaining_ms()
        self._kept_ms = min(_RESERVE_MS, self._total_ms / 4)

    def took(self, span: Span, milliseconds: float) -> None:
        """Record the time that one input took."""
        self._longest_ms[span] = max(self._longest_ms.get(span, 0), milliseconds)

    def has_time_for(self, span: Span, inputs: int) -> bool:
        """Whether there is time to serve this many inputs and write their results."""
        if span not in self._longest_ms:
            return True
        return self._remaining_ms() > self._kept_ms + 1.5 * self._longest_ms[span] * inputs

    def share_s(self, *, others_wait: bool) -> float:
        """Seconds that one input may take: half of the remaining time while others wait, otherwise all of it."""
        left_ms = max(0, self._remaining_ms() - self._kept_ms)
        return (left_ms / 2 if others_wait else left_ms) / 1000

    @contextlib.contextmanager
    def half_kept(self) -> Iterator[None]:
        """Reserve half of the whole time for what comes after."""
        kept_ms, self._kept_ms = self._kept_ms, self._total_ms / 2
        yield
        self._kept_ms = kept_ms
