"""The workflow of terraform/examples/deployer deploys with short-lived credentials, and only after a review."""

import shlex
from typing import Any

import pytest
import yaml

from modelctl import cli, paths

WORKFLOW: dict[Any, Any] = yaml.safe_load((paths.TERRAFORM / "examples" / "deployer" / "workflow.yml").read_text())
JOBS = WORKFLOW["jobs"]
RUNS = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
OF_MODELCTL = "modelyard/.venv/bin/modelctl "


@pytest.mark.parametrize("line", [line for line in RUNS if line.startswith(OF_MODELCTL)])
def test_each_command_of_the_workflow_is_one_that_modelctl_takes(line: str) -> None:
    assert cli.parser().parse_args(shlex.split(line.removeprefix(OF_MODELCTL))).run


def test_the_workflow_validates_every_change_and_applies_what_was_merged() -> None:
    # In YAML 1.1, the key `on` is a boolean.
    assert WORKFLOW[True] == {"pull_request": None, "push": {"branches": ["main"]}}
    assert f"{OF_MODELCTL}validate model_registry.yaml" in [step.get("run") for step in JOBS["validate"]["steps"]]
    assert JOBS["deploy"]["needs"] == "validate"
    assert JOBS["deploy"]["if"] == "github.event_name == 'push'"
    assert JOBS["deploy"]["steps"][-1]["run"] == f"{OF_MODELCTL}apply --target aws --yes"


def test_only_the_job_that_deploys_may_ask_for_credentials_and_it_waits_for_a_reviewer() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in JOBS["validate"]
    assert JOBS["deploy"]["permissions"] == {"contents": "read", "id-token": "write"}
    assert JOBS["deploy"]["environment"] == "production"
    assert "secrets." not in yaml.dump(WORKFLOW)
    (credentials,) = [step for step in JOBS["deploy"]["steps"] if "aws-actions" in step.get("uses", "")]
    assert credentials["with"]["role-to-assume"] == "arn:aws:iam::123456789012:role/deploy_modelyard"


def test_an_apply_is_never_stopped_by_the_next_one() -> None:
    assert JOBS["deploy"]["concurrency"] == {"group": "production", "cancel-in-progress": False}


def test_the_registry_is_the_one_beside_the_submodule() -> None:
    (registry,) = WORKFLOW["env"].items()
    assert registry == ("TF_VAR_registry_file", "../../model_registry.yaml")
    assert 'variable "registry_file"' in (paths.TERRAFORM / "variables.tf").read_text()


def test_packages_are_kept_as_long_as_their_sources_are_the_same() -> None:
    """GIVEN a key of all files below functions/ WHEN modelctl has run THEN compiled files would be among them."""
    steps = JOBS["deploy"]["steps"]
    (packages,) = [index for index, step in enumerate(steps) if step.get("id") == "packages"]
    assert not any("run" in step for step in steps[:packages])
    assert steps[packages]["with"]["path"] == f"modelyard/{paths.PACKAGES.relative_to(paths.CHECKOUT)}"
