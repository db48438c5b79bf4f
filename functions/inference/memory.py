"""How much memory a process takes, as Linux says it; elsewhere, and of a process that has ended, none."""

import contextlib
from pathlib import Path

_PAGES_PER_MB = 256


def private_mb(pid: int | str = "self") -> float:
    """The memory in MB that a process has and the system could not take back.

    Pages of files (libraries, weights mapped into memory) are left out: under pressure the system drops those and reads
    them again.
    """
    with contextlib.suppress(OSError):
        resident, shared = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1:3]
        return (int(resident) - int(shared)) / _PAGES_PER_MB
    return 0


def peak_mb(pid: int | str = "self") -> int:
    """The most memory in MB that a process has had, pages of files included."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)
    return 0
