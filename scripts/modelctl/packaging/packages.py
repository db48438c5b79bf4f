"""Builds what Terraform uploads: a layer per runtime, the functions' code, and the manifest that names them.

All of it is in `build/packages/`. A zip is byte-identical whenever the same version of Python builds it (sorted
entries, fixed times and permissions). It is named by a digest of everything that determines it, so an existing one is
up to date. Packages for AWS are built by the same version everywhere, whichever runs this. Modules are compiled: a
function cannot write `.pyc` files itself and would pay for their absence at every cold start.

The manifest is for one target, the local stack or AWS. The packages for the other stay in place: to change targets,
only the manifest is rewritten. Images stay in it until `modelctl image` records newer ones.
"""

import fcntl
import hashlib
import json
import platform
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, TypedDict

from modelctl import console, paths, programs, runtimes
from modelctl.errors import UserError
from modelctl.packaging import environments, packing

_LAYERS = tuple(name for name, runtime in runtimes.TABLE.items() if runtime.package == "layer")
# Too large for a layer: an image on AWS, and on the local stack code that names a Python environment.
IMAGES = tuple(name for name, runtime in runtimes.TABLE.items() if runtime.package == "image")

# The files below `functions/` that packages are made from; Terraform's module `packages` hashes the same files.
_SOURCES = {".py", ".txt", ".json"}
# Those of them that make up a function's code.
_CODE = (".py", ".json")

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
    "python/onnxruntime/backend/*",
    "python/onnxruntime/capi/libonnxruntime.so*",  # for programs in C; the Python module holds all of it
    "python/onnxruntime/datasets/*",
    "python/onnxruntime/quantization/*",
    "python/onnxruntime/tools/*",
    "python/onnxruntime/transformers/*",
    "python/flatbuffers*",  # only what is left out of both runtimes needs these three
    "python/google/*",
    "python/packaging*",
    "python/protobuf*",
)

# Function and layers together: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_UNZIPPED_LIMIT = 250 * 1024 * 1024

# The Python that builds what is for AWS, down to the patch version: each compiles in its own way (3.13.1 changed every
# generator expression), and machines would make different packages of the same sources. Lambda's runtime is some patch
# version of the same minor version, all of which load what the first one compiled.
_AWS_PYTHON = "3.13.0"
# By architecture, uv's name for what the runtime's Amazon Linux 2023 (glibc 2.34) can load.
_AWS_PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
ARCHITECTURES = tuple(_AWS_PLATFORMS)


class Package(TypedDict):
    """A zip next to the manifest: its file name, and its sha256 in hex."""

    file: str
    sha256: str


class Image(TypedDict):
    """A container image in ECR: its URI by digest, and the digest of the sources that it was built from."""

    uri: str
    sources: str


class Manifest(TypedDict):
    """The content of `manifest.json`.

    `python` is such as "3.11"; `sources` is the digest of `functions/`, which Terraform computes as well in order to
    refuse packages of other sources; `layers` has a package by runtime and architecture, and `images` an image.
    """

    manifest_version: int
    target: str
    python: str
    sources: str
    code: dict[str, Package]
    layers: dict[str, dict[str, Package]]
    images: dict[str, dict[str, Image]]


@dataclass(frozen=True)
class _BuildTarget:
    """What packages are built for.

    Args:
        name: as in the manifest.
        python: the Python that compiles and zips.
        version: its version in full, such as "3.13.0"; another may compile to other bytes.
        platforms: by architecture, the platform that layers are for; None is this machine.
        level: how hard zlib tries, from 1 to 9.
    """

    name: Literal["local", "aws"]
    python: str
    version: str
    platforms: Mapping[str, str | None]
    level: int


