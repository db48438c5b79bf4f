"""Why messages became dead letters: what results and logs say, and which of them have one cause."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inference.events import UploadedObject
from modelctl.deployed import last_errors
from modelctl.deployed.dead_letters import DeadLetter
from modelctl.deployed.last_errors import LastError
from modelctl.deployed.sending import Message
from unit.deployed import model

DIGITS = model("digits/")
SENT = datetime(2026, 11, 28, 7, 0, tzinfo=UTC)


def letter(message_id: str, *keys: str, problem: str | None = None) -> DeadLetter:
    uploads = tuple(UploadedObject("inputs", key, "v2", "etag") for key in keys)
    return DeadLetter(message_id, "receipt", Message("{}"), SENT, 4, uploads, problem)


def result(version: str, error: dict[str, str] | None = None, *, provisional: bool = False) -> bytes:
    source = {"bucket": "inputs", "key": "any", "version_id": version}
    said = {"error": error} if error else {"predictions": ["x" * 100_000]}
    head = {"model": "digits", "version": "1", "digest": "d", "input": source}
    return json.dumps({**head, **({"provisional": True} if provisional else {}), **said}).encode()


class Cloud:
    """Results by their keys, and pages of the log."""

    def __init__(self, results: dict[str, bytes], *pages: list[dict[str, Any]]) -> None:
        self.results = results
        self.pages = pages
        self.asked: list[dict[str, Any]] = []
        self.refused: frozenset[str] = frozenset()
        self.read = 0

    def get_object(self, Bucket: str, Key: str, Range: str) -> Any:  # noqa: N803
        assert (Bucket, Range) == ("results", "bytes=0-16383")
        if Key in self.refused:
            raise ClientError({"Error": {"Code": "InvalidObjectState", "Message": "archived"}}, "GetObject")
        if Key not in self.results:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.results[Key][: 16 * 2**10]), "LastModified": SENT, "ETag": '"e"'}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "filter_log_events"
        return SimpleNamespace(paginate=self.paginate)

    def paginate(self, **asked: Any) -> Iterator[Any]:
        self.asked.append(asked)
        for page in self.pages:
            self.read += 1
            yield {"events": [{"timestamp": 1, "message": json.dumps(line)} for line in page]}

    def errors(self, *letters: DeadLetter) -> dict[str, LastError]:
        deployed: Any = SimpleNamespace(s3=self, log_events=self, results="results", inputs="inputs")
        return last_errors.find(deployed, DIGITS, letters)


def line(message_id: str, text: str, level: str = "ERROR") -> dict[str, Any]:
    return {"level": level, "message_id": message_id, "errorType": "ModelError", "errorMessage": text, "message": "no"}


def test_a_provisional_result_says_why_and_the_log_is_not_read() -> None:
    given_up = result("v2", {"type": "GivenUpError", "message": "its last attempt did not end"}, provisional=True)
    cloud = Cloud({"digits/digits/a.png.json": given_up})
    assert cloud.errors(letter("m1", "digits/a.png")) == {
        "m1": LastError("GivenUpError", "its last attempt did not end", "result")
    }
    assert cloud.asked == []


@pytest.mark.parametrize("error", [None, {"type": "DecodeError", "message": "no PNG"}])
def test_an_input_that_has_its_result_meanwhile_is_said_to_have_it(error: dict[str, str] | None) -> None:
    found = Cloud({"digits/digits/a.png.json": result("v2", error)}).errors(letter("m1", "digits/a.png"))
    assert found["m1"].source == "answered"


@pytest.mark.parametrize("results", [{}, {"digits/digits/a.png.json": result("v1")}])
def test_where_no_result_of_this_version_says_anything_the_last_line_of_the_log_does(results: dict[str, bytes]) -> None:
    cloud = Cloud(
        results,
        [line("m1", "first"), line("other", "another's"), line("m1", "a warning", "WARNING")],
        [],
        [line("m1", "last")],
    )
    assert cloud.errors(letter("m1", "digits/a.png")) == {"m1": LastError("ModelError", "last", "log")}
    assert cloud.asked == [
        {
            "logGroupName": "/aws/lambda/yard-digits",
            "startTime": 1_795_849_200_000,
            "filterPattern": '{ $.level = "ERROR" && $.message_id = "*" }',
        }
    ]


def test_a_result_that_cannot_be_read_keeps_no_other_from_being_read() -> None:
    """As where a rule of the bucket has archived it; the log may still say why."""
    given_up = result("v2", {"type": "GivenUpError", "message": "its last attempt did not end"}, provisional=True)
    cloud = Cloud({"digits/digits/a.png.json": given_up}, [line("m3", "logged")])
    cloud.refused = frozenset({"digits/digits/b.png.json", "digits/digits/c.png.json"})
    found = cloud.errors(letter("m1", "digits/a.png"), letter("m2", "digits/b.png"), letter("m3", "digits/c.png"))
    assert found == {
        "m1": LastError("GivenUpError", "its last attempt did not end", "result"),
        "m2": LastError("Unread", "its result cannot be read: InvalidObjectState: archived", "unread"),
        "m3": LastError("ModelError", "logged", "log"),
    }


def test_what_nobody_has_said_anything_of_did_not_reach_the_function() -> None:
    found = Cloud({}, [line("other", "another's")]).errors(letter("m1", "digits/a.png"))
    assert (found["m1"].type, found["m1"].source) == ("Unknown", "nothing")
    assert "may not have reached the function" in found["m1"].message


def test_a_message_that_is_no_event_says_so_itself() -> None:
    assert Cloud({}).errors(letter("m1", problem="not JSON")) == {
        "m1": LastError("MessageError", "not JSON", "message")
    }


def test_a_long_log_is_not_read_to_its_end() -> None:
    cloud = Cloud({}, *([[line("other", "another's")]] * 150))
    assert cloud.errors(letter("m1", "digits/a.png"))["m1"].source == "nothing"
    assert cloud.read == 100


def test_errors_that_differ_in_names_and_numbers_only_are_one_cause() -> None:
    said = {
        "m1": "digits/1.png: request 5f3a0c1e-1d2f-4c3b-9a8e-000000000001 took 12 ms",
        "m2": "out of memory",
        "m3": "digits/2.png: request 77777777-1d2f-4c3b-9a8e-00000000abcd took 7 ms",
    }
    letters = [letter(name, f"digits/{name[1:]}.png") for name in said]
    letters[2] = letter("m3", "digits/2.png")
    causes = last_errors.by_cause(letters, {name: LastError("E", text, "log") for name, text in said.items()})
    assert [[one.message_id for one, _ in cause.letters] for cause in causes] == [["m1", "m3"], ["m2"]]
    assert causes[0].error.message == said["m1"]
