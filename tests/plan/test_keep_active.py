"""Functions are called once a week where that is asked for, by a role that can do nothing else."""

from typing import Any

import pytest

from modelctl.local.layout import ACCOUNT, REGION
from plan.planned import Plan
from plan.test_deployer import allowed

ROLE = "module.keep_active.aws_iam_role.this"
POLICY = "module.keep_active.aws_iam_role_policy.this"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"


def test_weights_sync_is_called_and_no_model_unless_its_entry_asks_for_it(plan: Plan) -> None:
    (schedule,) = plan.of_type("aws_scheduler_schedule").values()
    (target,) = schedule["target"]
    assert schedule["name"] == "modelyard--weights-sync"
    assert schedule["schedule_expression"] == "rate(7 days)"
    assert (target["arn"], target["input"]) == (f"{FUNCTION}:modelyard--weights-sync", {"keep_active": True})


@pytest.fixture
def statements(plan: Plan) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plan.resources[POLICY]["policy"]["Statement"]
    return found


@pytest.mark.parametrize("function", ["modelyard-digits:live", "modelyard--weights-sync"])
def test_its_role_calls_what_is_live_and_weights_sync(statements: list[dict[str, Any]], function: str) -> None:
    assert allowed(statements, "lambda:InvokeFunction", f"{FUNCTION}:{function}", {})


@pytest.mark.parametrize(
    ("action", "function"),
    [
        ("lambda:InvokeFunction", "modelyard-digits"),
        ("lambda:InvokeFunction", "modelyard-digits:1"),
        ("lambda:InvokeFunction", "modelyard--weights-sync:1"),
        ("lambda:InvokeFunction", "modelyard2-digits:live"),
        ("lambda:InvokeFunction", "other"),
        ("lambda:UpdateFunctionCode", "modelyard-digits:live"),
    ],
)
def test_its_role_may_do_nothing_else(statements: list[dict[str, Any]], action: str, function: str) -> None:
    assert not allowed(statements, action, f"{FUNCTION}:{function}", {})


def test_only_schedules_of_this_account_take_its_role_on(plan: Plan) -> None:
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html"""
    assert plan.resources[ROLE]["assume_role_policy"]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "scheduler.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {
                    "aws:SourceAccount": ACCOUNT,
                    "aws:SourceArn": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/default",
                }
            },
        }
    ]
