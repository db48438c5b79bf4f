"""The network stays where it is, whatever AWS answers about zones and in whichever order the subnets are given.

The plans are real, by the real provider; EC2 is a server here that answers what a plan asks about networks.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelctl.errors import UserError
from modelctl.local.layout import REGION
from modelctl.local.stack import LocalStack
from plan.aws import A, Aws, B, C, Ec2, Table
from plan.conftest import Root, platform
from plan.test_upgrade import STATES, actions

STATE = json.loads(STATES[0].read_text())
#: What stays, or functions lose their way to the weights.
NETWORK = (
    *("aws_vpc", "aws_subnet", "aws_route_table", "aws_route_table_association", "aws_vpc_endpoint"),
    *("aws_security_group", "aws_efs_mount_target"),
)
#: All of it, and the first function in it; not the models, which take most of a plan's time.
TARGETS = ("module.network", "module.existing_network", "module.weights_sync", "terraform_data.network")


@dataclass(frozen=True)
class Deployment:
    """A deployment whose state was recorded; none of its resources exist any more."""

    root: Root
    scratch: Path

    def plan(self, ec2: Ec2, **variables: Any) -> dict[str, dict[str, Any]]:
        """What a plan changes, by address; it trusts the state."""
        given = {f"TF_VAR_{name}": json.dumps(value) for name, value in variables.items()}
        with Aws(ec2).serving("EC2") as asking:
            root = dataclasses.replace(self.root, env={**self.root.env, **given, **asking})
            targets = (f"-target={target}" for target in TARGETS)
            shown = json.loads(root.plan(self.scratch / "plan", "-refresh=false", *targets))
        return {change["address"]: change for change in shown["resource_changes"] if change["mode"] == "managed"}

    def refusal(self, ec2: Ec2, **variables: Any) -> str:
        """Why there is no plan, on one line: Terraform breaks long ones."""
        with pytest.raises(UserError) as refused:
            self.plan(ec2, **variables)
        return " ".join(str(refused.value).split())


def deployment(stack: LocalStack, scratch: Path, state: Mapping[str, Any]) -> Deployment:
    file = scratch / "state" / "local" / "terraform.tfstate"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(state))
    return Deployment(platform(scratch, stack.environment()), scratch)


def recorded(kind: str, attribute: str) -> list[str]:
    """An attribute of the recorded resources of a type, which are in the modules network and storage."""
    return [
        instance["attributes"][attribute]
        for resource in STATE["resources"]
        if resource["type"] == kind and resource["mode"] == "managed"
        for instance in resource["instances"]
    ]


def kept(network: str) -> dict[str, Any]:
    """A `terraform_data` that remembers the network that the deployment was made in."""
    value = {"value": network, "type": "string"}
    attributes = {"id": "1", "input": value, "output": value, "triggers_replace": None}
    return {
        "mode": "managed",
        "type": "terraform_data",
        "name": "network",
        "provider": 'provider["terraform.io/builtin/terraform"]',
        "instances": [{"schema_version": 0, "attributes": attributes}],
    }


(VPC,), SUBNETS = recorded("aws_vpc", "id"), recorded("aws_subnet", "id")
GROUP = "sg-functions"
GIVEN = {"vpc_id": VPC, "subnet_ids": SUBNETS, "security_group_id": GROUP}
EXISTING = Ec2(
    vpc=VPC,
    subnets=dict(zip(SUBNETS, (A, B), strict=True)),
    groups={GROUP: VPC},
    tables={"rtb-main": Table(), "rtb-1": Table(SUBNETS, gateways=["vpce-1"])},
)


@pytest.fixture(scope="module")
def own(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A deployment in a network of its own, whose subnets are in the zones a and b."""
    return deployment(stack, tmp_path_factory.mktemp("own"), STATE)


