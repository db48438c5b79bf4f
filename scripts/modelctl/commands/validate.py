"""`modelctl validate`: all problems of a registry, with their lines, and notes on what could be better."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from modelctl import console, paths, runtimes
from modelctl.commands.arguments import Commands, command, print_json
from modelctl.registry import validation

#: The most models that a note names.
_MOST_NAMES = 5


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = command(
        commands, "validate", run, "show all problems of a registry", "modelctl validate model_registry.yaml"
    )
    parser.add_argument(
        "registry",
        nargs="?",
        type=Path,
        default=paths.REGISTRY,
        metavar="REGISTRY",
        help="the registry to check; default: the one in the checkout",
    )


def run(called: argparse.Namespace) -> int:
    """Exit status 0 for a registry without problems, else 1."""
    examined = validation.examine(called.registry)
    problems, notes = examined.problems, list(_notes(examined))
    if called.json:
        found = [{**asdict(problem), "file": str(validation.file_of(called.registry, problem))} for problem in problems]
        print_json({"registry": str(called.registry), "problems": found, "notes": notes})
    else:
        for problem in problems:
            console.out(validation.format_problem(called.registry, problem))
        for note in notes:
            console.note(f"note: {note}")
        console.note(f"{called.registry}: {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}")
    return 1 if problems else 0


def _notes(examined: validation.Examined) -> Iterator[str]:
    """Notes on what is valid but could be better, or may exceed what an account allows."""
    assumed = f'AWS\'s default quotas and event_way = "{validation.event_way()}"'
    yield from (f"with {assumed}, a plan refuses this: {problem}" for problem in examined.unfit)
    unknown = [
        name
        for name, model in examined.models.items()
        if runtimes.TABLE[model["document"]["runtime"]].batch_rows > 1 and "rows" not in model["document"]["batch"]
    ]
    if unknown:
        some = ", ".join(unknown[:_MOST_NAMES])
        more = f" and {len(unknown) - _MOST_NAMES} more" if len(unknown) > _MOST_NAMES else ""
        yield (
            f"batch.rows is not set for {some}{more}, so inputs do not share calls of the model; "
            f"`modelctl import --measure {unknown[0]}` measures whether they can, and sets it"
        )
