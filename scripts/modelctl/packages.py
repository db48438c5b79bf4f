"""Builds what Terraform uploads: a layer per runtime, the functions' code, and the manifest that names them.

All of it lies in `build/packages/`. A zip is the same to the byte whenever one Python builds it (sorted entries, fixed
times and permissions) and is named by a digest of what it follows from, so one that is there is up to date. Its modules
are compiled: a function cannot write `.pyc` files itself and would pay for their lack at every cold start.
"""

import fcntl
import hashlib
import io
import json
import platform
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypedDict

from modelctl import console, environments, paths
from modelctl.errors import UserError

# What a layer must be able to import with nothing but Python around it, by runtime.
_LAYERS = {"litert": ("ai_edge_litert.interpreter", "numpy", "PIL.Image")}
# Too large for a layer. On the local stack the code of such a runtime names a Python environment instead.
_ENVIRONMENTS = ("tensorflow",)
_RUNTIMES = (*_LAYERS, *_ENVIRONMENTS)

# Files of a layer that no function needs, by their path in the layer; `*` matches slashes as well.
_LEFT_OUT = (
    "python/bin/*",  # console scripts, which name the Python of the machine that built them
    "python/.lock",
    "*/tests/*",
    "*.a",
    "*.h",
    "*.pxd",
    "*.pyi",
    "*.dist-info/RECORD",  # lists what is left out; the licences beside it stay
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "*.dist-info/uv_cache.json",
    "python/ai_edge_litert/aot/*",  # compiles for the neural processors of phones; only it needs backports and tqdm
    "python/ai_edge_litert/tools/*",
    "python/ai_edge_litert/vendors/*",
    "python/ai_edge_litert/libLiteRt*Accelerator.*",  # GPU
    "python/backports*",
    "python/tqdm*",
    "python/numpy/distutils/*",
    "python/numpy/f2py/*",
)

# Function and layers together: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_UNZIPPED_LIMIT = 250 * 1024 * 1024

# Lambda's names for what Python calls the machine.
_ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


class Package(TypedDict):
    """A zip beside the manifest: its file name, and its sha256 in hex."""

    file: str
    sha256: str


class Manifest(TypedDict):
    """What `manifest.json` holds.

    `python` is such as "3.11"; `sources` is the digest of `functions/`, which Terraform computes as well in order to
    refuse packages of other sources; `layers` has a package by runtime and architecture.
    """

    manifest_version: int
    target: str
    python: str
    sources: str
    code: dict[str, Package]
    layers: dict[str, dict[str, Package]]


@dataclass(frozen=True)
class _Recipe:
    """How a package is made.

    Args:
        name: what its file name begins with.
        inputs: all that its content follows from.
        unpacked_at: the folder in which Lambda unpacks it, for tracebacks.
        fill: puts the files of the package into an empty folder.
        imports: modules that must be importable from the package's folder `python`.
    """

    name: str
    inputs: Sequence[bytes]
    unpacked_at: str
    fill: Callable[[Path], None]
    imports: Sequence[str] = ()

    @property
    def path(self) -> Path:
        """Where the package lies, or will."""
        # This file is part of what a package follows from: what it leaves out, how it zips.
        parts = (Path(__file__).read_bytes(), sys.version.encode(), *self.inputs)
        digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
        return paths.PACKAGES / f"{self.name}-{digest[:16]}.zip"

    def make(self) -> None:
        """Make the package unless it is there."""
        if self.path.exists():
            return
        with console.step(f"package {self.name}"), tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            self.fill(folder)
            _compile(folder, self.unpacked_at)
            if self.imports:
                _check_imports(self.name, folder / "python", self.imports)
            unzipped = _zip(self.name, folder, self.path)
        console.note(f"  {_size(self.path.stat().st_size)}, unzipped {_size(unzipped)}")

    def package(self) -> Package:
        """Say what was made."""
        return Package(file=self.path.name, sha256=hashlib.sha256(self.path.read_bytes()).hexdigest())


def build(runtimes: Sequence[str] | None = None) -> Manifest:
    """Build the functions' code and the given runtimes (default: all) for the local stack, and write the manifest.

    What is up to date is not built again. A runtime that was not asked for stays in the manifest if it is up to date.

    Raises:
        UserError: a runtime or the architecture of this machine is unknown, or a package could not be made.
    """
    wanted = _RUNTIMES if runtimes is None else runtimes
    for runtime in wanted:
        if runtime not in _RUNTIMES:
            raise UserError(f"there is no runtime {runtime!r}: expected {' or '.join(_RUNTIMES)}")
    paths.PACKAGES.mkdir(parents=True, exist_ok=True)
    with (paths.PACKAGES / ".lock").open("w") as lock:
        # Two builds at once would remove each other's packages.
        fcntl.flock(lock, fcntl.LOCK_EX)
        manifest = _build(wanted)
        _replace(paths.PACKAGES / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())
        for file in {file.name for file in paths.PACKAGES.glob("*.zip")} - _files(manifest):
            (paths.PACKAGES / file).unlink()
    return manifest


def _build(wanted: Sequence[str]) -> Manifest:
    """Make the packages of the wanted runtimes; describe them, and those of the others that are up to date."""
    sources = _read_sources()
    listing = "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sources.items())
    manifest = Manifest(
        manifest_version=1,
        target="local",
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        sources=hashlib.sha256(listing.encode()).hexdigest(),
        code={},
        layers={},
    )
    for function in ("inference", "weights_sync"):
        recipe = _code(function, _modules(sources, function))
        recipe.make()
        manifest["code"][recipe.name] = recipe.package()
    for runtime, imports in _LAYERS.items():
        architecture = _architecture()
        recipe = _layer(f"{runtime}-{architecture}", _requirements(runtime), imports)
        if runtime in wanted:
            recipe.make()
        if recipe.path.exists():
            manifest["layers"][runtime] = {architecture: recipe.package()}
    for runtime in _ENVIRONMENTS:
        recipe = _environment_code(runtime, _modules(sources, "inference"))
        if runtime in wanted:
            with console.step(f"Python environment {runtime}"):
                environments.ensure(runtime, _requirements(runtime))
            recipe.make()
        if recipe.path.exists():
            manifest["code"][recipe.name] = recipe.package()
    return manifest


