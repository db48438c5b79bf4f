"""The AWS provider as a process that serves one command of Terraform after another, for tests that run many.

Otherwise every command hashes the provider, which has 700 MB, and starts it anew for each of its steps: to read its
schemas, to validate, to plan, to apply. Terraform calls the other way a provider in debug mode:
https://developer.hashicorp.com/terraform/plugin/debugging#starting-a-provider-in-debug-mode
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

_READY_TIMEOUT_S = 60


class AttachedProvider:
    """A provider that is started when it is needed; another one takes its place if the environment is another."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._started_with: tuple[Path, Mapping[str, str]] | None = None
        self._variables: dict[str, str] = {}

    def variables(self, folder: Path, env: Mapping[str, str]) -> dict[str, str]:
        """What a command of Terraform needs beside this environment, with which `terraform init` has run in the folder.

        A command that does without the AWS provider needs nothing. On macOS, Go trusts no file of certificates.
        """
        found = list(Path(env["TF_DATA_DIR"]).glob("providers/*/hashicorp/aws/*/*/terraform-provider-aws*"))
        if not found or sys.platform == "darwin":
            return {}
        # Terraform's own settings do not reach a provider: with the same others, one serves all states.
        its = {name: value for name, value in env.items() if not name.startswith("TF_")}
        if bundle := its.pop("AWS_CA_BUNDLE", None):
            # A provider that is configured again keeps its HTTP client, into which no bundle can be loaded once more.
            its["SSL_CERT_FILE"] = bundle
        if self._process is None or self._started_with != (folder, its):
            self.close()
            self._start(found[0], folder, its)
        return self._variables

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _start(self, program: Path, folder: Path, env: Mapping[str, str]) -> None:
        with tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                # It opens files whose paths are relative to the module.
                [program.resolve(), "-debug"],
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
