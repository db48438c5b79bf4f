"""The file system and the network that a function sees, and the namespaces that isolate it from the host.

Run as a program by `worker.py`, this file starts a function in a sandbox. It is started for every cold start, so it
imports as little as it can: `json` alone would take longer than building the sandbox.
"""

# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH114, PTH115, PTH120, PTH123, PTH211, S108
# pathlib takes longer to import than the sandbox to build; and the /tmp here is the sandbox's own.

import _socket
import ctypes
import fcntl
import marshal
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

# Mount flags that are kept on a remount: in a user namespace, the system refuses to drop them.
_KEPT_FLAGS = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}  # ST_* of statvfs to MS_* of mount

_SIOCSIFFLAGS, _IFF_UP, _IFNAMSIZ, _SIZE_OF_IFREQ = 0x8914, 1, 16, 40

# The addresses of the Runtime API and S3 for a function with its own network. It can reach nothing else.
RUNTIME_API, S3 = ("127.0.0.1", 9001), ("127.0.0.1", 9002)

# What a Python program needs from the host, all of it read-only.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
_ETC = (
    *("group", "hosts", "ld.so.cache", "ld.so.conf", "localtime", "mime.types", "nsswitch.conf", "passwd"),
    *("resolv.conf", "ssl"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom")


class Sandbox:
    """The root file system of one function, and the process in it.

    Attributes:
        root: an empty folder of the host on which the new root is mounted, visible only to the function's processes.
        mounts: (folder or file of the host, absolute path in the sandbox, whether it may be written).
        temporary_bytes: size of /tmp.
        user: user and group id of the process; None keeps the caller's.
        command: program and arguments, with paths in the sandbox.
        network: whether it has its own network; the sockets in it are sent to the other end of standard input.
    """

    def __init__(
        self,
        root: str,
        mounts: "list[tuple[str, str, bool]]",
        temporary_bytes: int,
        user: "tuple[int, int] | None",
        command: "list[str]",
        network: bool,
    ) -> None:
        self.root = root
        self.mounts = mounts
        self.temporary_bytes = temporary_bytes
        self.user = user
        self.command = command
        self.network = network

    def dump(self) -> bytes:
        """Serialise it for this file as a program."""
        return marshal.dumps((self.root, self.mounts, self.temporary_bytes, self.user, self.command, self.network))

    def enter(self) -> "NoReturn":
        """Build the root file system, move into it and become the function's process."""
        self._build()
        os.chdir(self.root)
        # With the same folder for both names, the old root is mounted over the new one and is unmounted from there.
        _pivot_root(".", ".")
        _check(_libc.umount2(b".", _MNT_DETACH), "umount2 of the old root")
        _mount(None, "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
        os.chdir("/var/task")
        if self.user:
            self._become(*self.user)
        else:
            _give_up_capabilities()
        os.execv(self.command[0], self.command)  # noqa: S606  there is no shell in it

    def _build(self) -> None:
        _mount("tmpfs", self.root, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
        for path in _SYSTEM:
            if os.path.islink(path):
                os.symlink(os.readlink(path), self.root + path)
            elif os.path.isdir(path):
                self._bind(path, path, writable=False)
        for name in _ETC:
            if os.path.exists(f"/etc/{name}"):
                self._bind(os.path.realpath(f"/etc/{name}"), f"/etc/{name}", writable=False)
        if os.path.isdir("/sys/devices/system"):
            self._bind("/sys/devices/system", "/sys/devices/system", writable=False)
        for name in _DEVICES:
            self._bind(f"/dev/{name}", f"/dev/{name}", writable=True)
        for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
            os.symlink(f"/proc/self/fd{target}", f"{self.root}/dev/{name}")
        os.mkdir(f"{self.root}/proc")
        _mount("proc", f"{self.root}/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
        os.mkdir(f"{self.root}/tmp")
        _mount("tmpfs", f"{self.root}/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode=1777,size={self.temporary_bytes}")
        for source, target, writable in self.mounts:
            self._bind(source, target, writable=writable)

    def _bind(self, source: str, target: str, *, writable: bool) -> None:
        inside = self.root + target
        if os.path.isdir(source):
            os.makedirs(inside, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(inside), exist_ok=True)
            os.close(os.open(inside, os.O_CREAT | os.O_WRONLY, 0o644))
        _mount(source, inside, None, _MS_BIND | _MS_REC)
        if not writable:
            present = os.statvfs(inside).f_flag
            kept = sum(ms for st, ms in _KEPT_FLAGS.items() if present & st)
            _mount(None, inside, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)

    @staticmethod
    def _become(user: int, group: int) -> None:
        # The log's pipes belong to the server: without this, opening /dev/stdout would be refused.
        for descriptor in (1, 2):
            os.fchown(descriptor, user, group)
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
        # The change of user has cleared it.
        _die_with_parent()


def _give_up_capabilities() -> None:
    """Drop the next program's rights to mount, change owners and bypass permissions, even as root."""
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1


def isolate(*, network: bool = False) -> None:
    """Give this process and its future children their own mount table, and the children their own PIDs.

    With `network`, they also get their own network, from which nothing outside can be reached.

    Without root privileges, this requires a user namespace, in which the calling user is root. The next fork creates
    the first process of the PID namespace: when that process dies, the system kills everything in the namespace.

    Raises:
        OSError: the system has no namespaces, or does not allow them for this process.
    """
    if not sys.platform.startswith("linux") or os.uname().machine not in _SYS_PIVOT_ROOT:
        raise OSError("namespaces are used on Linux on x86_64 and aarch64 only")
    spaces = _CLONE_NEWNS | _CLONE_NEWPID | (_CLONE_NEWNET if network else 0)
    if os.geteuid() == 0:
        _check(_libc.unshare(spaces), "unshare")
    else:
        user, group = os.geteuid(), os.getegid()
        _check(_libc.unshare(_CLONE_NEWUSER | spaces), "unshare")
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
                file.write(text)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)


def listen() -> "list[_socket.socket]":
    """Begin to listen for the Runtime API and for S3 in a network that `isolate` has created.

    Raises:
        OSError: this process may not configure the network.
    """
    listeners = [_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM) for _ in (RUNTIME_API, S3)]
    request = (b"lo".ljust(_IFNAMSIZ, b"\0") + _IFF_UP.to_bytes(2, sys.byteorder)).ljust(_SIZE_OF_IFREQ, b"\0")
    fcntl.ioctl(listeners[0].fileno(), _SIOCSIFFLAGS, request)
    for listener, address in zip(listeners, (RUNTIME_API, S3), strict=True):
        listener.bind(address)
        listener.listen()
    return listeners


def _hand_over(listeners: "list[_socket.socket]") -> None:
    """Send the sockets to the writer of standard input; a socket belongs to the network in which it was created."""
    descriptors = b"".join(listener.fileno().to_bytes(4, sys.byteorder) for listener in listeners)
    other_end = _socket.socket(fileno=0)
    other_end.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    other_end.detach()
    for listener in listeners:
        listener.close()


def fork_and_wait(work: "Callable[[], NoReturn]") -> int:
    """Do `work` in a child; return its exit status (128 + number of a signal). SIGTERM here kills the child.

    When this returns after `isolate()`, no process of the PID namespace is left. If this process is killed, the system
    kills the child.
    """
    child = os.fork()
    if child == 0:
        _die_with_parent()
        work()
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


def mount_proc() -> None:
    """Show in /proc the processes of this PID namespace."""
    _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: "str | None", target: str, kind: "str | None", flags: int, options: str = "") -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), os.fsencode(options)), f"mount of {source} on {target}")


def _pivot_root(new: str, old: str) -> None:
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(number, os.fsencode(new), os.fsencode(old)), "pivot_root")


def _die_with_parent() -> None:
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")


def main() -> int:
    """Start the function that standard input describes; return its exit status."""
    sandbox = Sandbox(*marshal.load(sys.stdin.buffer))  # noqa: S302  it comes from worker.py, which started this
    isolate(network=sandbox.network)
    if sandbox.network:
        _hand_over(listen())
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    return fork_and_wait(sandbox.enter)


if __name__ == "__main__":
    sys.exit(main())
