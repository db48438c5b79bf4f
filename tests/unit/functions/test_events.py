"""Which objects a queue message announces."""

import json

import pytest

from inference import keys
from inference.errors import MessageError
from inference.events import UploadedObject, announcement
from unit.functions.s3_events import eventbridge, notification


def test_a_notification_names_the_version_that_was_uploaded() -> None:
    assert announcement(notification("digits/7.png")).uploads == [
        UploadedObject("inputs", "digits/7.png", "v1", "d41d8cd9", "0A1B2C3D4E5F678901", 312, "1970-01-01T00:00:00Z")
    ]


def test_an_eventbridge_event_names_the_version_that_was_uploaded() -> None:
    assert announcement(eventbridge("digits/7.png")).uploads == [
        UploadedObject("inputs", "digits/7.png", "v2", "b1946ac9", "00617F08299329D189", 5, "2021-11-12T00:00:00Z")
    ]


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("digits/a+b.png", "digits/a b.png"),
        ("digits/a%2Bb.png", "digits/a+b.png"),
        ("digits/100%25.png", "digits/100%.png"),
        ("digits/%C3%BC.png", "digits/ü.png"),
    ],
)
def test_a_notifications_key_is_decoded_like_a_form_field(encoded: str, key: str) -> None:
    assert announcement(notification(encoded)).uploads[0].key == key


@pytest.mark.parametrize("key", ["digits/a+b.png", "digits/100%25.png", "digits/ü.png"])
def test_an_eventbridge_events_key_is_taken_as_it_is(key: str) -> None:
    assert announcement(eventbridge(key)).uploads[0].key == key


def test_one_notification_may_announce_several_objects() -> None:
    records = [json.loads(notification(key))["Records"][0] for key in ("digits/1.png", "digits/2.png")]
    assert [uploaded.key for uploaded in announcement(json.dumps({"Records": records})).uploads] == [
        "digits/1.png",
        "digits/2.png",
    ]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("2026-11-28T07:00:00.999Z", "2026-11-28T07:00:00Z"),
        ("2026-11-28T08:00:00+01:00", "2026-11-28T07:00:00Z"),
        (None, None),
    ],
)
def test_the_time_of_an_event_is_kept_in_whole_seconds(said: str | None, kept: str | None) -> None:
    record, event = json.loads(notification("digits/7.png")), json.loads(eventbridge("digits/7.png"))
    record["Records"][0]["eventTime"] = event["time"] = said
    for message in (record, event):
        assert announcement(json.dumps(message)).uploads[0].last_modified == kept


@pytest.mark.parametrize("time", ["", "yesterday", "2026-11-28T07:00:00", "0001-01-01T00:00:00+01:00", 7])
def test_a_time_that_is_none_is_not_s3s(time: object) -> None:
    record = json.loads(notification("digits/7.png"))
    record["Records"][0]["eventTime"] = time
    with pytest.raises(MessageError):
        announcement(json.dumps(record))


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inputs"}),
        notification("digits/7.png", event_name="ObjectRemoved:Delete"),
        eventbridge("digits/7.png", detail_type="Object Deleted"),
    ],
    ids=["test event", "deletion", "deletion by EventBridge"],
)
def test_what_announces_no_upload_asks_for_nothing(body: str) -> None:
    assert announcement(body).uploads == []


@pytest.mark.parametrize(
    "body", [notification("a.png", versionId="null"), eventbridge("a.png", **{"version-id": "null"})]
)
def test_null_is_no_version_since_any_number_of_uploads_have_it(body: str) -> None:
    assert announcement(body).uploads[0].version_id is None


def test_an_unversioned_bucket_leaves_the_version_open() -> None:
    record = json.loads(notification("digits/7.png"))
    del record["Records"][0]["s3"]["object"]["versionId"]
    assert announcement(json.dumps(record)).uploads[0].version_id is None


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not JSON",
        "[]",
        "null",
        "{}",
        '{"Records": null}',
        '{"Records": [{"eventName": "ObjectCreated:Put"}]}',
        notification("digits/7.png", sequencer="not hexadecimal"),
        notification("digits/7.png", sequencer="0x1F"),
        notification("digits/7.png", sequencer=7),
        notification("digits/7.png", size="large"),
        notification("digits/7.png", size=-1),
        notification("digits/7.png", size=True),
        notification("digits/7.png", size=float("inf")),
        notification("digits/7.png", versionId=7),
        notification("digits/7.png", eTag=["d41d8cd9"]),
        notification(""),
        eventbridge(7),  # type: ignore[arg-type]
        eventbridge("digits/\ud800.png"),
        '{"source": "aws.s3", "detail-type": "Object Created"}',
        pytest.param("[" * 100_000, id="nested deeply"),
        pytest.param("9" * 5_000, id="a huge number"),
    ],
)
def test_a_message_that_is_no_s3_event_is_not_mistaken_for_one(body: str) -> None:
    with pytest.raises(MessageError, match="message"):
        announcement(body)


def test_the_consoles_folders_are_no_inputs() -> None:
    assert UploadedObject("inputs", "digits/", size=0).is_folder_marker()
    assert not UploadedObject("inputs", "digits/odd-name/", size=12).is_folder_marker()
    assert not UploadedObject("inputs", "digits/empty.png", size=0).is_folder_marker()


def test_a_route_takes_its_prefixes_and_suffixes_literally() -> None:
    assert keys.is_routed("digits/7.PNG", ["digits/"], [])
    assert keys.is_routed("digits/7.PNG", ["wine/", "digits/"], [".json", ".PNG"])
    assert not keys.is_routed("digits/7.PNG", ["digits/"], [".png"])
    assert not keys.is_routed("digits/7.PNG", ["wine/"], [])


def test_a_suffix_is_foreign_only_under_a_prefix_of_the_route() -> None:
    assert keys.has_foreign_suffix("digits/notes.txt", ["wine/", "digits/"], [".json", ".png"])
    assert not keys.has_foreign_suffix("digits/7.png", ["wine/", "digits/"], [".json", ".png"])
    assert not keys.has_foreign_suffix("digits/notes.txt", ["digits/"], [])
    assert not keys.has_foreign_suffix("scans/notes.txt", ["digits/"], [".png"])


def test_only_a_notification_was_filtered_by_suffix() -> None:
    assert announcement(notification("digits/7.png")).filtered_by_suffix
    assert not announcement(eventbridge("digits/7.png")).filtered_by_suffix
