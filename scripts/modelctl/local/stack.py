"""Starting, finding and ending a local stack."""

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from modelctl import console, interrupts
from modelctl.errors import UserError
from modelctl.local import certificate
from modelctl.local.layout import REGION, Layout, write_secret
from modelctl.packaging import environments

_READY_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 10.0
_LOG_LINES = 20

# The extracted layers and code of the sample models, with their weights twice (S3 and EFS), need half of it.
_MIN_FREE_MB = 256


def ensure_lambda_environment() -> Path:
    """Return the bare Python environment of functions: boto3 and AWS's runtime client; create it if necessary."""
    return environments.ensure("lambda", Path(__file__).with_name("requirements.txt"))


@dataclass(frozen=True)
class LocalStack:
    """The local stack whose files are below `home`.

    Its state is in the memory of one server process. If that process was killed, `start` removes what it left and
    starts over with another `instance`.
    """

    home: Path
    _layout: Layout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_layout", Layout(self.home.absolute()))

    def start(self) -> None:
        """Bring the stack up, unless it is up already.

        Raises:
            UserError: there is no room for it, or the server did not become ready; the message has the end of its log.
        """
        environment = ensure_lambda_environment()
        with self._exclusively():
            if self.running():
                return
            self._end_server()
            self._clear()
            try:
                self._prepare()
                self._launch(environment)
            except OSError as error:
                raise UserError(
                    f"the local stack cannot be started in {self.home}: {error}; "
                    "make sure that there is room and that you may write there, then run the command again"
                ) from error

    def running(self) -> bool:
        """Whether the server lives and is ready."""
        return self._layout.address.is_file() and self._locked()

    def broken(self) -> bool:
        """Whether the server was once ready, and ended without `stop`."""
        return self._layout.address.is_file() and not self._locked()

    def instance(self) -> str:
        """Return the identifier of this run of the server: what an earlier run held is gone.

        Raises:
            UserError: the stack is not running.
        """
        return str(self._address()["instance"])

    def environment(self) -> dict[str, str]:
        """Return the variables that point AWS clients and the Terraform provider at this stack.

        Raises:
            UserError: the stack is not running.
        """
        port = self._address()["port"]
        key = json.loads(self._layout.operator_key.read_text(encoding="utf-8"))
        return {
            "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": key["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
            # boto3 reads one of them, the Terraform provider the other.
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CA_BUNDLE": str(self._layout.certificate),
        }

    def stop(self) -> None:
        """End the server and every function, and delete `home`; does nothing if there is no stack."""
        with self._exclusively():
            self._end_server()
            shutil.rmtree(self.home, ignore_errors=True)
            if self.home.exists():
                raise UserError(f"{self.home} could not be deleted; delete it by hand")

    def _address(self) -> dict[str, Any]:
        if not self.running():
            raise UserError("the local stack is not running: start it with `modelctl up`")
        address: dict[str, Any] = json.loads(self._layout.address.read_text(encoding="utf-8"))
        return address

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Let only one process at a time start or stop a stack in this folder."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.home.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _locked(self) -> bool:
        """Whether a server process holds the lock on `home`; the system releases it when the process ends."""
        try:
            folder = os.open(self.home, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(folder)
        return False

    def _clear(self) -> None:
        """Delete what an earlier run of the server left."""
        shutil.rmtree(self._layout.server, ignore_errors=True)
        shutil.rmtree(self._layout.efs, ignore_errors=True)

    def _prepare(self) -> None:
        """Create what the server needs before it starts."""
        layout = self._layout
        free_mb = shutil.disk_usage(layout.home.parent).free // 2**20
        if free_mb < _MIN_FREE_MB:
            raise UserError(
                f"the disk of {layout.home} has {free_mb} MB free, and the local stack needs {_MIN_FREE_MB} MB: "
                "make room, then run the command again"
            )
        layout.server.mkdir(parents=True, mode=0o700)
        layout.temporary.mkdir()
        layout.efs.mkdir()
        key = {"access_key_id": _access_key_id(), "secret_access_key": secrets.token_urlsafe(30)}
        write_secret(layout.root_key, key)
        certificate.make(layout.certificate, layout.certificate_key)

    def _launch(self, environment: Path) -> None:
        layout = self._layout
        # The server is in a session of its own and does not get Ctrl-C. An exception could come before `server` is
        # assigned, or again while this waits for the server's end.
        with interrupts.deferred() as pressed, layout.log.open("wb") as log:
            server = subprocess.Popen(
                # UTF-8 also for what the emulator reads. -P: a file in the user's folder must not replace a module of
                # the same name.
                [sys.executable, "-X", "utf8", "-P", "-m", "modelctl.local.server", layout.home, environment],
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
                # Nothing is written to it: it shows the server whether this process still waits.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            deadline = time.monotonic() + _READY_TIMEOUT_S
            try:
                while not layout.address.is_file() and not pressed():
                    if server.poll() is not None:
                        raise self._not_ready(f"its server ended with status {server.returncode}")
                    if time.monotonic() > deadline:
                        raise self._not_ready(f"its server did not listen within {_READY_TIMEOUT_S:.0f} s")
                    time.sleep(0.02)
                if not pressed() and not self._address()["isolated"]:
                    console.note(
                        "This system does not give functions their own namespaces: they can see the files of this "
                        "machine, and model weights are not write-protected."
                    )
                if pressed():
                    raise KeyboardInterrupt
            except BaseException:
                server.kill()
                server.wait()
                # The processes that it has forked share the lock, and die a moment later.
                self._unlocked_within(_END_TIMEOUT_S)
                # Otherwise it would look as if something else had ended a running stack: see `broken`.
                layout.address.unlink(missing_ok=True)
                raise
            finally:
                cast("IO[bytes]", server.stdin).close()

    def _end_server(self) -> None:
        """End the server that holds the lock on `home`, and all functions with it."""
        # A server that has just acquired the lock has not written its process id yet.
        while (pid := self._pid()) is None:
            if self._unlocked_within(0.01):
                return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            if self._unlocked_within(_END_TIMEOUT_S):
                _reap(pid)
                return
        raise UserError(
            f"the local stack's server (process {pid}) does not stop; stop it by hand and run the command again"
        )

    def _pid(self) -> int | None:
        written = self._layout.pid.read_text(encoding="utf-8") if self._layout.pid.exists() else ""
        return int(written) if written else None

    def _unlocked_within(self, timeout_s: float) -> bool:
        """Wait until no process of a server holds the lock on `home`; False if one still does after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self._locked():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _not_ready(self, why: str) -> UserError:
        lines = self._layout.log.read_text(errors="replace", encoding="utf-8").splitlines()[-_LOG_LINES:]
        return UserError("\n  ".join([f"the local stack did not start: {why}. The end of its log:", *lines]))


def _reap(pid: int) -> None:
    """Collect the exit status of a server that has ended, if this process started it."""
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _access_key_id() -> str:
    return "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))
