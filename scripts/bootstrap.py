"""Sets the checkout up: .venv with the locked packages, Terraform, and where its AWS provider comes from.

Every `make` target runs it, with any Python 3.11 to 3.13; it needs nothing else. A second run takes only a moment.

    python3 scripts/bootstrap.py
"""

import hashlib
import io
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
TOOLS = CHECKOUT / ".local"
VENV = CHECKOUT / ".venv"
LOCK = CHECKOUT / "requirements.lock"

PYTHONS = ((3, 11), (3, 13))

# The first version that locks S3 state without a table; any Terraform of the user from this version on is used.
TERRAFORM_OLDEST = (1, 11)
TERRAFORM_VERSION = "1.11.4"
TERRAFORM_RELEASES = "https://releases.hashicorp.com/terraform"
# From terraform_1.11.4_SHA256SUMS.
TERRAFORM_SHA256 = {
    "linux_amd64": "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc",
    "linux_arm64": "a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633",
    "darwin_amd64": "a56d5002b9f7647291faccc3dd1a70350e60fb61e4c45037629508b8fdc2575b",
    "darwin_arm64": "867e0808fa971217043e25b7a792b10720c79b1546f8a68479b74f138be73e18",
}

PROVIDER_REGISTRY = "registry.terraform.io"
PROVIDER = Path(PROVIDER_REGISTRY) / "hashicorp" / "aws"
# The variable that names a filesystem mirror of providers; it takes precedence over any that is found.
MIRROR_VARIABLE = "MODELYARD_PROVIDER_MIRROR"
# Where a mirror is searched for if the variable is not set: in each folder below, by its layout.
SEARCHED = Path("/opt")


class SetupError(Exception):
    """Why the checkout cannot be set up, and what to do."""


def main() -> int:
    """Set everything up; returns the exit status."""
    try:
        check_python()
        check_place()
        install_packages()
        install_terraform()
        put_terraform_on_path()
        find_providers()
    except SetupError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except OSError as problem:
        print(
            f"error: {problem}: setup writes .venv and .local into {CHECKOUT}; make sure that there is room and "
            "that you may write there, or use a copy of the checkout",
            file=sys.stderr,
        )
        return 1
    return 0


