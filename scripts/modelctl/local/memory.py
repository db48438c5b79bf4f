"""How much memory a function uses.

Lambda kills an environment that uses more than the function's `MemorySize`. Here a watchdog checks the resident memory
and does the same. A limit of the system would act immediately, but none is suitable: RLIMIT_AS and RLIMIT_DATA count
what TensorFlow only reserves, several times what it uses, and control groups require root and do not exist on macOS. So
memory that is freed before the next check goes unnoticed, and a fast allocation may exceed the limit until then.

Like Linux, the watchdog first kills a process that asked for it (`first_to_go`).
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from inference import memory

_LINUX = sys.platform.startswith("linux")

# On other systems, every check starts a program.
LOOK_EVERY_S = 0.05 if _LINUX else 0.5


def resident_mb(pid: int, *, isolated: bool) -> float:
    """Return the memory in MB of a function's processes that the system cannot reclaim; 0 once they have ended.

    Args:
        pid: the process that was started for the function.
        isolated: whether that process is the one that builds the sandbox.
    """
    if not _LINUX:
        return _asked_of_ps(pid)
    return sum(memory.private_mb(process) for process in _function(pid, isolated))


def peak_mb(pid: int, *, isolated: bool) -> int:
    """Return the peak memory in MB of the function's first process, including pages of files; 0 once it has ended."""
    if not _LINUX:
        return int(_asked_of_ps(pid))
    return max(map(memory.peak_mb, itertools.islice(_function(pid, isolated), 1)), default=0)


def first_to_go(pid: int, *, isolated: bool) -> int | None:
    """Return the id of the process of a function that asked to be killed first when memory runs out.

    It asks by a higher oom_score_adj (https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html) than it
    inherited: a desktop or container may start this process with one above 0. It also has memory to free. None if
    no process asked.
    """
    if not _LINUX:
        return None
    asking = {_oom_score_adj(process): process for process in _function(pid, isolated) if memory.private_mb(process)}
    inherited = _oom_score_adj(os.getpid())
    most = max(asking, default=inherited)
    return asking[most] if most > inherited else None


def tree(pid: int) -> list[int]:
    """Return the ids of a process and of its descendants."""
    return list(_function(pid, isolated=False))


def _function(pid: int, isolated: bool) -> Iterator[int]:
    """Yield the ids of the function's processes, parents before children."""
    if not isolated:
        yield pid
    for child in _children(pid):
        yield from _function(child, isolated=False)


def _children(pid: int) -> list[int]:
    children = []
    # The parent of a process is the thread that started it, which may end in between.
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            children += [int(child) for child in (thread / "children").read_text(encoding="utf-8").split()]
    return children


def _oom_score_adj(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="utf-8"))
    return 0


def _asked_of_ps(pid: int) -> float:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, encoding="utf-8", check=False)
    return int(shown.stdout.strip() or 0) / 1024
