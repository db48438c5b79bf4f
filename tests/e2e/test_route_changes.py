"""Routes change while inputs are uploaded: each is served.

Two models swap their prefixes. S3 goes by its old notification for up to five minutes after a change, and an apply may
fail between the notification and the functions. So a queue receives keys of the route that its model had, and of the
one that it will have.

Then the same deployment goes over from the bucket's notification to EventBridge, with ten models.
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

from attached import PROVIDER
from e2e.conftest import Platform, client, run_modelctl, shell_of, wait_until_empty
from e2e.test_modelctl import SCAN
from e2e.test_permissions import ALLOWED, REFUSED, get, make_probe
from local_stack.support import allow, eventually, policy
from modelctl import cli, paths
from modelctl.commands import backfill, dead, explain, redrive
from modelctl.local.stack import LocalStack
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
    #: What the keys have below the prefix, and how often each key is uploaded.
    folder: str = ""
    times: int = 1
    keys: list[str] = field(default_factory=list)
    #: The version of each key that was uploaded last.
    versions: dict[str, str] = field(default_factory=dict)
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
            prefix, number = (LEFT, RIGHT)[len(self.keys) % 2], len(self.keys) // 2 // self.times
            self.put(f"{prefix}{self.folder}{number}.png")

    def put(self, key: str) -> None:
        """Upload one input."""
        self.versions[key] = self.s3.put_object(Bucket=self.bucket, Key=key, Body=SCAN.read_bytes())["VersionId"]
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
        env={**env, **PROVIDER.variables(paths.TERRAFORM, env)},
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
    env = shell_of(home)
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
    # Of its last attempt: while that is under way, it says that it has not ended.
    given_up = eventually(
        lambda: (
            found
            if (found := swapped.result("left", f"{OTHER}unreadable.png")) and found["error"]["type"] == "StorageError"
            else None
        ),
        timeout_s=60,
    )
    assert given_up["provisional"] is True


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
def operator(swapped: Swapped, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Runs commands in this process, and returns what `--json` prints."""
    deployed = swapped.platform.deployed(tmp_path_factory.mktemp("operator"))

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
    assert f"{key} could not be read: S3 answered 403 AccessDenied" in cause["message"]
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
    assert operator("redrive", "left") == {"model": "left", "dry_run": False, "redriven": 1, "removed": 0}
    eventually(lambda: "predictions" in (swapped.result("left", key) or {}), timeout_s=60)
    iam.delete_role_policy(RoleName="modelyard-left", PolicyName="fix")
    wait_until_empty(swapped.platform.client("sqs"), swapped.platform.queues("left"))
    gone = operator("dead", "left")
    assert gone == {"model": "left", "dead_letters": 0, "looked_at": 0, "no_input": 0, "causes": []}


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


def test_an_input_whose_message_died_before_the_function_saw_it_gets_a_result_that_a_redrive_replaces(
    swapped: Swapped, operator: Callable[..., Any]
) -> None:
    s3, sqs = swapped.platform.client("s3"), swapped.platform.client("sqs")
    inputs, results = (swapped.platform.deployment["buckets"][name] for name in ("inputs", "results"))
    key = f"{OTHER}throttled.png"
    with notification_of(swapped.platform, {}):
        version = s3.put_object(Bucket=inputs, Key=key, Body=SCAN.read_bytes())["VersionId"]
    announced = {"key": key, "versionId": version, "sequencer": "0A"}
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": inputs}, "object": announced}}
    sqs.send_message(QueueUrl=swapped.platform.queues("other")[1], MessageBody=json.dumps({"Records": [record]}))

    found = operator("dead", "other", "--record")
    assert [(cause["type"], cause["count"]) for cause in found["causes"]] == [("Unknown", 1)]
    assert found["recorded"] == [key]
    recorded = swapped.result("other", key)
    assert (recorded["provisional"], recorded["error"]["type"]) == (True, "GivenUpError")
    assert "-" in s3.head_object(Bucket=results, Key=f"other/{key}.json")["ETag"], "it is not announced"
    explained = operator("explain", key)
    assert (explained["state"], explained["error"]["type"]) == ("given up", "GivenUpError")
    planned = operator("backfill", "other", "--dry-run")
    assert [(one["key"], one["reason"]) for one in planned["inputs"]] == [(key, "given up")]
    assert operator("dead", "other", "--record")["recorded"] == []

    assert operator("redrive", "other")["redriven"] == 1
    eventually(lambda: "predictions" in swapped.result("other", key), timeout_s=60)
    assert operator("explain", key)["state"] == "answered"


# --- from the notification to EventBridge -----------------------------------------------------------------------------

#: Models that are added once EventBridge announces uploads, so that there are ten.
MORE = [f"more-{number}" for number in range(7)]
SUFFIXES = "{prefixes: [mixed/], suffixes: [.png]}"


@dataclass(frozen=True)
class Moved:
    """The platform under EventBridge, and what was uploaded while it went over."""

    swapped: Swapped
    uploads: Uploads
    #: What a plan said that would have gone back in one step.
    refused: str
    #: The addresses of all that a plan with one more model changes.
    one_more: set[str]


