"""Metrics that reach CloudWatch without a PutMetricData call: those of Lambda, of SQS, and in log lines.

Like CloudWatch, this stores each value that occurred in a minute, and how often, so that percentiles are exact. The
state of a queue is sampled every second, and only count, sum, minimum and maximum per minute are stored.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ministack.services import cloudwatch, sqs

_MINUTE_S = 60
#: How many of a minute's latest values are searched for an equal one, whose count is then increased.
_ALIKE = 4
#: SQS sends the metrics of a queue until it has been idle for this long.
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/monitoring-using-cloudwatch.html
_ACTIVE_S = 6 * 3600
#: The age of the oldest message ignores messages that were received more often than this.
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
_MOST_RECEIVES = 3

Dimensions = Mapping[str, str]
Point = dict[str, Any]

#: CloudWatch keeps metrics per minute for this long.
_KEPT_S = 15 * 24 * 3600

_lock = threading.Lock()


def points(namespace: str, name: str, dimensions: Dimensions) -> list[Point]:
    """The points of one metric, oldest first, as the emulator keeps them."""
    found: list[Point] | None = cloudwatch._metrics.get((namespace, name, cloudwatch._dims_key(dict(dimensions))))
    return found or []


def latest(known: Sequence[Point], since: float) -> Iterator[Point]:
    """The points since a point in time, in seconds since 1970."""
    for point in reversed(known):
        if point["Timestamp"] < since - _MINUTE_S:
            return
        if point["Timestamp"] >= since:
            yield point


def statistic(known: Sequence[Point], name: str) -> float | None:
    """A statistic of points: `Sum`, `Average`, `p95` and so on; None without data."""
    found: float | None = cloudwatch._stat_value(cloudwatch._calc_stats(known), name, known) if known else None
    return found


def record(
    namespace: str, name: str, dimensions: Dimensions, unit: str, value: float, now: float, times: float = 1
) -> None:
    """Record a value that occurred `times` times.

    Args:
        namespace: for example `AWS/Lambda`.
        name: of the metric.
        dimensions: that make it one metric.
        unit: one of CloudWatch's.
        value: the value.
        now: when, in seconds since 1970.
        times: how often.
    """
    with _lock:
        known = _bucket(namespace, name, dimensions)
        for point in known[-_ALIKE:]:
            same_minute = point["Timestamp"] // _MINUTE_S == now // _MINUTE_S
            if same_minute and point["Value"] == value and "_stat" not in point:
                point["Count"] = point.get("Count", 1) + times
                point["Timestamp"] = max(point["Timestamp"], now)
                return
        _insert(known, {"Timestamp": now, "Unit": unit, "Dimensions": dict(dimensions), "Value": value, "Count": times})


def embedded(text: str) -> None:
    """Record the metrics of a log line, if it has the embedded metric format.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    if '"_aws"' not in text:
        return
    try:
        line = json.loads(text)
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: str(line[name]) for name in names}
                for metric in directive["Metrics"]:
                    values = line[metric["Name"]]
                    occurred = Counter(map(float, values if isinstance(values, list) else [values]))
                    for value, times in occurred.items():
                        now, unit = line["_aws"]["Timestamp"] / 1000, metric.get("Unit", "None")
                        record(directive["Namespace"], metric["Name"], dimensions, unit, value, now, times)
    except (KeyError, TypeError, ValueError):
        # CloudWatch also stores such a line without extracting anything from it.
        return


def invoked(function_name: str, duration_ms: float, *, failed: bool) -> None:
    """Record an invocation of a function.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html. Of Lambda's three sets of dimensions,
    this records that of the whole function.
    """
    now = time.time()
    for name, unit, value in (
        ("Invocations", "Count", 1.0),
        ("Errors", "Count", float(failed)),
        ("Duration", "Milliseconds", duration_ms),
    ):
        record("AWS/Lambda", name, {"FunctionName": function_name}, unit, value, now)


def admitted(function_name: str, running: int | None) -> None:
    """Record that a function may run, and how many of its calls now run at the same time; None: it was throttled.

    A throttled call is neither an invocation nor an error.
    """
    now, of = time.time(), {"FunctionName": function_name}
    record("AWS/Lambda", "Throttles", of, "Count", float(running is None), now)
    if running is not None:
        record("AWS/Lambda", "ConcurrentExecutions", of, "Count", running, now)


