"""A local stack starts, is found again, recovers from a killed server, and leaves nothing."""

import errno
import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import h2.connection
import h2.events
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError

from local_stack.support import Cloud, client, eventually, policy
from modelctl import paths
from modelctl.errors import UserError
from modelctl.local.layout import ACCOUNT, Layout
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


def test_it_starts_in_a_folder_whose_files_are_named_like_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "h2.py").write_text("raise RuntimeError('the file of a user')\n")
    monkeypatch.chdir(tmp_path)
    stack = LocalStack(tmp_path / "stack")
    stack.start()
    stack.stop()


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


def test_a_connection_outlives_a_thousand_requests(local_stack: LocalStack) -> None:
    with connected(local_stack, "http/1.1") as connection:
        for _ in range(1_100):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.read()
            assert not answer.will_close


def test_a_connection_of_http_2_outlives_a_thousand_requests(local_stack: LocalStack) -> None:
    """As Terraform's provider has it: it would send further requests before it learns that they are in vain."""
    http_2 = h2.connection.H2Connection()
    http_2.initiate_connection()
    headers = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "localhost")]
    with connected(local_stack, "h2") as connection:
        for _ in range(1_100):
            stream = http_2.get_next_available_stream_id()
            http_2.send_headers(stream, headers, end_stream=True)
            connection.sendall(http_2.data_to_send())
            events: list[h2.events.Event] = []
            while not any(isinstance(event, h2.events.StreamEnded) for event in events):
                for event in http_2.receive_data(connection.recv(2**16)):
                    assert not isinstance(event, h2.events.ConnectionTerminated)
                    if isinstance(event, h2.events.DataReceived):
                        http_2.acknowledge_received_data(event.flow_controlled_length, stream)
                    events.append(event)
                connection.sendall(http_2.data_to_send())


def connected(stack: LocalStack, protocol: str) -> ssl.SSLSocket:
    env = stack.environment()
    context = ssl.create_default_context(cafile=env["AWS_CA_BUNDLE"])
    context.set_alpn_protocols([protocol])
    port = int(env["AWS_ENDPOINT_URL"].rsplit(":", 1)[1])
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    return context.wrap_socket(connection, server_hostname="127.0.0.1")


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
    monkeypatch.setattr("modelctl.local.certificate.make", lambda certificate, key: None)
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


