"""CloudWatch: AWS's own metrics, alarms that follow their metrics, the descriptions of both, and pages of logs."""

import functools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import count, takewhile
from typing import Any
from xml.etree import ElementTree

from ministack.services import cloudwatch, cloudwatch_logs, sqs

from modelctl.local import alarms, metric_math, metrics
from modelctl.local.patches.patching import replace

_NAMESPACE = "http://monitoring.amazonaws.com/doc/2010-08-01/"

#: The fields of an alarm on one metric; an alarm on an expression has them in its `Metrics`.
_OF_ONE_METRIC = ("MetricName", "Namespace", "Dimensions", "Statistic", "Period", "Unit")

Response = tuple[int, dict[str, str], bytes]


def install() -> None:
    """Patch the CloudWatch service."""
    replace(cloudwatch, "_put_metric_alarm", _with_expressions)
    replace(cloudwatch, "_describe_alarms", _in_full)
    replace(cloudwatch, "_get_metric_data", lambda _: _get_metric_data)
    # The emulator evaluates an alarm when a metric is put, and mixes the metrics of all dimensions.
    replace(cloudwatch, "_evaluate_alarm", lambda _: lambda alarm: None)
    replace(cloudwatch, "_store_datum", lambda put: functools.partial(metrics.store, put))
    # The emulator drops old metrics at every request, ignoring what other threads add meanwhile.
    replace(cloudwatch, "_evict_old_metrics", lambda _: lambda: None)
    replace(cloudwatch_logs, "_put_log_events", _with_metrics)
    replace(cloudwatch_logs, "_filter_log_events", _in_pages)
    replace(sqs, "_collect_msgs", _counted)
    alarms.watch()


def _with_expressions(original: Callable[..., Response]) -> Callable[..., Response]:
    """PutMetricAlarm stores the metrics and the expression of an alarm.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html. The emulator knows alarms
    on one metric only.
    """

    def put(params: Any, data: Any, is_cbor: bool, is_json: bool = False) -> Response:
        answer = original(params, data, is_cbor, is_json)
        metrics = data.get("Metrics") if is_cbor or is_json else _given(params, "Metrics")
        if metrics and answer[0] == 200:
            name = data["AlarmName"] if is_cbor or is_json else cloudwatch._p(params, "AlarmName")
            alarm = cloudwatch._alarms[name]
            for field in _OF_ONE_METRIC:
                del alarm[field]
            alarm["Metrics"] = metrics
        return answer

    return put


def _given(params: Mapping[str, Any], name: str) -> Any:
    """A parameter of the query protocol, which names members of structures and lists by their path."""
    if name in params:
        text = cloudwatch._p(params, name)
        match name.rsplit(".", 1)[-1]:
            case "Period":
                return int(text)
            case "ReturnData":
                return text == "true"
        return text
    members = {key.removeprefix(f"{name}.").split(".")[0] for key in params if key.startswith(f"{name}.")}
    if members == {"member"}:
        return list(takewhile(bool, (_given(params, f"{name}.member.{number}") for number in count(1))))
    return {member: _given(params, f"{name}.{member}") for member in members}


def _in_full(original: Callable[..., Response]) -> Callable[..., Response]:
    """DescribeAlarms returns everything that an alarm was created with, in every protocol.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html. In the query protocol, which
    the provider uses, the emulator leaves out fields such as the actions and the metric, so a second plan would set all
    of them again.
    """

    def describe(params: Any, data: Any, is_cbor: bool, is_json: bool = False) -> Response:
        status, headers, body = original(params, data, is_cbor, is_json)
        if is_cbor or is_json or status != 200:
            return status, headers, body
        ElementTree.register_namespace("", _NAMESPACE)
        answer = ElementTree.fromstring(body)  # noqa: S314  # the emulator's own
        for kind, alarms_of_kind in (
            ("MetricAlarms", cloudwatch._alarms),
            ("CompositeAlarms", cloudwatch._composite_alarms),
        ):
            for shown in answer.iterfind(f".//{{{_NAMESPACE}}}{kind}/{{{_NAMESPACE}}}member"):
                alarm = alarms_of_kind[shown.findtext(f"{{{_NAMESPACE}}}AlarmName")]
                for empty in [element for element in shown if element.tag.split("}")[1] not in alarm]:
                    shown.remove(empty)
                for field, value in alarm.items():
                    if value is not None and shown.find(f"{{{_NAMESPACE}}}{field}") is None:
                        _add(shown, field, cloudwatch._ts_iso(value) if field.endswith("Timestamp") else value)
        return status, headers, ElementTree.tostring(answer, encoding="utf-8", xml_declaration=True)

    return describe


