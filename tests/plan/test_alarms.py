"""CloudWatch takes an alarm on any metric, and one that nobody sends never alarms: the planned ones are all sent."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from inference import config, metrics
from modelctl import cli
from modelctl.deployed import activity
from modelctl.local.stack import LocalStack
from plan.conftest import platform
from plan.planned import Plan

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
SENT_BY_AWS = {
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
    "AWS/Lambda": {"Errors", "Throttles", "Duration"},
}

Metric = tuple[str, str, frozenset[tuple[str, str]]]


@pytest.fixture
def sent(plan: Plan, capsys: pytest.CaptureFixture[str]) -> set[Metric]:
    """Namespace, name and dimensions of every metric that is sent of what is planned: by AWS, or by the functions."""
    dimensions = {
        "AWS/SQS": [("QueueName", queue["name"]) for queue in plan.of_type("aws_sqs_queue").values()],
        "AWS/Lambda": [
            ("FunctionName", each["function_name"]) for each in plan.of_type("aws_lambda_function").values()
        ],
    }
    by_aws = {
        (namespace, name, frozenset([dimension]))
        for namespace, names in SENT_BY_AWS.items()
        for name in names
        for dimension in dimensions[namespace]
    }
    for function in plan.of_type("aws_lambda_function").values():
        (environment,) = function["environment"]
        if "MODELYARD_MODEL" in environment["variables"]:
            told = {
                name: json.dumps(value) if isinstance(value, dict) else value
                for name, value in environment["variables"].items()
            }
            metrics.emit(
                config.read(told),
                predictions=1,
                inputs=1,
                input_errors=0,
                failures=0,
                predict_ms=1,
                cold_start=False,
                now=0,
            )
    return by_aws | {metric for line in capsys.readouterr().out.splitlines() for metric in embedded(json.loads(line))}


def embedded(line: dict[str, Any]) -> set[Metric]:
    """What CloudWatch reads out of a line of the embedded metric format."""
    return {
        (directive["Namespace"], metric["Name"], frozenset((name, line[name]) for name in names))
        for directive in line["_aws"]["CloudWatchMetrics"]
        for names in directive["Dimensions"]
        for metric in directive["Metrics"]
    }


def metrics_of(alarm: dict[str, Any]) -> set[Metric]:
    """What an alarm is on: one metric, or those of its expression."""
    of = [metric for query in alarm["metric_query"] for metric in query["metric"]] or [alarm]
    return {(metric["namespace"], metric["metric_name"], frozenset(metric["dimensions"].items())) for metric in of}


def test_every_alarm_is_about_a_metric_that_somebody_sends(plan: Plan, sent: set[Metric]) -> None:
    alarms = plan.of_type("aws_cloudwatch_metric_alarm")
    about = {address: metrics_of(alarm) for address, alarm in alarms.items()}
    assert {namespace for on in about.values() for namespace, _, _ in on} == {
        "AWS/SQS",
        "AWS/Lambda",
        metrics.NAMESPACE,
    }
    assert {address: on - sent for address, on in about.items() if on - sent} == {}


def test_every_alarm_names_the_command_to_run_next_and_there_is_such_a_command(plan: Plan) -> None:
    named = {}
    for alarm in plan.of_type("aws_cloudwatch_metric_alarm").values():
        found = re.fullmatch(r"Model (\S+): .*\. Next: `modelctl ([^`]+)`\.", alarm["alarm_description"])
        assert found, alarm["alarm_description"]
        model, command = found.groups()
        assert activity.next_command(alarm["alarm_description"]) == f"modelctl {command}"
        assert alarm["alarm_name"].startswith(f"modelyard-{model}/")
        # Exits if there is no such command, or not with these arguments.
        cli.parser().parse_args(shlex.split(command))
        named[alarm["alarm_name"]] = command
    assert {
        name.partition("/")[2]: command for name, command in named.items() if name.startswith("modelyard-digits/")
    } == {
        "dead_letters": "dead digits",
        "queue_age_s": "status --since 1h",
        "errors": "logs digits --errors",
        "throttles": "status --since 1h",
        "input_errors": "errors digits",
        "input_error_share": "errors digits",
    }
    assert named["modelyard-wine/dead_letters"] == "dead wine"


def test_an_alarm_tells_nobody_that_it_cleared_unless_somebody_asks(
    plan: Plan, stack: LocalStack, tmp_path: Path
) -> None:
    """A new alarm goes from INSUFFICIENT_DATA to OK, so its OK actions would announce every model that is added."""
    alarms = plan.of_type("aws_cloudwatch_metric_alarm")
    topics = {tuple(alarm["alarm_actions"]) for alarm in alarms.values()}
    assert len(topics) == 1
    assert {address: alarm["ok_actions"] for address, alarm in alarms.items() if alarm["ok_actions"]} == {}

    root = platform(tmp_path, stack.environment(), TF_VAR_notify_cleared_alarms="true")
    asked = Plan.read(root.plan(tmp_path / "plan")).of_type("aws_cloudwatch_metric_alarm")
    assert asked.keys() == alarms.keys()
    assert {tuple(alarm["ok_actions"]) for alarm in asked.values()} == topics


def test_the_alarm_of_the_deployment_is_on_every_alarm(plan: Plan) -> None:
    (overall,) = plan.of_type("aws_cloudwatch_composite_alarm").values()
    alarms = {alarm["alarm_name"] for alarm in plan.of_type("aws_cloudwatch_metric_alarm").values()}
    assert set(overall["alarm_rule"].split(" OR ")) == {f'ALARM("{name}")' for name in alarms}
    assert not overall["alarm_actions"], "an alarm notifies its subscribers once"


def test_every_graph_is_of_metrics_that_somebody_sends(plan: Plan, sent: set[Metric]) -> None:
    (dashboard,) = plan.of_type("aws_cloudwatch_dashboard").values()
    shown = [metric for widget in dashboard["dashboard_body"]["widgets"] for metric in widget["properties"]["metrics"]]
    about = [
        (namespace, name, frozenset(zip(dimensions[::2], dimensions[1::2], strict=True)))
        for namespace, name, *dimensions, _ in shown
    ]
    assert len(about) > len(sent) / 3
    assert [metric for metric in about if metric not in sent] == []
