"""Arguments that several commands share."""

import argparse
import contextlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelctl import console, paths, times
from modelctl.deployed.deployment import Deployment
from modelctl.targets import chosen

Commands = Any  # argparse names the type of its sub-parsers only privately


def command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], does: str, example: str
) -> argparse.ArgumentParser:
    """Add a command with its help, an example and `--json`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=does,
        description=does[0].upper() + does[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document and nothing else on standard output"
    )
    parser.set_defaults(run=run)
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the argument for a model."""
    parser.add_argument("model", metavar="MODEL", help="the model's name in the registry")


def add_registry(parser: argparse.ArgumentParser) -> None:
    """Let the user name the registry that a command changes."""
    parser.add_argument(
        "--registry",
        type=Path,
        default=paths.REGISTRY,
        metavar="FILE",
        help="the registry to change; default: the one in the checkout",
    )


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the options for the target."""
    parser.add_argument(
        "--target",
        choices=("local", "aws"),
        help="the deployment to use; default: the local stack if it is up, otherwise AWS",
    )


def add_rate(parser: argparse.ArgumentParser) -> None:
    """Add the option for the rate at which messages are put into a queue."""
    parser.add_argument(
        "--rate",
        type=_rate,
        default=100.0,
        metavar="N",
        help="send at most this many messages per second; default: 100",
    )


def _rate(text: str) -> float:
    """Messages per second."""
    with contextlib.suppress(ValueError):
        number = float(text)
        if 0 < number < math.inf:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a rate: expected a number of messages per second above 0")


def add_since(parser: argparse.ArgumentParser) -> None:
    """Add the option for the start time; the default is the last hour."""
    parser.add_argument(
        "--since",
        type=times.since,
        default="1h",
        metavar="TIME",
        help=f"show what happened since then: {times.FORMS}; default: 1h",
    )


def deployment(called: argparse.Namespace) -> Deployment:
    """The deployment that the user chose; on AWS, the one in the file MODELYARD_OUTPUTS if that is set."""
    target = chosen(called.target)
    named = os.environ.get("MODELYARD_OUTPUTS") if target.name == "aws" else None
    return Deployment(target, Path(named) if named else None)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    console.out(console.as_json(document))
