"""Functions run as on Lambda: their files, their environment, their limits, their logs."""

import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inference import CHECK
from local_stack.support import LOGS, Cloud, allow, eventually, zipped
from modelctl import paths
from modelctl.local.layout import MAX_CHECKS, MAX_ENVIRONMENTS, Layout
from modelctl.local.stack import LocalStack

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="without namespaces there is no sandbox")

LOOK = """
import os, pathlib
def handler(event, context):
    return {"environment": dict(os.environ), "directory": os.getcwd(), "processes": [
        name for name in os.listdir("/proc") if name.isdigit()],
        "there": [path for path in event if os.path.exists(path)]}
"""
WRITE = """
import os
def handler(event, context):
    try:
        with open(event["path"], "w") as file:
            file.write(event.get("text", ""))
    except OSError as error:
        return {"refused": os.strerror(error.errno)}
    return {"written": os.stat(event["path"]).st_uid}
"""

FILL = """
def handler(megabytes, context):
    with open("/tmp/big", "wb") as file:
        for _ in range(megabytes):
            file.write(bytes(2**20))
    return "it fits"
"""
TAKE = """
import time
def handler(megabytes, context):
    taken = [b"x" * 2**20 for _ in range(megabytes)]
    time.sleep(0.3)
    return "taken"
"""


def logged(cloud: Cloud, name: str) -> list[Any]:
    """A function's log: lines of text as they are, lines of JSON as objects."""
    return [json.loads(line) if line.startswith("{") else line for line in cloud.log(name)]


