"""The time that is left of an invocation."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal

#: Milliseconds that are kept for writing results, at most a quarter of what there is.
_RESERVE_MS = 1000

#: What a time is measured for: an input from its fetch to its written result, loading the model, or one step.
Span = Literal["all", "loading", "decoding", "prediction"]


class Deadline:
    """Whether there is time for one more input, judged by the longest that any took; the first is always tried.

    An input that is already decoded needs time only for its prediction.
    """

    def __init__(self, remaining_ms: Callable[[], int]) -> None:
        self._remaining_ms = remaining_ms
        self._longest_ms: dict[Span, float] = {}
        self._total_ms = remaining_ms()
        self._kept_ms = min(_RESERVE_MS, self._total_ms / 4)

    def took(self, span: Span, milliseconds: float) -> None:
        """Note what one input took."""
        self._longest_ms[span] = max(self._longest_ms.get(span, 0), milliseconds)

    def has_time_for(self, span: Span, inputs: int) -> bool:
        """Whether this many inputs can be served, and their results written."""
        if span not in self._longest_ms:
            return True
        return self._remaining_ms() > self._kept_ms + 1.5 * self._longest_ms[span] * inputs

    def share_s(self, *, others_wait: bool) -> float:
        """Seconds that one input may take: half of what is left while others wait, else all of it."""
        left_ms = max(0, self._remaining_ms() - self._kept_ms)
        return (left_ms / 2 if others_wait else left_ms) / 1000

    @contextlib.contextmanager
    def half_kept(self) -> Iterator[None]:
        """Keep half of all the time for what comes after."""
        kept_ms, self._kept_ms = self._kept_ms, self._total_ms / 2
        yield
        self._kept_ms = kept_ms
