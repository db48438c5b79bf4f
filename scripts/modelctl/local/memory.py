"""How much memory a function has taken.

Lambda kills an environment that takes more than the function's `MemorySize`. Here a watchdog looks at the resident
memory and does the same. A limit of the system would act at once, but none fits: RLIMIT_AS and RLIMIT_DATA count what
TensorFlow only reserves, several times what it uses, and control groups are root's alone and missing on macOS. So what
is taken and given back between two looks passes, and what is taken quickly may exceed the limit until the next look.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LINUX = sys.platform.startswith("linux")

# Elsewhere every look starts a program.
LOOK_EVERY_S = 0.05 if _LINUX else 0.5

_PAGES_PER_MB = 256


def resident_mb(pid: int, *, isolated: bool) -> float:
    """Return the memory in MB that the processes of a function have and the system could not take back; 0 once ended.

    Pages of files (libraries, weights mapped into memory) are left out: under pressure the system drops those, in a
    control group as well, and reads them again.

    Args:
        pid: the process that was started for the function.
        isolated: whether that process is the one that builds the sandbox.
    """
    if not _LINUX:
        return _asked_of_ps(pid)
    pages = 0
    for process in _function(pid, isolated):
        with suppress(OSError):
            resident, shared = Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1:3]
            pages += int(resident) - int(shared)
    return pages / _PAGES_PER_MB


def peak_mb(pid: int, *, isolated: bool) -> int:
    """Return the most memory in MB that the function's first process has had, pages of files included; 0 once ended."""
    if not _LINUX:
        return int(_asked_of_ps(pid))
    try:
        status = Path(f"/proc/{next(_function(pid, isolated))}/status").read_text(encoding="utf-8")
    except (OSError, StopIteration):
        return 0
    return next((int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def _function(pid: int, isolated: bool) -> Iterator[int]:
    """Yield the ids of the function's processes, each before those that it started."""
    if not isolated:
        yield pid
    for child in _children(pid):
        yield from _function(child, isolated=False)


def _children(pid: int) -> list[int]:
    children = []
    # A thread that started a process is that one's parent, and may end in between.
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children += [int(child) for child in (thread / "children").read_text(encoding="utf-8").split()]
    return children


def _asked_of_ps(pid: int) -> float:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, encoding="utf-8", check=False)
    return int(shown.stdout.strip() or 0) / 1024
