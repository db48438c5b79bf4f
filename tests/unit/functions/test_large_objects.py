"""A gigabyte in the inputs bucket does not reach the memory of a function; under awslambdaric, as on Lambda."""

import datetime
import gzip
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from inference.limits import MAX_BYTES
from modelctl.runtime_api import run_handler
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3, Stored, Stream
from unit.functions.loopback import access, served_s3
from unit.functions.valid_objects import npy

GIGABYTE = 2**30
NOW = datetime.datetime(2027, 1, 15, tzinfo=datetime.UTC)

#: MB of the function whose memory is watched.
MEMORY = 256


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

    def stream(self) -> Stream:
        return self.zeros


@pytest.mark.parametrize("announced", [GIGABYTE, 10, None], ids=["as large", "as small", "without a size"])
def test_a_gigabyte_is_refused_and_not_read_whatever_its_event_says(
    environment: Callable[..., dict[str, str]],
    announce: Callable[..., dict[str, Any]],
    fake_s3: FakeS3,
    announced: int | None,
) -> None:
    messages = [announce("digits/huge.json", b"", size=announced), announce("digits/small.json", b"[0, 0, 0]")]
    huge = Gigabyte(fake_s3.objects[INPUTS, "digits/huge.json"].pop().version_id, b"", NOW)
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
        "message": f"{GIGABYTE} bytes; an input may have at most {MAX_BYTES} (limits.bytes)",
    }
    assert served["predictions"] == [[0.5]]
    # What the sockets hold may have been sent before the connection was closed.
    assert huge.zeros.taken < MAX_BYTES / 4
    assert run.peak_memory_mb < 200


def test_the_largest_objects_that_are_taken_stay_within_the_memory(
    environment: Callable[..., dict[str, str]], announce: Callable[..., dict[str, Any]], fake_s3: FakeS3
) -> None:
    """GIVEN inputs that each go to a limit or beyond it WHEN they come in one batch THEN the function lives."""
    half = MEMORY * 2**20 // 64
    rows = np.arange(10_000, dtype=np.float32).reshape(-1, 1)
    bodies = {
        # As Python's numbers its predictions would take 320 MB, and as JSON 190 MB.
        "wide.npy": npy(rows),
        "fits.npy": npy(rows[:800]),
        "fits-again.npy": npy(rows[:800]),
        "objects.json": b"[" + b",".join([b"{}"] * (half // 3 - 1)) + b"]",
        "numbers.json": b"[" + b",".join([b"[7]"] * 9_999) + b"]" + b" " * (half - 50_000),
        "long.json": b"[" * (half + 1),
        "bomb.json.gz": gzip.compress(bytes(MEMORY * 2**20)),
        "large.npy.gz": gzip.compress(npy(np.zeros((3 * 2**20, 1)))),
    }
    messages = [announce(f"digits/{name}", body) for name, body in bodies.items()]
    variables = environment("wide.tflite", "litert", AWS_LAMBDA_FUNCTION_MEMORY_SIZE=str(MEMORY))
    with served_s3(fake_s3) as endpoint:
        run = run_handler("inference.handler.handler", [{"Records": messages}], variables | access(endpoint))
    assert run.answers == [{"batchItemFailures": []}]

    def outcome(name: str) -> Any:
        document = json.loads(fake_s3.objects[RESULTS, f"digits/digits/{name}.json"][-1].body)
        return len(document["predictions"]) if "predictions" in document else document["error"]["message"]

    found = {name: outcome(name) for name in bodies}
    assert (found["fits.npy"], found["fits-again.npy"]) == (800, 800)
    assert re.match(r"its result has room for \d+ predictions: .* 16777216 bytes of JSON", found["wide.npy"])
    assert re.match(r"its result has room for \d+ predictions", found["numbers.json"])
    assert found["objects.json"] == f"{half // 3 - 1} instances; an input may have at most 10000 (limits.records)"
    assert found["long.json"].startswith(
        f"{half + 1} bytes; JSON and CSV may have at most {half}, a 64th of the memory"
    )
    assert (
        found["bomb.json.gz"] == f"it decompresses to more than {MEMORY * 2**20 // 8} bytes (limits.decompressed_bytes)"
    )
    assert found["large.npy.gz"] == "3145728 instances; an input may have at most 10000 (limits.records)"
    assert run.peak_memory_mb < MEMORY
