"""The logs of functions: their events, and what Lambda's own lines mean."""

import itertools
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelctl import console, times
from modelctl.deployed.deployment import Deployment, Model

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef, FilterLogEventsResponseTypeDef

#: The most pages, of up to 10,000 events or 1 MB each, that one reading of a log takes.
_MOST_PAGES = 200
#: The most invocations whose inputs are remembered until they end.
_MOST_REMEMBERED = 1000


def events(deployed: Deployment, model: Model, since_ms: int, words: str = "") -> Iterator["FilteredLogEventTypeDef"]:
    """The events of all environments of a function since a time, oldest first.

    Args:
        deployed: where.
        model: whose.
        since_ms: milliseconds since 1970.
        words: a filter pattern of CloudWatch; lines that do not match may be among the results.
    """
    latest_ms = since_ms
    for number, page in enumerate(_pages(deployed, model, since_ms, words), start=1):
        for event in page["events"]:
            latest_ms = event["timestamp"]
            yield event
        if number == _MOST_PAGES and page.get("nextToken"):
            until = times.shown(datetime.fromtimestamp(latest_ms / 1000, UTC))
            console.warning(f"the log is long and was read only until {until}: a later `--since` shows the rest")
            return


def lines(
    deployed: Deployment, model: Model, since: datetime, words: str, most_pages: int
) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """The lines of JSON in a function's log since a time, with the time of each, oldest first.

    Args:
        deployed: where.
        model: whose.
        since: from when on.
        words: as for `events`.
        most_pages: how much of the log is read.
    """
    pages = _pages(deployed, model, int(since.timestamp() * 1000), words)
    for page in itertools.islice(pages, most_pages):
        for event in page["events"]:
            if isinstance(line := parsed(event["message"]), dict):
                yield datetime.fromtimestamp(event["timestamp"] / 1000, UTC), line


def _pages(deployed: Deployment, model: Model, since_ms: int, words: str) -> Iterable["FilterLogEventsResponseTypeDef"]:
    return deployed.log_events.get_paginator("filter_log_events").paginate(
        logGroupName=model.log_group, startTime=since_ms, filterPattern=words
    )


def parsed(message: str) -> Any:
    """The value of a line of JSON; any other line as it is."""
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return message


class Endings:
    """Finds out how Lambda ended invocations, and which inputs they were trying.

    Before a function tries inputs again, it names them ("try 2 of 5: a.png, b.png"), in case they kill it.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._tried: OrderedDict[str, str] = OrderedDict()

    def note(self, line: Mapping[str, Any]) -> None:
        """Remember the inputs that a line names."""
        says, request_id = str(line.get("message", "")), str(line.get("requestId", ""))
        if says.startswith("try ") and request_id:
            self._tried[request_id] = f"{self._tried.get(request_id, '')}; {says}".removeprefix("; ")
            while len(self._tried) > _MOST_REMEMBERED:
                self._tried.popitem(last=False)

    def says(self, line: Mapping[str, Any]) -> str | None:
        """A sentence on Lambda's report about an invocation that it ended; None for any other line.

        https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
        """
        if line.get("type") == "platform.initReport":
            record = line["record"]
            if record.get("status") != "timeout":
                return None
            seconds = record["metrics"]["durationMs"] / 1000
            return f"the start of an environment was stopped after {seconds:.0f} s and is repeated within the call"
        if line.get("type") != "platform.report":
            return None
        record = line["record"]
        tried = self._tried.pop(record.get("requestId", ""), "")
        how = self._how(record)
        return how and (f"{how}: {tried}" if tried else how)

    def _how(self, record: Mapping[str, Any]) -> str | None:
        status, metrics = record.get("status"), record.get("metrics", {})
        error = str(record.get("errorType", ""))
        if status == "timeout" or error == "Sandbox.Timedout":
            return f"timed out: the call reached its limit of {self._model.timeout_s} s (timeout_s)"
        if status not in ("error", "failure"):
            return None
        used, size = metrics.get("maxMemoryUsedMB", 0), metrics.get("memorySizeMB", self._model.memory_mb)
        if error == "Runtime.OutOfMemory" or (error == "Runtime.ExitError" and used >= size):
            return f"out of memory: the function used {used} of {size} MB (memory_mb)"
        if error == "Runtime.ExitError":
            return f"crashed: the function's process ended in the middle of a call, at {used} of {size} MB"
        return f"failed: {error}" if error else "failed"