def _add(parent: ElementTree.Element, name: str, value: Any) -> None:
    """Add a value as in the query protocol: lists as members, booleans in lower case."""
    element = ElementTree.SubElement(parent, f"{{{_NAMESPACE}}}{name}")
    match value:
        case list():
            for item in value:
                _add(element, "member", item)
        case dict():
            for key, item in value.items():
                _add(element, key, item)
        case bool():
            element.text = str(value).lower()
        case _:
            element.text = str(value)


def _with_metrics(original: Callable[[Any], Response]) -> Callable[[Any], Response]:
    """CloudWatch extracts metrics from everything that is written to a log, whichever call writes it."""

    def put(data: Any) -> Response:
        answer = original(data)
        if answer[0] == 200:
            for event in data.get("logEvents", ()):
                metrics.embedded(event.get("message", ""))
        return answer

    return put


def _in_pages(original: Callable[[Any], Response]) -> Callable[[Any], Response]:
    """FilterLogEvents returns a page of events and a token for the next; the emulator has one page of at most 10,000.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
    """

    def read(data: Any) -> Response:
        most = min(int(data.get("limit") or _MOST_EVENTS), _MOST_EVENTS)
        asked = dict(data)
        # The token is the time of the last event that was returned, and the number of events at that time.
        since, _, returned = asked.pop("nextToken", "").partition("/")
        if since:
            asked["startTime"] = int(since)
        skipped = int(returned or 0)
        status, headers, body = original({**asked, "limit": _MOST_EVENTS})
        if status != 200:
            return status, headers, body
        answer = json.loads(body)
        found = answer["events"][skipped:]
        page = answer["events"] = found[:most]
        if page and (len(found) > most or len(found) + skipped == _MOST_EVENTS):
            last = page[-1]["timestamp"]
            same = sum(event["timestamp"] == last for event in page)
            answer["nextToken"] = f"{last}/{same + (skipped if since == str(last) else 0)}"
        return status, headers, json.dumps(answer).encode()

    return read


