"""A state has one home: another account or region, or another state under the same name, is refused at plan.

As on AWS: the whole platform is planned by the real provider with the credentials of an account of AWS; STS is a server
here, and the rest of AWS is the emulator.
"""

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_stack import sts
from local_stack.support import client
from modelctl import paths
from modelctl.errors import UserError
from modelctl.local.layout import REGION
from modelctl.local.stack import LocalStack
from plan.conftest import ONE_MODEL, Root, platform
from plan.test_upgrade import actions

NAME = "athome"
ACCOUNT, ANOTHER_ACCOUNT = "123456789012", "210987654321"
ANOTHER_REGION = "eu-west-1"
WORKSPACE = "production"
ROLE = f"{NAME}--weights-sync"
HOME = "module.home.terraform_data.this"
MARKED = "module.weights_sync.module.role.aws_iam_role.this"
#: What the role waits for and no more.
ONLY_MARKED = f"-target={MARKED}"


@dataclass(frozen=True)
class Checkout:
    """A checkout with a state of its own, on AWS."""

    root: Root
    scratch: Path

    @classmethod
    def make(cls, scratch: Path, env: dict[str, str]) -> "Checkout":
        (scratch / "registry.yaml").write_text(ONE_MODEL)
        shutil.copytree(paths.PACKAGES, scratch / "packages")
        manifest = scratch / "packages" / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"target": "aws", "python": "3.13"}))
        root = platform(
            scratch,
            env,
            TF_VAR_name=NAME,
            TF_VAR_registry_file=scratch / "registry.yaml",
            TF_VAR_packages_manifest=manifest,
        )
        return cls(root, scratch).having(TF_WORKSPACE=WORKSPACE)

    def having(self, **env: str) -> "Checkout":
        """The same in another environment."""
        return dataclasses.replace(self, root=dataclasses.replace(self.root, env={**self.root.env, **env}))

    @property
    def state(self) -> Path:
        return self.scratch / "state" / self.root.env["TF_WORKSPACE"] / "terraform.tfstate"

    def plan(self, *options: str) -> dict[str, list[str]]:
        """What a plan of the whole platform does, by address; of a part with `ONLY_MARKED`."""
        shown = json.loads(self.root.plan(self.scratch / "plan", *options))
        changes = {change["address"]: change for change in shown["resource_changes"] if change["mode"] == "managed"}
        return actions(changes, *{change["type"] for change in changes.values()})

    def refusal(self, command: str) -> str:
        """Why nothing was applied or destroyed, on one line, and that nothing was."""
        before = self._written()
        with pytest.raises(UserError) as refused:
            self.root.apply() if command == "apply" else self.root.destroy()
        assert self._written() == before
        return " ".join(str(refused.value).split())

    def _written(self) -> Any:
        """The states, and what the account has under the name."""
        env = dict(self.root.env)
        roles = client(env, "iam").list_roles()["Roles"]
        buckets = client(env, "s3").list_buckets()["Buckets"]
        groups = client(env, "logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{NAME}")["logGroups"]
        names = [role["RoleName"] for role in roles] + [bucket["Name"] for bucket in buckets]
        return (
            {file: file.read_text() for file in self.scratch.glob("state/*/terraform.tfstate")},
            [name for name in names if name.startswith(NAME)] + [group["logGroupName"] for group in groups],
        )


@pytest.fixture(scope="module")
def first(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The checkout whose first apply was broken off as soon as it had marked the name as its own."""
    with sts.of_account(ACCOUNT) as account:
        checkout = Checkout.make(tmp_path_factory.mktemp("first"), stack.environment() | account)
        checkout.root.apply(ONLY_MARKED)
        yield checkout


@pytest.fixture(scope="module")
def second(first: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Another checkout, in the same account."""
    return Checkout.make(tmp_path_factory.mktemp("second"), dict(first.root.env))


def mark(checkout: Checkout) -> str | None:
    """Whose the name is, as the account has it."""
    tags = client(dict(checkout.root.env), "iam").list_role_tags(RoleName=ROLE)["Tags"]
    return next((tag["Value"] for tag in tags if tag["Key"] == "ModelyardHome"), None)


def test_a_first_apply_that_was_broken_off_goes_on_where_it_was(first: Checkout) -> None:
    planned = first.plan()
    assert planned[HOME] == planned[MARKED] == ["no-op"]
    assert planned['module.model["seven"].aws_lambda_function.inference'] == ["create"]
    assert [address for address, done in planned.items() if "delete" in done] == []


@pytest.mark.parametrize("command", ["apply", "destroy"])
@pytest.mark.parametrize(
    ("account", "region"), [(ACCOUNT, ANOTHER_REGION), (ANOTHER_ACCOUNT, REGION)], ids=["region", "account"]
)
def test_a_state_is_not_used_in_another_region_or_account(
    first: Checkout, account: str, region: str, command: str
) -> None:
    with sts.of_account(account) as credentials:
        says = first.having(AWS_REGION=region, **credentials).refusal(command)
    assert f"The deployment of this state is in the account {ACCOUNT} and the region {REGION}, but" in says
    assert f"this shell is set to the account {account} and the region {region}, where none of it exists." in says
    assert "Set AWS_PROFILE and AWS_REGION to where the deployment is." in says


@pytest.mark.parametrize(
    "env", [{}, {"TF_WORKSPACE": "staging"}, {"AWS_REGION": ANOTHER_REGION}], ids=["checkout", "workspace", "region"]
)
def test_another_state_under_the_same_name_is_refused(first: Checkout, second: Checkout, env: dict[str, str]) -> None:
    says = (first if "TF_WORKSPACE" in env else second).having(**env).refusal("apply")
    made = mark(first)
    assert made
    assert f"a deployment called {NAME} that belongs to another state: it was created in {REGION} on " in says
    assert made.removeprefix(f"{REGION} ") in says
    assert "For a separate deployment, choose another name." in says


def test_another_state_under_another_name_is_not(second: Checkout) -> None:
    assert second.having(TF_VAR_name="elsewhere").plan(ONLY_MARKED)[MARKED] == ["create"]


def test_a_lost_state_is_noticed_until_it_is_restored_or_takes_the_deployment_over(first: Checkout) -> None:
    kept = first.state.read_text()
    first.state.unlink()
    says = first.refusal("apply")
    assert "restore a copy: an earlier version of the object in S3, or terraform.tfstate.backup" in says

    first.state.write_text(kept)
    assert first.plan(ONLY_MARKED)[HOME] == ["no-op"]

    first.state.unlink()
    (way_out,) = re.findall(r"aws iam untag-role --role-name \S+ --tag-keys \S+", says)
    subprocess.run(way_out.split(), env=dict(first.root.env), check=True)
    assert first.plan(ONLY_MARKED)[HOME] == ["create"]

    # As of a deployment that was made before there were marks.
    first.state.write_text(kept)
    assert first.plan(ONLY_MARKED)[MARKED] == ["update"]
