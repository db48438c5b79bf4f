"""Checks every locked package for known vulnerabilities (`make audit`); needs the package index's JSON API."""

import subprocess
import sys

from modelctl import console, paths
from modelctl.packaging import environments

LINT = paths.CHECKOUT / "scripts" / "requirements" / "lint.txt"


def main() -> int:
    """Exit status 1 if a package has a known vulnerability, or could not be looked up."""
    pip_audit = environments.ensure("lint", LINT) / "bin" / "pip-audit"
    locks = [
        paths.CHECKOUT / "requirements.lock",
        *sorted(LINT.parent.glob("*.txt")),
        paths.CHECKOUT / "scripts" / "modelctl" / "local" / "requirements.txt",
        *sorted((paths.FUNCTIONS / "inference" / "requirements").glob("*.txt")),
    ]
    vulnerable = []
    for lock in locks:
        name = str(lock.relative_to(paths.CHECKOUT))
        # --strict: a package that could not be looked up does not count as free of vulnerabilities.
        command = [str(pip_audit), "--strict", "--disable-pip", "--require-hashes", "--requirement", str(lock)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if not done.returncode:
            console.note(f"{name}: no known vulnerabilities")
        elif "known vulnerabilit" in done.stderr:
            console.note(f"{name}:\n{done.stdout}")
            vulnerable.append(name)
        else:
            said = (done.stderr.strip().splitlines() or [f"pip-audit ended with status {done.returncode}"])[-1]
            console.error(
                f"{name} could not be looked up, so nothing is known about it ({said}): "
                "run this where the JSON API of pypi.org answers"
            )
            return 1
    if vulnerable:
        console.error(f"known vulnerabilities in {', '.join(vulnerable)}: `make lock` takes newer versions")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
