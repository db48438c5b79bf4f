"""The plan of the platform is what the inventories say; and an inventory that is wrong says where."""

import copy
from pathlib import Path

import pytest
import yaml

from plan import inventory
from plan.planned import Plan

INVENTORIES = Path(__file__).with_name("inventories")


@pytest.mark.parametrize("file", sorted(INVENTORIES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_plan_is_what_the_inventory_says(plan: Plan, file: Path, rewriting: bool) -> None:
    if rewriting:
        file.write_text(inventory.rewritten(file.read_text(), plan))
    found = inventory.differences(inventory.read(file), plan)
    assert not found, "\n".join([f"{file.name} (`make expected` rewrites it):", *found])


def test_a_difference_names_address_attribute_expected_and_found(plan: Plan) -> None:
    efs = inventory.read(INVENTORIES / "efs.yaml")
    reader = 'module.model["wine"].aws_efs_access_point.reader'
    wrong = {
        "values": {
            reader: {"root_directory": [{"path": "/models"}], "posix_user": efs["values"][reader]["posix_user"]},
            "module.model.nowhere": {},
        },
        "counts": {"aws_efs_file_system": 2},
    }
    assert inventory.differences(wrong, plan) == [
        f'{reader}: root_directory[0].path: expected "/models", found "/models/wine"',
        "module.model.nowhere: expected in the plan, and not found",
        "aws_efs_file_system: expected 2, found 1: module.storage.aws_efs_file_system.weights",
    ]


def test_a_statement_that_a_policy_has_beyond_the_inventory_is_a_difference(plan: Plan) -> None:
    iam = inventory.read(INVENTORIES / "iam.yaml")
    address = 'module.model["digits"].module.role.aws_iam_role_policy.this'
    expected = copy.deepcopy(iam["values"][address])
    log = expected["policy"]["Statement"][2]
    del log["Resource"]
    log["Action"].append("logs:CreateLogGroup")
    assert inventory.differences({"values": {address: expected}}, plan) == [
        f"{address}: policy.Statement[2].Action: expected "
        '["logs:CreateLogStream", "logs:PutLogEvents", "logs:CreateLogGroup"], '
        'found ["logs:CreateLogStream", "logs:PutLogEvents"]',
        f"{address}: policy.Statement[2].Resource: expected null, "
        'found "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/modelyard-digits:*"',
    ]
    del expected["policy"]["Statement"][3:]
    assert any(
        "policy.Statement: expected" in line for line in inventory.differences({"values": {address: expected}}, plan)
    )


def test_a_stale_inventory_is_rewritten_to_what_the_plan_says_of_the_same_attributes(plan: Plan) -> None:
    reader = 'module.model["wine"].aws_efs_access_point.reader'
    policy = 'module.model["digits"].module.role.aws_iam_role_policy.this'
    notification = "module.routing.aws_s3_bucket_notification.inputs"
    efs, iam = (inventory.read(INVENTORIES / f"{name}.yaml") for name in ("efs", "iam"))
    stale = f"""# It stays.
values:
  {reader}: {{root_directory: [{{path: /models}}], posix_user: null}}
  {policy}: {{policy: {{Version: "2008-10-17", Id: gone}}}}
  {notification}: {{queue: [{{id: digits-0, events: null}}]}}
  module.model.nowhere: {{}}
counts: {{aws_efs_file_system: 2}}
"""
    text = inventory.rewritten(stale, plan)
    assert text.startswith("# It stays.\nvalues:\n")
    assert yaml.safe_load(text) == {
        "values": {
            reader: {
                "root_directory": [{"path": "/models/wine"}],
                "posix_user": efs["values"][reader]["posix_user"],
            },
            policy: {"policy": iam["values"][policy]["policy"]},
            notification: {
                "queue": [
                    {"id": f"{model}-{number}", "events": ["s3:ObjectCreated:*"]}
                    for model, numbers in (("digits", 2), ("digits-tf", 1), ("wine", 2))
                    for number in range(numbers)
                ]
            },
        },
        "counts": {"aws_efs_file_system": 1},
    }
    assert inventory.rewritten(text, plan) == text
