"""Reads single fields of protobuf messages: what a model file says about its tensors, however large the file is.

https://protobuf.dev/programming-guides/encoding/
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

#: Bytes of a field of fixed length, by wire type.
_FIXED = {1: 8, 5: 4}


class Message:
    """A message or a text: a part of a file's bytes. Malformed bytes raise a ValueError."""

    def __init__(self, data: mmap.mmap | bytes, start: int, end: int) -> None:
        self._data = data
        self._start = start
        self._end = end

    def fields(self) -> Iterator[tuple[int, "int | Message"]]:
        """Every field with its number: integers and values with a length; others are skipped."""
        place = self._start
        while place < self._end:
            key, place = self._varint(place)
            number, kind = key >> 3, key & 7
            if not number:
                # Zero bytes would be fields with this number, and a file with a gigabyte of them would take minutes to
                # read.
                raise ValueError("field number 0")
            if kind == 0:
                value, place = self._varint(place)
                yield number, value
            elif kind == 2:
                length, place = self._varint(place)
                yield number, Message(self._data, place, place + length)
                place += length
            elif kind in _FIXED:
                place += _FIXED[kind]
            else:
                raise ValueError(f"wire type {kind}")
        if place != self._end:
            raise ValueError("a field is longer than its message")

    def messages(self, *path: int) -> Iterator["Message"]:
        """The messages under a path of field numbers, each of which may occur several times."""
        first, *rest = path
        for number, value in self.fields():
            if number == first and isinstance(value, Message):
                yield from value.messages(*rest) if rest else (value,)

    def number(self, field: int) -> int:
        """The signed 64-bit integer in a field: the last one, as protobuf requires, or 0."""
        number = 0
        for key, value in self.fields():
            if key == field and isinstance(value, int):
                number = value - 2**64 if value >= 2**63 else value
        return number

    def text(self, field: int) -> str:
        """The text of a field, or ""."""
        return "".join(str(message) for message in self.messages(field))

    def __str__(self) -> str:
        """The bytes as text."""
        return self._data[self._start : self._end].decode()

    def _varint(self, place: int) -> tuple[int, int]:
        """The integer at a position, with seven bits per byte, and the position after it."""
        number = 0
        for index, byte in enumerate(self._data[place : min(place + 10, self._end)]):
            number |= (byte & 127) << 7 * index
            if byte < 128:
                return number, place + index + 1
        raise ValueError("an integer has no end")


def read(file: Path) -> Message:
    """A file as a message; only the requested parts are read."""
    with file.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return Message(data, 0, len(data))
