"""The mapping of a function that is replaced, as when a zip becomes an image, goes first and comes back last.

The local stack runs no images, so one zip is applied in place of another. Both ways between zips and images are planned
in test_as_on_aws.py.
"""

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_stack.support import Cloud, eventually, zipped
from modelctl import paths
from modelctl.errors import UserError
from modelctl.local.layout import ACCOUNT, REGION
from modelctl.local.stack import LocalStack
from plan.conftest import Root, alone

NAME = "replaced"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/modelyard@sha256:{'1' * 64}"
CODE = zipped(
    {"inference/handler.py": "def handler(event, context): print([each['body'] for each in event.get('Records', ())])"}
)
PACKAGE = {
    "lambda_runtime": "python3.13",
    "s3_bucket": f"{NAME}-artifacts",
    "s3_key": "code.zip",
    "code_sha256": base64.b64encode(hashlib.sha256(CODE).digest()).decode(),
    "layers": [],
    "publish_again": False,
}
MAPPING, ALIAS, FUNCTION = (
    *("aws_lambda_event_source_mapping.queue", "aws_lambda_alias.live", "aws_lambda_function.inference"),
)
AGAIN = f"-replace={FUNCTION}"
REMOVED = [("delete", MAPPING), ("delete", ALIAS), ("delete", FUNCTION)]
MADE = [("create", FUNCTION), ("create", ALIAS), ("create", MAPPING)]


@dataclass
class Replaced:
    """One model by itself, whose function is replaced."""

    cloud: Cloud
    folder: Path
    queue_url: str = field(init=False)
    _queue_arn: str = field(init=False)
    _root: Root = field(init=False)

    def __post_init__(self) -> None:
        cloud = self.cloud
        bucket = cloud.bucket(f"{NAME}-artifacts")
        self.queue_url, self._queue_arn = cloud.queue(NAME, VisibilityTimeout="60")
        cloud.function(f"{NAME}--weights-sync", "def handler(event, context): return {}")
        system = cloud.client("efs").create_file_system(CreationToken=NAME)
        (subnet, *_) = cloud.client("ec2").describe_subnets()["Subnets"]
        (group, *_) = cloud.client("ec2").describe_security_groups()["SecurityGroups"]
        variables = {
            "deployment": {
                "arns": {
                    "iam": f"arn:aws:iam::{ACCOUNT}:",
                    "lambda": f"arn:aws:lambda:{REGION}:{ACCOUNT}:",
                    "logs": f"arn:aws:logs:{REGION}:{ACCOUNT}:",
                    "s3": "arn:aws:s3:::",
                    "sqs": f"arn:aws:sqs:{REGION}:{ACCOUNT}:",
                }
            },
            "name": NAME,
            "model": {
                "description": "",
                "digest": "d1",
                "names": {
                    "function": NAME,
                    "queue": NAME,
                    "dead_letter_queue": f"{NAME}-dlq",
                    "metric_dimensions": {},
                },
                "files": {},
                "route": {"prefixes": [f"{NAME}/"], "suffixes": []},
                "variables": {"MODELYARD_WEIGHTS": "/mnt/model"},
                "check": "{}",
                "memory_mb": 128,
                "timeout_s": 10,
                "ephemeral_mb": 512,
                "architecture": "x86_64",
                "batch": {"size": 1, "window_s": 0},
                "concurrency": {"maximum": 2},
                "alarms": {},
                "tags": {},
            },
            "buckets": {"inputs": bucket, "results": bucket, "artifacts": bucket},
            "queue_arn": self._queue_arn,
            "file_system": {
                "id": system["FileSystemId"],
                "arn": system["FileSystemArn"],
                "writer": 10000,
                "reader": 10001,
            },
            "network": {"subnet_ids": [subnet["SubnetId"]], "security_group_id": group["GroupId"]},
            "weights_sync": f"{NAME}--weights-sync",
            "alarm_topic_arn": f"arn:aws:sns:{REGION}:{ACCOUNT}:{NAME}",
            "notify_cleared_alarms": False,
            "log_retention_days": 1,
            "package": PACKAGE,
        }
        shutil.copytree(paths.TERRAFORM / "modules/execution_role", self.folder / "execution_role")
        self._root = alone(
            "modules/model",
            self.folder,
            cloud.env,
            **{
                f"TF_VAR_{name}": value if isinstance(value, str) else json.dumps(value)
                for name, value in variables.items()
            },
        )

    def upload(self) -> None:
        """Put the code where the function's is taken from."""
        self.cloud.client("s3").put_object(Bucket=f"{NAME}-artifacts", Key="code.zip", Body=CODE)

    def lose_code(self) -> None:
        self.cloud.client("s3").delete_object(Bucket=f"{NAME}-artifacts", Key="code.zip")

    def apply(self, *options: str) -> list[tuple[str, str]]:
        """What an apply does to what serves inputs, in this order; where it fails, the last says why."""
        journal = self.folder / "journal"
        journal.unlink(missing_ok=True)
        try:
            for _ in self._root.change("apply", *options, journal=journal):
                pass
        except UserError as problem:
            failed = [("failed", str(problem))]
        else:
            failed = []
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        done = [(event["hook"]["action"], event["hook"]["resource"]["addr"]) for event in events if _is_done(event)]
        return [each for each in done if each[1] in (MAPPING, ALIAS, FUNCTION)] + failed

    def planned(self, *options: str) -> dict[str, list[str]]:
        """What a plan does with what serves inputs."""
        shown = json.loads(self._root.plan(self.folder / "plan", *options))
        return {
            change["address"]: change["change"]["actions"]
            for change in shown["resource_changes"]
            if change["address"] in (MAPPING, ALIAS, FUNCTION)
        }

    def mappings(self) -> int:
        """How many mappings poll the queue."""
        found = self.cloud.client("lambda").list_event_source_mappings(EventSourceArn=self._queue_arn)
        return len(found["EventSourceMappings"])

    def destroy(self) -> None:
        self._root.destroy()


