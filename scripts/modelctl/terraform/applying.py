"""Plans the platform, and applies exactly what was planned, for `modelctl plan`, `apply` and `up`."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from modelctl import console, paths, targets
from modelctl.deployed import queues
from modelctl.errors import UserError
from modelctl.packaging import packages
from modelctl.registry import validation
from modelctl.targets import Target
from modelctl.terraform import initialising, local_runs, plans, program, races
from modelctl.terraform.program import Progress

# SQS takes 25 s for each queue, and most of the time is spent waiting.
PARALLEL = "-parallelism=50"

# On the local stack nobody but a Terraform whose modelctl was killed holds the lock of the state, and not for long.
_PATIENT = "-lock-timeout=120s"


@dataclass(frozen=True)
class Planned:
    """A plan that can be applied.

    Args:
        target: what it was made for.
        options: the options of `terraform plan` that it was made with.
        file: the plan itself, secrets included; it is removed together with its folder.
        changes: whether there is anything to apply.
        loses_queues: whether it deletes or replaces any.
    """

    target: Target
    options: tuple[str, ...]
    file: Path
    changes: bool
    loses_queues: bool

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The plan as `terraform show -json` prints it, also with secrets; read at first use, which takes 2 s."""
        return self.target.root.show(self.file)


@contextmanager
def ready(name: Literal["local", "aws"]) -> Iterator[Target]:
    """The target of a command that plans: its registry is valid, its packages are built, and nobody else changes it.

    Raises:
        UserError: the registry has problems, the packages cannot be built, or the local stack is not up.
    """
    if name == "local" and not targets.stack().running():
        raise UserError("the local stack is not up: run `modelctl up`. To change what is on AWS, add `--target aws`")
    target = targets.chosen(name)
    if target.name == "aws":
        _prepare(target, (paths.TERRAFORM / target.env.get("TF_VAR_registry_file", "../model_registry.yaml")).resolve())
        yield target
        return
    local_runs.refuse_another_backend()
    with local_runs.alone():
        target = targets.local()
        if local_runs.first_is_unfinished():
            raise UserError("the first apply was not finished: run `modelctl up`, which starts the local stack over")
        _prepare(target, targets.registry())
        local_runs.prepare(target)
        yield target


def _prepare(target: Target, registry_file: Path) -> None:
    models = validation.check(registry_file)
    if not packages.are_built({model["runtime"] for model in models.values()}, target.name):
        console.note(f"the packages for {target.says} are missing or stale: building them")
        packages.build(target=target.name)


@contextmanager
def planned(target: Target, *options: str) -> Iterator[Planned]:
    """Plan; if the error names a way out, such as how to complete an interrupted update, plan with that instead.

    Raises:
        UserError: Terraform refuses to plan.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "plan")
        try:
            said = initialising.initialised(target, lambda: _write_plan(target, file, *options))
        except UserError as problem:
            if not (ways := _ways_out(problem, options)):
                raise
        else:
            yield Planned(target, options, file, said.applyable, "aws_sqs_queue" in said.lost)
            return
    with planned(target, *options, *ways) as again:
        yield again


def _write_plan(target: Target, file: Path, *options: str) -> Progress:
    """Plan; returns what Terraform has told of the plan."""
    progress = Progress()
    run = target.root.write_plan(file, *((PARALLEL, _PATIENT) if target.name == "local" else ()), *options)
    with console.step("terraform plan") as update, closing(run):
        for progress in run:
            update(f"{progress.read} resources read")
    return progress


def refuse_to_lose_inputs(plan: Planned) -> None:
    """Refuse a plan that deletes queues with inputs in them. Terraform does not check, and deletes the messages too.

    Raises:
        UserError: inputs or dead letters are in such a queue; the message names the ways out.
    """
    # Reading the document takes 2 s, and only a few plans lose queues.
    queues.refuse_to_lose_inputs(plan.target, plans.deleted_queues(plan.document) if plan.loses_queues else [])


def apply(plan: Planned) -> None:
    """Apply exactly this plan; on the local stack, first remove what an interrupted run has left behind.

    Raises:
        UserError: Terraform failed; or a queue that the plan deletes holds inputs, and nothing was changed.
    """
    interrupted = plan.target.name == "local" and local_runs.recover(plan.target)
    _apply(plan)
    if interrupted:
        # What something else still named before, such as an alarm that the deployment's alarm was on.
        local_runs.remove_leftovers(plan.target)


def _apply(plan: Planned, repeated: int = 0) -> None:
    """Apply a plan; repeat it if its errors resolve themselves, or with the options that an error names.

    Those options complete an earlier update of a function that was left half done.
    """
    # As late as possible: between this check and the deletion, an input may still arrive.
    refuse_to_lose_inputs(plan)
    if not plan.changes:
        with local_runs.recorded("apply") if plan.target.name == "local" else nullcontext():
            return
    try:
        _change(plan.target, "apply", str(plan.file))
    except UserError as problem:
        with _planned_again(plan, problem, repeated) as (again, repeated):
            _apply(again, repeated)


@contextmanager
def _planned_again(plan: Planned, problem: UserError, repeated: int) -> Iterator[tuple[Planned, int]]:
    """The plan to apply after an apply has failed, and how often one was then repeated.

    The new plan may fail of the same as the apply did, since Terraform reads what the apply has made.

    Raises:
        UserError: what failed neither passes by itself nor names a way out; or the registry has changed since the plan
            that the user has seen.
    """
    ways = _ways_out(problem, plan.options)
    options = (*plan.options, *ways)
    with ExitStack() as files:
        while True:
            if not ways and not races.waited_for(problem, repeated, plan.target.root):
                raise problem
            repeated += not ways
            try:
                again = files.enter_context(planned(plan.target, *options))
            except UserError as another:
                problem, ways = another, []
            else:
                break
        if plans.functions(again.document) != plans.functions(plan.document):
            raise UserError(
                f"{problem}\nIt was not applied again: the registry, or a file that it names, has changed since the "
                "first plan. Run the command again to plan that change"
            )
        yield again, repeated


def destroy(target: Target) -> None:
    """Destroy everything.

    Raises:
        UserError: Terraform failed.
    """
    initialising.initialised(target, lambda: _change(target, "destroy"))


def _change(target: Target, command: Literal["apply", "destroy"], *options: str) -> None:
    """Run Terraform and show its progress.

    Raises:
        UserError: it failed.
    """
    local = target.name == "local"
    with local_runs.recorded(command) if local else nullcontext():
        run = target.root.change(
            command, *([PARALLEL] if local else []), *options, journal=local_runs.UNFINISHED if local else None
        )
        said = "nothing to change"
        # Closed here, not at some later time: at Ctrl-C, closing it is what waits for Terraform.
        with console.step(f"terraform {command}") as update, closing(run):
            for progress in run:
                said = f"{progress.changes} of {progress.planned} changes made"
                update(said + (f", waiting for {next(iter(progress.running))}" if progress.running else ""))
        console.note(f"terraform {command}: {said}")


def _ways_out(problem: UserError, tried: tuple[str, ...]) -> list[str]:
    """The options that an error names as the way out, without those that were tried already."""
    ways = [way for way in program.ways_out(str(problem)) if way not in tried]
    if program.WITHOUT_QUOTAS in ways:
        reason = next(line for line in str(problem).splitlines() if program.QUOTAS_UNREAD in line)
        console.note(f"AWS's default quotas are assumed, because the account's cannot be read: {reason}")
    if set(ways) - {program.WITHOUT_QUOTAS}:
        console.note("an earlier update of a function was refused or interrupted halfway: completing it")
    return ways
