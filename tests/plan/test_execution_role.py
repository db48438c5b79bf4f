"""What a change takes out of a role's statement stays allowed for some days, and no later plan changes that."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_stack.support import allow, client, policy
from modelctl.local.stack import LocalStack
from plan.conftest import Root, alone

DAYS = 14
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
POLICY_CHARACTERS = 10240

Statement = dict[str, Any]


class Role:
    """The role of one function, which is applied with one list of inputs after the other."""

    def __init__(self, name: str, stack: LocalStack, scratch: Path) -> None:
        variables = {
            "name": name,
            "deployment": json.dumps({"arns": {"iam": "arn:aws:iam::000000000000:", "logs": "arn:aws:logs:::"}}),
            "log_group": f"/aws/lambda/{name}",
            "mount": json.dumps(
                {
                    "file_system_arn": "arn:aws:elasticfilesystem:::fs-1",
                    "access_point_arn": "arn:aws:elasticfilesystem:::fsap-1",
                    "write": False,
                }
            ),
            "kept": json.dumps({"sid": "Inputs", "days": DAYS}),
        }
        self._name = name
        self._iam = client(stack.environment(), "iam")
        self._scratch = scratch
        self._root: Root = alone(
            "modules/execution_role",
            scratch,
            stack.environment(),
            **{f"TF_VAR_{variable}": value for variable, value in variables.items()},
        )

    def apply(self, *inputs: str) -> None:
        self._root.apply(_statements(inputs))

    def planned(self, *inputs: str) -> set[str]:
        """The actions that a plan has for anything."""
        shown = json.loads(self._root.plan(self._scratch / "plan", _statements(inputs)))
        return {action for change in shown["resource_changes"] for action in change["change"]["actions"]}

    @property
    def statements(self) -> dict[str, Statement]:
        """What the role may do, by statement id."""
        document = self._iam.get_role_policy(RoleName=self._name, PolicyName="function")["PolicyDocument"]
        return {statement["Sid"]: statement for statement in document["Statement"]}

    def put(self, name: str, *statements: Statement) -> None:
        """Write a policy by another way than Terraform's."""
        self._iam.put_role_policy(RoleName=self._name, PolicyName=name, PolicyDocument=policy(*statements))


def _statements(inputs: tuple[str, ...]) -> str:
    return "-var=statements=" + json.dumps(
        {
            "Inputs": {"actions": ["s3:GetObject"], "resources": inputs},
            "Results": {"actions": ["s3:PutObject"], "resources": [f"results-of-{len(inputs)}"]},
        }
    )


@pytest.fixture
def make_role(stack: LocalStack, tmp_path: Path) -> Callable[[str], Role]:
    return lambda name: Role(name, stack, tmp_path)


def test_what_a_change_takes_out_stays_allowed_until_a_date_and_the_next_plan_is_empty(
    make_role: Callable[[str], Role],
) -> None:
    role = make_role("kept")
    role.apply("a/*", "b/*")
    first = role.statements
    assert "PreviousInputs" not in first

    changed_at = datetime.datetime.now(datetime.UTC)
    role.apply("b/*", "c/*", "d/*")
    changed = role.statements
    until = changed["PreviousInputs"]["Condition"]["DateLessThan"]["aws:CurrentTime"]
    kept_for = datetime.datetime.fromisoformat(until) - changed_at
    assert abs(kept_for - datetime.timedelta(days=DAYS)) < datetime.timedelta(minutes=5)
    assert changed == {
        **first,
        "Inputs": {**first["Inputs"], "Resource": ["b/*", "c/*", "d/*"]},
        # Nothing is kept of what another statement had.
        "Results": {**first["Results"], "Resource": ["results-of-3"]},
        "PreviousInputs": {
            "Sid": "PreviousInputs",
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": ["a/*"],
            "Condition": {"DateLessThan": {"aws:CurrentTime": until}},
        },
    }
    assert role.planned("b/*", "c/*", "d/*") == {"no-op"}

    # What is only added takes nothing out; what comes back is allowed for good.
    role.apply("b/*", "c/*", "d/*", "e/*")
    assert role.statements["PreviousInputs"] == changed["PreviousInputs"]
    role.apply("a/*", "b/*")
    assert role.statements["Inputs"] == first["Inputs"]
    assert sorted(role.statements["PreviousInputs"]["Resource"]) == ["c/*", "d/*", "e/*"]


def test_what_does_not_fit_into_the_policy_is_not_kept(make_role: Callable[[str], Role]) -> None:
    role = make_role("full")
    role.apply("a" * 4000)
    role.apply("b" * 8500)
    statements = role.statements
    assert "PreviousInputs" not in statements
    length = len(policy(*statements.values()))
    assert length < POLICY_CHARACTERS < length + 4000, "or it would have fitted"
    assert role.planned("b" * 8500) == {"no-op"}


def test_nothing_is_kept_of_what_somebody_else_has_allowed(make_role: Callable[[str], Role]) -> None:
    role = make_role("edited")
    role.apply("a/*")
    role.put("of-somebody-else", {"Sid": "Inputs", **allow("s3:GetObject", "x/*")})
    role.put("function", {"Sid": "Results", **allow("s3:PutObject", "y/*")}, allow("s3:*", "z/*"))
    role.apply("a/*")
    assert "PreviousInputs" not in role.statements
    assert role.statements["Inputs"]["Resource"] == ["a/*"]
    assert role.statements["Results"]["Resource"] == ["results-of-1"]
