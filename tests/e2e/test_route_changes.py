"""Two models swap their prefixes while inputs are uploaded: each is served, whichever route S3 and the functions know.

S3 goes by its old notification for up to five minutes after a change, and an apply may fail between the notification
and the functions. So a queue receives keys of the route that its model had, and of the one that it will have.
"""

import contextlib
import io
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Platform, client, run_modelctl, wait_until_empty
from e2e.test_modelctl import SCAN
from e2e.test_permissions import ALLOWED, REFUSED, get, make_probe
from local_stack.support import allow, eventually, policy
from modelctl import cli, paths
from modelctl.commands import backfill, dead, explain, redrive
from modelctl.deployed.deployment import Deployment
from modelctl.local.stack import LocalStack
from modelctl.targets import Target
from modelctl.terraform import program
from modelctl.terraform.applying import PARALLEL

MODEL = """\
  {name}:
    artifact: {checkout}/models/digits/artifact
    runtime: litert
    version: "1"
    timeout_s: 5
    retries: 3
    route: {{prefixes: [{prefix}]}}
    input: {{format: image, size: [8, 8], mode: L, scale: 0.00392157}}
    output: {{labels: labels.txt}}
"""
LEFT, RIGHT, OTHER = "left/", "right/", "other/"
HELD_BACK = "lambda:UpdateFunctionConfiguration"


@dataclass
class Uploads:
    """Inputs that are uploaded all the time, under both prefixes in turn."""

    s3: Any
    bucket: str
    keys: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self._upload)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def more(self) -> list[str]:
        """The keys of some that are uploaded from now on."""
        before = len(self.keys)
        eventually(lambda: len(self.keys) >= before + 10, timeout_s=60)
        return self.keys[before + 1 :]

    def _upload(self) -> None:
        while not self._ended.wait(0.2):
            key = f"{(LEFT, RIGHT)[len(self.keys) % 2]}{len(self.keys)}.png"
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=SCAN.read_bytes())
            self.keys.append(key)


@dataclass(frozen=True)
class Swapped:
    """The platform after the swap, and what was uploaded meanwhile."""

    platform: Platform
    uploads: Uploads
    #: Keys that were announced while the functions did not know their new route, and while S3 did not.
    while_functions_lagged: list[str]
    while_s3_lagged: list[str]
    #: The exit status of a plan right after: 0 if it changes nothing.
    second_plan: int

    def result(self, model: str, key: str) -> Any:
        """A result; None if there is none."""
        s3, bucket = self.platform.client("s3"), self.platform.deployment["buckets"]["results"]
        try:
            return json.loads(s3.get_object(Bucket=bucket, Key=f"{model}/{key}.json")["Body"].read())
        except s3.exceptions.NoSuchKey:
            return None


def write_registry(file: Path, **prefixes: str) -> None:
    models = [MODEL.format(name=name, prefix=prefix, checkout=paths.CHECKOUT) for name, prefix in prefixes.items()]
    file.write_text("version: 1\nmodels:\n" + "".join(models))


def run_terraform(env: Mapping[str, str], *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program.binary(), f"-chdir={paths.TERRAFORM}", *command, "-no-color", "-input=false"],
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def without(env: Mapping[str, str], action: str) -> dict[str, str]:
    """The environment of an IAM user who may do everything but one action."""
    iam = client(env, "iam")
    iam.create_user(UserName="deployer")
    denied = {"Effect": "Deny", "Action": action, "Resource": "*"}
    iam.put_user_policy(UserName="deployer", PolicyName="own", PolicyDocument=policy(allow("*"), denied))
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    own = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    return {**env, **own}


def known_prefixes(platform: Platform, model: str) -> list[str]:
    """The route that the function which is live knows."""
    live = platform.client("lambda").get_function_configuration(FunctionName=f"modelyard-{model}", Qualifier="live")
    prefixes: list[str] = json.loads(live["Environment"]["Variables"]["MODELYARD_MODEL"])["route"]["prefixes"]
    return prefixes


