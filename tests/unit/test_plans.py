"""What a plan is said to change: real plans of the platform, reduced to what changes in them (tests/unit/plans)."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelctl.terraform import plans
from modelctl.terraform.plans import DeletedQueue, ModelChange, PlatformChange

RECORDED = Path(__file__).with_name("plans")
SQS = "https://sqs.us-east-1.amazonaws.com/000000000000"


def recorded(name: str) -> Any:
    """A plan by the name of its file."""
    return json.loads((RECORDED / f"{name}.json").read_text())


def lines(plan: Any) -> list[str]:
    """The lines that people see."""
    said = plans.summary(plan)
    return [f"{what}  {change}" for what, change in plans.rows(said)] + [f"! {warning}" for warning in said.warnings]


def of(plan: Any, kind: str, model: str = "") -> Iterator[Any]:
    """The changes of a type of resource, of one model where one is named."""
    for resource in plan["resource_changes"]:
        managed = resource["mode"] == "managed" and resource["type"] == kind
        if managed and (not model or f'"{model}"' in resource["address"]):
            yield resource["change"]


def unchanged(plan: Any) -> Any:
    """A plan of the same deployment in which nothing changes."""
    for resource in plan["resource_changes"]:
        resource["change"]["actions"] = ["no-op"]
    deployment = plan["output_changes"]["deployment"]
    deployment["after"] = deployment["before"]
    return plan


def updated(plan: Any, kind: str, model: str, **attributes: Any) -> Any:
    """A plan in which some attributes of one resource change from what they were: `size=(1, 2)`."""
    change = next(of(plan, kind, model))
    change["actions"] = ["update"]
    change["after"], change["after_unknown"] = dict(change["before"]), {}
    for name, (before, after) in attributes.items():
        change["before"][name], change["after"][name] = before, after
    return plan


def with_document(change: Any, **fields: Any) -> Any:
    """The environment of a function whose document has other fields."""
    (environment,) = change["environment"]
    document = json.loads(environment["variables"]["MODELYARD_MODEL"]) | fields
    return [{"variables": {**environment["variables"], "MODELYARD_MODEL": json.dumps(document)}}]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "first_apply",
            [
                "seven  added",
                "third  added",
                "platform  50 resources added (layer, s3 bucket, s3 bucket lifecycle configuration and 28 more)",
            ],
        ),
        (
            "changed_registry",
            [
                "another  removed",
                "seven  1 → 2: new weights, memory 1024 → 2048 MB, timeout 60 → 30 s, route seven/ → s/, batch.rows, "
                "input.scale, env SECRET, tags, alarms, batch.size 10 → 20, concurrency 10 → 4, retries 5 → 3",
                "third  added",
                "platform  dashboard changed",
                "platform  routes of the inputs bucket changed",
                "! the queues of another will be removed: inputs and dead letters still inside are lost; `modelctl "
                "apply` refuses while there are any",
            ],
        ),
        (
            "new_packages",
            [
                "seven  new function code, new litert layer",
                "third  new function code, new litert layer",
                "platform  layer replaced",
                "platform  object of the artifacts bucket (3) replaced",
                "platform  weights_sync changed: s3_key",
            ],
        ),
        ("published_again", ["seven  published again"]),
        (
            "settings",
            [
                "another  log kept for 30 → 60 days, alarms",
                "seven  log kept for 30 → 60 days, alarms",
                "platform  cloudwatch log group changed: retention_in_days",
            ],
        ),
        (
            "another_topic",
            ["seven  alarms", "third  alarms", "platform  alarm topic's key removed", "platform  alarm topic removed"],
        ),
        (
            "replaced_holders",
            [
                "another  file system, efs access point replaced, weights copied again",
                "seven  file system, efs access point replaced, weights copied again, queue replaced",
                "platform  efs access point replaced",
                "platform  file system replaced",
                "platform  file system policy replaced",
                "platform  efs mount target (2) replaced",
                "platform  weights_sync changed: file_system_config",
                "platform  iam role policy changed: policy",
                "! the access points of another, seven will be replaced: functions cannot read their weights until "
                "updated",
                "! the access point module.storage.aws_efs_access_point.writer will be replaced: functions cannot "
                "read their weights until updated",
                "! the file system module.storage.aws_efs_file_system.weights will be replaced: all weights on it are "
                "lost, then copied again",
                "! the mount targets module.storage.aws_efs_mount_target.weights[0], "
                "module.storage.aws_efs_mount_target.weights[1] will be replaced: functions cannot read their weights "
                "meanwhile",
                "! the queue of seven will be replaced: inputs and dead letters still inside are lost; `modelctl "
                "apply` refuses while there are any",
            ],
        ),
    ],
)
def test_a_plan_is_said_in_a_few_lines(name: str, expected: list[str]) -> None:
    assert lines(recorded(name)) == expected


@pytest.mark.parametrize(
    ("name", "counts"),
    [("first_apply", (80, 0, 0)), ("changed_registry", (19, 13, 19)), ("replaced_holders", (10, 8, 10))],
)
def test_terraforms_own_counts_are_kept(name: str, counts: tuple[int, int, int]) -> None:
    said = plans.summary(recorded(name))
    assert (said.add, said.change, said.destroy) == counts


def test_a_plan_in_which_nothing_changes_has_no_lines() -> None:
    said = plans.summary(unchanged(recorded("changed_registry")))
    assert said == plans.Summary((), (), (), 0, 0, 0)


def test_programs_get_versions_and_reasons_apart() -> None:
    said = plans.summary(recorded("changed_registry"))
    assert [(model.model, model.change, model.versions) for model in said.models] == [
        ("another", "removed", None),
        ("seven", "changed", ("1", "2")),
        ("third", "added", None),
    ]
    assert said.models[1].reasons[:2] == ("new weights", "memory 1024 → 2048 MB")
    assert PlatformChange("dashboard", "changed", 1) in said.platform


def test_no_value_of_a_variable_or_a_tag_is_said() -> None:
    text = (RECORDED / "changed_registry.json").read_text()
    assert '"SECRET":"abc"' in text
    assert '"team":"us"' in text
    said = str(plans.summary(json.loads(text)))
    assert "abc" not in said
    assert "'us'" not in said


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"memory_size": (512, 1024)}, "memory 512 → 1024 MB"),
        ({"timeout": (60, 90)}, "timeout 60 → 90 s"),
        ({"ephemeral_storage": ([{"size": 512}], [{"size": 1024}])}, "/tmp 512 → 1024 MB"),  # noqa: S108
        ({"architectures": (["x86_64"], ["arm64"])}, "architecture x86_64 → arm64"),
        ({"reserved_concurrent_executions": (-1, 20)}, "reserved concurrency none → 20"),
        ({"runtime": ("python3.13", "python3.14")}, "Python 3.13 → 3.14"),
        ({"image_uri": ("a@sha256:1", "a@sha256:2")}, "new litert image"),
        ({"layers": (["a:1"], ["a:2"])}, "new litert layer"),
        ({"description": ("reads", "reads digits")}, "description"),
        ({"vpc_config": ([{"subnet_ids": ["a"]}], [{"subnet_ids": ["a", "b"]}])}, "network"),
        ({"tags": ({"a": "1"}, {"a": "2"})}, "tags"),
    ],
)
def test_each_setting_of_a_function_has_its_words(attributes: dict[str, Any], says: str) -> None:
    plan = updated(unchanged(recorded("changed_registry")), "aws_lambda_function", "seven", **attributes)
    assert lines(plan) == [f"seven  {says}"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"digest": "1" * 64}, "new weights"),
        ({"version": "1.1"}, "1 → 1.1"),
        ({"version": "2", "digest": "1" * 64}, "1 → 2: new weights"),
        ({"runtime": "onnx"}, "runtime litert → onnx"),
        ({"output": {"labels": "labels.txt", "top_k": 3}, "limits": {"bytes": 9}}, "limits.bytes, output.top_k"),
        ({"signature": "other"}, "signature"),
        ({"route": {"prefixes": ["a/", "b/"], "suffixes": [".png"]}}, "route seven/ → a/ b/ *.png"),
        ({"contract": 3}, "function"),
    ],
)
def test_each_field_of_the_document_has_its_words(fields: dict[str, Any], says: str) -> None:
    plan = unchanged(recorded("changed_registry"))
    before = next(of(plan, "aws_lambda_function", "seven"))["before"]
    new = (before["environment"], with_document(before, **fields))
    assert lines(updated(plan, "aws_lambda_function", "seven", environment=new)) == [f"seven  {says}"]


def test_what_is_not_known_before_the_apply_is_a_change_but_not_what_aws_computes() -> None:
    plan = updated(unchanged(recorded("changed_registry")), "aws_lambda_function", "seven")
    change = next(of(plan, "aws_lambda_function", "seven"))
    change["before"]["layers"] = ["a:1"]
    change["after_unknown"] = {"layers": [True], "version": True, "qualified_arn": True, "environment": [{}]}
    assert lines(plan) == ["seven  new litert layer"]


def test_what_follows_is_said_only_where_nothing_else_is() -> None:
    plan = unchanged(recorded("changed_registry"))
    next(of(plan, "aws_iam_role_policy", "seven"))["actions"] = ["update"]
    next(of(plan, "aws_lambda_alias", "seven"))["actions"] = ["update"]
    assert lines(plan) == ["seven  `live` moves, permissions"]
    updated(plan, "aws_lambda_function", "seven", timeout=(1, 2))
    assert lines(plan) == ["seven  timeout 1 → 2 s"]


def test_other_samples_to_check_a_version_with_are_a_change_of_their_own() -> None:
    plan = unchanged(recorded("changed_registry"))
    check = {"address": 'module.model["seven"].aws_lambda_invocation.check', "type": "aws_lambda_invocation"}
    change = {"actions": ["delete", "create"], "before": {"input": "1"}, "after": {"input": "1"}, "after_unknown": {}}
    plan["resource_changes"].append({**check, "mode": "managed", "name": "check", "change": change})
    assert lines(plan) == ["seven  checked again"]
    change["actions"] = ["create"]
    assert lines(plan) == ["seven  checked"]
    updated(plan, "aws_lambda_function", "seven", timeout=(1, 2))
    assert lines(plan) == ["seven  timeout 1 → 2 s"]


def test_a_function_that_changes_between_image_and_layer_is_replaced() -> None:
    plan = unchanged(recorded("changed_registry"))
    for kind in ("aws_lambda_function", "aws_lambda_alias", "aws_lambda_event_source_mapping"):
        next(of(plan, kind, "seven"))["actions"] = ["delete", "create"]
    assert lines(plan) == ["seven  function replaced"]


def test_a_kind_of_resource_that_nobody_has_named_is_said_by_its_type() -> None:
    plan = unchanged(recorded("changed_registry"))
    resource = {"address": 'module.model["seven"].aws_new_thing.this', "type": "aws_new_thing"}
    change: Any = {"actions": ["create"], "before": None, "after": {}, "after_unknown": {}}
    plan["resource_changes"].append({**resource, "change": change})
    assert lines(plan) == ["seven  new thing added"]


@pytest.mark.parametrize(
    ("function", "actions", "says"),
    [
        ("modelyard-seven", ["create"], "seven  kept active"),
        ("modelyard-seven", ["delete"], "seven  no longer kept active"),
        ("modelyard-seven", ["update"], "seven  weekly call changed"),
        # It belongs to no model.
        ("modelyard--weights-sync", ["create"], "platform  weekly call added"),
    ],
)
def test_keep_active_is_a_change_of_its_model(function: str, actions: list[str], says: str) -> None:
    plan = unchanged(recorded("changed_registry"))
    address = f'module.keep_active.aws_scheduler_schedule.this["{function}"]'
    change: Any = {"actions": actions, "before": {}, "after": {}, "after_unknown": {}}
    plan["resource_changes"].append({"address": address, "type": "aws_scheduler_schedule", "change": change})
    assert lines(plan) == [says]


def test_a_bucket_that_is_deleted_is_warned_of() -> None:
    plan = unchanged(recorded("changed_registry"))
    for name in ("inputs", "results"):
        change: Any = {"actions": ["delete"], "before": {}, "after": None, "after_unknown": {}}
        resource = {"address": f'aws_s3_bucket.data["{name}"]', "type": "aws_s3_bucket"}
        plan["resource_changes"].append({**resource, "change": change})
    assert lines(plan) == [
        "platform  s3 bucket (2) removed",
        '! the buckets aws_s3_bucket.data["inputs"], aws_s3_bucket.data["results"] will be removed: '
        "all objects are lost",
    ]


def test_a_renamed_model_is_one_that_is_removed_and_one_that_is_added() -> None:
    said = plans.summary(recorded("changed_registry"))
    assert ModelChange("another", "removed") in said.models
    assert ModelChange("third", "added") in said.models


def test_many_models_with_the_same_change_share_a_line() -> None:
    plan = recorded("new_packages")
    one = [resource for resource in plan["resource_changes"] if 'module.model["seven"]' in resource["address"]]
    text = json.dumps(one)
    names = [f"m{number:02}" for number in range(95)]
    for name in names:
        plan["resource_changes"] += json.loads(text.replace('\\"seven\\"', f'\\"{name}\\"'))
    models = plan["output_changes"]["deployment"]["before"]["models"]
    for when in ("before", "after"):
        plan["output_changes"]["deployment"][when] = {"models": {**models, **dict.fromkeys(names, models["seven"])}}
    assert lines(plan)[0] == "97 models  new function code, new litert layer (m00, m01, m02 and 94 more)"
    assert [what for what in lines(plan) if not what.startswith("platform")] == lines(plan)[:1]
    # One that changes otherwise, too, has a line of its own.
    next(of(plan, "aws_lambda_function", "m50"))["before"]["memory_size"] = 512
    next(of(plan, "aws_lambda_function", "m50"))["after"]["memory_size"] = 1024
    assert lines(plan)[:2] == [
        "96 models  new function code, new litert layer (m00, m01, m02 and 93 more)",
        "m50  new function code, new litert layer, memory 512 → 1024 MB",
    ]


def test_every_model_that_is_removed_is_named() -> None:
    removed = tuple(ModelChange(f"m{number}", "removed") for number in range(9))
    said = replace(plans.summary(unchanged(recorded("changed_registry"))), models=removed)
    assert list(plans.rows(said)) == [(f"m{number}", "removed") for number in range(9)]


def test_the_queues_that_a_plan_deletes_or_replaces() -> None:
    arn = "arn:aws:sqs:us-east-1:000000000000:modelyard"
    assert plans.deleted_queues(recorded("changed_registry")) == [
        DeletedQueue("another", True, False, f"{SQS}/modelyard-another-dlq", f"{arn}-another-dlq"),
        DeletedQueue("another", False, False, f"{SQS}/modelyard-another", f"{arn}-another"),
    ]
    (replaced,) = plans.deleted_queues(recorded("replaced_holders"))
    assert replaced == DeletedQueue("seven", False, True, f"{SQS}/modelyard-seven", f"{arn}-seven")
    assert replaced.region == "us-east-1"
    assert plans.deleted_queues(recorded("new_packages")) == []


def test_a_removed_model_that_never_went_live_has_a_queue_that_nothing_serves() -> None:
    plan = recorded("changed_registry")
    plan["resource_changes"] = [
        resource
        for resource in plan["resource_changes"]
        if resource["address"] != 'module.model["another"].aws_lambda_event_source_mapping.queue'
    ]
    assert [(queue.model, queue.served) for queue in plans.deleted_queues(plan)] == [("another", False)] * 2


def test_functions_are_what_the_registry_makes_of_them() -> None:
    plan = recorded("changed_registry")
    of_two = ('module.model["seven"]', 'module.model["another"]')
    plan["resource_changes"] = [one for one in plan["resource_changes"] if one["address"].startswith(of_two)]
    ((address, (document, memory, timeout)),) = plans.functions(plan).items()
    assert address == 'module.model["seven"].aws_lambda_function.inference', "another is removed"
    assert (json.loads(document)["name"], memory, timeout) == ("seven", 2048, 30)


def test_a_models_event_rule_belongs_to_the_model() -> None:
    plan = unchanged(recorded("settings"))
    for kind in ("aws_cloudwatch_event_rule", "aws_cloudwatch_event_target"):
        plan["resource_changes"].append(
            {
                "address": f'module.routing.{kind}.inputs["seven"]',
                "mode": "managed",
                "type": kind,
                "name": "inputs",
                "change": {"actions": ["create"], "before": None, "after": {}, "after_unknown": {}},
            }
        )
    assert lines(plan) == ["seven  event rule added"]
