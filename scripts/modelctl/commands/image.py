"""`modelctl image`: the container image of a runtime that is too large for a layer, in ECR."""

import argparse

from modelctl import console, paths
from modelctl.commands.arguments import Commands, command, print_json
from modelctl.packaging import images, packages

_EXAMPLE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard"


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "build the container image of a runtime and push it to ECR"
    parser = command(commands, "image", run, does, f"modelctl image tensorflow --repository {_EXAMPLE}")
    parser.add_argument("runtime", choices=packages.IMAGES, metavar="RUNTIME", help=" or ".join(packages.IMAGES))
    parser.add_argument(
        "--architecture",
        choices=packages.ARCHITECTURES,
        default="x86_64",
        help="the architecture of the models that use the image, as in the registry; default: x86_64",
    )
    parser.add_argument(
        "--repository", required=True, type=_repository, metavar="URI", help=f"where to push it, such as {_EXAMPLE}"
    )


def run(called: argparse.Namespace) -> int:
    """Print the image by its digest."""
    image = images.push(called.runtime, called.architecture, called.repository)
    if called.json:
        print_json({"runtime": called.runtime, "architecture": called.architecture, **image})
    else:
        console.note(f"recorded in {paths.PACKAGES / 'manifest.json'}, where Terraform reads it:")
        console.out(image["uri"])
    return 0


def _repository(text: str) -> images.Repository:
    """Read the argument."""
    found = images.repository_of(text)
    if not found:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the URI of an ECR repository: expected one such as {_EXAMPLE}"
        )
    return found
