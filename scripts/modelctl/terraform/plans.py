"""What a plan of the platform changes, model by model, from the JSON output of `terraform show`.

Everything here is a function of that document. No summary contains the value of an environment variable or a tag.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: A plan as `terraform show -json` gives it.
Document = Mapping[str, Any]
#: A resource in it: its address, type and name, and under "change" what happens to it.
Resource = Mapping[str, Any]
Values = Mapping[str, Any]
Action = Literal["added", "removed", "replaced", "changed"]

_OF_MODEL = re.compile(
    r'module\.(?:model|routing\.module\.queue|routing\.aws_cloudwatch_event_(?:rule|target)\.inputs)\["(.+?)"\]'
)

#: From this many on, models with the same change share a line, which names this many of them.
_SAME = 3


@dataclass(frozen=True)
class DeletedQueue:
    """A queue that a plan deletes, with what is in it.

    Args:
        model: the model that it belongs to.
        dead_letters: whether it is the model's dead-letter queue.
        replaced: whether another one is created in its place.
        served: whether a function receives inputs from it. If the first apply of a model fails, none does.
    """

    model: str
    dead_letters: bool
    replaced: bool
    url: str
    arn: str
    served: bool = True

    @property
    def region(self) -> str:
        """Where it is."""
        return self.arn.split(":")[3]


@dataclass(frozen=True)
class ModelChange:
    """What happens to one model.

    Args:
        model: its name.
        change: whether the registry adds it, removes it, or changes its entry.
        versions: the version before and after, if it is another one.
        reasons: what else changes, the most important first.
    """

    model: str
    change: Literal["added", "removed", "changed"]
    versions: tuple[str, str] | None = None
    reasons: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """The change in one line."""
        if self.change != "changed":
            return self.change
        versions = " → ".join(self.versions) if self.versions else ""
        return ": ".join(part for part in (versions, ", ".join(self.reasons)) if part)


@dataclass(frozen=True)
class PlatformChange:
    """What happens to the resources of one kind that do not belong to a model."""

    kind: str
    change: Action
    resources: int
    attributes: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """The change in one line."""
        number = f" ({self.resources})" if self.resources > 1 else ""
        return f"{self.kind}{number} {self.change}" + (f": {', '.join(self.attributes)}" if self.attributes else "")


@dataclass(frozen=True)
class Summary:
    """A plan in a few lines.

    Args:
        models: those that change, by name.
        platform: what changes beside them.
        warnings: what happens to resources that hold data or inputs, and what Terraform's checks warn of.
        add: how many resources Terraform creates; a replaced one is created and destroyed.
        change: how many it updates.
        destroy: how many it destroys.
    """

    models: tuple[ModelChange, ...]
    platform: tuple[PlatformChange, ...]
    warnings: tuple[str, ...]
    add: int
    change: int
    destroy: int


def summary(plan: Document) -> Summary:
    """Summarize a plan."""
    changes = _changes(plan)
    models: dict[str, list[Resource]] = {}
    platform = []
    kept_active = _models_by_schedule(plan)
    for resource in changes:
        if name := _model(resource) or kept_active.get(resource["address"]):
            models.setdefault(name, []).append(resource)
        else:
            platform.append(resource)
    before, after = _deployed(plan)
    names = sorted(models.keys() | (before ^ after))
    actions = Counter(action for resource in changes for action in resource["change"]["actions"])
    return Summary(
        models=tuple(_model_change(name, name in before, name in after, models.get(name, [])) for name in names),
        platform=tuple(_platform_changes(platform)),
        warnings=(*_warnings(changes), *failed_checks(plan)),
        add=actions["create"],
        change=actions["update"],
        destroy=actions["delete"],
    )


def failed_checks(plan: Document) -> list[str]:
    """The warnings of a plan's `check` blocks, which are not errors for Terraform."""
    instances = [instance for check in plan.get("checks", ()) for instance in check.get("instances", ())]
    return [problem["message"] for instance in instances for problem in instance.get("problems", ())]


