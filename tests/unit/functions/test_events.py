"""Which objects a queue message announces."""

import json

import pytest

from inference.errors import MessageError
from inference.events import UploadedObject, uploaded_objects
from unit.functions.s3_events import eventbridge, notification


def test_a_notification_names_the_version_that_was_uploaded() -> None:
    assert uploaded_objects(notification("digits/7.png")) == [
        UploadedObject("inputs", "digits/7.png", "v1", "d41d8cd9", "0A1B2C3D4E5F678901", 312)
    ]


def test_an_eventbridge_event_names_the_version_that_was_uploaded() -> None:
    assert uploaded_objects(eventbridge("digits/7.png")) == [
        UploadedObject("inputs", "digits/7.png", "v2", "b1946ac9", "00617F08299329D189", 5)
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
    assert uploaded_objects(notification(encoded))[0].key == key


@pytest.mark.parametrize("key", ["digits/a+b.png", "digits/100%25.png", "digits/ü.png"])
def test_an_eventbridge_events_key_is_taken_as_it_is(key: str) -> None:
    assert uploaded_objects(eventbridge(key))[0].key == key


def test_one_notification_may_announce_several_objects() -> None:
    records = [json.loads(notification(key))["Records"][0] for key in ("digits/1.png", "digits/2.png")]
    assert [uploaded.key for uploaded in uploaded_objects(json.dumps({"Records": records}))] == [
        "digits/1.png",
        "digits/2.png",
    ]


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
    assert uploaded_objects(body) == []


@pytest.mark.parametrize(
    "body", [notification("a.png", versionId="null"), eventbridge("a.png", **{"version-id": "null"})]
)
def test_null_is_no_version_since_any_number_of_uploads_have_it(body: str) -> None:
    assert uploaded_objects(body)[0].version_id is None


def test_an_unversioned_bucket_leaves_the_version_open() -> None:
    record = json.loads(notification("digits/7.png"))
    del record["Records"][0]["s3"]["object"]["versionId"]
    assert uploaded_objects(json.dumps(record))[0].version_id is None


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
        uploaded_objects(body)


def test_the_consoles_folders_are_no_inputs() -> None:
    assert UploadedObject("inputs", "digits/", size=0).is_folder_marker()
    assert not UploadedObject("inputs", "digits/odd-name/", size=12).is_folder_marker()
    assert not UploadedObject("inputs", "digits/empty.png", size=0).is_folder_marker()


def test_a_route_takes_its_prefixes_and_suffixes_literally() -> None:
    uploaded = UploadedObject("inputs", "digits/7.PNG")
    assert uploaded.is_routed(["digits/"], [])
    assert uploaded.is_routed(["wine/", "digits/"], [".json", ".PNG"])
    assert not uploaded.is_routed(["digits/"], [".png"])
    assert not uploaded.is_routed(["wine/"], [])
