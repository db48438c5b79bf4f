"""Removes what an interrupted apply created on the local stack and Terraform's state does not know.

A provider creates a resource before Terraform stores its id. If Terraform is killed or gives up a call in between, the
next apply would create the resource again: AWS refuses a second function of the same name, and a second event source
mapping would serve every input twice. So what the state does not know is removed before the next apply creates it
again. Inputs and results are kept: buckets have been in the state since the first apply, and queues with messages stay.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from modelctl.local.layout import write_whole

#: The name of a resource in Terraform's state (its `id` or `arn`), and how to remove it.
Found = Iterator[tuple[str, Callable[[], object]]]


def restore(state: Path, applied: Path) -> None:
    """Restore the copy `applied` if the state is gone or truncated, because Terraform was killed while it wrote it.

    Terraform overwrites the file after every change, but not atomically.
    """
    if applied.exists() and not _is_json(state):
        write_whole(state, applied.read_text(encoding="utf-8"))


def remove(session: boto3.Session, state: Path, deployment: str) -> None:
    """Remove what has a name of `deployment` but is not in `state`.

    Args:
        session: a session for the local stack.
        state: Terraform's state file.
        deployment: name of the deployment, with which the names of its resources begin.
    """
    known = _ids(state)
    for kind, found in KINDS.items():
        for name, delete in list(found(session, f"{deployment}-")):
            if name not in known.get(kind, ()):
                delete()


def _ids(state: Path) -> dict[str, set[str]]:
    """The ids and ARNs in the state by type, including those of resources that are about to be replaced."""
    known: dict[str, set[str]] = {}
    for resource in json.loads(state.read_text(encoding="utf-8"))["resources"]:
        for instance in resource["instances"]:
            found = (instance["attributes"].get(name) for name in ("id", "arn"))
            known.setdefault(resource["type"], set()).update(filter(None, found))
    return known


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return True


def _pages(client: Any, call: str, key: str, **arguments: Any) -> Iterator[Any]:
    for page in client.get_paginator(call).paginate(**arguments):
        yield from page.get(key, [])


def _mappings(session: boto3.Session, prefix: str) -> Found:
    functions = session.client("lambda")
    for found in _pages(functions, "list_event_source_mappings", "EventSourceMappings"):
        if f":function:{prefix}" in found["FunctionArn"]:
            yield found["UUID"], partial(functions.delete_event_source_mapping, UUID=found["UUID"])


def _aliases(session: boto3.Session, prefix: str) -> Found:
    functions = session.client("lambda")
    for name in _function_names(functions, prefix):
        for found in _pages(functions, "list_aliases", "Aliases", FunctionName=name):
            yield found["AliasArn"], partial(functions.delete_alias, FunctionName=name, Name=found["Name"])


def _functions(session: boto3.Session, prefix: str) -> Found:
    functions = session.client("lambda")
    for name in _function_names(functions, prefix):
        yield name, partial(functions.delete_function, FunctionName=name)


def _function_names(functions: Any, prefix: str) -> Iterator[str]:
    for found in _pages(functions, "list_functions", "Functions"):
        if found["FunctionName"].startswith(prefix):
            yield found["FunctionName"]


def _layers(session: boto3.Session, prefix: str) -> Found:
    functions = session.client("lambda")
    for layer in _pages(functions, "list_layers", "Layers"):
        name = layer["LayerName"]
        if name.startswith(prefix):
            for found in _pages(functions, "list_layer_versions", "LayerVersions", LayerName=name):
                delete = partial(functions.delete_layer_version, LayerName=name, VersionNumber=found["Version"])
                yield found["LayerVersionArn"], delete


def _log_groups(session: boto3.Session, prefix: str) -> Found:
    logs = session.client("logs")
    for found in _pages(logs, "describe_log_groups", "logGroups", logGroupNamePrefix=f"/aws/lambda/{prefix}"):
        yield found["logGroupName"], partial(logs.delete_log_group, logGroupName=found["logGroupName"])


def _roles(session: boto3.Session, prefix: str) -> Found:
    iam = session.client("iam")

    def delete(name: str) -> None:
        for policy in _pages(iam, "list_role_policies", "PolicyNames", RoleName=name):
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        iam.delete_role(RoleName=name)

    for found in _pages(iam, "list_roles", "Roles"):
        if found["RoleName"].startswith(prefix):
            yield found["RoleName"], partial(delete, found["RoleName"])


def _access_points(session: boto3.Session, prefix: str) -> Found:
    efs = session.client("efs")
    for found in _pages(efs, "describe_access_points", "AccessPoints"):
        if found.get("Name", "").startswith(prefix):
            identity = found["AccessPointId"]
            yield identity, partial(efs.delete_access_point, AccessPointId=identity)


def _alarms(session: boto3.Session, prefix: str) -> Found:
    """Alarms that no other alarm refers to: CloudWatch does not delete the others."""
    cloudwatch = session.client("cloudwatch")
    composite = {"AlarmTypes": ["CompositeAlarm"], "AlarmNamePrefix": f"{prefix.removesuffix('-')}/"}
    rules = [found["AlarmRule"] for found in _pages(cloudwatch, "describe_alarms", "CompositeAlarms", **composite)]
    for found in _pages(cloudwatch, "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix):
        if not any(f'"{found["AlarmName"]}"' in rule for rule in rules):
            yield found["AlarmName"], partial(cloudwatch.delete_alarms, AlarmNames=[found["AlarmName"]])


def _rules(session: boto3.Session, prefix: str) -> Found:
    events = session.client("events")

    def delete(name: str) -> None:
        if targets := [target["Id"] for target in events.list_targets_by_rule(Rule=name)["Targets"]]:
            events.remove_targets(Rule=name, Ids=targets)
        events.delete_rule(Name=name)

    for found in _pages(events, "list_rules", "Rules", NamePrefix=prefix):
        yield found["Name"], partial(delete, found["Name"])


def _schedules(session: boto3.Session, prefix: str) -> Found:
    scheduler = session.client("scheduler")
    for found in _pages(scheduler, "list_schedules", "Schedules", NamePrefix=prefix):
        delete = partial(scheduler.delete_schedule, GroupName=found["GroupName"], Name=found["Name"])
        yield found["Arn"], delete


def _queues(session: boto3.Session, prefix: str) -> Found:
    """Queues without messages: a queue with messages stays, and SQS returns it when Terraform creates it again."""
    sqs = session.client("sqs")
    for url in _pages(sqs, "list_queues", "QueueUrls", QueueNamePrefix=prefix):
        depths = sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        )["Attributes"]
        if not any(map(int, depths.values())):
            yield url, partial(sqs.delete_queue, QueueUrl=url)


#: By type, in the order in which they are removed. Other types are created only by the first apply, which starts over
#: if it was interrupted, or are overwritten when they are created again.
KINDS: Mapping[str, Callable[[boto3.Session, str], Found]] = {
    "aws_lambda_event_source_mapping": _mappings,
    "aws_lambda_alias": _aliases,
    "aws_lambda_function": _functions,
    "aws_lambda_layer_version": _layers,
    "aws_cloudwatch_log_group": _log_groups,
    "aws_iam_role": _roles,
    "aws_efs_access_point": _access_points,
    "aws_cloudwatch_metric_alarm": _alarms,
    "aws_cloudwatch_event_rule": _rules,
    "aws_scheduler_schedule": _schedules,
    "aws_sqs_queue": _queues,
}
