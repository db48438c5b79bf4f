"""The two targets of commands: the local stack and AWS.

A target is the environment that boto3, the aws command line and Terraform read; nothing else differs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelctl import paths, terraform
from modelctl.errors import UserError
from modelctl.local.stack import LocalStack

WORKSPACE = "local"

# What `modelctl env` exports, and takes back.
EXPORTED = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "TF_CLI_CONFIG_FILE",
    "TF_DATA_DIR",
    "TF_VAR_force_destroy",
    "TF_VAR_registry_file",
    "TF_WORKSPACE",
)

# What the user has set for AWS in files (a region, FIPS endpoints, a role to assume) is not meant for the local stack.
_UNCONFIGURED = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


@dataclass(frozen=True)
class Target:
    """Where commands go; `name` is what people see."""

    name: Literal["local", "aws"]
    env: Mapping[str, str]

    @property
    def root(self) -> terraform.Root:
        """The platform's Terraform root module on this target."""
        return terraform.Root({**self.env, **terraform.QUIET})

    def enter(self) -> None:
        """Make this process speak to this target, and everything that it starts."""
        os.environ.clear()
        os.environ.update(self.env)


def stack() -> LocalStack:
    """The local stack of this checkout, running or not."""
    return LocalStack(paths.STACK)


def chosen(name: Literal["local", "aws"] | None) -> Target:
    """The target that a command is meant for: the named one, else the local stack where it is up, else AWS.

    Raises:
        UserError: the local stack was named and is not up, or its server was ended by something else than
            `modelctl down`; or AWS was named in a shell that speaks to the local stack.
    """
    if name == "aws" and os.environ.get("TF_WORKSPACE") == WORKSPACE:
        raise UserError(
            'this shell speaks to the local stack: run `eval "$(modelctl env --unset)"` first, and set what AWS needs'
        )
    if name is None and stack().broken():
        raise UserError(
            "the server of the local stack was ended, and what was in it is gone: `modelctl up` starts it anew, "
            "`modelctl down` clears it away; `--target aws` is for AWS"
        )
    if name == "aws" or (name is None and not stack().running()):
        return Target("aws", {**os.environ, **terraform.providers()})
    return local()


def local() -> Target:
    """The running local stack.

    Raises:
        UserError: it is not up.
    """
    return Target("local", {**terraform.clean_environment(), **_UNCONFIGURED, **_without_proxy(), **exports()})


def exports() -> dict[str, str]:
    """The variables by which `aws`, boto3 and Terraform speak to the local stack, and to nothing else.

    Raises:
        UserError: it is not up.
    """
    if not stack().running():
        raise UserError("the local stack is not up: run `modelctl up`")
    return {
        **stack().environment(),
        **terraform.providers(),
        "TF_DATA_DIR": str(paths.STACK / "terraform"),
        "TF_VAR_force_destroy": "true",
        "TF_VAR_registry_file": str(registry()),
        "TF_WORKSPACE": WORKSPACE,
    }


def _without_proxy() -> dict[str, str]:
    """What keeps a proxy out of the way to the local stack: boto3 would ask it for 127.0.0.1, too."""
    names = {name: os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY")}
    return {name: f"{value},127.0.0.1".lstrip(",") for name, value in names.items()}


def registry() -> Path:
    """The registry that the local stack serves: the one `modelctl up --registry` named, else the checkout's."""
    named = paths.STACK / "registry"
    return Path(named.read_text()) if named.exists() else paths.REGISTRY