def functions(plan: Document) -> dict[str, tuple[Any, ...]]:
    """The models' functions as planned, by address: document, memory (MB), timeout (s). They follow the registry."""
    return {
        resource["address"]: (_variables(after).get("MODELYARD_MODEL"), after["memory_size"], after["timeout"])
        for resource in plan.get("resource_changes", [])
        if (resource["type"], resource["name"]) == ("aws_lambda_function", "inference")
        and (after := resource["change"]["after"])
    }


def deleted_queues(plan: Document) -> list[DeletedQueue]:
    """The queues that a plan deletes or replaces."""
    # The mapping of a removed model's queue is deleted with it.
    served = {_model(resource) for resource in _changes(plan) if resource["type"] == "aws_lambda_event_source_mapping"}
    return [
        DeletedQueue(
            model=_model(resource),
            dead_letters=resource["name"] == "dead_letters",
            replaced=_action(resource) == "replaced",
            url=resource["change"]["before"]["url"],
            arn=resource["change"]["before"]["arn"],
            served=_action(resource) == "replaced" or _model(resource) in served,
        )
        for resource in _changes(plan)
        if resource["type"] == "aws_sqs_queue" and _action(resource) in ("removed", "replaced")
    ]


def rows(said: Summary) -> Iterator[tuple[str, str]]:
    """A summary as the rows of a table: what, and how it changes. Models with the same change share one."""
    same: dict[str, list[str]] = {}
    for model in said.models:
        same.setdefault(model.says if model.change != "removed" else f"{model.model} removed", []).append(model.model)
    for model in said.models:
        names = same.get(model.says, [])
        if len(names) < _SAME:
            yield model.model, model.says
        elif model.model == names[0]:
            yield f"{len(names)} models", f"{model.says} ({some(names)})"
    added = [change for change in said.platform if change.change == "added"]
    if len(added) > _SAME:
        number = sum(change.resources for change in added)
        yield "platform", f"{number} resources added ({some([change.kind for change in added])})"
    for change in said.platform:
        if change.change != "added" or len(added) <= _SAME:
            yield "platform", change.says


def some(names: Sequence[str]) -> str:
    """The first of many names, and how many there are beside."""
    rest = len(names) - _SAME
    return ", ".join(names[:_SAME]) + (f" and {rest} more" if rest > 0 else "")


def _changes(plan: Document) -> list[Resource]:
    """The resources that change."""
    passive = (["no-op"], ["read"])
    return [resource for resource in plan.get("resource_changes", []) if resource["change"]["actions"] not in passive]


def _action(resource: Resource) -> Action:
    match resource["change"]["actions"]:
        case ["create"]:
            return "added"
        case ["update"]:
            return "changed"
        case [_, _]:
            return "replaced"
    # Deleted, or only forgotten by the state.
    return "removed"


def _model(resource: Resource) -> str:
    """The model that a resource belongs to; empty if it belongs to none."""
    found = _OF_MODEL.match(resource["address"])
    return found[1] if found else ""


def _deployed(plan: Document) -> tuple[set[str], set[str]]:
    """The models that the output `deployment` has before and after."""
    deployment = plan.get("output_changes", {}).get("deployment", {})
    before, after = (set((deployment.get(when) or {}).get("models") or {}) for when in ("before", "after"))
    return before, after


def _models_by_schedule(plan: Document) -> dict[str, str]:
    """The models by the address of the schedule that keeps their function active, if they have `keep_active`."""
    deployment = plan.get("output_changes", {}).get("deployment", {})
    return {
        f'module.keep_active.aws_scheduler_schedule.this["{model.get("function_name")}"]': name
        for when in ("before", "after")
        for name, model in ((deployment.get(when) or {}).get("models") or {}).items()
    }


# --- models -----------------------------------------------------------------------------------------------------------


