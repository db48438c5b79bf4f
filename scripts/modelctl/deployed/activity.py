"""What CloudWatch knows about each model: how much it did, how fast, what failed, and which alarms fire."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from inference import VARIANT
from modelctl.deployed.deployment import Deployment, Model

# As in functions/inference/metrics.py; importing that would import numpy as well.
_NAMESPACE = "Modelyard"

#: In one call: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
_MOST_QUERIES = 500

#: The resolution, in seconds, of metrics that CloudWatch still has, by their age.
_RESOLUTIONS_S = ((timedelta(days=15), 60), (timedelta(days=63), 300), (timedelta.max, 3600))

#: The latest age of a queue may be some minutes old: SQS sends it once per minute.
_RECENT = timedelta(minutes=10)

#: How an alarm's description ends (terraform/modules/model/alarms.tf).
_NEXT = re.compile(r"Next: `(modelctl .+)`\.$")


@dataclass(frozen=True)
class Times:
    """The median and the 95th percentile, in milliseconds."""

    p50: float
    p95: float


@dataclass(frozen=True)
class Activity:
    """What a model did in a period of time.

    Attributes:
        inputs: inputs that ended with a result, and direct calls that got an answer.
        refused: how many of them were answered with an error about the input.
        calls: calls of the function.
        errors: calls that failed: the function crashed, ran out of time or memory, or could not load the model.
        throttles: calls that Lambda rejected.
        cold_starts: first calls of an environment.
        call_ms: how long calls took; None: there was none.
        result_ms: how long inputs were in the queue until they had a result; None: there was none.
        oldest_s: how many seconds the oldest message had been in the queue, as last reported by SQS.
        sent_back: how often messages went back to the queue in the last ten minutes.
        alarms: what fires now, as the registry calls it, such as `dead_letters`, and the command to run next that its
            description names, if it does.
    """

    inputs: int
    refused: int
    calls: int
    errors: int
    throttles: int
    cold_starts: int
    call_ms: Times | None
    result_ms: Times | None
    oldest_s: int
    sent_back: int
    alarms: Mapping[str, str | None]


class _Query(NamedTuple):
    """One statistic of one metric of a model, and the field that it is for."""

    model: str
    field: str
    metric: str
    statistic: str
    dimensions: Mapping[str, str]


#: The values of each query's periods, the latest first, by model and field.
_Values = Mapping[tuple[str, str], Sequence[float]]


def read(deployed: Deployment, since: datetime) -> dict[str, Activity]:
    """What every model has done since a point in time, by name, and its state now."""
    models = deployed.models.values()
    now = datetime.now(UTC)
    resolution_s = next(seconds for age, seconds in _RESOLUTIONS_S if now - since <= age)
    start, end = _floor(since, resolution_s), _floor(now, 60) + timedelta(minutes=1)
    # A single period covers all of it, since percentiles of parts cannot be combined.
    period_s = -(-int((end - start).total_seconds()) // resolution_s) * resolution_s
    work = _ask(deployed, [query for model in models for query in _of_work(model)], start, end, period_s)
    recent = [query for model in models for query in _of_queue(model)]
    queues = _ask(deployed, recent, _floor(now, 60) - _RECENT, end, 60)
    firing = firing_alarms(deployed)
    return {model.name: _activity(model.name, work, queues, firing.get(model.name, {})) for model in models}


def firing_alarms(deployed: Deployment) -> dict[str, dict[str, str | None]]:
    """The alarms that fire now, each with the command to run next, by model; models without one are left out."""
    functions = {model.function_name: model.name for model in deployed.models.values()}
    pages = deployed.metrics.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=f"{deployed.name}-", AlarmTypes=["MetricAlarm"], StateValue="ALARM"
    )
    firing: dict[str, dict[str, str | None]] = defaultdict(dict)
    for page in pages:
        for alarm in page["MetricAlarms"]:
            # Another deployment's name may begin with this one's.
            function, _, name = alarm["AlarmName"].partition("/")
            if function in functions:
                firing[functions[function]][name] = next_command(alarm.get("AlarmDescription", ""))
    return dict(firing)


def next_command(description: str) -> str | None:
    """The command to run next that an alarm's description names; None if it names none."""
    found = _NEXT.search(description)
    return found and found[1]


