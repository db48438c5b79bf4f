"""`modelctl package`: the layers and the functions' code, as Terraform uploads them."""

import argparse

from modelctl import packages
from modelctl.commands.arguments import Commands, command, print_json


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = command(commands, "package", run, "build the layers and the functions' code", "modelctl package litert")
    parser.add_argument("runtimes", nargs="*", metavar="RUNTIME", help="default: every runtime")


def run(called: argparse.Namespace) -> int:
    """Build what is missing or stale."""
    manifest = packages.build(called.runtimes or None)
    if called.json:
        print_json(manifest)
    return 0
