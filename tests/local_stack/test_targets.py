"""Which target a command speaks to, where the shell or what is left of a stack could lead it astray."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from local_stack import services
from local_stack.support import client, eventually
from modelctl import paths, targets
from modelctl.deployed.deployment import Deployment
from modelctl.local.layout import Layout
from modelctl.local.stack import LocalStack
from modelctl.terraform import program
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3
from unit.functions.loopback import access, served_s3

MODELCTL = Path(sys.executable).parent / "modelctl"
DEPLOYED = {"name": "yard", "region": "us-east-1", "buckets": {"inputs": INPUTS, "results": RESULTS}, "models": {}}


def modelctl(home: Path, *arguments: str, shell: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "MODELYARD_STACK": str(home), **(shell or {})}
    return subprocess.run([MODELCTL, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", [("status",), ("logs", "digits")])
def test_after_its_server_was_killed_a_command_says_so_and_not_that_nothing_is_deployed(
    own_stack: LocalStack, command: tuple[str, ...]
) -> None:
    own_stack.start()
    os.kill(int(Layout(own_stack.home).pid.read_text()), signal.SIGKILL)
    eventually(lambda: not own_stack.running())
    done = modelctl(own_stack.home, *command)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "the local stack's server was stopped" in done.stderr
    assert "`modelctl up`" in done.stderr
    own_stack.stop()
    assert "nothing is deployed" in modelctl(own_stack.home, *command).stderr


def test_a_shell_that_speaks_to_the_local_stack_does_not_take_it_for_aws(own_stack: LocalStack) -> None:
    own_stack.start()
    shell = json.loads(modelctl(own_stack.home, "env", "--json").stdout)
    done = modelctl(own_stack.home, "status", "--target", "aws", shell=shell)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert 'eval "$(modelctl env --unset)"' in done.stderr


@pytest.fixture
def deployed(own_stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty deployment with two buckets on the local stack, which is up, and one on AWS."""
    own_stack.start()
    for bucket in (INPUTS, RESULTS):
        client(own_stack.environment(), "s3").create_bucket(Bucket=bucket)
    monkeypatch.setattr(paths, "STACK", own_stack.home)
    monkeypatch.setattr(program.Root, "outputs", lambda _: {"deployment": DEPLOYED})


@pytest.mark.usefixtures("deployed")
def test_deployments_of_both_targets_are_used_in_one_process_whose_environment_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_aws = FakeS3()
    of_aws.upload(INPUTS, "where", b"on AWS")
    with served_s3(of_aws) as endpoint:
        for name, value in access(endpoint).items():
            monkeypatch.setenv(name, value)
        environment = dict(os.environ)
        local, aws = Deployment(targets.local()), Deployment(targets.chosen("aws"))
        local.s3.put_object(Bucket=INPUTS, Key="where", Body=b"on the local stack")
        found = [one.s3.get_object(Bucket=INPUTS, Key="where")["Body"].read() for one in (aws, local)]
        assert os.environ == environment
    assert found == [b"on AWS", b"on the local stack"]


@pytest.fixture
def foreign(tmp_path: Path) -> dict[str, str]:
    """What a shell says of another account, in variables and in the files of its user."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nregion = eu-west-1\nignore_configured_endpoint_urls = true\nuse_fips_endpoint = true\n"
        "s3 =\n    use_accelerate_endpoint = true\n"
    )
    return {
        "HOME": str(tmp_path),
        "AWS_PROFILE": "of-another-account",
        "AWS_CA_BUNDLE": str(tmp_path / "nowhere.pem"),
        "AWS_ENDPOINT_URL": "https://localhost:1",
        "AWS_ENDPOINT_URL_S3": "https://localhost:1",
        "AWS_ENDPOINT_URL_SQS": "https://localhost:1",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_ACCESS_KEY_ID": "AKIAOFANOTHERACCOUNT",
        "AWS_SECRET_ACCESS_KEY": "of-another-account",
        "AWS_SESSION_TOKEN": "of-another-account",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }


@pytest.mark.usefixtures("deployed")
def test_what_the_shell_says_of_another_account_leads_no_client_away_from_the_local_stack(
    foreign: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    local = Deployment(targets.local())
    assert local.s3.list_objects_v2(Bucket=INPUTS)["KeyCount"] == 0
    assert not local.sqs.list_queues().get("QueueUrls")


def test_after_env_every_service_of_aws_and_boto3_is_the_local_stacks(
    local_stack: LocalStack, foreign: dict[str, str]
) -> None:
    exports = modelctl(local_stack.home, "env", shell=foreign).stdout
    done = subprocess.run(
        ["/bin/sh", "-c", f'{exports}\nexec "$@"', "sh", sys.executable, "-P", services.__file__],
        env={**os.environ, **foreign},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        f"{tool} {service}": [status, 1, []]
        for tool, status in (("aws", 0), ("boto3", None))
        for service in services.SERVICES
    }


@pytest.mark.parametrize(
    ("users", "exported", "kept"),
    [
        ({}, {"NO_PROXY": "{}", "no_proxy": "{}"}, {}),
        ({"NO_PROXY": "corp,10.0.0.0/8"}, {"NO_PROXY": "corp,10.0.0.0/8,{}"}, {"NO_PROXY": "corp,10.0.0.0/8"}),
        ({"no_proxy": "127.0.0.1"}, {"no_proxy": "127.0.0.1,{}"}, {"no_proxy": "127.0.0.1"}),
        (
            {"NO_PROXY": "a", "no_proxy": "b"},
            {"NO_PROXY": "a,{}", "no_proxy": "b,{}"},
            {"NO_PROXY": "a", "no_proxy": "b"},
        ),
        ({"NO_PROXY": "*"}, {"NO_PROXY": "*"}, {"NO_PROXY": "*"}),
    ],
)
def test_no_proxy_is_used_for_the_local_stack_and_afterwards_for_what_it_was_before(
    local_stack: LocalStack,
    monkeypatch: pytest.MonkeyPatch,
    users: dict[str, str],
    exported: dict[str, str],
    kept: dict[str, str],
) -> None:
    monkeypatch.setattr(paths, "STACK", local_stack.home)
    environment = local_stack.environment()
    address = environment["AWS_ENDPOINT_URL"].removeprefix("https://")
    for name in targets.NO_PROXY:
        monkeypatch.delenv(name, raising=False)
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    expected = {name: value.format(address) for name, value in exported.items()}
    for _ in "ab":  # the second time in a shell that already points to the local stack
        exports = targets.exports()
        assert {name: exports[name] for name in targets.NO_PROXY if name in exports} == expected
        for name, value in exports.items():
            monkeypatch.setenv(name, value)
    assert targets.users_no_proxy() == kept
