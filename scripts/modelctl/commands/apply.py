"""`modelctl plan` and `modelctl apply`: show what changes, model by model, and apply it."""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from modelctl import console, costs
from modelctl.commands.arguments import Commands, command, print_json
from modelctl.deployed.deployment import Deployment
from modelctl.errors import UserError
from modelctl.targets import Target
from modelctl.terraform import applying, plans
from modelctl.terraform.applying import Planned
from modelctl.terraform.plans import Summary

_AT_ONCE = 16

_STYLES = {"added": "green", "removed": "red"}


def add_to(commands: Commands) -> None:
    """Describe both commands."""
    does = "show what an apply would change, and the cost at rest; exits with 0 whether or not anything changes"
    _add_target(command(commands, "plan", plan, does, "modelctl plan --target aws"))
    does = "show what would change, ask for confirmation, and apply it; refuses to delete a queue that holds inputs"
    parser = command(commands, "apply", apply, does, "modelctl apply --target aws")
    parser.set_defaults(parser=parser)
    _add_target(parser)
    parser.add_argument(
        "--yes", action="store_true", help="apply without asking; required with --json and without a terminal"
    )


def _add_target(parser: argparse.ArgumentParser) -> None:
    # AWS is not the default even if no local stack is up: commands that change it require its name.
    parser.add_argument("--target", choices=("local", "aws"), default="local", help="what to change; default: local")


def plan(called: argparse.Namespace) -> int:
    """Show a plan; nothing is changed."""
    with applying.ready(called.target) as target, applying.planned(target) as planned:
        said = plans.summary(planned.document)
        if called.json:
            print_json(_document(planned, said))
        else:
            _show(planned, said)
    return 0


def apply(called: argparse.Namespace) -> int:
    """Show a plan, ask, and apply exactly that."""
    if not called.yes and (called.json or not sys.stdin.isatty()):
        called.parser.error("cannot ask for confirmation: add --yes to apply without asking")
    with applying.ready(called.target) as target, applying.planned(target) as planned:
        said = plans.summary(planned.document)
        if not called.json:
            _show(planned, said)
        applying.refuse_to_lose_inputs(planned)
        if planned.changes and not called.yes and not console.agrees(f"apply this to {_place(planned)}?"):
            raise UserError("not applied: nothing was changed")
        applying.apply(planned)
    live = _live(target, said)
    if called.json:
        print_json({**_document(planned, said), "live": live})
    elif live:
        names = [f"{name} {model['version']} ({str(model['digest'])[:8]})" for name, model in live.items()]
        console.note(f"live on {target.says}: {plans.some(names)}")
    return 0


def _show(planned: Planned, said: Summary) -> None:
    if not planned.changes:
        console.out(f"nothing to change: {planned.target.says} matches the registry")
    elif rows := list(plans.rows(said)):
        console.table(("model", "change"), rows, style=_style)
    else:
        console.out("only Terraform's outputs change")
    for warning in said.warnings:
        console.warning(warning)
    console.note(costs.says(*costs.before_after(planned.document)))
    if planned.changes:
        console.note(f"resources: {said.add} to add, {said.change} to change, {said.destroy} to destroy")


def _style(row: Sequence[str]) -> str:
    return _STYLES.get(row[1].split(" ")[0], "")


def _document(planned: Planned, said: Summary) -> dict[str, Any]:
    """A plan for programs."""
    before, after = costs.before_after(planned.document)
    return {
        "target": planned.target.name,
        "changes": planned.changes,
        "models": [asdict(model) for model in said.models],
        "platform": [asdict(change) for change in said.platform],
        "warnings": said.warnings,
        "resources": {"add": said.add, "change": said.change, "destroy": said.destroy},
        "usd_per_month_at_rest": {"before": round(before, 2), "after": round(after, 2)},
    }


def _place(planned: Planned) -> str:
    """Where a plan is applied."""
    deployment = planned.document["output_changes"]["deployment"]["after"] or {}
    known = planned.target.name == "aws" and "account_id" in deployment
    return planned.target.says + (f" (account {deployment['account_id']}, {deployment['region']})" if known else "")


def _live(target: Target, said: Summary) -> dict[str, dict[str, str | None]]:
    """Version and live digest of the models that were added or changed."""
    changed = [change.model for change in said.models if change.change != "removed"]
    if not changed:
        return {}
    deployed = Deployment(target)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        digests = pool.map(lambda name: deployed.live_digest(deployed.model(name)), changed)
    return {
        name: {"version": deployed.model(name).version, "digest": digest}
        for name, digest in zip(changed, digests, strict=True)
    }
