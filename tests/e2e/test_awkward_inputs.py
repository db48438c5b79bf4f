"""Inputs as users and their tools come up with them: odd keys, deleted and replaced objects, objects too large."""

import gzip
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Modelctl, Platform, wait_until_empty
from e2e.test_modelctl import SCAN
from inference.limits import MAX_BYTES
from modelctl.deployed import results, uploads

LONGEST = 1024  # bytes of a key: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html


def key_of(size: int, character: str) -> str:
    """A key of model digits that has `size` bytes, but for what the last character does not fill."""
    frame = len("digits/.png")
    return f"digits/{character * ((size - frame) // len(character.encode()))}.png"


KEYS = {
    "spaces": "digits/ two  words .png",
    "plus signs": "digits/a+b + c.png",
    "percent signs": "digits/100% %20 %2F %41.png",
    "quotes": 'digits/it\'s "a" `scan`.png',
    "letters that are not ASCII": "digits/Prüfung 数字 ٣ 🙂.png",
    "an accent on its own": "digits/e\u0301.png",
    "the same accent in one letter": "digits/\u00e9.png",
    "equals and ampersand": "digits/year=2026/a=1&b=2.png",
    "what URLs give a meaning": "digits/?a#b;c:d@e!$(f),~*.png",
    "what URLs and XML forbid": "digits/<a>&amp;[b]{c}|\\^.png",
    "line breaks": "digits/a\tb\nc\r.png",
    "folders in folders": "digits/a/b/c/d/e/f.png",
    "folders without a name": "digits//a//b.png",
    "dots": "digits/./../.png",
    "the longest whose result has its own name": key_of(LONGEST - len("digits/.json"), "e"),
}
TOO_LONG = {"1,024 bytes": key_of(LONGEST, "e"), "1,022 bytes of three-byte letters": key_of(LONGEST, "数")}


@pytest.fixture(scope="module")
def client(platform: Platform) -> Any:
    return platform.client("s3")


@pytest.fixture(scope="module")
def upload(platform: Platform, client: Any) -> Callable[..., str]:
    """Uploads an input, with further parameters of S3, and returns its version."""

    def put(key: str, body: bytes | None = None, **how: Any) -> str:
        body = SCAN.read_bytes() if body is None else body
        bucket = platform.deployment["buckets"]["inputs"]
        version: str = client.put_object(Bucket=bucket, Key=key, Body=body, **how)["VersionId"]
        return version

    return put


@pytest.fixture(scope="module")
def result(platform: Platform, client: Any) -> Callable[[str, str], Any]:
    """Waits for the result of one version of an input, at the key where it is promised."""

    def get(key: str, version: str) -> Any:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                body = client.get_object(Bucket=platform.deployment["buckets"]["results"], Key=key)["Body"].read()
            except client.exceptions.NoSuchKey:
                body = b"null"
            document = json.loads(body)
            if document and document["input"]["version_id"] == version:
                return document
            time.sleep(0.05)
        raise AssertionError(f"no result of version {version} came to {key!r}")

    return get


@pytest.fixture(scope="module")
def uploaded(upload: Callable[..., str]) -> dict[str, str]:
    """All the odd keys with the versions they were uploaded as, at once."""
    return {key: upload(key) for key in (*KEYS.values(), *TOO_LONG.values())}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_an_odd_key_is_served_under_its_own_name(
    uploaded: dict[str, str], result: Callable[[str, str], Any], key: str
) -> None:
    served = result(f"digits/{key}.json", uploaded[key])
    assert served["input"]["key"] == key
    assert served["predictions"]


