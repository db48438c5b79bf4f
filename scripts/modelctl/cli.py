"""The command line: the commands, and the exit status (0: done, 1: failed, 2: wrong usage)."""

import argparse
import os
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from modelctl import console
from modelctl.commands import (
    apply,
    backfill,
    bench,
    dead,
    env,
    errors,
    explain,
    image,
    import_model,
    invoke,
    logs,
    package,
    predict,
    redrive,
    remove,
    stack,
    status,
    validate,
)
from modelctl.commands.arguments import print_json
from modelctl.errors import UserError

INTERRUPTED = 130

_EPILOG = """\
example:
  modelctl up
  modelctl predict digits models/digits/samples/*.png
  modelctl down
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    called = parser().parse_args(arguments)
    status = 1
    try:
        return int(called.run(called))
    except BrokenPipeError:
        # The reader of the output has closed it (`modelctl logs … | head`).
        _drop_output()
        return status
    except OSError as problem:
        _drop_output()
        says = str(problem)
    except UserError as problem:
        says = str(problem)
    except ClientError as problem:
        says = f"AWS refused: {problem}"
    except BotoCoreError as problem:
        says = f"AWS cannot be reached: {problem}. If the local stack was meant, run `modelctl up`"
    except KeyboardInterrupt:
        says, status = "interrupted", INTERRUPTED
    console.error(says)
    if called.json:
        # Every command prints its document only when it can no longer fail.
        print_json({"error": says})
    return status


def _drop_output() -> None:
    """Keep Python from writing the rest again on exit: nobody reads it, or the disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    parser = argparse.ArgumentParser(
        prog="modelctl",
        description="Serve models on AWS Lambda from one registry, on the local stack or on AWS.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (
        *(validate, import_model, remove, package, image, stack, apply, env),
        *(predict, invoke, status, errors, logs, explain, dead, redrive, backfill, bench),
    ):
        command.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
