"""`modelctl up` and `modelctl down`: the local stack."""

import argparse
import fcntl
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from modelctl import console, packages, paths, queues, registry, targets, terraform
from modelctl.commands.arguments import Commands, command, print_json
from modelctl.deployment import Deployment
from modelctl.errors import UserError
from modelctl.local import leftovers
from modelctl.local.layout import write_whole
from modelctl.targets import Target
from modelctl.terraform import Progress

# SQS takes 25 s for each queue, and most of the time is spent waiting.
PARALLEL = "-parallelism=50"

BACKEND_OVERRIDE = paths.TERRAFORM / "backend_override.tf"

STATE = paths.STACK / "state" / targets.WORKSPACE / "terraform.tfstate"
# Terraform's events since the last run that succeeded: there while Terraform runs, and after it was interrupted, killed
# or failed. What it began last may be missing in its state.
UNFINISHED = paths.STACK / "unfinished"
# The state as of the last apply that succeeded, if one has, until `modelctl down` begins; it goes with the state.
APPLIED = paths.STACK / "state" / "applied"


def add_to(commands: Commands) -> None:
    """Describe both commands."""
    parser = command(commands, "up", up, "start the local stack and apply the registry to it", "modelctl up")
    parser.add_argument("--registry", type=Path, metavar="FILE", help="serve another registry than the checkout's")
    parser.add_argument("--resync", metavar="MODEL", help="copy the weights of this model again")
    command(commands, "down", down, "destroy what is on the local stack, stop it and remove its data", "modelctl down")


def up(called: argparse.Namespace) -> int:
    """Bring the local stack to what the registry says; what is already so is left as it is."""
    if BACKEND_OVERRIDE.exists():
        raise UserError(
            f"{BACKEND_OVERRIDE} sends the state elsewhere, and the local stack keeps its own: "
            "use a checkout without that file"
        )
    with _alone():
        return _up(called)


def _up(called: argparse.Namespace) -> int:
    serves = called.registry or targets.registry()
    # The plan would refuse the same, but later and without the lines.
    if problems := registry.validate(serves):
        raise UserError(
            "\n".join(["the registry cannot be applied:", *(registry.format_problem(serves, p) for p in problems)])
        )
    models = set(registry.parse(serves.read_text(encoding="utf-8-sig"))["models"])
    if called.resync and called.resync not in models:
        raise UserError(f"there is no model {called.resync!r} to copy again; {serves} has: {', '.join(sorted(models))}")
    packages.build()
    stack = targets.stack()
    if UNFINISHED.exists() and not APPLIED.exists():
        console.note("what was begun was not finished, and nobody has used the local stack: it starts anew")
        stack.stop()
    with console.step("starting the local stack"):
        stack.start()
    _forget_earlier_instance(stack.instance())
    target = targets.local()
    leftovers.restore(STATE, APPLIED)
    with console.step("terraform init"):
        # The workspace is named by the environment and made by the first apply.
        target.root.init(f"workspace_dir={paths.STACK / 'state'}")
    queues.refuse_to_lose_inputs(target, models)
    # Not before: a registry that was refused shall not be the one that the next command works with.
    write_whole(paths.STACK / "registry", str(serves.resolve()))
    target = targets.local()
    if UNFINISHED.exists() and APPLIED.exists():
        _recover(target)
    weights = f'module.model["{called.resync}"].aws_lambda_invocation.weights'
    _apply(target, *([f"-replace={weights}"] if called.resync else []))
    deployment = Deployment(target)
    if called.json:
        print_json({"endpoint": target.env["AWS_ENDPOINT_URL"], "models": sorted(deployment.models)})
    else:
        console.note(
            f"the local stack is up at {target.env['AWS_ENDPOINT_URL']} and serves {', '.join(deployment.models)}"
        )
    return 0


def down(called: argparse.Namespace) -> int:
    """Leave no process, no mount and no data; also when the stack is broken, and when there is none."""
    with _alone():
        failed = None
        stack = targets.stack()
        # What an unfinished run has made Terraform does not know: it would fail of that, and all goes with the stack.
        if stack.running() and (paths.STACK / "state").exists() and not UNFINISHED.exists():
            APPLIED.unlink(missing_ok=True)
            try:
                _change(targets.local(), "destroy")
            except UserError as problem:
                failed = problem
        with console.step("stopping the local stack"):
            stack.stop()
    if failed:
        raise UserError(f"{failed}\nthe local stack was stopped and its data removed all the same")
    if called.json:
        print_json({"stopped": True})
    return 0


@contextmanager
def _alone() -> Iterator[None]:
    """Let one command at a time change the local stack, and tell what the disk refuses in one line."""
    lock = paths.STACK.with_name(f".{paths.STACK.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                console.note("another modelctl is changing this local stack: waiting until it is done")
                fcntl.flock(held, fcntl.LOCK_EX)
            if UNFINISHED.exists():
                terraform.wait_for_end(UNFINISHED)
            yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise UserError(f"{problem}: mend that, then run the command again") from problem


def _forget_earlier_instance(instance: str) -> None:
    """Drop the Terraform state of an emulator that is gone: what it names exists no more."""
    marker = paths.STACK / "state" / "instance"
    if not marker.exists() or marker.read_text() != instance:
        shutil.rmtree(paths.STACK / "state", ignore_errors=True)
        marker.parent.mkdir(parents=True)
        marker.write_text(instance)


def _recover(target: Target) -> None:
    """Remove what an apply that was broken off has made and the state does not know."""
    console.note("the last run of Terraform was not finished: what it left half done is made anew")
    deployed = target.root.outputs()["deployment"]
    leftovers.remove(target.session(deployed["region"]), STATE, deployed["name"])


def _apply(target: Target, *options: str) -> None:
    """Apply, and complete what an earlier update of a function left half done, in the way that the error names."""
    try:
        _change(target, "apply", *options)
    except UserError as problem:
        ways = [way for way in terraform.ways_out(str(problem)) if way not in options]
        if not ways:
            raise
        console.note("an earlier update of a function was refused or interrupted half-way: it is completed")
        _apply(target, *options, *ways)


def _change(target: Target, command: Literal["apply", "destroy"], *options: str) -> None:
    """Run Terraform; its events stay in `UNFINISHED` unless it succeeds."""
    try:
        _show(f"terraform {command}", target.root.change(command, PARALLEL, *options, journal=UNFINISHED))
    except UserError as problem:
        if targets.stack().broken():
            raise UserError(
                "the local stack's server was stopped and its contents are lost: run `modelctl up` to start over. "
                f"Terraform's own words:\n{problem}"
            ) from problem
        if re.search("already ?exist", str(problem), re.IGNORECASE):
            raise UserError(
                f"{problem}\nan interrupted run may have left it: run `modelctl up` again. If that does not help, "
                "`modelctl down`, which removes all inputs and results too, and `modelctl up` do"
            ) from problem
        raise
    if command == "apply":
        write_whole(APPLIED, STATE.read_text())
    UNFINISHED.unlink()


def _show(text: str, run: Generator[Progress, None, None]) -> None:
    said = "nothing to change"
    # Closed here and not by chance later: at Ctrl-C that is what waits for Terraform.
    with console.step(text) as update, closing(run):
        for progress in run:
            said = f"{progress.changes} of {progress.planned} changes made"
            update(said + (f", waiting for {next(iter(progress.running))}" if progress.running else ""))
    console.note(f"{text}: {said}")
