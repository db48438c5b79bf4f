"""One local stack and one apply of the platform for all end-to-end tests, by pytest-terraform."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from modelctl import paths
from modelctl.deployed.deployment import Deployment
from modelctl.local.stack import LocalStack
from modelctl.packaging import packages
from modelctl.targets import Target
from modelctl.terraform import program

MODELCTL = Path(sys.executable).parent / "modelctl"


@dataclass(frozen=True)
class Command:
    """How a run of modelctl ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What `--json` printed; fails if there is anything else on standard output."""
        return json.loads(self.out)


Modelctl = Callable[..., Command]


@dataclass(frozen=True)
class Platform:
    """The applied platform: where it runs, what Terraform put out, and the shell environment that speaks to it."""

    home: Path
    env: Mapping[str, str]
    deployment: Mapping[str, Any]
    alarm_topic_arn: str

    def client(self, service: str) -> Any:
        """A boto3 client of the operator."""
        return client(self.env, service)

    def queues(self, model: str) -> list[str]:
        """URLs of a model's queue and of its dead-letter queue."""
        deployed = self.deployment["models"][model]
        return [deployed["queue_url"], deployed["dead_letter_queue_url"]]

    def deployed(self, folder: Path) -> Deployment:
        """What modelctl's modules work with in this process, whose own stack is another one."""
        outputs = folder / "outputs.json"
        values = program.Root(self.env).outputs()
        outputs.write_text(json.dumps({name: {"value": value} for name, value in values.items()}), encoding="utf-8")
        return Deployment(Target("local", self.env), outputs)


def client(env: Mapping[str, str], service: str) -> Any:
    """A boto3 client by what `modelctl env` exports."""
    return boto3.client(
        service,  # type: ignore[call-overload]  # the service is the caller's
        region_name=env["AWS_REGION"],
        endpoint_url=env["AWS_ENDPOINT_URL"],
        verify=env["AWS_CA_BUNDLE"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=env.get("AWS_SESSION_TOKEN"),
    )


@contextmanager
def user(platform: Platform, name: str, *policies: str) -> Iterator[Platform]:
    """The platform as an IAM user sees it who has these policies and nothing else."""
    iam = platform.client("iam")
    iam.create_user(UserName=name)
    for number, policy in enumerate(policies):
        iam.put_user_policy(UserName=name, PolicyName=str(number), PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    own = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    yield replace(platform, env={**platform.env, **own})
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    for number, _ in enumerate(policies):
        iam.delete_user_policy(UserName=name, PolicyName=str(number))
    iam.delete_user(UserName=name)


def wait_until_empty(sqs: Any, queue_urls: Iterable[str]) -> None:
    """Fail if one of the queues has a message after a while, hidden ones included."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    deadline = time.monotonic() + 30
    for url in queue_urls:
        while any(map(int, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values())):
            assert time.monotonic() < deadline, f"a message is left in {url}"
            time.sleep(0.05)


def run_modelctl(home: Path, *arguments: str | Path, timeout_s: float = 300) -> Command:
    """Run modelctl as a user would, against the local stack in `home`."""
    done = subprocess.run(
        [MODELCTL, *map(str, arguments)],
        env={**os.environ, "MODELYARD_STACK": str(home)},
        cwd=paths.CHECKOUT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Command(done.returncode, done.stdout, done.stderr)


def shell_of(home: Path) -> dict[str, str]:
    """The environment of a shell after `modelctl env` of the local stack in `home`."""
    return {**program.clean_environment(), **run_modelctl(home, "env", "--json").document}


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Register the fixture that applies terraform/.

    Here and not at import: pytest-terraform resolves its own options only once pytest is configured.
    """
    from e2e import platform_apply

    session.config.pluginmanager.register(platform_apply)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A running local stack of its own."""
    packages.build()
    stack = LocalStack(tmp_path_factory.mktemp("stack") / "home")
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def shell(stack: LocalStack) -> Iterator[None]:
    """This process's environment as `modelctl env` sets it; pytest-terraform reads it, also when it destroys."""
    settings = {
        **stack.environment(),
        **program.providers(),
        **program.QUIET,
        "TF_WORKSPACE": "local",
        "TF_VAR_announce_results": "true",
        "TF_VAR_force_destroy": "true",
        "TF_VAR_registry_file": str(paths.REGISTRY),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "TF_"))]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def platform(stack: LocalStack, shell: None, request: pytest.FixtureRequest) -> Platform:
    """The platform with the committed registry, applied by pytest-terraform and destroyed at the end."""
    applied = request.getfixturevalue("terraform")
    # From here on the stack is as `modelctl up` would have left it: with its own copy of the state.
    state = stack.home / "state" / "local" / "terraform.tfstate"
    state.parent.mkdir(parents=True)
    shutil.copy(applied.terraform.state_path, state)
    env = {**os.environ, "TF_DATA_DIR": str(stack.home / "terraform")}
    program.Root(env).init(f"workspace_dir={stack.home / 'state'}")
    return Platform(
        stack.home, env, applied.outputs["deployment"]["value"], applied.outputs["alarm_topic_arn"]["value"]
    )


@pytest.fixture(scope="session")
def modelctl(platform: Platform) -> Modelctl:
    """Runs modelctl against the platform."""
    return lambda *arguments: run_modelctl(platform.home, *arguments)
