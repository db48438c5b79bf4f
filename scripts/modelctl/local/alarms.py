"""The states of alarms, evaluated from their metrics.

An alarm is evaluated every second over the time that ends now, whereas CloudWatch waits until a period is over. So an
alarm on this machine fires within a second or two of its cause; conditions and periods are as on AWS.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
"""

import logging
import operator
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ministack.services import cloudwatch

from modelctl.local import metric_math, metrics

logger = logging.getLogger(__name__)

_EVERY_S = 1.0
_FORGET_EVERY_S = 60.0

_COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}

Alarm = dict[str, Any]


def watch() -> None:
    """From now on, monitor queues and alarms in a thread."""
    threading.Thread(target=_watch, daemon=True, name="alarms").start()


def _watch() -> None:
    queues, forgot = metrics.Queues(), time.time()
    while True:
        time.sleep(_EVERY_S)
        now = time.time()
        try:
            queues.sample(now)
            evaluate_all(now)
            if now - forgot > _FORGET_EVERY_S:
                metrics.forget(now)
                forgot = now
        except Exception:
            # Something unexpected, such as a queue that was deleted meanwhile, must not end the next rounds.
            logger.exception("alarms could not be evaluated")


def evaluate_all(now: float) -> None:
    """Evaluate every alarm at a point in time, in seconds since 1970, and run the actions for its changes."""
    for alarm in list(cloudwatch._alarms.values()):
        if found := _state(alarm, now):
            _change(alarm, *found, now)


def _state(alarm: Alarm, now: float) -> tuple[str, str] | None:
    """The state that an alarm should have, and why; None: its current state."""
    count, period_s = alarm["EvaluationPeriods"], _period(alarm)
    try:
        values = [_value(alarm, now - number * period_s, period_s) for number in range(count)]
    except metric_math.ExpressionError as error:
        return "INSUFFICIENT_DATA", f"Unchecked: {error}"
    missing, treated = values.count(None), alarm["TreatMissingData"]
    if missing == count and treated == "missing":
        return "INSUFFICIENT_DATA", f"Insufficient Data: {count} datapoints were unknown."
    if missing == count and treated == "ignore":
        return None
    compare, says = _COMPARISONS[alarm["ComparisonOperator"]]
    breaching = sum(treated == "breaching" if value is None else compare(value, alarm["Threshold"]) for value in values)
    at = f"{datetime.fromtimestamp(now, UTC):%d/%m/%y %H:%M:%S}"
    shown = [f"{value} ({at})" for value in values if value is not None]
    what = "no datapoints were received"
    if shown:
        what = f"{len(shown)} of {count} datapoints [{', '.join(shown)}]"
    if breaching >= alarm.get("DatapointsToAlarm", count):
        return "ALARM", f"Threshold Crossed: {what}, {says} the threshold ({alarm['Threshold']})."
    return "OK", f"Threshold Crossed: {what}, not {says} the threshold ({alarm['Threshold']})."


def _period(alarm: Alarm) -> int:
    """The period in seconds; for an alarm on an expression, the longest of its metrics."""
    if "Metrics" not in alarm:
        return int(alarm["Period"])
    return max(int(query["MetricStat"]["Period"]) for query in alarm["Metrics"] if "MetricStat" in query)


def _value(alarm: Alarm, end: float, period_s: int) -> metric_math.Value:
    if "Metrics" not in alarm:
        statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
        return _statistic(alarm, statistic, end, period_s)
    values: dict[str, metric_math.Value] = {}
    returned = None
    # CloudWatch accepts the queries in any order; those of metrics refer to no other.
    for query in sorted(alarm["Metrics"], key=lambda query: "Expression" in query):
        if "Expression" in query:
            values[query["Id"]] = metric_math.evaluate(query["Expression"], values)
        else:
            stat = query["MetricStat"]
            values[query["Id"]] = _statistic(stat["Metric"], stat["Stat"], end, period_s)
        if query.get("ReturnData", True):
            returned = values[query["Id"]]
    return returned


def _statistic(metric: Mapping[str, Any], statistic: str, end: float, period_s: int) -> metric_math.Value:
    dimensions = cloudwatch._dims_from_list(metric.get("Dimensions") or [])
    known = metrics.points(metric["Namespace"], metric["MetricName"], dimensions)
    within = [point for point in metrics.latest(known, end - period_s) if point["Timestamp"] <= end]
    return metrics.statistic(within, statistic)


def _change(alarm: Alarm, state: str, reason: str, now: float) -> None:
    before = alarm["StateValue"]
    if before == state:
        return
    alarm["StateValue"], alarm["StateReason"], alarm["StateUpdatedTimestamp"] = state, reason, int(now)
    cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)