@pytest.fixture(scope="module")
def existing(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The same in a network that was there already."""
    rest = [each for each in STATE["resources"] if not each.get("module", "").startswith("module.network")]
    return deployment(stack, tmp_path_factory.mktemp("existing"), {**STATE, "resources": [*rest, kept(VPC)]})


@pytest.mark.parametrize(
    "zones", [(f"{REGION}-0a", B, A), (B, C), (B,)], ids=["another-comes-first", "one-is-another", "one-is-gone"]
)
def test_a_zone_that_appears_disappears_or_is_reordered_changes_nothing_in_the_network(
    own: Deployment, zones: tuple[str, ...]
) -> None:
    changes = own.plan(Ec2(zones=zones))
    network = actions(changes, *NETWORK)
    assert {changes[address]["type"] for address in network} == set(NETWORK)
    # The recorded release did not let S3's question through whether an input is missing or may not be read.
    endpoint = "module.network[0].aws_vpc_endpoint.s3"
    assert {address: done for address, done in network.items() if done != ["no-op"]} == {endpoint: ["update"]}
    before, after = changes[endpoint]["change"]["before"], changes[endpoint]["change"]["after"]
    assert {name for name in after if after[name] != before[name]} == {"policy"}


def test_subnets_in_another_order_change_nothing(existing: Deployment) -> None:
    changes = existing.plan(EXISTING, network={**GIVEN, "subnet_ids": SUBNETS[::-1]})
    assert actions(changes, "aws_efs_mount_target") == {
        f"module.storage.aws_efs_mount_target.weights[{index}]": ["no-op"] for index in (0, 1)
    }
    (function,) = [change["change"] for change in changes.values() if change["type"] == "aws_lambda_function"]
    assert function["before"]["vpc_config"][0]["subnet_ids"] == function["after"]["vpc_config"][0]["subnet_ids"]


@pytest.mark.parametrize(
    ("subnets", "zones"),
    [([SUBNETS[0], "subnet-c"], (A, C)), (["subnet-c", *SUBNETS], (C, A, B))],
    ids=["exchanged", "put-before"],
)
def test_a_mount_target_never_moves_to_another_subnet(
    existing: Deployment, subnets: list[str], zones: tuple[str, ...]
) -> None:
    ec2 = dataclasses.replace(
        EXISTING,
        subnets=dict(zip(subnets, zones, strict=True)),
        tables={"rtb-main": Table(gateways=["vpce-1"])},
    )
    says = existing.refusal(ec2, network={**GIVEN, "subnet_ids": subnets})
    assert f"mount targets are in {SUBNETS[0]}, {SUBNETS[1]}" in says
    assert "append new subnets to network.subnet_ids" in says


def test_a_subnet_that_is_appended_gets_a_mount_target(existing: Deployment) -> None:
    ec2 = dataclasses.replace(
        EXISTING,
        subnets={**EXISTING.subnets, "subnet-c": C},
        # What leads anywhere leads to S3, by a NAT gateway for example.
        tables={"rtb-main": Table(destinations=["0.0.0.0/0"]), "rtb-1": EXISTING.tables["rtb-1"]},
    )
    changes = existing.plan(ec2, network={**GIVEN, "subnet_ids": [*SUBNETS, "subnet-c"]})
    targets = actions(changes, "aws_efs_mount_target")
    assert sorted(targets.values()) == [["create"], ["no-op"], ["no-op"]]


@pytest.mark.parametrize("network", [None, {**GIVEN, "vpc_id": "vpc-other"}], ids=["its-own", "another"])
def test_a_deployment_does_not_move_to_another_network(existing: Deployment, network: Any) -> None:
    says = existing.refusal(
        dataclasses.replace(EXISTING, vpc="vpc-other", groups={GROUP: "vpc-other"}), network=network
    )
    assert f"cannot be changed: this one is in {VPC}, with the mount targets of its weights" in says
    assert (
        f"Restore the variable network (vpc_id = {VPC}). To move, create another deployment with another name" in says
    )


def test_a_deployment_does_not_leave_its_own_network(stack: LocalStack, tmp_path: Path) -> None:
    state = {**STATE, "resources": [*STATE["resources"], kept("its own")]}
    says = deployment(stack, tmp_path, state).refusal(EXISTING, network=GIVEN)
    assert "cannot be changed: this one is in a network of its own," in says
    assert "Restore the variable network (null)." in says


def test_a_network_that_functions_could_not_work_in_is_refused_with_all_that_is_wrong(existing: Deployment) -> None:
    ec2 = dataclasses.replace(
        EXISTING,
        subnets=dict.fromkeys(SUBNETS, A),
        groups={GROUP: "vpc-other"},
        tables={
            "rtb-main": Table(gateways=["igw-1"], destinations=["0.0.0.0/0"]),
            "rtb-1": Table(SUBNETS[1:], gateways=["local"], destinations=["10.0.0.0/8"]),
        },
    )
    says = existing.refusal(ec2, network=GIVEN)
    assert "The network cannot be used:" in says
    assert f"are both in {A}: a file system has one mount target per zone" in says
    assert f"{GROUP} is in vpc-other, not in {VPC}" in says
    assert f"{SUBNETS[0]} is public: its route table rtb-main leads to an internet gateway" in says
    assert f"{SUBNETS[1]} has no route to S3: its route table rtb-1 has neither" in says
    assert f"{SUBNETS[1]} is public" not in says
    assert f"{SUBNETS[0]} has no route" not in says


def test_an_interface_endpoint_may_be_the_way_to_s3(existing: Deployment) -> None:
    ec2 = dataclasses.replace(EXISTING, tables={"rtb-main": Table()}, interfaces=["eni-1"])
    assert existing.plan(ec2, network=GIVEN)
