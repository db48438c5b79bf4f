"""Resolves every lock file again (`make lock`), for all platforms and for Python 3.11 to 3.13, with hashes."""

import subprocess
import sys
from pathlib import Path

from modelctl import console, paths

UV = Path(sys.executable).parent / "uv"


def main() -> None:
    """Write the lock files; uv keeps locked versions that still fit."""
    resolve(paths.CHECKOUT / "pyproject.toml", paths.CHECKOUT / "requirements.lock", "--group", "dev")
    functions = sorted((paths.FUNCTIONS / "inference" / "requirements").glob("*.in"))
    requirements = paths.CHECKOUT / "scripts" / "requirements"
    local = paths.CHECKOUT / "scripts" / "modelctl" / "local" / "requirements.in"
    peers = [requirements / f"{name}.in" for name in ("bentoml", "mlserver")]
    for wanted in (*functions, local, requirements / "fuzz.in", *peers):
        # The tests run on the same versions as the functions.
        resolve(wanted, wanted.with_suffix(".txt"), "--constraint", paths.CHECKOUT / "requirements.lock")
    # checkov pins its own version of boto3; the others are older than the versions that the tests run on.
    for name in ("lint", "classifiers", "old_models"):
        resolve(requirements / f"{name}.in", requirements / f"{name}.txt")


def resolve(wanted: Path, lock: Path, *options: str | Path) -> None:
    """Lock the requirements of one file."""
    with console.step(f"locking {lock.relative_to(paths.CHECKOUT)}"):
        command: list[str | Path] = [UV, "pip", "compile", "--quiet", wanted, "--output-file", lock, *options]
        everywhere = ["--universal", "--python-version", "3.11", "--generate-hashes"]
        quiet = ["--no-annotate", "--no-header", "--no-emit-index-url"]
        subprocess.run([*command, *everywhere, *quiet], check=True)


if __name__ == "__main__":
    main()