@pytest.mark.parametrize("key", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_a_key_too_long_for_a_results_name_is_served_under_its_hash_with_the_whole_key_inside(
    uploaded: dict[str, str], result: Callable[[str, str], Any], key: str
) -> None:
    assert LONGEST - 2 <= len(key.encode()) <= LONGEST
    served = result(f"digits/{hashlib.sha256(key.encode()).hexdigest()}.json", uploaded[key])
    assert served["input"]["key"] == key
    assert served["predictions"]


def test_modelctl_lists_all_of_them_and_finds_their_results(
    platform: Platform, uploaded: dict[str, str], tmp_path: Path
) -> None:
    deployed = platform.deployed(tmp_path)
    digits = deployed.model("digits")
    listed = {one.key: one for one in uploads.uploaded(deployed, digits)}
    assert {key: listed[key].version_id for key in uploaded} == uploaded
    turns = results.Turns(time.monotonic() + 60)
    for key in uploaded:
        assert results.wait(deployed, digits, listed[key], turns)["input"]["key"] == key


def test_predict_takes_files_with_odd_names(modelctl: Modelctl, tmp_path: Path) -> None:
    names = [" two  words+.png", "50% of year=2026&more.png", "Prüfung 'é' 🙂 \"a\".png"]
    for name in names:
        (tmp_path / name).write_bytes(SCAN.read_bytes())
    done = modelctl("predict", "digits", *(tmp_path / name for name in names), "--json")
    assert done.status == 0, done.err
    assert [served["input"]["key"] for served in done.document] == [f"digits/{name}" for name in names]


def test_an_object_with_a_content_encoding_is_served_like_the_object_without(
    upload: Callable[..., str], result: Callable[[str, str], Any]
) -> None:
    plain = upload("digits/plain.png")
    encoded = upload("digits/encoded.png", gzip.compress(SCAN.read_bytes()), ContentEncoding="gzip")
    expected = result("digits/digits/plain.png.json", plain)["predictions"]
    assert result("digits/digits/encoded.png.json", encoded)["predictions"] == expected


# Between the event and the fetch


@pytest.fixture
def paused(platform: Platform) -> Iterator[Callable[[int], None]]:
    """Model digits takes nothing from its queue until the function is called with how many messages must wait there."""
    functions, sqs = platform.client("lambda"), platform.client("sqs")
    model = platform.deployment["models"]["digits"]
    (mapping,) = functions.list_event_source_mappings(FunctionName=f"{model['function_name']}:{model['alias']}")[
        "EventSourceMappings"
    ]

    def resume(waiting: int) -> None:
        name = "ApproximateNumberOfMessages"
        found = sqs.get_queue_attributes(QueueUrl=model["queue_url"], AttributeNames=[name])["Attributes"][name]
        assert int(found) == waiting, "what this test prepared for must not have been served already"
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    # A poll that was under way may still take what comes.
    time.sleep(1)
    yield resume
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def test_what_happens_to_an_object_before_it_is_read_decides_its_result_and_no_other(
    platform: Platform,
    client: Any,
    upload: Callable[..., str],
    result: Callable[[str, str], Any],
    paused: Callable[[int], None],
) -> None:
    """GIVEN uploads whose events wait WHEN one stays, one is marked as deleted, one deleted, one replaced THEN …"""
    inputs = platform.deployment["buckets"]["inputs"]
    kept, hidden, gone = (upload(f"digits/{name}.png") for name in ("kept", "hidden", "gone"))
    client.delete_object(Bucket=inputs, Key="digits/hidden.png")
    client.delete_object(Bucket=inputs, Key="digits/gone.png", VersionId=gone)
    upload("digits/replaced.png", b"this is no image")
    replacement = upload("digits/replaced.png")
    paused(5)

    assert result("digits/digits/kept.png.json", kept)["predictions"]
    assert result("digits/digits/hidden.png.json", hidden)["predictions"], (
        "the version that was uploaded is still there"
    )
    error = result("digits/digits/gone.png.json", gone)["error"]
    assert error["type"] == "NotFoundError"
    assert "deleted or replaced before it was read" in error["message"]
    assert result("digits/digits/replaced.png.json", replacement)["predictions"]
    wait_until_empty(platform.client("sqs"), platform.queues("digits"))


@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        ("archived", {"StorageClass": "DEEP_ARCHIVE"}, "is an archive, which S3 cannot read directly: .* DEEP_ARCHIVE"),
        (
            "customer-key",
            {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(32)},
            "encrypted with a customer-provided key",
        ),
    ],
)
def test_an_object_that_nobody_can_read_gets_a_result_that_says_why(
    name: str,
    how: dict[str, Any],
    message: str,
    platform: Platform,
    upload: Callable[..., str],
    result: Callable[[str, str], Any],
) -> None:
    version = upload(f"digits/{name}.png", **how)
    error = result(f"digits/digits/{name}.png.json", version)["error"]
    assert error["type"] == "UnreadableError"
    assert re.search(message, error["message"])
    wait_until_empty(platform.client("sqs"), platform.queues("digits"))


def test_an_object_larger_than_an_input_may_be_gets_a_result_that_says_so(
    platform: Platform, client: Any, upload: Callable[..., str], result: Callable[[str, str], Any]
) -> None:
    version = upload("digits/large.png", bytes(MAX_BYTES + 1))
    refused = result("digits/digits/large.png.json", version)
    # The emulator keeps objects in memory.
    client.delete_object(Bucket=platform.deployment["buckets"]["inputs"], Key="digits/large.png", VersionId=version)
    assert refused["error"] == {
        "type": "TooLargeError",
        "message": f"{MAX_BYTES + 1} bytes; an input may have at most {MAX_BYTES} (limits.bytes)",
    }
    assert refused["timing_ms"]["fetch"] is None
    wait_until_empty(platform.client("sqs"), platform.queues("digits"))