def _read_sources() -> dict[str, bytes]:
    """Read what Terraform's `fileset` finds below `functions/` for `**/*.{py,txt}`: content by path, sorted by path."""
    files = (file for file in paths.FUNCTIONS.rglob("*") if file.suffix in {".py", ".txt"} and file.is_file())
    return dict(sorted((file.relative_to(paths.FUNCTIONS).as_posix(), file.read_bytes()) for file in files))


def _modules(sources: Mapping[str, bytes], function: str) -> dict[str, bytes]:
    """Pick the Python files of a function."""
    modules = {
        path: content for path, content in sources.items() if path.startswith(f"{function}/") and path.endswith(".py")
    }
    if not modules:
        raise UserError(f"{paths.FUNCTIONS / function} holds no Python files: expected the code of {function}")
    return modules


def _requirements(runtime: str) -> Path:
    """Return the locked requirements of a runtime."""
    return paths.FUNCTIONS / "inference" / "requirements" / f"{runtime}.txt"


def _architecture() -> str:
    """Return Lambda's name for the architecture of this machine."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise UserError(f"this machine is a {machine!r}: layers can be built on {', '.join(_ARCHITECTURES)}")
    return _ARCHITECTURES[machine]


def _code(name: str, files: Mapping[str, bytes]) -> _Recipe:
    """Describe a package of code: its files, by path, and nothing else."""

    def fill(folder: Path) -> None:
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    inputs = [part for path, content in files.items() for part in (path.encode(), content)]
    return _Recipe(name, inputs, "/var/task", fill)


def _environment_code(runtime: str, modules: Mapping[str, bytes]) -> _Recipe:
    """Describe the code of the inference function that runs in a Python environment of the local stack."""
    code = _code(
        f"inference-{runtime}", {**modules, ".environment": str((paths.ENVIRONMENTS / runtime).absolute()).encode()}
    )
    # Other requirements make another environment at the same place: a function that is running must start anew.
    return replace(code, inputs=(*code.inputs, _requirements(runtime).read_bytes()))


def _layer(name: str, requirements: Path, imports: Sequence[str]) -> _Recipe:
    """Describe a layer with the packages of `requirements`, for the Python and the machine that run this."""

    def fill(folder: Path) -> None:
        _run(
            f"layer {name}: uv could not install {requirements.name}; mend what it says and run the command again",
            *(Path(sys.executable).parent / "uv", "pip", "install", "--quiet", "--python", sys.executable),
            *(
                "--target",
                folder / "python",
                "--require-hashes",
                "--only-binary",
                ":all:",
                "--requirements",
                requirements,
            ),
        )
        for entry in _entries(folder):
            if any(fnmatchcase(entry, pattern) for pattern in _LEFT_OUT):
                (folder / entry).unlink()
        # A zip has no empty folders, and in one Python sees a package: the check of the imports must not find it.
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    return _Recipe(name, (requirements.read_bytes(), name.encode()), "/opt", fill, imports)


def _compile(folder: Path, unpacked_at: str) -> None:
    """Add the `.pyc` files, which Python trusts without a look at the time of their source (unzipping changes it)."""
    _run(
        f"the modules in {unpacked_at} could not be compiled; mend what Python says",
        *(sys.executable, "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", folder, "-p", unpacked_at, folder),
        # A process of its own with a fixed environment: the bytes of a .pyc file show what its compiler had imported
        # before, and in which order strings hash.
        env={"PYTHONHASHSEED": "0"},
    )


def _check_imports(name: str, packages: Path, modules: Sequence[str]) -> None:
    """Make sure that a layer has all that its modules need."""
    statement = f"import sys; sys.path.append({str(packages)!r}); import {', '.join(modules)}"
    _run(
        f"layer {name}: it cannot be imported by itself; add to its requirements, or leave less out in {__file__}",
        *(sys.executable, "-I", "-S", "-B", "-c", statement),
    )


def _zip(name: str, folder: Path, file: Path) -> int:
    """Zip the files of `folder` and return their size in bytes, unzipped."""
    entries = _entries(folder)
    size = sum((folder / path).stat().st_size for path in entries)
    if size > _UNZIPPED_LIMIT:
        raise UserError(
            f"package {name}: {_size(size)} unzipped, and Lambda takes {_size(_UNZIPPED_LIMIT)} at most: "
            "leave out more, or make the runtime an image"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in entries:
            entry = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, which gives the permissions their meaning
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (folder / path).read_bytes())
    _replace(file, buffer.getvalue())
    return size


def _entries(folder: Path) -> list[str]:
    """Return the paths of all files of a folder, relative to it and sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _replace(file: Path, content: bytes) -> None:
    """Write a file in one step, so that it is never there by half; one build at a time does so."""
    temporary = file.with_name(".new")
    temporary.write_bytes(content)
    temporary.replace(file)


def _files(manifest: Manifest) -> set[str]:
    """Return the names of the files that a manifest names."""
    return {package["file"] for group in (manifest["code"], *manifest["layers"].values()) for package in group.values()}


def _run(failure: str, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
    """Run a program; if it fails, raise a UserError with `failure` and what the program said."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"{failure}:\n{(done.stderr + done.stdout).strip()}")


def _size(size: int) -> str:
    """Say a number of bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} KB"
