"""Container images of runtimes that are too large for a layer, in ECR.

The manifest of the packages records each image with the digest of its sources; Terraform refuses other sources.
"""

import base64
import json
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import boto3

from modelctl import console, paths, programs
from modelctl.errors import UserError
from modelctl.packaging import packages

_REPOSITORY = re.compile(r"(\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?)/[a-z0-9][a-z0-9._/-]*")

# Docker's names for the architectures.
_DOCKER = {"x86_64": "amd64", "arm64": "arm64"}


class Repository(NamedTuple):
    """A repository in ECR: its URI, without a tag, and its registry and region, which the URI names."""

    uri: str
    registry: str
    region: str


def repository_of(uri: str) -> Repository | None:
    """The repository of a URI; None if it is not in ECR, or has a tag."""
    found = _REPOSITORY.fullmatch(uri)
    return Repository(uri, *found.groups()) if found else None


def push(runtime: str, architecture: str, repository: Repository) -> packages.Image:
    """Build the image of a runtime, push it, and record it in the manifest.

    Raises:
        UserError: no container engine was found, the build failed, or the sources changed during the build.
    """
    _check_docker()
    with console.step("logging in to ECR"):
        _log_in(repository)
    sources = packages.image_sources(runtime)
    with console.step(f"building and pushing the image of {runtime} for {architecture}"):
        uri = _build(runtime, architecture, repository)
    if packages.image_sources(runtime) != sources:
        raise UserError(
            f"{paths.FUNCTIONS / 'inference'} was changed while the image of {runtime} was built, so nothing records "
            "what is in it: run the command again"
        )
    image = packages.Image(uri=uri, sources=sources)
    packages.record_image(runtime, architecture, image)
    return image


def _check_docker() -> None:
    """Make sure that there is an engine to build with."""
    if not shutil.which("docker"):
        raise UserError("docker, which builds images, is not installed: install it and run the command again")
    failure = "docker's engine does not respond; start it and run the command again"
    programs.run(failure, "docker", "version", "--format", "{{.Server.Version}}")


def _log_in(repository: Repository) -> None:
    """Let docker push to the repository, with the AWS credentials of the shell."""
    ecr = boto3.client("ecr", region_name=repository.region)
    (authorization,) = ecr.get_authorization_token()["authorizationData"]
    user, password = base64.b64decode(authorization["authorizationToken"]).decode().split(":", 1)
    command = ("docker", "login", "--username", user, "--password-stdin", repository.registry)
    programs.run(f"docker could not log in to {repository.registry}", *command, stdin=password)


def _build(runtime: str, architecture: str, repository: Repository) -> str:
    """Build and push the image; return its URI by digest."""
    # Functions name it by digest. The tag is for people, and keeps the image from rules that expire untagged ones.
    # The tag is new every time, since a repository may refuse to move a tag.
    tag = f"{runtime}-{architecture}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with tempfile.TemporaryDirectory() as temporary:
        metadata = Path(temporary) / "metadata.json"
        try:
            programs.run(
                f"the image of {runtime} could not be built and pushed; fix what docker reports",
                *("docker", "buildx", "build", "--platform", f"linux/{_DOCKER[architecture]}", "--pull", "--push"),
                # Attestations would make it an image index, which Lambda does not accept.
                "--provenance=false",
                *("--file", paths.FUNCTIONS / "inference" / "Dockerfile", "--build-arg", f"RUNTIME={runtime}"),
                *("--tag", f"{repository.uri}:{tag}", "--metadata-file", metadata, paths.FUNCTIONS),
            )
        except UserError as problem:
            if "exec format error" not in str(problem):
                raise
            # https://docs.docker.com/build/building/multi-platform/#qemu
            install = f"docker run --privileged --rm tonistiigi/binfmt --install {_DOCKER[architecture]}"
            raise UserError(
                f"the image of {runtime} could not be built: this machine does not run programs for {architecture}; "
                f"run `{install}`, which adds an emulator, and then the command again"
            ) from problem
        return f"{repository.uri}@{json.loads(metadata.read_text(encoding='utf-8'))['containerimage.digest']}"
