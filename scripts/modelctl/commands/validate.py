"""`modelctl validate`: all problems of a registry, with their lines."""

import argparse
from dataclasses import asdict
from pathlib import Path

from modelctl import console, paths, registry
from modelctl.commands.arguments import Commands, command, print_json


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = command(
        commands, "validate", run, "show all problems of a registry", "modelctl validate model_registry.yaml"
    )
    parser.add_argument("registry", nargs="?", type=Path, default=paths.REGISTRY, metavar="REGISTRY")


def run(called: argparse.Namespace) -> int:
    """Exit status 0 for a registry without problems, else 1."""
    problems = registry.validate(called.registry)
    if called.json:
        print_json({"registry": str(called.registry), "problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            console.out(registry.format_problem(called.registry, problem))
        console.note(f"{called.registry}: {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}")
    return 1 if problems else 0
