"""What an apply may leave behind when it is broken off: every type of resource is accounted for."""

import json
import re
from pathlib import Path

from modelctl import paths
from modelctl.local import leftovers

# A second creation is the same call as the first, and has the same effect.
OVERWRITTEN = {
    "aws_cloudwatch_composite_alarm",
    "aws_cloudwatch_dashboard",
    "aws_cloudwatch_event_target",
    "aws_efs_file_system_policy",
    "aws_iam_role_policy",
    "aws_lambda_invocation",
    "aws_s3_bucket_lifecycle_configuration",
    "aws_s3_bucket_notification",
    "aws_s3_bucket_ownership_controls",
    "aws_s3_bucket_policy",
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_versioning",
    "aws_s3_object",
}
# Made for the whole platform, by the first apply: where that was broken off, nothing is kept.
ONCE = {
    "aws_default_security_group",
    "aws_efs_file_system",
    "aws_efs_mount_target",
    "aws_kms_key",
    "aws_route_table",
    "aws_route_table_association",
    "aws_s3_bucket",
    "aws_security_group",
    "aws_sns_topic",
    "aws_subnet",
    "aws_vpc",
    "aws_vpc_endpoint",
    "terraform_data",  # exists in the state alone
    "aws_vpc_security_group_egress_rule",
    "aws_vpc_security_group_ingress_rule",
}


def types(folder: Path, pattern: str) -> set[str]:
    texts = (file.read_text() for file in folder.glob(pattern))
    return {kind for text in texts for kind in re.findall(r'^resource "(\w+)"', text, re.MULTILINE)}


def test_every_type_of_resource_is_removed_overwritten_or_made_once() -> None:
    used = types(paths.TERRAFORM, "*.tf") | types(paths.TERRAFORM, "modules/*/*.tf")
    assert used == leftovers.KINDS.keys() | OVERWRITTEN | ONCE


def test_no_model_has_what_is_made_once() -> None:
    of_a_model = set().union(*(types(paths.TERRAFORM / "modules", f"{name}/*.tf") for name in ("model", "queue")))
    assert of_a_model
    assert not of_a_model & ONCE


def test_a_state_that_ends_in_the_middle_is_replaced_by_the_last_whole_one(tmp_path: Path) -> None:
    state, applied = tmp_path / "terraform.tfstate", tmp_path / "applied"
    state.write_text('{"resour')
    leftovers.restore(state, applied)
    assert state.read_text() == '{"resour', "there is nothing to put in its place"
    applied.write_text('{"resources": [], "serial": 1}')
    for text in ("", '{"resour'):
        state.write_text(text)
        leftovers.restore(state, applied)
        assert json.loads(state.read_text())["serial"] == 1
    state.write_text('{"resources": [], "serial": 2}')
    leftovers.restore(state, applied)
    assert json.loads(state.read_text())["serial"] == 2


def test_a_state_that_was_deleted_is_replaced_by_the_last_one_that_was_applied(tmp_path: Path) -> None:
    state, applied = tmp_path / "terraform.tfstate", tmp_path / "applied"
    leftovers.restore(state, applied)
    assert not state.exists(), "nothing was applied yet"
    applied.write_text('{"resources": [], "serial": 1}')
    leftovers.restore(state, applied)
    assert json.loads(state.read_text())["serial"] == 1
