"""`modelctl up` from nothing, up again, `terraform destroy`, `modelctl down`: what comes and that all of it goes."""

import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from attached import AttachedTerraform
from e2e.conftest import client, run_modelctl, shell_of, wait_until_empty
from e2e.test_modelctl import SCAN
from modelctl import paths
from modelctl.local.layout import ACCOUNT, REGION
from modelctl.local.stack import LocalStack
from modelctl.terraform import program

REGISTRY = """\
version: 1
models:
  seven:
    artifact: {checkout}/models/digits/artifact
    runtime: litert
    version: "1"
    route: {{prefixes: [sevens/]}}
    input: {{format: image, size: [8, 8], mode: L, scale: {scale}}}
    output: {{labels: labels.txt}}
"""

CLASSIFIER = """\
  wine:
    artifact: classifier.onnx
    runtime: onnx
    version: "1"
    input: {format: csv}
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "stack"
    LocalStack(tmp_path / "stack").stop()


@pytest.fixture
def terraform_of_modelctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AttachedTerraform]:
    terraform = AttachedTerraform(tmp_path)
    monkeypatch.setenv("MODELYARD_TERRAFORM", str(terraform.program))
    yield terraform
    terraform.detach()


def test_up_serves_another_registry_a_second_up_changes_nothing_and_down_leaves_nothing(
    home: Path, tmp_path: Path, terraform_of_modelctl: AttachedTerraform
) -> None:
    registry = tmp_path / "registry.yaml"
    registry.write_text(REGISTRY.format(checkout=paths.CHECKOUT, scale=1 / 255) + CLASSIFIER)
    bottles, expected = classifier_of_scikit_learn(tmp_path)

    up = run_modelctl(home, "up", "--registry", registry, "--json", timeout_s=600)
    assert up.status == 0, up.err
    assert up.document["models"] == ["seven", "wine"]
    predicted = run_modelctl(home, "predict", "seven", SCAN, "--json")
    assert predicted.status == 0, predicted.err
    predicted = run_modelctl(home, "predict", "wine", bottles, "--json")
    assert predicted.status == 0, predicted.err
    assert [prediction["label"] for prediction in predicted.document["predictions"]] == expected
    asked = json.dumps({"instances": np.loadtxt(bottles, delimiter=",").tolist()})
    invoked = run_modelctl(home, "invoke", "wine", "--data", asked, "--json")
    assert invoked.document["predictions"] == predicted.document["predictions"]

    terraform_of_modelctl.attach(shell_of(home))
    again = run_modelctl(home, "up", timeout_s=600)
    assert again.status == 0, again.err
    assert "terraform apply: nothing to change" in again.err

    resynced = run_modelctl(home, "up", "--resync", "seven", timeout_s=600)
    assert resynced.status == 0, resynced.err
    assert "terraform apply: 2 of 2 changes made" in resynced.err
    assert run_modelctl(home, "predict", "seven", SCAN, "--json").status == 0

    refuse_versions_that_cannot_serve(home, registry, bottles, expected)

    terraform_of_modelctl.detach()
    started = _processes(home)
    assert started, "the emulator must be running, or the next lines prove nothing"
    down = run_modelctl(home, "down", timeout_s=600)
    assert down.status == 0, down.err
    assert not home.exists()
    assert not _processes(home)
    assert str(home) not in Path("/proc/mounts").read_text()

    assert run_modelctl(home, "down").status == 0, "down of nothing is done at once"
    assert run_modelctl(home, "predict", "seven", SCAN).status == 1


def refuse_versions_that_cannot_serve(home: Path, registry: Path, bottles: Path, expected: list[int]) -> None:
    """Break the model wine in two ways and fix it: what cannot serve never goes live, and no other model is called."""
    entry, weights = registry.read_text(), registry.with_name("classifier.onnx")
    working = weights.read_bytes()
    weights.write_bytes(working[:100])
    before = live(home, "wine")
    for _ in range(2):
        refused = run_modelctl(home, "up", timeout_s=600)
        assert refused.status == 1
        assert "ONNX Runtime cannot load classifier.onnx" in refused.err
        assert live(home, "wine") == before
    predicted = run_modelctl(home, "predict", "wine", bottles, "--json")
    assert [prediction["label"] for prediction in predicted.document["predictions"]] == expected

    # Another model than before, by its digest.
    (weights.parent / "fixed").mkdir()
    (weights.parent / "fixed" / "fixed.onnx").write_bytes(working)
    fixed = entry.replace("artifact: classifier.onnx", "artifact: fixed")
    sample = (
        f"    smoke: [{{file: {bottles}, predictions: [{{label: 0}}, {{label: 1}}, {{label: %d}}, {{label: 0}}]}}]\n"
    )
    registry.write_text(fixed + sample % 1)
    refused = run_modelctl(home, "up", timeout_s=600)
    assert refused.status == 1
    assert f"the model wine does not answer 1 of 1 smoke samples as expected: {bottles}: expected" in refused.err
    assert live(home, "wine") == before
    newest = client_of(home, "lambda").list_versions_by_function(FunctionName="modelyard-wine")["Versions"][-1]

    registry.write_text(fixed + sample % 2)
    assert run_modelctl(home, "up", timeout_s=600).status == 0
    assert live(home, "wine") == newest["Version"], "other samples publish no version"
    assert "terraform apply: nothing to change" in run_modelctl(home, "up", timeout_s=600).err
    assert checks(home, "seven") == 1
    assert checks(home, "wine") == 2


def client_of(home: Path, service: str) -> Any:
    return client(run_modelctl(home, "env", "--json").document, service)


def live(home: Path, model: str) -> str:
    """The version that serves inputs."""
    alias = client_of(home, "lambda").get_alias(FunctionName=f"modelyard-{model}", Name="live")
    version: str = alias["FunctionVersion"]
    return version


def checks(home: Path, model: str) -> int:
    """How many versions of a model passed their check."""
    logged = client_of(home, "logs").filter_log_events(logGroupName=f"/aws/lambda/modelyard-{model}")["events"]
    return sum('"checked"' in event["message"] for event in logged)


def classifier_of_scikit_learn(folder: Path) -> tuple[Path, list[int]]:
    """Make an ONNX model with skl2onnx; returns a CSV file with a row for each of its classes, and these."""
    bottles, classes = load_wine(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(bottles, classes)
    exported = to_onnx(model, bottles[:1].astype(np.float32), options={"zipmap": False})
    (folder / "classifier.onnx").write_bytes(exported.SerializeToString())
    rows = bottles[[0, 60, 177, 1]]
    np.savetxt(folder / "bottles.csv", rows, delimiter=",")
    return folder / "bottles.csv", [0, 1, 2, 0]


def test_destroy_leaves_nothing_in_the_account_whatever_lies_in_the_buckets(
    home: Path, tmp_path: Path, terraform_of_modelctl: AttachedTerraform
) -> None:
    registry = tmp_path / "registry.yaml"
    registry.write_text(REGISTRY.format(checkout=paths.CHECKOUT, scale=1 / 255))
    assert run_modelctl(home, "up", "--registry", registry, timeout_s=600).status == 0
    env = shell_of(home)
    terraform_of_modelctl.attach(env)
    s3, sqs = client(env, "s3"), client(env, "sqs")
    keys = _fill(s3, f"modelyard-inputs-{ACCOUNT}-{REGION}")
    assert run_modelctl(home, "predict", "seven", SCAN).status == 0
    wait_until_empty(sqs, sqs.list_queues()["QueueUrls"])
    results = s3.list_objects_v2(Bucket=f"modelyard-results-{ACCOUNT}-{REGION}")["Contents"]
    assert {found["Key"] for found in results} == {f"seven/{key}.json" for key in (*keys, f"sevens/{SCAN.name}")}
    there = {kind for kind, found in _left(env).items() if found}
    assert {"functions", "alarms", "dashboards", "schedules", "topics", "keys"} <= there, (
        "or finding nothing proves nothing"
    )

    command = [program.binary(), f"-chdir={paths.TERRAFORM}", "destroy", "-auto-approve", "-no-color"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert_destroyed_in_turn(
        done.stdout,
        # The last to use the network's interfaces, the role as which Lambda deletes them, and what they keep in use.
        ["aws_lambda_function.inference", "aws_lambda_function.this"],
        ["aws_lambda_function.this", "aws_subnet.private", "module.weights_sync.module.role.aws_iam_role_policy.this"],
        ["aws_security_group.functions", "module.weights_sync.module.role.aws_iam_role_policy.this"],
    )
    assert {kind: found for kind, found in _left(env).items() if found} == {}
    assert run_modelctl(home, "down").status == 0


def assert_destroyed_in_turn(said: str, *orders: list[str]) -> None:
    """In each order, what comes later was not begun before all of what comes earlier was done."""
    lines = said.splitlines()
    for order in orders:
        for earlier, later in itertools.pairwise(order):
            done = [n for n, line in enumerate(lines) if earlier in line and "Destruction complete" in line]
            begun = [n for n, line in enumerate(lines) if later in line and "Destroying..." in line]
            assert done, f"{earlier} was not destroyed"
            assert begun, f"{later} was not destroyed"
            assert max(done) < min(begun), f"{later} was destroyed before {earlier}"


def _fill(s3: Any, bucket: str) -> list[str]:
    """Put into the inputs bucket all that makes one hard to empty; returns the keys of the inputs among it."""
    inputs = ["sevens/a b+c%20&d=é.png", "sevens/<a>'\"\n\t\r.png", "sevens//a/./../b.png"]
    for key in inputs:
        s3.put_object(Bucket=bucket, Key=key, Body=SCAN.read_bytes())
    for folder_marker in ("sevens/", "sevens/new folder/"):
        s3.put_object(Bucket=bucket, Key=folder_marker, Body=b"")
    # More than S3 lists at once, and some in several versions.
    others = [f"elsewhere/{number} + é&%.png" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b""), [*others, *others[:5]]))
    # Each leaves a delete marker, also where nothing was.
    for key in [*others[:3], inputs[0], "elsewhere/never there + é.png"]:
        s3.delete_object(Bucket=bucket, Key=key)
    return inputs


def _left(env: dict[str, str]) -> dict[str, list[Any]]:
    """What the account holds, by kind."""
    own = [{"Name": "tag:Modelyard", "Values": ["*"]}]
    return {
        "functions": client(env, "lambda").list_functions()["Functions"],
        "layers": client(env, "lambda").list_layers()["Layers"],
        "event source mappings": client(env, "lambda").list_event_source_mappings()["EventSourceMappings"],
        "queues": client(env, "sqs").list_queues().get("QueueUrls", []),
        "buckets": client(env, "s3").list_buckets()["Buckets"],
        "file systems": client(env, "efs").describe_file_systems()["FileSystems"],
        "access points": client(env, "efs").describe_access_points()["AccessPoints"],
        "roles": client(env, "iam").list_roles()["Roles"],
        "schedules": client(env, "scheduler").list_schedules()["Schedules"],
        "alarms": client(env, "cloudwatch").describe_alarms()["MetricAlarms"],
        "dashboards": client(env, "cloudwatch").list_dashboards()["DashboardEntries"],
        "topics": client(env, "sns").list_topics()["Topics"],
        # One that was deleted can be called back for a week, and costs nothing.
        "keys": [key for key in _keys(client(env, "kms")) if key["KeyState"] != "PendingDeletion"],
        "log groups": client(env, "logs").describe_log_groups()["logGroups"],
        "networks": client(env, "ec2").describe_vpcs(Filters=own)["Vpcs"],
        "endpoints": client(env, "ec2").describe_vpc_endpoints()["VpcEndpoints"],
    }


def _keys(kms: Any) -> list[dict[str, Any]]:
    return [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]


def _processes(home: Path) -> list[str]:
    """Command lines of the processes that name this stack's folder, in their arguments or their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if str(home).encode() in told and int(folder.name) != os.getpid():
            found.append(told.split(b"\0")[0].decode())
    return found
