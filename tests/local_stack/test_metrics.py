"""What functions, Lambda and SQS report reaches CloudWatch, and alarms follow it."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local_stack.support import LOGS, POLLING, Cloud, allow, client, eventually, policy
from modelctl.local.layout import ACCOUNT, REGION

#: Answers an input by what it says, and reports it as functions of models do.
MODEL = """
import json, time
def handler(event, context):
    failures = []
    for record in event["Records"]:
        says = json.loads(record["body"])["says"]
        if says == "raise":
            raise RuntimeError("the model cannot be loaded")
        refused = [1] if says == "refuse" else [0]
        print(json.dumps({
            "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [{
                "Namespace": "Modelyard", "Dimensions": [["Model", "Variant"]],
                "Metrics": [{"Name": "InputErrors"}, {"Name": "PredictTime", "Unit": "Milliseconds"}]}]},
            "Model": "%s", "Variant": "stable", "InputErrors": refused, "PredictTime": [1.5, 2.5, 3.5, 4.5]}))
        if says == "send back":
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
"""


def of(name: str, value: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value}]


def of_model(name: str) -> list[dict[str, str]]:
    return [*of("Model", name), *of("Variant", "stable")]


def model(cloud: Cloud, name: str, hidden_s: int = 60) -> str:
    """A model as the platform makes one: function, queue, dead-letter queue; returns its queue's URL.

    A message that fails becomes a dead letter after it was hidden for this many seconds.
    """
    _, dead_letters = cloud.queue(f"{name}-dlq")
    redrive = json.dumps({"deadLetterTargetArn": dead_letters, "maxReceiveCount": 1})
    url, arn = cloud.queue(name, VisibilityTimeout=str(hidden_s), RedrivePolicy=redrive)
    cloud.function(name, MODEL % name, role=cloud.role(name, LOGS, POLLING), Timeout=1)
    cloud.map_queue(arn, name, BatchSize=1)
    return url


def send(cloud: Cloud, url: str, says: str, times: int = 1) -> None:
    for _ in range(times):
        cloud.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps({"says": says}))


def values(cloud: Cloud, *queries: dict[str, Any], **request: Any) -> dict[str, list[float]]:
    """What GetMetricData says of the last hour, as one period."""
    end = datetime.now(UTC) + timedelta(seconds=1)
    got = cloud.client("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=end - timedelta(hours=1), EndTime=end, **request
    )
    return {result["Id"]: result["Values"] for result in got["MetricDataResults"]}


def query(name: str, metric: str, stat: str, dimensions: list[dict[str, str]], period_s: int = 7200) -> dict[str, Any]:
    namespace, metric = metric.split(" ")
    described = {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions}
    return {"Id": name, "MetricStat": {"Metric": described, "Period": period_s, "Stat": stat}}


def alarm_on(cloud: Cloud, name: str, topic: str, **on: Any) -> None:
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        AlarmActions=[topic],
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
        **on,
    )


def alarms(cloud: Cloud, name: str, topic: str, queue_age_s: int = 60) -> None:
    """The alarms of a model, as terraform/modules/model/alarms.tf makes them."""
    queue, dead, function = of("QueueName", name), of("QueueName", f"{name}-dlq"), of("FunctionName", name)
    at_any_minute, within_five = {"Statistic": "Maximum", "Period": 60}, {"Statistic": "Sum", "Period": 300}
    for alarm, threshold, metric, dimensions, looks in (
        ("dead_letters", 1, "AWS/SQS ApproximateNumberOfMessagesVisible", dead, at_any_minute),
        ("queue_age_s", queue_age_s, "AWS/SQS ApproximateAgeOfOldestMessage", queue, at_any_minute),
        ("errors", 1, "AWS/Lambda Errors", function, within_five),
        ("throttles", 1, "AWS/Lambda Throttles", function, within_five),
    ):
        namespace, metric_name = metric.split(" ")
        on = {"Namespace": namespace, "MetricName": metric_name, "Dimensions": dimensions}
        alarm_on(cloud, f"{name}/{alarm}", topic, Threshold=threshold, **on, **looks)
    inputs = query("inputs", "Modelyard InputErrors", "SampleCount", of_model(name), 3600) | {"ReturnData": False}
    share = query("share", "Modelyard InputErrors", "Average", of_model(name), 3600) | {"ReturnData": False}
    enough = {"Id": "enough", "Expression": "IF(inputs >= 5, share, 0)", "ReturnData": True}
    alarm_on(cloud, f"{name}/input_error_share", topic, Threshold=0.5, Metrics=[inputs, share, enough])


def states(cloud: Cloud, *models: str) -> dict[str, str]:
    found = cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found if alarm["AlarmName"].split("/")[0] in models}


@pytest.fixture(scope="module")
def topic(cloud: Cloud) -> str:
    """A topic with a queue that is subscribed to it, `on-call-metrics`."""
    arn: str = cloud.client("sns").create_topic(Name="alarms-metrics")["TopicArn"]
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:on-call-metrics"
    by_topic = {"Principal": {"Service": "sns.amazonaws.com"}, "Condition": {"ArnEquals": {"aws:SourceArn": arn}}}
    cloud.queue("on-call-metrics", Policy=policy(allow("sqs:SendMessage", queue) | by_topic))
    cloud.client("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue)
    return arn


@pytest.fixture(scope="module")
def broken(cloud: Cloud, topic: str) -> Mapping[str, str]:
    """Three models: one works, one cannot be loaded, and one gets inputs that it refuses."""
    urls = {name: model(cloud, name) for name in ("well", "refusing")}
    urls["unloadable"] = model(cloud, "unloadable", hidden_s=1)
    for name in urls:
        alarms(cloud, name, topic)
    eventually(lambda: set(states(cloud, *urls).values()) == {"OK"})
    send(cloud, urls["well"], "serve", 6)
    send(cloud, urls["well"], "refuse", 2)
    send(cloud, urls["unloadable"], "raise", 2)
    send(cloud, urls["refusing"], "refuse", 3)
    send(cloud, urls["refusing"], "serve", 2)
    return urls


def test_the_alarms_of_a_broken_model_fire_and_no_others(cloud: Cloud, broken: Mapping[str, str]) -> None:
    told: set[str] = set()
    sqs = cloud.client("sqs")
    on_call = sqs.get_queue_url(QueueName="on-call-metrics")["QueueUrl"]
    expected = {"unloadable/errors", "unloadable/dead_letters", "refusing/input_error_share"}
    deadline = time.monotonic() + 60
    while told != expected and time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=on_call, WaitTimeSeconds=1).get("Messages", ()):
            notice = json.loads(json.loads(message["Body"])["Message"])
            assert notice["NewStateValue"] == "ALARM"
            told.add(notice["AlarmName"])
    assert told == expected
    assert {name for name, state in states(cloud, *broken).items() if state == "ALARM"} == expected


def test_a_stopped_model_is_known_by_the_age_of_its_queue(cloud: Cloud, topic: str) -> None:
    url, _ = cloud.queue("stopped")
    alarms(cloud, "stopped", topic, queue_age_s=2)
    send(cloud, url, "serve")
    assert eventually(lambda: states(cloud, "stopped").get("stopped/queue_age_s") == "ALARM")
    assert [name for name, state in states(cloud, "stopped").items() if state == "ALARM"] == ["stopped/queue_age_s"]
    asked = query("waits", "AWS/SQS ApproximateNumberOfMessagesVisible", "Maximum", of("QueueName", "stopped"))
    assert values(cloud, asked) == {"waits": [1.0]}


def test_lambda_sqs_and_functions_report_what_they_did(cloud: Cloud, broken: Mapping[str, str]) -> None:
    """Of `well`: eight inputs, one at a time, two of which it refused, each with four times of prediction."""
    function, queue = of("FunctionName", "well"), of("QueueName", "well")
    asked = [
        query("calls", "AWS/Lambda Invocations", "Sum", function),
        query("errors", "AWS/Lambda Errors", "Sum", function),
        query("throttles", "AWS/Lambda Throttles", "Sum", function),
        query("durations", "AWS/Lambda Duration", "SampleCount", function),
        query("most", "AWS/Lambda ConcurrentExecutions", "Minimum", function),
        query("sent", "AWS/SQS NumberOfMessagesSent", "Sum", queue),
        query("refused", "Modelyard InputErrors", "Sum", of_model("well")),
        query("inputs", "Modelyard InputErrors", "SampleCount", of_model("well")),
        query("share", "Modelyard InputErrors", "Average", of_model("well")),
        query("p50", "Modelyard PredictTime", "p50", of_model("well")),
        query("p95", "Modelyard PredictTime", "p95", of_model("well")),
        {"Id": "twice", "Expression": "IF(inputs >= 5 AND share < 0.5, 2 * share, 0)"},
    ]
    eventually(lambda: values(cloud, asked[0])["calls"] == [8.0])
    # 8 times each of 1.5, 2.5, 3.5 and 4.5: between the 16th and 17th is 3.0; the 30th and 31st are 4.5.
    assert {name: found[0] for name, found in values(cloud, *asked).items()} == {
        "calls": 8,
        "errors": 0,
        "throttles": 0,
        "durations": 8,
        "most": 1,
        "sent": 8,
        "refused": 2,
        "inputs": 8,
        "share": 0.25,
        "p50": 3.0,
        "p95": 4.5,
        "twice": 0.5,
    }


def test_what_is_turned_away_is_a_throttle_and_no_call(cloud: Cloud) -> None:
    cloud.function("throttled", "def handler(event, context): pass")
    cloud.client("lambda").put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
    with pytest.raises(cloud.client("lambda").exceptions.TooManyRequestsException):
        cloud.invoke("throttled")
    function = of("FunctionName", "throttled")
    asked = [
        query(name.lower(), f"AWS/Lambda {name}", "Sum", function) for name in ("Throttles", "Invocations", "Errors")
    ]
    assert values(cloud, *asked) == {"throttles": [1.0], "invocations": [], "errors": []}


@pytest.mark.parametrize("protocol", ["query", "json"])
def test_metric_data_has_the_latest_first_and_comes_in_pages(
    cloud: Cloud, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html"""
    monkeypatch.setattr("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", (protocol,))
    cloudwatch = client(dict(cloud.env) | {"PROTOCOL": f"data {protocol}"}, "cloudwatch")
    assert cloudwatch.meta.service_model.resolved_protocol == protocol
    # Not at the beginning of an hour: periods count from the start time.
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
    datum = {"MetricName": protocol, "Dimensions": of("Model", "a")}
    for minutes, value in ((121, 3.0), (1, 1.0), (61, 2.0), (2, 5.0)):
        put = [{**datum, "Timestamp": start + timedelta(minutes=minutes), "Value": value}]
        cloudwatch.put_metric_data(Namespace="Yard", MetricData=put)
    asked = [query(name, f"Yard {protocol}", "Sum", of("Model", "a"), 3600) for name in ("a", "b")]
    elsewhere = query("c", f"Yard {protocol}", "Sum", of("Model", "b"), 3600)
    span = {"StartTime": start, "EndTime": start + timedelta(hours=3)}
    got = cloudwatch.get_metric_data(MetricDataQueries=[asked[0], elsewhere], **span)["MetricDataResults"]
    hours = [start + timedelta(hours=hour) for hour in (2, 1, 0)]
    assert [(each["Id"], each["Values"]) for each in got] == [("a", [3.0, 2.0, 6.0]), ("c", [])]
    assert got[0]["Timestamps"] == hours

    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=asked, **span, ScanBy="TimestampAscending", PaginationConfig={"PageSize": 3}
    )
    assert [[(each["Id"], each["Values"]) for each in page["MetricDataResults"]] for page in pages] == [
        [("a", [6.0, 2.0, 3.0])],
        [("b", [6.0, 2.0, 3.0])],
    ]
    with pytest.raises(cloudwatch.exceptions.ClientError, match="must not have a size greater than 500"):
        cloudwatch.get_metric_data(
            MetricDataQueries=[{**asked[0], "Id": f"q{number}"} for number in range(501)], **span
        )


def test_a_log_comes_in_pages(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html"""
    logs, group, now_ms = cloud.client("logs"), "/yard/pages", int(time.time() * 1000)
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    # More of one time than a page has, and more than the emulator returns at once.
    count = 10_007
    events = [{"timestamp": now_ms + number // 5, "message": f"line {number}"} for number in range(count)]
    for first in range(0, count, 5000):
        logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=events[first : first + 5000])

    def read(size: int, **asked: Any) -> list[list[str]]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, PaginationConfig={"PageSize": size}, **asked
        )
        return [[event["message"] for event in page["events"]] for page in pages]

    few = read(3, startTime=now_ms + 2000)
    assert [len(page) for page in few] == [3, 3, 1]
    assert [line for page in few for line in page] == [f"line {number}" for number in range(10_000, count)]
    all_of_them = read(10_000, startTime=now_ms)
    assert [line for page in all_of_them for line in page] == [event["message"] for event in events]
