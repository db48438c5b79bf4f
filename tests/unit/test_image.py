"""What `modelctl image` promises: one clear line without Docker, and else an image that Lambda takes, by its digest."""

import base64
import json
import re
import shutil
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from modelctl import paths
from modelctl.cli import main
from modelctl.packaging import environments, packages

REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
REPOSITORY = f"{REGISTRY}/modelyard"
IMAGE = f"{REPOSITORY}@sha256:{'5' * 64}"
DOCKERFILE = paths.FUNCTIONS / "inference" / "Dockerfile"

# Writes down how it was called, answers as docker does, and fails where the test says so.
DOCKER = f"""#!{sys.executable} -I
import json, os, sys
from pathlib import Path

command, recorded = sys.argv[1:], Path(os.environ["RECORDED"])
called = {{"command": command, "stdin": sys.stdin.read() if "--password-stdin" in command else ""}}
with recorded.open("a") as file:
    file.write(json.dumps(called) + "\\n")
if command[0] == os.environ.get("FAILING"):
    sys.exit(os.environ.get("SAYING", "what docker says"))
if "--metadata-file" in command and "CHANGING" in os.environ:
    Path(os.environ["CHANGING"]).write_text("")
if "--metadata-file" in command:
    metadata = Path(command[command.index("--metadata-file") + 1])
    metadata.write_text(json.dumps({{"containerimage.digest": "sha256:{"5" * 64}"}}))
"""


