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
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from modelctl import console, environments
from modelctl.errors import UserError
from modelctl.local.layout import REGION, Layout

_READY_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 10.0
_LOG_LINES = 20
_OPERATOR = "modelyard-operator"
_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def ensure_lambda_environment() -> Path:
    """Return the bare Python environment of functions: boto3 and AWS's runtime client; make it if need be."""
    return environments.ensure("lambda", Path(__file__).with_name("requirements.txt"))


@dataclass(frozen=True)
class LocalStack:
    """The local stack whose files lie below `home`.

    Its state is in the memory of one server process. Where that process was killed, `start` clears away what it left
    and starts anew with another `instance`.
    """

    home: Path
    _layout: Layout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_layout", Layout(self.home.absolute()))

    def start(self) -> None:
        """Bring the stack up, unless it is up already.

        Raises:
            UserError: the server did not become ready; the message has the end of its log.
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
                self._make_operator()
            except BaseException:
                self._end_server()
                raise
        if not self._address()["isolated"]:
            console.note("This system gives functions no namespaces: model weights are not write-protected here.")

    def running(self) -> bool:
        """Whether the server lives and is ready."""
        return self._layout.operator_key.is_file() and self._locked()

    def instance(self) -> str:
        """Return what tells this run of the server from every other one: what an earlier one held is gone.

        Raises:
            UserError: the stack is not running.
        """
        return str(self._address()["instance"])

    def environment(self) -> dict[str, str]:
        """Return the variables that make AWS clients and the Terraform provider speak to this stack.

        Raises:
            UserError: the stack is not running.
        """
        port = self._address()["port"]
        key = json.loads(self._layout.operator_key.read_text())
        return {
            "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": key["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
            # boto3 reads the one, the Terraform provider the other.
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CA_BUNDLE": str(self._layout.certificate),
        }

    def stop(self) -> None:
        """End the server and every function, and delete `home`; nothing to do where there is no stack."""
        with self._exclusively():
            self._end_server()
            shutil.rmtree(self.home, ignore_errors=True)
            if self.home.exists():
                raise UserError(f"{self.home}: could not be deleted; delete it by hand")

    def _address(self) -> dict[str, Any]:
        if not self.running():
            raise UserError("the local stack is not running: start it with `modelctl up`")
        address: dict[str, Any] = json.loads(self._layout.address.read_text())
        return address

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Let one process at a time start or stop a stack in this folder."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.home.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _locked(self) -> bool:
        """Whether a server process holds the lock on `home`; the system takes it away when the process ends."""
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
        """Make what the server needs before it starts."""
        layout = self._layout
        layout.server.mkdir(parents=True, mode=0o700)
        layout.temporary.mkdir()
        layout.efs.mkdir()
        _write_secret(
            layout.root_key, {"access_key_id": _access_key_id(), "secret_access_key": secrets.token_urlsafe(30)}
        )
        _make_certificate(layout)

    def _launch(self, environment: Path) -> None:
        layout = self._layout
        with layout.log.open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "modelctl.local.server", layout.home, environment],
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        layout.pid.write_text(str(server.pid))
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not layout.address.is_file():
            if server.poll() is not None:
                raise self._not_ready(f"its server ended with status {server.returncode}")
            if time.monotonic() > deadline:
                raise self._not_ready(f"its server did not listen within {_READY_TIMEOUT_S:.0f} s")
            time.sleep(0.02)

    def _make_operator(self) -> None:
        """Make the IAM user that everybody works as: the root user would pass every denial."""
        layout = self._layout
        root = json.loads(layout.root_key.read_text())
        address = json.loads(layout.address.read_text())
        iam = boto3.client(
            "iam",
            endpoint_url=f"https://127.0.0.1:{address['port']}",
            region_name=REGION,
            aws_access_key_id=root["access_key_id"],
            aws_secret_access_key=root["secret_access_key"],
            verify=str(layout.certificate),
            config=Config(connect_timeout=5, read_timeout=_READY_TIMEOUT_S, retries={"max_attempts": 0}, proxies={}),
        )
        try:
            iam.create_user(UserName=_OPERATOR)
            iam.put_user_policy(UserName=_OPERATOR, PolicyName="everything", PolicyDocument=json.dumps(_EVERYTHING))
            key = iam.create_access_key(UserName=_OPERATOR)["AccessKey"]
        except (BotoCoreError, ClientError) as error:
            raise self._not_ready(str(error)) from error
        _write_secret(
            layout.operator_key, {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
        )

    def _end_server(self) -> None:
        """End the server that holds the lock on `home`, and with it all functions."""
        if not self._locked():
            return
        pid = int(self._layout.pid.read_text())
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + _END_TIMEOUT_S
            while self._locked() and time.monotonic() < deadline:
                _reap(pid)
                time.sleep(0.01)
            if not self._locked():
                _reap(pid)
                return
        raise UserError(
            f"the local stack's server (process {pid}) does not end; end it by hand and run the command again"
        )

    def _not_ready(self, why: str) -> UserError:
        lines = self._layout.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return UserError("\n  ".join([f"the local stack did not start: {why}. The end of its log:", *lines]))


def _reap(pid: int) -> None:
    """Collect the server's exit status where this process is the one that started it."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _access_key_id() -> str:
    return "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))


def _write_secret(path: Path, content: dict[str, str]) -> None:
    """Write a file that only its owner may read, in one step."""
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
    partial.rename(path)


def _make_certificate(layout: Layout) -> None:
    """Make a certificate that signs itself, for the loopback interface only.

    The standard library cannot make one, and what ministack has for it also needs `openssl` or a further package.
    """
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(layout.certificate_key), "-out", str(layout.certificate), "-days", "825"),
        *("-subj", "/CN=modelyard local stack"),
        *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "extendedKeyUsage=serverAuth"),
    ]
    try:
        done = subprocess.run(command, umask=0o077, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError(
            "the local stack needs `openssl` for its TLS certificate: install it, then run the command again"
        ) from None
    if done.returncode != 0:
        raise UserError(f"openssl could not make the local stack's certificate:\n{done.stderr.strip()}")
    layout.certificate.chmod(0o644)
