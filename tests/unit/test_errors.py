"""What `modelctl errors` makes of a function's log and of the inputs bucket."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from modelctl import cli
from modelctl.commands import errors
from modelctl.deployed import logs, refusals
from unit import deployed

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
DIGITS = deployed.model("digits/", suffixes=(".png", ".json"))


def at(minutes: int, line: Any) -> dict[str, Any]:
    when = NOON + timedelta(minutes=minutes)
    message = line if isinstance(line, str) else json.dumps(line)
    return {"timestamp": int(when.timestamp() * 1000), "message": message, "eventId": str(minutes)}


def refused(kind: str, message: str, key: str | None) -> dict[str, Any]:
    """A line as functions/inference/batch/pipeline.py and, without a key, direct.py write it."""
    if key is None:
        return {"level": "WARNING", "message": f"direct call refused: {message}", "error_type": kind}
    return {"level": "WARNING", "message": f"refused: {kind}: {message}", "error_type": kind, "key": key}


LOG = [
    at(0, refused("DecodeError", "row 3 has 4 values, 'a' is none", "digits/a.json")),
    at(1, {"level": "INFO", "message": "predicted", "key": "digits/good.json"}),
    at(2, "plain text that says refused: nothing"),
    at(3, refused("DecodeError", "row 17 has 5 values, 'b' is none", "digits/b.json")),
    at(4, refused("LimitError", "it has 2,000 bytes, of at most 1,000", "digits/large.json")),
    at(5, refused("DecodeError", "row 1 has 2 values, 'c' is none", "digits/a.json")),
    at(6, refused("DecodeError", "row 1 has 9 values, 'd' is none", None)),
]


class Logs:
    """A log whose pages have two events each; every page but the last names the next one."""

    def __init__(self, events: Sequence[dict[str, Any]]) -> None:
        self._events = events
        self.asked: dict[str, Any] = {}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "filter_log_events"
        return SimpleNamespace(paginate=self._pages)

    def _pages(self, **request: Any) -> Iterator[dict[str, Any]]:
        self.asked = request
        for first in range(0, len(self._events), 2):
            more = {"nextToken": "next"} if first + 2 < len(self._events) else {}
            yield {"events": self._events[first : first + 2], **more}


def with_log(events: Sequence[dict[str, Any]] = LOG) -> Any:
    return SimpleNamespace(log_events=Logs(events), model=lambda name: DIGITS)


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], of: Any, *arguments: str) -> Any:
    monkeypatch.setattr(errors, "deployment", lambda called: of)
    assert cli.main(["errors", *arguments, "--since", "2026-11-27T12:00"]) == 0
    return capsys.readouterr()


def test_refused_inputs_are_grouped_by_cause(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Messages that differ in numbers and quotations alone have one cause; the latest is shown."""
    of = with_log()
    assert said(monkeypatch, capsys, of, "digits").out.splitlines() == [
        "4 times DecodeError: row 1 has 9 values, 'd' is none",
        "    digits/a.json  (2026-11-27 12:05:00 UTC, 2 times)",
        "    digits/b.json  (2026-11-27 12:03:00 UTC)",
        "    1 of these in direct calls, the last at 2026-11-27 12:06:00 UTC",
        "1 time LimitError: it has 2,000 bytes, of at most 1,000",
        "    digits/large.json  (2026-11-27 12:04:00 UTC)",
    ]
    assert of.log_events.asked["startTime"] == NOON.timestamp() * 1000
    assert of.log_events.asked["filterPattern"] == '"refused:"'


def test_json_names_every_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(said(monkeypatch, capsys, with_log(), "digits", "--json").out)
    assert document["causes"][0] == {
        "type": "DecodeError",
        "message": "row 1 has 9 values, 'd' is none",
        "count": 4,
        "last": "2026-11-27T12:06:00.000Z",
        "direct_calls": 1,
        "keys": [
            {"key": "digits/a.json", "count": 2, "last": "2026-11-27T12:05:00.000Z"},
            {"key": "digits/b.json", "count": 1, "last": "2026-11-27T12:03:00.000Z"},
        ],
    }


def test_many_keys_of_one_cause_are_counted_and_a_few_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of = with_log([at(number, refused("DecodeError", "no", f"digits/{number}")) for number in range(7)])
    lines = said(monkeypatch, capsys, of, "digits").out.splitlines()
    assert (lines[0], lines[1], lines[-1], len(lines)) == (
        "7 times DecodeError: no",
        "    digits/6  (2026-11-27 12:06:00 UTC)",
        "    and 2 more keys: `--json` lists all",
        7,
    )