def say(text: str) -> None:
    """Report progress on standard error: standard output belongs to the command that follows."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def check_python() -> None:
    """Refuse a Python that the locked packages were not resolved for."""
    oldest, newest = PYTHONS
    if not oldest <= sys.version_info[:2] <= newest:
        raise SetupError(
            f"Python {platform.python_version()} is not supported; expected 3.{oldest[1]} to 3.{newest[1]}: "
            f"name one with `make PYTHON=/path/to/python3.{newest[1]} …`"
        )


def check_place() -> None:
    """Refuse a checkout in which no environment works: a colon splits PATH, and setuptools expands variables."""
    if found := re.search(rf"{os.pathsep}|[{{}}]|\$(?=\w)", str(CHECKOUT)):
        raise SetupError(
            f"the checkout's path {CHECKOUT} contains {found[0]!r}, which Python's installers refuse: move it elsewhere"
        )


def install_packages() -> None:
    """Make .venv and install exactly what requirements.lock names, every file checked against its hash."""
    pyproject = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    # The second says which folders are importable.
    installed = (pyproject["project"], pyproject["tool"]["setuptools"])
    wanted = hashlib.sha256(repr((LOCK.read_text(encoding="utf-8"), installed, sys.version, VENV)).encode()).hexdigest()
    marker = VENV / "installed"
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return
    python = VENV / "bin" / "python"
    say(f"creating .venv with Python {platform.python_version()}")
    try:
        venv.create(VENV, clear=True, with_pip=True)
    except subprocess.CalledProcessError as problem:
        said = (problem.output or b"").decode(errors="replace").strip().splitlines()
        raise SetupError(
            f"Python {platform.python_version()} cannot put pip into .venv ({said[-1] if said else problem}): "
            f"on Debian and Ubuntu, install python3.{sys.version_info[1]}-venv; elsewhere, install ensurepip, "
            "or name another Python with `make PYTHON=/path/to/python …`"
        ) from problem
    say(f"installing {LOCK.name} (with TensorFlow: about 300 MB the first time)")
    from modelctl.packaging import package_sources

    settings = package_sources.pip_settings(python)
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as uv_alone:
        uv_alone.write(locked("uv"))
        uv_alone.flush()
        run(*pip, "-r", uv_alone.name, env=package_sources.pip_environment(settings))
    uv = (VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", python)
    env = package_sources.uv_environment(settings, TOOLS / "uv")
    # Bytecode is compiled on purpose: without it, TensorFlow takes twice as long to start. The lock is complete, except
    # for what it overrides (pyproject.toml).
    run(*uv, "--compile-bytecode", "--no-deps", "--require-hashes", "-r", LOCK, env=env)
    run(*uv, "--no-deps", "--no-build-isolation", "--editable", CHECKOUT, env=env)
    marker.write_text(wanted, encoding="utf-8")


def locked(package: str) -> str:
    """The lines of requirements.lock that pin one package."""
    found = re.search(rf"^{package}==.*(\n    .*)*", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise SetupError(f"{LOCK.name} does not pin {package}: run `make lock`")
    return found[0] + "\n"


def install_terraform(releases: str = TERRAFORM_RELEASES, checksums: dict[str, str] | None = None) -> None:
    """Fetch a pinned Terraform into .local/bin if the PATH has none that is new enough.

    The archive is checked against its pinned sha256 before anything from it is written.
    """
    target = TOOLS / "bin" / "terraform"
    if target.exists() or ((on_path := terraform_version()) and on_path >= TERRAFORM_OLDEST):
        return
    system = platform.system().lower()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    wanted = (checksums or TERRAFORM_SHA256).get(f"{system}_{machine}")
    if not wanted:
        raise SetupError(
            f"no Terraform is pinned for {system}_{machine}: install Terraform 1.11 or newer and try again"
        )
    url = f"{releases}/{TERRAFORM_VERSION}/terraform_{TERRAFORM_VERSION}_{system}_{machine}.zip"
    say(f"fetching Terraform {TERRAFORM_VERSION} from {url}")
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - a constant https address
            archive = answer.read()
    except (urllib.error.URLError, TimeoutError) as problem:
        raise SetupError(
            f"Terraform cannot be fetched from {url} ({problem}): install Terraform 1.11 or newer"
        ) from problem
    found = hashlib.sha256(archive).hexdigest()
    if found != wanted:
        raise SetupError(f"{url} has sha256 {found}, expected {wanted}: it is not used; install Terraform by hand")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_bytes(zipfile.ZipFile(io.BytesIO(archive)).read("terraform"))
    part.chmod(0o755)
    part.rename(target)


def put_terraform_on_path() -> None:
    """Link a fetched Terraform next to modelctl: `.venv/bin` is what the README puts on the PATH."""
    fetched, beside = TOOLS / "bin" / "terraform", VENV / "bin" / "terraform"
    if fetched.exists() and not beside.exists():
        beside.symlink_to(fetched)


def terraform_version() -> tuple[int, int] | None:
    """Major and minor version of the Terraform on the PATH, if there is one."""
    found = shutil.which("terraform")
    if not found:
        return None
    # A configuration file that does not exist is a warning on standard error, not a failure.
    answer = subprocess.run([found, "version", "-json"], capture_output=True, encoding="utf-8", check=False).stdout
    version = re.search(r'"terraform_version":\s*"(\d+)\.(\d+)', answer)
    return (int(version[1]), int(version[2])) if version else None


def find_providers() -> None:
    """Write .local/terraform.rc if Terraform must take its providers from a folder.

    It must if the variable says so, or if the registry cannot be reached and this machine has a filesystem mirror. The
    user's own configuration is left alone, and so are the folders that Terraform searches by itself.
    """
    rc = TOOLS / "terraform.rc"
    named = os.environ.get(MIRROR_VARIABLE)
    if named:
        if not (Path(named) / PROVIDER).is_dir():
            raise SetupError(
                f"{MIRROR_VARIABLE}={named} contains no {PROVIDER}: name the folder that contains {PROVIDER_REGISTRY}"
            )
        mirror: Path | None = Path(named)
    elif rc.exists() and all(Path(path).is_dir() for path in mirrors_of(rc)):
        return
    elif has_own_configuration() or registry_answers():
        mirror = None
    else:
        implied = [folder for folder in implied_mirrors() if os.access(folder / PROVIDER, os.R_OK)]
        mirror = None if implied else next((found.parents[2] for found in SEARCHED.glob(f"*/{PROVIDER}")), None)
        if not implied and not mirror:
            raise SetupError(
                f"{PROVIDER_REGISTRY} cannot be reached and no mirror of the AWS provider was found: "
                f"set {MIRROR_VARIABLE} to a folder made by `terraform providers mirror`"
            )
    if mirror is None:
        rc.unlink(missing_ok=True)
        return
    say(f"the AWS provider comes from the mirror {mirror}")
    rc.parent.mkdir(parents=True, exist_ok=True)
    mirrors = f'  filesystem_mirror {{\n    path = "{mirror.resolve()}"\n  }}\n'
    rc.write_text(f"provider_installation {{\n{mirrors}}}\n", encoding="utf-8")


def mirrors_of(rc: Path) -> list[str]:
    """The folders that .local/terraform.rc names."""
    return re.findall(r'path = "(.*)"', rc.read_text(encoding="utf-8"))


def has_own_configuration() -> bool:
    """Whether the user configured Terraform; a file that Terraform cannot read does not count, since it only warns."""
    named = os.environ.get("TF_CLI_CONFIG_FILE")
    file = Path(named) if named else in_home(".terraformrc")
    try:
        if stat.S_ISREG(file.stat().st_mode):
            file.open("rb").close()
            return True
    except FileNotFoundError:
        pass
    except OSError as problem:
        say(
            f"{file}, Terraform's configuration, is ignored, because it cannot be read ({problem.strerror}): "
            "make it readable, or name another one in TF_CLI_CONFIG_FILE"
        )
    return False


def in_home(path: str) -> Path:
    """A path in the user's home directory; for a user without one, the path does not exist."""
    return Path(os.path.expanduser(f"~/{path}"))  # noqa: PTH111 - Path.expanduser fails without a home


def registry_answers() -> bool:
    """Whether the provider registry can be reached."""
    try:
        with urllib.request.urlopen(f"https://{PROVIDER_REGISTRY}/.well-known/terraform.json", timeout=5):
            return True
    except OSError:
        return False


def implied_mirrors() -> Iterator[Path]:
    """The folders that Terraform searches by itself.

    https://developer.hashicorp.com/terraform/cli/config/config-file#implied-local-mirror-directories
    """
    yield in_home(".terraform.d/plugins")
    yield Path(os.environ.get("XDG_DATA_HOME") or in_home(".local/share")) / "terraform" / "plugins"
    for shared in os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":"):
        yield Path(shared) / "terraform" / "plugins"


def run(*arguments: str | Path, env: Mapping[str, str]) -> None:
    """Run a command of the setup; its own output says what went wrong."""
    done = subprocess.run([str(argument) for argument in arguments], env=env, stdout=sys.stderr, check=False)
    if done.returncode:
        raise SetupError(
            f"`{' '.join(map(str, arguments))}` failed with status {done.returncode}; see its output above"
        )


if __name__ == "__main__":
    sys.exit(main())