class Ecr(BaseHTTPRequestHandler):
    """The one call of ECR that is made."""

    def do_POST(self) -> None:
        assert self.headers["X-Amz-Target"].endswith(".GetAuthorizationToken")
        assert "/eu-central-1/ecr/" in self.headers["Authorization"]
        self.rfile.read(int(self.headers["Content-Length"]))
        token = base64.b64encode(b"AWS:a:password").decode()
        body = json.dumps({"authorizationData": [{"authorizationToken": token}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def ecr(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An ECR on loopback."""
    with HTTPServer(("127.0.0.1", 0), Ecr) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker in front of any other, and the file in which it writes down its calls."""
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("RECORDED", str(tmp_path / "recorded"))
    return tmp_path / "recorded"


@pytest.fixture(autouse=True)
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where images are recorded."""
    monkeypatch.setattr(paths, "PACKAGES", tmp_path / "packages")
    return tmp_path / "packages" / "manifest.json"


def image(*arguments: str) -> int:
    return main(["image", "tensorflow", "--repository", REPOSITORY, *arguments])


@pytest.mark.parametrize(("architecture", "docker_platform"), [("x86_64", "linux/amd64"), ("arm64", "linux/arm64")])
def test_the_image_is_built_and_pushed(architecture: str, docker_platform: str, recorded: Path) -> None:
    assert image("--architecture", architecture) == 0
    version, login, build = [json.loads(line) for line in recorded.read_text().splitlines()]
    assert version["command"][0] == "version"
    assert login == {
        "command": ["login", "--username", "AWS", "--password-stdin", REGISTRY],
        "stdin": "a:password",
    }
    command = build["command"]
    tag, metadata = (command[command.index(option) + 1] for option in ("--tag", "--metadata-file"))
    assert re.fullmatch(rf"{re.escape(REPOSITORY)}:tensorflow-{architecture}-\d{{8}}-\d{{6}}", tag)
    assert command == [
        *("buildx", "build", "--platform", docker_platform, "--pull", "--push", "--provenance=false"),
        *("--file", str(DOCKERFILE), "--build-arg", "RUNTIME=tensorflow"),
        *("--tag", tag, "--metadata-file", metadata, str(paths.FUNCTIONS)),
    ]


@pytest.mark.usefixtures("recorded")
def test_it_is_for_the_processor_that_an_entry_has_by_default(manifest: Path) -> None:
    assert image() == 0
    schema = json.loads((paths.TERRAFORM / "modules" / "registry" / "model_registry.schema.json").read_text())
    field = schema["$defs"]["architecture"]
    assert list(packages.ARCHITECTURES) == field["enum"]
    assert list(json.loads(manifest.read_text())["images"]["tensorflow"]) == [field["default"]]


@pytest.mark.usefixtures("recorded")
def test_it_prints_the_image_by_its_digest(capfd: pytest.CaptureFixture[str]) -> None:
    assert image() == 0
    assert capfd.readouterr().out == f"{IMAGE}\n"


@pytest.mark.usefixtures("recorded")
def test_json_is_one_document(capfd: pytest.CaptureFixture[str]) -> None:
    assert image("--json") == 0
    document = {"runtime": "tensorflow", "architecture": "x86_64", "uri": IMAGE}
    assert json.loads(capfd.readouterr().out) == {**document, "sources": packages.image_sources("tensorflow")}


@pytest.mark.usefixtures("recorded")
def test_the_manifest_names_the_image_of_each_architecture_and_keeps_the_packages(manifest: Path) -> None:
    packages.build([])
    before = json.loads(manifest.read_text())
    assert image() == 0
    assert image("--architecture", "arm64") == 0
    built = {"uri": IMAGE, "sources": packages.image_sources("tensorflow")}
    assert json.loads(manifest.read_text()) == {**before, "images": {"tensorflow": {"x86_64": built, "arm64": built}}}


def test_an_image_of_sources_that_changed_while_it_was_built_is_not_recorded(
    recorded: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    functions = shutil.copytree(paths.FUNCTIONS, recorded.with_name("functions"))
    monkeypatch.setattr(paths, "FUNCTIONS", functions)
    monkeypatch.setenv("CHANGING", str(functions / "inference" / "handler.py"))
    assert image() == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"error: {functions / 'inference'} was changed while the image of tensorflow was built, so nothing records "
        "what is in it: run the command again"
    )
    assert not manifest.exists()


@pytest.mark.usefixtures("recorded")
def test_a_machine_that_does_not_run_the_other_architecture_is_told_how_to(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAILING", "buildx")
    monkeypatch.setenv("SAYING", "ERROR: process exec /bin/sh: exec format error")
    assert image("--architecture", "arm64") == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "error: the image of tensorflow could not be built: this machine does not run programs for arm64; run `docker "
        "run --privileged --rm tonistiigi/binfmt --install arm64`, which adds an emulator, and then the command again"
    )
    assert not manifest.exists()


@pytest.mark.parametrize(
    ("failing", "message"),
    [
        ("version", "docker's engine does not respond; start it and run the command again"),
        ("login", f"docker could not log in to {REGISTRY}"),
        ("buildx", "the image of tensorflow could not be built and pushed; fix what docker reports"),
    ],
)
def test_what_fails_is_told_in_one_line_and_ends_the_command(
    failing: str, message: str, recorded: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAILING", failing)
    assert image() == 1
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1] == f"error: {message}: what docker says"
    assert json.loads(recorded.read_text().splitlines()[-1])["command"][0] == failing


def test_without_docker_it_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert image() == 1
    assert capfd.readouterr().err == (
        "error: docker, which builds images, is not installed: install it and run the command again\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["litert", "--repository", REPOSITORY], "invalid choice: 'litert'"),
        (["tensorflow", "--repository", f"{REPOSITORY}:tag"], f"{REPOSITORY}:tag' is not the URI of an ECR repository"),
        (["tensorflow", "--repository", "modelyard"], "'modelyard' is not the URI of an ECR repository"),
        (["tensorflow"], "required: --repository"),
        (["tensorflow", "--repository", REPOSITORY, "--architecture", "aarch64"], "invalid choice: 'aarch64'"),
    ],
)
def test_a_wrong_call_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["image", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_an_image_starts_with_the_handler_that_a_zip_starts_with() -> None:
    (command,) = re.findall(r"^CMD (.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    model = (paths.TERRAFORM / "modules" / "model" / "main.tf").read_text()
    assert re.findall(r'"(inference\.[a-z.]+)"', model) == json.loads(command)


def test_the_build_sees_what_the_dockerfile_copies_and_nothing_of_the_machine() -> None:
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    seen = {path for line in ignored if line.startswith("!") for path in paths.FUNCTIONS.glob(line[1:])}
    inference = paths.FUNCTIONS / "inference"
    assert seen == {*inference.rglob("*.py"), *inference.rglob("*.json"), *(inference / "requirements").glob("*.txt")}
    for source in re.findall(r"(?:source=|^COPY --chmod=\d+ )([a-z/]+)", DOCKERFILE.read_text(), re.MULTILINE):
        assert [path for path in seen if path.is_relative_to(paths.FUNCTIONS / source)], source


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_dockerfile_is_of_a_python_and_a_platform_that_its_requirements_have_wheels_for(
    machine: str, tmp_path: Path
) -> None:
    (base,) = re.findall(r"^FROM public\.ecr\.aws/lambda/python:(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    environments.uv(
        "the requirements cannot be installed",
        *("pip", "install", "--dry-run", "--quiet", "--target", tmp_path),
        *("--python", sys.executable, "--python-version", base, "--python-platform", f"{machine}-manylinux_2_28"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--requirements", DOCKERFILE.parent / "requirements" / "tensorflow.txt"),
    )
