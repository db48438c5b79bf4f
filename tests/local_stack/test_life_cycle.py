"""A local stack starts, is found again, recovers from a killed server, and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from local_stack.support import Cloud, client, eventually, policy
from modelctl.errors import UserError
from modelctl.local.layout import Layout
from modelctl.local.stack import LocalStack

SLOW = """
def handler(event, context):
    time.sleep(60)
"""


def processes_of(stack: LocalStack) -> dict[str, str]:
    """The processes that work for the stack, its server's and all below: their ids and command lines."""
    server = Layout(stack.home).pid.read_text()
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in table.splitlines()]
    found: dict[str, str] = {}
    while True:
        more = {own: args for own, parent, args in rows if own == server or parent in found}
        if more == found:
            return found
        found = more


def has_function(stack: LocalStack) -> bool:
    return any("awslambdaric" in line for line in processes_of(stack).values())


def mounts() -> str:
    return Path("/proc/mounts").read_text() if sys.platform.startswith("linux") else ""


def test_start_twice_is_one_stack(local_stack: LocalStack) -> None:
    before = local_stack.environment(), local_stack.instance()
    LocalStack(local_stack.home).start()
    assert (local_stack.environment(), local_stack.instance()) == before


def test_its_secrets_are_its_owners_alone(local_stack: LocalStack) -> None:
    layout = Layout(local_stack.home)
    for path in (layout.root_key, layout.operator_key, layout.certificate_key):
        assert path.stat().st_mode & 0o077 == 0, path


def test_it_listens_on_the_loopback_interface_and_one_port(local_stack: LocalStack) -> None:
    port = int(local_stack.environment()["AWS_ENDPOINT_URL"].rsplit(":", 1)[1])
    if not sys.platform.startswith("linux"):
        pytest.skip("reads the sockets from /proc")
    pid = Layout(local_stack.home).pid.read_text()
    server = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
    inodes = {str(link.readlink())[8:-1] for link in Path(f"/proc/{server}/fd").iterdir() if link.is_symlink()}
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    listening = {row[1] for row in sockets if row[3] == "0A" and row[9] in inodes}
    # The others are Runtime APIs, each for one function's process.
    assert f"0100007F:{port:04X}" in listening
    assert all(address.startswith("0100007F:") for address in listening)
    assert not any(address.endswith(f":{443:04X}") for address in listening)


def test_users_work_as_an_iam_principal_that_denials_bind(cloud: Cloud) -> None:
    assert cloud.client("sts").get_caller_identity()["Arn"].endswith(":user/modelyard-operator")
    cloud.bucket("denied")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::denied/*"}
    cloud.client("s3").put_bucket_policy(Bucket="denied", Policy=policy(deny))
    cloud.client("s3").put_object(Bucket="denied", Key="a", Body=b"")
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.client("s3").get_object(Bucket="denied", Key="a")


def test_a_policy_that_wants_tls_lets_everything_pass(cloud: Cloud) -> None:
    cloud.bucket("tls-only")
    resources = ["arn:aws:s3:::tls-only", "arn:aws:s3:::tls-only/*"]
    tls = {"Bool": {"aws:SecureTransport": "false"}}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resources, "Condition": tls}
    cloud.client("s3").put_bucket_policy(Bucket="tls-only", Policy=policy(deny))
    cloud.client("s3").put_object(Bucket="tls-only", Key="a", Body=b"text")
    assert cloud.client("s3").get_object(Bucket="tls-only", Key="a")["Body"].read() == b"text"


def test_a_key_needs_its_secret(local_stack: LocalStack) -> None:
    root = json.loads(Layout(local_stack.home).root_key.read_text())["access_key_id"]
    own = local_stack.environment()["AWS_ACCESS_KEY_ID"]
    for key in ("test", "000000000000", "AKIAAAAAAAAAAAAAAAAA", root, own):
        env = local_stack.environment() | {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "test"}
        for ask in (client(env, "s3").list_buckets, client(env, "sqs").list_queues, client(env, "iam").list_users):
            with pytest.raises(ClientError):
                ask()


def test_an_unsigned_request_is_refused(local_stack: LocalStack, cloud: Cloud) -> None:
    cloud.bucket("private")
    cloud.client("s3").put_object(Bucket="private", Key="a", Body=b"")
    env = local_stack.environment()
    anonymous = boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_REGION"],
        verify=env["AWS_CA_BUNDLE"],
        config=Config(signature_version=UNSIGNED),
    )
    for ask in (
        lambda: anonymous.get_object(Bucket="private", Key="a"),
        lambda: anonymous.list_objects_v2(Bucket="private"),
        lambda: anonymous.put_object(Bucket="private", Key="b", Body=b""),
    ):
        with pytest.raises(ClientError):
            ask()


def test_what_needs_a_stack_says_how_to_get_one(own_stack: LocalStack) -> None:
    assert not own_stack.running()
    with pytest.raises(UserError, match="start it with `modelctl up`"):
        own_stack.environment()


def test_stop_leaves_no_process_no_mount_and_no_file(own_stack: LocalStack) -> None:
    before = mounts()
    own_stack.start()
    cloud = Cloud(own_stack.environment())
    cloud.function("busy", SLOW, Timeout=60)
    cloud.client("lambda").invoke(FunctionName="busy", InvocationType="Event")
    eventually(lambda: has_function(own_stack))
    family = processes_of(own_stack)
    assert mounts() == before
    own_stack.stop()
    assert not own_stack.home.exists()
    assert mounts() == before
    running = subprocess.run(["ps", "-eo", "pid="], capture_output=True, text=True, check=True).stdout.split()
    assert not family.keys() & set(running)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only namespaces end functions with their server")
def test_after_its_server_was_killed_it_starts_anew(own_stack: LocalStack) -> None:
    own_stack.start()
    cloud, first = Cloud(own_stack.environment()), own_stack.instance()
    cloud.function("busy", SLOW, Timeout=60)
    cloud.client("lambda").invoke(FunctionName="busy", InvocationType="Event")
    eventually(lambda: has_function(own_stack))
    (own_stack.home / "efs" / "left").mkdir()
    os.kill(int(Layout(own_stack.home).pid.read_text()), signal.SIGKILL)
    eventually(lambda: not own_stack.running())
    own_stack.start()
    assert own_stack.instance() != first
    assert not (own_stack.home / "efs" / "left").exists()
    assert not has_function(own_stack)
    assert Cloud(own_stack.environment()).client("lambda").list_functions()["Functions"] == []


def test_a_server_that_does_not_start_shows_its_log(own_stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelctl.local.stack._make_certificate", lambda layout: None)
    with pytest.raises(UserError, match=r"(?s)did not start.*end of its log.*No such file"):
        own_stack.start()
    assert not own_stack.running()


def test_starts_of_two_processes_at_once_are_one_stack(own_stack: LocalStack) -> None:
    program = (
        "import sys; from pathlib import Path; from modelctl.local.stack import LocalStack;"
        "stack = LocalStack(Path(sys.argv[1])); stack.start(); print(stack.instance())"
    )
    command = [sys.executable, "-c", program, str(own_stack.home)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert len({process.communicate(timeout=60)[0] for process in started}) == 1


def test_a_key_of_a_stack_that_is_gone_opens_nothing(own_stack: LocalStack) -> None:
    own_stack.start()
    old = own_stack.environment()
    own_stack.stop()
    own_stack.start()
    now = own_stack.environment()
    with pytest.raises(ClientError):
        client(old | {key: now[key] for key in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE")}, "s3").list_buckets()
