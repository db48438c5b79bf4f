"""A state belongs to the local stack or to AWS; against the other one nothing is planned, applied or destroyed."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from attached import PROVIDER
from e2e.conftest import Modelctl, Platform
from local_stack import sts
from modelctl import paths
from modelctl.local.layout import ACCOUNT
from modelctl.terraform import program

AWS_ACCOUNT = "123456789012"
LOG_GROUP = "/aws/lambda/modelyard-digits"


@pytest.fixture(scope="module")
def credentials_of_aws() -> Iterator[dict[str, str]]:
    """What makes Terraform believe that its credentials are of an account of AWS."""
    with sts.of_account(AWS_ACCOUNT) as env:
        yield env


def with_state_of_its_own(platform: Platform, folder: Path, workspace: str) -> tuple[dict[str, str], Path]:
    """The environment of a workspace whose state has one resource of the platform, and that state's file.

    One, so that a check that does not hold costs the platform of the other tests a log group and no more.
    """
    state = json.loads((platform.home / "state" / "local" / "terraform.tfstate").read_text())
    state["resources"] = [
        {**resource, "instances": [one for one in resource["instances"] if one["attributes"]["id"] == LOG_GROUP]}
        for resource in state["resources"]
        if (resource["type"], resource.get("module")) == ("aws_cloudwatch_log_group", 'module.model["digits"]')
    ]
    file = folder / "state" / workspace / "terraform.tfstate"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(state))
    env = {**platform.env, "TF_WORKSPACE": workspace, "TF_DATA_DIR": str(folder / "data")}
    program.Root(env).init(f"workspace_dir={folder / 'state'}")
    return env, file


def errors_of(env: Mapping[str, str], *command: str) -> list[str]:
    """What Terraform says it failed of."""
    done = subprocess.run(
        [program.binary(), f"-chdir={paths.TERRAFORM}", *command, "-json", "-input=false"],
        env={**env, **PROVIDER.variables(paths.TERRAFORM, env)},
        capture_output=True,
        text=True,
        check=False,
    )
    diagnostics = [
        event["diagnostic"] for event in map(json.loads, done.stdout.splitlines()) if event["type"] == "diagnostic"
    ]
    assert done.returncode == 1, done.stdout
    return [diagnostic["detail"] for diagnostic in diagnostics if diagnostic["severity"] == "error"]


@pytest.mark.parametrize(
    ("workspace", "account"), [("local", AWS_ACCOUNT), ("production", ACCOUNT)], ids=["local-on-aws", "aws-on-local"]
)
def test_what_belongs_to_the_other_target_is_neither_planned_nor_applied_nor_destroyed(
    platform: Platform, credentials_of_aws: dict[str, str], tmp_path: Path, workspace: str, account: str
) -> None:
    env, state = with_state_of_its_own(platform, tmp_path, workspace)
    before = state.read_text()
    if account == AWS_ACCOUNT:
        env |= credentials_of_aws

    for command in (["plan"], ["apply", "-auto-approve"], ["destroy", "-auto-approve"]):
        (error,) = errors_of(env, *command)
        assert error.startswith(
            f'The workspace "{workspace}" and the account {account} do not belong together: the workspace "local" is '
            f"for the local stack (account {ACCOUNT}), all others are for AWS. For the local stack, run "
            '`eval "$(.venv/bin/modelctl env)"` first; for AWS, `eval "$(.venv/bin/modelctl env --unset)"`.'
        )
    assert state.read_text() == before
    groups = platform.client("logs").describe_log_groups(logGroupNamePrefix=LOG_GROUP)["logGroups"]
    assert LOG_GROUP in [group["logGroupName"] for group in groups]


def test_the_local_stack_has_a_workspace_a_state_and_a_data_directory_of_its_own(
    platform: Platform, modelctl: Modelctl
) -> None:
    exported = modelctl("env", "--json").document
    assert exported["TF_WORKSPACE"] == "local"
    data = Path(exported["TF_DATA_DIR"])
    assert data.is_relative_to(platform.home)
    # Terraform notes there what its backend was set to.
    backend = json.loads((data / "terraform.tfstate").read_text())["backend"]["config"]
    assert Path(backend["workspace_dir"]).is_relative_to(platform.home)
