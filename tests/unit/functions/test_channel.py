"""Messages between two processes arrive whole, and no wait for the other one has no end."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from inference.isolation.channel import Channel

#: More than a socket holds.
LARGE = bytes(range(256)) * 2**14


class OverError(Exception):
    """There is no time left."""


def waits(number: int) -> Callable[[], float]:
    """Waits that are short, and over after so many."""
    left = iter([0.01] * number)

    def wait_s() -> float:
        for seconds in left:
            return seconds
        raise OverError

    return wait_s


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A pair of sockets."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.mark.parametrize("message", [b"", b"x", LARGE], ids=["empty", "short", "long"])
def test_a_message_arrives_whole(message: bytes, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = map(Channel, ends)

    def send() -> None:
        one.send(message)
        one.send(b"next")

    sending = threading.Thread(target=send)
    sending.start()
    assert [other.receive(), other.receive()] == [message, b"next"]
    sending.join()


def test_a_receiver_goes_on_where_it_was_after_each_wait(ends: tuple[socket.socket, socket.socket]) -> None:
    """GIVEN a message of which half is there WHEN the rest comes after two waits THEN it is the message."""
    asked = 0

    def wait_s() -> float:
        nonlocal asked
        asked += 1
        if asked == 5:
            ends[0].send(b"lf")
        return 0.01

    ends[0].send(bytes(7) + b"\x04" + b"ha")
    assert Channel(ends[1], wait_s).receive() == b"half"
    assert asked == 5


@pytest.mark.parametrize("there", [b"", bytes(3), bytes(7) + b"9", bytes(7) + b"9{"])
def test_a_wait_in_the_middle_of_a_message_ends(there: bytes, ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].send(there)
    with pytest.raises(OverError):
        Channel(ends[1], waits(3)).receive()


def test_a_message_that_nobody_takes_is_not_waited_for_without_end(ends: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(OverError):
        Channel(ends[0], waits(3)).send(LARGE)


@pytest.mark.parametrize("there", [b"", bytes(3), bytes(7) + b"9{"])
def test_an_end_that_is_closed_is_not_waited_for(there: bytes, ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].send(there)
    ends[0].close()
    with pytest.raises(EOFError, match="the other end is closed"):
        Channel(ends[1]).receive()
