"""The table of quotas in docs/deploying.md says what the plan of the platform takes of each."""

import re
from collections import Counter

import pytest
import yaml

from modelctl import paths
from plan.planned import Plan

MODELS = yaml.safe_load(paths.REGISTRY.read_text())["models"]
PAGE = (paths.CHECKOUT / "docs" / "deploying.md").read_text()
#: What a deployment, and each model, uses of each quota: the types that count, by the start of the row.
TYPES = {
    "VPC: VPCs": ("aws_vpc",),
    "IAM: roles, per account": ("aws_iam_role",),
    "EFS: access points, per file system": ("aws_efs_access_point",),
    "CloudWatch: alarms": ("aws_cloudwatch_metric_alarm", "aws_cloudwatch_composite_alarm"),
    "SQS: queues": ("aws_sqs_queue",),
    "S3: buckets, per account": ("aws_s3_bucket",),
    # One interface per subnet, for the functions, which share a security group.
    "VPC: network interfaces, per VPC": ("aws_efs_mount_target", "aws_subnet"),
}


def row(quota: str) -> list[str]:
    """The cells of a quota's row: its default, what a model and a deployment take of it, what to do."""
    (cells,) = re.findall(rf"^\| {re.escape(quota)} \| (.+) \|$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in cells.split(" | ")]


@pytest.mark.parametrize("quota", TYPES)
def test_a_model_and_a_deployment_take_as_much_of_a_quota_as_the_page_says(plan: Plan, quota: str) -> None:
    taken = [address for kind in TYPES[quota] for address in plan.of_type(kind)]
    owners = Counter(next((name for name in MODELS if f'["{name}"]' in address), "") for address in taken)
    usual = [name for name, entry in MODELS.items() if "alarms" not in entry]
    _, per_model, per_deployment, _ = row(quota)
    assert [owners[name] for name in usual] == [int(per_model)] * len(usual)
    assert usual
    assert owners[""] == int(per_deployment)


def test_a_model_takes_a_notification_per_prefix_and_suffix_and_a_deployment_none(plan: Plan) -> None:
    (bucket,) = plan.of_type("aws_s3_bucket_notification").values()
    routes = [entry.get("route", {}) for entry in MODELS.values()]
    assert len(bucket["queue"]) == sum(
        len(route.get("prefixes", ["/"])) * len(route.get("suffixes") or [""]) for route in routes
    )
    assert row("S3: notifications, per bucket")[1:3] == ["1 per prefix and suffix", "0"]


def test_the_function_of_a_deployment_has_the_memory_that_the_page_says(plan: Plan) -> None:
    memory_mb = plan.resources["module.weights_sync.aws_lambda_function.this"]["memory_size"]
    assert row("Lambda: memory of a function")[2] == f"{memory_mb:,} MB"
