"""Lines of a function's log as people see them."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from modelctl import cli
from modelctl.commands import logs
from modelctl.commands.logs import Choice, line
from unit import deployed


def test_a_json_line_shows_time_level_message_and_its_other_fields() -> None:
    message = '{"timestamp": "…", "level": "INFO", "message": "predicted", "requestId": "7", "key": "digits/7.png"}'
    assert line(1_000, message) == '1970-01-01 00:00:01.000 INFO  predicted key="digits/7.png"'


def test_a_line_of_plain_text_is_shown_as_it_is() -> None:
    assert line(1_000, "loading the model\n") == "1970-01-01 00:00:01.000 loading the model"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("one\rtwo\n", "1970-01-01 00:00:01.000 one\n  two"),
        ("", "1970-01-01 00:00:01.000"),
        (
            '{"level": "INFO", "message": "got\\n1970-01-01 00:00:02.000 INFO  all is well", "key": "a\\nb"}',
            '1970-01-01 00:00:01.000 INFO  got key="a\\nb"\n  1970-01-01 00:00:02.000 INFO  all is well',
        ),
    ],
)
def test_no_line_of_an_event_can_be_taken_for_another_event(message: str, shown: str) -> None:
    assert line(1_000, message) == shown


def test_a_report_of_the_platform_is_one_flat_line() -> None:
    message = '{"time": "…", "type": "platform.report", "record": {"requestId": "7", "metrics": {"durationMs": 1.5}}}'
    assert line(1_000, message) == "1970-01-01 00:00:01.000       platform.report durationMs=1.5"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"message": "not served: ModelError: hooks: no", "logger": "inference"}, "not served: ModelError: hooks: no"),
        ({"message": "loading"}, "loading: ModelError: hooks: no"),
        # What the runtime logs of a function that cannot start.
        ({}, "ModelError: hooks: no"),
    ],
)
def test_an_error_is_named_before_its_stack(fields: dict[str, str], says: str) -> None:
    frames = ['  File "a.py", line 1, in call\n    no()\n', '  File "b.py", line 2, in no\n    raise ModelError\n']
    error = {"stackTrace": frames, "errorType": "ModelError", "errorMessage": "hooks: no", "location": "a.py:call:1"}
    assert line(1_000, json.dumps({"level": "ERROR", **fields, **error, "key": "digits/7"})) == (
        f'1970-01-01 00:00:01.000 ERROR {says} key="digits/7"\n'
        '    File "a.py", line 1, in call\n'
        "      no()\n"
        '    File "b.py", line 2, in no\n'
        "      raise ModelError"
    )


def test_the_stack_of_a_child_process_is_shown_in_lines_too() -> None:
    error = {"message": "not served", "traceback": 'Traceback (most recent call last):\n  File "a.py"\nKeyError: 1\n'}
    assert line(1_000, json.dumps({"level": "ERROR", **error})) == (
        '1970-01-01 00:00:01.000 ERROR not served\n  Traceback (most recent call last):\n    File "a.py"\n  KeyError: 1'
    )


def test_what_an_input_says_does_not_control_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Log lines quote inputs and their keys, and models log what they like."""
    messages = [
        json.dumps({"level": "INFO", "message": "got \x1b[2J", "key": "digits/\x9b.png", "requestId": "7"}),
        "plain \x1b[2J",
        json.dumps({"level": "INFO", "message": "try 2 of 3: digits/\x1b[2J\nb", "requestId": "7"}),
        json.dumps({"type": "platform.report", "record": {"requestId": "7", "status": "timeout"}}),
    ]
    events = [{"timestamp": 1_000, "message": text, "eventId": str(place)} for place, text in enumerate(messages)]
    paginator = SimpleNamespace(paginate=lambda **asked: [{"events": events}])
    log = SimpleNamespace(get_paginator=lambda operation: paginator)
    monkeypatch.setattr(logs, "deployment", lambda called: SimpleNamespace(log_events=log, model=lambda name: MODEL))
    assert cli.main(["logs", "digits"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        r'1970-01-01 00:00:01.000 INFO  got \x1b[2J key="digits/\x9b.png"',
        r"1970-01-01 00:00:01.000 plain \x1b[2J",
        r"1970-01-01 00:00:01.000 INFO  try 2 of 3: digits/\x1b[2J",
        "  b",
        "1970-01-01 00:00:01.000 ERROR timed out: the call reached its limit of 60 s (timeout_s): try 2 of 3: "
        r"digits/\x1b[2J\nb",
    ]
    assert cli.main(["logs", "digits", "--json"]) == 0
    text = capsys.readouterr().out
    assert text.replace("\n", "").isprintable()
    assert [one["line"] for one in json.loads(text)][:2] == [json.loads(messages[0]), messages[1]]


def test_a_metrics_line_is_for_machines() -> None:
    assert line(1_000, '{"_aws": {}, "Predictions": 1}') is None


OUT_OF_MEMORY = "out of memory: the function used"
MODEL = deployed.model("digits/")  # 512 MB, 60 s


def report(status: str, used_mb: int = 100, request_id: str = "7", **record: Any) -> str:
    """A report of Lambda's: https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html"""
    metrics = {"durationMs": 60000.0, "billedDurationMs": 60000, "memorySizeMB": 512, "maxMemoryUsedMB": used_mb}
    record = {"requestId": request_id, "metrics": metrics, "status": status, **record}
    return json.dumps({"time": "…", "type": "platform.report", "record": record})


def written(says: str, level: str = "INFO", request_id: str = "7", **fields: str) -> str:
    return json.dumps({"level": level, "message": says, "requestId": request_id, **fields})


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (report("timeout"), "timed out: the call reached its limit of 60 s (timeout_s)"),
        (report("error", errorType="Sandbox.Timedout"), "timed out: the call reached its limit of 60 s (timeout_s)"),
        (report("error", 512, errorType="Runtime.ExitError"), f"{OUT_OF_MEMORY} 512 of 512 MB (memory_mb)"),
        (report("error", 480, errorType="Runtime.OutOfMemory"), f"{OUT_OF_MEMORY} 480 of 512 MB (memory_mb)"),
        (
            report("error", errorType="Runtime.ExitError"),
            "crashed: the function's process ended in the middle of a call, at 100 of 512 MB",
        ),
        (report("error", errorType="Runtime.ImportModuleError"), "failed: Runtime.ImportModuleError"),
        (report("failure"), "failed"),
        (
            '{"type": "platform.initReport", "record": {"status": "timeout", "metrics": {"durationMs": 10000.0}}}',
            "the start of an environment was stopped after 10 s and is repeated within the call",
        ),
    ],
)
def test_how_lambda_ended_a_call_is_a_sentence_with_the_limit_that_it_reached(ended: str, says: str) -> None:
    choice = Choice(MODEL)
    assert choice.takes(ended)
    assert line(1_000, ended, choice.says) == f"1970-01-01 00:00:01.000 ERROR {says}"


