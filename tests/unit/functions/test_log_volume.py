"""What CloudWatch charges for of a call: the lines that it logs and the metrics that it sends (modelctl/costs.py)."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from awslambdaric.lambda_runtime_log_utils import JsonFormatter

from modelctl import costs

Serve = Callable[..., list[str]]
Announce = Callable[..., dict[str, Any]]

#: What CloudWatch adds to the size of each line.
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
OVERHEAD = 26
REQUEST = "6d68ca91-49c9-448d-89b8-7ca3e6dc66aa"
#: As long as they are on AWS.
IDS = {
    "digest": "d" * 64,
    "message_id": "059f36b4-87a3-44ab-83d2-661975830a7d",
    "key": "digits/2026/11/28/scan-0011.png",
    "version_id": "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrH",
    "requestId": REQUEST,
}
#: Lambda's own lines about a call.
#: https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
FROM_LAMBDA = [
    {
        "time": "2026-11-28T10:00:00.000Z",
        "type": "platform.start",
        "record": {"requestId": REQUEST, "version": "12"},
    },
    {
        "time": "2026-11-28T10:00:00.000Z",
        "type": "platform.report",
        "record": {
            "requestId": REQUEST,
            "metrics": {
                "durationMs": 101.512,
                "billedDurationMs": 102,
                "memorySizeMB": 1024,
                "maxMemoryUsedMB": 128,
            },
            "status": "success",
        },
    },
]


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The lines that the function logs, as they are written on AWS."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    logger, kept = logging.getLogger("inference"), Kept()
    level = logger.level
    kept.setFormatter(JsonFormatter())
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(kept)
    logger.setLevel(level)


def charged(*lines: str) -> int:
    """The bytes that CloudWatch charges for, rounded up to 500."""
    return -(-sum(len(line.encode()) + OVERHEAD for line in lines) // 500) * 500


def test_a_call_logs_as_much_and_sends_as_many_metrics_as_is_charged_for(
    announce: Announce, serve: Serve, logged: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [announce(f"digits/{number}.json", b"[0, 0, 0]") for number in range(10)]
    for message in messages:
        message["attributes"] = {"SentTimestamp": "1795862987845"}
    assert serve(messages) == []

    (metrics,) = capsys.readouterr().out.splitlines()
    (directive,) = json.loads(metrics)["_aws"]["CloudWatchMetrics"]
    assert len(directive["Metrics"]) == costs.METRICS
    from_lambda = [json.dumps(line, separators=(",", ":")) for line in FROM_LAMBDA]
    assert charged(metrics, *from_lambda) == costs.LOG_BYTES_PER_CALL
    assert [charged(json.dumps({**json.loads(line), **IDS}) + "\n") for line in logged] == [
        costs.LOG_BYTES_PER_INPUT
    ] * 10
