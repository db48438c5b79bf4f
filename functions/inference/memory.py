"""How much memory a process uses, according to Linux; on other systems, and for a process that has ended, 0."""

import contextlib
from pathlib import Path

_PAGES_PER_MB = 256


def private_mb(pid: int | str = "self") -> float:
    """The memory of a process, in MB, that the system cannot reclaim.

    Pages of files (libraries, weights mapped into memory) are left out: under memory pressure, the system drops them
    and reads them again later.
    """
    with contextlib.suppress(OSError):
        resident, shared = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1:3]
        return (int(resident) - int(shared)) / _PAGES_PER_MB
    return 0


def peak_mb(pid: int | str = "self") -> int:
    """The peak memory of a process, in MB, including pages of files."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)
    return 0
