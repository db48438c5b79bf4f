"""terraform/permissions.yaml says what each role may do and why; the plan gives each role that, no more and no less."""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from modelctl import paths
from plan.planned import Document, Plan

LIST = paths.TERRAFORM / "permissions.yaml"
LAMBDA_ONLY = [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]


@pytest.fixture
def listed() -> Any:
    return yaml.safe_load(LIST.read_text())


def differences(listed: Mapping[str, Any], plan: Plan) -> list[str]:
    """What a policy of the plan allows that the list does not, and the other way round: address and action."""
    return [*_unlisted_policies(listed, plan), *_differing_actions(listed, plan)]


def _unlisted_policies(listed: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    for address in plan.of_type("aws_iam_role_policy"):
        if not any(_pattern(role).fullmatch(address) for role in listed.values() if "policies" in role):
            yield f"{address}: no role of {LIST.name} is about this policy"


def _differing_actions(listed: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    for name, role in listed.items():
        always = {sid for sid, statement in role["statements"].items() if "when" not in statement}
        listed_actions = {
            (sid, action) for sid, statement in role["statements"].items() for action in statement["actions"]
        }
        policies = _policies(role, plan)
        if not policies:
            yield f"{role.get('policies') or role['output']}: {LIST.name} is about this, and it is not in the plan"
        for address, policy in policies.items():
            found = set(_allowed(policy))
            there = always | {sid for sid, _ in found}
            wanted = {(sid, action) for sid, action in listed_actions if sid in there}
            for sid, action in sorted(found - wanted):
                yield f"{address}: allows {action} (statement {sid}), which {LIST.name} does not list for {name}"
            for sid, action in sorted(wanted - found):
                yield f"{address}: does not allow {action} (statement {sid}), which {LIST.name} lists for {name}"


def _policies(role: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The policies of a role, by their address."""
    if "output" in role:
        output = plan.outputs.get(role["output"], {})
        if isinstance(output, Document):
            return {f"output.{role['output']}": output}
        return {f"output.{role['output']}[{json.dumps(key)}]": policy for key, policy in output.items()}
    planned = plan.of_type("aws_iam_role_policy")
    return {address: value["policy"] for address, value in planned.items() if _pattern(role).fullmatch(address)}


def _pattern(role: Mapping[str, Any]) -> re.Pattern[str]:
    """The addresses that `[*]` represents are those of all instances."""
    return re.compile(re.escape(role["policies"]).replace(re.escape("[*]"), r'\["[^"]+"\]'))


def _allowed(policy: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for statement in policy["Statement"]:
        if statement["Effect"] != "Allow":
            continue
        # A statement that says what it is not about (NotAction) has no such key, and no place in these policies.
        for action in [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]:
            yield statement["Sid"], action


def test_every_planned_policy_is_what_the_list_says(plan: Plan, listed: Any) -> None:
    found = differences(listed, plan)
    assert not found, "\n".join(found)


def test_an_action_that_is_not_listed_is_named_with_its_address(plan: Plan, listed: Any) -> None:
    less = copy.deepcopy(listed)
    del less["weights_sync"]["statements"]["Artifacts"]["actions"]["s3:GetObject"]
    assert differences(less, plan) == [
        "module.weights_sync.module.role.aws_iam_role_policy.this: "
        "allows s3:GetObject (statement Artifacts), which permissions.yaml does not list for weights_sync"
    ]


def test_a_listed_action_that_is_not_planned_is_named_with_its_address(plan: Plan, listed: Any) -> None:
    more = copy.deepcopy(listed)
    more["model"]["statements"]["Queue"]["actions"]["sqs:ChangeMessageVisibility"] = "invented here"
    assert differences(more, plan) == [
        f'module.model["{model}"].module.role.aws_iam_role_policy.this: does not allow '
        "sqs:ChangeMessageVisibility (statement Queue), which permissions.yaml lists for model"
        for model in ("digits", "digits-tf", "wine")
    ]


def test_a_statement_that_a_policy_has_at_times_only_is_compared_when_it_is_there(plan: Plan, listed: Any) -> None:
    address = 'module.model["digits"].module.role.aws_iam_role_policy.this'
    resources = copy.deepcopy(dict(plan.resources))
    kept = {"Sid": "PreviousInputs", "Effect": "Allow", "Action": ["s3:GetObject", "s3:DeleteObject"]}
    resources[address]["policy"]["Statement"].append(kept)
    assert differences(listed, replace(plan, resources=resources)) == [
        f"{address}: allows s3:DeleteObject (statement PreviousInputs), which permissions.yaml does not list for model",
        f"{address}: does not allow s3:GetObjectVersion (statement PreviousInputs), "
        "which permissions.yaml lists for model",
    ]


def test_a_policy_that_no_role_is_about_is_named(plan: Plan, listed: Any) -> None:
    less = {name: role for name, role in listed.items() if name != "weights_sync"}
    assert differences(less, plan) == [
        "module.weights_sync.module.role.aws_iam_role_policy.this: no role of permissions.yaml is about this policy"
    ]


def test_every_listed_action_says_why_and_where_aws_says_so(listed: Any) -> None:
    for role in listed.values():
        for statement in role["statements"].values():
            assert statement["source"].startswith("https://docs.aws.amazon.com/")
            assert statement["scope"]
            assert all(re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action) for action in statement["actions"]), "no wildcards"
            assert all(statement["actions"].values())


def test_what_lambda_does_as_a_role_in_the_network_the_functions_own_code_may_not(plan: Plan) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions"""
    policies = of_functions(plan, "aws_iam_role_policy")
    for address, value in policies.items():
        denied = [each for each in value["policy"]["Statement"] if each["Effect"] == "Deny"]
        assert denied == [
            {
                "Sid": "NoNetworkForCode",
                "Effect": "Deny",
                "Action": "ec2:*",
                "Resource": "*",
                "Condition": {"Null": {"lambda:SourceFunctionArn": "false"}},
            }
        ], address
        (network,) = [each for each in value["policy"]["Statement"] if each["Sid"] == "Network"]
        assert all(action.startswith("ec2:") for action in network["Action"])


def of_functions(plan: Plan, kind: str) -> dict[str, Any]:
    """The resources of a type that are about the execution roles of functions."""
    found = {address: value for address, value in plan.of_type(kind).items() if ".module.role." in address}
    assert plan.of_type(kind).keys() - found.keys() == {f"module.keep_active.{kind}.this"}
    return found


def test_a_role_has_one_policy_of_its_own_and_only_lambda_takes_on_that_of_a_function(plan: Plan) -> None:
    roles = plan.of_type("aws_iam_role")
    policies = plan.of_type("aws_iam_role_policy")
    assert sorted(role["name"] for role in roles.values()) == sorted(policy["role"] for policy in policies.values())
    for address, role in of_functions(plan, "aws_iam_role").items():
        assert role["assume_role_policy"]["Statement"] == LAMBDA_ONLY, address