def _counted(original: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """A message that is received is counted as sent, if it was not yet."""

    def collect(queue: Any, *rest: Any) -> list[Any]:
        received = original(queue, *rest)
        metrics.count_sent(queue, received, time.time())
        return received

    return collect


#: The most events per page:
#: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
_MOST_EVENTS = 10_000

#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
_MOST_QUERIES, _MOST_DATAPOINTS = 500, 100_800

Series = dict[float, float]


def _get_metric_data(params: Any, data: Any, is_cbor: bool, is_json: bool = False) -> Response:
    """GetMetricData: latest first, periods that count from the start time, expressions, and pages.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html. The emulator returns the
    oldest first, counts periods from 1970, and has no expressions and only one page.
    """
    request = data if is_cbor or is_json else _asked(params)
    queries = request.get("MetricDataQueries") or []
    if len(queries) > _MOST_QUERIES:
        says = f"The collection MetricDataQueries must not have a size greater than {_MOST_QUERIES}."
        refused: Response = cloudwatch._error("ValidationError", says, 400, use_json=is_json, use_cbor=is_cbor)
        return refused
    start, end = (cloudwatch._parse_ts(request[name]) for name in ("StartTime", "EndTime"))
    series: dict[str, Series] = {}
    problems: dict[str, str] = {}
    for query in sorted(queries, key=lambda query: "Expression" in query):
        try:
            series[query["Id"]] = _series(query, series, start, end)
        except metric_math.ExpressionError as problem:
            series[query["Id"]], problems[query["Id"]] = {}, str(problem)
    shown = [query for query in queries if query.get("ReturnData", True)]
    first = int(request.get("NextToken") or 0)
    page = _page(shown, first, series, int(request.get("MaxDatapoints") or _MOST_DATAPOINTS))
    latest_first = request.get("ScanBy") != "TimestampAscending"
    results = []
    for query in page:
        times = sorted(series[query["Id"]], reverse=latest_first)
        result = {
            "Id": query["Id"],
            "Label": query.get("Label") or _label(query),
            "Timestamps": [cloudwatch._ts_iso(at) for at in times],
            "Values": [series[query["Id"]][at] for at in times],
            "StatusCode": "InternalError" if query["Id"] in problems else "Complete",
        }
        if query["Id"] in problems:
            result["Messages"] = [{"Code": "Unsupported", "Value": problems[query["Id"]]}]
        results.append(result)
    answer: dict[str, Any] = {"MetricDataResults": results}
    if first + len(page) < len(shown):
        answer["NextToken"] = str(first + len(page))
    return _answered(answer, is_cbor, is_json)


def _asked(params: Any) -> dict[str, Any]:
    """The request of the query protocol."""
    names = ("StartTime", "EndTime", "NextToken", "MaxDatapoints", "ScanBy")
    given = {name: cloudwatch._p(params, name) for name in names if name in params}
    return {**given, "MetricDataQueries": _given(params, "MetricDataQueries")}


def _label(query: Mapping[str, Any]) -> str:
    return str(query["Id"] if "Expression" in query else query["MetricStat"]["Metric"]["MetricName"])


def _series(query: Mapping[str, Any], others: Mapping[str, Series], start: float, end: float) -> Series:
    """The values of one query by the start of their periods."""
    if "Expression" in query:
        times = {at for other in others.values() for at in other}
        values = {
            at: metric_math.evaluate(query["Expression"], {name: other.get(at) for name, other in others.items()})
            for at in times
        }
        return {at: value for at, value in values.items() if value is not None}
    stat = query["MetricStat"]
    metric, period_s = stat["Metric"], int(stat["Period"])
    start -= start % min(period_s, 60)
    parts: dict[float, list[metrics.Point]] = defaultdict(list)
    dimensions = cloudwatch._dims_from_list(metric.get("Dimensions") or [])
    for point in metrics.points(metric["Namespace"], metric["MetricName"], dimensions):
        if start <= point["Timestamp"] < end:
            parts[start + (point["Timestamp"] - start) // period_s * period_s].append(point)
    found = {at: metrics.statistic(points, stat["Stat"]) for at, points in parts.items()}
    return {at: value for at, value in found.items() if value is not None}


def _page(shown: Sequence[Mapping[str, Any]], first: int, series: Mapping[str, Series], most: int) -> list[Any]:
    """The first queries whose datapoints fit into one answer; at least one."""
    page: list[Any] = []
    for query in shown[first:]:
        most -= len(series[query["Id"]])
        if page and most < 0:
            break
        page.append(query)
    return page


def _answered(answer: dict[str, Any], is_cbor: bool, is_json: bool) -> Response:
    response: Response
    if is_cbor:
        results = [cloudwatch._cbor_metric_data_result(result) for result in answer["MetricDataResults"]]
        response = cloudwatch._cbor_ok({**answer, "MetricDataResults": results})
    elif is_json:
        response = cloudwatch._json_ok(answer)
    else:
        ElementTree.register_namespace("", _NAMESPACE)
        whole = ElementTree.Element(f"{{{_NAMESPACE}}}GetMetricDataResponse")
        _add(whole, "GetMetricDataResult", answer)
        response = 200, {"Content-Type": "application/xml"}, ElementTree.tostring(whole, encoding="utf-8")
    return response
