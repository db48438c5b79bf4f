"""`modelctl explain`: what happened to one input."""

import argparse

from modelctl import console, times
from modelctl.commands.arguments import Commands, add_target, command, deployment, print_json
from modelctl.deployed import explaining
from modelctl.deployed.explaining import Explanation, Upload
from modelctl.deployed.routes import Taken


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "show which model takes a key and why, or why none does, and what happened to the input"
    parser = command(commands, "explain", run, does, "modelctl explain digits/7.png")
    parser.add_argument("key", metavar="KEY", help="a key in the inputs bucket, or its address s3://BUCKET/KEY")
    parser.add_argument("--version-id", metavar="ID", help="a version of the object; default: the current version")
    add_target(parser)


def run(called: argparse.Namespace) -> int:
    """Print what is known about the key, and what to do next."""
    deployed = deployment(called)
    key = explaining.key_of(deployed, called.key)
    with console.step(f"looking for {console.in_one_line(key)}"):
        found = explaining.explain(deployed, key, called.version_id)
    if called.json:
        print_json(explaining.described(found))
        return 0
    for name, says in _lines(found):
        console.out(f"{name:9} {console.in_one_line(says)}")
    return 0


def _lines(found: Explanation) -> list[tuple[str, str]]:
    """The lines of the explanation, each with its heading."""
    route, verdict, upload = found.route, found.verdict, found.upload
    lines = [("key", found.key)]
    if isinstance(route, Taken):
        lines += [("model", f"{route.model.name}, because {route.why}"), ("way", found.way)]
    else:
        lines.append(("model", f"none: {route.why}"))
        if route.nearest:
            lines.append(("nearest", route.nearest.name))
    if upload is not None and upload.size is not None:
        lines.append(("uploaded", _uploaded(upload, len(found.uploads) - 1)))
    lines.append(("state", verdict.says))
    result = found.result
    if result is not None and upload is not None and not result.is_of(upload.version_id, upload.etag):
        what = f"of version {result.uploaded.version_id}" if result.uploaded else "not a readable result document"
        lines.append(("result", f"the existing one is {what}, written {times.shown(result.written)}"))
    if verdict.next:
        lines.append(("next", verdict.next))
    return lines


def _uploaded(upload: Upload, others: int) -> str:
    version = f", version {upload.version_id}" if upload.version_id else ""
    more = (
        f"; the key has {others:,} other versions" if others > 1 else "; the key has another version" if others else ""
    )
    return f"{times.shown(upload.when)} ({times.ago(upload.when)} ago), {upload.size:,} bytes{version}{more}"
