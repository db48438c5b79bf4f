"""The set-up on machines that lack things: Terraform, the provider registry, a supported Python."""

import errno
import hashlib
import http.server
import io
import os
import platform
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import bootstrap
from modelctl.packaging import package_sources

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
    with pytest.raises(bootstrap.SetupError, match=r"contains no registry\.terraform\.io/hashicorp/aws"):
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


@pytest.mark.parametrize("variable", [True, False])
def test_a_configuration_that_terraform_cannot_read_does_not_count(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: bool
) -> None:
    own = tmp_path / "home" / ".terraformrc"
    own.parent.mkdir()
    own.touch()
    if variable:
        monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(own))

    def refuse(file: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr(Path, "open", refuse)  # root can read every file
    assert not bootstrap.has_own_configuration()
    assert capsys.readouterr().err == (
        f"setup: {own}, Terraform's configuration, is ignored, because it cannot be read (Permission denied): "
        "make it readable, or name another one in TF_CLI_CONFIG_FILE\n"
    )


@pytest.mark.parametrize("named", ["", "nowhere", "."])
def test_a_configuration_that_is_not_there_does_not_count(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], named: str
) -> None:
    if named:
        monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / named))
    assert not bootstrap.has_own_configuration()
    assert capsys.readouterr().err == ""


def test_a_user_without_a_home_has_nothing_there(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 12345)  # without an entry in passwd
    monkeypatch.setattr(bootstrap, "registry_answers", lambda: False)
    monkeypatch.setattr(bootstrap, "SEARCHED", tmp_path / "opt")
    found = mirror(tmp_path / "opt" / "providers")
    with pytest.raises(RuntimeError):
        Path("~").expanduser()
    bootstrap.find_providers()
    assert f'path = "{found}"' in (tools / "terraform.rc").read_text()


@pytest.mark.parametrize("place", ["a:b", "a{b", "a}b", "$a"])
def test_a_place_in_which_python_makes_no_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    monkeypatch.setattr(bootstrap, "CHECKOUT", Path("/home/ann", place, "modelyard"))
    assert bootstrap.main() == 1
    said = capsys.readouterr().err
    assert said.startswith(
        f"error: the checkout's path /home/ann/{place}/modelyard contains '{place.strip('ab') or '$'}'"
    )
    assert said.count("\n") == 1


