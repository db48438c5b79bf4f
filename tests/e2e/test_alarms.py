"""An alarm reaches who subscribed to the deployment's topic."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.conftest import Platform
from local_stack.support import allow, policy
from modelctl.local.layout import ACCOUNT, REGION


@pytest.fixture(scope="module")
def on_call(platform: Platform) -> Iterator[str]:
    """The URL of a queue that is subscribed to the topic."""
    sns, sqs = platform.client("sns"), platform.client("sqs")
    topic = platform.alarm_topic_arn
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:on-call"
    by_topic = {"Principal": {"Service": "sns.amazonaws.com"}, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}
    attributes = {"Policy": policy(allow("sqs:SendMessage", arn) | by_topic)}
    queue = sqs.create_queue(QueueName="on-call", Attributes=attributes)["QueueUrl"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
    yield queue
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    sqs.delete_queue(QueueUrl=queue)


def told(platform: Platform, queue: str) -> Any:
    """The next notice."""
    sqs = platform.client("sqs")
    (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return json.loads(json.loads(message["Body"])["Message"])


def firing(platform: Platform) -> set[str]:
    found = platform.client("cloudwatch").describe_alarms(StateValue="ALARM")
    return {alarm["AlarmName"] for alarm in found["MetricAlarms"]}


def test_an_alarm_of_a_model_reaches_the_topics_subscribers(platform: Platform, on_call: str) -> None:
    cloudwatch = platform.client("cloudwatch")
    alarm = "modelyard-digits/dead_letters"
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    notice = told(platform, on_call)
    assert (notice["AlarmName"], notice["NewStateValue"]) == (alarm, "ALARM")
    assert "modelctl dead digits" in notice["AlarmDescription"]

    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="a test")
    waited = platform.client("sqs").receive_message(QueueUrl=on_call, WaitTimeSeconds=2)
    assert "Messages" not in waited, "it clears in silence"


def test_a_model_that_refuses_its_inputs_fires_its_own_alarm_and_no_others(platform: Platform, on_call: str) -> None:
    before = firing(platform)
    for number in range(10):
        key = f"wine/broken-{number}.json"
        platform.client("s3").put_object(Bucket=platform.deployment["buckets"]["inputs"], Key=key, Body=b"{")
    notice = told(platform, on_call)
    assert (notice["AlarmName"], notice["NewStateValue"]) == ("modelyard-wine/input_error_share", "ALARM")
    assert firing(platform) - before == {"modelyard-wine/input_error_share"}
    found = platform.client("cloudwatch").describe_alarms(AlarmNames=["modelyard/any"], AlarmTypes=["CompositeAlarm"])
    assert [alarm["StateValue"] for alarm in found["CompositeAlarms"]] == ["ALARM"]
