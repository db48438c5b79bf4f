"""Lambda's Runtime API on loopback, and what runs handlers under it says of one that does not answer."""

import http.client
from pathlib import Path

import pytest

from modelctl.errors import UserError
from modelctl.runtime_api import Answer, Event, run_handler, runtime_api, served


def test_a_process_that_ends_is_not_waited_for_and_what_it_wrote_is_shown(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("import os\nos.write(1, b'enough of it')\nos._exit(3)\n")
    with pytest.raises(UserError, match=r"ends\.handler answered 0 of 1 events and wrote:\nenough of it"):
        run_handler("ends.handler", [{}], {}, folder=tmp_path)


def test_the_times_of_a_run_are_in_the_order_of_what_happened(tmp_path: Path) -> None:
    (tmp_path / "adds.py").write_text(
        "print('made')\ndef handler(event, context):\n    print('called')\n    return event + 1\n"
    )
    run = run_handler("adds.handler", [1, 2], {}, folder=tmp_path)
    assert run.answers == [2, 3]
    happened = [time for pair in zip(run.asked_ms, run.answered_ms, strict=True) for time in pair]
    assert happened == sorted(happened)
    assert (run.initialisation, run.output) == ("made\n", "made\ncalled\ncalled\n")


def test_a_process_gets_an_event_with_its_deadline_and_may_answer_that_one_only() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html"""
    events = iter(
        [
            Event(
                "7", b"[1]", 1_700_000_000_000, "arn:aws:lambda:us-east-1:000000000000:function:digits:live", "Root=1"
            ),
            None,
        ]
    )
    answers: list[Answer] = []

    def accept(answer: Answer) -> bool:
        answers.append(answer)
        return answer.request_id in ("7", None)

    def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection.request(method, f"/2018-06-01/runtime/{path}", body)
        answer = connection.getresponse()
        headers.update(answer.headers)
        return answer.status, answer.read()

    headers: dict[str, str] = {}
    with served(runtime_api(lambda: next(events), accept)) as address:
        connection = http.client.HTTPConnection(address)
        assert ask("GET", "invocation/next") == (200, b"[1]")
        assert {name: value for name, value in headers.items() if name.startswith("Lambda-Runtime-")} == {
            "Lambda-Runtime-Aws-Request-Id": "7",
            "Lambda-Runtime-Deadline-Ms": "1700000000000",
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:digits:live",
            "Lambda-Runtime-Trace-Id": "Root=1",
        }
        posted = {
            path: ask("POST", path, b'{"a": 1}')[0]
            for path in ("invocation/7/response", "invocation/8/error", "init/error", "elsewhere")
        }
        assert list(posted.values()) == [202, 400, 202, 400]
        assert ask("GET", "invocation/next") == (500, b""), "there will be no further event"
        connection.close()
    assert [(answer.request_id, answer.failed) for answer in answers] == [("7", False), ("8", True), (None, True)]
    assert [answer.payload for answer in answers] == [{"a": 1}] * 3