def test_it_names_the_inputs_that_the_call_was_trying() -> None:
    choice = Choice(MODEL)
    for message in (
        written("try 2 of 5: digits/a.png, digits/b.png"),
        written("try 1 of 5: digits/other.png", request_id="8"),
        written("try 3 of 5: digits/c.png"),
        report("timeout"),
    ):
        choice.takes(message)
    assert choice.says == (
        "timed out: the call reached its limit of 60 s (timeout_s): try 2 of 5: digits/a.png, digits/b.png; "
        "try 3 of 5: digits/c.png"
    )
    choice.takes(report("success", request_id="8"))
    assert choice.says is None


CALL = [
    '{"type": "platform.start", "record": {"requestId": "7"}}',
    written("try 2 of 5: digits/a.png, digits/b.png"),
    written("predicted", key="digits/b.png"),
    written("refused: DecodeError: no", "WARNING", key="digits/c.png"),
    written("predicted", request_id="8", key="digits/d.png"),
    '{"_aws": {}, "Predictions": 1}',
    '{"type": "platform.fault", "record": {"requestId": "7", "fault": "Runtime exited"}}',
    report("error", errorType="Runtime.ExitError"),
    report("success", request_id="8"),
    "Fatal Python error: Segmentation fault",
    "loading 3 rows without an error",
]


@pytest.mark.parametrize(
    ("key", "errors", "shown"),
    [
        (None, False, range(11)),
        (None, True, [3, 6, 7, 9]),
        # Its own lines, the one that names it, and what is said of its call from then on.
        ("digits/a.png", False, [1, 6, 7]),
        ("digits/a.png", True, [6, 7]),
        ("digits/c.png", False, [3, 6, 7]),
        ("digits/d.png", False, [4, 8]),
        ("digits/e.png", False, []),
    ],
)
def test_only_errors_or_only_what_concerns_a_key_is_shown(key: str | None, errors: bool, shown: Sequence[int]) -> None:
    choice = Choice(MODEL, key=key, errors=errors)
    assert [place for place, message in enumerate(CALL) if choice.takes(message)] == list(shown)


def test_the_calls_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelctl.deployed.logs._MOST_REMEMBERED", 2)
    choice = Choice(MODEL)
    for number in range(3):
        choice.takes(written(f"try 2 of 5: {number}", request_id=str(number)))
    choice.takes(report("timeout", request_id="0"))
    assert choice.says == "timed out: the call reached its limit of 60 s (timeout_s)"
    choice.takes(report("timeout", request_id="2"))
    assert choice.says == "timed out: the call reached its limit of 60 s (timeout_s): try 2 of 5: 2"
