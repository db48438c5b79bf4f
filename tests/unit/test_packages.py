"""What `modelctl package` promises: reproducible, compiled, complete and small packages that Terraform accepts."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from modelctl import paths, runtimes
from modelctl.cli import main
from modelctl.errors import UserError
from modelctl.packaging import environments, packages
from modelctl.terraform import program
from unit.functions.onnx_artifacts import graph

MAGIC_NUMBER_313 = (3571).to_bytes(2, "little") + b"\r\n"
EM_X86_64, EM_AARCH64 = 62, 183  # e_machine of the ELF header
IMAGE = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard@sha256:{'0' * 64}"
UNCHECKED_HASH = (1).to_bytes(4, "little")  # PEP 552: valid whatever the source beside it is


class Yard:
    """A copy of functions/ and a folder for packages, so that a test can change what is built."""

    def __init__(self, folder: Path) -> None:
        self.functions = folder / "functions"
        self.packages = folder / "packages"
        shutil.copytree(paths.FUNCTIONS, self.functions, ignore=shutil.ignore_patterns("__pycache__"))

    def build(self, wanted: list[str] | None = None, target: Literal["local", "aws"] = "local") -> packages.Manifest:
        with self.used():
            return packages.build(wanted, target)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Have modelctl work here."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(paths, "FUNCTIONS", self.functions)
            patch.setattr(paths, "PACKAGES", self.packages)
            yield

    def open(self, package: packages.Package) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.packages / package["file"])

    def unpack(self, package: packages.Package, folder: Path) -> Path:
        with self.open(package) as archive:
            archive.extractall(folder)
        return folder


LAYERS = ["litert", "onnx"]


def layer(manifest: packages.Manifest, runtime: str = "litert") -> packages.Package:
    return manifest["layers"][runtime]["x86_64"]


def all_of(manifest: packages.Manifest) -> list[packages.Package]:
    return list(packages.contents(manifest).values())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Yard, packages.Manifest]:
    """Everything, as the checkout has it for all tests; for tests that change nothing."""
    packages.build()
    yard = Yard(tmp_path_factory.mktemp("built"))
    yard.packages.mkdir()
    for file in paths.PACKAGES.glob("*-local-*.zip"):
        shutil.copy(file, yard.packages)
    return yard, yard.build()


@pytest.fixture
def yard(tmp_path: Path, built: tuple[Yard, packages.Manifest]) -> Yard:
    """Everything, built, for one test to change."""
    return copy(built[0], tmp_path)


@pytest.fixture(scope="module")
def for_aws(tmp_path_factory: pytest.TempPathFactory) -> tuple[Yard, packages.Manifest]:
    """The packages for AWS, built once; for tests that change nothing."""
    yard = Yard(tmp_path_factory.mktemp("for-aws"))
    try:
        return yard, yard.build(target="aws")
    except UserError as problem:
        if "could neither find nor fetch it" in str(problem):
            pytest.skip(f"there is no Python {packages._AWS_PYTHON} on this machine, and uv cannot fetch it")
        raise


def copy(yard: Yard, folder: Path) -> Yard:
    """Link what was built into a yard that a test may change; the manifest, which it may write to, is its own."""
    new = Yard(folder)
    shutil.copytree(yard.packages, new.packages, copy_function=os.link, ignore=shutil.ignore_patterns("manifest.json"))
    shutil.copy(yard.packages / "manifest.json", new.packages)
    return new


def test_the_same_sources_give_the_same_bytes_in_another_folder_whatever_is_compiled_already(
    built: tuple[Yard, packages.Manifest], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_COMPILE_BYTECODE", "1")  # uv's hold the time of their source
    again = Yard(tmp_path_factory.mktemp("a-folder-with-another-name") / "and-depth")
    assert again.build() == built[1]


def test_what_is_up_to_date_is_left_alone(yard: Yard) -> None:
    before = {path: path.stat().st_mtime_ns for path in yard.packages.glob("*.zip")}
    yard.build()
    assert {path: path.stat().st_mtime_ns for path in yard.packages.glob("*.zip")} == before


def test_what_is_built_is_known_without_building(yard: Yard) -> None:
    manifest = yard.packages / "manifest.json"
    with yard.used():
        assert packages.are_built({"litert", "tensorflow"}, "local")
        assert not packages.are_built({"litert"}, "aws")
        (yard.functions / "inference" / "keys.py").write_text("")
        assert not packages.are_built({"litert"}, "local")
        packages.build(["onnx"])
        assert packages.are_built({"litert", "onnx"}, "local"), "a layer that is up to date stays"
        assert not packages.are_built({"tensorflow"}, "local")
        described = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**described, "layers": {"onnx": described["layers"]["onnx"]}}))
        assert packages.are_built({"onnx"}, "local")
        assert not packages.are_built({"litert"}, "local")
        (yard.packages / described["code"]["inference"]["file"]).unlink()
        assert not packages.are_built({"onnx"}, "local")
        for written in ('{"target": "local"}', "", "[]"):
            manifest.write_text(written)
            assert not packages.are_built({"onnx"}, "local")
        manifest.unlink()
        assert not packages.are_built({"onnx"}, "local")


def test_packages_that_are_made_for_a_benchmark_leave_the_manifest_of_a_deployment_as_it_is(yard: Yard) -> None:
    manifest = yard.packages / "manifest.json"
    manifest.write_text('{"target": "aws"}')
    with yard.used():
        made = packages.make(["litert"])
    assert (yard.packages / layer(made)["file"]).is_file()
    assert manifest.read_text() == '{"target": "aws"}'


def test_the_manifest_lies_beside_the_packages_and_names_all_of_them(built: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = built
    assert json.loads((yard.packages / "manifest.json").read_text()) == manifest
    assert manifest["manifest_version"] == 1
    assert manifest["target"] == "local"
    assert manifest["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert set(manifest["code"]) == {"inference", "inference-tensorflow", "weights_sync"}
    named = {package["file"] for package in all_of(manifest)}
    assert {path.name for path in yard.packages.glob("*.zip")} == named


def test_code_is_the_function_and_nothing_else(built: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = built
    for name, code in manifest["code"].items():
        function = "weights_sync" if name == "weights_sync" else "inference"
        with yard.open(code) as archive:
            names = set(archive.namelist())
        sources = {path.relative_to(yard.functions).as_posix() for path in (yard.functions / function).rglob("*.py")}
        assert {path for path in names if path.endswith(".py")} == sources
        others = names - sources - {path for path in names if path.endswith(".pyc")}
        table = {"inference/runtimes.json"} if function == "inference" else set()
        assert others == table | ({".environment"} if name == "inference-tensorflow" else set())
        # 400 kB where AWS keeps them; here they are zipped in less time, which adds a tenth.
        assert (yard.packages / code["file"]).stat().st_size < 440_000


def test_tensorflow_code_names_an_environment_that_is_there(built: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = built
    with yard.open(manifest["code"]["inference-tensorflow"]) as archive:
        environment = Path(archive.read(".environment").decode())
    assert environment == paths.ENVIRONMENTS / "tensorflow"
    assert (environment / "bin" / "python").exists()


@pytest.mark.parametrize("runtime", LAYERS)
def test_a_layer_lies_below_python_without_what_no_function_needs(
    runtime: str, built: tuple[Yard, packages.Manifest]
) -> None:
    yard, manifest = built
    with yard.open(layer(manifest, runtime)) as archive:
        names = archive.namelist()
        unzipped = sum(entry.file_size for entry in archive.infolist())
    assert all(name.startswith("python/") for name in names)
    assert not [name for name in names if "/tests/" in name or "Accelerator" in name or name.startswith("python/bin/")]
    assert [name for name in names if name.startswith("python/numpy-") and "LICENSE" in name]
    assert unzipped < 130_000_000


def test_entries_say_nothing_of_when_and_by_whom_they_were_made(built: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = built
    for package in all_of(manifest):
        with yard.open(package) as archive:
            entries = archive.infolist()
        assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in entries} == {0o100644}


def test_every_module_is_compiled(built: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = built
    for package in all_of(manifest):
        with yard.open(package) as archive:
            names = set(archive.namelist())
            for source in (Path(name) for name in names if name.endswith(".py")):
                compiled = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
                assert compiled.as_posix() in names, f"{source} has no .pyc"
                assert archive.read(compiled.as_posix())[:8] == MAGIC_NUMBER + UNCHECKED_HASH


def test_compiled_modules_are_used_whatever_the_time_of_their_source(
    built: tuple[Yard, packages.Manifest], tmp_path: Path
) -> None:
    yard, manifest = built
    code = yard.unpack(manifest["code"]["weights_sync"], tmp_path)
    for source in code.rglob("*.py"):
        source.write_text("raise ImportError('the source was read')\n")
    bare("import weights_sync", code)


def test_the_layer_alone_runs_the_digits_model(built: tuple[Yard, packages.Manifest], tmp_path: Path) -> None:
    yard, manifest = built
    unpacked = yard.unpack(layer(manifest), tmp_path)
    samples = paths.CHECKOUT / "models" / "digits" / "samples"
    first = next(samples.glob("*.png"))
    program = f"""
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
import numpy as np
scan = np.asarray(Image.open({str(first)!r}), np.float32)[np.newaxis, ..., np.newaxis] / 255
model = Interpreter({str(paths.CHECKOUT / "models" / "digits" / "artifact" / "model.tflite")!r})
print(model.get_signature_runner("serving_default")(scan=scan)["output_0"].shape)
"""
    assert bare(program, unpacked / "python") == "(1, 10)\n"


def test_the_onnx_layer_alone_runs_a_model(built: tuple[Yard, packages.Manifest], tmp_path: Path) -> None:
    yard, manifest = built
    unpacked = yard.unpack(layer(manifest, "onnx"), tmp_path)
    model = graph("(float[N, 3] x) => (float[N, 3] y) { y = Add(x, x) }").SerializeToString()
    program = f"""
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession({model!r}, providers=["CPUExecutionProvider"])
print(session.run(None, {{"x": np.ones((1, 3), np.float32)}})[0].tolist())
"""
    assert bare(program, unpacked / "python") == "[[2.0, 2.0, 2.0]]\n"


def test_terraform_accepts_what_was_built(built: tuple[Yard, packages.Manifest], tmp_path: Path) -> None:
    assert problems(built[0], tmp_path) == []


@pytest.mark.parametrize("source", ["weights_sync/new.py", "inference/runtimes.json"])
def test_terraform_sees_that_a_source_was_changed(source: str, yard: Yard, tmp_path: Path) -> None:
    yard.build()
    with (yard.functions / source).open("a") as file:
        file.write("\n")
    (problem,) = problems(yard, tmp_path)
    assert "stale" in problem


def test_changed_code_is_built_anew_and_the_layer_is_not(yard: Yard, built: tuple[Yard, packages.Manifest]) -> None:
    (yard.functions / "inference" / "__init__.py").write_text('"""Changed."""\n')
    before, after = built[1], yard.build()
    assert after["sources"] != before["sources"]
    assert after["code"]["inference"] != before["code"]["inference"]
    assert after["code"]["inference-tensorflow"] != before["code"]["inference-tensorflow"]
    assert after["code"]["weights_sync"] == before["code"]["weights_sync"]
    assert after["layers"] == before["layers"]
    assert not (yard.packages / before["code"]["inference"]["file"]).exists()


def test_a_runtime_that_was_not_asked_for_stays_while_it_is_up_to_date(
    yard: Yard, built: tuple[Yard, packages.Manifest]
) -> None:
    assert yard.build(["litert"]) == built[1]
    (yard.functions / "inference" / "__init__.py").write_text('"""Changed."""\n')
    assert "inference-tensorflow" not in yard.build(["litert"])["code"]


def test_an_unknown_runtime_is_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["package", "litert", "onnxx"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "'onnxx'" in said
    assert all(runtime in said for runtime in runtimes.TABLE)


def test_a_function_without_code_is_refused(yard: Yard) -> None:
    shutil.rmtree(yard.functions / "weights_sync")
    with pytest.raises(UserError, match="weights_sync contains no Python files"):
        yard.build()


def test_a_layer_that_lacks_a_dependency_is_not_built(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_LEFT_OUT", (*packages._LEFT_OUT, "python/numpy/*"))
    (yard.packages / layer(yard.build())["file"]).unlink()
    with pytest.raises(UserError, match=r"layer litert cannot be imported on its own(.|\n)*No module named 'numpy'"):
        yard.build(["litert"])
    assert not list(yard.packages.glob("litert-*"))


def test_requirements_that_do_not_match_their_hashes_are_refused(yard: Yard) -> None:
    requirements = yard.functions / "inference" / "requirements" / "litert.txt"
    text = requirements.read_text()
    at = text.index("numpy==")
    requirements.write_text(text[:at] + text[at:].replace("sha256:", "sha256:00", 1))
    with pytest.raises(UserError, match=r"layer litert: uv could not install litert.txt"):
        yard.build(["litert"])


def test_a_layer_that_lambda_would_refuse_beside_the_code_is_no_package(
    yard: Yard, built: tuple[Yard, packages.Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    with built[0].used():
        _, unzipped = packages.sizes(layer(built[1]))
    monkeypatch.setattr(packages, "_UNZIPPED_LIMIT", unzipped)
    (yard.packages / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"layer litert x86_64: .* unzipped, together with the code"):
        yard.build()
    assert not (yard.packages / "manifest.json").exists()


def test_on_the_local_stack_one_layer_serves_both_architectures(built: tuple[Yard, packages.Manifest]) -> None:
    assert built[1]["layers"]["litert"]["arm64"] == built[1]["layers"]["litert"]["x86_64"]


def test_what_is_for_aws_is_for_its_python_and_processors(for_aws: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = for_aws
    assert manifest["target"] == "aws"
    assert manifest["python"] == "3.13"
    assert set(manifest["code"]) == {"inference", "weights_sync"}
    for architecture, machine in {"x86_64": EM_X86_64, "arm64": EM_AARCH64}.items():
        for runtime in LAYERS:
            with yard.open(manifest["layers"][runtime][architecture]) as archive:
                libraries = {name: archive.read(name) for name in archive.namelist() if re.search(r"\.so(\.|$)", name)}
            assert {content[:4] for content in libraries.values()} == {b"\x7fELF"}
            assert {int.from_bytes(content[18:20], "little") for content in libraries.values()} == {machine}
            versions = set(re.findall(r"\.cpython-(\d+)", " ".join(libraries)))
            assert versions == {"313"}


def test_what_is_for_aws_is_compiled_by_its_python(for_aws: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = for_aws
    for package in packages.contents(manifest).values():
        with yard.open(package) as archive:
            compiled = [name for name in archive.namelist() if name.endswith(".pyc")]
            sources = [name for name in archive.namelist() if name.endswith(".py")]
            assert len(compiled) == len(sources) > 0
            assert {name.split(".")[-2] for name in compiled} == {"cpython-313"}
            assert {archive.read(name)[:8] for name in compiled} == {MAGIC_NUMBER_313 + UNCHECKED_HASH}


def test_what_is_for_aws_fits_into_a_function(for_aws: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = for_aws
    with yard.used():
        _, code = packages.sizes(manifest["code"]["inference"])
        for package in (package for runtime in LAYERS for package in manifest["layers"][runtime].values()):
            zipped, unzipped = packages.sizes(package)
            assert code + unzipped < 250_000_000
            assert zipped < 50_000_000


# For AWS, too, layers are packed as code is; that theirs depend on no folder, the first test shows on this machine.
@pytest.mark.parametrize("wanted", [[], pytest.param(None, marks=pytest.mark.soak)], ids=["code", "all"])
def test_packages_for_aws_are_the_same_bytes_in_another_folder(
    wanted: list[str] | None,
    for_aws: tuple[Yard, packages.Manifest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    built = Yard(tmp_path / "another" / "yard").build(wanted, target="aws")
    assert built == ({**for_aws[1], "layers": {}} if wanted == [] else for_aws[1])


@pytest.mark.usefixtures("for_aws")
def test_packages_for_aws_are_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    # Later patch versions compile the generator expression, and zlib's successors zip, to other bytes.
    source = b"def filled(rows):\n    return tuple(row for row in rows if row)\n" * 99
    recipe = packages._code(packages._aws(), "sample", {"sample/rows.py": source})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "PACKAGES", tmp_path)
        recipe.make()
        # Written down on one machine. It changes with the sample and with packages._AWS_PYTHON, and with nothing else.
        assert recipe.package()["sha256"] == "713d26da2225cb1753c0b7ef2837b88bf6e002d8b5e7fd35a48552c5b4363938"


def test_the_python_that_builds_for_aws_is_one_patch_version_whichever_the_machine_prefers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of Python 3.13 hardly a machine has two patch versions; any other minor version is as good.
    oldest, newest = two_patch_versions()
    monkeypatch.setattr(packages, "_AWS_PYTHON", oldest.version)
    monkeypatch.chdir(tmp_path)  # a .venv of the folder comes first as well
    yard, built = Yard(tmp_path), []
    for preferred in (oldest, newest):
        machine = tmp_path / preferred.version
        machine.mkdir()
        (machine / f"python{oldest.minor}").symlink_to(preferred.path)
        monkeypatch.setenv("PATH", os.pathsep.join(map(str, (machine, oldest.path.parent))))
        built.append(yard.build([], "aws"))
    assert built[0] == built[1]


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the layer runs on Linux on x86_64 only"
)
@pytest.mark.parametrize("runtime", LAYERS)
def test_a_layer_for_aws_runs_in_its_python(
    runtime: str, for_aws: tuple[Yard, packages.Manifest], tmp_path: Path
) -> None:
    unpacked = for_aws[0].unpack(layer(for_aws[1], runtime), tmp_path)
    program = f"import sys, {', '.join(runtimes.TABLE[runtime].imports)}; print(sys.version_info[:2])"
    assert bare(program, unpacked / "python", packages._aws().python) == "(3, 13)\n"


def test_terraform_accepts_packages_for_aws_on_aws_only(
    for_aws: tuple[Yard, packages.Manifest], tmp_path: Path
) -> None:
    yard = copy(for_aws[0], tmp_path / "yard")
    record_image(yard)
    assert problems(yard, tmp_path / "aws", local_stack=False) == []
    (problem,) = problems(yard, tmp_path / "local", local_stack=True)
    assert problem == ("the packages were built for AWS, but this is the local stack: run `.venv/bin/modelctl package`")


@pytest.mark.parametrize(
    "source",
    [
        "inference/handler.py",
        "inference/runtimes.json",
        "inference/Dockerfile",
        "inference/requirements/tensorflow.txt",
    ],
)
def test_terraform_sees_that_a_source_of_an_image_was_changed(
    source: str, for_aws: tuple[Yard, packages.Manifest], tmp_path: Path
) -> None:
    yard = copy(for_aws[0], tmp_path / "yard")
    record_image(yard)
    with (yard.functions / source).open("a") as file:
        file.write("\n")
    yard.build([], "aws")
    (problem,) = problems(yard, tmp_path, local_stack=False)
    assert problem == (
        f"models.wine: the image {IMAGE} is stale, because functions/inference has changed since it was built: run "
        "`.venv/bin/modelctl image tensorflow --architecture x86_64 --repository <your ECR repository in eu-central-1>`"
    )


def test_an_image_outlives_what_is_no_part_of_it(for_aws: tuple[Yard, packages.Manifest], tmp_path: Path) -> None:
    yard = copy(for_aws[0], tmp_path / "yard")
    record_image(yard)
    (yard.functions / "weights_sync" / "__init__.py").write_text('"""Changed."""\n')
    yard.build([], "local")
    yard.build([], "aws")
    assert problems(yard, tmp_path, local_stack=False) == []


def test_an_image_may_come_before_the_packages(for_aws: tuple[Yard, packages.Manifest], tmp_path: Path) -> None:
    yard = copy(for_aws[0], tmp_path / "yard")
    (yard.packages / "manifest.json").unlink()
    record_image(yard)
    (problem,) = problems(yard, tmp_path / "before", local_stack=False)
    assert problem == "the packages have not been built: run `.venv/bin/modelctl package --target aws`"
    yard.build([], "aws")
    assert problems(yard, tmp_path / "after", local_stack=False) == []


def test_packages_of_both_targets_lie_side_by_side(for_aws: tuple[Yard, packages.Manifest], tmp_path: Path) -> None:
    yard = copy(for_aws[0], tmp_path)
    yard.build(["litert"])
    before = {path: path.stat().st_mtime_ns for path in yard.packages.glob("*.zip")}
    assert yard.build(target="aws") == for_aws[1]
    assert yard.build(["litert"])["target"] == "local"
    assert {path: path.stat().st_mtime_ns for path in yard.packages.glob("*.zip")} == before


def test_tensorflow_is_no_package_for_aws(yard: Yard) -> None:
    with pytest.raises(UserError, match="container image: run `modelctl image tensorflow --repository"):
        yard.build(["tensorflow"], "aws")


def test_without_a_python_for_aws_the_way_out_is_told(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_AWS_PYTHON", "3.99")
    with pytest.raises(UserError, match=r"install Python 3\.99 and run the command again"):
        yard.build(["litert"], "aws")


def test_the_command_shows_what_is_there_also_when_nothing_was_to_do(
    built: tuple[Yard, packages.Manifest], capsys: pytest.CaptureFixture[str]
) -> None:
    yard, manifest = built
    with yard.used():
        assert main(["package"]) == 0
        rows = [line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
        assert main(["package", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == manifest
    assert [file for _, file in rows[1:]] == [package["file"] for package in packages.contents(manifest).values()]
    assert re.fullmatch(r"layer litert x86_64 +\d+\.\d MB +\d+\.\d MB", next(row for row, _ in rows if "layer" in row))


def test_the_command_builds_nothing_for_a_registry_with_a_key_that_occurs_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text("version: 1\nmodels:\n  digits:\n    input: {size: [8, 8],\n      size: [16, 16]}\n")
    monkeypatch.setattr(paths, "REGISTRY", path)
    monkeypatch.setattr(paths, "PACKAGES", tmp_path / "packages")

    assert main(["package"]) == 1

    said = capsys.readouterr().err
    assert f"{path}:5:7: models.digits.input.size: is given twice, on lines 4 and 5" in said
    assert not paths.PACKAGES.exists()


@pytest.mark.parametrize("runtime", ["litert", "onnx", "tensorflow"])
def test_runtimes_have_the_versions_that_the_tests_run_on(runtime: str) -> None:
    tested = versions(paths.CHECKOUT / "requirements.lock")
    packaged = versions(paths.FUNCTIONS / "inference" / "requirements" / f"{runtime}.txt")
    assert {name: tested.get(name) for name in packaged} == packaged


class Python(NamedTuple):
    """A Python of this machine, such as of version 3.11.2, minor version 3.11."""

    version: str
    minor: str
    path: Path


def two_patch_versions() -> tuple[Python, Python]:
    """Find the oldest and the newest patch version of any minor version of which this machine has several."""
    listed = environments.uv("uv lists no Python", "python", "list", "--only-installed", "--output-format", "json")
    minors: dict[str, dict[int, Python]] = {}
    for found in json.loads(listed):
        parts = found["version_parts"]
        minor = f"{parts['major']}.{parts['minor']}"
        if found["implementation"] == "cpython" and minor in {"3.11", "3.12", "3.13"}:
            # What is listed may be a shim, or the Python of a virtual environment.
            where = subprocess.check_output(
                [found["path"], "-I", "-c", "import os, sys; print(os.path.realpath(sys.executable))"], text=True
            )
            minors.setdefault(minor, {})[parts["patch"]] = Python(found["version"], minor, Path(where.strip()))
    for patches in minors.values():
        if len(patches) > 1:
            return patches[min(patches)], patches[max(patches)]
    pytest.skip("this machine has no minor version of Python in two patch versions")


def versions(lock: Path) -> dict[str, str]:
    """Read the pinned version of each package of a lock file."""
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", lock.read_text(), re.MULTILINE))


def bare(program: str, folder: Path, python: str = sys.executable) -> str:
    """Run a program in a Python that has its standard library and `folder`; return what it printed."""
    setup = f"import sys; sys.path.append({str(folder)!r})\n"
    command = [python, "-I", "-S", "-B", "-c", setup + program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def record_image(yard: Yard) -> None:
    """Record an image of tensorflow as `modelctl image` does."""
    with yard.used():
        image = packages.Image(uri=IMAGE, sources=packages.image_sources("tensorflow"))
        packages.record_image("tensorflow", "x86_64", image)


def problems(yard: Yard, folder: Path, *, local_stack: bool = True) -> list[str]:
    """Ask Terraform's module of the packages what keeps models of every runtime from running on what was built."""
    variables = {
        "manifest_file": str(yard.packages / "manifest.json"),
        "functions_dir": str(yard.functions),
        "local_stack": local_stack,
        "region": "eu-central-1",
        "runtime_images": {},
        "models": {
            "digits": {"runtime": "litert", "architecture": "x86_64"},
            "scans": {"runtime": "litert", "architecture": "arm64"},
            "prices": {"runtime": "onnx", "architecture": "arm64"},
            "wine": {"runtime": "tensorflow", "architecture": "x86_64"},
        },
    }
    # Without its outputs, whose precondition says the same, and in the console says it around the answer.
    ignore = shutil.ignore_patterns("outputs.tf", "tests", ".terraform*")
    module = shutil.copytree(paths.TERRAFORM / "modules" / "packages", folder / "module", ignore=ignore)
    (module / "test.auto.tfvars.json").write_text(json.dumps(variables))
    done = subprocess.run(
        [program.binary(), f"-chdir={module}", "console"],
        input="jsonencode(local.problems)",
        env={**os.environ, **program.QUIET},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(json.loads(done.stdout))
    return found
