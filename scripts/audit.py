"""Looks every locked package up among the known vulnerabilities (`make audit`); needs the package index's JSON API."""

import subprocess
import sys

from modelctl import console, environments, paths

LINT = paths.CHECKOUT / "scripts" / "requirements" / "lint.txt"


def main() -> int:
    """Exit status 1 if a package has a known vulnerability, or could not be looked up."""
    pip_audit = environments.ensure("lint", LINT) / "bin" / "pip-audit"
    locks = [
        paths.CHECKOUT / "requirements.lock",
        LINT,
        paths.CHECKOUT / "scripts" / "modelctl" / "local" / "requirements.txt",
        *sorted((paths.FUNCTIONS / "inference" / "requirements").glob("*.txt")),
    ]
    failed = []
    for lock in locks:
        console.note(f"\n=== {lock.relative_to(paths.CHECKOUT)}")
        # --strict: a package that could not be looked up is no package without vulnerabilities.
        command = [str(pip_audit), "--strict", "--disable-pip", "--require-hashes", "--requirement", str(lock)]
        if subprocess.run(command, check=False).returncode:
            failed.append(lock.name)
    if failed:
        console.error(f"not clean: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
