"""Where a local stack stores its files."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REGION = "us-east-1"
ACCOUNT = "000000000000"

# The most execution environments that are alive at a time, whatever the functions allow: on one machine, more processes
# would only wait for each other, and each needs the memory of its model.
MAX_ENVIRONMENTS = max(16, 4 * (os.cpu_count() or 1))

# The most checks of new versions that run at a time. Each is a cold start, and an apply calls all of them together.
MAX_CHECKS = 4


@dataclass(frozen=True)
class Layout:
    """Paths below the home of one local stack.

    Everything here belongs to one run of the server: the emulator keeps its state in memory, so files that are left
    after the server has ended describe things that no longer exist.
    """

    home: Path

    @property
    def server(self) -> Path:
        """Folder of the server: keys, certificate, log, temporary files."""
        return self.home / "server"

    @property
    def address(self) -> Path:
        """JSON with port and instance; it exists once the server listens."""
        return self.server / "server.json"

    @property
    def pid(self) -> Path:
        """The id of the process that holds the lock on `home`; valid only while it does."""
        return self.server / "server.pid"

    @property
    def log(self) -> Path:
        """The output of the server and the emulator in it."""
        return self.server / "server.log"

    @property
    def root_key(self) -> Path:
        """JSON with the access key of the account's root."""
        return self.server / "root-key.json"

    @property
    def operator_key(self) -> Path:
        """JSON with the access key that `modelctl`, tests and users work with; it exists once the stack is ready."""
        return self.server / "operator-key.json"

    @property
    def certificate(self) -> Path:
        """The server's certificate (PEM), which clients are configured to trust."""
        return self.server / "certificate.pem"

    @property
    def certificate_key(self) -> Path:
        """The private key of the certificate (PEM)."""
        return self.server / "certificate-key.pem"

    @property
    def faults(self) -> Path:
        """JSON with the S3 calls that are to fail (see patches/faults.py); it exists only if a test writes it."""
        return self.server / "faults.json"

    @property
    def processors(self) -> Path:
        """The number of processors for which queues call functions, if not this machine's; only tests write it."""
        return self.server / "processors"

    @property
    def temporary(self) -> Path:
        """The server's TMPDIR: extracted code and layers."""
        return self.server / "tmp"

    @property
    def efs(self) -> Path:
        """One folder for each EFS file system, named by its id."""
        return self.home / "efs"


def write_secret(path: Path, content: dict[str, Any]) -> None:
    """Write JSON atomically, readable only by its owner."""
    write_whole(path, json.dumps(content), mode=0o600)


def write_whole(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write a text file atomically: if the process is killed or fails, the file is unchanged."""
    partial = path.with_name(f"{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            partial.unlink()
            raise
    partial.rename(path)
