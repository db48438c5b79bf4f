"""The AWS provider as a process that serves one command of Terraform after another, for tests that run many.

Otherwise every command hashes the provider, which has 700 MB, and starts it again for each of its steps: to read its
schemas, to validate, to plan, to apply. Terraform calls such a process a provider in debug mode:
https://developer.hashicorp.com/terraform/plugin/debugging#starting-a-provider-in-debug-mode
"""

import atexit
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from modelctl import paths
from modelctl.terraform import program

_READY_TIMEOUT_S = 60


class AttachedProvider:
    """A provider that is started when it is needed, and replaced when the environment changes."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._started_with: tuple[Path, Mapping[str, str]] | None = None
        self._variables: dict[str, str] = {}

    def variables(self, folder: Path, env: Mapping[str, str]) -> dict[str, str]:
        """The additional variables that a Terraform command needs, in a folder where `terraform init` has run.

        A command that does not use the AWS provider needs none. On macOS, Go trusts no file of certificates.
        """
        found = list(Path(env["TF_DATA_DIR"]).glob("providers/*/hashicorp/aws/*/*/terraform-provider-aws*"))
        if not found or sys.platform == "darwin":
            return {}
        # Terraform's own settings do not reach the provider, so one provider serves all states with the same other
        # settings.
        its = {name: value for name, value in env.items() if not name.startswith("TF_")}
        if bundle := its.pop("AWS_CA_BUNDLE", None):
            # A provider that is configured again keeps its HTTP client, and a certificate bundle cannot be loaded into
            # it twice.
            its["SSL_CERT_FILE"] = bundle
        if self._process is None or self._started_with != (folder, its):
            self.close()
            self._start(found[0], folder, its)
        return self._variables

    def close(self) -> None:
        """End the process, if there is one; the next command starts another one."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _start(self, executable: Path, folder: Path, env: Mapping[str, str]) -> None:
        with tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                # It opens files whose paths are relative to the module.
                [executable.resolve(), "-debug"],
                cwd=folder,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            deadline = time.monotonic() + _READY_TIMEOUT_S
            said = None
            while not said:
                assert self._process.poll() is None, "the AWS provider ended"  # noqa: S101 - this is part of tests
                assert time.monotonic() < deadline, "the AWS provider is not ready"  # noqa: S101
                time.sleep(0.02)
                output.seek(0)
                said = re.search(rb"TF_REATTACH_PROVIDERS='(.*)'", output.read())
        self._started_with = (folder, env)
        self._variables = {"TF_REATTACH_PROVIDERS": said[1].decode()}


#: Serves the commands that a test process runs itself.
PROVIDER = AttachedProvider()
# Not in a fixture: tests of several folders use it.
atexit.register(PROVIDER.close)


class AttachedTerraform:
    """A program that replaces Terraform in other processes, such as modelctl's (MODELYARD_TERRAFORM).

    It runs Terraform, which starts the provider itself until a provider is attached.
    """

    def __init__(self, folder: Path) -> None:
        self.program = folder / "terraform"
        self._variables = folder / "reattach"
        self._provider = AttachedProvider()
        # `init` installs the provider, but not if one is attached. `-chdir` comes before the command.
        self.program.write_text(
            f"""\
#!/bin/sh
if [ "$2" != init ] && [ -f {shlex.quote(str(self._variables))} ]; then
    . {shlex.quote(str(self._variables))}
fi
exec {shlex.quote(program.binary())} "$@"
""",
            encoding="utf-8",
        )
        self.program.chmod(0o755)

    def attach(self, env: Mapping[str, str]) -> None:
        """From now on, use one provider for commands in the root module with the same AWS settings."""
        variables = self._provider.variables(paths.TERRAFORM, env)
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        self._variables.write_text(exports, encoding="utf-8")

    def detach(self) -> None:
        """Let Terraform start the provider again."""
        self._variables.unlink(missing_ok=True)
        self._provider.close()
