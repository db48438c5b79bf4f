"""`modelctl logs`: the log of a model's function."""

import argparse
import json
import re
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from modelctl import console
from modelctl.commands.arguments import Commands, add_model, add_since, add_target, command, deployment, print_json
from modelctl.deployed.deployment import Model
from modelctl.deployed.logs import Endings, events, parsed
from modelctl.errors import UserError

_FOLLOW_EVERY_S = 1.0
#: The most invocations that are remembered for a key, to show their further lines.
_MOST_REMEMBERED = 1000
_SAYS_ERROR = re.compile(r"\b(\w*Error|Fatal|Traceback)\b")
# Fields at the start of a line, or with the same value in every line; the other fields are shown after the message.
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
    "traceback",
)


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = command(commands, "logs", run, "show a model's log", "modelctl logs digits --errors --since 2h")
    add_model(parser)
    add_since(parser)
    parser.add_argument(
        "--errors",
        action="store_true",
        help="only what went wrong: refused inputs, errors, and calls that crashed or reached a limit",
    )
    parser.add_argument("--key", metavar="KEY", help="only lines about this input, and about the calls that served it")
    parser.add_argument("--follow", action="store_true", help="keep showing new lines, until Ctrl-C")
    add_target(parser)


def run(called: argparse.Namespace) -> int:
    """Print the lines, oldest first."""
    if called.follow and called.json:
        raise UserError("--follow never ends, and --json prints one document: use one of them")
    deployed = deployment(called)
    model = deployed.model(called.model)
    choice = Choice(model, key=called.key, errors=called.errors)
    since_ms = int(called.since.timestamp() * 1000)
    if called.json:
        print_json(
            [
                {"timestamp": event["timestamp"], "line": parsed(event["message"])}
                for event in events(deployed, model, since_ms)
                if choice.takes(event["message"])
            ]
        )
        return 0
    shown: set[str] = set()
    while True:
        for event in events(deployed, model, since_ms):
            if event["eventId"] not in shown:
                shown.add(event["eventId"])
                # Lines of other streams may arrive late, with an earlier time, so the last minute is read again.
                since_ms = max(since_ms, event["timestamp"] - 60_000)
                shown_as = choice.takes(event["message"]) and line(event["timestamp"], event["message"], choice.says)
                if shown_as:
                    console.out(shown_as)
        if not called.follow:
            return 0
        time.sleep(_FOLLOW_EVERY_S)


class Choice:
    """Which lines are shown.

    Args:
        model: the model whose log it is.
        key: the key of an input that the lines must be about, by their own key or by their invocation's; None: any.
        errors: whether only errors are shown.
    """

    def __init__(self, model: Model, *, key: str | None = None, errors: bool = False) -> None:
        self._endings = Endings(model)
        self._key = key
        self._errors = errors
        #: Invocations that served the key.
        self._concerned: OrderedDict[str, None] = OrderedDict()
        #: The meaning of the latest line, if it is Lambda's report on a call that it ended.
        self.says: str | None = None

    def takes(self, message: str) -> bool:
        """Whether a line is shown. Lines must be passed in the order in which they were written."""
        found = parsed(message)
        if not isinstance(found, dict):
            self.says = None
            # For example, what Python writes when the process dies.
            return self._key is None and (not self._errors or _SAYS_ERROR.search(message) is not None)
        self._endings.note(found)
        self.says = self._endings.says(found)
        return (self._key is None or self._concerns(found, self._key)) and (not self._errors or self._is_error(found))

    def _concerns(self, found: dict[str, Any], key: str) -> bool:
        record = found.get("record")
        request_id = found.get("requestId") or (record.get("requestId") if isinstance(record, dict) else None)
        named = found.get("key")
        if named == key or (named is None and key in str(found.get("message", ""))):
            self._concerned[str(request_id)] = None
            while len(self._concerned) > _MOST_REMEMBERED:
                self._concerned.popitem(last=False)
            return True
        return named is None and str(request_id) in self._concerned

    def _is_error(self, found: dict[str, Any]) -> bool:
        return (
            self.says is not None
            or found.get("type") == "platform.fault"
            or found.get("level") in ("WARNING", "WARN", "ERROR", "CRITICAL", "FATAL")
            or ("errorType" in found and "level" not in found)
        )


def line(timestamp_ms: int, message: str, meaning: str | None = None) -> str | None:
    """One event as text; None for a metric's line.

    The time in UTC, level, message and error come first, then the other fields of the JSON line. Further lines of the
    message and the stack of the error follow, indented so that they do not look like another event. If Lambda ended a
    call, `meaning` says so in a sentence.
    """
    when = datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    found = parsed(message)
    if not isinstance(found, dict):
        return _indented(when, message.rstrip())
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    if "_aws" in found:
        return None
    # https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
    if str(found.get("type")).startswith("platform."):
        if meaning:
            return f"{when} ERROR {console.in_one_line(meaning)}"
        found = {"message": found["type"], **found["record"], **found["record"].get("metrics", {}), "metrics": None}
    fields = ((name, value) for name, value in found.items() if name not in _NOT_SHOWN and value is not None)
    rest = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in fields)
    says = str(found.get("message", ""))
    # A function that cannot start logs an error and no message.
    error = ": ".join(str(found[name]) for name in ("errorType", "errorMessage") if found.get(name))
    if error not in says:
        says = f"{says}: {error}" if says else error
    # The child process that serves repeated inputs passes its stack on as text.
    stack = "".join(map(str, found.get("stackTrace") or found.get("traceback") or ())).rstrip()
    first, _, below = says.partition("\n")
    return _indented(f"{when} {found.get('level', ''):5}", f"{first} {rest}".rstrip(), below, stack)


def _indented(head: str, first: str, *below: str) -> str:
    first, *more = first.splitlines() or [""]
    lines = [*more, *(line for text in below for line in text.splitlines())]
    return "\n".join((f"{head} {first}".rstrip(), *(f"  {line}" for line in lines)))
