"""`modelctl env`: points any tool in this shell at the local stack."""

import argparse
import os
import shlex
from collections.abc import Mapping

from modelctl import console, targets
from modelctl.commands.arguments import Commands, command, print_json

# Settings of another account or endpoint that a user's shell may have; they would override or mix with the exports.
FOREIGN = (
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    *("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "TF_CLI_ARGS"),
)
# The same for a single service or command; there may be any number.
FOREIGN_PREFIXES = ("AWS_ENDPOINT_URL_", "TF_CLI_ARGS_")


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "print the exports that point aws, boto3 and terraform at the local stack"
    parser = command(commands, "env", run, does, 'eval "$(modelctl env)"; aws s3 ls; eval "$(modelctl env --unset)"')
    parser.add_argument("--unset", action="store_true", help="print the commands that undo the exports")


def run(called: argparse.Namespace) -> int:
    """Print the lines; undoing them also works when the stack is down."""
    if called.unset:
        kept = targets.users_no_proxy()
        unset = [*targets.EXPORTED, *(name for name in targets.NO_PROXY if name not in kept)]
        if called.json:
            print_json({"unset": unset, "export": kept})
        else:
            _print_exports(kept)
            console.out_as_it_is("\n".join(f"unset {name}" for name in unset))
        return 0
    exports = targets.exports()
    if called.json:
        print_json(exports)
        return 0
    _print_exports(exports)
    foreign = (*FOREIGN, *(name for name in os.environ if name.startswith(FOREIGN_PREFIXES)))
    console.out_as_it_is(f"unset {' '.join(foreign)}")
    return 0


def _print_exports(variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        console.out_as_it_is(f"export {name}={shlex.quote(value)}")