@contextmanager
def notification_of(platform: Platform, configuration: Mapping[str, Any]) -> Iterator[None]:
    """S3 goes by another notification than the one that was set last."""
    s3, bucket = platform.client("s3"), platform.deployment["buckets"]["inputs"]
    newest = notification(platform)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    yield
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=newest)


def notification(platform: Platform) -> dict[str, Any]:
    found = platform.client("s3").get_bucket_notification_configuration(Bucket=platform.deployment["buckets"]["inputs"])
    return {"QueueConfigurations": found["QueueConfigurations"]}


@pytest.fixture(scope="module")
def swapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swapped]:
    folder = tmp_path_factory.mktemp("swapped")
    home, registry = folder / "stack", folder / "registry.yaml"
    write_registry(registry, left=LEFT, right=RIGHT, other=OTHER)
    try:
        up = run_modelctl(home, "up", "--registry", registry, timeout_s=600)
        assert up.status == 0, up.err
        yield swap(home, registry)
    finally:
        LocalStack(home).stop()


def swap(home: Path, registry: Path) -> Swapped:
    env = {**program.clean_environment(), **run_modelctl(home, "env", "--json").document}
    deployment = program.Root(env).outputs()["deployment"]
    platform = Platform(home, env, deployment, alarm_topic_arn="")
    before = notification(platform)
    uploads = Uploads(platform.client("s3"), deployment["buckets"]["inputs"])
    announce_to_another(platform, before)
    with uploads.going_on():
        uploads.more()
        write_registry(registry, left=RIGHT, right=LEFT, other=OTHER)
        refused = run_terraform(without(env, HELD_BACK), "apply", "-auto-approve", PARALLEL)
        assert refused.returncode == 1
        assert HELD_BACK in refused.stderr
        assert (known_prefixes(platform, "left"), known_prefixes(platform, "right")) == ([LEFT], [RIGHT])
        assert notification(platform) != before
        while_functions_lagged = uploads.more()

        applied = run_terraform(env, "apply", "-auto-approve", PARALLEL)
        assert applied.returncode == 0, applied.stderr
        assert (known_prefixes(platform, "left"), known_prefixes(platform, "right")) == ([RIGHT], [LEFT])
        second_plan = run_terraform(env, "plan", "-detailed-exitcode").returncode
        with notification_of(platform, before):
            while_s3_lagged = uploads.more()
        uploads.more()
    # What is received from now on comes back soon.
    platform.client("sqs").set_queue_attributes(
        QueueUrl=platform.queues("left")[0], Attributes={"VisibilityTimeout": "1"}
    )
    return Swapped(platform, uploads, while_functions_lagged, while_s3_lagged, second_plan)


def announce_to_another(platform: Platform, configuration: Mapping[str, Any]) -> None:
    """Let S3 announce an input of the model other to the model left, whose role may not read it."""
    queues = {entry["Id"]: entry["QueueArn"] for entry in configuration["QueueConfigurations"]}
    wrong = [
        {**entry, "QueueArn": queues["left-0"] if entry["Id"] == "other-0" else entry["QueueArn"]}
        for entry in configuration["QueueConfigurations"]
    ]
    with notification_of(platform, {"QueueConfigurations": wrong}):
        platform.client("s3").put_object(
            Bucket=platform.deployment["buckets"]["inputs"], Key=f"{OTHER}unreadable.png", Body=SCAN.read_bytes()
        )


def test_every_input_has_a_result(swapped: Swapped) -> None:
    def missing() -> set[str]:
        return {
            key for key in swapped.uploads.keys if not any(swapped.result(model, key) for model in ("left", "right"))
        }

    # One that came before the role could read it is tried again after the queue's visibility timeout.
    deadline = time.monotonic() + 120
    while missing() and time.monotonic() < deadline:
        time.sleep(1)
    assert missing() == set()


def assert_served(swapped: Swapped, keys: Iterable[str], **models: str) -> None:
    """Each input has the result of the model that its folder leads to."""
    by_model = {(models[key.partition("/")[0]], key) for key in keys}
    assert {model for model, _ in by_model} == {"left", "right"}
    eventually(lambda: all(swapped.result(model, key) for model, key in by_model), timeout_s=60)
    assert all(swapped.result(model, key)["predictions"][0]["label"] for model, key in by_model)


