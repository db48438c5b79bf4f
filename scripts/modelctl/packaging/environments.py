"""Python environments made with uv from locked requirements, such as those of functions on the local stack."""

import fcntl
import functools
import hashlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from modelctl import paths, programs
from modelctl.packaging import package_sources

# Written last: an environment without it was interrupted while it was made.
_MARKER = ".modelyard"


def ensure(name: str, requirements: Path) -> Path:
    """Return the folder of the environment `name`, made from `requirements` if it is missing or out of date.

    `requirements` is a lock file in which every package has its hashes. The environment uses the current Python, and
    its modules are compiled: `import tensorflow` takes twice as long without `.pyc` files, and functions may not write
    any. Concurrent calls from several processes wait for each other.

    Raises:
        UserError: uv could not make the environment.
    """
    folder = paths.ENVIRONMENTS / name
    wanted = _fingerprint(requirements)
    paths.ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (paths.ENVIRONMENTS / f".{name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        marker = folder / _MARKER
        if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        failure = f"Python environment {name!r} could not be created; fix what uv reports and run the command again"
        uv(failure, "venv", "--quiet", "--python", sys.executable, folder)
        uv(
            failure,
            *("pip", "install", "--quiet", "--python", folder / "bin" / "python"),
            # The lock is complete, except for what it overrides (pyproject.toml).
            *("--no-deps", "--require-hashes", "--compile-bytecode", "--requirements", requirements),
        )
        marker.write_text(wanted, encoding="utf-8")
    return folder


def uv(failure: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Run the uv that is installed beside this Python, with `env` added to the environment; return what it printed.

    Raises:
        UserError: it failed; the message is `failure` and what uv said.
    """
    # A VIRTUAL_ENV of the shell would only make uv warn about it.
    sources = package_sources.uv_environment(_pip_settings(), paths.TOOLS / "uv")
    inherited = {key: value for key, value in sources.items() if key != "VIRTUAL_ENV"}
    return programs.run(failure, Path(sys.executable).parent / "uv", *arguments, env={**inherited, **(env or {})})


@functools.cache
def _pip_settings() -> dict[str, str]:
    """The user's settings for pip; read once, because pip often needs longer to print them than uv needs to install."""
    return package_sources.pip_settings(Path(sys.executable))


def _fingerprint(requirements: Path) -> str:
    """Return what determines an environment: the locked requirements and the Python that runs them."""
    return f"{hashlib.sha256(requirements.read_bytes()).hexdigest()} {sys.version} {sys.base_prefix}\n"