def _model_change(name: str, before: bool, after: bool, resources: Sequence[Resource]) -> ModelChange:
    if not after:
        return ModelChange(name, "removed")
    if not before:
        return ModelChange(name, "added")
    reasons: list[str] = []
    follows: list[str] = []
    versions = None
    for resource in sorted(resources, key=lambda resource: resource["type"] != "aws_lambda_function"):
        reasons += _REASONS.get(resource["type"], _other_reasons)(resource)
        follows += _follows(resource)
        if "tags" in _changed(resource):
            reasons.append("tags")
        if "environment" in _changed(resource):
            old, new = (_model_document(values).get("version", "") for values in _before_after(resource))
            versions = (old, new) if old != new else None
    # A change that follows from another one is reported only if it comes alone.
    return ModelChange(name, "changed", versions, tuple(dict.fromkeys(reasons or ([] if versions else follows))))


def _function_reasons(resource: Resource) -> Iterator[str]:
    if _action(resource) != "changed":
        yield f"function {_action(resource)}"
        return
    before, after = _before_after(resource)
    old, new = _model_document(before), _model_document(after)
    changed = _changed(resource)
    if old.get("digest") != new.get("digest"):
        yield "new weights"
    if old.get("runtime") != new.get("runtime"):
        yield f"runtime {old.get('runtime')} → {new.get('runtime')}"
    for attribute, says in (("s3_key", "new function code"), ("layers", "new {} layer"), ("image_uri", "new {} image")):
        if attribute in changed:
            yield says.format(new.get("runtime"))
    for attribute, (says, unit, read) in _NUMBERS.items():
        if attribute in changed:
            yield f"{says} {_from_to(resource, attribute, read)}{unit}"
    if old.get("route") != new.get("route"):
        yield f"route {_route(old)} → {_route(new)}"
    yield from _fields(old, new)
    variables = _variables(before), _variables(after)
    for name in sorted(variables[0].keys() | variables[1].keys()):
        if name != "MODELYARD_MODEL" and variables[0].get(name) != variables[1].get(name):
            yield f"env {name}"
    if "source_code_hash" in changed:
        yield "published again"
    for attribute in sorted(changed & _SETTINGS.keys()):
        yield _SETTINGS[attribute]


#: By attribute of a function: what people call it, its unit, and how its value is read.
_NUMBERS: Mapping[str, tuple[str, str, Callable[[Any], Any]]] = {
    "memory_size": ("memory", " MB", str),
    "timeout": ("timeout", " s", str),
    "ephemeral_storage": ("/tmp", " MB", lambda storage: storage[0]["size"]),  # noqa: S108 - of a function
    "architectures": ("architecture", "", lambda names: names[0]),
    "reserved_concurrent_executions": ("reserved concurrency", "", lambda number: "none" if number < 0 else number),
    "runtime": ("Python", "", lambda runtime: runtime.removeprefix("python")),
}
_SETTINGS = {
    "description": "description",
    "file_system_config": "file system",
    "logging_config": "log",
    "role": "role",
    "vpc_config": "network",
}


#: Fields of the document: those of every model, and those that another attribute or resource shows.
_NAMED_OTHERWISE = {"contract", "digest", "name", "retries", "route", "runtime", "version"}


def _fields(old: Values, new: Values) -> Iterator[str]:
    """The fields of the document that differ, but for those that are named otherwise."""
    for field in sorted((old.keys() | new.keys()) - _NAMED_OTHERWISE):
        before, after = old.get(field), new.get(field)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            for inner in sorted(before.keys() | after.keys()):
                if before.get(inner) != after.get(inner):
                    yield f"{field}.{inner}"
        elif before != after:
            yield field


def _route(document: Values) -> str:
    route = document.get("route", {})
    return " ".join((*route.get("prefixes", []), *(f"*{suffix}" for suffix in route.get("suffixes", [])))) or "none"


def _model_document(values: Values) -> Values:
    document: Values = json.loads(_variables(values).get("MODELYARD_MODEL", "{}"))
    return document


def _variables(values: Values) -> Values:
    return next((environment.get("variables") or {} for environment in values.get("environment") or []), {})


def _mapping_reasons(resource: Resource) -> Iterator[str]:
    for attribute, (says, read) in _POLLING.items():
        if attribute in _changed(resource):
            yield f"{says} {_from_to(resource, attribute, read)}"