@dataclass(frozen=True)
class _Recipe:
    """How a package is made.

    Args:
        target: what it is for.
        name: what its file name begins with.
        inputs: everything that determines its content.
        unpacked_at: the folder in which Lambda unpacks it, for tracebacks.
        fill: puts the files of the package into an empty folder.
        imports: modules that must be importable from the package's folder `python`.
    """

    target: _BuildTarget
    name: str
    inputs: Sequence[bytes]
    unpacked_at: str
    fill: Callable[[Path], None]
    imports: Sequence[str] = ()

    @property
    def path(self) -> Path:
        """The path of the package, whether it exists or not."""
        # These files also determine a package: what is left out, how it is compiled and zipped.
        program = (Path(__file__).read_bytes(), Path(packing.__file__).read_bytes())
        parts = (*program, self.target.version.encode(), *self.inputs)
        digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
        return paths.PACKAGES / f"{self.name}-{self.target.name}-{digest[:16]}.zip"

    def make(self) -> None:
        """Build the package unless it exists."""
        if self.path.exists():
            return
        with console.step(f"package {self.name}"), tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            self.fill(folder)
            if self.imports:
                _check_imports(self.name, folder / "python", self.imports)
            _pack(self.target, folder, self.unpacked_at, self.path)

    def package(self) -> Package:
        """Say what was made."""
        return Package(file=self.path.name, sha256=hashlib.sha256(self.path.read_bytes()).hexdigest())


def build(wanted: Sequence[str] | None = None, target: Literal["local", "aws"] = "local") -> Manifest:
    """Build the functions' code and the given runtimes (default: all that are packages), and write the manifest.

    What is up to date is not built again. A runtime that was not asked for stays in the manifest if it is up to date.

    Raises:
        UserError: a runtime is not a package on the target, or a package could not be built.
    """
    _refuse_images(wanted or (), target)
    described = _local() if target == "local" else _aws()
    with _alone():
        manifest = _build(described, tuple(runtimes.TABLE) if wanted is None else wanted)
        _check_sizes(manifest)
        _write(manifest)
        named = {package["file"] for package in contents(manifest).values()}
        for file in {file.name for file in paths.PACKAGES.glob(f"*-{target}-*.zip")} - named:
            (paths.PACKAGES / file).unlink()
    return manifest


def are_built(wanted: Collection[str], target: Literal["local", "aws"]) -> bool:
    """Whether the packages that these runtimes need exist, up to date and for this target."""
    manifest = _read()
    code = {f"inference-{runtime}" for runtime in wanted if runtime in IMAGES and target == "local"}
    return (
        manifest is not None
        and manifest.get("target") == target
        and manifest.get("sources") == _digest(_read_sources())
        and manifest["layers"].keys() >= set(wanted) - set(IMAGES)
        and manifest["code"].keys() >= code
        and all((paths.PACKAGES / package["file"]).exists() for package in contents(manifest).values())
    )


def make(wanted: Sequence[str]) -> Manifest:
    """Build what `build` would build for the local stack, and return its manifest; the stored one is not changed."""
    with _alone():
        return _build(_local(), wanted)


def image_sources(runtime: str) -> str:
    """Return the digest of what the image of a runtime is built from; Terraform computes the same."""
    files = (_requirements(runtime), paths.FUNCTIONS / "inference" / "Dockerfile")
    named = {file.relative_to(paths.FUNCTIONS).as_posix(): file.read_bytes() for file in files}
    return _digest({**_modules(_read_sources(), "inference"), **named})


def record_image(runtime: str, architecture: str, image: Image) -> None:
    """Record an image in the manifest, from which Terraform takes it."""
    with _alone():
        manifest = _read() or Manifest(
            manifest_version=1, target="aws", python="", sources="", code={}, layers={}, images={}
        )
        manifest["images"].setdefault(runtime, {})[architecture] = image
        _write(manifest)


def contents(manifest: Manifest) -> dict[str, Package]:
    """Return every package of a manifest by its description, such as "layer litert x86_64"."""
    code = {f"code {name}": package for name, package in manifest["code"].items()}
    layers = {
        f"layer {runtime} {architecture}": package
        for runtime, packages in manifest["layers"].items()
        for architecture, package in packages.items()
    }
    return {**code, **layers}


def sizes(package: Package) -> tuple[int, int]:
    """Return the bytes of a package, zipped and unzipped."""
    file = paths.PACKAGES / package["file"]
    with zipfile.ZipFile(file) as archive:
        return file.stat().st_size, sum(entry.file_size for entry in archive.infolist())


def for_people(size: int) -> str:
    """Say a number of bytes as AWS counts them: 1 MB is 1,024 KB."""
    return f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{size / 2**10:.0f} KB"


