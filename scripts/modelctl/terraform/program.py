"""Runs the Terraform binary that the setup found or fetched."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from modelctl import console, interrupts, paths
from modelctl.errors import UserError


def binary() -> str:
    """The path of the Terraform binary: the one that the set-up fetched where the user's own is missing or too old.

    The tests may name a program that takes its place.

    Raises:
        UserError: there is none.
    """
    fetched = paths.TOOLS / "bin" / "terraform"
    found = os.environ.get("MODELYARD_TERRAFORM") or (str(fetched) if fetched.exists() else shutil.which("terraform"))
    if not found:
        raise UserError("terraform is not installed: run `make setup`, which fetches it")
    return found


# For programs: no questions, no call home for updates, and less garbage collection, which saves seconds at every start.
QUIET = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1", "GOGC": "400"}


def providers() -> dict[str, str]:
    """Where providers come from, if the set-up found that it is not the registry."""
    return {"TF_CLI_CONFIG_FILE": str(paths.TERRAFORM_RC)} if paths.TERRAFORM_RC.exists() else {}


# The status of `terraform plan -detailed-exitcode` if there is something to apply.
_APPLYABLE = 2

# How long each check of a running Terraform waits.
_TICK_S = 0.1

_INTERRUPTED = (
    "interrupted: Terraform finishes what is under way and saves its state (a second Ctrl-C stops it without that)"
)


class TerraformError(UserError):
    """Terraform failed."""

    def __init__(self, command: str, problems: Sequence[str]) -> None:
        super().__init__(f"terraform {command} failed:\n" + "\n".join(problems))
        #: Its errors, each with the address that it is about.
        self.problems = problems


@dataclass
class Progress:
    """How far a run is; `read` (of a plan), `planned`, `changes` count resources, `running` names those under way.

    `lost` has the types of the resources that are to be deleted or replaced; `applyable` is true once a plan is
    complete and there is something to apply, if only an output.
    """

    read: int = 0
    planned: int = 0
    changes: int = 0
    running: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    applyable: bool = False


@dataclass(frozen=True)
class Root:
    """The platform's root module, seen on one target: its environment says which.

    Args:
        env: the environment of Terraform.
        folder: where the module is.
        state: the file that its state is kept in, if that is on this machine.
    """

    env: Mapping[str, str]
    folder: Path = paths.TERRAFORM
    state: Path | None = None

    def init(self, *backend: str) -> None:
        """Install the providers; `backend` are settings of the backend, `key=value`.

        Terraform would ask which workspace to select instead of one without a state, which the first apply creates.
        """
        env = {name: value for name, value in self.env.items() if name != "TF_WORKSPACE" or self.state}
        replace(self, env=env)._run(["init", *(f"-backend-config={setting}" for setting in backend)])

    def outputs(self) -> dict[str, Any]:
        """The values of the outputs by name; empty if nothing was applied."""
        answer = _outputs_in(self.state) if self.state else None
        if answer is None:
            answer = json.loads(self._run(["output", "-json"]))
        return {name: output["value"] for name, output in answer.items()}

    def write_plan(self, file: Path, *options: str) -> Generator[Progress, None, None]:
        """Write a plan to `file`, and report the progress after every event.

        Raises:
            UserError: Terraform failed; the message holds its errors.
        """
        yield from self._follow("plan", ["-detailed-exitcode", f"-out={file}", *options])

    def show(self, plan: Path) -> dict[str, Any]:
        """A plan as `terraform show -json` gives it. It holds the values of secrets."""
        document: dict[str, Any] = json.loads(self._run(["show", "-json", str(plan)]))
        return document

    def untaint(self, address: str) -> None:
        """Keep a resource that failed while it was made, and that the next apply would replace; others stay."""
        try:
            self._run(["untaint", address])
        except UserError as problem:
            if "Resource instance is not tainted" not in str(problem):
                raise

    def change(self, command: str, *options: str, journal: Path | None = None) -> Generator[Progress, None, None]:
        """Run `apply` or `destroy` without asking, and report the progress after every event.

        Terraform itself appends its events to `journal`, and holds a lock on it until it ends: so it comes to its end
        even if this process is killed. See `wait_for_end`.

        Raises:
            UserError: Terraform failed; the message holds its errors.
        """
        yield from self._follow(command, ["-auto-approve", *options], journal)

    def _follow(
        self, command: str, options: Sequence[str], journal: Path | None = None
    ) -> Generator[Progress, None, None]:
        progress, problems, rest = Progress(), [], []
        with ExitStack() as files:
            if journal is None:
                journal = Path(files.enter_context(tempfile.TemporaryDirectory()), "journal")
            output = files.enter_context(journal.open("ab"))
            fcntl.flock(output, fcntl.LOCK_EX)
            written = files.enter_context(journal.open("rb"))
            written.seek(0, os.SEEK_END)
            ended = files.enter_context(self._running([command, "-json", *options], output, subprocess.STDOUT))
            status = None
            while status is None:
                status = ended()
                for line in _complete_lines(written):
                    event = _event(line)
                    match event.get("type"):
                        case "refresh_complete" if command == "plan":
                            progress.read += 1
                        case "planned_change" if event["change"]["action"] != "read":
                            # A replacement is two changes, and both are counted when they are complete.
                            progress.planned += 2 if event["change"]["action"] == "replace" else 1
                            if event["change"]["action"] in ("delete", "replace"):
                                progress.lost.add(event["change"]["resource"]["resource_type"])
                        case "apply_start" if event["hook"]["action"] != "read":
                            progress.running.add(event["hook"]["resource"]["addr"])
                        case "apply_complete" | "apply_errored" if event["hook"]["action"] != "read":
                            progress.running.discard(event["hook"]["resource"]["addr"])
                            progress.changes += event["type"] == "apply_complete"
                        case "diagnostic" if event["diagnostic"]["severity"] == "error":
                            problems.append(_sentence(event["diagnostic"]))
                        case None:
                            rest.append(line.decode(errors="replace").strip())
                            continue
                        case _:
                            continue
                    yield progress
            cut_off = bool(written.read())
        if command == "plan" and status == _APPLYABLE:
            progress.applyable = True
            yield progress
        elif status:
            if status < 0:
                problems.append(f"it was ended by {signal.Signals(-status).name}")
            elif cut_off or not (problems or rest):
                problems.append(
                    f"its output is cut off: make room on the disk of {journal}, then run the command again"
                )
            raise TerraformError(command, list(dict.fromkeys(problems or rest)))

    def _run(self, arguments: Sequence[str]) -> str:
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8") as output,
            tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        ):
            with self._running([arguments[0], "-no-color", *arguments[1:]], output, errors) as ended:
                while (status := ended()) is None:
                    pass
            output.seek(0)
            errors.seek(0)
            if status:
                raise UserError(f"terraform {arguments[0]} failed:\n{errors.read().strip()}")
            return output.read()

    @contextmanager
    def _running(
        self, arguments: Sequence[str], output: IO[Any], errors: IO[Any] | int
    ) -> Iterator[Callable[[], int | None]]:
        """Run Terraform. Yields a function that waits for a moment, and returns the exit status once there is one.

        However the block is left, Terraform is let finish what is under way and save its state; another Ctrl-C while it
        does makes it end at once.
        """
        with interrupts.deferred() as pressed:
            process = subprocess.Popen(
                [binary(), f"-chdir={self.folder}", *arguments],
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                # A Ctrl-C of the terminal goes to a whole group: in one of its own Terraform gets those that are passed
                # on, one by one. At the second it would end without saving its state.
                process_group=0,
            )
            passed_on = 0

            def ended() -> int | None:
                nonlocal passed_on
                if pressed() > passed_on:
                    passed_on += 1
                    process.send_signal(signal.SIGINT)
                    if passed_on == 1:
                        console.note(_INTERRUPTED)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_TICK_S)
                return process.returncode

            try:
                yield ended
            finally:
                if process.poll() is None and not passed_on:
                    process.send_signal(signal.SIGINT)
                while ended() is None:
                    pass


def _outputs_in(state: Path) -> dict[str, dict[str, Any]] | None:
    """The outputs in a state file, as `terraform output -json` gives them; None if Terraform has to say what is wrong.

    Terraform hashes its providers even for that command, which takes most of the time of a short `modelctl` command,
    and refuses it if an interrupted `terraform init` has left some out.
    """
    try:
        document = json.loads(state.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    match document:
        case {"version": 4, "outputs": dict(outputs)}:
            return outputs
    return None


#: How an error shows that the account's quotas cannot be read, and the option without which no plan is possible then.
QUOTAS_UNREAD, WITHOUT_QUOTAS = "unless read_quotas = false", "-var=read_quotas=false"


def ways_out(problem: str) -> list[str]:
    """The options of `terraform plan` and `apply` that errors of the root module name, or of its modules.

    Those of model and weights_sync complete an update.
    """
    models = sorted(set(re.findall(r"""terraform apply -var 'publish_again=\["(.+?)"\]'""", problem)))
    replaced = sorted(set(re.findall(r"terraform apply (-replace=\S+)", problem)))
    again = [f"-var=publish_again={json.dumps(models)}"] if models else []
    return [*([WITHOUT_QUOTAS] if QUOTAS_UNREAD in problem else []), *again, *replaced]


def wait_for_end(journal: Path) -> None:
    """Wait until no Terraform writes to `journal` any more: one whose modelctl was killed goes on."""
    with journal.open("rb") as written:
        try:
            fcntl.flock(written, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            console.note("the Terraform of an earlier modelctl is still running: waiting until it ends")
            fcntl.flock(written, fcntl.LOCK_SH)


def _complete_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines that have been added to a file; the last one only once it is complete."""
    while (line := file.readline()).endswith(b"\n"):
        yield line
    file.seek(-len(line), os.SEEK_CUR)


def _event(line: bytes) -> dict[str, Any]:
    """One line of Terraform's output; nothing if it is another one, or ends where Terraform was killed."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _sentence(diagnostic: Mapping[str, Any]) -> str:
    where = f" ({diagnostic['address']})" if diagnostic.get("address") else ""
    detail = diagnostic.get("detail", "").strip()
    return f"{_summary(diagnostic['summary'])}{where}" + (f": {detail}" if detail else "")


def _summary(summary: str) -> str:
    """What a diagnostic says. Of a function's error only its message: the provider quotes JSON, with a traceback."""
    called, quoted, answer = summary.partition("): {")
    if not called.startswith("invoking Lambda Function (") or not quoted:
        return summary
    message = _event(b"{" + answer.encode()).get("errorMessage")
    return f"{called}): {message}" if message else summary


def clean_environment() -> dict[str, str]:
    """This process's environment without variables that point to another AWS account, region or endpoint."""
    foreign = ("AWS_", "TF_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # The scripts beside this interpreter (aws, for one) come first on the PATH of whatever is started.
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept
