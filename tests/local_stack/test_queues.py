"""From an upload to a function through a queue, and what happens when the function fails."""

import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.services import lambda_svc

from local_stack.support import LOGS, POLLING, Cloud, allow, eventually, policy
from modelctl.local.layout import ACCOUNT, MAX_ENVIRONMENTS, Layout, write_whole
from modelctl.local.patches import mappings
from modelctl.local.stack import LocalStack

# A mapping makes no more calls at once than this, whatever it may, unless a test asks for more.
PROCESSORS = max(2, os.cpu_count() or 1)

COPY = """
import json, os, urllib.parse
import boto3
s3 = boto3.client("s3")
def handler(event, context):
    failures = []
    for record in event["Records"]:
        for notice in json.loads(record["body"]).get("Records", []):
            key = urllib.parse.unquote_plus(notice["s3"]["object"]["key"])
            if "bad" in key:
                failures.append({"itemIdentifier": record["messageId"]})
                continue
            body = s3.get_object(Bucket=notice["s3"]["bucket"]["name"], Key=key)["Body"].read()
            s3.put_object(Bucket=os.environ["RESULTS"], Key=key, Body=context.invoked_function_arn.encode() + body)
    return {"batchItemFailures": failures}
"""


def notify(cloud: Cloud, bucket: str, queue_arn: str, **filters: str) -> None:
    rules = [{"Name": name, "Value": value} for name, value in filters.items()]
    configuration: dict[str, Any] = {"QueueArn": queue_arn, "Events": ["s3:ObjectCreated:*"]}
    if rules:
        configuration["Filter"] = {"Key": {"FilterRules": rules}}
    cloud.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [configuration]}
    )


def open_to_s3(name: str, bucket: str) -> str:
    return policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}",
            "Condition": {
                "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"},
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
            },
        }
    )


def test_an_upload_is_answered_and_only_the_failed_input_goes_to_the_dead_letters(cloud: Cloud) -> None:
    inputs, results = cloud.bucket("way-inputs"), cloud.bucket("way-results")
    dead_url, dead_arn = cloud.queue("way-dlq")
    _, queue = cloud.queue(
        "way",
        VisibilityTimeout="1",
        RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2}),
        Policy=open_to_s3("way", inputs),
    )
    notify(cloud, inputs, queue, prefix="digits/", suffix=".txt")
    reading = allow("s3:GetObject", f"arn:aws:s3:::{inputs}/digits/*")
    writing = allow("s3:PutObject", f"arn:aws:s3:::{results}/digits/*")
    function = cloud.function(
        "way", COPY, role=cloud.role("way", LOGS, POLLING, reading, writing), env={"RESULTS": results}
    )
    cloud.map_queue(queue, "way", BatchSize=10, ScalingConfig={"MaximumConcurrency": 2})

    s3 = cloud.client("s3")
    keys = [f"digits/a {number}+é.txt" for number in range(12)]
    for key in [*keys, "digits/bad.txt", "other/x.txt", "digits/x.json"]:
        s3.put_object(Bucket=inputs, Key=key, Body=key.encode())

    def found() -> list[str]:
        return [entry["Key"] for entry in s3.list_objects_v2(Bucket=results).get("Contents", [])]

    eventually(lambda: len(found()) == len(keys))
    assert sorted(found()) == sorted(keys)
    body = s3.get_object(Bucket=results, Key=keys[0])["Body"].read().decode()
    assert body == f"{function}:live{keys[0]}"
    eventually(lambda: cloud.messages(dead_url) == 1)
    dead = cloud.client("sqs").receive_message(QueueUrl=dead_url)["Messages"][0]["Body"]
    assert "digits/bad.txt" in dead


SPAN = """
import time
def handler(event, context):
    started = time.time()
    time.sleep(0.4)
    print("span", started, time.time())
"""


@pytest.mark.parametrize(("name", "maximum", "expected"), [("ceiling", 2, 2), ("processors", 1000, PROCESSORS)])
def test_a_mapping_calls_no_more_often_at_once_than_it_may(
    cloud: Cloud, name: str, maximum: int, expected: int
) -> None:
    assert most_at_once(cloud, name, maximum, messages=3 * expected) == expected


