"""An update of Modelyard keeps what holds data and inputs: a plan against a recorded state of an earlier version.

A state is recorded after `modelctl up` with the checkout's registry, from .local/stack/state/local/terraform.tfstate;
the path of the checkout in it is replaced by /checkout.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from modelctl.local.stack import LocalStack
from plan.conftest import platform

STATES = sorted(Path(__file__).with_name("states").glob("*.json"))

#: What must not be replaced: it holds inputs, results or weights, others refer to it, or it cannot exist twice.
KEPT = {
    "aws_efs_access_point",
    "aws_efs_file_system",
    "aws_efs_mount_target",
    "aws_lambda_alias",
    "aws_lambda_event_source_mapping",
    "aws_lambda_function",
    "aws_lambda_invocation",
    "aws_s3_bucket",
    "aws_sqs_queue",
    "aws_subnet",
    "aws_vpc",
}

Changes = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=STATES, ids=lambda state: state.stem)
def changes(
    request: pytest.FixtureRequest, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What a plan changes of the deployment of an earlier version, by address."""
    scratch = tmp_path_factory.mktemp("upgrade")
    state = scratch / "state" / "local" / "terraform.tfstate"
    state.parent.mkdir(parents=True)
    shutil.copyfile(request.param, state)
    # Nothing in the state exists any more, so the plan has to trust it.
    shown = json.loads(platform(scratch, stack.environment()).plan(scratch / "plan", "-refresh=false"))
    return {change["address"]: change for change in shown["resource_changes"] if change["mode"] == "managed"}


def actions(changes: Changes, *kinds: str) -> dict[str, list[str]]:
    return {address: change["change"]["actions"] for address, change in changes.items() if change["type"] in kinds}


def test_nothing_that_holds_data_or_inputs_is_replaced_moved_or_made_anew(changes: Changes) -> None:
    # What holds nothing: each version is checked once.
    kept = {
        address: done for address, done in actions(changes, *KEPT).items() if not address.endswith("invocation.check")
    }
    assert {changes[address]["type"] for address in kept} == KEPT, "each has to be in the state, or this proves nothing"
    assert {address: done for address, done in kept.items() if done not in (["no-op"], ["update"])} == {}


def test_functions_are_updated_in_place_and_queues_stay_as_they_are(changes: Changes) -> None:
    functions = actions(changes, "aws_lambda_function")
    assert {done[0] for address, done in functions.items() if address.startswith("module.model")} == {"update"}
    assert {done[0] for done in actions(changes, "aws_sqs_queue", "aws_s3_bucket_notification").values()} == {"no-op"}


def test_the_deployment_is_marked_as_this_states_in_place(changes: Changes) -> None:
    role = changes["module.weights_sync.module.role.aws_iam_role.this"]["change"]
    assert role["actions"] == ["update"]
    home = changes["module.home.terraform_data.this"]["change"]["after"]["input"]
    assert role["after"]["tags"] == {"ModelyardHome": f"{home['region']} {home['made']}"}


def test_a_layer_is_replaced_after_its_successor_is_there(changes: Changes) -> None:
    layers = actions(changes, "aws_lambda_layer_version")
    assert {tuple(done) for done in layers.values()} <= {("no-op",), ("create", "delete")}


def test_nothing_else_is_deleted_but_what_names_its_content(changes: Changes) -> None:
    deleted = {address for address, change in changes.items() if "delete" in change["change"]["actions"]}
    by_content = actions(changes, "aws_lambda_layer_version", "aws_s3_object")
    assert deleted <= by_content.keys()