#: By attribute of an event source mapping: the registry's field, and how its value is read.
_POLLING: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "batch_size": ("batch.size", str),
    "maximum_batching_window_in_seconds": ("batch.window_s", str),
    "scaling_config": ("concurrency", lambda config: config[0]["maximum_concurrency"]),
}


def _queue_reasons(resource: Resource) -> Iterator[str]:
    if _action(resource) != "changed":
        yield f"{'dead-letter queue' if resource['name'] == 'dead_letters' else 'queue'} {_action(resource)}"
    elif "redrive_policy" in _changed(resource):
        retries = _from_to(resource, "redrive_policy", lambda policy: json.loads(policy)["maxReceiveCount"])
        if len(set(retries.split(" → "))) > 1:
            yield f"retries {retries}"


def _call_reasons(resource: Resource) -> Iterator[str]:
    # With another digest, the function's document says that the weights are new.
    old, new = (values.get("input") for values in _before_after(resource))
    if resource["name"] == "weights" and old == new:
        yield "weights copied again"


def _log_reasons(resource: Resource) -> Iterator[str]:
    if "retention_in_days" in _changed(resource):
        yield f"log kept for {_from_to(resource, 'retention_in_days', str)} days"
    elif _action(resource) != "changed":
        yield f"log {_action(resource)}"


def _alarm_reasons(resource: Resource) -> Iterator[str]:
    if _action(resource) != "changed" or _changed(resource) - {"tags"}:
        yield "alarms"


def _schedule_reasons(resource: Resource) -> Iterator[str]:
    says = {"added": "kept active", "removed": "no longer kept active"}
    yield says.get(_action(resource), f"weekly call {_action(resource)}")


def _no_reasons(_: Resource) -> Iterator[str]:
    yield from ()


def _other_reasons(resource: Resource) -> Iterator[str]:
    if _action(resource) != "changed" or _changed(resource) - {"tags"}:
        yield f"{_kind(resource['type'])} {_action(resource)}"


_REASONS: Mapping[str, Callable[[Resource], Iterator[str]]] = {
    "aws_cloudwatch_log_group": _log_reasons,
    "aws_cloudwatch_metric_alarm": _alarm_reasons,
    "aws_iam_role_policy": _no_reasons,
    "aws_lambda_alias": _no_reasons,
    "aws_lambda_event_source_mapping": _mapping_reasons,
    "aws_lambda_function": _function_reasons,
    "aws_lambda_invocation": _call_reasons,
    "aws_s3_object": _no_reasons,
    "aws_scheduler_schedule": _schedule_reasons,
    "aws_sqs_queue": _queue_reasons,
}
#: What changes where a resource does, if nothing else says why.
_FOLLOWS: Mapping[str, list[str]] = {
    "aws_iam_role_policy": ["permissions"],
    "aws_lambda_alias": ["`live` moves"],
    "aws_lambda_event_source_mapping": ["polling of the queue"],
    "aws_lambda_function": ["function"],
    "aws_s3_object": ["files uploaded again"],
    "aws_sqs_queue": ["queue"],
}


def _follows(resource: Resource) -> list[str]:
    """What is said of a change that follows from another one."""
    if resource["type"] == "aws_lambda_invocation":
        # An earlier version of the platform did not check models, and a check that failed is not in the state.
        return ["checked" if _action(resource) == "added" else "checked again"]
    return _FOLLOWS.get(resource["type"], [])


# --- platform ---------------------------------------------------------------------------------------------------------

_KINDS = {
    "aws_cloudwatch_composite_alarm": "alarm of the deployment",
    "aws_cloudwatch_dashboard": "dashboard",
    "aws_cloudwatch_event_rule": "event rule",
    "aws_cloudwatch_event_target": "event rule",
    "aws_efs_file_system": "file system",
    "aws_efs_file_system_policy": "file system policy",
    "aws_kms_key": "alarm topic's key",
    "aws_lambda_function": "weights_sync",
    "aws_lambda_layer_version": "layer",
    "aws_s3_bucket_notification": "routes of the inputs bucket",
    "aws_s3_object": "object of the artifacts bucket",
    "aws_scheduler_schedule": "weekly call",
    "aws_sns_topic": "alarm topic",
}
#: Of these, an attribute's name says nothing: they have only one that changes.
_WHOLE = {"aws_cloudwatch_composite_alarm", "aws_cloudwatch_dashboard", "aws_s3_bucket_notification"}


