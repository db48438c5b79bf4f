"""`modelctl up` and `modelctl down`: the local stack."""

import argparse
from collections.abc import Collection
from pathlib import Path

from modelctl import console, paths, targets
from modelctl.commands.arguments import Commands, command, print_json
from modelctl.deployed.deployment import Deployment
from modelctl.errors import UserError
from modelctl.local.layout import write_whole
from modelctl.packaging import packages
from modelctl.registry import validation
from modelctl.terraform import applying, local_runs

#: The most models that are named; of more, only the number is printed.
_MOST_NAMES = 5


def add_to(commands: Commands) -> None:
    """Describe both commands."""
    parser = command(commands, "up", up, "start the local stack and apply the registry to it", "modelctl up")
    parser.add_argument(
        "--registry",
        type=Path,
        metavar="FILE",
        help="the registry to serve, until `modelctl down` or another --registry; default: the one in the checkout",
    )
    parser.add_argument("--resync", metavar="MODEL", help="copy this model's weights again")
    command(
        commands, "down", down, "destroy everything on the local stack, stop it and remove its data", "modelctl down"
    )


def up(called: argparse.Namespace) -> int:
    """Bring the local stack to the state that the registry describes; what is already correct is left alone."""
    local_runs.refuse_another_backend()
    with local_runs.alone():
        return _up(called)


def _up(called: argparse.Namespace) -> int:
    file = called.registry or targets.registry()
    models = validation.check(file)
    if called.resync and called.resync not in models:
        raise UserError(
            f"no model is named {called.resync!r}, so its weights cannot be copied again; "
            f"{validation.known(called.resync, models)}"
        )
    packages.build()
    stack = targets.stack()
    if local_runs.first_is_unfinished():
        console.note("the first apply was not finished, and the local stack has not been used: starting over")
        stack.stop()
    with console.step("starting the local stack"):
        stack.start()
    local_runs.forget_earlier_instance(stack.instance())
    target = targets.local(file)
    local_runs.prepare(target)
    weights = f'module.model["{called.resync}"].aws_lambda_invocation.weights'
    with applying.planned(target, *([f"-replace={weights}"] if called.resync else [])) as plan:
        applying.refuse_to_lose_inputs(plan)
        # Not earlier: the next command must not use a registry that was refused.
        write_whole(paths.STACK / "registry", str(file.resolve()))
        applying.apply(plan)
        if not plan.changes:
            console.note("terraform apply: nothing to change")
    deployment = Deployment(target)
    if called.json:
        print_json({"endpoint": target.env["AWS_ENDPOINT_URL"], "models": sorted(deployment.models)})
    else:
        console.note(f"the local stack is up at {target.env['AWS_ENDPOINT_URL']} and {serves(deployment.models)}")
    return 0


def serves(models: Collection[str]) -> str:
    """What a deployment serves: the names of its models, or their number."""
    return f"serves {', '.join(models) if len(models) <= _MOST_NAMES else f'{len(models)} models'}"


def down(called: argparse.Namespace) -> int:
    """Leave no process, mount or data, even if the stack is broken or does not exist."""
    with local_runs.alone():
        failed = None
        stack = targets.stack()
        # Terraform does not know what an unfinished run created, and would fail; all of it is deleted with the stack.
        if stack.running() and (paths.STACK / "state").exists() and not local_runs.UNFINISHED.exists():
            local_runs.APPLIED.unlink(missing_ok=True)
            try:
                applying.destroy(targets.local())
            except UserError as problem:
                failed = problem
        with console.step("stopping the local stack"):
            stack.stop()
    if failed:
        raise UserError(f"{failed}\nthe local stack was stopped and its data removed anyway")
    if called.json:
        print_json({"stopped": True})
    return 0
