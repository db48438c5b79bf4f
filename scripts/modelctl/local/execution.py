"""Turns a function's configuration into a process: its files, its environment, its sandbox."""

import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from ministack.core import lambda_runtime
from ministack.services import efs, lambda_svc

from modelctl import lambda_variables
from modelctl.local import permissions, sandbox
from modelctl.local.layout import Layout

if TYPE_CHECKING:
    from modelctl.local.network import S3Endpoint

# Where Lambda puts things (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html).
_TASK_ROOT = "/var/task"
_LAYERS = "/opt"
_LANGUAGE = "/var/lang"
_CA_BUNDLE = "/var/runtime/ca-bundle.pem"
_LAMBDA_USER = (993, 990)

_making_folders = threading.Lock()


class MountError(Exception):
    """A file system that the function names cannot be mounted."""


@dataclass(frozen=True)
class Host:
    """What every function of this stack shares.

    Attributes:
        layout: the stack's files.
        endpoint: URL of the emulator.
        environment: the Python environment of functions that do not name one.
        isolated: whether the system allows namespaces for functions.
        s3: serves functions that have their own networks; None if the system does not allow that.
    """

    layout: Layout
    endpoint: str
    environment: Path
    isolated: bool
    s3: "S3Endpoint | None"


@dataclass(frozen=True)
class Started:
    """A process that was started.

    Attributes:
        process: the process.
        output: its output.
        listeners: the sockets that it created in its own network, for the Runtime API and for S3; none without one.
    """

    process: "subprocess.Popen[bytes]"
    output: IO[bytes]
    listeners: list[socket.socket] = field(default_factory=list)


@dataclass(frozen=True)
class Process:
    """What to start.

    Attributes:
        command: program and arguments.
        variables: the whole environment.
        directory: working directory.
        stdin: its standard input.
        network: whether it creates its own network, and hands over the sockets in it.
    """

    command: list[str]
    variables: dict[str, str]
    directory: str
    stdin: bytes
    network: bool

    def start(self) -> Started:
        """Start the process.

        Raises:
            OSError: it cannot be started, or cannot create its network.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = subprocess.Popen(
                    self.command,
                    env=self.variables,
                    cwd=self.directory,
                    stdin=theirs.fileno(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
            # Popen has created it, but its types do not say so.
            output = cast("IO[bytes]", process.stdout)
            try:
                ours.sendall(self.stdin)
                ours.shutdown(socket.SHUT_WR)
                return Started(process, output, _received(ours, process) if self.network else [])
            except BaseException:
                # The caller does not have it yet, and could not end it.
                process.kill()
                process.wait()
                raise


def _received(ours: socket.socket, process: "subprocess.Popen[bytes]") -> list[socket.socket]:
    """The sockets that a sandbox hands over."""
    _, descriptors, *_ = socket.recv_fds(ours, 1, 2)
    if not descriptors:
        said, _ = process.communicate()
        raise OSError(f"its sandbox could not be made: {said.decode(errors='replace').strip()}")
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


@dataclass(frozen=True)
class _Files:
    """A function's folders on the host."""

    code: Path
    layers: Path | None
    environment: Path
    mounts: list["_Mount"]


@dataclass(frozen=True)
class _Mount:
    """An EFS access point in a function: its folder on the host, its path in the function, its POSIX user."""

    folder: Path
    path: str
    writable: bool
    user: tuple[int, int] | None


def prepare(host: Host, config: dict[str, Any], code: bytes, runtime_api: str | None, log_stream: str) -> Process:
    """Return how to start an execution environment of the function; extracts its code and layers if necessary.

    Args:
        host: what functions share.
        config: the function's configuration.
        code: its code (zip).
        runtime_api: address of the Runtime API; None for a function with its own network.
        log_stream: where its log goes.

    Raises:
        MountError: an access point is gone, its root folder is missing, or the role may not mount it.
    """
    folder = _extracted(host, [code])
    named = folder / ".environment"
    files = _Files(
        code=folder,
        layers=_layers(host, config),
        environment=Path(named.read_text(encoding="utf-8").strip()) if named.is_file() else host.environment,
        mounts=[_mount(host, config, entry) for entry in config.get("FileSystemConfigs") or []],
    )
    variables = _variables(host, config, runtime_api, log_stream)
    return _isolated(host, config, files, variables) if host.isolated else _bare(host, config, files, variables)