def _is_done(event: dict[str, Any]) -> bool:
    return event["type"] == "apply_complete" and event["hook"]["action"] in ("create", "update", "delete")


@pytest.fixture(scope="module")
def replaced(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replaced]:
    replaced = Replaced(Cloud(stack.environment()), tmp_path_factory.mktemp(NAME))
    replaced.upload()
    assert replaced.apply() == MADE
    yield replaced
    replaced.destroy()


def test_inputs_wait_in_the_queue_while_a_function_is_replaced(replaced: Replaced) -> None:
    replaced.lose_code()
    *done, (failed, why) = replaced.apply(AGAIN)
    assert (done, failed) == (REMOVED, "failed")
    assert "NoSuchKey" in why
    assert replaced.mappings() == 0
    replaced.cloud.client("sqs").send_message(QueueUrl=replaced.queue_url, MessageBody="arrived meanwhile")

    replaced.upload()
    assert replaced.apply() == MADE

    eventually(lambda: replaced.cloud.messages(replaced.queue_url) == 0)
    assert "['arrived meanwhile']" in replaced.cloud.log(NAME)


def test_the_mapping_goes_first_and_comes_back_last(replaced: Replaced) -> None:
    assert replaced.apply(AGAIN) == [*REMOVED, *MADE]


def test_a_mapping_stays_as_long_as_its_function(replaced: Replaced) -> None:
    other = '-var=network={subnet_ids=["subnet-other"],security_group_id="sg-other"}'
    assert replaced.planned(other) == {FUNCTION: ["update"], ALIAS: ["update"], MAPPING: ["no-op"]}
    image = f"-var=package={json.dumps(PACKAGE | {'image_uri': IMAGE})}"
    assert replaced.planned(image) == {address: ["delete", "create"] for address in (FUNCTION, ALIAS, MAPPING)}
