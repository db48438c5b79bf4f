"""A function that was idle for weeks, as the local stack shows it."""

import json

import pytest
from botocore.exceptions import ClientError

from local_stack.support import LOGS, POLLING, Cloud, eventually
from modelctl.local.patches.idle import TAG


def idle(cloud: Cloud, function_arn: str, restored_after_s: float) -> None:
    cloud.client("lambda").tag_resource(Resource=function_arn, Tags={TAG: str(restored_after_s), "kept": "yes"})


def state(cloud: Cloud, name: str) -> tuple[str, str]:
    """Its state and why, through the alias."""
    found = cloud.client("lambda").get_function_configuration(FunctionName=name, Qualifier="live")
    return found["State"], found["StateReasonCode"]


def refusal(cloud: Cloud, name: str) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        cloud.invoke(name)
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def test_the_first_call_of_an_idle_function_fails_and_has_it_restored(cloud: Cloud) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html"""
    arn = cloud.function("idle", "def handler(event, context): return event")
    assert cloud.invoke("idle", 1).payload == 1
    idle(cloud, arn, restored_after_s=1)
    assert cloud.client("lambda").list_tags(Resource=arn)["Tags"] == {"kept": "yes"}
    assert state(cloud, "idle") == ("Inactive", "Idle")
    assert refusal(cloud, "idle") == (
        409,
        "CodeArtifactUserPendingException",
        "Lambda is initializing your function. It will be ready to invoke shortly.",
    )
    assert state(cloud, "idle") == ("Pending", "Restoring")
    assert refusal(cloud, "idle") == (
        409,
        "ResourceConflictException",
        "The operation cannot be performed at this time. The function is currently in the following state: Pending",
    )
    eventually(lambda: state(cloud, "idle")[0] == "Active")
    assert cloud.invoke("idle", 2).payload == 2


def test_what_a_mapping_receives_meanwhile_comes_back_after_its_visibility_timeout(cloud: Cloud) -> None:
    dead_url, dead_arn = cloud.queue("idle-queue-dlq")
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url, queue = cloud.queue("idle-queue", VisibilityTimeout="2", RedrivePolicy=redrive)
    code = """
def handler(event, context):
    print("receives", [record["attributes"]["ApproximateReceiveCount"] for record in event["Records"]])
"""
    arn = cloud.function("idle-queue", code, role=cloud.role("idle-queue", LOGS, POLLING))
    idle(cloud, arn, restored_after_s=1)
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    cloud.map_queue(queue, "idle-queue")
    eventually(lambda: cloud.messages(url) == 0)
    assert [line for line in cloud.log("idle-queue") if line.startswith("receives")] == ["receives ['2']"]
    assert cloud.messages(dead_url) == 0