def _of_work(model: Model) -> Iterator[_Query]:
    of_function = {"FunctionName": model.function_name}
    of_model = {"Model": model.name, "Variant": VARIANT}
    for field, metric, statistic, dimensions in (
        ("calls", "AWS/Lambda Invocations", "Sum", of_function),
        ("errors", "AWS/Lambda Errors", "Sum", of_function),
        ("throttles", "AWS/Lambda Throttles", "Sum", of_function),
        ("call_p50", "AWS/Lambda Duration", "p50", of_function),
        ("call_p95", "AWS/Lambda Duration", "p95", of_function),
        ("inputs", f"{_NAMESPACE} InputErrors", "SampleCount", of_model),
        ("refused", f"{_NAMESPACE} InputErrors", "Sum", of_model),
        ("cold_starts", f"{_NAMESPACE} ColdStarts", "Sum", of_model),
        ("result_p50", f"{_NAMESPACE} ResultTime", "p50", of_model),
        ("result_p95", f"{_NAMESPACE} ResultTime", "p95", of_model),
    ):
        yield _Query(model.name, field, metric, statistic, dimensions)


def _of_queue(model: Model) -> Iterator[_Query]:
    queue = {"QueueName": model.queue_url.rpartition("/")[2]}
    yield _Query(model.name, "oldest_s", "AWS/SQS ApproximateAgeOfOldestMessage", "Maximum", queue)
    of_model = {"Model": model.name, "Variant": VARIANT}
    yield _Query(model.name, "sent_back", f"{_NAMESPACE} Failures", "Sum", of_model)


def _ask(
    deployed: Deployment, queries: Sequence[_Query], start: datetime, end: datetime, period_s: int
) -> dict[tuple[str, str], list[float]]:
    """The values of all queries, with as many queries per call as CloudWatch accepts."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for first in range(0, len(queries), _MOST_QUERIES):
        part = queries[first : first + _MOST_QUERIES]
        pages = deployed.metrics.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[_as_asked(f"q{number}", query, period_s) for number, query in enumerate(part)],
            StartTime=start,
            EndTime=end,
            ScanBy="TimestampDescending",
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                query = part[int(result["Id"][1:])]
                values[query.model, query.field] += result["Values"]
    return values


def _as_asked(name: str, query: _Query, period_s: int) -> dict[str, Any]:
    namespace, _, metric_name = query.metric.partition(" ")
    dimensions = [{"Name": name, "Value": value} for name, value in query.dimensions.items()]
    metric = {"Namespace": namespace, "MetricName": metric_name, "Dimensions": dimensions}
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": period_s, "Stat": query.statistic}}


def _activity(model: str, work: _Values, queues: _Values, firing: Mapping[str, str | None]) -> Activity:
    def total(field: str) -> int:
        return int(sum(work.get((model, field), ())))

    def times(name: str) -> Times | None:
        found = [max(work.get((model, f"{name}_{part}"), ()), default=None) for part in ("p50", "p95")]
        return None if found[0] is None or found[1] is None else Times(found[0], found[1])

    return Activity(
        inputs=total("inputs"),
        refused=total("refused"),
        calls=total("calls"),
        errors=total("errors"),
        throttles=total("throttles"),
        cold_starts=total("cold_starts"),
        call_ms=times("call"),
        result_ms=times("result"),
        oldest_s=int(next(iter(queues.get((model, "oldest_s"), ())), 0)),
        sent_back=int(sum(queues.get((model, "sent_back"), ()))),
        alarms=dict(sorted(firing.items())),
    )


def _floor(when: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(int(when.timestamp()) // seconds * seconds, UTC)