def _isolated(host: Host, config: dict[str, Any], files: _Files, variables: dict[str, str]) -> Process:
    """Start it in a sandbox that has the paths of Lambda."""
    mounts = [
        (str(files.environment), _LANGUAGE, False),
        (str(files.code), _TASK_ROOT, False),
        (str(host.layout.certificate), _CA_BUNDLE, False),
    ]
    mounts += [(prefix, prefix, False) for prefix in _interpreters(files.environment)]
    if files.layers:
        # One by one: the interpreter may also be below /opt.
        mounts += [(str(entry), f"{_LAYERS}/{entry.name}", False) for entry in files.layers.iterdir()]
    mounts += [(str(mount.folder), mount.path, mount.writable) for mount in files.mounts]
    root = host.layout.temporary / "root"
    root.mkdir(exist_ok=True)
    box = sandbox.Sandbox(
        root=str(root),
        mounts=mounts,
        temporary_bytes=config["EphemeralStorage"]["Size"] * 2**20,
        user=_user(files.mounts),
        command=[f"{_LANGUAGE}/bin/python", *_runtime_client(config)],
        network=host.s3 is not None,
    )
    return Process(
        # -I and -S: the function's variables must not affect the program that builds its sandbox.
        command=[os.path.realpath(sys.executable), "-I", "-S", sandbox.__file__],
        variables=variables
        | lambda_variables.places(Path(_TASK_ROOT), Path(_LAYERS), Path(_LANGUAGE, "bin"))
        | {"AWS_CA_BUNDLE": _CA_BUNDLE},
        directory="/",
        stdin=box.dump(),
        network=box.network,
    )


def _interpreters(environment: Path) -> list[str]:
    """Return the folders of the interpreter that an environment's links lead to, which the sandbox needs as well."""
    program, prefixes = environment / "bin" / "python", set()
    while program.is_symlink():
        program = program.parent / program.readlink()
        prefixes.add(program.parent.parent)
    own = {environment, Path("/"), Path("/usr"), Path("/usr/local")}
    return sorted(str(prefix) for prefix in prefixes - own)


def _bare(host: Host, config: dict[str, Any], files: _Files, variables: dict[str, str]) -> Process:
    """Start it as a plain process, whose variables name the places on the host of what Lambda would mount."""
    folders = {mount.path: str(mount.folder) for mount in files.mounts}
    layers = files.layers or host.layout.temporary / "no-layers"
    variables = {key: folders.get(value, value) for key, value in variables.items()}
    return Process(
        command=[str(files.environment / "bin" / "python"), *_runtime_client(config)],
        variables=variables
        | lambda_variables.places(files.code, layers, files.environment / "bin")
        | {"AWS_CA_BUNDLE": str(host.layout.certificate), "TMPDIR": str(host.layout.temporary)},
        directory=str(files.code),
        stdin=b"",
        network=False,
    )


def _runtime_client(config: dict[str, Any]) -> list[str]:
    # -s: AWS does not have a folder of user packages either.
    return ["-s", "-m", "awslambdaric", config["Handler"]]


def _user(mounts: list[_Mount]) -> tuple[int, int] | None:
    """Return the user and group that the process runs as, if this process may become another user.

    On AWS, EFS applies the access point's user to a function's file operations, and the function itself runs as
    another, unprivileged user. Here the whole process runs as the access point's user.
    """
    if not _has_users():
        return None
    return next((mount.user for mount in mounts if mount.user), _LAMBDA_USER)