@pytest.mark.parametrize("place", ["a b", "[a]", "a*?", "a\\b", "$", "$ 1", "50%", "'a\"", "ü"])
def test_other_places_are_not(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(bootstrap, "CHECKOUT", Path("/home/ann", place, "modelyard"))
    bootstrap.check_place()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that was not set up, whose environment takes no time."""
    monkeypatch.setattr(bootstrap, "CHECKOUT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "LOCK", tmp_path / "requirements.lock")
    (tmp_path / "requirements.lock").write_text("uv==1.0\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "yard"\n[tool.setuptools.packages.find]\n')
    monkeypatch.setattr("venv.create", lambda folder, **_: folder.mkdir(exist_ok=True))
    return tmp_path


def test_a_checkout_that_cannot_be_written_is_named_in_one_line(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "file").touch()
    monkeypatch.setattr(bootstrap, "VENV", checkout / "file" / ".venv")
    assert bootstrap.main() == 1
    assert capsys.readouterr().err.splitlines()[1:] == [
        f"error: [Errno 20] Not a directory: '{checkout}/file/.venv': setup writes .venv and .local into "
        f"{checkout}; make sure that there is room and that you may write there, or use a copy of the checkout"
    ]


def test_a_python_without_ensurepip_says_what_to_install(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(1, ["python"], b"Error:\n/usr/bin/python3: No module named ensurepip\n")

    monkeypatch.setattr("venv.create", fail)
    assert bootstrap.main() == 1
    version, minor = platform.python_version(), sys.version_info[1]
    assert capsys.readouterr().err.splitlines()[1:] == [
        f"error: Python {version} cannot put pip into .venv (/usr/bin/python3: No module named ensurepip): on Debian "
        f"and Ubuntu, install python3.{minor}-venv; elsewhere, install ensurepip, or name another Python with "
        "`make PYTHON=/path/to/python …`"
    ]


def test_pip_and_uv_get_what_the_user_says_of_indexes_and_pip_nothing_else(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "wheels").mkdir()
    (checkout / "pip.conf").write_text(
        "[global]\nuser = true\ntarget = /elsewhere\nindex-url = https://first.example/simple\ntimeout = 7\n"
        f"find-links = {checkout}/wheels\n  {checkout}/no-wheels\n  https://links.example/a\n"
        "cert = /etc/company.pem\nproxy = http://proxy.example:3128\n"
        "[install]\nindex-url = https://company.example/simple\nconstraint = /etc/constraints.txt\n"
        "extra-index-url =\n  https://one.example/simple\n  https://two.example/simple\n"
        "trusted-host = company.example one.example\n"
    )
    foreign = ("PIP_", "UV_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY")
    for name in [name for name in os.environ if name.startswith(foreign)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(checkout))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(checkout / "pip.conf"))
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    (checkout / ".venv" / "bin").mkdir(parents=True)
    python = checkout / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    ran: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(bootstrap, "run", lambda *command, env: ran.setdefault(Path(command[0]).name, dict(env)))
    bootstrap.install_packages()

    def of_indexes(tool: str) -> dict[str, str]:
        return {name: value for name, value in ran[tool].items() if name.startswith(foreign)}

    links = f"{checkout}/wheels", "https://links.example/a"
    assert of_indexes("uv") == {
        "UV_DEFAULT_INDEX": "https://company.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": ",".join(links),
        "UV_INSECURE_HOST": "company.example one.example",
        "UV_HTTP_TIMEOUT": "9",
        "SSL_CERT_FILE": "/etc/company.pem",
        "HTTP_PROXY": "http://proxy.example:3128",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "PIP_CONFIG_FILE": str(checkout / "pip.conf"),
        "PIP_USER": "1",
        "PIP_TIMEOUT": "9",
    }
    assert {name: " ".join(value.split()) for name, value in of_indexes("python").items()} == {
        "PIP_INDEX_URL": "https://company.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://one.example/simple https://two.example/simple",
        "PIP_FIND_LINKS": f"{checkout}/wheels {checkout}/no-wheels https://links.example/a",
        "PIP_TRUSTED_HOST": "company.example one.example",
        "PIP_CERT": "/etc/company.pem",
        "PIP_PROXY": "http://proxy.example:3128",
        "PIP_TIMEOUT": "9",
        "PIP_CONFIG_FILE": os.devnull,
    }


def test_what_is_set_for_uv_itself_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.environ", {"HOME": "/", "UV_INDEX_URL": "https://mine.example/simple", "UV_NO_INDEX": "0"})
    settings = {"index-url": "https://company.example/simple", "no-index": "true", "timeout": "3.5"}
    assert package_sources.uv_environment(settings, tmp_path) == {
        "HOME": "/",
        "UV_INDEX_URL": "https://mine.example/simple",
        "UV_NO_INDEX": "0",
        "UV_HTTP_TIMEOUT": "3",
    }


@pytest.mark.parametrize(
    ("environment", "cache"),
    [({}, True), ({"HOME": "/closed"}, True), ({"XDG_CACHE_HOME": "/closed/cache"}, True), ({"HOME": "/open"}, False)],
)
def test_uv_has_a_cache_of_the_checkouts_where_the_user_has_no_place_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], cache: bool
) -> None:
    monkeypatch.setattr("os.environ", environment)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    monkeypatch.setattr("os.access", lambda place, mode: mode == os.F_OK or str(place).startswith("/open"))
    given = {"UV_CACHE_DIR": str(tmp_path)} if cache else {}
    assert package_sources.uv_environment({}, tmp_path) == environment | given


def test_an_unsupported_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10, 1))
    with pytest.raises(bootstrap.SetupError, match=r"expected 3\.11 to 3\.13"):
        bootstrap.check_python()


def test_packages_are_installed_again_when_what_is_importable_changes(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[tuple[str | Path, ...]] = []
    monkeypatch.setattr(bootstrap, "run", lambda *command, env: installed.append(command))
    monkeypatch.setattr(package_sources, "pip_settings", lambda _: {})

    def installs(folders: str) -> bool:
        found = f"[tool.setuptools.packages.find]\nwhere = {folders}\n"
        (checkout / "pyproject.toml").write_text(f'[project]\nname = "yard"\n{found}')
        installed.clear()
        bootstrap.install_packages()
        return any("--editable" in command for command in installed)

    assert installs('["scripts"]')
    assert not installs('["scripts"]')
    assert installs('["scripts", "functions"]')
