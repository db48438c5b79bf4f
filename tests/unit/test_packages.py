"""What `modelctl package` promises: reproducible, compiled, complete and small packages that Terraform accepts."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from modelctl import packages, paths, terraform
from modelctl.errors import UserError

UNCHECKED_HASH = (1).to_bytes(4, "little")  # PEP 552: valid whatever the source beside it is


class Yard:
    """A copy of functions/ and a folder for packages, so that a test can change what is built."""

    def __init__(self, folder: Path) -> None:
        self.functions = folder / "functions"
        self.packages = folder / "packages"
        shutil.copytree(paths.FUNCTIONS, self.functions, ignore=shutil.ignore_patterns("__pycache__"))

    def build(self, runtimes: list[str] | None = None) -> packages.Manifest:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(paths, "FUNCTIONS", self.functions)
            patch.setattr(paths, "PACKAGES", self.packages)
            return packages.build(runtimes)

    def open(self, package: packages.Package) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.packages / package["file"])

    def unpack(self, package: packages.Package, folder: Path) -> Path:
        with self.open(package) as archive:
            archive.extractall(folder)
        return folder


def layer(manifest: packages.Manifest) -> packages.Package:
    (package,) = manifest["layers"]["litert"].values()
    return package


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Yard, packages.Manifest]:
    """Everything, built once; for tests that change nothing."""
    yard = Yard(tmp_path_factory.mktemp("built"))
    return yard, yard.build()


@pytest.fixture
def yard(tmp_path: Path, built: tuple[Yard, packages.Manifest]) -> Yard:
    """Everything, built, for one test to change."""
    yard = Yard(tmp_path)
    shutil.copytree(built[0].packages, yard.packages, copy_function=os.link)
    return yard


def test_the_same_sources_give_the_same_bytes_in_another_folder(
    built: tuple[Yard, packages.Manifest], tmp_path_factory: pytest.TempPathFactory
) -> None:
    again = Yard(tmp_path_factory.mktemp("a-folder-with-another-name") / "and-depth")
    assert again.build() == built[1]


def test_what_is_up_to_date_is_left_alone(yard: Yard) -> None:
    before = {path: path.stat().st_mtime_ns for path in yard.packages.glob("*.zip")}
    yard.build()
    assert {path: path.stat().st_mtime_ns for path in yard.packages.glob("*.zip")} == before


def test_the_manifest_lies_beside_the_packages_and_names_all_of_them(built: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = built
    assert json.loads((yard.packages / "manifest.json").read_text()) == manifest
    assert manifest["manifest_version"] == 1
    assert manifest["target"] == "local"
    assert manifest["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert set(manifest["code"]) == {"inference", "inference-tensorflow", "weights_sync"}
    named = {package["file"] for package in (*manifest["code"].values(), layer(manifest))}
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
        assert others == ({".environment"} if name == "inference-tensorflow" else set())
        assert (yard.packages / code["file"]).stat().st_size < 250_000


def test_tensorflow_code_names_an_environment_that_is_there(built: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = built
    with yard.open(manifest["code"]["inference-tensorflow"]) as archive:
        environment = Path(archive.read(".environment").decode())
    assert environment == paths.ENVIRONMENTS / "tensorflow"
    assert (environment / "bin" / "python").exists()


def test_a_layer_lies_below_python_without_what_no_function_needs(built: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = built
    with yard.open(layer(manifest)) as archive:
        names = archive.namelist()
        unzipped = sum(entry.file_size for entry in archive.infolist())
    assert all(name.startswith("python/") for name in names)
    assert not [name for name in names if "/tests/" in name or "Accelerator" in name or name.startswith("python/bin/")]
    assert [name for name in names if name.startswith("python/numpy-") and "LICENSE" in name]
    assert unzipped < 120_000_000


def test_entries_say_nothing_of_when_and_by_whom_they_were_made(built: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = built
    for package in (*manifest["code"].values(), layer(manifest)):
        with yard.open(package) as archive:
            entries = archive.infolist()
        assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in entries} == {0o100644}


def test_every_module_is_compiled(built: tuple[Yard, packages.Manifest]) -> None:
    yard, manifest = built
    for package in (*manifest["code"].values(), layer(manifest)):
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


def test_terraform_accepts_what_was_built(built: tuple[Yard, packages.Manifest], tmp_path: Path) -> None:
    assert problems(built[0], built[1], tmp_path) == []


def test_terraform_sees_that_a_source_was_changed(yard: Yard, tmp_path: Path) -> None:
    manifest = yard.build()
    (yard.functions / "weights_sync" / "new.py").write_text("")
    (problem,) = problems(yard, manifest, tmp_path)
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


def test_an_unknown_runtime_is_refused(yard: Yard) -> None:
    with pytest.raises(UserError, match="no runtime 'onnxx': expected litert or tensorflow"):
        yard.build(["litert", "onnxx"])


def test_a_function_without_code_is_refused(yard: Yard) -> None:
    shutil.rmtree(yard.functions / "weights_sync")
    with pytest.raises(UserError, match="weights_sync holds no Python files"):
        yard.build()


def test_a_layer_that_lacks_a_dependency_is_not_built(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_LEFT_OUT", (*packages._LEFT_OUT, "python/numpy/*"))
    (yard.packages / layer(yard.build())["file"]).unlink()
    with pytest.raises(UserError, match=r"layer litert-.* cannot be imported(.|\n)*No module named 'numpy'"):
        yard.build(["litert"])
    assert not list(yard.packages.glob("litert-*"))


def test_requirements_that_do_not_match_their_hashes_are_refused(yard: Yard) -> None:
    requirements = yard.functions / "inference" / "requirements" / "litert.txt"
    text = requirements.read_text()
    at = text.index("numpy==")
    requirements.write_text(text[:at] + text[at:].replace("sha256:", "sha256:00", 1))
    with pytest.raises(UserError, match=r"layer litert-.*: uv could not install litert.txt"):
        yard.build(["litert"])


def test_what_lambda_would_refuse_for_its_size_is_not_built(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    (yard.functions / "weights_sync" / "__init__.py").write_text('"""Changed."""\n')
    monkeypatch.setattr(packages, "_UNZIPPED_LIMIT", 1000)
    with pytest.raises(UserError, match=r"package weights_sync: .* unzipped"):
        yard.build()


@pytest.mark.parametrize("runtime", ["litert", "tensorflow"])
def test_runtimes_have_the_versions_that_the_tests_run_on(runtime: str) -> None:
    tested = versions(paths.CHECKOUT / "requirements.lock")
    packaged = versions(paths.FUNCTIONS / "inference" / "requirements" / f"{runtime}.txt")
    assert {name: tested.get(name) for name in packaged} == packaged


def versions(lock: Path) -> dict[str, str]:
    """Read the pinned version of each package of a lock file."""
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", lock.read_text(), re.MULTILINE))


def bare(program: str, folder: Path) -> str:
    """Run a program in a Python that has its standard library and `folder`; return what it printed."""
    setup = f"import sys; sys.path.append({str(folder)!r})\n"
    command = [sys.executable, "-I", "-S", "-B", "-c", setup + program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def problems(yard: Yard, manifest: packages.Manifest, folder: Path) -> list[str]:
    """Ask Terraform's module of the packages what keeps models of both runtimes from running on what was built."""
    (architecture,) = manifest["layers"]["litert"]
    variables = {
        "manifest_file": str(yard.packages / "manifest.json"),
        "functions_dir": str(yard.functions),
        "local_stack": True,
        "runtime_images": {},
        "models": {
            "digits": {"runtime": "litert", "architecture": architecture},
            "wine": {"runtime": "tensorflow", "architecture": architecture},
        },
    }
    # Without its outputs, whose precondition says the same, and in the console says it around the answer.
    ignore = shutil.ignore_patterns("outputs.tf", "tests", ".terraform*")
    module = shutil.copytree(paths.TERRAFORM / "modules" / "packages", folder / "module", ignore=ignore)
    (module / "test.auto.tfvars.json").write_text(json.dumps(variables))
    done = subprocess.run(
        [terraform.binary(), f"-chdir={module}", "console"],
        input="jsonencode(local.problems)",
        env={**os.environ, **terraform.QUIET},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(json.loads(done.stdout))
    return found