def _kind(kind: str) -> str:
    return _KINDS.get(kind, kind.removeprefix("aws_").replace("_", " "))


def _platform_changes(resources: Sequence[Resource]) -> Iterator[PlatformChange]:
    kinds: dict[tuple[str, Action], list[Resource]] = {}
    for resource in resources:
        kinds.setdefault((resource["type"], _action(resource)), []).append(resource)
    for (kind, action), alike in kinds.items():
        changed = set() if kind in _WHOLE else set().union(*map(_changed, alike))
        yield PlatformChange(_kind(kind), action, len(alike), tuple(sorted(changed)))


# --- what holds data or inputs ----------------------------------------------------------------------------------------

#: By type: what people call one and several, and what is lost with them.
_HOLDERS = {
    "aws_efs_access_point": ("access point", "access points", "functions cannot read their weights until updated"),
    "aws_efs_file_system": ("file system", "file systems", "all weights on it are lost, then copied again"),
    "aws_efs_mount_target": ("mount target", "mount targets", "functions cannot read their weights meanwhile"),
    "aws_s3_bucket": ("bucket", "buckets", "all objects are lost"),
    "aws_sqs_queue": (
        "queue",
        "queues",
        "inputs and dead letters still inside are lost; `modelctl apply` refuses while there are any",
    ),
}


def _warnings(resources: Sequence[Resource]) -> Iterator[str]:
    """Resources with data or inputs that are replaced or deleted, except the access point of a removed model."""
    found: dict[tuple[str, Action, bool], list[str]] = {}
    for resource in resources:
        action, of = _action(resource), _model(resource)
        holds = resource["type"] in _HOLDERS and action in ("replaced", "removed")
        if holds and not (resource["type"] == "aws_efs_access_point" and of and action == "removed"):
            found.setdefault((resource["type"], action, bool(of)), []).append(of or resource["address"])
    for (kind, action, of_models), places in found.items():
        one, several, lost = _HOLDERS[kind]
        what = f"{one if len(places) == 1 else several} {'of ' if of_models else ''}{some(list(dict.fromkeys(places)))}"
        yield f"the {what} will be {action}: {lost}"


# --- attributes -------------------------------------------------------------------------------------------------------


def _before_after(resource: Resource) -> tuple[Values, Values]:
    change = resource["change"]
    return change["before"] or {}, change["after"] or {}


def _changed(resource: Resource) -> set[str]:
    """The attributes that an update changes; not those that AWS computes, and of the tags the resource's own."""
    if _action(resource) != "changed":
        return set()
    before, after = _before_after(resource)
    unknown = resource["change"]["after_unknown"]
    known = {name for name in before if name in after and before[name] != after[name]}
    from_others = {name for name in before if _is_unknown(unknown.get(name)) and name not in _COMPUTED}
    return (known | from_others) - {"tags_all"}


#: What AWS computes when a resource is updated.
_COMPUTED = {
    "arn",
    "code_sha256",
    "etag",
    "function_version",
    "id",
    "invoke_arn",
    "last_modified",
    "qualified_arn",
    "qualified_invoke_arn",
    "source_code_hash",
    "source_code_size",
    "tags_all",
    "version",
    "version_id",
}


def _from_to(resource: Resource, attribute: str, read: Callable[[Any], Any]) -> str:
    """An attribute's value before and after."""
    return " → ".join(
        str(read(values[attribute])) if values.get(attribute) else "none" for values in _before_after(resource)
    )


def _is_unknown(value: Any) -> bool:
    """Whether something in an attribute is not known before the apply."""
    match value:
        case Mapping():
            return any(map(_is_unknown, value.values()))
        case list():
            return any(map(_is_unknown, value))
    return bool(value)
