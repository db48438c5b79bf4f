"""Terraform's runs on the local stack: one at a time; what an interrupted run left behind is removed."""

import fcntl
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from modelctl import console, paths, targets
from modelctl.errors import UserError
from modelctl.local import leftovers
from modelctl.local.layout import ACCOUNT, write_whole
from modelctl.targets import Target
from modelctl.terraform import initialising, program

BACKEND_OVERRIDE = paths.TERRAFORM / "backend_override.tf"

STATE = targets.STATE
# Terraform's events since the last run that succeeded: there while Terraform runs, and after it was interrupted, killed
# or failed. What it began last may be missing in its state.
UNFINISHED = paths.STACK / "unfinished"
# The state as of the last apply that succeeded, if one has, until `modelctl down` begins; it goes with the state.
APPLIED = paths.STACK / "state" / "applied"
# Where Terraform puts a state that it cannot store, of AWS's deployment as well: its way out is `terraform state push`.
# On the local stack, `recover` and the next apply are the way out.
_ERRORED = paths.TERRAFORM / "errored.tfstate"


@contextmanager
def alone() -> Iterator[None]:
    """Let only one command at a time change the local stack, and report disk errors in one line."""
    lock = paths.STACK.with_name(f".{paths.STACK.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w", encoding="utf-8") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                console.note("another modelctl is changing this local stack: waiting until it is done")
                fcntl.flock(held, fcntl.LOCK_EX)
            if UNFINISHED.exists():
                program.wait_for_end(UNFINISHED)
            yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise UserError(f"{problem}: fix that, then run the command again") from problem


def refuse_another_backend() -> None:
    """Refuse a checkout whose state is kept elsewhere.

    Raises:
        UserError: it is one.
    """
    if BACKEND_OVERRIDE.exists():
        raise UserError(
            f"{BACKEND_OVERRIDE} sends the state elsewhere, but the local stack keeps its own: "
            "use a checkout without that file"
        )


def forget_earlier_instance(instance: str) -> None:
    """Drop the Terraform state of an emulator that is gone: what it names no longer exists."""
    marker = paths.STACK / "state" / "instance"
    if not marker.exists() or marker.read_text(encoding="utf-8") != instance:
        shutil.rmtree(paths.STACK / "state", ignore_errors=True)
        marker.parent.mkdir(parents=True)
        marker.write_text(instance, encoding="utf-8")


def prepare(target: Target) -> None:
    """Restore the state if Terraform was killed while it wrote it, and run `terraform init` if it never was.

    Terraform asks for it again once its modules or providers are others.
    """
    leftovers.restore(STATE, APPLIED)
    if _backend(Path(target.env["TF_DATA_DIR"])) != initialising.WORKSPACES:
        initialising.init(target)


def _backend(data: Path) -> str | None:
    """The folder with the workspaces' states that the last `terraform init` has recorded; None without a record."""
    try:
        folder: str | None = json.loads((data / "terraform.tfstate").read_bytes())["backend"]["config"]["workspace_dir"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return folder


def first_is_unfinished() -> bool:
    """Whether the first apply was broken off, so that nobody has used the local stack."""
    return UNFINISHED.exists() and not APPLIED.exists()


def recover(target: Target) -> bool:
    """Remove what an interrupted apply has created and the state does not know; returns whether one was interrupted."""
    interrupted = UNFINISHED.exists() and APPLIED.exists()
    if interrupted:
        console.note("Terraform's last run was not finished: what it left incomplete is created again")
        remove_leftovers(target)
    return interrupted


def remove_leftovers(target: Target) -> None:
    """Remove what the state does not know."""
    deployed = target.root.outputs()["deployment"]
    leftovers.remove(target.session(deployed["region"]), STATE, deployed["name"])


@contextmanager
def recorded(command: Literal["apply", "destroy"]) -> Iterator[None]:
    """Run Terraform inside; its events stay in `UNFINISHED` unless it succeeds.

    Raises:
        UserError: it failed; where the local stack has a way out, the message names it.
    """
    try:
        yield
    except UserError as problem:
        if targets.stack().broken():
            raise UserError(
                "the local stack's server was stopped and its contents are lost: run `modelctl up` to start over. "
                f"Terraform's own words:\n{problem}"
            ) from problem
        if re.search("already ?exist", str(problem), re.IGNORECASE):
            raise UserError(
                f"{problem}\nan interrupted run may have left it: run `modelctl up` again. If that does not help, "
                "run `modelctl down`, which also removes all inputs and results, and then `modelctl up`"
            ) from problem
        raise
    if command == "apply":
        write_whole(APPLIED, STATE.read_text(encoding="utf-8"))
    if _ERRORED.exists() and f":{ACCOUNT}:" in _ERRORED.read_text(encoding="utf-8", errors="replace"):
        _ERRORED.unlink()
    UNFINISHED.unlink(missing_ok=True)
