"""The set-up on machines that lack things: Terraform, the provider registry, a supported Python."""

import hashlib
import http.server
import io
import platform
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import bootstrap

ARCHIVE = io.BytesIO()
with zipfile.ZipFile(ARCHIVE, "w") as _zip:
    _zip.writestr("terraform", "#!/bin/sh\necho fetched\n")
SHA256 = hashlib.sha256(ARCHIVE.getvalue()).hexdigest()


@pytest.fixture
def releases() -> Iterator[str]:
    """A server on loopback that holds one release for every platform."""

    class Releases(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.startswith(f"/terraform/{bootstrap.TERRAFORM_VERSION}/")
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(ARCHIVE.getvalue() if found else b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Releases)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/terraform"
    server.shutdown()
    server.server_close()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without tools, on a machine without Terraform and with an empty home."""
    monkeypatch.setattr(bootstrap, "TOOLS", tmp_path / "tools")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in ("TF_CLI_CONFIG_FILE", "XDG_DATA_HOME", bootstrap.MIRROR_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "share"))
    return tmp_path / "tools"


def everywhere(checksum: str) -> dict[str, str]:
    return dict.fromkeys(bootstrap.TERRAFORM_SHA256, checksum)


def test_a_missing_terraform_is_fetched_and_can_be_run(tools: Path, releases: str) -> None:
    bootstrap.install_terraform(releases, everywhere(SHA256))
    fetched = tools / "bin" / "terraform"
    assert fetched.read_text() == "#!/bin/sh\necho fetched\n"
    assert fetched.stat().st_mode & 0o111


def test_a_fetched_terraform_lies_where_the_readme_puts_the_path(
    tools: Path, releases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / "venv")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    bootstrap.put_terraform_on_path()
    assert not (tmp_path / "venv" / "bin" / "terraform").exists(), (
        "a Terraform of the user's own is on the PATH already"
    )
    bootstrap.install_terraform(releases, everywhere(SHA256))
    bootstrap.put_terraform_on_path()
    bootstrap.put_terraform_on_path()
    assert (tmp_path / "venv" / "bin" / "terraform").resolve() == tools / "bin" / "terraform"


def test_a_release_with_another_checksum_is_not_used(tools: Path, releases: str) -> None:
    with pytest.raises(bootstrap.SetupError, match=f"has sha256 {SHA256}, expected {'0' * 64}"):
        bootstrap.install_terraform(releases, everywhere("0" * 64))
    assert not tools.exists()


def test_a_release_that_cannot_be_fetched_says_what_to_do(tools: Path, releases: str) -> None:
    with pytest.raises(bootstrap.SetupError, match=r"cannot be fetched.*404.*install Terraform 1\.11 or newer"):
        bootstrap.install_terraform(f"{releases}/nowhere", everywhere(SHA256))


def test_a_platform_without_a_pinned_release_says_what_to_do(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(bootstrap.SetupError, match="riscv64: install Terraform"):
        bootstrap.install_terraform()


@pytest.mark.parametrize(("version", "fetched"), [("1.11.0", False), ("2.0.1", False), ("1.10.5", True)])
def test_only_a_terraform_that_is_too_old_is_passed_over(
    tools: Path, releases: str, tmp_path: Path, version: str, fetched: bool
) -> None:
    own = tmp_path / "nothing" / "terraform"
    own.parent.mkdir()
    own.write_text(f'#!/bin/sh\necho \'{{"terraform_version": "{version}"}}\'\n')
    own.chmod(0o755)
    bootstrap.install_terraform(releases, everywhere(SHA256))
    assert (tools / "bin" / "terraform").exists() == fetched


def mirror(folder: Path) -> Path:
    (folder / bootstrap.PROVIDER).mkdir(parents=True)
    return folder


def test_the_mirror_that_the_variable_names_wins(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = mirror(tmp_path / "named")
    monkeypatch.setenv(bootstrap.MIRROR_VARIABLE, str(named))
    monkeypatch.setattr(bootstrap, "registry_answers", lambda: True)
    bootstrap.find_providers()
    assert f'path = "{named}"' in (tools / "terraform.rc").read_text()


def test_a_variable_that_names_no_mirror_is_refused(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bootstrap.MIRROR_VARIABLE, str(tmp_path))
    with pytest.raises(bootstrap.SetupError, match=r"holds no registry\.terraform\.io/hashicorp/aws"):
        bootstrap.find_providers()


def test_where_the_registry_answers_it_is_used(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "registry_answers", lambda: True)
    monkeypatch.setattr(bootstrap, "SEARCHED", mirror(tmp_path / "opt" / "providers").parent)
    bootstrap.find_providers()
    assert not (tools / "terraform.rc").exists()


def test_where_it_does_not_answer_terraforms_own_folders_come_first(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "registry_answers", lambda: False)
    monkeypatch.setattr(bootstrap, "SEARCHED", mirror(tmp_path / "opt" / "providers").parent)
    mirror(tmp_path / "home" / ".terraform.d" / "plugins")
    bootstrap.find_providers()
    assert not (tools / "terraform.rc").exists(), "Terraform searches these by itself"


def test_then_a_mirror_in_a_folder_of_opt_is_found_by_its_layout(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "registry_answers", lambda: False)
    monkeypatch.setattr(bootstrap, "SEARCHED", tmp_path / "opt")
    found = mirror(tmp_path / "opt" / "providers")
    bootstrap.find_providers()
    assert f'path = "{found}"' in (tools / "terraform.rc").read_text()


def test_without_registry_and_mirror_it_says_what_to_set(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "registry_answers", lambda: False)
    monkeypatch.setattr(bootstrap, "SEARCHED", tmp_path / "empty")
    with pytest.raises(bootstrap.SetupError, match=f"set {bootstrap.MIRROR_VARIABLE} to a folder"):
        bootstrap.find_providers()


def test_a_users_own_configuration_is_left_alone(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.tfrc"
    own.touch()
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(own))
    monkeypatch.setattr(bootstrap, "registry_answers", lambda: False)
    bootstrap.find_providers()
    assert not (tools / "terraform.rc").exists()


def test_an_unsupported_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10, 1))
    with pytest.raises(bootstrap.SetupError, match=r"expected 3\.11 to 3\.13"):
        bootstrap.check_python()


def test_packages_are_installed_again_when_what_is_importable_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyproject, lock = tmp_path / "pyproject.toml", tmp_path / "requirements.lock"
    lock.write_text("uv==1.0\n")
    installed: list[tuple[str | Path, ...]] = []
    for name, value in {"CHECKOUT": tmp_path, "VENV": tmp_path / "venv", "LOCK": lock}.items():
        monkeypatch.setattr(bootstrap, name, value)
    monkeypatch.setattr("venv.create", lambda folder, **_: folder.mkdir(exist_ok=True))
    monkeypatch.setattr(bootstrap, "run", lambda *command: installed.append(command))

    def installs(folders: str) -> bool:
        pyproject.write_text(f'[project]\nname = "yard"\n[tool.setuptools.packages.find]\nwhere = {folders}\n')
        installed.clear()
        bootstrap.install_packages()
        return any("--editable" in command for command in installed)

    assert installs('["scripts"]')
    assert not installs('["scripts"]')
    assert installs('["scripts", "functions"]')
