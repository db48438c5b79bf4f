"""Small functions and what they need, made with boto3 on a local stack."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from modelctl.local.layout import ACCOUNT, REGION

PYTHON = "python3.11"


def client(env: Mapping[str, str], service: str) -> Any:
    """A boto3 client with the address and key of `LocalStack.environment()`."""
    return _client(service, tuple(env.items()))


@cache
def _client(service: str, variables: tuple[tuple[str, str], ...]) -> Any:
    env = dict(variables)
    return boto3.client(
        service,  # type: ignore[call-overload]  # the service is the caller's
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=env.get("AWS_SESSION_TOKEN"),
        verify=env["AWS_CA_BUNDLE"],
        # A throttled call is what some tests look for.
        config=Config(retries={"total_max_attempts": 1}),
    )


def allow(actions: str | list[str], resources: str | list[str] = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


LOGS = allow(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"])
NETWORK = allow(["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"])
POLLING = allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"])


def zipped(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def eventually(what: Callable[[], Any], timeout_s: float = 20, every_s: float = 0.02) -> Any:
    """Return the first true value of `what`, asked for every few seconds; fail when none comes in time."""
    deadline = time.monotonic() + timeout_s
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every_s)
    return value


@dataclass(frozen=True)
class Answer:
    """What a direct call returned."""

    payload: Any
    failed: bool


@dataclass(frozen=True)
class Cloud:
    """Makes things on a local stack; names are the test's own, so that tests do not meet."""

    env: Mapping[str, str]

    def client(self, service: str) -> Any:
        return client(self.env, service)

    def role(self, name: str, *statements: dict[str, Any]) -> str:
        iam = self.client("iam")
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
        return arn

    def function(
        self, name: str, code: str, *, role: str | None = None, env: Mapping[str, str] | None = None, **settings: Any
    ) -> str:
        """Make a function whose module is `code`, with a version and the alias `live`; return its ARN."""
        lambda_ = self.client("lambda")
        arn: str = lambda_.create_function(
            FunctionName=name,
            Runtime=PYTHON,
            Role=role or self.role(name, LOGS),
            Handler="code.handler",
            Code={"ZipFile": zipped({"code.py": code})},
            Environment={"Variables": dict(env or {})},
            **{"Timeout": 10, **settings},
        )["FunctionArn"]
        eventually(lambda: lambda_.get_function_configuration(FunctionName=name)["State"] == "Active")
        version = lambda_.publish_version(FunctionName=name)["Version"]
        lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
        return arn

    def invoke(self, name: str, event: Any = None, qualifier: str = "live") -> Answer:
        answer = self.client("lambda").invoke(FunctionName=name, Qualifier=qualifier, Payload=json.dumps(event))
        return Answer(json.loads(answer["Payload"].read()), "FunctionError" in answer)

    def bucket(self, name: str) -> str:
        self.client("s3").create_bucket(Bucket=name)
        return name

    def queue(self, name: str, **attributes: str) -> tuple[str, str]:
        """Make a queue; return its URL and its ARN."""
        url = self.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"

    def map_queue(self, queue_arn: str, function: str, **settings: Any) -> None:
        self.client("lambda").create_event_source_mapping(
            EventSourceArn=queue_arn,
            FunctionName=f"{function}:live",
            FunctionResponseTypes=["ReportBatchItemFailures"],
            **settings,
        )

    def messages(self, url: str) -> int:
        """How many messages a queue has, hidden ones too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def log(self, name: str) -> list[str]:
        """A function's log; empty before its first call."""
        logs, group = self.client("logs"), f"/aws/lambda/{name}"
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return []
        return [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
