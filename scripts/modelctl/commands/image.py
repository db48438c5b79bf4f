"""`modelctl image`: the container image of a runtime that is too large for a layer, in ECR."""

import argparse
import base64
import json
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import boto3

from modelctl import console, packages, paths, programs
from modelctl.commands.arguments import Commands, command, print_json
from modelctl.errors import UserError

_EXAMPLE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard"
_REPOSITORY = re.compile(r"(\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?)/[a-z0-9][a-z0-9._/-]*")


class Repository(NamedTuple):
    """A repository in ECR: its URI, without a tag, and its registry and region, which the URI names."""

    uri: str
    registry: str
    region: str


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "build the container image of a runtime and push it to ECR"
    parser = command(commands, "image", run, does, f"modelctl image tensorflow --repository {_EXAMPLE}")
    parser.add_argument("runtime", choices=packages.IMAGES, metavar="RUNTIME", help=" or ".join(packages.IMAGES))
    parser.add_argument(
        "--repository", required=True, type=_repository, metavar="URI", help=f"where it goes, such as {_EXAMPLE}"
    )


def run(called: argparse.Namespace) -> int:
    """Print the image by its digest, as the variable that Terraform takes it from."""
    _check_docker()
    with console.step("logging in to ECR"):
        _log_in(called.repository)
    with console.step(f"building and pushing the image of {called.runtime}"):
        image = _build(called.runtime, called.repository)
    if called.json:
        print_json({"runtime": called.runtime, "image": image})
    else:
        console.note(f"pushed {image}; give it to Terraform, for example in terraform/terraform.tfvars:")
        console.out(f'runtime_images = {{ {called.runtime} = "{image}" }}')
    return 0


def _repository(text: str) -> Repository:
    """Read the argument."""
    found = _REPOSITORY.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no URI of a repository in ECR: expected such as {_EXAMPLE}")
    return Repository(text, *found.groups())


def _check_docker() -> None:
    """Make sure that there is an engine to build with."""
    if not shutil.which("docker"):
        raise UserError("docker is not installed, and images are built with it: install it and run the command again")
    failure = "the engine of docker does not answer; start it and run the command again"
    programs.run(failure, "docker", "version", "--format", "{{.Server.Version}}")


def _log_in(repository: Repository) -> None:
    """Let docker push to the repository, with the AWS credentials of the shell."""
    ecr = boto3.client("ecr", region_name=repository.region)
    (authorization,) = ecr.get_authorization_token()["authorizationData"]
    user, password = base64.b64decode(authorization["authorizationToken"]).decode().split(":", 1)
    command = ("docker", "login", "--username", user, "--password-stdin", repository.registry)
    programs.run(f"docker could not log in to {repository.registry}", *command, stdin=password)


def _build(runtime: str, repository: Repository) -> str:
    """Build and push the image; return its URI by digest."""
    # Functions name it by digest. The tag is for people, and keeps the image from rules that expire untagged ones.
    # It is new every time, since a repository may refuse to move a tag.
    tag = f"{runtime}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with tempfile.TemporaryDirectory() as temporary:
        metadata = Path(temporary) / "metadata.json"
        programs.run(
            f"the image of {runtime} could not be built and pushed; mend what docker says",
            *("docker", "buildx", "build", "--platform", "linux/amd64", "--pull", "--push"),
            # Attestations make it an image index, which Lambda does not take.
            "--provenance=false",
            *("--file", paths.FUNCTIONS / "inference" / "Dockerfile", "--build-arg", f"RUNTIME={runtime}"),
            *("--tag", f"{repository.uri}:{tag}", "--metadata-file", metadata, paths.FUNCTIONS),
        )
        return f"{repository.uri}@{json.loads(metadata.read_text())['containerimage.digest']}"
