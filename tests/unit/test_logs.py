"""Lines of a function's log as people see them."""

import json

import pytest

from modelctl.commands.logs import line


def test_a_json_line_shows_time_level_message_and_its_other_fields() -> None:
    message = '{"timestamp": "…", "level": "INFO", "message": "predicted", "requestId": "7", "key": "digits/7.png"}'
    assert line(1_000, message) == '00:00:01.000 INFO  predicted key="digits/7.png"'


def test_a_line_of_plain_text_is_shown_as_it_is() -> None:
    assert line(1_000, "loading the model\n") == "00:00:01.000 loading the model"


def test_a_report_of_the_platform_is_one_flat_line() -> None:
    message = '{"time": "…", "type": "platform.report", "record": {"requestId": "7", "metrics": {"durationMs": 1.5}}}'
    assert line(1_000, message) == "00:00:01.000       platform.report durationMs=1.5"


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
        f'00:00:01.000 ERROR {says} key="digits/7"\n'
        '    File "a.py", line 1, in call\n'
        "      no()\n"
        '    File "b.py", line 2, in no\n'
        "      raise ModelError"
    )


def test_a_metrics_line_is_for_machines() -> None:
    assert line(1_000, '{"_aws": {}, "Predictions": 1}') is None
