"""`modelctl image`: the container image of a runtime that is too large for a layer, in ECR."""

import argparse

from modelctl import console, images, packages
from modelctl.commands.arguments import Commands, command, print_json

_EXAMPLE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelyard"


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
    image = images.push(called.runtime, called.repository)
    if called.json:
        print_json({"runtime": called.runtime, "image": image})
    else:
        console.note(f"pushed {image}; give it to Terraform, for example in terraform/terraform.tfvars:")
        console.out(f'runtime_images = {{ {called.runtime} = "{image}" }}')
    return 0


def _repository(text: str) -> images.Repository:
    """Read the argument."""
    found = images.repository_of(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no URI of a repository in ECR: expected such as {_EXAMPLE}")
    return found
