"""What a role may not do, tried with its own credentials under enforced IAM.

Every refusal stands beside a call of the same kind that the role, or somebody else, may make: so nothing is refused for
another reason.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from e2e.conftest import MODELCTL, Command, Platform, user, wait_until_empty
from e2e.test_modelctl import SCAN
from modelctl import paths
from modelctl.terraform import program

ALLOWED = "allowed"
REFUSED = "refused"
# How S3, IAM and Lambda, S3 without a body (HEAD), and EC2 say that a permission is missing.
DENIED = ("AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation")

# Runs what it is asked to do, as the role it was given, and says how each call ended. Only S3 answers in its network.
PROBE = """
import boto3, hashlib, os
from botocore.exceptions import ClientError

def handler(event, context):
    return {name: run(**step) for name, step in event.items()}

def run(kind, **step):
    steps = {"call": call, "credentials": credentials, "list": list_folder, "read": read, "write": write}
    return steps[kind](**step)

def credentials():
    names = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
    return {name: os.environ[name] for name in names}

def call(service, method, arguments):
    try:
        getattr(boto3.client(service), method)(**arguments)
    except ClientError as error:
        return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    return "allowed"

def list_folder(path):
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        return os.strerror(error.errno)

def read(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()

def write(path):
    try:
        with open(path, "w"):
            pass
        os.remove(path)
    except OSError as error:
        return os.strerror(error.errno)
    return "allowed"
"""


def call(service: str, method: str, **arguments: Any) -> dict[str, Any]:
    """A step of a probe: a call of boto3."""
    return {"kind": "call", "service": service, "method": method, "arguments": arguments}


def get(bucket: str, key: str, **more: str) -> dict[str, Any]:
    return call("s3", "get_object", Bucket=bucket, Key=key, **more)


def put(bucket: str, key: str, body: str = "{}") -> dict[str, Any]:
    return call("s3", "put_object", Bucket=bucket, Key=key, Body=body)


@dataclass(frozen=True)
class Probe:
    """A function in the place of another one: its role, its network and its mounts, with the probe's code."""

    platform: Platform
    name: str

    def run(self, **steps: dict[str, Any]) -> dict[str, Any]:
        """How each step ended; the answer to a call is ALLOWED, REFUSED or, where it is neither, what was said.

        A call of another service than S3 is made with the function's credentials, but not in its network.
        """
        elsewhere = {name: step for name, step in steps.items() if step.get("service", "s3") != "s3"}
        ended = self._run({name: step for name, step in steps.items() if name not in elsewhere})
        if elsewhere:
            credentials = self._run({"own": {"kind": "credentials"}})["own"]
            role = replace(self.platform, env={**self.platform.env, **credentials})
            for name, step in elsewhere.items():
                ended[name] = _tried(role, step["service"], step["method"], step["arguments"])
        return ended

    def _run(self, steps: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.platform.client("lambda").invoke(FunctionName=self.name, Payload=json.dumps(steps))
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return {name: _outcome(ended) for name, ended in payload.items()}


def _outcome(ended: Any) -> Any:
    return REFUSED if isinstance(ended, str) and ended.partition(":")[0] in DENIED else ended


def _zipped(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


def make_probe(platform: Platform, name: str, like: str, mounts: list[dict[str, str]] | None = None) -> Probe:
    """Make a probe like the function `like`, with its mounts or others."""
    functions = platform.client("lambda")
    original = functions.get_function_configuration(FunctionName=like)
    functions.create_function(
        FunctionName=name,
        Role=original["Role"],
        Runtime=original["Runtime"],
        Handler="probe.handler",
        Code={"ZipFile": _zipped("probe.py", PROBE)},
        Timeout=30,
        MemorySize=256,
        VpcConfig={key: original["VpcConfig"][key] for key in ("SubnetIds", "SecurityGroupIds")},
        FileSystemConfigs=mounts or original["FileSystemConfigs"],
        # The role may write to the log group of its own function only.
        LoggingConfig=original["LoggingConfig"],
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return Probe(platform, name)


@pytest.fixture(scope="module")
def digits(platform: Platform) -> Iterator[Probe]:
    """A probe with the role and the mounts of the model digits."""
    probe = make_probe(platform, "probe-digits", platform.deployment["models"]["digits"]["function_name"])
    yield probe
    platform.client("lambda").delete_function(FunctionName=probe.name)


@pytest.fixture(scope="module")
def weights_sync(platform: Platform) -> Iterator[Probe]:
    """A probe with the role and the mounts of the function that publishes weights."""
    probe = make_probe(platform, "probe-weights-sync", f"{platform.deployment['name']}--weights-sync")
    yield probe
    platform.client("lambda").delete_function(FunctionName=probe.name)


@dataclass(frozen=True)
class Objects:
    """Keys of objects that are there, by bucket and whose they are."""

    inputs: Mapping[str, str]
    results: Mapping[str, str]
    artifacts: Mapping[str, str]
    version: str


@pytest.fixture(scope="module")
def there(platform: Platform) -> Iterator[Objects]:
    """Objects of the models digits and wine, and of the platform itself, in all buckets."""
    s3, buckets = platform.client("s3"), platform.deployment["buckets"]
    inputs = {"digits": "digits/permissions.png", "wine": "wine/permissions.json"}
    results = {"digits": "digits/permissions.json", "wine": "wine/permissions.json"}
    # The digits scan is not a wine: its result says so.
    versions = {
        model: s3.put_object(Bucket=buckets["inputs"], Key=key, Body=SCAN.read_bytes())["VersionId"]
        for model, key in inputs.items()
    }
    for key in results.values():
        s3.put_object(Bucket=buckets["results"], Key=key, Body=b"{}")
    models = platform.deployment["models"]
    artifacts = {
        "digits": f"models/digits/{models['digits']['digest']}/model.tflite",
        "wine": f"models/wine/{models['wine']['digest']}/model.keras",
        **{
            folder: s3.list_objects_v2(Bucket=buckets["artifacts"], Prefix=f"{folder}/")["Contents"][0]["Key"]
            for folder in ("code", "layers")
        },
    }
    for key in artifacts.values():
        s3.head_object(Bucket=buckets["artifacts"], Key=key)
    yield Objects(inputs, results, artifacts, versions["digits"])
    for key in results.values():
        s3.delete_object(Bucket=buckets["results"], Key=key)


def test_a_model_reads_its_own_inputs_and_no_other_models(platform: Platform, digits: Probe, there: Objects) -> None:
    bucket = platform.deployment["buckets"]["inputs"]
    version = platform.client("s3").head_object(Bucket=bucket, Key=there.inputs["wine"])["VersionId"]
    assert digits.run(
        own=get(bucket, there.inputs["digits"]),
        own_version=get(bucket, there.inputs["digits"], VersionId=there.version),
        others=get(bucket, there.inputs["wine"]),
        others_version=get(bucket, there.inputs["wine"], VersionId=version),
        others_size=call("s3", "head_object", Bucket=bucket, Key=there.inputs["wine"]),
    ) == {
        "own": ALLOWED,
        "own_version": ALLOWED,
        "others": REFUSED,
        "others_version": REFUSED,
        "others_size": REFUSED,
    }


def test_a_functions_code_may_not_do_what_lambda_does_as_its_role_in_the_network(
    digits: Probe, weights_sync: Probe
) -> None:
    """That the probes are in the network at all shows that Lambda may."""
    steps = {
        "look": call("ec2", "describe_network_interfaces"),
        "delete": call("ec2", "delete_network_interface", NetworkInterfaceId="eni-00000000000000000"),
    }
    assert digits.run(**steps) == weights_sync.run(**steps) == dict.fromkeys(steps, REFUSED)


def test_a_model_reads_its_own_results_and_no_other_models(platform: Platform, digits: Probe, there: Objects) -> None:
    bucket = platform.deployment["buckets"]["results"]
    assert digits.run(
        own=get(bucket, there.results["digits"]),
        others=get(bucket, there.results["wine"]),
        others_size=call("s3", "head_object", Bucket=bucket, Key=there.results["wine"]),
    ) == {"own": ALLOWED, "others": REFUSED, "others_size": REFUSED}


def test_a_model_reads_nothing_in_the_artifacts_bucket(
    platform: Platform, digits: Probe, weights_sync: Probe, there: Objects
) -> None:
    bucket = platform.deployment["buckets"]["artifacts"]
    steps = {whose: get(bucket, key) for whose, key in there.artifacts.items()}
    assert digits.run(**steps) == dict.fromkeys(steps, REFUSED)
    assert weights_sync.run(**steps) == {"digits": ALLOWED, "wine": ALLOWED, "code": REFUSED, "layers": REFUSED}


def test_a_model_writes_its_own_results_and_nothing_else(platform: Platform, digits: Probe, there: Objects) -> None:
    buckets = platform.deployment["buckets"]
    copied = {"Bucket": buckets["results"], "Key": there.inputs["digits"]}
    assert digits.run(
        own_results=put(buckets["results"], there.results["digits"]),
        others_results=put(buckets["results"], there.results["wine"]),
        results_of_nobody=put(buckets["results"], "permissions.json"),
        own_inputs=put(buckets["inputs"], there.inputs["digits"]),
        others_inputs=put(buckets["inputs"], there.inputs["wine"]),
        artifacts=put(buckets["artifacts"], there.artifacts["digits"]),
        parts=call("s3", "create_multipart_upload", Bucket=buckets["inputs"], Key=there.inputs["digits"]),
        copy_of_an_own_input=call(
            "s3", "copy_object", CopySource={"Bucket": buckets["inputs"], "Key": there.inputs["digits"]}, **copied
        ),
        copy_of_anothers_input=call(
            "s3", "copy_object", CopySource={"Bucket": buckets["inputs"], "Key": there.inputs["wine"]}, **copied
        ),
    ) == {
        "own_results": ALLOWED,
        "others_results": REFUSED,
        "results_of_nobody": REFUSED,
        "own_inputs": REFUSED,
        "others_inputs": REFUSED,
        "artifacts": REFUSED,
        "parts": REFUSED,
        "copy_of_an_own_input": ALLOWED,
        "copy_of_anothers_input": REFUSED,
    }


@pytest.mark.parametrize("use", ["inputs", "results", "artifacts"])
def test_neither_a_model_nor_weights_sync_lists_a_bucket(
    platform: Platform, digits: Probe, weights_sync: Probe, there: Objects, use: str
) -> None:
    bucket = platform.deployment["buckets"][use]
    assert platform.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"], "there must be something to list"
    steps = {
        "all": call("s3", "list_objects_v2", Bucket=bucket),
        "own": call("s3", "list_objects_v2", Bucket=bucket, Prefix="digits/"),
        "versions": call("s3", "list_object_versions", Bucket=bucket, Prefix="digits/"),
        "uploads": call("s3", "list_multipart_uploads", Bucket=bucket),
        "buckets": call("s3", "list_buckets"),
        # A key that is not there must not be told from one that may not be read.
        "missing": get(bucket, "digits/not-there.json"),
    }
    assert digits.run(**steps) == dict.fromkeys(steps, REFUSED)
    assert weights_sync.run(**steps) == dict.fromkeys(steps, REFUSED)


def test_a_model_deletes_nothing(platform: Platform, digits: Probe, there: Objects) -> None:
    s3, buckets = platform.client("s3"), platform.deployment["buckets"]
    assert digits.run(
        own_result=call("s3", "delete_object", Bucket=buckets["results"], Key=there.results["digits"]),
        own_input=call("s3", "delete_object", Bucket=buckets["inputs"], Key=there.inputs["digits"]),
        own_version=call(
            "s3", "delete_object", Bucket=buckets["inputs"], Key=there.inputs["digits"], VersionId=there.version
        ),
        artifact=call("s3", "delete_object", Bucket=buckets["artifacts"], Key=there.artifacts["digits"]),
        still_there=get(buckets["inputs"], there.inputs["digits"], VersionId=there.version),
    ) == {
        "own_result": REFUSED,
        "own_input": REFUSED,
        "own_version": REFUSED,
        "artifact": REFUSED,
        "still_there": ALLOWED,
    }
    s3.put_object(Bucket=buckets["results"], Key="digits/to-be-deleted.json", Body=b"{}")
    s3.delete_object(Bucket=buckets["results"], Key="digits/to-be-deleted.json")


def test_a_model_takes_from_its_own_queue_and_calls_nobody(platform: Platform, digits: Probe) -> None:
    models = platform.deployment["models"]
    own, other = (models[name]["queue_url"] for name in ("digits", "wine"))
    asked = digits.run(
        own=call("sqs", "get_queue_attributes", QueueUrl=own, AttributeNames=["QueueArn"]),
        others=call("sqs", "get_queue_attributes", QueueUrl=other, AttributeNames=["QueueArn"]),
        others_messages=call("sqs", "receive_message", QueueUrl=other),
        into_its_own=call("sqs", "send_message", QueueUrl=own, MessageBody="{}"),
        dead_letters=call("sqs", "receive_message", QueueUrl=models["digits"]["dead_letter_queue_url"]),
        function=call("lambda", "invoke", FunctionName=models["wine"]["function_name"], Payload="{}"),
        itself=call("lambda", "invoke", FunctionName=models["digits"]["function_name"], Payload="{}"),
        roles=call("iam", "list_roles"),
    )
    assert asked == {"own": ALLOWED} | dict.fromkeys(asked.keys() - {"own"}, REFUSED)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="without namespaces nothing is mounted")
def test_a_model_sees_its_own_weights_only_and_cannot_change_them(
    platform: Platform, digits: Probe, weights_sync: Probe
) -> None:
    models = platform.deployment["models"]
    digest = models["digits"]["digest"]
    published = paths.CHECKOUT / "models" / "digits" / "artifact" / "model.tflite"
    seen = digits.run(
        mounts={"kind": "list", "path": "/mnt"},
        versions={"kind": "list", "path": "/mnt/model"},
        above={"kind": "list", "path": "/mnt/model/.."},
        file={"kind": "read", "path": f"/mnt/model/{digest}/model.tflite"},
        new_file={"kind": "write", "path": "/mnt/model/new"},
        changed_file={"kind": "write", "path": f"/mnt/model/{digest}/model.tflite"},
        temporary_file={"kind": "write", "path": "/tmp/new"},  # noqa: S108  the function's own
    )
    assert seen == {
        "mounts": ["model"],
        "versions": [digest],
        "above": ["model"],
        "file": hashlib.sha256(published.read_bytes()).hexdigest(),
        "new_file": "Read-only file system",
        "changed_file": "Read-only file system",
        "temporary_file": ALLOWED,
    }
    assert weights_sync.run(
        models={"kind": "list", "path": "/mnt/models"}, new_file={"kind": "write", "path": "/mnt/models/new"}
    ) == {"models": sorted(models), "new_file": ALLOWED}


def test_a_model_cannot_mount_the_weights_of_another(platform: Platform) -> None:
    functions, models = platform.client("lambda"), platform.deployment["models"]
    mounts = functions.get_function_configuration(FunctionName=models["wine"]["function_name"])["FileSystemConfigs"]
    outcomes = {}
    for model in ("digits", "wine"):
        probe = make_probe(platform, f"probe-{model}-at-wine", models[model]["function_name"], mounts)
        try:
            answer = functions.invoke(
                FunctionName=probe.name, Payload=json.dumps({"seen": {"kind": "list", "path": "/mnt/model"}})
            )
            outcomes[model] = ("FunctionError" in answer, answer["Payload"].read().decode())
        finally:
            functions.delete_function(FunctionName=probe.name)
    assert outcomes["wine"] == (False, json.dumps({"seen": [models["wine"]["digest"]]}))
    failed, said = outcomes["digits"]
    assert failed
    assert "may not do elasticfilesystem:ClientMount" in said


def test_weights_sync_does_nothing_to_inputs_and_results(
    platform: Platform, weights_sync: Probe, there: Objects
) -> None:
    buckets = platform.deployment["buckets"]
    refused: dict[str, dict[str, Any]] = {}
    for use, keys in (("inputs", there.inputs), ("results", there.results)):
        for model, key in keys.items():
            refused |= {
                f"get_{use}_{model}": get(buckets[use], key),
                f"put_{use}_{model}": put(buckets[use], key),
                f"delete_{use}_{model}": call("s3", "delete_object", Bucket=buckets[use], Key=key),
            }
    refused["version"] = get(buckets["inputs"], there.inputs["digits"], VersionId=there.version)
    refused["artifact"] = put(buckets["artifacts"], there.artifacts["digits"])
    refused["new_artifact"] = put(buckets["artifacts"], "models/digits/new")
    allowed = {"read_artifact": get(buckets["artifacts"], there.artifacts["digits"])}
    assert weights_sync.run(**refused, **allowed) == dict.fromkeys(refused, REFUSED) | dict.fromkeys(allowed, ALLOWED)


def test_nobody_but_lambda_takes_on_a_functions_role(platform: Platform) -> None:
    role = f"arn:aws:iam::{platform.deployment['account_id']}:role/{platform.deployment['name']}-digits"
    with pytest.raises(ClientError) as refused:
        platform.client("sts").assume_role(RoleArn=role, RoleSessionName="operator")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


@pytest.fixture
def uploader(platform: Platform) -> Iterator[Platform]:
    """The platform as an IAM user sees it who has nothing but the policy that Terraform puts out for digits."""
    policies = program.Root(platform.env).outputs()["uploader_policies"]
    with user(platform, "uploader", policies["digits"]) as seen:
        yield seen


def test_an_uploader_uploads_and_reads_the_results_of_one_model_and_can_do_nothing_else(
    platform: Platform, uploader: Platform, there: Objects, outputs: Path
) -> None:
    buckets, models = platform.deployment["buckets"], platform.deployment["models"]
    s3 = uploader.client("s3")
    key = "digits/by the uploader.png"
    s3.put_object(Bucket=buckets["inputs"], Key=key, Body=SCAN.read_bytes())
    assert _result(s3, buckets["results"], f"digits/{key}.json")["predictions"][0]["label"]
    predicted = run_as(uploader, outputs, "predict", "digits", SCAN, "--json")
    assert predicted.status == 0, predicted.err
    assert len(predicted.document["predictions"]) == 1

    inputs, results = {"Bucket": buckets["inputs"]}, {"Bucket": buckets["results"]}
    refused = {
        "upload for another model": ("s3", "put_object", {**inputs, "Key": "wine/new.json", "Body": b"{}"}),
        "upload that nobody serves": ("s3", "put_object", {**inputs, "Key": "digits/new.gif", "Body": b"{}"}),
        "upload under no prefix": ("s3", "put_object", {**inputs, "Key": "new.png", "Body": b"{}"}),
        "reading an input": ("s3", "get_object", {**inputs, "Key": key}),
        "reading another model's result": ("s3", "get_object", {**results, "Key": there.results["wine"]}),
        "writing a result": ("s3", "put_object", {**results, "Key": there.results["digits"], "Body": b"{}"}),
        "deleting an input": ("s3", "delete_object", {**inputs, "Key": key}),
        "deleting a result": ("s3", "delete_object", {**results, "Key": there.results["digits"]}),
        "listing inputs": ("s3", "list_objects_v2", {**inputs, "Prefix": "digits/"}),
        "listing results": ("s3", "list_objects_v2", {**results, "Prefix": "digits/"}),
        "listing buckets": ("s3", "list_buckets", {}),
        "reading an artifact": (
            "s3",
            "get_object",
            {"Bucket": buckets["artifacts"], "Key": there.artifacts["digits"]},
        ),
        "calling the model": (
            "lambda",
            "invoke",
            {"FunctionName": models["digits"]["function_name"], "Payload": b"{}"},
        ),
        "looking into the queue": ("sqs", "receive_message", {"QueueUrl": models["digits"]["queue_url"]}),
        "giving itself more": ("iam", "delete_user_policy", {"UserName": "uploader", "PolicyName": "0"}),
    }
    outcomes = {what: _tried(uploader, *asked) for what, asked in refused.items()}
    assert outcomes == dict.fromkeys(refused, REFUSED)
    assert _tried(uploader, "s3", "get_object", {**results, "Key": there.results["digits"]}) == ALLOWED


@pytest.fixture(scope="module")
def outputs(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with what `terraform output -json` prints, for those who may not read the state."""
    file = tmp_path_factory.mktemp("access") / "outputs.json"
    values = program.Root(platform.env).outputs()
    file.write_text(json.dumps({name: {"value": value} for name, value in values.items()}))
    return file


def run_as(who: Platform, outputs: Path, *arguments: str | Path) -> Command:
    """Run modelctl with somebody's keys, a file with the outputs, and no state."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    keys = {name: value for name, value in who.env.items() if name.startswith("AWS_")}
    own = {"MODELYARD_OUTPUTS": str(outputs), "MODELYARD_STACK": str(outputs.parent / "no-stack")}
    done = subprocess.run(
        [MODELCTL, *map(str, arguments), "--target", "aws"],
        env={**kept, **keys, **own},
        cwd=outputs.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Command(done.returncode, done.stdout, done.stderr)


def test_an_invoker_calls_models_and_can_do_nothing_else(platform: Platform, outputs: Path, there: Objects) -> None:
    buckets, models = platform.deployment["buckets"], platform.deployment["models"]
    wine = models["wine"]["function_name"]
    rows = '{"instances": [[13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]]}'
    with user(platform, "invoker", program.Root(platform.env).outputs()["invoker_policy"]) as invoker:
        called = run_as(invoker, outputs, "invoke", "wine", "--data", rows, "--json")
        assert called.status == 0, called.err
        assert len(called.document["predictions"]) == 1
        status = run_as(invoker, outputs, "status")
        assert (status.status, status.out) == (1, "")
        assert "is not authorized to perform" in status.err
        live = {"Qualifier": "live", "Payload": b"{}"}
        refused = {
            "calling the newest code": ("lambda", "invoke", {"FunctionName": wine, "Payload": b"{}"}),
            "calling a version": ("lambda", "invoke", {"FunctionName": wine, "Qualifier": "1", "Payload": b"{}"}),
            "publishing weights": (
                *("lambda", "invoke"),
                {"FunctionName": f"{platform.deployment['name']}--weights-sync", "Payload": b"{}"},
            ),
            "calling another deployment": ("lambda", "invoke", {"FunctionName": "modelyardtwo-wine", **live}),
            "reading a function": ("lambda", "get_function", {"FunctionName": wine}),
            "uploading": ("s3", "put_object", {"Bucket": buckets["inputs"], "Key": "wine/new.json", "Body": b"{}"}),
            "reading an input": ("s3", "get_object", {"Bucket": buckets["inputs"], "Key": there.inputs["wine"]}),
            "reading a result": ("s3", "get_object", {"Bucket": buckets["results"], "Key": there.results["wine"]}),
            "listing results": ("s3", "list_objects_v2", {"Bucket": buckets["results"]}),
            "looking into a queue": ("sqs", "receive_message", {"QueueUrl": models["wine"]["dead_letter_queue_url"]}),
        }
        outcomes = {what: _tried(invoker, *asked) for what, asked in refused.items()}
        assert outcomes == dict.fromkeys(refused, REFUSED)
        assert _tried(invoker, "lambda", "invoke", {"FunctionName": wine, **live}) == ALLOWED


@pytest.fixture(scope="module")
def operator(platform: Platform) -> Iterator[Platform]:
    """The platform as an IAM user sees it who has nothing but the operator's policy."""
    with user(platform, "operator", program.Root(platform.env).outputs()["operator_policy"]) as seen:
        yield seen


def test_an_operator_sees_what_happens(platform: Platform, operator: Platform, outputs: Path, there: Objects) -> None:
    status = run_as(operator, outputs, "status", "--json")
    assert status.status == 0, status.err
    models = platform.deployment["models"]
    assert {row["model"]: row["live_digest"] for row in status.document["models"]} == {
        name: model["digest"] for name, model in models.items()
    }
    logs = run_as(operator, outputs, "logs", "digits")
    assert (logs.status, logs.err) == (0, "")


def test_an_operator_finds_out_what_happened_and_repairs_it(
    platform: Platform, operator: Platform, outputs: Path, there: Objects
) -> None:
    """GIVEN a dead letter, and an input that nobody announced WHEN they are put back THEN both are answered."""
    sqs, s3 = platform.client("sqs"), platform.client("s3")
    queue, dead = platform.queues("digits")
    inputs, results = (platform.deployment["buckets"][use] for use in ("inputs", "results"))
    key = there.inputs["digits"]
    entry = {"key": key, "size": SCAN.stat().st_size, "versionId": there.version}
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": {"bucket": {"name": inputs}, "object": entry},
    }
    wait_until_empty(sqs, [queue, dead])
    s3.delete_object(Bucket=results, Key=f"digits/{key}.json")
    sqs.send_message(QueueUrl=dead, MessageBody=json.dumps({"Records": [record]}))

    seen = run_as(operator, outputs, "dead", "digits", "--json")
    assert seen.status == 0, seen.err
    assert seen.document["dead_letters"] == 1
    explained = run_as(operator, outputs, "explain", key, "--json")
    assert explained.status == 0, explained.err
    assert key in explained.out
    put_back = run_as(operator, outputs, "redrive", "digits", "--json")
    assert put_back.status == 0, put_back.err
    assert put_back.document["redriven"] == 1
    wait_until_empty(sqs, [queue, dead])
    assert "predictions" in _result(s3, results, f"digits/{key}.json")

    s3.delete_object(Bucket=results, Key=f"digits/{key}.json")
    filled = run_as(operator, outputs, "backfill", "digits", "--prefix", key, "--json")
    assert filled.status == 0, filled.err
    assert filled.document["queued"] == 1
    assert "predictions" in _result(s3, results, f"digits/{key}.json")
    wait_until_empty(sqs, [queue, dead])


def test_an_operator_changes_no_function_takes_no_input_and_sees_no_other_deployment(
    platform: Platform, operator: Platform, there: Objects
) -> None:
    name, buckets, models = (platform.deployment[field] for field in ("name", "buckets", "models"))
    digits, inputs = models["digits"]["function_name"], {"Bucket": buckets["inputs"]}
    queue, dead = ({"QueueUrl": models["digits"][url]} for url in ("queue_url", "dead_letter_queue_url"))
    other = {"QueueUrl": queue["QueueUrl"].replace("/modelyard-", "/modelyardtwo-")}
    consumers = {"QueueUrl": f"{queue['QueueUrl']}-results"}
    consumers_dead = {"QueueUrl": f"{queue['QueueUrl']}-results-dlq"}
    theirs = (other, consumers, consumers_dead)
    for one in theirs:
        platform.client("sqs").create_queue(QueueName=one["QueueUrl"].rsplit("/", 1)[1])
    letter = {"ReceiptHandle": "none"}
    refused: dict[str, tuple[str, str, Mapping[str, Any]]] = {
        "receiving inputs": ("sqs", "receive_message", queue),
        "deleting inputs": ("sqs", "delete_message", {**queue, **letter}),
        "hiding inputs": ("sqs", "change_message_visibility", {**queue, **letter, "VisibilityTimeout": 0}),
        "emptying a queue": ("sqs", "purge_queue", queue),
        "deleting a queue": ("sqs", "delete_queue", dead),
        "changing a queue": ("sqs", "set_queue_attributes", {**queue, "Attributes": {"VisibilityTimeout": "1"}}),
        "calling a model": ("lambda", "invoke", {"FunctionName": digits, "Qualifier": "live", "Payload": b"{}"}),
        "changing a function": ("lambda", "update_function_configuration", {"FunctionName": digits, "Timeout": 1}),
        "moving an alias": ("lambda", "update_alias", {"FunctionName": digits, "Name": "live", "FunctionVersion": "1"}),
        "throttling": (
            *("lambda", "put_function_concurrency"),
            {"FunctionName": digits, "ReservedConcurrentExecutions": 0},
        ),
        "deleting a function": ("lambda", "delete_function", {"FunctionName": digits}),
        "reading an input": ("s3", "get_object", {**inputs, "Key": there.inputs["digits"]}),
        "reading a version": (
            "s3",
            "get_object",
            {**inputs, "Key": there.inputs["digits"], "VersionId": there.version},
        ),
        "uploading": ("s3", "put_object", {**inputs, "Key": "digits/new.png", "Body": b""}),
        "deleting an input": ("s3", "delete_object", {**inputs, "Key": there.inputs["digits"]}),
        "deleting a result": (
            *("s3", "delete_object"),
            {"Bucket": buckets["results"], "Key": there.results["digits"]},
        ),
        "listing artifacts": ("s3", "list_objects_v2", {"Bucket": buckets["artifacts"]}),
        "silencing alarms": ("cloudwatch", "disable_alarm_actions", {"AlarmNames": [f"{digits}/dead_letters"]}),
        "deleting logs": ("logs", "delete_log_group", {"logGroupName": models["digits"]["log_group"]}),
        "another deployment's queue": ("sqs", "get_queue_attributes", other),
        "another deployment's letters": ("sqs", "receive_message", other),
        "sending to another deployment": ("sqs", "send_message", {**other, "MessageBody": "{}"}),
        "sending dead letters": ("sqs", "send_message", {**dead, "MessageBody": "{}"}),
        "a consumer's queue": ("sqs", "get_queue_attributes", consumers),
        "a consumer's letters": ("sqs", "receive_message", consumers_dead),
        "sending to a consumer": ("sqs", "send_message", {**consumers, "MessageBody": "{}"}),
        "another deployment's function": ("lambda", "get_function", {"FunctionName": f"{name}two-digits"}),
        "another deployment's log": ("logs", "filter_log_events", {"logGroupName": f"/aws/lambda/{name}two-digits"}),
        "another deployment's results": (
            "s3",
            "list_objects_v2",
            {"Bucket": buckets["results"].replace("-", "two-", 1)},
        ),
        "giving itself more": ("iam", "delete_user_policy", {"UserName": "operator", "PolicyName": "0"}),
    }
    outcomes = {what: _tried(operator, *asked) for what, asked in refused.items()}
    assert outcomes == dict.fromkeys(refused, REFUSED)
    for asked in (
        ("sqs", "get_queue_attributes", {**queue, "AttributeNames": ["QueueArn"]}),
        ("sqs", "send_message", {**queue, "MessageBody": json.dumps({"Event": "s3:TestEvent"})}),
        ("sqs", "receive_message", dead),
        ("s3", "list_object_versions", inputs),
        ("s3", "get_object", {"Bucket": buckets["results"], "Key": there.results["digits"]}),
    ):
        assert _tried(operator, *asked) == ALLOWED, asked
    for one in theirs:
        platform.client("sqs").delete_queue(**one)


def _tried(user: Platform, service: str, method: str, arguments: Mapping[str, Any]) -> str:
    """ALLOWED, REFUSED or, where it is neither, what was said."""
    try:
        getattr(user.client(service), method)(**arguments)
    except ClientError as error:
        return str(_outcome(f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"))
    return ALLOWED


def _result(s3: Any, bucket: str, key: str) -> Any:
    """Wait for a result as somebody does who may not list: until it is there, reading it is refused."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("AccessDenied", "NoSuchKey") or time.monotonic() > deadline:
                raise
        time.sleep(0.1)