def test_a_test_may_let_functions_run_on_more_processors_than_there_are(cloud: Cloud, local_stack: LocalStack) -> None:
    file = Layout(local_stack.home).processors
    write_whole(file, str(PROCESSORS + 1))
    try:
        assert most_at_once(cloud, "more-processors", 1000, messages=2 * PROCESSORS) == PROCESSORS + 1
    finally:
        file.unlink()


def most_at_once(cloud: Cloud, name: str, maximum: int, messages: int) -> int:
    """The most concurrent calls of a mapping that may make this many, with one message each."""
    url, queue = cloud.queue(name)
    cloud.function(name, SPAN, role=cloud.role(name, LOGS, POLLING))
    for number in range(messages):
        cloud.client("sqs").send_message(QueueUrl=url, MessageBody=str(number))
    cloud.map_queue(queue, name, BatchSize=1, ScalingConfig={"MaximumConcurrency": maximum})
    spans: list[tuple[float, float]] = eventually(lambda: len(found := spans_of(cloud.log(name))) == messages and found)
    return max(sum(other[0] <= start < other[1] for other in spans) for start, _ in spans)


def spans_of(log: list[str]) -> list[tuple[float, float]]:
    words = [line.split() for line in log if line.startswith("span ")]
    return [(float(start), float(end)) for _, start, end in words]


def test_reserved_concurrency_of_the_function_bounds_its_mapping(cloud: Cloud) -> None:
    url, queue = cloud.queue("reserved")
    cloud.function("reserved", SPAN, role=cloud.role("reserved", LOGS, POLLING))
    cloud.client("lambda").put_function_concurrency(FunctionName="reserved", ReservedConcurrentExecutions=1)
    for number in range(4):
        cloud.client("sqs").send_message(QueueUrl=url, MessageBody=str(number))
    cloud.map_queue(queue, "reserved", BatchSize=1)
    spans = eventually(lambda: len(found := spans_of(cloud.log("reserved"))) == 4 and sorted(found))
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


@pytest.mark.parametrize("missing", POLLING["Action"])
def test_a_mapping_needs_a_role_that_may_poll(cloud: Cloud, missing: str) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-permissions"""
    action = missing.removeprefix("sqs:")
    name = f"unpolled-{action}"
    _, queue = cloud.queue(name)
    rest = allow([other for other in POLLING["Action"] if other != missing], queue)
    cloud.function(name, "def handler(event, context): pass", role=cloud.role(name, rest))
    with pytest.raises(ClientError, match=f"does not have permissions to call {action} on SQS"):
        cloud.map_queue(queue, name)


def test_a_failing_batch_comes_back(cloud: Cloud) -> None:
    url, queue = cloud.queue("again", VisibilityTimeout="1")
    code = """
calls = 0
def handler(event, context):
    global calls
    calls += 1
    print("call", calls)
    assert calls > 1
"""
    cloud.function("again", code, role=cloud.role("again", LOGS, POLLING))
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    started = time.monotonic()
    cloud.map_queue(queue, "again")
    eventually(lambda: "call 2" in cloud.log("again"))
    assert time.monotonic() - started >= 1
    eventually(lambda: cloud.messages(url) == 0)


def test_an_input_whose_function_ran_out_of_memory_comes_back(cloud: Cloud) -> None:
    url, queue = cloud.queue("memory", VisibilityTimeout="1")
    code = """
import time
def handler(event, context):
    count = int(event["Records"][0]["attributes"]["ApproximateReceiveCount"])
    print("receive", count)
    taken = [b"x" * 2**20 for _ in range(300 if count == 1 else 1)]
    time.sleep(0.3)
    print("done")
"""
    cloud.function("memory", code, role=cloud.role("memory", LOGS, POLLING), MemorySize=128)
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    cloud.map_queue(queue, "memory")
    eventually(lambda: "done" in cloud.log("memory"))
    eventually(lambda: cloud.messages(url) == 0)
    steps = ("receive 1", "signal: killed", "receive 2", "done")
    assert [step for line in cloud.log("memory") for step in steps if step in line] == list(steps)


@pytest.mark.parametrize(("dispatched", "expected"), [(MAX_ENVIRONMENTS - 1, 2), (MAX_ENVIRONMENTS, 0)])
def test_no_mapping_receives_while_as_many_environments_run_as_may(
    dispatched: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lambda_svc, "_esm_inflight", {str(number): 1 for number in range(dispatched)})

    assert mappings._bounded(lambda: 2, Layout(tmp_path))() == expected
