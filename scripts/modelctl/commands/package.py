"""`modelctl package`: the layers and the functions' code, as Terraform uploads them."""

import argparse

from modelctl import console, paths, runtimes
from modelctl.commands.arguments import Commands, command, print_json
from modelctl.errors import UserError
from modelctl.packaging import packages
from modelctl.registry import validation


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "build the layers and the functions' code"
    parser = command(commands, "package", run, does, "modelctl package --target aws")
    parser.add_argument(
        "runtimes", nargs="*", type=_runtime, metavar="RUNTIME", help="the runtimes to build layers for; default: all"
    )
    parser.add_argument(
        "--target", choices=("local", "aws"), default="local", help="what to build for; default: the local stack"
    )


def _runtime(name: str) -> str:
    # `choices` is not used: in Python 3.11, it refuses an empty list.
    if name not in runtimes.TABLE:
        raise argparse.ArgumentTypeError(f"there is no runtime {name!r}: expected {' or '.join(runtimes.TABLE)}")
    return name


def run(called: argparse.Namespace) -> int:
    """Build what is missing or stale, and list all packages.

    Raises:
        UserError: the checkout's registry has keys that occur twice, or something cannot be built.
    """
    # `terraform apply`, which often follows, would use the last of them. It refuses all other problems itself.
    if twice := validation.duplicates(paths.REGISTRY):
        raise UserError("\n".join(validation.format_problem(paths.REGISTRY, problem) for problem in twice))
    manifest = packages.build(called.runtimes or None, called.target)
    if called.json:
        print_json(manifest)
        return 0
    rows = []
    for name, package in packages.contents(manifest).items():
        zipped, unzipped = packages.sizes(package)
        rows.append((name, packages.for_people(zipped), packages.for_people(unzipped), package["file"]))
    console.table(("package", "size", "unzipped", "file"), rows, right=("size", "unzipped"))
    return 0
