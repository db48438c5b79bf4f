"""`modelctl errors`: inputs that a model refused, by cause, and uploads that no model takes."""

import argparse
from typing import Any

from modelctl import console, times
from modelctl.commands.arguments import Commands, add_since, add_target, command, deployment, print_json
from modelctl.deployed import refusals
from modelctl.deployed.deployment import Deployment, Model
from modelctl.deployed.refusals import Cause, Refused, Unmatched

#: The most keys per cause, and uploads, in a table.
_SHOWN_KEYS = 5
_SHOWN_UPLOADS = 50


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "show recent inputs that a model refused, by cause; without MODEL, recent uploads that no model takes"
    parser = command(commands, "errors", run, does, "modelctl errors digits --since 24h")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="the model's name in the registry")
    add_since(parser)
    add_target(parser)


def run(called: argparse.Namespace) -> int:
    """Print the causes, the most frequent first, or the uploads, the latest first."""
    deployed = deployment(called)
    if called.model is None:
        return _unmatched(called, deployed)
    return _refused(called, deployed, deployed.model(called.model))


def _refused(called: argparse.Namespace, deployed: Deployment, model: Model) -> int:
    causes = refusals.causes(deployed, model, called.since)
    if called.json:
        since = times.iso(called.since)
        print_json({"model": model.name, "since": since, "causes": [_cause(cause) for cause in causes]})
        return 0
    if not causes:
        console.out(f"{model.name} has refused no input since {times.shown(called.since)}")
    for cause in causes:
        console.out(f"{console.counted(cause.all.count, 'time')} {cause.type}: {console.in_one_line(cause.message)}")
        latest = sorted(cause.keys.items(), key=lambda entry: (entry[1].last, entry[0]), reverse=True)
        for key, refused in latest[:_SHOWN_KEYS]:
            often = f", {refused.count:,} times" if refused.count > 1 else ""
            console.out(f"    {console.in_one_line(key)}  ({times.shown(refused.last)}{often})")
        if len(latest) > _SHOWN_KEYS:
            more = console.counted(len(latest) - _SHOWN_KEYS, "more key")
            console.out(f"    and {more}: `--json` lists all")
        if cause.direct:
            console.out(f"    {cause.direct:,} of these in direct calls, the last at {times.shown(cause.all.last)}")
    return 0


def _cause(cause: Cause) -> dict[str, Any]:
    keys = [{"key": key, **_counted(refused)} for key, refused in cause.keys.items()]
    return {
        "type": cause.type,
        "message": cause.message,
        **_counted(cause.all),
        "direct_calls": cause.direct,
        "keys": sorted(keys, key=lambda each: str(each["last"]), reverse=True),
    }


def _counted(refused: Refused) -> dict[str, Any]:
    return {"count": refused.count, "last": times.iso(refused.last)}


def _unmatched(called: argparse.Namespace, deployed: Deployment) -> int:
    with console.step("looking through the inputs bucket"):
        found = refusals.unmatched(deployed, called.since)
    if called.json:
        latest = [_upload(upload) for upload in found.latest]
        document = {"since": times.iso(called.since), "count": found.count, "until_key": found.until}
        print_json({**document, "uploads": latest})
        return 0
    since = times.shown(called.since)
    if found.count:
        console.out(f"uploads since {since} that no model takes: {found.count:,}")
    else:
        console.out(f"every upload since {since} is taken by a model")
    for upload in found.latest[:_SHOWN_UPLOADS]:
        instead = f"; a key that would match: {console.in_one_line(upload.instead)}" if upload.instead else ""
        console.out(f"    {console.in_one_line(upload.key)}  ({times.shown(upload.uploaded)})")
        console.out(f"        {console.in_one_line(upload.why)}{instead}")
    if found.count > _SHOWN_UPLOADS:
        console.out(f"    and {found.count - _SHOWN_UPLOADS:,} more: `--json` lists the latest 1,000")
    if found.until:
        console.warning(
            f"only the first {found.looked_at:,} objects of the bucket were checked, in the order of their keys, up to "
            f"{console.in_one_line(found.until)}"
        )
    return 0


def _upload(upload: Unmatched) -> dict[str, Any]:
    return {
        "key": upload.key,
        "uploaded": times.iso(upload.uploaded),
        "why": upload.why,
        "instead": upload.instead,
    }
