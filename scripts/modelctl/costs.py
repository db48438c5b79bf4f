"""What a deployment costs: what AWS charges for its resources even if they are not used, and for the models' work.

Prices are from prices.yaml. AWS's free tier is not deducted: it belongs to the account, which may use it elsewhere.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from modelctl import paths
from modelctl.terraform.plans import Document, Values

#: The number that AWS's own calculator uses.
HOURS_PER_MONTH = 730

#: Requests per month to receive from an empty queue: Lambda keeps five pollers, each of which waits for 20 s. It uses
#: fewer only for a mapping without a maximum concurrency, and every model sets one.
#: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
POLLS_PER_MONTH = 5 * HOURS_PER_MONTH * 3600 // 20

#: Metrics that a model sends in each hour in which it serves inputs.
METRICS = 6
#: What a call writes to its log: one line of metrics and Lambda's own lines. Each input adds a line.
LOG_BYTES_PER_CALL = 1_500
LOG_BYTES_PER_INPUT = 500
#: The most messages that one request to SQS receives or deletes.
_MESSAGES_PER_REQUEST = 10

_GB = 10**9


@dataclass(frozen=True)
class Price:
    """What AWS charges for one kind of unit.

    Args:
        says: what it is for.
        usd: dollars per `per` units.
        unit: what `per` counts.
        page: AWS's page that has the price.
        seen: the text in which the amount was read; None if it is not confirmed.
    """

    says: str
    usd: float
    per: int
    unit: str
    page: str
    seen: str | None = None


@functools.cache
def prices() -> tuple[str, Mapping[str, Price]]:
    """The date of the prices, and the prices by name."""
    read = yaml.safe_load(Path(__file__).with_name("prices.yaml").read_text(encoding="utf-8"))
    return read["as_of"], {name: Price(**price) for name, price in read["prices"].items()}


#: How many units of each price, by its name in prices.yaml.
Units = Mapping[str, float]


def usd(units: Units) -> float:
    """What units cost."""
    _, by_name = prices()
    return sum(by_name[name].usd * number / by_name[name].per for name, number in units.items())


def added(parts: Iterable[Units]) -> Units:
    """All units of several parts."""
    units: dict[str, float] = {}
    for part in parts:
        for name, number in part.items():
            units[name] = units.get(name, 0) + number
    return units


# --- at rest ----------------------------------------------------------------------------------------------------------


def at_rest(resources: Iterable[tuple[str, Values]]) -> Units:
    """The units per month that AWS charges for resources, each with its type, even if they are not used.

    For each model, only the current release counts as stored: a plan contains neither earlier ones nor container
    images.
    """
    return added(_AT_REST[kind](values) for kind, values in resources if kind in _AT_REST)


def before_after(plan: Document) -> tuple[float, float]:
    """The dollars per month at rest of the resources in a plan, before and after it is applied."""
    managed = [resource for resource in plan.get("resource_changes", ()) if resource["mode"] == "managed"]

    def cost(when: str) -> float:
        there = ((each["type"], each["change"][when]) for each in managed)
        return usd(at_rest((kind, values) for kind, values in there if values is not None))

    return cost("before"), cost("after")


def says(before: float, after: float) -> str:
    """One line on what a plan costs at rest, from the dollars before and after it."""
    more = round(after - before, 2)
    change = f", ${abs(more):,.2f} {'more' if more > 0 else 'less'} than now" if more and before else ""
    return f"at rest: about ${after:,.2f} per month in us-east-1{change} (docs/costs.md)"


def _alarm(values: Values) -> Units:
    # Each metric that an expression reads counts, but the expression itself does not.
    read = sum(len(query["metric"]) for query in values.get("metric_query") or ())
    return {"alarm_metrics": read or 1}


def _object(values: Values) -> Units:
    """An object that Terraform uploads; the files of a model are on EFS as well."""
    file = paths.TERRAFORM / (values.get("source") or "")
    stored_gb = file.stat().st_size / _GB if file.is_file() else 0
    weights = values.get("key", "").startswith("models/")
    return {"s3_gb": stored_gb, "efs_gb": stored_gb if weights else 0}


_AT_REST: Mapping[str, Callable[[Values], Units]] = {
    "aws_cloudwatch_composite_alarm": lambda _: {"composite_alarms": 1},
    "aws_cloudwatch_dashboard": lambda _: {"dashboards": 1},
    "aws_cloudwatch_metric_alarm": _alarm,
    "aws_kms_key": lambda _: {"keys": 1},
    "aws_lambda_event_source_mapping": lambda _: {"sqs_requests": POLLS_PER_MONTH},
    "aws_s3_object": _object,
}

#: Resources that are free, or cost something only for their use or for what they store.
_FREE_AT_REST = frozenset(
    {
        "aws_cloudwatch_event_rule",
        "aws_cloudwatch_event_target",
        "aws_cloudwatch_log_group",
        "aws_default_security_group",
        "aws_efs_access_point",
        "aws_efs_file_system_policy",
        "aws_efs_mount_target",
        "aws_iam_role",
        "aws_iam_role_policy",
        "aws_lambda_alias",
        "aws_lambda_function",
        "aws_lambda_invocation",
        "aws_lambda_layer_version",
        "aws_route_table",
        "aws_route_table_association",
        "aws_s3_bucket",
        "aws_s3_bucket_lifecycle_configuration",
        "aws_s3_bucket_notification",
        "aws_s3_bucket_ownership_controls",
        "aws_s3_bucket_policy",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_versioning",
        "aws_scheduler_schedule",
        "aws_security_group",
        "aws_sns_topic",
        "aws_sqs_queue",
        "aws_subnet",
        "aws_vpc",
        "aws_vpc_security_group_egress_rule",
        "aws_vpc_security_group_ingress_rule",
        "terraform_data",
    }
)
#: Resources that are free if an attribute has this value, and are otherwise charged per hour.
_FREE_IF = {"aws_efs_file_system": ("throughput_mode", "elastic"), "aws_vpc_endpoint": ("vpc_endpoint_type", "Gateway")}


def is_known(kind: str, values: Values) -> bool:
    """Whether it is known what a resource costs at rest."""
    attribute, free = _FREE_IF.get(kind, ("", None))
    return kind in _AT_REST or kind in _FREE_AT_REST or (kind in _FREE_IF and values.get(attribute) == free)


# --- in use -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Use:
    """How one model is used in a month.

    Args:
        inputs: the number of uploads.
        per_call: how many of them a call of the function serves.
        input_s: seconds that an input takes in the function.
        cold_starts: calls that start a process first.
        cold_start_s: seconds that starting one takes.
        memory_mb: the function's memory.
        weights_mb: what a cold start reads from EFS.
        stored_kb: the size of an input and its result.
        hours: the number of hours with at least one input.
        by_event: whether EventBridge, instead of the bucket's notification, announces uploads.
    """

    inputs: int
    per_call: int
    input_s: float
    cold_starts: int
    cold_start_s: float
    memory_mb: int
    weights_mb: float
    stored_kb: float
    hours: int
    by_event: bool = False


def in_use(use: Use) -> Units:
    """The units that AWS charges for the use of a model, in addition to those at rest.

    Each input is an upload, a message, and three requests by the function: look up the result, read the input, write
    the result. Storage counts for one month.
    """
    calls = use.inputs / use.per_call
    batches = -(-use.per_call // _MESSAGES_PER_REQUEST)
    return {
        "lambda_requests": calls,
        "lambda_gb_s": (use.inputs * use.input_s + use.cold_starts * use.cold_start_s) * use.memory_mb / 1024,
        "efs_read_gb": use.cold_starts * use.weights_mb / 1000,
        "s3_writes": 2 * use.inputs,
        "s3_reads": 2 * use.inputs,
        "s3_gb": use.inputs * use.stored_kb / 10**6,
        "sqs_requests": use.inputs + 2 * batches * calls,
        "log_gb": (calls * LOG_BYTES_PER_CALL + use.inputs * LOG_BYTES_PER_INPUT) / _GB,
        "custom_metrics": METRICS * use.hours / HOURS_PER_MONTH,
        "events": use.inputs if use.by_event else 0,
    }