def test_two_checkouts_side_by_side_share_nothing(local_stack: LocalStack, own_stack: LocalStack) -> None:
    own_stack.start()
    one, other = local_stack.environment(), own_stack.environment()
    assert one["AWS_ENDPOINT_URL"] != other["AWS_ENDPOINT_URL"]
    Cloud(one).bucket("of-one-checkout")
    names = [bucket["Name"] for bucket in client(other, "s3").list_buckets()["Buckets"]]
    assert names == []
    address = {name: other[name] for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE")}
    with pytest.raises(ClientError):
        client(one | address, "s3").list_buckets()
    with pytest.raises(SSLError):
        client(other | {"AWS_CA_BUNDLE": one["AWS_CA_BUNDLE"]}, "s3").list_buckets()
    own_stack.stop()
    assert local_stack.running()
    client(one, "s3").head_bucket(Bucket="of-one-checkout")


START = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from modelctl import paths
from modelctl.errors import UserError
from modelctl.local import stack as module
# Making it takes a folder of the checkout that only its owner may write to.
module.ensure_lambda_environment = lambda: paths.ENVIRONMENTS / "lambda"
stack = module.LocalStack(Path({home!r}))
try:
    stack.start()
except UserError as problem:
    sys.exit(f"error: {{problem}}")
except KeyboardInterrupt:
    sys.exit(130)
"""

# The interpreter and the checkout may lie in root's home, where nobody else may look: shows these two of it, to all.
REACHABLE = """
for path in {paths}; do mkdir -p {stash}/kept$path; mount --bind $path {stash}/kept$path; done
mount -t tmpfs -o mode=755 none {home}
for path in {paths}; do mkdir -p $path; mount --bind {stash}/kept$path $path; done
exec "$@"
"""
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def starting(home: Path, *, then: str = "") -> list[str]:
    """The command line of a process that starts a stack."""
    return [sys.executable, "-c", START.format(path=sys.path, home=str(home)) + then]


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.1, 0.2])
def test_after_ctrl_c_while_it_starts_nothing_runs_and_it_can_be_started(own_stack: LocalStack, after_s: float) -> None:
    started = subprocess.Popen(starting(own_stack.home), stderr=subprocess.PIPE, text=True, process_group=0)
    eventually(lambda: started.poll() is not None or Layout(own_stack.home).root_key.exists())
    time.sleep(after_s)
    os.killpg(started.pid, signal.SIGINT)
    assert started.wait(20) in (130, 0), started.communicate()[1]
    if started.returncode == 130:
        assert not own_stack.running()
        assert not processes_naming(own_stack.home)
    own_stack.start()
    assert client(own_stack.environment(), "s3").list_buckets()["Buckets"] == []


def test_ctrl_c_before_its_starter_knows_the_server_ends_the_server(
    own_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = subprocess.Popen

    def interrupted(*arguments: Any, **settings: Any) -> "subprocess.Popen[bytes]":
        process: subprocess.Popen[bytes] = started(*arguments, **settings)
        # Twice, so that another one arrives while the first is seen to.
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return process

    with monkeypatch.context() as patch:
        patch.setattr("modelctl.local.stack.subprocess.Popen", interrupted)
        with pytest.raises(KeyboardInterrupt):
            own_stack.start()
    assert not own_stack.running()
    assert not processes_naming(own_stack.home)
    own_stack.start()
    assert own_stack.running()


def test_ctrl_c_as_the_server_becomes_ready_ends_it(own_stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    address = LocalStack._address

    def interrupted(stack: LocalStack) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        return address(stack)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStack, "_address", interrupted)
        with pytest.raises(KeyboardInterrupt):
            own_stack.start()
    assert not own_stack.running()
    assert not own_stack.broken()
    assert not processes_naming(own_stack.home)


def processes_naming(home: Path) -> str:
    table = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in table.splitlines() if f"modelctl.local.server {home} " in line)


@pytest.mark.parametrize("after_s", [0.0, 0.2])
def test_after_its_starter_was_killed_it_can_be_started(own_stack: LocalStack, after_s: float) -> None:
    starter = subprocess.Popen(starting(own_stack.home))
    eventually(lambda: Layout(own_stack.home).log.exists())
    time.sleep(after_s)
    starter.kill()
    starter.wait()
    own_stack.start()
    assert client(own_stack.environment(), "s3").list_buckets()["Buckets"] == []
    # A server and its namespace's first process; the one of the killed starter ends when it notices.
    serving = 2 if sys.platform.startswith("linux") else 1
    eventually(lambda: len(processes_naming(own_stack.home).splitlines()) == serving)


def test_settings_for_another_account_in_the_shell_do_not_reach_it(own_stack: LocalStack, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nuse_fips_endpoint = true\nregion = eu-west-1\n")
    foreign = {
        "HOME": str(tmp_path),
        "AWS_PROFILE": "of-another-account",
        "AWS_CA_BUNDLE": str(tmp_path / "nowhere.pem"),
        "AWS_ENDPOINT_URL": "https://localhost:1",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "GATEWAY_PORT": "443",
        "MINISTACK_ACCOUNT_ID": "123456789012",
    }
    done = subprocess.run(
        starting(own_stack.home), env=os.environ | foreign, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert client(own_stack.environment(), "sts").get_caller_identity()["Account"] == ACCOUNT


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach; pytest's own are its user's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="becomes another user with setpriv")
def test_it_needs_no_root(open_folder: Path) -> None:
    then = """
try:
    from local_stack.support import Cloud
    cloud = Cloud(stack.environment())
    cloud.function("user", "def handler(event, context): return 'served'")
    print(cloud.invoke("user").payload)
finally:
    stack.stop()
"""
    script = REACHABLE.format(
        home=pwd.getpwuid(0).pw_dir, paths=f"'{sys.base_prefix}' '{paths.CHECKOUT}'", stash=open_folder
    )
    command = ["unshare", "--mount", "sh", "-ec", script, "sh", *AS_NOBODY, *starting(open_folder / "home", then=then)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert done.stdout == "served\n", done.stderr
    assert not (open_folder / "home").exists()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="becomes another user with setpriv")
def test_a_folder_that_may_not_be_written_to_is_one_clear_line() -> None:
    closed = Path(tempfile.mkdtemp())
    closed.chmod(0o755)
    command = [*AS_NOBODY, *starting(closed / "home")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    closed.rmdir()
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "Permission denied" in done.stderr
    assert "that you may write there" in done.stderr


# A network in which there is one port to choose.
ONE_PORT = 'ip link set lo up; echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range; exec "$@"'


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="makes a network namespace")
@pytest.mark.parametrize("taken", [True, False])
def test_a_port_is_chosen_and_taken_in_one_step_so_only_where_none_is_free_it_does_not_start(
    own_stack: LocalStack, taken: bool
) -> None:
    then = """
print(stack.environment()["AWS_ENDPOINT_URL"], flush=True)
try:
    take()
except OSError as problem:
    print(problem.errno)
finally:
    stack.stop()
"""
    *python, code = starting(own_stack.home, then=then)
    take = "import socket\ndef take(): return socket.create_server(('127.0.0.1', 40000))\n"
    first = f"{take}taken = take()\n" if taken else take
    command = ["unshare", "--net", "sh", "-ec", ONE_PORT, "sh", *python, first + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if taken:
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].strip() == (
            "no port on 127.0.0.1 is free (Address already in use): "
            "stop what listens on them, then run the command again"
        )
        assert "Traceback" not in done.stderr
        assert not own_stack.running()
    else:
        assert done.stdout.splitlines() == ["https://127.0.0.1:40000", str(errno.EADDRINUSE)], done.stderr


def test_a_full_disk_is_one_clear_line(own_stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(own_stack.home.parent)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=3 * 2**20))
    with pytest.raises(UserError, match=r"^the disk of .*home has 3 MB free, and .* needs 256 MB: make room, .*again$"):
        own_stack.start()
    assert not own_stack.running()


def test_a_disk_that_fills_up_while_it_starts_is_one_clear_line(
    own_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "root-key.json")

    with monkeypatch.context() as patch:
        patch.setattr("modelctl.local.stack.write_secret", full)
        with pytest.raises(UserError, match=r"cannot be started in .*No space left on device.* again$"):
            own_stack.start()
    assert not own_stack.running()
    own_stack.start()
    assert own_stack.running()


def test_functions_on_a_full_disk_fail_with_words_that_say_so(open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounts a small disk")
    home = open_folder / "home"
    then = """
import os
import pwd
try:
    from local_stack.support import Cloud
    cloud = Cloud(stack.environment())
    filler = stack.home / "filler"
    with filler.open("wb") as file:
        free = os.statvfs(file.name)
        file.write(bytes(free.f_bavail * free.f_bsize))
    cloud.function("full", "def handler(event, context): return 'served'")
    print(cloud.invoke("full").payload["errorMessage"])
    filler.unlink()
    print(cloud.invoke("full").payload)
finally:
    stack.stop()
"""
    mounted = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=300m none "$0" && exec "$@"', str(open_folder)]
    done = subprocess.run(
        [*mounted, *starting(home, then=then)], capture_output=True, text=True, timeout=60, check=False
    )
    failed, served = done.stdout.splitlines() or pytest.fail(done.stderr)
    assert "could not start the function" in failed
    assert "No space left on device" in failed
    assert served == "served"
