"""Applying exactly what was planned, and the ways out of errors that name one, with roots that need no provider."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelctl import cli, paths
from modelctl.deployed import queues
from modelctl.deployed.deployment import Deployment
from modelctl.errors import UserError
from modelctl.targets import Target
from modelctl.terraform import applying, initialising, local_runs, plans, program, races


class Elsewhere(Target):
    """A target with another root module than the platform's."""

    folder: Path

    @property
    def root(self) -> program.Root:
        return program.Root({**self.env, **program.QUIET}, self.folder)


@pytest.fixture
def target(tmp_path: Path) -> Elsewhere:
    """AWS, with a root that nobody has initialised; its module goes to main.tf."""
    made = Elsewhere("aws", program.clean_environment())
    object.__setattr__(made, "folder", tmp_path)
    return made


def write(target: Elsewhere, text: str) -> None:
    (target.folder / "main.tf").write_text('terraform {\n  backend "local" {}\n}\n' + text)


COUNTED = 'resource "terraform_data" "some" { count = 2 }\noutput "said" { value = "hello" }\n'


def test_what_was_planned_is_applied_and_nothing_that_came_later(
    target: Elsewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    write(target, COUNTED)
    with applying.planned(target) as plan:
        # It was never initialised.
        assert "terraform init" in capsys.readouterr().err
        assert plan.changes
        write(target, COUNTED.replace("2", "5"))
        applying.apply(plan)
    assert "terraform apply: 2 of 2 changes made" in capsys.readouterr().err
    write(target, COUNTED)
    with applying.planned(target) as plan:
        assert not plan.changes
        applying.apply(plan)
    assert "terraform init" not in capsys.readouterr().err
    assert not plan.file.exists()


def test_an_output_alone_is_applied_too(target: Elsewhere) -> None:
    write(target, COUNTED)
    for said in ("hello", "goodbye"):
        write(target, COUNTED.replace("hello", said))
        with applying.planned(target) as plan:
            assert plan.changes
            assert plan.document["applyable"]
            applying.apply(plan)
        assert target.root.outputs() == {"said": said}
    with applying.planned(target) as plan:
        assert not plan.changes
        assert not plan.document["applyable"]


def test_the_local_stack_is_initialised_where_it_is_needed_and_not_again(
    target: Elsewhere, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local = Elsewhere("local", {**target.env, "TF_DATA_DIR": str(target.folder / "data")})
    object.__setattr__(local, "folder", target.folder)
    monkeypatch.setattr(initialising, "WORKSPACES", str(target.folder / "state"))

    def inits(does: Callable[[], None]) -> int:
        does()
        return capsys.readouterr().err.count("terraform init ...")

    def plan() -> None:
        with applying.planned(local) as planned:
            assert planned.changes

    write(local, COUNTED)
    assert [inits(lambda: local_runs.prepare(local)) for _ in range(2)] == [1, 0]
    assert inits(plan) == 0
    # A new module is unknown to Terraform until then.
    (local.folder / "module").mkdir()
    (local.folder / "module" / "main.tf").write_text('output "said" { value = "hello" }\n')
    write(local, COUNTED + 'module "new" { source = "./module" }\n')
    assert inits(lambda: local_runs.prepare(local)) == 0
    assert [inits(plan) for _ in range(2)] == [1, 0]
    # Of a copied folder, the data name the states of the original.
    monkeypatch.setattr(initialising, "WORKSPACES", str(target.folder / "copied"))
    with pytest.raises(UserError, match="Backend configuration changed"):
        local_runs.prepare(local)
    (local.folder / "data" / "terraform.tfstate").write_text("")
    with pytest.raises(UserError, match="terraform init failed"):
        local_runs.prepare(local)


#: As after an interrupted init: the backend is recorded, and a provider that is locked is missing.
LOCKED = """
provider "registry.terraform.io/hashicorp/null" {
  version = "3.2.3"
  hashes  = ["h1:+AnORRgFbRO6qqcfaQyeX80W0eX3VmjadjnUFUJTiXo="]
}
"""


DEPLOYMENT = """
output "deployment" {
  value = {
    name    = "yard"
    region  = "eu-central-1"
    buckets = { inputs = "yard-inputs", results = "yard-results" }
    models  = {}
  }
}
"""


def test_what_an_interrupted_init_left_out_is_installed_for_every_command(
    target: Elsewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    write(target, 'resource "terraform_data" "some" {}\n' + DEPLOYMENT)
    with applying.planned(target) as plan:
        applying.apply(plan)

    def plan_again() -> None:
        with applying.planned(target) as plan:
            assert not plan.changes

    for command in (plan_again, lambda: Deployment(target), lambda: applying.destroy(target)):
        (target.folder / ".terraform.lock.hcl").write_text(LOCKED)
        capsys.readouterr()
        command()
        assert capsys.readouterr().err.count("terraform init ...") == 1
    assert target.root.outputs() == {}


def test_a_plan_that_fails_for_another_reason_is_not_tried_again(
    target: Elsewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    write(target, 'output "said" { value = nowhere.at_all }\n')
    target.root.init()
    with pytest.raises(UserError, match=r"terraform plan failed:\n.*Reference to undeclared resource"):
        applying.planned(target).__enter__()
    assert capsys.readouterr().err.count("terraform plan ...") == 1


@pytest.mark.parametrize("command", ["plan", "apply --yes"])
def test_aws_is_changed_only_where_it_is_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(paths, "STACK", tmp_path)
    assert cli.main(command.split()) == 1
    said = capsys.readouterr().err
    assert said == (
        "error: the local stack is not up: run `modelctl up`. To change what is on AWS, add `--target aws`\n"
    )


HALF_DONE = """
variable "publish_again" {
  type    = set(string)
  default = []
}

resource "terraform_data" "before" {}

resource "terraform_data" "live" {
  input = var.publish_again
  lifecycle {
    precondition {
      condition     = CONDITION
      error_message = "To complete it, run the following.\\n  terraform apply -var 'publish_again=[\\"seven\\"]'"
    }
  }
}

output "completed" { value = terraform_data.live.output }
"""
# False, but nobody knows before the apply.
UNKNOWN = 'terraform_data.before.id == "none"'
COMPLETED = "an earlier update of a function was refused or interrupted halfway: completing it\n"


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        pytest.param("length(var.publish_again) > 0", 1, id="when it is planned"),
        pytest.param(f"{UNKNOWN} || length(var.publish_again) > 0", 2, id="when it is applied"),
    ],
)
def test_the_way_out_that_an_error_names_is_taken(
    target: Elsewhere, condition: str, applies: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write(target, HALF_DONE.replace("CONDITION", condition))
    target.root.init()
    with applying.planned(target) as plan:
        applying.apply(plan)
    said = capsys.readouterr().err
    assert said.count(COMPLETED) == 1
    assert (said.count("terraform plan ..."), said.count("terraform apply ...")) == (2, applies)
    assert target.root.outputs() == {"completed": ["seven"]}


UNREAD = """
variable "read_quotas" {
  default = true
}

resource "terraform_data" "quota" {
  for_each = toset(var.read_quotas ? ["concurrency, unless read_quotas = false"] : [])

  lifecycle {
    precondition {
      condition     = terraform.workspace == "none"
      error_message = "quota (concurrency, unless read_quotas = false): AccessDeniedException"
    }
  }
}
"""


def test_where_quotas_cannot_be_read_the_plan_assumes_the_defaults_and_says_so_with_the_reason(
    target: Elsewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    write(target, COUNTED + UNREAD)
    target.root.init()
    with applying.planned(target) as plan:
        applying.apply(plan)
    said = capsys.readouterr().err
    assert said.count("AWS's default quotas are assumed, because the account's cannot be read: ") == 1
    assert "quota (concurrency, unless read_quotas = false): AccessDeniedException\n" in said
    assert COMPLETED not in said
    assert target.root.outputs() == {"said": "hello"}


def test_a_way_out_that_does_not_help_is_taken_once(target: Elsewhere, capsys: pytest.CaptureFixture[str]) -> None:
    write(target, HALF_DONE.replace("CONDITION", UNKNOWN))
    target.root.init()
    with (
        applying.planned(target) as plan,
        pytest.raises(UserError, match="To complete it, run the following"),
    ):
        applying.apply(plan)
    assert capsys.readouterr().err.count(COMPLETED) == 1


FAILS = """
resource "terraform_data" "before" {}

resource "terraform_data" "notification" {
  lifecycle {
    precondition {
      condition     = CONDITION
      error_message = "Unable to validate the following destination configurations"
    }
  }
}
"""


def test_what_passes_by_itself_is_waited_for_also_if_the_next_plan_fails_of_it(
    target: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It fails when it is applied, then when it is planned, and then no more.
    rest = [FAILS.replace("CONDITION", 'terraform.workspace == "none"'), COUNTED]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        write(target, rest.pop(0))

    monkeypatch.setattr(races, "sleep", sleep)
    write(target, FAILS.replace("CONDITION", UNKNOWN))
    target.root.init()
    with applying.planned(target) as plan:
        applying.apply(plan)
    assert slept == [10, 20]
    assert target.root.outputs() == {"said": "hello"}


def test_what_has_changed_since_the_first_plan_is_not_applied(
    target: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(races, "sleep", lambda _: write(target, COUNTED))
    seen = iter([{"module.model": ("{}", 512, 30)}, {"module.model": ("{}", 640, 30)}])
    monkeypatch.setattr(plans, "functions", lambda _: next(seen))
    write(target, FAILS.replace("CONDITION", UNKNOWN))
    target.root.init()
    with applying.planned(target) as plan, pytest.raises(UserError, match="has changed since the first") as refused:
        applying.apply(plan)
    assert "Unable to validate the following destination configurations" in str(refused.value)
    assert target.root.outputs() == {}, "nothing of the new plan was applied"


FAILED = """
resource "terraform_data" "failed" {
  provisioner "local-exec" {
    command = "false"
  }
}
"""


def test_only_what_failed_while_it_was_made_is_untainted(target: Elsewhere) -> None:
    write(target, COUNTED + FAILED)
    target.root.init()
    with applying.planned(target) as plan, pytest.raises(UserError, match="local-exec"):
        applying.apply(plan)
    for address in ("terraform_data.failed", "terraform_data.some[0]"):
        target.root.untaint(address)
    with applying.planned(target) as plan:
        assert not plan.changes
    with pytest.raises(UserError, match="No such resource instance"):
        target.root.untaint("terraform_data.nowhere")


def test_a_queue_with_inputs_is_looked_for_again_before_each_apply(
    target: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(target, HALF_DONE.replace("CONDITION", f"{UNKNOWN} || length(var.publish_again) > 0"))
    target.root.init()
    looked: list[Any] = []
    monkeypatch.setattr(queues, "refuse_to_lose_inputs", lambda *arguments: looked.append(arguments))
    with applying.planned(target) as plan:
        applying.apply(plan)
    assert looked == [(target, []), (target, [])]


def test_the_document_of_a_plan_is_read_only_if_it_loses_queues(
    target: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def show(_: program.Root, plan: Path) -> dict[str, Any]:
        read.append(plan)
        return {"resource_changes": []}

    monkeypatch.setattr(program.Root, "show", show)
    write(target, COUNTED)
    target.root.init()
    with applying.planned(target, "-replace=terraform_data.some[0]") as plan:
        applying.apply(plan)
    assert read == []
    applying.refuse_to_lose_inputs(replace(plan, loses_queues=True))
    assert read == [plan.file]


def refused(*_: object) -> None:
    raise UserError("the queue holds inputs")


def test_nothing_is_changed_if_a_queue_holds_inputs(target: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    write(target, COUNTED)
    target.root.init()
    monkeypatch.setattr(queues, "refuse_to_lose_inputs", refused)
    with applying.planned(target) as plan, pytest.raises(UserError, match="the queue holds inputs"):
        applying.apply(plan)
    assert target.root.outputs() == {}
