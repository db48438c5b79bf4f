"""The two targets of commands: the local stack and AWS.

A target determines the boto3 session of this process and the environment of the programs that it starts. Nothing else
differs, and the environment of this process is not changed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config

from modelctl import paths
from modelctl.errors import UserError
from modelctl.local.stack import LocalStack
from modelctl.terraform import program

WORKSPACE = "local"

#: Terraform's state of what is applied to the local stack.
STATE = paths.STACK / "state" / WORKSPACE / "terraform.tfstate"

# The variables that `modelctl env` exports and unsets.
EXPORTED = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SHARED_CREDENTIALS_FILE",
    "TF_CLI_CONFIG_FILE",
    "TF_DATA_DIR",
    "TF_VAR_force_destroy",
    "TF_VAR_registry_file",
    "TF_WORKSPACE",
)

# The variables of Terraform that a shell may set for the local stack as well: they hold for every target alike.
_EVERYWHERE = ("TF_VAR_event_way",)

# Programs read the one or the other. Apart from the local stack's address, what they hold is the user's.
NO_PROXY = ("NO_PROXY", "no_proxy")

# What the user has set for AWS in files (a region, FIPS endpoints, a role to assume) is not meant for the local stack.
_UNCONFIGURED = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


@dataclass(frozen=True)
class Target:
    """The destination of commands.

    Args:
        name: its name for users.
        env: the environment for programs that access it, such as Terraform.
    """

    name: Literal["local", "aws"]
    env: Mapping[str, str]

    @property
    def says(self) -> str:
        """The target as a sentence names it."""
        return "AWS" if self.name == "aws" else "the local stack"

    @property
    def root(self) -> program.Root:
        """The platform's Terraform root module on this target."""
        return program.Root({**self.env, **program.QUIET}, state=STATE if self.name == "local" else None)

    def session(self, region: str) -> boto3.Session:
        """A session whose clients access this target.

        On AWS it is the user's: credentials and profile come from the environment and the configuration files.
        """
        if self.name == "aws":
            return boto3.Session(region_name=region)
        return boto3.Session(
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            region_name=region,
            botocore_session=_LocalSession(self.env["AWS_ENDPOINT_URL"], self.env["AWS_CA_BUNDLE"]),
        )


class _LocalSession(botocore.session.Session):
    """A session for the local stack, whatever the user's shell and files say about another account.

    Args:
        endpoint_url: the stack's address.
        ca_bundle: file with the certificate to trust (PEM).
    """

    def __init__(self, endpoint_url: str, ca_bundle: str) -> None:
        # A variable is a name in the configuration file, one in the environment, a default and a conversion. Without
        # the names, the default holds.
        variables = {
            name: (None, None, default, convert)
            for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
        }
        files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
        super().__init__({**variables, **files})
        self._endpoint_url = endpoint_url
        self.set_config_variable("ca_bundle", ca_bundle)
        # No proxies: by default those of the environment are used, even for 127.0.0.1.
        self.set_default_client_config(Config(proxies={}))

    def create_client(self, *arguments: Any, **options: Any) -> Any:
        """Make a client; only an explicit address wins over the AWS_ENDPOINT_URL_… of a service in the environment."""
        return super().create_client(*arguments, **{**options, "endpoint_url": self._endpoint_url})


def stack() -> LocalStack:
    """The local stack of this checkout, running or not."""
    return LocalStack(paths.STACK)


def chosen(name: Literal["local", "aws"] | None) -> Target:
    """The target of a command: the named one, otherwise the local stack if it is up, otherwise AWS.

    Raises:
        UserError: the local stack was named and is not up, or its server was stopped by something other than
            `modelctl down`; or AWS was named in a shell that points at the local stack.
    """
    if name == "aws" and os.environ.get("TF_WORKSPACE") == WORKSPACE:
        raise UserError(
            'this shell points at the local stack: run `eval "$(modelctl env --unset)"` first, and set what AWS needs'
        )
    if name is None and stack().broken():
        raise UserError(
            "the local stack's server was stopped and its contents are lost: run `modelctl up` to start over or "
            "`modelctl down` to clean up; for AWS, add `--target aws`"
        )
    if name == "aws" or (name is None and not stack().running()):
        return Target("aws", {**os.environ, **program.providers()})
    return local()


def local(serves: Path | None = None) -> Target:
    """The running local stack, with the registry that it serves or is to serve from now on.

    Raises:
        UserError: it is not up.
    """
    settings = {name: os.environ[name] for name in _EVERYWHERE if name in os.environ}
    env = {**program.clean_environment(), **settings, **exports()}
    return Target("local", {**env, "TF_VAR_registry_file": str(serves.resolve())} if serves else env)


def exports() -> dict[str, str]:
    """The variables that point `aws`, boto3 and Terraform at the local stack, and at nothing else.

    Raises:
        UserError: it is not up.
    """
    if not stack().running():
        raise UserError("the local stack is not up: run `modelctl up`")
    access = stack().environment()
    return {
        **access,
        **_UNCONFIGURED,
        **_without_proxy(urlsplit(access["AWS_ENDPOINT_URL"]).netloc),
        **program.providers(),
        "TF_DATA_DIR": str(paths.STACK / "terraform"),
        "TF_VAR_force_destroy": "true",
        "TF_VAR_registry_file": str(registry()),
        "TF_WORKSPACE": WORKSPACE,
    }


def users_no_proxy() -> dict[str, str]:
    """What the shell's user reaches without a proxy, by variable; without those that name nothing."""
    address = urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).netloc
    given = {name: os.environ.get(name, "").split(",") for name in NO_PROXY}
    kept = {name: ",".join(host for host in hosts if host.strip() != address) for name, hosts in given.items()}
    return {name: hosts for name, hosts in kept.items() if hosts}


def _without_proxy(address: str) -> dict[str, str]:
    """Variables that bypass proxies for an address: aws would otherwise use them for 127.0.0.1, too.

    Of two, a variable that the user has not set stays so: Python's programs take the lower one alone.
    """
    users = users_no_proxy() or dict.fromkeys(NO_PROXY, "")
    return {name: hosts if hosts == "*" else f"{hosts},{address}".lstrip(",") for name, hosts in users.items()}


def registry() -> Path:
    """The registry that the local stack serves: the one `modelctl up --registry` named, else the checkout's."""
    named = paths.STACK / "registry"
    return Path(named.read_text(encoding="utf-8")) if named.exists() else paths.REGISTRY
