"""Ctrl-C where an exception must not separate two steps, such as starting a process and storing its handle."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def deferred() -> Iterator[Callable[[], int]]:
    """Keep Ctrl-C from raising KeyboardInterrupt inside; if it was pressed, it is raised at the end.

    Yields a function that returns how often Ctrl-C has been pressed, which a block that waits must check. In threads
    other than the main one, and where Ctrl-C is ignored, nothing is ever raised, and nothing changes.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield lambda: 0
        return
    pressed: list[tuple[Any, ...]] = []
    signal.signal(signal.SIGINT, lambda *arguments: pressed.append(arguments))
    try:
        yield lambda: len(pressed)
    finally:
        signal.signal(signal.SIGINT, handler)
        if pressed:
            handler(*pressed[-1])