@pytest.fixture(scope="module")
def moved(swapped: Swapped) -> Moved:
    platform, registry = swapped.platform, swapped.platform.home.parent / "registry.yaml"
    way = {name: {**platform.env, "TF_VAR_event_way": name} for name in ("notification", "both", "eventbridge")}
    uploads = Uploads(platform.client("s3"), platform.deployment["buckets"]["inputs"], "moved/", times=2)
    for url in platform.queues("left"):
        platform.client("sqs").purge_queue(QueueUrl=url)

    def change(name: str) -> None:
        applied = run_terraform(way[name], "apply", "-auto-approve", PARALLEL)
        assert applied.returncode == 0, applied.stderr
        uploads.more()

    with uploads.going_on():
        uploads.more()
        change("both")
        write_registry(registry, left=RIGHT, right=LEFT, other=OTHER, **{name: f"{name}/" for name in MORE})
        registry.write_text(registry.read_text().replace("{prefixes: [more-0/]}", SUFFIXES))
        change("eventbridge")
        for name in MORE[1:]:
            uploads.put(f"{name}/7.png")
        for suffix in ("png", "txt"):
            uploads.put(f"mixed/7.{suffix}")
    refused = run_terraform(way["notification"], "plan").stderr

    registry.write_text(registry.read_text() + MODEL.format(name="added", prefix="added/", checkout=paths.CHECKOUT))
    file = registry.with_name("one-more")
    assert run_terraform(way["eventbridge"], "plan", f"-out={file}").returncode == 0
    changes = program.Root(way["eventbridge"]).show(file)["resource_changes"]
    one_more = {change["address"] for change in changes if change["change"]["actions"] not in (["no-op"], ["read"])}
    return Moved(swapped, uploads, refused, one_more)


def test_on_the_way_to_eventbridge_no_upload_is_lost_and_each_has_the_result_of_its_last_version(moved: Moved) -> None:
    takers = {"left": "right", "right": "left", "mixed": "more-0"}
    expected = {
        (takers.get(folder, folder), key): version
        for key, version in moved.uploads.versions.items()
        if not key.endswith(".txt") and (folder := key.partition("/")[0])
    }

    def found() -> dict[tuple[str, str], str | None]:
        results = {(model, key): moved.swapped.result(model, key) for model, key in expected}
        return {place: result and result["input"]["version_id"] for place, result in results.items()}

    deadline = time.monotonic() + 120
    while found() != expected and time.monotonic() < deadline:
        time.sleep(1)
    assert found() == expected
    assert {model for model, _ in expected} == {"left", "right", *MORE}
    s3, bucket = moved.swapped.platform.client("s3"), moved.swapped.platform.deployment["buckets"]["results"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    results = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    # An input that another model took as well would have a second result.
    ours = set(moved.uploads.keys)
    assert sorted(key for key in results if key.partition("/")[2].removesuffix(".json") in ours) == sorted(
        f"{model}/{key}.json" for model, key in expected
    )


def test_what_ends_with_another_suffix_is_skipped(moved: Moved) -> None:
    """A rule of EventBridge goes by the prefix alone."""
    sqs = moved.swapped.platform.client("sqs")
    urls = [sqs.get_queue_url(QueueName=f"modelyard-{name}{end}")["QueueUrl"] for name in MORE for end in ("", "-dlq")]
    wait_until_empty(sqs, [*urls, *moved.swapped.platform.queues("left"), *moved.swapped.platform.queues("right")])
    assert moved.swapped.result("more-0", "mixed/7.txt") is None


def test_from_one_way_to_the_other_in_one_step_is_refused(moved: Moved) -> None:
    said = " ".join(moved.refused.replace("│", " ").split())
    assert 'event_way cannot change from "eventbridge" to "notification" in one apply' in said
    assert 'First apply event_way = "both", with a registry that fits both ways.' in said


def test_one_more_model_changes_what_belongs_to_it_and_the_routing_only(moved: Moved) -> None:
    others = {address for address in moved.one_more if '["added"]' not in address}
    assert others == {
        "module.observability.aws_cloudwatch_dashboard.models",
        'module.observability.aws_cloudwatch_composite_alarm.overall["00"]',
    }
    assert {address for address in moved.one_more if address.startswith("module.routing.")} == {
        'module.routing.aws_cloudwatch_event_rule.inputs["added"]',
        'module.routing.aws_cloudwatch_event_target.inputs["added"]',
        'module.routing.module.queue["added"].aws_sqs_queue.dead_letters',
        'module.routing.module.queue["added"].aws_sqs_queue.inputs',
    }


def test_only_the_models_own_rule_may_send_to_its_queue(moved: Moved) -> None:
    platform = moved.swapped.platform
    events, sqs = platform.client("events"), platform.client("sqs")
    url = platform.queues("left")[0]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.s3"], "detail": {"object": {"key": [{"prefix": "nobodys/"}]}}}
    # Rules are looked at in the order in which they were made: the last one has its event when the others had it.
    events.put_rule(Name="intruder", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="intruder", Targets=[{"Id": "queue", "Arn": queue}])
    witness = sqs.create_queue(QueueName="witness", Attributes={"Policy": policy(anybody("witness"))})["QueueUrl"]
    arn = queue.rpartition(":")[0] + ":witness"
    events.put_rule(Name="witness", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="witness", Targets=[{"Id": "queue", "Arn": arn}])

    moved.uploads.put("nobodys/7.png")

    assert eventually(lambda: sqs.receive_message(QueueUrl=witness).get("Messages"))
    wait_until_empty(sqs, [url])
    assert moved.swapped.result("left", "nobodys/7.png") is None


def anybody(queue: str) -> dict[str, Any]:
    """A statement that lets every rule send to a queue."""
    service = {"Service": "events.amazonaws.com"}
    return {
        "Effect": "Allow",
        "Principal": service,
        "Action": "sqs:SendMessage",
        "Resource": f"arn:aws:sqs:*:*:{queue}",
    }
