"""CloudWatch: alarms on several metrics, and how alarms are described."""

from collections.abc import Callable, Mapping
from itertools import count, takewhile
from typing import Any
from xml.etree import ElementTree

from ministack.services import cloudwatch

from modelctl.local.patches.patching import replace

_NAMESPACE = "http://monitoring.amazonaws.com/doc/2010-08-01/"

#: What an alarm on one metric has, and one on an expression of several has in its `Metrics`.
_OF_ONE_METRIC = ("MetricName", "Namespace", "Dimensions", "Statistic", "Period", "Unit")

Response = tuple[int, dict[str, str], bytes]


def install() -> None:
    """Patch the CloudWatch service."""
    replace(cloudwatch, "_put_metric_alarm", _with_expressions)
    replace(cloudwatch, "_describe_alarms", _in_full)


def _with_expressions(original: Callable[..., Response]) -> Callable[..., Response]:
    """PutMetricAlarm keeps the metrics and the expression that an alarm is on.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html. The emulator knows alarms
    on one metric only. It computes no expressions, so such an alarm stays at INSUFFICIENT_DATA.
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
    """A parameter of the query protocol, which gives members of structures and lists by their path."""
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
    """DescribeAlarms shows all that an alarm was made with, whichever protocol asks.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html. To the query protocol, which
    the provider speaks, the emulator leaves out what somebody is told, how and of which metric; so a second plan would
    want to set it all anew.
    """

    def describe(params: Any, data: Any, is_cbor: bool, is_json: bool = False) -> Response:
        status, headers, body = original(params, data, is_cbor, is_json)
        if is_cbor or is_json or status != 200:
            return status, headers, body
        ElementTree.register_namespace("", _NAMESPACE)
        answer = ElementTree.fromstring(body)  # noqa: S314  # the emulator's own
        for shown in answer.iterfind(f".//{{{_NAMESPACE}}}MetricAlarms/{{{_NAMESPACE}}}member"):
            alarm = cloudwatch._alarms[shown.findtext(f"{{{_NAMESPACE}}}AlarmName")]
            for empty in [element for element in shown if element.tag.split("}")[1] not in alarm]:
                shown.remove(empty)
            for field, value in alarm.items():
                if value is not None and shown.find(f"{{{_NAMESPACE}}}{field}") is None:
                    _add(shown, field, cloudwatch._ts_iso(value) if field.endswith("Timestamp") else value)
        return status, headers, ElementTree.tostring(answer, encoding="utf-8", xml_declaration=True)

    return describe


def _add(parent: ElementTree.Element, name: str, value: Any) -> None:
    """Add a value as the query protocol writes it: lists as members, booleans in small letters."""
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