def test_its_environment_has_nothing_of_the_host(cloud: Cloud) -> None:
    cloud.function("look", LOOK, env={"OWN": "value"})
    seen = cloud.invoke("look", []).payload["environment"]
    assert seen.pop("OWN") == "value"
    # Python sets it for itself where LANG names a locale that is not installed.
    seen.pop("LC_CTYPE", None)
    assert seen["AWS_LAMBDA_FUNCTION_VERSION"] == "1"
    assert seen["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert set(seen) == {
        *("AWS_ACCESS_KEY_ID", "AWS_CA_BUNDLE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "AWS_EXECUTION_ENV"),
        *("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION"),
        *("AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_GROUP_NAME"),
        *("AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY"),
        *("AWS_SESSION_TOKEN", "LAMBDA_TASK_ROOT", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH"),
        *("TZ", "_HANDLER"),
    }


def test_it_sees_neither_the_checkout_nor_the_stack_nor_other_processes(cloud: Cloud, local_stack: LocalStack) -> None:
    cloud.function("blind", LOOK)
    hidden = [str(path) for path in (paths.CHECKOUT, paths.TOOLS, local_stack.home, Path.home() / ".ssh")]
    seen = cloud.invoke("blind", [*hidden, "/proc/1/root/work", "/var/task/code.py"]).payload
    assert seen["there"] == ["/var/task/code.py"]
    assert seen["directory"] == "/var/task"
    assert seen["processes"] == ["1"]


CONNECT = """
import os, socket
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

def asked(service, **where):
    client = boto3.client(service, config=Config(connect_timeout=2, retries={"total_max_attempts": 1}), **where)
    try:
        client.list_buckets() if service == "s3" else client.list_queues()
    except (BotoCoreError, ClientError) as error:
        return type(error).__name__
    return "answered"

def connected(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        return os.strerror(error.errno)
    return "connected"

def handler(event, context):
    return {
        "s3": asked("s3"),
        "sqs": asked("sqs"),
        "sqs where S3 is": asked("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"]),
        "the emulator": connected(*event["emulator"]),
        "a server of the host": connected(*event["server"]),
        "the internet": connected("192.0.2.1", 443),
        "interfaces": [name for _, name in socket.if_nameindex()],
    }
"""


def test_it_reaches_s3_and_nothing_else(cloud: Cloud) -> None:
    """On AWS its network has S3's gateway endpoint and no other way out."""
    role = cloud.role("connects", LOGS, allow(["s3:ListAllMyBuckets", "sqs:ListQueues"]))
    cloud.function("connects", CONNECT, role=role)
    with socket.create_server(("127.0.0.1", 0)) as server:
        emulator = cloud.env["AWS_ENDPOINT_URL"].removeprefix("https://").split(":")
        event = {"emulator": [emulator[0], int(emulator[1])], "server": list(server.getsockname())}
        answer = cloud.invoke("connects", event)
    assert answer.payload == {
        "s3": "answered",
        "sqs": "EndpointConnectionError",
        "sqs where S3 is": "ClientError",
        "the emulator": "Connection refused",
        "a server of the host": "Connection refused",
        "the internet": "Network is unreachable",
        "interfaces": ["lo"],
    }


def test_it_sees_the_file_system_of_lambda_and_nothing_else(cloud: Cloud) -> None:
    code = "import os, sys\ndef handler(event, context): return [os.listdir('/'), os.listdir('/var'), sys.path]"
    cloud.function("rooted", code)
    root, var, modules = cloud.invoke("rooted").payload
    system = {"bin", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "tmp", "usr", "var"}
    # The interpreter that runs the tests may be elsewhere on this machine.
    interpreter = {Path(sys.base_prefix).resolve().parts[1]}
    assert set(root) - interpreter <= system
    assert set(var) == {"lang", "runtime", "task"}
    own = ("/var/task", "/var/lang/", "/opt/python")
    standard_library = f"{Path(sys.base_prefix).resolve()}/lib/python"
    foreign = [path for path in modules if not path.startswith((*own, standard_library))]
    assert foreign == []
    assert not any("dist-packages" in path for path in modules)


@pytest.mark.parametrize("module", ["numpy", "PIL", "yaml", "modelctl", "ministack"])
def test_a_package_that_forgets_a_dependency_fails_here_too(cloud: Cloud, module: str) -> None:
    """All of these are installed where the tests run."""
    importlib.import_module(module)
    cloud.function(f"forgets-{module}", f"import boto3, {module}\ndef handler(event, context): pass")
    failed = cloud.invoke(f"forgets-{module}").payload
    assert failed["errorType"] == "Runtime.ImportModuleError"
    assert f"No module named '{module}'" in failed["errorMessage"]


def test_layers_lie_under_opt_the_later_over_the_earlier(cloud: Cloud) -> None:
    lambda_ = cloud.client("lambda")
    arns = [
        lambda_.publish_layer_version(LayerName=name, Content={"ZipFile": zipped(files)})["LayerVersionArn"]
        for name, files in (
            ("one", {"python/both.py": "FROM = 'one'", "python/first.py": "FROM = 'one'"}),
            ("two", {"python/both.py": "FROM = 'two'"}),
        )
    ]
    code = "import both, first\ndef handler(event, context): return [both.FROM, first.FROM, both.__file__]"
    cloud.function("layered", code, Layers=arns)
    assert cloud.invoke("layered").payload == ["two", "one", "/opt/python/both.py"]


def test_only_tmp_can_be_written_and_only_so_much(cloud: Cloud) -> None:
    cloud.function("writer", WRITE, EphemeralStorage={"Size": 512})
    for path in ("/x", "/var/task/x", "/opt/x", "/var/lang/x", "/usr/x", "/etc/x"):
        assert "refused" in cloud.invoke("writer", {"path": path}).payload, path
    assert "written" in cloud.invoke("writer", {"path": "/tmp/x"}).payload  # noqa: S108  the function's own
    cloud.function("filler", FILL, EphemeralStorage={"Size": 600})
    assert "No space left" in cloud.invoke("filler", 601).payload["errorMessage"]
    assert cloud.invoke("filler", 599).payload == "it fits"


def test_every_environment_has_a_tmp_of_its_own(cloud: Cloud) -> None:
    code = """
import pathlib, time
def handler(event, context):
    file = pathlib.Path("/tmp/calls")
    file.write_text((file.read_text() if file.exists() else "") + "x")
    time.sleep(0.5)
    return file.read_text()
"""
    cloud.function("private", code)
    with ThreadPoolExecutor(2) as pool:
        assert [answer.payload for answer in pool.map(lambda _: cloud.invoke("private"), range(2))] == ["x", "x"]
    assert cloud.invoke("private").payload == "xx", "a warm environment keeps it, as on Lambda"


def test_more_memory_than_the_function_has_kills_the_process_and_only_that_call(cloud: Cloud) -> None:
    cloud.function("hungry", TAKE, MemorySize=256, Timeout=20)
    assert cloud.invoke("hungry", 150).payload == "taken"
    answer = cloud.invoke("hungry", 400)
    assert answer.failed
    assert answer.payload["errorType"] == "Runtime.ExitError"
    assert answer.payload["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
    record = logged(cloud, "hungry")[-1]["record"]
    assert (record["status"], record["errorType"]) == ("error", "Runtime.ExitError")
    assert (record["metrics"]["memorySizeMB"], record["metrics"]["maxMemoryUsedMB"]) == (256, 256)
    assert cloud.invoke("hungry", 150).payload == "taken"


def test_memory_counts_for_all_processes_of_the_function(cloud: Cloud) -> None:
    code = """
import subprocess, sys
def handler(event, context):
    program = "import time; taken = b'x' * (200 * 2**20); time.sleep(20)"
    return subprocess.run([sys.executable, "-c", program]).returncode
"""
    cloud.function("parent", code, Timeout=20)
    assert cloud.invoke("parent").payload["errorMessage"].endswith("signal: killed")


def test_where_memory_runs_out_a_process_that_asked_for_it_goes_first(cloud: Cloud) -> None:
    code = """
import pathlib, subprocess, sys
def handler(event, context):
    program = "import time; taken = b'x' * (200 * 2**20); time.sleep(20)"
    child = subprocess.Popen([sys.executable, "-c", program])
    pathlib.Path(f"/proc/{child.pid}/oom_score_adj").write_text("1000")
    return child.wait()
"""
    cloud.function("sparing", code, Timeout=20)
    assert cloud.invoke("sparing").payload == -signal.SIGKILL


def test_memory_that_is_only_reserved_does_not_count(cloud: Cloud) -> None:
    """TensorFlow reserves much more than it uses; a limit on addresses would kill it."""
    code = """
import mmap, time
def handler(event, context):
    reserved = mmap.mmap(-1, 4 * 2**30)
    time.sleep(0.3)
    return len(reserved)
"""
    cloud.function("reserving", code, MemorySize=128)
    assert cloud.invoke("reserving").payload == 4 * 2**30


@pytest.fixture(scope="module")
def weights(cloud: Cloud) -> dict[str, str]:
    """ARNs of a file system and its access points: the writer's for all models, the reader's for one."""
    efs = cloud.client("efs")
    system = efs.create_file_system(CreationToken="weights")
    creation = {"OwnerUid": 10000, "OwnerGid": 10000, "Permissions": "0755"}
    arns = {"system": system["FileSystemArn"]}
    for name, user, path in (("writer", 10000, "/models"), ("reader", 10001, "/models/one")):
        arns[name] = efs.create_access_point(
            ClientToken=name,
            FileSystemId=system["FileSystemId"],
            PosixUser={"Uid": user, "Gid": user},
            RootDirectory={"Path": path, "CreationInfo": creation},
        )["AccessPointArn"]
    return arns


def mounting(arn: str, path: str) -> list[dict[str, str]]:
    return [{"Arn": arn, "LocalMountPath": path}]


def test_weights_are_written_by_the_writer_and_only_read_by_the_reader(cloud: Cloud, weights: dict[str, str]) -> None:
    both = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    writer = cloud.role("weights-writer", allow(both, weights["system"]))
    cloud.function("put", WRITE, role=writer, FileSystemConfigs=mounting(weights["writer"], "/mnt/models"))
    put = "import os; os.makedirs('/mnt/models/one', exist_ok=True)\n" + WRITE
    cloud.function("make", put, role=writer, FileSystemConfigs=mounting(weights["writer"], "/mnt/models"))
    written = cloud.invoke("make", {"path": "/mnt/models/one/model.bin", "text": "weights"}).payload
    assert written == {"written": 10000 if os.geteuid() == 0 else 0}

    reader = cloud.role("weights-reader", allow("elasticfilesystem:ClientMount", weights["system"]))
    settings: dict[str, Any] = {"role": reader, "FileSystemConfigs": mounting(weights["reader"], "/mnt/model")}
    cloud.function("read", "def handler(event, context): return open('/mnt/model/model.bin').read()", **settings)
    assert cloud.invoke("read").payload == "weights"
    cloud.function("spoil", WRITE, **settings)
    assert cloud.invoke("spoil", {"path": "/mnt/model/model.bin"}).payload == {"refused": "Read-only file system"}


def test_writing_takes_the_posix_user_too(cloud: Cloud, weights: dict[str, str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root runs functions as other users")
    both = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    role = cloud.role("bold-reader", allow(both, weights["system"]))
    cloud.function("bold", WRITE, role=role, FileSystemConfigs=mounting(weights["reader"], "/mnt/model"))
    assert cloud.invoke("bold", {"path": "/mnt/model/x"}).payload == {"refused": "Permission denied"}


def test_an_access_point_that_the_role_may_not_mount_fails_the_call(cloud: Cloud, weights: dict[str, str]) -> None:
    cloud.function("stranger", WRITE, FileSystemConfigs=mounting(weights["reader"], "/mnt/model"))
    answer = cloud.invoke("stranger", {})
    assert answer.failed
    assert answer.payload["errorType"] == "EFSMountFailureException"


def test_the_file_system_policy_is_part_of_the_decision(cloud: Cloud) -> None:
    efs = cloud.client("efs")
    system = efs.create_file_system(CreationToken="guarded")
    creation = {"OwnerUid": 993, "OwnerGid": 990, "Permissions": "0777"}
    point = efs.create_access_point(
        ClientToken="guarded",
        FileSystemId=system["FileSystemId"],
        RootDirectory={"Path": "/all", "CreationInfo": creation},
    )["AccessPointArn"]
    both = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    writers = {name: cloud.role(name, allow(both, system["FileSystemArn"])) for name in ("trusted", "other")}
    deny = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "elasticfilesystem:ClientWrite",
        "Resource": system["FileSystemArn"],
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": writers["trusted"]}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    efs.put_file_system_policy(FileSystemId=system["FileSystemId"], Policy=policy)
    for name, role in writers.items():
        cloud.function(f"guarded-{name}", WRITE, role=role, FileSystemConfigs=mounting(point, "/mnt/all"))
    assert "written" in cloud.invoke("guarded-trusted", {"path": "/mnt/all/x"}).payload
    assert cloud.invoke("guarded-other", {"path": "/mnt/all/x"}).payload == {"refused": "Read-only file system"}


def test_code_may_name_its_own_python_environment(cloud: Cloud, tmp_path: Path) -> None:
    bare = paths.ENVIRONMENTS / "lambda"
    own = tmp_path / "environment"
    shutil.copytree(bare, own, symlinks=True)
    (next(own.glob("lib/python*/site-packages")) / "only_here.py").write_text("")
    for folder in (tmp_path, own):
        folder.chmod(0o755)
    files = {"code.py": "import only_here\ndef handler(event, context): return 'there'", ".environment": str(own)}
    cloud.function("named", "")
    cloud.client("lambda").update_function_code(FunctionName="named", ZipFile=zipped(files))
    assert cloud.invoke("named", qualifier="$LATEST").payload == "there"


def test_a_number_beyond_a_floats_range_reaches_the_handler(cloud: Cloud) -> None:
    cloud.function("large", "def handler(event, context): return [repr(value) for value in event]")
    sent = b'[1e400, -1e400, "Infinity", "\\"-Infinity"]'
    answer = cloud.client("lambda").invoke(FunctionName="large", Payload=sent)
    assert json.loads(answer["Payload"].read()) == ["inf", "-inf", "'Infinity'", "'\"-Infinity'"]


def test_an_environment_serves_one_call_after_the_other(cloud: Cloud) -> None:
    cloud.function("counting", "calls = 0\ndef handler(e, c):\n    global calls\n    calls += 1\n    return calls")
    assert [cloud.invoke("counting").payload for _ in range(3)] == [1, 2, 3]


def test_calls_at_once_get_environments_of_their_own(cloud: Cloud) -> None:
    code = "import time, uuid\nME = uuid.uuid4().hex\ndef handler(e, c):\n    time.sleep(0.5)\n    return ME"
    cloud.function("parallel", code)
    with ThreadPoolExecutor(3) as pool:
        assert len({answer.payload for answer in pool.map(lambda _: cloud.invoke("parallel"), range(3))}) == 3


def test_an_apply_checks_four_versions_at_once_and_keeps_no_other_call_waiting(cloud: Cloud) -> None:
    cloud.function(
        "checked",
        """
import time

def handler(event, context):
    began = time.time()
    time.sleep(event.get("seconds", 1))
    return began, time.time()
""",
    )
    with ThreadPoolExecutor(12) as pool:
        checks = [pool.submit(cloud.invoke, "checked", {CHECK: {}}, "1") for _ in range(12)]
        eventually(lambda: any(check.done() for check in checks))
        _, answered = cloud.invoke("checked", {"seconds": 0}).payload
        times = sorted(check.result().payload for check in checks)
    at_once = [sum(began <= moment < ended for began, ended in times) for moment, _ in times]
    assert max(at_once) == MAX_CHECKS == 4
    assert answered < times[-1][0]


def test_reserved_concurrency_holds_through_an_alias(cloud: Cloud) -> None:
    cloud.function("narrow", "import time\ndef handler(e, c): time.sleep(1)")
    cloud.client("lambda").put_function_concurrency(FunctionName="narrow", ReservedConcurrentExecutions=1)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(cloud.invoke, "narrow") for _ in range(2)]
    refused = [call.exception() for call in calls if call.exception()]
    assert len(refused) == 1
    assert isinstance(refused[0], ClientError)
    assert refused[0].response["Error"]["Code"] == "TooManyRequestsException"


def test_a_call_that_takes_too_long_is_killed(cloud: Cloud) -> None:
    code = "import time\ndef handler(e, c):\n    print('before')\n    if e: time.sleep(30)\n    return 'quick'"
    cloud.function("late", code, Timeout=1)
    answer = cloud.invoke("late", True)
    assert answer.failed
    assert answer.payload["errorType"] == "Sandbox.Timedout"
    assert answer.payload["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert cloud.invoke("late", False).payload == "quick"
    _, before, fault, report = logged(cloud, "late")[:4]
    assert before == "before"
    assert fault["record"]["fault"].endswith("Task timed out after 1.00 seconds")
    assert (report["type"], report["record"]["status"]) == ("platform.report", "timeout")


def test_an_initialisation_is_stopped_at_ten_seconds_and_started_over_under_the_functions_timeout(
    cloud: Cloud,
) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib"""
    code = "import time\nprint('loading')\ntime.sleep(11)\nprint('loaded')\ndef handler(e, c): return 'served'"
    # Two seconds are enough for the handler, but not for what is started over with it.
    cloud.function("slow-init", code, Timeout=20)
    cloud.function("too-slow-init", code, Timeout=2)
    with ThreadPoolExecutor(2) as pool:
        served, stopped = pool.map(cloud.invoke, ["slow-init", "too-slow-init"])

    assert served.payload == "served"
    first, init, start, *again, report = logged(cloud, "slow-init")
    assert (first, again) == ("loading", ["loading", "loaded"])
    assert init["type"] == "platform.initReport"
    assert (init["record"]["phase"], init["record"]["status"]) == ("init", "timeout")
    assert init["record"]["metrics"] == {"durationMs": 10_000}
    assert (start["type"], report["type"]) == ("platform.start", "platform.report")
    metrics = report["record"]["metrics"]
    assert 11_000 < metrics["durationMs"] < 15_000, "the second initialisation is a part of the invocation"
    assert "initDurationMs" not in metrics

    assert stopped.payload["errorType"] == "Sandbox.Timedout"
    assert stopped.payload["errorMessage"].endswith("Task timed out after 2.00 seconds")
    assert "loaded" not in cloud.log("too-slow-init")


def test_a_process_that_ends_fails_its_call_only(cloud: Cloud) -> None:
    cloud.function("mortal", "import os\ndef handler(e, c):\n    if e: os._exit(3)\n    return 'alive'")
    answer = cloud.invoke("mortal", True)
    assert answer.payload["errorType"] == "Runtime.ExitError"
    assert answer.payload["errorMessage"].endswith("exit status 3")
    assert cloud.invoke("mortal", False).payload == "alive"


def test_errors_are_the_ones_of_the_runtime(cloud: Cloud) -> None:
    cloud.function("raising", "def handler(event, context): raise ValueError('no')")
    raised = cloud.invoke("raising")
    assert raised.failed
    assert (raised.payload["errorType"], raised.payload["errorMessage"]) == ("ValueError", "no")
    cloud.function("unimportable", "import nothing_of_that_name")
    failed = cloud.invoke("unimportable").payload
    assert failed["errorType"] == "Runtime.ImportModuleError"


def test_a_function_can_do_what_its_role_allows_and_no_more(cloud: Cloud) -> None:
    code = """
import boto3
s3 = boto3.client("s3")
def handler(event, context):
    return s3.get_object(Bucket=event["bucket"], Key="a")["Body"].read().decode()
"""
    for name in ("mine", "theirs"):
        cloud.bucket(name)
        cloud.client("s3").put_object(Bucket=name, Key="a", Body=name.encode())
    cloud.function("reading", code, role=cloud.role("reading", allow("s3:GetObject", "arn:aws:s3:::mine/*")))
    assert cloud.invoke("reading", {"bucket": "mine"}).payload == "mine"
    denied = cloud.invoke("reading", {"bucket": "theirs"}).payload
    assert re.search("AccessDenied.*reading.*is not authorized to perform: s3:GetObject", denied["errorMessage"])


def test_the_log_has_the_lines_of_lambda_around_the_functions_own(cloud: Cloud) -> None:
    cloud.function("talking", "print('loading')\ndef handler(event, context):\n    print('hello')", MemorySize=256)
    cloud.invoke("talking")
    cloud.invoke("talking")
    loading, start, own, cold, warm_start, _, warm = logged(cloud, "talking")
    assert (loading, own) == ("loading", "hello")
    assert (start["type"], cold["type"]) == (warm_start["type"], warm["type"]) == ("platform.start", "platform.report")
    assert start["record"]["version"] == "1"
    assert start["record"]["requestId"] == cold["record"]["requestId"] != warm["record"]["requestId"]
    assert cold["record"]["status"] == "success"
    metrics = cold["record"]["metrics"]
    assert set(metrics) - set(warm["record"]["metrics"]) == {"initDurationMs"}
    assert metrics["billedDurationMs"] >= metrics["initDurationMs"]
    assert metrics["memorySizeMB"] == 256
    assert 5 < metrics["maxMemoryUsedMB"] < 256
    # Waiting by polling would show here: an empty handler takes about one millisecond.
    assert warm["record"]["metrics"]["durationMs"] < 50


def test_a_function_that_logs_as_json_writes_nothing_else(cloud: Cloud) -> None:
    code = """
import logging
def handler(event, context):
    logging.getLogger().warning("careful", extra={"model": "digits"})
"""
    cloud.function("structured", code, LoggingConfig={"LogFormat": "JSON"})
    cloud.invoke("structured")
    _, own, _ = (json.loads(line) for line in cloud.log("structured"))
    assert (own["level"], own["message"], own["model"]) == ("WARNING", "careful", "digits")


def test_a_log_goes_only_where_the_role_may_write(cloud: Cloud) -> None:
    streams = allow(["logs:CreateLogStream", "logs:PutLogEvents"])
    cloud.function("quiet", "def handler(event, context): print('x')", role=cloud.role("quiet", streams))
    cloud.invoke("quiet")
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/quiet")["logGroups"]
    assert groups == []
    cloud.client("logs").create_log_group(logGroupName="/aws/lambda/quiet")
    cloud.invoke("quiet")
    assert "x" in cloud.log("quiet")


def test_no_more_environments_live_than_the_machine_can_take(cloud: Cloud, local_stack: LocalStack) -> None:
    at_once = MAX_ENVIRONMENTS - 2
    for name in ("burst-one", "burst-two"):
        cloud.function(name, "import time\ndef handler(event, context): time.sleep(1)")
        with ThreadPoolExecutor(at_once) as pool:
            assert not any(answer.failed for answer in pool.map(cloud.invoke, [name] * at_once))
    pid = Layout(local_stack.home).pid.read_text()
    server = children(pid)[0]
    assert at_once <= len(children(server)) <= MAX_ENVIRONMENTS


def children(pid: str) -> list[str]:
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="takes namespaces away with setpriv")
def test_without_namespaces_functions_still_run_and_it_says_what_is_missing(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from typing import Any
from modelctl.local.stack import LocalStack
from local_stack.support import Cloud, allow, zipped
stack = LocalStack(Path({str(tmp_path / "home")!r}))
stack.start()
try:
    cloud = Cloud(stack.environment())
    efs, lambda_ = cloud.client("efs"), cloud.client("lambda")
    system = efs.create_file_system(CreationToken="bare")["FileSystemId"]
    point = efs.create_access_point(ClientToken="bare", FileSystemId=system)["AccessPointArn"]
    layer = lambda_.publish_layer_version(LayerName="bare", Content={{"ZipFile": zipped({{"python/dep.py": "X = 1"}})}})
    code = '''
import os, dep
def handler(event, context):
    folder = os.environ["MODELYARD_WEIGHTS"]
    return [dep.X, os.listdir(folder), folder != "/mnt/model"]
'''
    (stack.home / "efs" / system).mkdir()
    (stack.home / "efs" / system / "model.bin").touch()
    cloud.function(
        "bare", code, role=cloud.role("bare", allow("elasticfilesystem:ClientMount")),
        env={{"MODELYARD_WEIGHTS": "/mnt/model"}}, Layers=[layer["LayerVersionArn"]],
        FileSystemConfigs=[{{"Arn": point, "LocalMountPath": "/mnt/model"}}],
    )
    print(cloud.invoke("bare").payload)
finally:
    stack.stop()
"""
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "[1, ['model.bin'], True]\n", done.stderr
    assert "not write-protected" in done.stderr
    assert not (tmp_path / "home").exists()
