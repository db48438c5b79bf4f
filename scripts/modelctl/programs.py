"""Runs other programs for their output."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from modelctl.errors import UserError


def run(failure: str, *command: str | Path, env: Mapping[str, str] | None = None, stdin: str | None = None) -> str:
    """Run a program to its end and return what it wrote to standard output.

    Raises:
        UserError: it failed; the message is `failure` and what the program said.
    """
    done = subprocess.run(
        command,
        env=env,
        input=stdin,
        # Functions run as other users, who must be able to read what is created, whatever the umask of the shell.
        umask=0o022,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip()
        raise UserError(f"{failure}:" + ("\n" if "\n" in said else " ") + said)
    return done.stdout
