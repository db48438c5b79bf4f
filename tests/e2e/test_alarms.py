"""An alarm reaches who subscribed to the deployment's topic."""

import json

from e2e.conftest import Platform
from local_stack.support import allow, policy
from modelctl.local.layout import ACCOUNT, REGION


def test_an_alarm_of_a_model_reaches_the_topics_subscribers(platform: Platform) -> None:
    sns, sqs, cloudwatch = (platform.client(service) for service in ("sns", "sqs", "cloudwatch"))
    topic = platform.alarm_topic_arn
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:on-call"
    by_topic = {"Principal": {"Service": "sns.amazonaws.com"}, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}
    attributes = {"Policy": policy(allow("sqs:SendMessage", arn) | by_topic)}
    queue = sqs.create_queue(QueueName="on-call", Attributes=attributes)["QueueUrl"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
    alarm = "modelyard-digits/dead_letters"
    try:
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
        (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        told = json.loads(json.loads(message["Body"])["Message"])
        assert (told["AlarmName"], told["NewStateValue"]) == (alarm, "ALARM")
        assert "modelctl logs digits" in told["AlarmDescription"]

        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="a test")
        assert "Messages" not in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2), "it clears in silence"
    finally:
        sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        sqs.delete_queue(QueueUrl=queue)