def test_what_an_input_says_does_not_control_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Messages quote inputs, whose content the uploader controls."""
    of = with_log([at(1, refused("DecodeError", "found \x1b[2J\nall is well", "digits/a"))])
    assert said(monkeypatch, capsys, of, "digits").out.splitlines()[0] == (
        r"1 time DecodeError: found \x1b[2J\nall is well"
    )


def test_what_is_remembered_of_a_million_refusals_is_bounded() -> None:
    lines = (
        (
            {"message": f"refused: E{number % 3000}: {number}", "error_type": f"E{number % 3000}", "key": f"{number}"},
            NOON,
        )
        for number in range(6000)
    )
    found = refusals.grouped(lines)
    assert (len(found), found[0].type, found[0].all.count) == (1001, "other errors", 4000)
    assert {cause.all.count for cause in found[1:]} == {2}
    many = refusals.grouped(
        ({"message": "refused: E: no", "error_type": "E", "key": f"{n}"}, NOON) for n in range(3000)
    )
    assert [(cause.all.count, len(cause.keys)) for cause in many] == [(3000, 1000)]


def test_a_model_without_refusals_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(monkeypatch, capsys, with_log([]), "digits").out == (
        "digits has refused no input since 2026-11-27 12:00:00 UTC\n"
    )


def test_a_log_that_is_too_long_says_until_when_it_was_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "_MOST_PAGES", 2)
    result = said(monkeypatch, capsys, with_log(), "digits")
    assert "2 times DecodeError" in result.out
    assert "was read only until 2026-11-27 12:03:00 UTC: a later `--since` shows the rest" in result.err


class Bucket:
    """An inputs bucket, listed two objects per page."""

    def __init__(self, objects: dict[str, datetime]) -> None:
        self._objects = sorted(objects.items())

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_objects_v2"
        return SimpleNamespace(paginate=self._pages)

    def _pages(self, Bucket: str) -> Iterator[dict[str, Any]]:  # noqa: N803  # boto3's
        for first in range(0, max(1, len(self._objects)), 2):
            part = self._objects[first : first + 2]
            listed = [{"Key": key, "LastModified": when, "Size": not key.endswith("/")} for key, when in part]
            yield {"Contents": listed, "IsTruncated": first + 2 < len(self._objects)}


LATER = NOON + timedelta(minutes=1)
UPLOADS = {
    "digits/7.png": LATER,
    "digits/7.PNG": LATER,
    "digit/8.png": LATER + timedelta(seconds=1),
    "digits/folder/": LATER,
    "digits/old.txt": NOON - timedelta(minutes=1),
    "notes.txt": LATER,
}


def with_uploads(uploads: dict[str, datetime]) -> Any:
    return SimpleNamespace(inputs="inputs", s3=Bucket(uploads), models={"digits": DIGITS})


def test_uploads_that_no_model_takes_are_listed_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(monkeypatch, capsys, with_uploads(UPLOADS)).out.splitlines() == [
        "uploads since 2026-11-27 12:00:00 UTC that no model takes: 3",
        "    digit/8.png  (2026-11-27 12:01:01 UTC)",
        "        the key begins with digit/, but digits takes digits/; a key that would match: digits/8.png",
        "    notes.txt  (2026-11-27 12:01:00 UTC)",
        "        the key is not in a folder; the prefixes are digits/",
        "    digits/7.PNG  (2026-11-27 12:01:00 UTC)",
        "        digits takes digits/ only with .png or .json, but the key ends with .PNG; S3 distinguishes upper and "
        "lower case; a key that would match: digits/7.png",
    ]


def test_uploads_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(said(monkeypatch, capsys, with_uploads(UPLOADS), "--json").out)
    assert (document["count"], document["until_key"], document["since"]) == (3, None, "2026-11-27T12:00:00.000Z")
    assert document["uploads"][0] == {
        "key": "digit/8.png",
        "uploaded": "2026-11-27T12:01:01.000Z",
        "why": "the key begins with digit/, but digits takes digits/",
        "instead": "digits/8.png",
    }


def test_if_every_upload_is_taken_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of = with_uploads({"digits/7.png": LATER})
    assert said(monkeypatch, capsys, of).out == "every upload since 2026-11-27 12:00:00 UTC is taken by a model\n"


def test_a_bucket_that_is_too_large_says_how_far_it_was_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(refusals, "MOST_OBJECTS", 2)
    result = said(monkeypatch, capsys, with_uploads(UPLOADS))
    assert result.out.startswith("uploads since 2026-11-27 12:00:00 UTC that no model takes: 2\n")
    assert (
        "only the first 2 objects of the bucket were checked, in the order of their keys, up to digits/7.PNG"
        in result.err
    )


def test_of_many_uploads_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_MOST_UPLOADS", 3)
    uploads = {f"x/{n}": NOON + timedelta(seconds=(n * 7) % 10) for n in range(10)}
    found = refusals.unmatched(with_uploads(uploads), NOON)
    assert found.count == 10
    assert [(upload.uploaded - NOON).seconds for upload in found.latest] == [9, 8, 7]
