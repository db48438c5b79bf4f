"""Provisional results of inputs whose messages died before the function saw them: never over an answer."""

import dataclasses
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from inference import surroundings
from inference.events import UploadedObject
from inference.results import ResultStore
from modelctl.deployed import recording
from modelctl.deployed.dead_letters import DeadLetter
from modelctl.deployed.last_errors import LastError
from modelctl.deployed.sending import Message
from unit.deployed import model
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3, refusal

DIGITS = model("digits/")
KEY, RESULT = "digits/7.png", "digits/digits/7.png.json"
UPLOADED = UploadedObject(INPUTS, KEY, "v2", "etag", "0B", 312)
UNKNOWN = LastError("Unknown", "nothing is known", "nothing")


def letter(uploaded: UploadedObject = UPLOADED, receives: int = 4) -> DeadLetter:
    sent = datetime(2026, 11, 28, 7, 0, tzinfo=UTC)
    return DeadLetter("m1", "receipt", Message("{}"), sent, receives, (uploaded,))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    """The buckets, without results."""
    monkeypatch.setattr(recording, "BotocoreObjects", lambda client: client)
    return FakeS3()


def record_all(s3: FakeS3, *letters: DeadLetter, error: LastError = UNKNOWN) -> recording.Recorded:
    deployed: Any = SimpleNamespace(s3=s3, results=RESULTS)
    return recording.record(deployed, DIGITS, [(one, error) for one in letters])


def record(s3: FakeS3, error: LastError = UNKNOWN) -> list[str]:
    recorded = record_all(s3, letter(), error=error)
    assert recorded.failed == {}
    return recorded.written


def stored(s3: FakeS3) -> Any:
    found = s3.current(RESULTS, RESULT)
    return None if found is None else json.loads(found.body)


def put(s3: FakeS3, version: str, sequencer: str, **said: Any) -> Any:
    source = dataclasses.asdict(dataclasses.replace(UPLOADED, version_id=version, sequencer=sequencer))
    document = {"model": "digits", "version": "1", "digest": "b" * 64, "input": source, **said}
    s3.upload(RESULTS, RESULT, json.dumps(document).encode())
    return document


def test_an_input_without_a_result_gets_a_provisional_one(s3: FakeS3) -> None:
    assert record(s3) == [KEY]
    document = stored(s3)
    assert datetime.fromisoformat(document.pop("finished_at")).tzinfo is UTC
    assert document == {
        "model": "digits",
        "version": "1",
        "digest": "0" * 64,
        "variant": "stable",
        "input": dataclasses.asdict(UPLOADED),
        "provisional": True,
        "error": {
            "type": "GivenUpError",
            "message": "its message was received 3 times and given up, and the function left no trace of it: it may "
            "have been throttled, unable to start or being restored. Once that is fixed, redrive the message",
        },
        "timing_ms": {"fetch": None, "decode": None, "predict": None, "batch_size": 0, "cold_start": False},
        "request_id": None,
    }


def test_what_the_log_says_is_the_error_of_the_result(s3: FakeS3) -> None:
    assert record(s3, LastError("StorageError", "S3 said no: " + "x" * 700, "log")) == [KEY]
    error = stored(s3)["error"]
    assert (error["type"], error["message"]) == ("StorageError", f"S3 said no: {'x' * 588} ...")


@pytest.mark.parametrize("source", ["result", "answered", "message"])
def test_an_input_that_has_its_result_and_a_message_of_none_are_left_alone(s3: FakeS3, source: Any) -> None:
    assert record(s3, LastError("E", "m", source)) == []
    assert s3.objects == {}


@pytest.mark.parametrize(
    ("version", "sequencer", "stays"),
    [("v1", "0A", False), ("v2", "0B", True), ("v3", "0C", True)],
)
def test_neither_this_inputs_answer_nor_a_newer_ones_is_written_over(
    s3: FakeS3, version: str, sequencer: str, stays: bool
) -> None:
    answer = put(s3, version, sequencer, predictions=[1])
    assert record(s3) == ([] if stays else [KEY])
    assert (stored(s3) == answer) == stays


def test_an_answer_that_is_written_meanwhile_stays(s3: FakeS3) -> None:
    def answered(bucket: str, key: str) -> None:
        s3.before_put = lambda bucket, key: None
        put(s3, "v2", "0B", predictions=[1])

    s3.before_put = answered
    assert record(s3) == []
    assert stored(s3)["predictions"] == [1]


def test_a_later_answer_replaces_it(s3: FakeS3) -> None:
    record(s3)
    owner: Any = SimpleNamespace(name="digits", digest=DIGITS.digest, results=RESULTS)
    store = ResultStore(s3, owner, surroundings.real())
    current = store.current(KEY)
    assert not store.settles(current, UPLOADED)
    assert store.write(UPLOADED, b"{}", current)


def test_an_input_that_s3_refuses_keeps_no_other_from_its_result(s3: FakeS3) -> None:
    """GIVEN messages that were put into the queue by hand, with results of other versions WHEN one input may not be
    read, which has to say whether its version is current THEN that one has no result and is named."""
    letters = []
    for key in ("digits/denied", "digits/seen", "digits/new"):
        stored = s3.upload(INPUTS, key, b"x")
        letters.append(letter(UploadedObject(INPUTS, key, stored.version_id, stored.etag.strip('"'))))
        if key != "digits/new":
            source = {"bucket": INPUTS, "key": key, "version_id": "earlier"}
            document = {"model": "digits", "version": "1", "digest": "b" * 64, "input": source, "predictions": [1]}
            s3.upload(RESULTS, f"digits/{key}.json", json.dumps(document).encode())
    s3.before_get = lambda bucket, key: deny() if (bucket, key) == (INPUTS, "digits/denied") else None
    recorded = record_all(s3, *letters)
    assert recorded.written == ["digits/seen", "digits/new"]
    assert recorded.failed.keys() == {"digits/denied"}
    assert recorded.failed["digits/denied"].startswith(f"s3://{INPUTS}/digits/denied could not be read: ")


def test_an_input_whose_result_cannot_be_read_is_named(s3: FakeS3) -> None:
    recorded = record_all(s3, letter(), error=LastError("Unread", "its result cannot be read: 403", "unread"))
    assert (recorded.written, recorded.failed) == ([], {KEY: "its result cannot be read: 403"})
    assert s3.objects == {}


def test_what_s3_does_not_let_anybody_write_is_named(s3: FakeS3) -> None:
    s3.before_put = lambda bucket, key: deny()
    recorded = record_all(s3, letter())
    assert recorded.written == []
    assert recorded.failed[KEY].startswith(f"the result of {KEY} could not be written: ")


def deny() -> None:
    raise refusal(403, "AccessDenied")
