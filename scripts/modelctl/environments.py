"""Python environments that functions run in on the local stack, made with uv from locked requirements."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from modelctl import paths
from modelctl.errors import UserError

# Written last: an environment without it was interrupted while it was made.
_MARKER = ".modelyard"


def ensure(name: str, requirements: Path) -> Path:
    """Return the folder of the environment `name`, made from `requirements` if it is missing or out of date.

    `requirements` is a lock file in which every package has its hashes. The environment runs the Python that runs this,
    and its modules are compiled: `import tensorflow` takes twice as long without `.pyc` files, and what runs there may
    not write any. Calls from several processes at once wait for each other.

    Raises:
        UserError: uv could not make the environment.
    """
    folder = paths.ENVIRONMENTS / name
    wanted = _fingerprint(requirements)
    paths.ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (paths.ENVIRONMENTS / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        marker = folder / _MARKER
        if marker.is_file() and marker.read_text() == wanted:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        _uv(name, "venv", "--quiet", "--python", sys.executable, str(folder))
        _uv(
            name,
            *("pip", "install", "--quiet", "--python", str(folder / "bin" / "python")),
            *("--require-hashes", "--compile-bytecode", "--requirements", str(requirements)),
        )
        marker.write_text(wanted)
    return folder


def _fingerprint(requirements: Path) -> str:
    """Return what an environment follows from: the locked requirements and the Python that runs them."""
    return f"{hashlib.sha256(requirements.read_bytes()).hexdigest()} {sys.version} {sys.base_prefix}\n"


def _uv(name: str, *arguments: str) -> None:
    """Run the uv that is installed beside this Python."""
    uv = Path(sys.executable).parent / "uv"
    # A VIRTUAL_ENV of the shell would only make uv warn that it is not the one meant.
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    # Functions run as users of their own, who must be able to read it whatever the umask of the shell.
    done = subprocess.run([uv, *arguments], env=environment, umask=0o022, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(
            f"Python environment {name!r}: `uv {arguments[0]}` failed; mend what it says and run the command again:\n"
            f"{done.stderr.strip()}"
        )