def test_a_function_that_does_not_know_its_new_route_yet_serves_it(swapped: Swapped) -> None:
    assert_served(swapped, swapped.while_functions_lagged, left="right", right="left")


def test_a_function_serves_what_s3_announces_by_the_route_before(swapped: Swapped) -> None:
    assert_served(swapped, swapped.while_s3_lagged, left="left", right="right")


def test_a_plan_after_the_swap_is_empty(swapped: Swapped) -> None:
    assert swapped.second_plan == 0


def test_an_input_that_the_role_may_not_read_is_a_dead_letter(swapped: Swapped) -> None:
    sqs = swapped.platform.client("sqs")
    url = swapped.platform.queues("left")[1]
    dead = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"), timeout_s=120)
    assert [json.loads(message["Body"])["Records"][0]["s3"]["object"]["key"] for message in dead] == [
        f"{OTHER}unreadable.png"
    ]
    assert swapped.result("left", f"{OTHER}unreadable.png") is None


def test_a_model_reads_its_own_and_its_previous_inputs_until_a_date_and_no_others(swapped: Swapped) -> None:
    platform, keys = swapped.platform, swapped.uploads.keys
    bucket, iam = platform.deployment["buckets"]["inputs"], platform.client("iam")
    steps = {
        "own": get(bucket, next(key for key in keys if key.startswith(RIGHT))),
        "previous": get(bucket, next(key for key in keys if key.startswith(LEFT))),
        "others": get(bucket, f"{OTHER}unreadable.png"),
    }
    probe = make_probe(platform, "probe-left", "modelyard-left")
    assert probe.run(**steps) == {"own": ALLOWED, "previous": ALLOWED, "others": REFUSED}

    named = {"RoleName": "modelyard-left", "PolicyName": "function"}
    document = iam.get_role_policy(**named)["PolicyDocument"]
    (kept,) = (statement for statement in document["Statement"] if statement["Sid"] == "PreviousInputs")
    kept["Condition"]["DateLessThan"]["aws:CurrentTime"] = "2026-01-01T00:00:00Z"
    iam.put_role_policy(**named, PolicyDocument=json.dumps(document))
    assert probe.run(**steps) == {"own": ALLOWED, "previous": REFUSED, "others": REFUSED}


# What an operator finds and repairs afterwards, with `modelctl` alone


@pytest.fixture(scope="module")
def operator(swapped: Swapped) -> Iterator[Callable[..., Any]]:
    """Runs commands in this process, and returns what `--json` prints."""
    deployed = Deployment(Target("local", swapped.platform.env))

    def run(name: str, *arguments: str, status: int = 0) -> Any:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert cli.main([name, *arguments, "--json"]) == status
        return json.loads(printed.getvalue())

    with pytest.MonkeyPatch.context() as patch:
        for one in (backfill, dead, explain, redrive):
            patch.setattr(one, "deployment", lambda called: deployed)
        yield run


