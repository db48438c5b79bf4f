"""`modelctl up` and `modelctl down`: the local stack."""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

from modelctl import console, packages, paths, registry, worlds
from modelctl.commands.arguments import Commands, command, print_json
from modelctl.deployment import Deployment
from modelctl.errors import UserError
from modelctl.terraform import Progress

# SQS takes 25 s for each queue, and most of the time is spent waiting.
PARALLEL = "-parallelism=50"

BACKEND_OVERRIDE = paths.TERRAFORM / "backend_override.tf"


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
    serves = called.registry or worlds.registry()
    # The plan would refuse the same, but later and without the lines.
    if problems := registry.validate(serves):
        raise UserError(
            "\n".join(["the registry cannot be applied:", *(registry.format_problem(serves, p) for p in problems)])
        )
    packages.build()
    stack = worlds.stack()
    with console.step("starting the local stack"):
        stack.start()
    (paths.STACK / "registry").write_text(str(serves.resolve()))
    world = worlds.local()
    _forget_earlier_instance(stack.instance())
    with console.step("terraform init"):
        # The workspace is named by the environment and made by the first apply.
        world.root.init(f"workspace_dir={paths.STACK / 'state'}")
    again = [f'-replace=module.model["{called.resync}"].aws_lambda_invocation.weights'] if called.resync else []
    _show("terraform apply", world.root.change("apply", PARALLEL, *again))
    deployment = Deployment(world)
    if called.json:
        print_json({"endpoint": world.env["AWS_ENDPOINT_URL"], "models": sorted(deployment.models)})
    else:
        console.note(
            f"the local stack is up at {world.env['AWS_ENDPOINT_URL']} and serves {', '.join(deployment.models)}"
        )
    return 0


def down(called: argparse.Namespace) -> int:
    """Leave no process, no mount and no data; also when the stack is broken, and when there is none."""
    stack = worlds.stack()
    failed = None
    if stack.running() and (paths.STACK / "state").exists():
        try:
            _show("terraform destroy", worlds.local().root.change("destroy", PARALLEL))
        except UserError as problem:
            failed = problem
    with console.step("stopping the local stack"):
        stack.stop()
    if failed:
        raise UserError(f"{failed}\nthe local stack was stopped and its data removed all the same")
    if called.json:
        print_json({"stopped": True})
    return 0


def _forget_earlier_instance(instance: str) -> None:
    """Drop the Terraform state of an emulator that is gone: what it names exists no more."""
    marker = paths.STACK / "state" / "instance"
    if not marker.exists() or marker.read_text() != instance:
        shutil.rmtree(paths.STACK / "state", ignore_errors=True)
        marker.parent.mkdir(parents=True)
        marker.write_text(instance)


def _show(text: str, run: Iterator[Progress]) -> None:
    said = "nothing to change"
    with console.step(text) as update:
        for progress in run:
            said = f"{progress.changes} of {progress.planned} changes made"
            update(said + (f", waiting for {next(iter(progress.running))}" if progress.running else ""))
    console.note(f"{text}: {said}")
