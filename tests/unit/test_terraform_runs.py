"""What modelctl reports about a Terraform run: its progress, and what went wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from modelctl import paths
from modelctl.deployed.deployment import Deployment
from modelctl.errors import UserError
from modelctl.targets import Target
from modelctl.terraform import local_runs, program

THREE = 'resource "terraform_data" "one" { count = 3 }\noutput "said" { value = "hello" }\n'
FAILS = """
resource "terraform_data" "checked" {
  lifecycle {
    precondition {
      condition     = length(path.module) > 99
      error_message = "the path is short."
    }
  }
}
"""


@pytest.fixture
def root(tmp_path: Path) -> program.Root:
    return program.Root({**program.clean_environment(), **program.QUIET}, tmp_path)


def test_a_change_counts_what_is_made_of_what_is_planned(root: program.Root) -> None:
    (root.folder / "main.tf").write_text(THREE)
    root.init()
    seen = [(progress.changes, progress.planned) for progress in root.change("apply")]
    assert seen[-1] == (3, 3)
    assert root.outputs() == {"said": "hello"}
    assert [(progress.changes, progress.planned) for progress in root.change("apply")] == []
    assert list(root.change("destroy"))[-1].changes == 3


def test_a_plan_tells_the_types_of_what_it_deletes_or_replaces(root: program.Root, tmp_path: Path) -> None:
    (root.folder / "main.tf").write_text(THREE)
    root.init()
    for _ in root.change("apply"):
        pass

    def lost(count: int, *options: str) -> set[str]:
        (root.folder / "main.tf").write_text(THREE.replace("3", str(count)))
        *_, last = root.write_plan(tmp_path / "plan", *options)
        assert last.applyable
        return last.lost

    assert lost(2) == {"terraform_data"}
    assert lost(4) == set()
    assert lost(3, "-replace=terraform_data.one[0]") == {"terraform_data"}


STATES = {
    "a value of every kind": """
        output "text" { value = "ä" }
        output "secret" {
          value     = { password = "x" }
          sensitive = true
        }
        output "list" { value = [1, true, null] }
        output "nothing" { value = null }
    """,
    "no outputs": 'resource "terraform_data" "one" {}\n',
}


@pytest.mark.parametrize("said", STATES.values(), ids=STATES)
def test_outputs_of_a_state_in_a_file_are_those_that_terraform_gives(root: program.Root, said: str) -> None:
    (root.folder / "main.tf").write_text(said)
    root.init()
    for _ in root.change("apply"):
        pass
    by_file = program.Root({}, root.folder / "nowhere", root.folder / "terraform.tfstate")
    assert by_file.outputs() == root.outputs()


@pytest.mark.parametrize("state", ['{"version": 4, "outp', '{"version": 5, "outputs": {}}', "[]"])
def test_of_an_odd_state_terraform_itself_is_asked(
    root: program.Root, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    file = root.folder / "terraform.tfstate"
    file.write_text(state)
    asked: list[list[str]] = []

    def run(_: program.Root, arguments: list[str]) -> str:
        asked.append(arguments)
        return "{}"

    monkeypatch.setattr(program.Root, "_run", run)
    assert program.Root(root.env, root.folder, file).outputs() == {}
    assert asked == [["output", "-json"]]


def test_a_failed_change_tells_terraforms_own_words(root: program.Root) -> None:
    (root.folder / "main.tf").write_text(FAILS)
    root.init()
    with pytest.raises(UserError, match=r"terraform apply failed:\n.*the path is short\."):
        list(root.change("apply"))


@pytest.mark.parametrize("said", ["", '{"@level":"info"}\\n{"@level":'], ids=["nothing", "half a line"])
def test_what_a_full_disk_has_cut_off_is_an_error_that_says_so(
    root: program.Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    failing = tmp_path / "failing"
    failing.write_text(f"#!/bin/sh\nprintf '{said}'\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(program, "binary", lambda: str(failing))
    journal = tmp_path / "journal"
    with pytest.raises(program.TerraformError) as failed:
        list(root.change("apply", journal=journal))
    assert failed.value.problems == [
        f"its output is cut off: make room on the disk of {journal}, then run the command again"
    ]


@pytest.mark.parametrize("said", ["Failed to load state: ... Unsupported state file format", "no state"])
def test_a_local_state_that_is_half_written_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    def outputs(_: program.Root) -> None:
        raise UserError(said)

    monkeypatch.setattr(program.Root, "outputs", outputs)
    expected = "incomplete, as after an apply on a full disk: .* run `modelctl up`" if "file" in said else said
    with pytest.raises(UserError, match=expected):
        Deployment(Target("local", {}))
    with pytest.raises(UserError, match=re.escape(said)):
        Deployment(Target("aws", {}))


def test_a_state_that_is_not_there_yet_has_no_outputs_and_terraform_is_not_asked(tmp_path: Path) -> None:
    root = program.Root({}, tmp_path / "no-module", state=tmp_path / "terraform.tfstate")
    assert root.outputs() == {}


@pytest.mark.parametrize("elsewhere", [True, False], ids=["state-in-a-bucket", "no-backend"])
def test_a_fresh_clone_finds_a_deployment_whose_state_is_in_a_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    called: list[str] = []
    buckets = {"inputs": "yard-inputs", "results": "yard-results", "artifacts": "yard-artifacts"}
    deployed = {"name": "yard", "region": "eu-central-1", "buckets": buckets, "models": {}}

    def outputs(_: program.Root) -> dict[str, Any]:
        called.append("output")
        if "init" not in called:
            raise UserError(
                "terraform output failed:\nError: Backend initialization required, please run terraform init"
            )
        return {"deployment": deployed}

    override = tmp_path / "backend_override.tf"
    if elsewhere:
        override.touch()
    monkeypatch.setattr(local_runs, "BACKEND_OVERRIDE", override)
    monkeypatch.setattr(program.Root, "outputs", outputs)
    monkeypatch.setattr(program.Root, "init", lambda _: called.append("init"))
    if elsewhere:
        assert Deployment(Target("aws", {})).name == "yard"
        assert called == ["output", "init", "output"]
    else:
        with pytest.raises(UserError, match="nothing is deployed"):
            Deployment(Target("aws", {}))
        assert called == ["output"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "is not what `terraform output -json` prints"),
        ("[]", "is not what `terraform output -json` prints"),
        ('{"deployment": {"value": {"name": "yard"}}}', "write it again, where the state can be read, with `terraform"),
    ],
)
def test_a_file_that_does_not_say_what_is_deployed_is_told_with_the_way_out(
    tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "outputs.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=re.escape(said)) as refused:
        Deployment(Target("aws", {}), file)
    assert str(refused.value).startswith(f"MODELYARD_OUTPUTS: {file} ")


@pytest.mark.parametrize(("account", "kept"), [("000000000000", False), ("123456789012", True)])
def test_a_state_that_could_not_be_stored_is_removed_once_the_local_stacks_next_apply_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str, kept: bool
) -> None:
    for name in ("STATE", "APPLIED", "UNFINISHED", "_ERRORED"):
        monkeypatch.setattr(local_runs, name, tmp_path / name)
        (tmp_path / name).write_text(f'{{"arn": "arn:aws:sqs:us-east-1:{account}:yard-digits"}}')
    monkeypatch.setattr(paths, "STACK", tmp_path / "stack")
    with pytest.raises(UserError), local_runs.recorded("apply"):
        raise UserError("it failed")
    assert (tmp_path / "_ERRORED").exists()
    with local_runs.recorded("apply"):
        pass
    assert (tmp_path / "_ERRORED").exists() == kept


def test_of_a_functions_error_its_message_is_told() -> None:
    """Not the JSON that the provider quotes, with a traceback in it."""
    answer = {
        "errorMessage": "LiteRT cannot load\nmodel.tflite",
        "errorType": "ModelError",
        "stackTrace": ["a.py", "b.py"],
    }
    summary = "invoking Lambda Function (yard-faces): "
    failed = {"address": 'module.model["faces"].aws_lambda_invocation.check', "detail": ""}
    said = program._sentence({"summary": summary + json.dumps(answer), **failed})
    assert said == f"{summary}LiteRT cannot load\nmodel.tflite ({failed['address']})"
    for other in (
        "operation error Lambda: Invoke",
        '{"errorType": "Runtime.ExitError"}',
        '{"errorMessage": "cut',
        "{}",
    ):
        assert program._sentence({"summary": summary + other, **failed}) == f"{summary}{other} ({failed['address']})"


HALF = """
resource "terraform_data" "made" {}
resource "terraform_data" "failed" {
  depends_on = [terraform_data.made]
  provisioner "local-exec" {
    command = "false"
  }
}
"""


def test_the_ways_out_that_errors_name_are_one_list_of_options() -> None:
    problem = "\n".join(
        [
            "terraform apply failed:",
            'getting a quota (data.quota.lambda["concurrency, unless read_quotas = false"])',
            "  terraform apply -var 'publish_again=[\"wine\"]'",
            "  terraform apply -var 'publish_again=[\"digits\"]'",
            "  terraform apply -replace=module.weights_sync.aws_lambda_function.this",
        ]
    )
    assert program.ways_out(problem) == [
        "-var=read_quotas=false",
        '-var=publish_again=["digits", "wine"]',
        "-replace=module.weights_sync.aws_lambda_function.this",
    ]
    assert program.ways_out("terraform apply failed:\nAccessDenied") == []


def test_terraform_that_was_killed_is_told_by_the_signal(root: program.Root) -> None:
    (root.folder / "main.tf").write_text(HALF.replace('"false"', '"kill -9 $PPID"'))
    root.init()
    with pytest.raises(UserError, match=r"(?s)terraform apply failed:.*ended by SIGKILL"):
        list(root.change("apply"))


def test_outputs_of_what_was_never_applied_are_empty(root: program.Root) -> None:
    (root.folder / "main.tf").write_text(THREE)
    root.init()
    assert root.outputs() == {}


def test_settings_of_another_account_never_reach_the_local_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-another-account")
    monkeypatch.setenv("TF_WORKSPACE", "production")
    monkeypatch.setenv("LANG", "C.UTF-8")
    kept = program.clean_environment()
    assert not [name for name in kept if name.startswith(("AWS_", "TF_"))]
    assert kept["LANG"] == "C.UTF-8"
