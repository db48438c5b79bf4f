"""Reading results, and waiting for those of one version of an input."""

import datetime
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inference.events import UploadedObject
from inference.keys import result_key
from modelctl.deployed import results
from modelctl.errors import UserError
from unit.deployed import deployment, model
from unit.functions.boto_s3 import BotoClient
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3, refusal

DIGITS = model("digits/")
KEY = "digits/7.png"


def store(s3: FakeS3, key: str, version_id: str) -> None:
    """Store the result of one version of an input."""
    document = {"input": {"key": key, "version_id": version_id}, "predictions": [version_id]}
    s3.upload(RESULTS, result_key("digits", key), json.dumps(document).encode())


def wait(s3: FakeS3, key: str, version_id: str, timeout_s: float = 20) -> object:
    """What the result of a version predicts."""
    uploaded = UploadedObject(INPUTS, key, version_id)
    turns = results.Turns(time.monotonic() + timeout_s)
    return results.wait(deployment(BotoClient(s3)), DIGITS, uploaded, turns)["predictions"]


def test_an_input_without_a_result_has_none() -> None:
    assert results.read(deployment(BotoClient(FakeS3())), DIGITS, KEY) is None


def test_what_else_s3_refuses_is_no_missing_result() -> None:
    def refuse(bucket: str, key: str) -> None:
        raise refusal(503, "SlowDown")

    with pytest.raises(ClientError, match="SlowDown"):
        results.read(deployment(BotoClient(FakeS3(before_get=refuse))), DIGITS, KEY)


@pytest.mark.parametrize("key", [KEY, "digits/" + "e" * 1017], ids=["short", "whose result is stored under a hash"])
def test_the_result_of_a_key_is_found_where_the_function_stores_it(key: str) -> None:
    s3 = FakeS3()
    store(s3, key, "v1")
    assert wait(s3, key, "v1") == ["v1"]


def test_the_result_of_an_older_version_is_not_taken_for_that_of_a_newer_one() -> None:
    looks = 0

    def store_later(bucket: str, key: str) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            store(s3, KEY, "v2")

    s3 = FakeS3(before_get=store_later)
    store(s3, KEY, "v1")
    assert wait(s3, KEY, "v2") == ["v2"]
    assert looks == 3


def test_a_result_that_does_not_come_in_time_is_named_with_its_place() -> None:
    where = f"s3://{RESULTS}/digits/{KEY}.json"
    with pytest.raises(UserError, match=f"{KEY} was uploaded, but no result came in time.*{where}"):
        wait(FakeS3(), KEY, "v1", timeout_s=0)


def provisional(ago_s: float) -> dict[str, Any]:
    """A result that was written this many seconds ago, before the last attempt."""
    written = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=ago_s)
    return {
        "input": {"key": KEY, "version_id": "v1"},
        "provisional": True,
        "error": {"type": "ModelError", "message": "hooks: postprocess raised KeyError"},
        "finished_at": written.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def test_a_provisional_result_is_one_once_its_message_is_dead() -> None:
    """The visibility timeout of the last receive is then over."""
    s3, uploaded = FakeS3(), UploadedObject(INPUTS, KEY, "v1")
    deployed = deployment(BotoClient(s3))
    s3.upload(RESULTS, result_key("digits", KEY), json.dumps(provisional(ago_s=361)).encode())
    dead = results.wait(deployed, DIGITS, uploaded, results.Turns(time.monotonic()))
    assert results.said_instead(dead) == "given up: ModelError: hooks: postprocess raised KeyError"
    s3.upload(RESULTS, result_key("digits", KEY), json.dumps(provisional(ago_s=300)).encode())
    says = (
        "its last attempt has begun, and has failed unless an answer comes within 6[01] s. So far its result is "
        "given up: ModelError: hooks: postprocess raised KeyError"
    )
    with pytest.raises(UserError, match=says):
        results.wait(deployed, DIGITS, uploaded, results.Turns(time.monotonic()))


def test_an_answer_ends_the_wait_although_a_provisional_result_was_there() -> None:
    looks = 0

    def answer_later(bucket: str, key: str) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            store(s3, KEY, "v1")

    s3 = FakeS3(before_get=answer_later)
    s3.upload(RESULTS, result_key("digits", KEY), json.dumps(provisional(ago_s=0)).encode())
    assert wait(s3, KEY, "v1") == ["v1"]
    assert looks == 2


def test_waiting_for_many_results_looks_no_more_often_than_waiting_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pause_s, lock, looks = 0.05, threading.Lock(), 0
    monkeypatch.setattr(results, "_POLL_S", (pause_s, pause_s))

    def count(bucket: str, key: str) -> None:
        nonlocal looks
        with lock:
            looks += 1

    s3, keys = FakeS3(before_get=count), [f"digits/{number}.png" for number in range(10)]
    deployed, started = deployment(BotoClient(s3)), time.monotonic()
    turns = results.Turns(started + 20)
    with ThreadPoolExecutor(len(keys)) as pool:
        waits = [pool.submit(results.wait, deployed, DIGITS, UploadedObject(INPUTS, key, "v1"), turns) for key in keys]
        time.sleep(0.3)
        for key in keys:
            store(s3, key, "v1")
        waited_s = time.monotonic() - started
        assert [wait.result()["input"]["key"] for wait in waits] == keys
    # One look per pause found nothing, and one per result found it.
    assert 2 <= looks - len(keys) <= waited_s / pause_s + 1


def test_one_result_that_does_not_come_keeps_no_other_from_being_found() -> None:
    s3, keys = FakeS3(), [f"digits/{number}.png" for number in range(4)]
    for key in keys[1:]:
        store(s3, key, "v1")
    deployed, turns = deployment(BotoClient(s3)), results.Turns(time.monotonic() + 20)
    with ThreadPoolExecutor(len(keys)) as pool:
        late, *others = (
            pool.submit(results.wait, deployed, DIGITS, UploadedObject(INPUTS, key, "v1"), turns) for key in keys
        )
        assert [wait.result()["predictions"] for wait in others] == [["v1"]] * 3
        assert not late.done()
        turns.give_up()
        with pytest.raises(UserError, match=f"{keys[0]} was uploaded, but no result came"):
            late.result()