class Queues:
    """Samples all queues, and records what SQS would send about them."""

    def __init__(self) -> None:
        #: By queue: when it was last in use, and the last minute for which it has metrics.
        self._active: dict[str, tuple[float, float]] = {}

    def sample(self, now: float) -> None:
        """Record the state of every queue that is in use."""
        for queue in list(sqs._queues.values()):
            name = queue["attributes"]["QueueArn"].rpartition(":")[2]
            active_at, minute = self._active.get(name, (-_ACTIVE_S, 0))
            with sqs._queues_lock:
                messages = list(queue["messages"])
            count_sent(queue, messages, now)
            if messages:
                active_at = now
            elif now - active_at > _ACTIVE_S or minute == now // _MINUTE_S:
                continue
            self._active[name] = active_at, now // _MINUTE_S
            _record_state(name, messages, now)


def store(put: Callable[..., None], namespace: str, name: str, dimensions: dict[str, str], *rest: Any) -> None:
    """Let PutMetricData add points; they are stored in the order of their times."""
    with _lock:
        put(namespace, name, dimensions, *rest)
        _bucket(namespace, name, dimensions).sort(key=lambda point: float(point["Timestamp"]))


def forget(now: float) -> None:
    """Drop what CloudWatch no longer keeps per minute."""
    with _lock:
        for key, known in list(cloudwatch._metrics.items()):
            kept = next((place for place, point in enumerate(known) if point["Timestamp"] >= now - _KEPT_S), len(known))
            del known[:kept]
            if not known:
                del cloudwatch._metrics[key]


def _record_state(name: str, messages: Sequence[dict[str, Any]], now: float) -> None:
    waiting = [message for message in messages if message["visible_at"] <= now]
    delayed = sum(message["visible_at"] > now and not message.get("receive_count") for message in messages)
    sent = [message["sent_at"] for message in messages if message.get("receive_count", 0) <= _MOST_RECEIVES]
    for metric, unit, value in (
        ("ApproximateNumberOfMessagesVisible", "Count", len(waiting)),
        ("ApproximateNumberOfMessagesDelayed", "Count", delayed),
        ("ApproximateNumberOfMessagesNotVisible", "Count", len(messages) - len(waiting) - delayed),
        ("ApproximateAgeOfOldestMessage", "Seconds", int(now - min(sent, default=now))),
    ):
        _gauge(metric, {"QueueName": name}, unit, float(value), now)


def count_sent(queue: Mapping[str, Any], messages: Sequence[dict[str, Any]], now: float) -> None:
    """Record messages that were not yet counted as sent.

    Each message gets here before it can be deleted: at the latest when it is received. A message that moved to a
    dead-letter queue was counted in its first queue, as on AWS.
    """
    new = [message for message in messages if not message.get("counted")]
    for message in new:
        message["counted"] = True
    if new:
        name = queue["attributes"]["QueueArn"].rpartition(":")[2]
        record("AWS/SQS", "NumberOfMessagesSent", {"QueueName": name}, "Count", len(new), now)


def _gauge(name: str, dimensions: Dimensions, unit: str, value: float, now: float) -> None:
    with _lock:
        known = _bucket("AWS/SQS", name, dimensions)
        if known and "_stat" in known[-1] and known[-1]["Timestamp"] // _MINUTE_S == now // _MINUTE_S:
            stat = known[-1]["_stat"]
            stat["SampleCount"] += 1
            stat["Sum"] += value
            stat["Minimum"], stat["Maximum"] = min(stat["Minimum"], value), max(stat["Maximum"], value)
            known[-1]["Timestamp"] = now
            return
        stat = {"SampleCount": 1.0, "Sum": value, "Minimum": value, "Maximum": value}
        point = {"Timestamp": now, "Unit": unit, "Dimensions": dict(dimensions), "Value": value, "_stat": stat}
        _insert(known, point)


def _bucket(namespace: str, name: str, dimensions: Dimensions) -> list[Point]:
    bucket: list[Point] = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dict(dimensions))))
    return bucket


def _insert(known: list[Point], point: Point) -> None:
    """Insert a point in the order of the times."""
    place = len(known)
    while place and known[place - 1]["Timestamp"] > point["Timestamp"]:
        place -= 1
    known.insert(place, point)