@contextmanager
def _alone() -> Iterator[None]:
    """Let only one build at a time work in the folder: two would remove each other's packages."""
    paths.PACKAGES.mkdir(parents=True, exist_ok=True)
    with (paths.PACKAGES / ".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _refuse_images(wanted: Sequence[str], target: Literal["local", "aws"]) -> None:
    """Refuse runtimes that are images on the target."""
    for runtime in wanted:
        if target == "aws" and runtime in IMAGES:
            raise UserError(
                f"the runtime {runtime} is too large for a layer and runs on AWS from a container image: "
                f"run `modelctl image {runtime} --repository <your ECR repository>`"
            )


def _local() -> _BuildTarget:
    """Describe the local stack: the Python that runs this."""
    # Functions run on this machine's processor there, whichever the registry names. Local packages cost nothing to
    # store: level 1 makes them a tenth larger, in a third of the time.
    return _BuildTarget("local", sys.executable, platform.python_version(), dict.fromkeys(_AWS_PLATFORMS), level=1)


def _aws() -> _BuildTarget:
    """Describe AWS, with its Python as it is on this machine or, failing that, as uv fetches it."""
    program = "import platform, sys; print(sys.executable, platform.python_version(), sep='\\n')"
    with console.step(f"looking for Python {_AWS_PYTHON}"):
        found = environments.uv(
            f"packages for AWS are compiled by Python {_AWS_PYTHON}, so that every machine builds the same ones, "
            f"but uv could neither find nor fetch it; install Python {_AWS_PYTHON} and run the command again",
            *("run", "--quiet", "--no-project", "--python", f"cpython{_AWS_PYTHON}"),
            *("python", "-I", "-c", program),
            # A shim of pyenv runs a version that is installed only where it is chosen as well.
            env={"PYENV_VERSION": _AWS_PYTHON},
        )
    python, version = found.splitlines()
    return _BuildTarget("aws", python, version, _AWS_PLATFORMS, level=6)


def _build(target: _BuildTarget, wanted: Sequence[str]) -> Manifest:
    """Make the packages of the wanted runtimes; describe them, and those of the others that are up to date."""
    sources = _read_sources()
    written = _read()
    manifest = Manifest(
        manifest_version=1,
        target=target.name,
        python=".".join(target.version.split(".")[:2]),
        sources=_digest(sources),
        code={},
        layers={},
        images=written["images"] if written else {},
    )
    for function in ("inference", "weights_sync"):
        recipe = _code(target, function, _modules(sources, function))
        recipe.make()
        manifest["code"][recipe.name] = recipe.package()
    for runtime in _LAYERS:
        recipes = {architecture: _layer(target, runtime, architecture) for architecture in target.platforms}
        if runtime in wanted:
            for recipe in recipes.values():
                recipe.make()
        if all(recipe.path.exists() for recipe in recipes.values()):
            manifest["layers"][runtime] = {architecture: recipe.package() for architecture, recipe in recipes.items()}
    for runtime in IMAGES if target.name == "local" else ():
        recipe = _environment_code(target, runtime, _modules(sources, "inference"))
        if runtime in wanted:
            with console.step(f"Python environment {runtime}"):
                environments.ensure(runtime, _requirements(runtime))
            recipe.make()
        if recipe.path.exists():
            manifest["code"][recipe.name] = recipe.package()
    return manifest


def _check_sizes(manifest: Manifest) -> None:
    """Refuse a layer that is too large for Lambda together with the code of the inference function."""
    _, code = sizes(manifest["code"]["inference"])
    for name, package in contents(manifest).items():
        unzipped = code + sizes(package)[1]
        if name.startswith("layer ") and unzipped > _UNZIPPED_LIMIT:
            raise UserError(
                f"{name}: {for_people(unzipped)} unzipped, together with the code, but Lambda takes at most "
                f"{for_people(_UNZIPPED_LIMIT)}: leave out more, or make the runtime an image"
            )


def _read_sources() -> dict[str, bytes]:
    """Read what Terraform's `fileset` finds below `functions/` for `**/*.{py,txt,json}`: content by path, in order."""
    files = (file for file in paths.FUNCTIONS.rglob("*") if file.suffix in _SOURCES and file.is_file())
    return dict(sorted((file.relative_to(paths.FUNCTIONS).as_posix(), file.read_bytes()) for file in files))


def _digest(files: Mapping[str, bytes]) -> str:
    """Return the digest of files by their paths, as Terraform computes it."""
    listing = "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def _modules(sources: Mapping[str, bytes], function: str) -> dict[str, bytes]:
    """Pick the files of a function's code."""
    modules = {
        path: content for path, content in sources.items() if path.startswith(f"{function}/") and path.endswith(_CODE)
    }
    if not modules:
        raise UserError(f"{paths.FUNCTIONS / function} contains no Python files: expected the code of {function}")
    return modules


def _requirements(runtime: str) -> Path:
    """Return the locked requirements of a runtime."""
    return paths.FUNCTIONS / "inference" / "requirements" / f"{runtime}.txt"


def _code(target: _BuildTarget, name: str, files: Mapping[str, bytes]) -> _Recipe:
    """Describe a package of code: its files, by path, and nothing else."""

    def fill(folder: Path) -> None:
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

    inputs = [part for path, content in files.items() for part in (path.encode(), content)]
    return _Recipe(target, name, inputs, "/var/task", fill)


def _environment_code(target: _BuildTarget, runtime: str, modules: Mapping[str, bytes]) -> _Recipe:
    """Describe the code of the inference function that runs in a Python environment of the local stack."""
    environment = str((paths.ENVIRONMENTS / runtime).absolute()).encode()
    code = _code(target, f"inference-{runtime}", {**modules, ".environment": environment})
    # Other requirements create another environment at the same place: a running function must be restarted.
    return replace(code, inputs=(*code.inputs, _requirements(runtime).read_bytes()))


def _layer(target: _BuildTarget, runtime: str, architecture: str) -> _Recipe:
    """Describe a layer with the locked requirements of a runtime."""
    requirements, wanted = _requirements(runtime), target.platforms[architecture]
    name = f"{runtime}-{architecture}" if wanted else runtime

    def fill(folder: Path) -> None:
        environments.uv(
            f"layer {name}: uv could not install {requirements.name}; fix what it reports and run the command again",
            *("pip", "install", "--quiet", "--python", target.python, "--target", folder / "python"),
            *(("--python-platform", wanted) if wanted else ()),
            *("--require-hashes", "--only-binary", ":all:", "--requirements", requirements),
        )
        for entry in packing.entries(folder):
            if any(fnmatchcase(entry, pattern) for pattern in _LEFT_OUT):
                (folder / entry).unlink()
        # A zip has no empty folders, and in one Python sees a package: the check of the imports must not find it.
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    inputs = (requirements.read_bytes(), (wanted or sysconfig.get_platform()).encode())
    # Here only what is for this machine can be imported. What is left out is the same everywhere.
    return _Recipe(target, name, inputs, "/opt", fill, imports=() if wanted else runtimes.TABLE[runtime].imports)


def _pack(target: _BuildTarget, folder: Path, unpacked_at: str, file: Path) -> None:
    """Compile the modules of a folder and zip it."""
    temporary = file.with_name(".new")
    programs.run(
        f"the modules in {unpacked_at} could not be compiled; fix what Python reports",
        *(target.python, "-S", "-P", packing.__file__, folder, unpacked_at, str(target.level), temporary),
        # A process of its own with a fixed environment: the bytes of a .pyc file show what its compiler had imported
        # before, and in which order strings hash.
        env={"PYTHONHASHSEED": "0"},
    )
    temporary.replace(file)


def _check_imports(name: str, packages: Path, modules: Sequence[str]) -> None:
    """Make sure that a layer has everything that its modules need."""
    statement = f"import sys; sys.path.append({str(packages)!r}); import {', '.join(modules)}"
    programs.run(
        f"layer {name} cannot be imported on its own; add to its requirements, or leave less out in {__file__}",
        *(sys.executable, "-I", "-S", "-B", "-c", statement),
    )


def _read() -> Manifest | None:
    """Read the manifest; None if there is no readable one."""
    try:
        manifest: Manifest = json.loads((paths.PACKAGES / "manifest.json").read_bytes())
        manifest.setdefault("images", {})  # earlier releases recorded none
    except (FileNotFoundError, ValueError, AttributeError):
        return None
    return manifest


def _write(manifest: Manifest) -> None:
    """Write the manifest atomically; only one build at a time does so."""
    temporary = paths.PACKAGES / ".new"
    temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    temporary.replace(paths.PACKAGES / "manifest.json")
