"""A gigabyte in the inputs bucket does not reach the memory of a function; under awslambdaric, as on Lambda."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.response import StreamingBody

from inference.limits import MAX_BYTES
from modelctl.runtime_api import run_handler
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3, Stored
from unit.functions.loopback import access, served_s3

GIGABYTE = 2**30


class Zeros(io.RawIOBase):
    """A gigabyte that is made while it is read, and knows how much was."""

    def __init__(self) -> None:
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        amount = GIGABYTE - self.taken if size < 0 else min(size, GIGABYTE - self.taken)
        self.taken += amount
        return bytes(amount)


@dataclass(frozen=True)
class Gigabyte(Stored):
    """An object that S3 says is a gigabyte large, and would send."""

    zeros: Zeros = field(default_factory=Zeros)

    @property
    def size(self) -> int:
        return GIGABYTE

    def stream(self) -> StreamingBody:
        return StreamingBody(self.zeros, GIGABYTE)  # type: ignore[arg-type]  # anything with `read` will do


@pytest.mark.parametrize("announced", [GIGABYTE, 10, None], ids=["as large", "as small", "without a size"])
def test_a_gigabyte_is_refused_and_not_read_whatever_its_event_says(
    environment: Callable[..., dict[str, str]],
    announce: Callable[..., dict[str, Any]],
    fake_s3: FakeS3,
    announced: int | None,
) -> None:
    messages = [announce("digits/huge.json", b"", size=announced), announce("digits/small.json", b"[0, 0, 0]")]
    huge = Gigabyte(fake_s3.objects[INPUTS, "digits/huge.json"].pop().version_id, b"")
    fake_s3.objects[INPUTS, "digits/huge.json"].append(huge)
    with served_s3(fake_s3) as endpoint:
        run = run_handler(
            "inference.handler.handler",
            [{"Records": messages}],
            environment("odds.tflite", "litert", **access(endpoint)),
        )
    assert run.answers == [{"batchItemFailures": []}]
    refused, served = (
        json.loads(fake_s3.objects[RESULTS, f"digits/digits/{name}.json.json"][-1].body) for name in ("huge", "small")
    )
    assert refused["error"] == {
        "type": "TooLargeError",
        "message": f"{GIGABYTE} bytes; an input may have {MAX_BYTES} (limits.bytes)",
    }
    assert served["predictions"] == [[0.5]]
    # What the sockets hold may have been sent before the connection was closed.
    assert huge.zeros.taken < MAX_BYTES / 4
    assert run.peak_memory_mb < 200
