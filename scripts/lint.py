"""Every check that is not a test (`make lint`): style, types, Terraform, security rules."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from modelctl import console, paths
from modelctl.packaging import environments
from modelctl.terraform import program

BIN = Path(sys.executable).parent
# checkov pins its own version of boto3, so it has a separate environment.
CHECKOV = paths.CHECKOUT / "scripts" / "requirements" / "lint.txt"


def main() -> int:
    """Run all checks; exit status 1 if one found something."""
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, **program.providers(), **program.QUIET, "TF_DATA_DIR": scratch}
        tf = [program.binary(), f"-chdir={paths.TERRAFORM}"]
        with console.step("preparing checkov"):
            checkov = environments.ensure("lint", CHECKOV) / "bin" / "checkov"
        checks: tuple[tuple[str, Sequence[str | Path]], ...] = (
            ("ruff check", [BIN / "ruff", "check"]),
            ("ruff format", [BIN / "ruff", "format", "--check"]),
            ("mypy", [BIN / "mypy"]),
            ("tables of the docs", [sys.executable, "scripts/docs.py", "--check"]),
            ("terraform fmt", [*tf, "fmt", "-check", "-recursive"]),
            ("terraform init", [*tf, "init", "-backend=false", "-lockfile=readonly"]),
            ("terraform validate", [*tf, "validate"]),
            ("checkov", [checkov, "--directory", paths.TERRAFORM, "--quiet", "--compact", "--skip-download"]),
        )
        failed = [name for name, command in checks if not passes(name, command, env)]
    if failed:
        console.error(f"problems found by: {', '.join(failed)}")
    return 1 if failed else 0


def passes(name: str, command: Sequence[str | Path], env: dict[str, str]) -> bool:
    """Run one check; its output is shown only if it found something."""
    with console.step(name):
        done = subprocess.run(
            command,
            cwd=paths.CHECKOUT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
    if done.returncode:
        console.note(done.stdout)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
