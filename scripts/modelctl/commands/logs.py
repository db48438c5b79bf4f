"""`modelctl logs`: the log of a model's function."""

import argparse
import json
import time
from datetime import UTC, datetime
from typing import Any

from modelctl import console
from modelctl.commands.arguments import Commands, add_target, command, deployment, print_json
from modelctl.deployed.logs import events
from modelctl.errors import UserError

_SHOWN_S = 3600
_FOLLOW_EVERY_S = 1.0
# What stands at the head of a line, or is the same in all of them; the rest of the fields is shown behind the message.
_NOT_SHOWN = (
    "timestamp",
    "time",
    "type",
    "status",
    "level",
    "message",
    "logger",
    "requestId",
    "model",
    "version",
    "digest",
    "errorType",
    "errorMessage",
    "location",
    "stackTrace",
)


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = command(commands, "logs", run, "show a model's log of the last hour", "modelctl logs digits --follow")
    parser.add_argument("model", metavar="MODEL", help="its name in the registry")
    parser.add_argument("--follow", action="store_true", help="keep showing new lines, until Ctrl-C")
    add_target(parser)


def run(called: argparse.Namespace) -> int:
    """Print the lines, oldest first."""
    if called.follow and called.json:
        raise UserError("--follow never ends, and --json prints one document: use one of them")
    deployed = deployment(called)
    model = deployed.model(called.model)
    since_ms = int((time.time() - _SHOWN_S) * 1000)
    if called.json:
        print_json(
            [
                {"timestamp": event["timestamp"], "line": _parsed(event["message"])}
                for event in events(deployed, model, since_ms)
            ]
        )
        return 0
    shown: set[str] = set()
    while True:
        for event in events(deployed, model, since_ms):
            if event["eventId"] not in shown:
                shown.add(event["eventId"])
                # Late lines of other streams may still come with an earlier time: a minute is kept in view.
                since_ms = max(since_ms, event["timestamp"] - 60_000)
                shown_as = line(event["timestamp"], event["message"])
                if shown_as:
                    console.out(shown_as)
        if not called.follow:
            return 0
        time.sleep(_FOLLOW_EVERY_S)


def line(timestamp_ms: int, message: str) -> str | None:
    """One event for people; None for a metric's line.

    Time, level, message and error, then whatever else the JSON line holds; below it, the stack of the error.
    """
    when = datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    parsed = _parsed(message)
    if not isinstance(parsed, dict):
        return f"{when} {message.rstrip()}"
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    if "_aws" in parsed:
        return None
    # https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
    if str(parsed.get("type")).startswith("platform."):
        parsed = {"message": parsed["type"], **parsed["record"], **parsed["record"].get("metrics", {}), "metrics": None}
    fields = ((name, value) for name, value in parsed.items() if name not in _NOT_SHOWN and value is not None)
    rest = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in fields)
    says = str(parsed.get("message", ""))
    # A function that cannot start logs an error and no message.
    error = ": ".join(str(parsed[name]) for name in ("errorType", "errorMessage") if parsed.get(name))
    if error not in says:
        says = f"{says}: {error}" if says else error
    stack = "".join(map(str, parsed.get("stackTrace") or ())).rstrip()
    head = f"{when} {parsed.get('level', ''):5} {says} {rest}".rstrip()
    return "\n".join((head, *(f"  {frame}" for frame in stack.splitlines())))


def _parsed(message: str) -> Any:
    try:
        return json.loads(message)
    except ValueError:
        return message
