"""Whole messages between two processes, either of which may stop in the middle of one."""

import contextlib
import functools
import socket
import struct
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: A message's length in bytes, which is sent before it.
_LENGTH = struct.Struct("!Q")

#: Bytes of a message that are read at a time.
_PART = 2**20


class Channel:
    """One end of a pair of sockets.

    Args:
        end: the socket.
        wait_s: returns the seconds to wait for the other end before it is called again; None: no limit. An error that
            it raises ends the wait.
    """

    def __init__(self, end: socket.socket, wait_s: Callable[[], float | None] = lambda: None) -> None:
        self._end = end
        self._wait_s = wait_s

    def send(self, message: bytes) -> None:
        """Send one message.

        Raises:
            OSError: the other end is closed.
        """
        for part in (_LENGTH.pack(len(message)), message):
            left = memoryview(part)
            while left:
                left = left[self._patiently(functools.partial(self._end.send, left)) :]

    def receive(self) -> bytes:
        """The next message.

        Raises:
            EOFError: the other end is closed.
            OSError: the connection broke.
        """
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return bytes(self._read(length))

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def _read(self, length: int) -> bytearray:
        read = bytearray()
        while len(read) < length:
            part = self._patiently(functools.partial(self._end.recv, min(length - len(read), _PART)))
            if not part:
                raise EOFError("the other end is closed")
            read += part
        return read

    def _patiently(self, step: Callable[[], T]) -> T:
        while True:
            self._end.settimeout(self._wait_s())
            with contextlib.suppress(TimeoutError):
                return step()