def _has_users() -> bool:
    """Whether this process may change users and owners of files, as real root may, but not root in a user namespace."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text(encoding="utf-8").split() == [
        "0",
        "0",
        str(2**32 - 1),
    ]


def _variables(host: Host, config: dict[str, Any], runtime_api: str | None, log_stream: str) -> dict[str, str]:
    """Return the variables of Lambda and of the function's configuration, and none of the server's own."""
    logging = config.get("LoggingConfig") or {}
    region = config["FunctionArn"].split(":")[3]
    lambda_sets = {
        **lambda_variables.settings(config["FunctionName"], config["MemorySize"]),
        "AWS_LAMBDA_RUNTIME_API": runtime_api or "{}:{}".format(*sandbox.RUNTIME_API),
        "AWS_LAMBDA_FUNCTION_VERSION": config["Version"],
        "AWS_LAMBDA_LOG_GROUP_NAME": logging.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_LOG_FORMAT": logging.get("LogFormat", "Text"),
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        **(
            {"AWS_ENDPOINT_URL_S3": "https://{}:{}".format(*sandbox.S3)}
            if host.s3
            else {"AWS_ENDPOINT_URL": host.endpoint}
        ),
        "_HANDLER": config["Handler"],
        **lambda_runtime.execution_credentials(config),
    }
    if level := logging.get("ApplicationLogLevel"):
        lambda_sets["AWS_LAMBDA_LOG_LEVEL"] = level
    own = (config.get("Environment") or {}).get("Variables") or {}
    # Lambda refuses a configuration that sets a reserved variable; TZ and LANG are not reserved.
    reserved = lambda_sets.keys() - {"LANG", "TZ"}
    return lambda_sets | {key: value for key, value in own.items() if key not in reserved}


def _mount(host: Host, config: dict[str, Any], entry: dict[str, str]) -> _Mount:
    """Find the folder of an access point; create its root folder the first time, as EFS does when a client connects."""
    arn, role = entry["Arn"], config["Role"]
    point = efs._access_points.get(arn.rsplit("/", 1)[-1])
    system = point and efs._file_systems.get(point["FileSystemId"])
    if not system:
        raise MountError(f"the access point {arn} or its file system does not exist")
    if not permissions.client_allows(role, "elasticfilesystem:ClientMount", system, arn):
        raise MountError(f"the role {role} may not do elasticfilesystem:ClientMount through {arn}")
    directory = point.get("RootDirectory") or {}
    top = host.layout.efs / system["FileSystemId"]
    top.mkdir(exist_ok=True)
    folder = top / directory.get("Path", "/").strip("/")
    _make_root(folder, directory.get("CreationInfo"), arn)
    posix = point.get("PosixUser")
    return _Mount(
        folder=folder,
        path=entry["LocalMountPath"],
        writable=permissions.client_allows(role, "elasticfilesystem:ClientWrite", system, arn),
        user=(int(posix["Uid"]), int(posix["Gid"])) if posix else None,
    )


def _make_root(folder: Path, creation: dict[str, Any] | None, arn: str) -> None:
    """Create the root folder of an access point with its owner and permissions; an existing one is left alone."""
    with _making_folders:
        if folder.is_dir():
            return
        if not creation:
            raise MountError(f"the root directory of {arn} is not there, and it names no creation info to make it with")
        folder.mkdir(parents=True)
        folder.chmod(int(creation["Permissions"], 8))
        if sys.platform.startswith("linux") and _has_users():
            os.chown(folder, int(creation["OwnerUid"]), int(creation["OwnerGid"]))


def _layers(host: Host, config: dict[str, Any]) -> Path | None:
    """Return the folder with all layers of the function, one on top of the other."""
    contents = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or []]
    return _extracted(host, [content for content in contents if content]) if contents else None


def _extracted(host: Host, archives: list[bytes]) -> Path:
    """Return a folder with the archives' files, later ones over earlier ones; the same bytes are extracted once."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(archive).digest() for archive in archives)).hexdigest()
    folder = host.layout.temporary / "extracted" / digest
    with _making_folders:
        if not folder.is_dir():
            staging = folder.with_suffix(".partial")
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            for archive in archives:
                with zipfile.ZipFile(io.BytesIO(archive)) as opened:
                    opened.extractall(staging)
            staging.rename(folder)
    return folder
