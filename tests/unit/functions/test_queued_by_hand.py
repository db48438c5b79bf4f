"""Messages that somebody puts into a queue have no sequencer: which input is newer, S3 is asked."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3, refusal

Announce = Callable[..., dict[str, Any]]
Serve = Callable[..., list[str]]
Result = Callable[[str], Any]

KEY = "digits/a.json"
RESULT = f"digits/{KEY}.json"
#: What is uploaded, and what is predicted for it.
ODD, EVEN = b"[0, 0, 0]", b"[9, 9, 9]"


def by_hand(message: dict[str, Any], last_modified: str | None = "2027-01-15T08:00:00.000Z") -> dict[str, Any]:
    """The same input as `modelctl backfill` queues it: with the time of the listed version, without a sequencer."""
    (record,) = json.loads(message["body"])["Records"]
    del record["s3"]["object"]["sequencer"]
    record |= {"eventSource": "aws:s3", "eventTime": last_modified}
    return message | {"messageId": f"{message['messageId']}-by-hand", "body": json.dumps({"Records": [record]})}


def as_it_is(message: dict[str, Any]) -> dict[str, Any]:
    """The message that S3 sends."""
    return message


WAYS = pytest.mark.parametrize(
    ("older_by", "newer_by"),
    [(by_hand, as_it_is), (as_it_is, by_hand), (by_hand, by_hand)],
    ids=["the older one by hand", "the newer one by hand", "both by hand"],
)


@pytest.mark.parametrize("versions", [{}, {"versionId": None}], ids=["with versions", "without"])
def test_the_same_input_by_hand_is_done_without_a_second_prediction(
    versions: dict[str, Any], announce: Announce, serve: Serve, fake_s3: FakeS3
) -> None:
    message = announce(KEY, ODD, **versions)
    for first, second in ((message, by_hand(message)), (by_hand(message), message)):
        fake_s3.objects.pop((RESULTS, RESULT), None)
        assert serve([first]) == []
        fake_s3.gets.clear()
        assert serve([second]) == []
        assert len(fake_s3.objects[RESULTS, RESULT]) == 1
        assert (INPUTS, KEY) not in fake_s3.gets


def test_another_digest_predicts_an_input_by_hand_again(announce: Announce, serve: Serve, result: Result) -> None:
    message = announce(KEY, ODD)
    serve([message], "odds.tflite")
    serve([by_hand(message)], "odds.saved_model")
    assert result(KEY)["digest"] == "odds.saved_model"


@WAYS
@pytest.mark.parametrize("seconds", [0, 7], ids=["in one second", "later"])
@pytest.mark.parametrize("versions", [{}, {"versionId": None}], ids=["with versions", "without"])
def test_an_older_input_does_not_replace_the_newer_ones_result(
    older_by: Announce,
    newer_by: Announce,
    seconds: int,
    versions: dict[str, Any],
    announce: Announce,
    serve: Serve,
    fake_s3: FakeS3,
    result: Result,
) -> None:
    older = older_by(announce(KEY, ODD, **versions))
    fake_s3.time = lambda: 1_800_000_000 + seconds
    newer = newer_by(announce(KEY, EVEN, **versions))
    etag = json.loads(newer["body"])["Records"][0]["s3"]["object"]["eTag"]
    for order in ([newer, older], [older, newer, older]):
        fake_s3.objects.pop((RESULTS, RESULT), None)
        for message in order:
            assert serve([message]) == []
        assert result(KEY)["input"]["etag"] == etag
        assert result(KEY)["input"]["last_modified"] == f"2027-01-15T08:00:0{seconds}Z"


@WAYS
def test_the_current_version_replaces_whatever_times_say(
    older_by: Announce, newer_by: Announce, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Result
) -> None:
    """An object that is uploaded in parts has the time when its upload began."""
    older = older_by(announce(KEY, ODD))
    fake_s3.time = lambda: 1_700_000_000
    newer = newer_by(announce(KEY, EVEN))
    assert serve([older]) == []
    assert serve([newer]) == []
    assert result(KEY)["input"]["last_modified"] == "2023-11-14T22:13:20Z"
    assert serve([older]) == []
    assert result(KEY)["input"]["last_modified"] == "2023-11-14T22:13:20Z"


@WAYS
def test_of_two_old_versions_neither_replaces_the_other(
    older_by: Announce, newer_by: Announce, announce: Announce, serve: Serve, result: Result
) -> None:
    """The current version replaces both, and has a message of its own."""
    first, second, third = (announce(KEY, body) for body in (ODD, b"[5, 5, 5]", EVEN))
    for before, after in ((older_by(first), newer_by(second)), (newer_by(second), older_by(first))):
        assert serve([before]) == []
        standing = result(KEY)["input"]
        assert serve([after]) == []
        assert result(KEY)["input"] == standing
        assert serve([third]) == []
        assert result(KEY)["input"]["version_id"] == "v3"


@WAYS
@pytest.mark.parametrize("gone", ["deleted", "unreadable"])
def test_times_decide_where_s3_cannot_say(
    gone: str,
    older_by: Announce,
    newer_by: Announce,
    announce: Announce,
    serve: Serve,
    fake_s3: FakeS3,
    result: Result,
) -> None:
    older = older_by(announce(KEY, ODD))
    fake_s3.time = lambda: 1_800_000_007
    newer = announce(KEY, EVEN)
    (record,) = json.loads(newer["body"])["Records"]
    event = json.dumps({"Records": [record | {"eventTime": "2027-01-15T08:00:07.900Z"}]})
    newer = newer | {"body": event} if newer_by is as_it_is else by_hand(newer, "2027-01-15T08:00:07.000Z")
    looks = []

    def refuse(bucket: str, key: str) -> None:
        # The look-up of the result comes first, then the question, then the input itself.
        if bucket == INPUTS:
            looks.append(key)
            if len(looks) == 2:
                raise refusal(403, "InvalidObjectState")

    assert serve([older]) == []
    if gone == "deleted":
        fake_s3.delete(INPUTS, KEY)
    else:
        looks.append("the older input")
        fake_s3.before_get = refuse
    assert serve([newer]) == []
    assert result(KEY)["input"]["version_id"] == "v2"
    looks[1:] = []
    assert serve([older]) == []
    assert result(KEY)["input"]["version_id"] == "v2"


@pytest.mark.parametrize("last_modified", ["2027-01-15T08:00:00.000Z", None], ids=["in the same second", "at no time"])
def test_where_times_do_not_decide_the_result_stays(
    last_modified: str | None, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Result
) -> None:
    first, second = announce(KEY, ODD), announce(KEY, EVEN)
    assert serve([first]) == []
    fake_s3.delete(INPUTS, KEY)
    assert serve([by_hand(second, last_modified)]) == []
    assert result(KEY)["input"]["version_id"] == "v1"


def test_a_result_that_does_not_say_its_inputs_time_stays(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Result
) -> None:
    """It is of an input that was queued by hand without its time, and deleted before it was read."""
    older = by_hand(announce(KEY, ODD))
    newer = by_hand(announce(KEY, EVEN), None)
    fake_s3.objects.pop((INPUTS, KEY))
    assert serve([newer]) == []
    assert result(KEY)["input"]["last_modified"] is None
    assert serve([older]) == []
    assert result(KEY)["input"]["version_id"] == "v2"


@pytest.mark.parametrize("status", [403, 503])
def test_a_message_goes_back_if_s3_does_not_say_which_version_is_current(
    status: int, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Result
) -> None:
    first, second = announce(KEY, ODD), by_hand(announce(KEY, EVEN))
    assert serve([first]) == []

    def refuse(bucket: str, key: str) -> None:
        if bucket == INPUTS:
            raise refusal(status, "AccessDenied" if status == 403 else "SlowDown", "Access Denied")

    fake_s3.before_get = refuse
    assert serve([second]) == [second["messageId"]]
    assert result(KEY)["input"]["version_id"] == "v1"


def test_an_upload_that_is_served_in_between_is_not_replaced(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Result
) -> None:
    first = by_hand(announce(KEY, ODD))

    def race(_bucket: str, _key: str) -> None:
        fake_s3.before_put = lambda _bucket, _key: None
        assert serve([announce(KEY, EVEN)]) == []

    fake_s3.before_put = race
    assert serve([first]) == []
    assert [json.loads(stored.body)["input"]["version_id"] for stored in fake_s3.objects[RESULTS, RESULT]] == ["v2"]
