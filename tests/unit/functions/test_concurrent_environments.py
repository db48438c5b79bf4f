"""Two environments of the function, each in its own process, meet at the same result."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from modelctl.runtime_api import run_handler
from unit.functions.fake_s3 import RESULTS, FakeS3
from unit.functions.loopback import access, served_s3

KEYS = [f"digits/{number}.json" for number in range(10)]


@pytest.mark.parametrize("newer", [False, True], ids=["the same input", "an older and a newer one"])
def test_of_two_that_write_at_the_same_time_the_newer_input_has_the_one_result(
    newer: bool, environment: Callable[..., dict[str, str]], announce: Callable[..., dict[str, Any]], fake_s3: FakeS3
) -> None:
    """GIVEN both read that there is no result, and predict, WHEN both write THEN S3's conditions decide."""
    batches = [[announce(key, b"no JSON" if newer else b"[0, 0, 0]") for key in KEYS]]
    batches.append([announce(key, b"[0, 0, 0]") for key in KEYS] if newer else batches[0][::-1])
    writes: Counter[str] = Counter()
    both = {f"digits/{key}.json": threading.Barrier(2, timeout=30) for key in KEYS}
    lock = threading.Lock()

    def meet(_bucket: str, key: str) -> None:
        with lock:
            writes[key] += 1
            first = writes[key] <= 2
        if first:
            both[key].wait()

    fake_s3.before_put = meet
    variables = environment("odds.tflite", "litert")
    with served_s3(fake_s3) as endpoint, ThreadPoolExecutor(2) as pool:

        def run(records: list[dict[str, Any]]) -> list[Any]:
            return run_handler(
                "inference.handler.handler", [{"Records": records}], variables | access(endpoint)
            ).answers

        assert list(pool.map(run, batches)) == [[{"batchItemFailures": []}]] * 2
    for key in KEYS:
        documents = [json.loads(stored.body) for stored in fake_s3.objects[RESULTS, f"digits/{key}.json"]]
        assert documents[-1]["predictions"] == [[0.5]]
        written = [document["input"]["sequencer"] for document in documents]
        assert written == sorted(set(written)), "doubled, or an older input's after a newer one's"
