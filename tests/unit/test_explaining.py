"""What is said of one input, in each state that it can be in."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inference import keys
from modelctl import times
from modelctl.deployed import explaining
from modelctl.deployed.explaining import Verdict
from modelctl.errors import UserError
from unit.deployed import model
from unit.fake_sqs import FakeSqs
from unit.functions.fake_s3 import INPUTS, RESULTS
from unit.test_dead_letters import notification

DIGITS = replace(
    model("digits/", suffixes=(".png",)),
    queue_url="https://sqs/1/yard-digits",
    dead_letter_queue_url="https://sqs/1/yard-digits-dlq",
)
KEY = "digits/a b.png"
NOW = datetime(2026, 11, 27, 18, 30, tzinfo=UTC)
LIVE, OLD = "a" * 64, "b" * 64


class Cloud:
    """One model, what was uploaded for it, and what became of that."""

    def __init__(self) -> None:
        self.sqs = FakeSqs()
        self.inputs, self.results = INPUTS, RESULTS
        self.models = {"digits": DIGITS}
        self.s3 = self.log_events = self
        self.versions: list[dict[str, Any]] = []
        self.written: dict[str, tuple[bytes, datetime]] = {}
        self.log: list[tuple[datetime, dict[str, Any]]] = []
        self.notifications: list[dict[str, Any]] | None = [configuration("digits-0", "digits/", ".png")]
        self.digest: str | None = LIVE
        self.event_way = "notification"
        self.eventbridge = False

    def live_digest(self, model: Any) -> str | None:
        assert model is DIGITS
        return self.digest

    def upload(self, version: str, *, minutes: float, key: str = KEY, deleted: bool = False, size: int = 114) -> None:
        for one in self.versions:
            one["IsLatest"] &= one["Key"] != key
        kind = {} if deleted else {"ETag": '"etag"', "Size": size}
        when = NOW - timedelta(minutes=minutes)
        self.versions.insert(0, {"Key": key, "VersionId": version, "LastModified": when, "IsLatest": True, **kind})

    def answer(self, version: str, *, minutes: float, digest: str = LIVE, **said: Any) -> None:
        source = {"bucket": INPUTS, "key": KEY, "version_id": version}
        document = {"model": "digits", "version": "7", "digest": digest, "input": source}
        body = json.dumps({**document, **(said or {"predictions": [1]})}).encode()
        self.written[keys.result_key("digits", KEY)] = (body, NOW - timedelta(minutes=minutes))

    def list_object_versions(self, Bucket: str, Prefix: str, MaxKeys: int) -> Any:  # noqa: N803
        assert (Bucket, MaxKeys) == (INPUTS, 1000)
        found = [one for one in self.versions if one["Key"].startswith(Prefix)]
        return {
            "Versions": [one for one in found if "Size" in one],
            "DeleteMarkers": [one for one in found if "Size" not in one],
        }

    def get_object(self, Bucket: str, Key: str, Range: str) -> Any:  # noqa: N803
        assert (Bucket, Range) == (RESULTS, "bytes=0-16383")
        if Key not in self.written:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        body, when = self.written[Key]
        return {"Body": io.BytesIO(body), "LastModified": when, "ETag": '"e"'}

    def get_bucket_notification_configuration(self, Bucket: str) -> Any:  # noqa: N803
        assert Bucket == INPUTS
        if self.notifications is None:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetBucketNotificationConfiguration")
        return {
            "QueueConfigurations": self.notifications,
            **({"EventBridgeConfiguration": {}} if self.eventbridge else {}),
        }

    def get_paginator(self, operation: str) -> Any:
        assert operation == "filter_log_events"
        lines = [{"timestamp": int(when.timestamp() * 1000), "message": json.dumps(line)} for when, line in self.log]
        return SimpleNamespace(paginate=lambda **asked: [{"events": lines}])

    def explain(self, key: str = KEY, version: str | None = None) -> explaining.Explanation:
        cloud: Any = self
        return explaining.explain(cloud, key, version)

    def verdict(self, version: str | None = None) -> tuple[str, str, str]:
        """State, what is said, and what to do next."""
        found = self.explain(version=version).verdict
        return found.state, found.says, found.next


def configuration(name: str, prefix: str, suffix: str | None, queue: str = "yard-digits") -> dict[str, Any]:
    rules = [{"Name": "Prefix", "Value": prefix}, *([{"Name": "Suffix", "Value": suffix}] if suffix else [])]
    return {"Id": name, "QueueArn": f"arn:aws:sqs:r:1:{queue}", "Filter": {"Key": {"FilterRules": rules}}}


def at(minutes: float) -> str:
    return times.shown(NOW - timedelta(minutes=minutes))


@pytest.fixture(autouse=True)
def _present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "present", lambda: NOW)


@pytest.fixture
def cloud() -> Cloud:
    """An input that was uploaded an hour ago, and nothing else."""
    cloud = Cloud()
    cloud.upload("v1", minutes=60)
    return cloud


def test_a_key_that_no_model_takes_is_told_which_was_nearest(cloud: Cloud) -> None:
    cloud.upload("v1", minutes=1, key="digits/a.PNG")
    found = cloud.explain("digits/a.PNG")
    assert found.verdict == Verdict(
        "no model", "no model takes it; it stays in inputs and is not served", "upload it as digits/a.png"
    )
    document = explaining.described(found)
    assert (document["model"], document["state"]) == (None, "no model")
    assert document["route"] == {
        "why": "digits takes digits/ only with .png, but the key ends with .PNG; S3 distinguishes upper and lower case",
        "nearest": "digits",
        "instead": "digits/a.png",
    }


def test_a_key_that_nobody_has_uploaded() -> None:
    cloud = Cloud()
    # It begins with the key, and is another one.
    cloud.upload("v1", minutes=1, key=f"{KEY}.png")
    assert cloud.verdict() == (
        "not uploaded",
        "not uploaded: inputs has no such object",
        f"upload it as {KEY}",
    )


def test_an_input_that_was_deleted(cloud: Cloud) -> None:
    cloud.upload("v2", minutes=5, deleted=True)
    assert cloud.verdict() == ("deleted", f"deleted at {at(5)}, and no longer served", "")


def test_a_folder_of_the_console(cloud: Cloud) -> None:
    every = replace(DIGITS, suffixes=())
    cloud.models = {"digits": every}
    cloud.live_digest = lambda model: LIVE  # type: ignore[method-assign]
    cloud.upload("v1", minutes=5, key="digits/new/", size=0)
    assert cloud.explain("digits/new/").verdict.state == "folder"


@pytest.mark.parametrize(
    ("digest", "says", "then"),
    [
        (LIVE, "digest aaaaaaaa, which is live", ""),
        (
            OLD,
            "digest bbbbbbbb, but aaaaaaaa is live now",
            f"`modelctl backfill digits --stale --prefix '{KEY}'` queues it again",
        ),
    ],
)
def test_an_answer_names_its_digest_and_what_is_live(cloud: Cloud, digest: str, says: str, then: str) -> None:
    cloud.answer("v1", minutes=59, digest=digest)
    assert cloud.verdict() == ("answered", f"answered {at(59)} by version 7, {says}", then)
    document: Any = explaining.described(cloud.explain())
    assert document["result"] == {
        "of_this_version": True,
        "version_id": "v1",
        "written": times.iso(NOW - timedelta(minutes=59)),
        "version": "7",
        "digest": digest,
        "provisional": False,
        "error": None,
    }
    assert document["route"] == {
        "prefix": "digits/",
        "suffix": ".png",
        "why": "the key begins with digits/ and ends with .png",
    }


def test_a_refusal_says_why(cloud: Cloud) -> None:
    cloud.answer("v1", minutes=59, error={"type": "DecodeError", "message": "no PNG"})
    assert cloud.verdict() == (
        "refused",
        f"refused {at(59)} by version 7, digest aaaaaaaa, which is live: DecodeError: no PNG",
        "the input is at fault: upload a corrected one under the same key",
    )


GIVEN_UP = (
    "given up after 3 tries, and its message is in the dead-letter queue yard-digits-dlq: ModelError: hooks: no",
    f"fix the cause, then `modelctl redrive digits --key '{KEY}'`",
)


def test_a_dead_letter_says_why_by_its_provisional_result(cloud: Cloud) -> None:
    cloud.answer("v1", minutes=59, provisional=True, error={"type": "ModelError", "message": "hooks: no"})
    cloud.sqs.put(DIGITS.dead_letter_queue_url, notification(KEY), receives=3, age=3600)
    assert cloud.verdict() == ("given up", *GIVEN_UP)


def test_a_dead_letter_without_a_result_says_why_by_the_log(cloud: Cloud) -> None:
    message_id = cloud.sqs.put(DIGITS.dead_letter_queue_url, notification(KEY), receives=3, age=3600)
    cloud.sqs.put(DIGITS.dead_letter_queue_url, notification("digits/other.png"), receives=3, age=3600)
    error = {"level": "ERROR", "errorType": "ModelError", "errorMessage": "hooks: no", "message_id": message_id}
    cloud.log.append((NOW, error))
    assert cloud.verdict() == ("given up", *GIVEN_UP)
    assert len(cloud.sqs.bodies(DIGITS.dead_letter_queue_url, visible=True)) == 2


def test_a_dead_letter_of_an_earlier_version_is_not_this_ones(cloud: Cloud) -> None:
    cloud.upload("v2", minutes=30)
    cloud.sqs.put(DIGITS.dead_letter_queue_url, notification(KEY, "v1"), receives=3, age=3600)
    assert cloud.explain().verdict.state == "never announced"


def test_a_last_attempt_may_still_succeed_until_the_visibility_timeout_is_over(cloud: Cloud) -> None:
    error = {"type": "GivenUpError", "message": "it did not end"}
    cloud.answer("v1", minutes=3, provisional=True, error=error)
    state, says, _ = cloud.verdict()
    assert state == "waiting"
    assert says.startswith(f"its last attempt began at {at(3)}: unless it succeeds")
    cloud.answer("v1", minutes=7, provisional=True, error=error)
    assert cloud.verdict() == (
        "given up",
        f"given up at {at(7)}, and its message has left the dead-letter queue (it was put back, discarded, or was "
        "older than 14 days): GivenUpError: it did not end",
        f"fix the cause, then `modelctl backfill digits --prefix '{KEY}'`",
    )


def test_an_earlier_version_is_superseded_unless_the_result_is_of_it(cloud: Cloud) -> None:
    cloud.upload("v2", minutes=30)
    cloud.answer("v1", minutes=29)
    assert cloud.explain(version="v1").verdict.state == "answered"
    cloud.answer("v2", minutes=28)
    assert cloud.verdict("v1") == (
        "superseded",
        f"superseded: a newer version was uploaded at {at(30)}, and the result is for that version",
        f"`modelctl explain '{KEY}'` shows what became of the newer one",
    )
    assert [one.version_id for one in cloud.explain().uploads] == ["v2", "v1"]
    with pytest.raises(UserError, match="has no version v3"):
        cloud.explain(version="v3")


def test_without_result_and_dead_letter_it_may_wait_in_the_queue(cloud: Cloud) -> None:
    cloud.sqs.put(DIGITS.queue_url, notification("digits/other.png"))
    cloud.sqs.before = lambda name: None
    state, says, _ = cloud.verdict()
    assert (state, says) == (
        "waiting",
        "probably waiting or being served: the queue of digits has 1 message waiting, and 0 being served or waiting "
        "361 s for the next try",
    )


def test_nothing_is_ever_received_from_the_queue_of_inputs(cloud: Cloud) -> None:
    cloud.sqs.put(DIGITS.queue_url, notification(KEY))
    cloud.explain()
    assert [message.receives for message in cloud.sqs.queues[DIGITS.queue_url]] == [0]


def test_the_queue_holds_no_upload_that_is_older_than_its_messages_are_kept() -> None:
    cloud = Cloud()
    cloud.upload("v1", minutes=4 * 24 * 60)
    cloud.sqs.put(DIGITS.queue_url, notification("digits/other.png"))
    assert cloud.explain().verdict.state == "never announced"


def test_a_dead_letter_that_somebody_else_looks_at_may_be_the_one(cloud: Cloud) -> None:
    cloud.sqs.put(DIGITS.dead_letter_queue_url, notification(KEY), receives=3, age=3600)
    cloud.sqs.queues[DIGITS.dead_letter_queue_url][0].visible_at = cloud.sqs.now + 60
    state, says, then = cloud.verdict()
    assert (state, then) == ("unclear", "look again in two minutes")
    assert says.startswith("unclear: 1 dead letter of digits cannot be read")


def test_a_fresh_upload_may_not_be_announced_yet() -> None:
    cloud = Cloud()
    cloud.upload("v1", minutes=0)
    assert cloud.explain().verdict.state == "waiting"


def test_an_upload_of_which_there_is_no_trace_was_never_announced(cloud: Cloud) -> None:
    state, says, then = cloud.verdict()
    assert state == "never announced"
    assert "it was uploaded before its route was active" in says.lower()
    assert then == f"`modelctl backfill digits --prefix '{KEY}'` queues it"


@pytest.mark.parametrize(
    "notifications",
    [
        [],
        [configuration("digits-0", "digits/", None)],
        [configuration("digits-0", "digits/", ".json")],
        [configuration("digits-0", "digit/", ".png")],
        [configuration("digits-0", "digits/", ".png", queue="yard-other")],
    ],
)
def test_an_upload_that_the_bucket_does_not_announce(cloud: Cloud, notifications: list[dict[str, Any]]) -> None:
    cloud.notifications = notifications
    found = cloud.explain()
    assert found.way == "the inputs bucket does not announce such keys to the queue yard-digits"
    assert found.verdict.says == "never announced: the inputs bucket does not announce such keys"


def test_the_way_names_the_notification_and_the_queue(cloud: Cloud) -> None:
    assert cloud.explain().way == "the bucket's notification digits-0 sends it to the queue yard-digits"
    # Somebody else's rules, as long as the deployment has none.
    cloud.eventbridge = True
    assert cloud.explain().way == "the bucket's notification digits-0 sends it to the queue yard-digits"
    cloud.event_way = "both"
    assert cloud.explain().way == (
        "the bucket's notification digits-0 and the EventBridge rule yard-digits send it to the queue yard-digits"
    )
    cloud.notifications = []
    assert cloud.explain().way == "the EventBridge rule yard-digits sends it to the queue yard-digits"
    cloud.notifications = None
    assert "; this was not checked, because s3:GetBucketNotification is denied" in cloud.explain().way


def test_an_upload_that_the_function_has_seen_and_that_is_nowhere_is_unclear(cloud: Cloud) -> None:
    cloud.log.append((NOW - timedelta(minutes=50), {"key": KEY, "version_id": "v1"}))
    cloud.log.append((NOW - timedelta(minutes=40), {"key": KEY, "version_id": "v0"}))
    state, says, _ = cloud.verdict()
    assert state == "unclear"
    assert f"(see its log at {at(50)})" in says


@pytest.mark.parametrize(
    ("named", "expected"),
    [("digits/a", "digits/a"), ("/digits/a", "/digits/a"), (f"s3://{INPUTS}/digits/a", "digits/a")],
)
def test_a_key_may_be_named_by_its_address(cloud: Any, named: str, expected: str) -> None:
    assert explaining.key_of(cloud, named) == expected


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("", "the key is empty"),
        (f"s3://{INPUTS}/", "the key is empty"),
        (f"s3://{RESULTS}/digits/digits/a.png.json", "is a result: name the input"),
        ("s3://other/digits/a", "is not in the inputs bucket, which is inputs"),
    ],
)
def test_another_address_is_refused(cloud: Any, named: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        explaining.key_of(cloud, named)


def test_a_hidden_dead_letter_of_a_provisional_result_is_not_said_to_be_gone(cloud: Cloud) -> None:
    """As after a look at the dead letters that was broken off: a backfill would be the wrong advice."""
    cloud.answer("v1", minutes=7, provisional=True, error={"type": "ModelError", "message": "hooks: no"})
    cloud.sqs.put(DIGITS.dead_letter_queue_url, notification(KEY), receives=3, age=3600)
    cloud.sqs.queues[DIGITS.dead_letter_queue_url][0].visible_at = cloud.sqs.now + 60
    state, _, then = cloud.verdict()
    assert (state, then) == ("unclear", "look again in two minutes")