def test_dead_letters_are_shown_by_cause_and_put_back_once_that_is_fixed(
    swapped: Swapped, operator: Callable[..., Any]
) -> None:
    key = f"{OTHER}unreadable.png"
    # The test before has received it, which hides it for a while.
    found = eventually(lambda: found if (found := operator("dead", "left"))["looked_at"] else None, timeout_s=120)
    (cause,) = found["causes"]
    assert (found["looked_at"], cause["count"], cause["type"]) == (1, 1, "StorageError")
    assert f"{key} could not be read: AccessDenied" in cause["message"]
    (letter,) = cause["dead_letters"]
    assert [one["key"] for one in letter["inputs"]] == [key]
    assert letter["tries"] == 3
    planned = operator("redrive", "left", "--dry-run")
    assert (planned["redriven"], [one["inputs"] for one in planned["dead_letters"]]) == (1, [letter["inputs"]])
    assert operator("redrive", "left", "--key", "left/other.png", status=1)["redriven"] == 0

    bucket = swapped.platform.deployment["buckets"]["inputs"]
    fix = policy({"Effect": "Allow", "Action": "s3:GetObject*", "Resource": f"arn:aws:s3:::{bucket}/{OTHER}*"})
    iam = swapped.platform.client("iam")
    iam.put_role_policy(RoleName="modelyard-left", PolicyName="fix", PolicyDocument=fix)
    assert operator("redrive", "left") == {"model": "left", "dry_run": False, "redriven": 1}
    eventually(lambda: "predictions" in (swapped.result("left", key) or {}), timeout_s=60)
    iam.delete_role_policy(RoleName="modelyard-left", PolicyName="fix")
    wait_until_empty(swapped.platform.client("sqs"), swapped.platform.queues("left"))
    assert operator("dead", "left") == {"model": "left", "dead_letters": 0, "looked_at": 0, "causes": []}


def test_an_input_that_its_model_never_heard_of_is_found_and_backfilled(
    swapped: Swapped, operator: Callable[..., Any]
) -> None:
    key = f"{OTHER}unreadable.png"
    found = eventually(
        lambda: found if (found := operator("explain", key))["state"] != "waiting" else None, timeout_s=90
    )
    assert (found["model"], found["state"], found["result"]) == ("other", "never announced", None)
    assert found["next"] == f"`modelctl backfill other --prefix {key}` queues it"
    planned = operator("backfill", "other", "--dry-run")
    assert [(one["key"], one["reason"]) for one in planned["inputs"]] == [(key, "missing")]
    assert operator("backfill", "other", "--since", "1s")["queued"] == 0
    assert operator("backfill", "other", "--prefix", key)["queued"] == 1
    assert eventually(lambda: swapped.result("other", key), timeout_s=60)["predictions"]
    again = operator("backfill", "other", "--stale")
    assert (again["looked_at"], again["queued"], again["reasons"]) == (1, 0, {})


def test_explain_says_what_became_of_an_input(swapped: Swapped, operator: Callable[..., Any]) -> None:
    s3, bucket = swapped.platform.client("s3"), swapped.platform.deployment["buckets"]["inputs"]

    def put(name: str, body: bytes) -> str:
        version: str = s3.put_object(Bucket=bucket, Key=f"{OTHER}{name}", Body=body)["VersionId"]
        return version

    first, broken = put("a b.png", SCAN.read_bytes()), put("broken.png", b"no image")
    eventually(
        lambda: all(swapped.result("other", f"{OTHER}{name}") for name in ("a b.png", "broken.png")), timeout_s=60
    )
    answered = operator("explain", f"s3://{bucket}/{OTHER}a b.png")
    live = swapped.platform.deployment["models"]["other"]["digest"]
    assert (answered["state"], answered["version"]["version_id"]) == ("answered", first)
    assert (answered["result"]["digest"], answered["live_digest"], answered["next"]) == (live, live, None)
    assert answered["way"] == "the bucket's notification other-0 sends it to the queue modelyard-other"
    refused = operator("explain", f"{OTHER}broken.png")
    assert (refused["state"], refused["version"]["version_id"]) == ("refused", broken)
    assert refused["result"]["error"]["type"] == "DecodeError"

    second = put("a b.png", SCAN.read_bytes())
    eventually(lambda: swapped.result("other", f"{OTHER}a b.png")["input"]["version_id"] == second, timeout_s=60)
    superseded = operator("explain", f"{OTHER}a b.png", "--version-id", first)
    assert (superseded["state"], superseded["result"]["of_this_version"]) == ("superseded", False)
    s3.delete_object(Bucket=bucket, Key=f"{OTHER}a b.png")
    assert operator("explain", f"{OTHER}a b.png")["state"] == "deleted"
    assert operator("explain", f"{OTHER}none.png")["state"] == "not uploaded"
    nearest = operator("explain", "Other/none.png")
    assert (nearest["state"], nearest["route"]["nearest"]) == ("no model", "other")
