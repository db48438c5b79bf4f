"""Runs the Terraform binary that the set-up found or fetched."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from modelctl import console, paths
from modelctl.errors import UserError


def binary() -> str:
    """The path of the Terraform binary: the one that the set-up fetched where the user's own is missing or too old.

    Raises:
        UserError: there is none.
    """
    fetched = paths.TOOLS / "bin" / "terraform"
    found = str(fetched) if fetched.exists() else shutil.which("terraform")
    if not found:
        raise UserError("terraform is not installed: run `make setup`, which fetches it")
    return found


# For programs: no questions, no call home for updates, and less garbage collection, which saves seconds at every start.
QUIET = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1", "GOGC": "400"}


def providers() -> dict[str, str]:
    """Where providers come from, if the set-up found that it is not the registry."""
    return {"TF_CLI_CONFIG_FILE": str(paths.TERRAFORM_RC)} if paths.TERRAFORM_RC.exists() else {}


@dataclass
class Progress:
    """How far a run is; `changes` counts resources, `running` names those under way."""

    planned: int = 0
    changes: int = 0
    running: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Root:
    """The platform's root module, seen on one target: its environment says which."""

    env: Mapping[str, str]
    folder: Path = paths.TERRAFORM

    def init(self, *backend: str) -> None:
        """Install the providers; `backend` are settings of the backend, `key=value`."""
        self._run(["init", *(f"-backend-config={setting}" for setting in backend)])

    def outputs(self) -> dict[str, Any]:
        """The values of the outputs by name; empty if nothing was applied."""
        answer: dict[str, dict[str, Any]] = json.loads(self._run(["output", "-json"]))
        return {name: output["value"] for name, output in answer.items()}

    def change(self, command: str, *options: str) -> Generator[Progress, None, None]:
        """Run `apply` or `destroy` without asking, and tell after every event how far it is.

        Raises:
            UserError: Terraform failed; the message holds its errors.
        """
        process = self._start([command, "-json", "-auto-approve", *options])
        progress, problems = Progress(), []
        output, errors = cast(IO[str], process.stdout), cast(IO[str], process.stderr)
        try:
            for line in output:
                event = json.loads(line)
                match event.get("type"):
                    case "planned_change":
                        # A replacement is two changes, and both are counted when they are complete.
                        progress.planned += 2 if event["change"]["action"] == "replace" else 1
                    case "apply_start" if event["hook"]["action"] != "read":
                        progress.running.add(event["hook"]["resource"]["addr"])
                    case "apply_complete" | "apply_errored" if event["hook"]["action"] != "read":
                        progress.running.discard(event["hook"]["resource"]["addr"])
                        progress.changes += event["type"] == "apply_complete"
                    case "diagnostic" if event["diagnostic"]["severity"] == "error":
                        problems.append(_sentence(event["diagnostic"]))
                    case _:
                        continue
                yield progress
            rest = errors.read()
            process.wait()
        except BaseException:
            _interrupt(process)
            raise
        if process.returncode:
            raise UserError(f"terraform {command} failed:\n" + ("\n".join(dict.fromkeys(problems)) or rest.strip()))

    def _run(self, arguments: Sequence[str]) -> str:
        process = self._start([arguments[0], "-no-color", *arguments[1:]])
        try:
            output, errors = process.communicate()
        except BaseException:
            _interrupt(process)
            raise
        if process.returncode:
            raise UserError(f"terraform {arguments[0]} failed:\n{errors.strip()}")
        return output

    def _start(self, arguments: Sequence[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [binary(), f"-chdir={self.folder}", *arguments],
            env=dict(self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A Ctrl-C of the terminal goes to a whole group: in one of its own Terraform gets those that we pass on,
            # one by one. At the second it would end without saving its state.
            process_group=0,
        )


def _interrupt(process: "subprocess.Popen[str]") -> None:
    """Let Terraform finish what is under way and save its state; another Ctrl-C while it does makes it end at once."""
    console.note("interrupted: Terraform finishes what is under way and saves its state (Ctrl-C again: it does not)")
    while True:
        process.send_signal(signal.SIGINT)
        # Reads what it writes, too: a full pipe would stop it.
        with suppress(KeyboardInterrupt):
            process.communicate()
            return


def _sentence(diagnostic: Mapping[str, Any]) -> str:
    where = f" ({diagnostic['address']})" if diagnostic.get("address") else ""
    detail = diagnostic.get("detail", "").strip()
    return f"{diagnostic['summary']}{where}" + (f": {detail}" if detail else "")


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead to another AWS account, region or endpoint."""
    foreign = ("AWS_", "TF_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # The scripts beside this interpreter (aws, for one) come first on the PATH of whatever is started.
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept
