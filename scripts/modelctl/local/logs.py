"""What CloudWatch Logs shows of an invocation: the platform's lines around the function's own.

The platform's lines are JSON, as in every function of Modelyard; on AWS a function with the log format Text has others.
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

import json
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch_logs

from modelctl.local import permissions


@dataclass(frozen=True)
class Line:
    """One event of a log stream.

    Attributes:
        at_ms: milliseconds since the epoch.
        text: the message, without a newline at its end.
    """

    at_ms: int
    text: str


@dataclass(frozen=True)
class Report:
    """The duration and memory of one invocation.

    Attributes:
        request_id: the invocation's id.
        duration_ms: from handing out the event to the answer.
        init_ms: from starting the process to its first request for an event; None for a warm environment.
        memory_mb: the most memory the process has had so far.
        status: "success", "error" or "timeout".
        error_type: the type of the error if the runtime itself failed, for example "Runtime.ExitError".
    """

    request_id: str
    duration_ms: float
    init_ms: float | None
    memory_mb: int
    status: str
    error_type: str | None = None

    @property
    def billed_ms(self) -> int:
        """Milliseconds that AWS bills, including the initialisation, rounded up."""
        return math.ceil(self.duration_ms + (self.init_ms or 0.0))


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


def init_timeout(init_s: float) -> Line:
    """Return the line in which Lambda says that it stopped the initialisation, which starts over in the invocation."""
    metrics = {"durationMs": init_s * 1000}
    record = {"initializationType": "on-demand", "phase": "init", "status": "timeout", "metrics": metrics}
    return _platform("platform.initReport", record)


def start(request_id: str, version: str) -> Line:
    """Return the line that Lambda writes before the function's own."""
    return _platform("platform.start", {"requestId": request_id, "version": version})


def failure(request_id: str, message: str) -> Line:
    """Return the line in which Lambda says that the runtime itself failed or ran out of time."""
    return _platform("platform.fault", {"requestId": request_id, "fault": message})


def end(report: Report, memory_size_mb: int) -> Line:
    """Return the line that Lambda writes after the function's own."""
    metrics: dict[str, float] = {
        "durationMs": round(report.duration_ms, 3),
        "billedDurationMs": report.billed_ms,
        "memorySizeMB": memory_size_mb,
        "maxMemoryUsedMB": report.memory_mb,
    }
    if report.init_ms is not None:
        metrics["initDurationMs"] = round(report.init_ms, 3)
    record = {"requestId": report.request_id, "metrics": metrics, "status": report.status}
    if report.error_type:
        record["errorType"] = report.error_type
    return _platform("platform.report", record)


def write(config: dict[str, Any], stream_name: str, lines: list[Line]) -> None:
    """Write lines to the function's log group if its role allows that; otherwise they are lost, as on AWS."""
    group_name = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
    role, arn = config["Role"], f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group_name}"
    groups = cloudwatch_logs._log_groups
    if group_name not in groups:
        if not permissions.role_allows(role, "logs:CreateLogGroup", f"{arn}:*"):
            return
        cloudwatch_logs._create_log_group({"logGroupName": group_name})
    stream = {"logGroupName": group_name, "logStreamName": stream_name}
    wanted = ["logs:PutLogEvents"]
    if stream_name not in groups[group_name]["streams"]:
        wanted.append("logs:CreateLogStream")
    if not all(permissions.role_allows(role, action, f"{arn}:log-stream:{stream_name}") for action in wanted):
        return
    cloudwatch_logs._create_log_stream(stream)
    events = [{"timestamp": line.at_ms, "message": line.text} for line in lines]
    cloudwatch_logs._put_log_events(stream | {"logEvents": events})


def _platform(kind: str, record: dict[str, Any]) -> Line:
    at = datetime.now(UTC)
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Line(int(at.timestamp() * 1000), json.dumps({"time": stamp, "type": kind, "record": record}))
