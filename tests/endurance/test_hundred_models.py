"""One `modelctl up` brings up as many models as a way of announcing uploads has places for, and all of them serve."""

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import client, run_modelctl
from e2e.test_modelctl import SCAN
from modelctl import paths
from modelctl.local.stack import LocalStack
from modelctl.packaging import packages

#: https://docs.aws.amazon.com/general/latest/gr/s3.html: event notifications per bucket.
MODELS = 100
#: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html: rules per event bus.
RULES = 300
#: Of one model without alarms: function, alias, event source mapping, role and its policy, access point, log group, two
#: files, two calls of functions, two queues, a rule and its target.
OWN_RESOURCES = 15
#: Terraform writes a local state in whole after each resource, which takes most of an apply of 300 models. The alarms
#: that models have by default are applied with the 100 models.
WITHOUT_ALARMS = "defaults: {alarms: {dead_letters: null, queue_age_s: null, input_error_share: null}}\n"
MODEL = """\
  model-{number:03}:
    artifact: {checkout}/models/digits/artifact
    runtime: litert
    version: "1"
    input: {{format: image, size: [8, 8], mode: L, scale: 0.00392157}}
    output: {{labels: labels.txt}}
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    packages.build()
    yield tmp_path / "stack"
    LocalStack(tmp_path / "stack").stop()


def write_registry(file: Path, count: int, defaults: str = "") -> None:
    models = "".join(MODEL.format(number=number, checkout=paths.CHECKOUT) for number in range(count))
    file.write_text(f"version: 1\n{defaults}models:\n{models}")


def spent_s(before: resource.struct_rusage) -> str:
    """The processor time of the programs that ended meanwhile."""
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return f"{now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime:.0f} s of processor time"


def test_a_hundred_models_come_up_in_one_run(home: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry.yaml"
    write_registry(registry, MODELS)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    up = run_modelctl(home, "up", "--registry", registry, "--json", timeout_s=1_800)

    assert up.status == 0, up.err
    print(spent_s(before))
    assert len(up.document["models"]) == MODELS
    for number in (0, MODELS // 2, MODELS - 1):
        predicted = run_modelctl(home, "predict", f"model-{number:03}", SCAN, "--json")
        assert predicted.status == 0, predicted.err
    again = run_modelctl(home, "up", timeout_s=1_800)
    assert again.status == 0, again.err
    assert "terraform apply: nothing to change" in again.err


def test_three_hundred_models_are_announced_by_eventbridge_and_serve(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_VAR_event_way", "eventbridge")
    registry = tmp_path / "registry.yaml"
    write_registry(registry, RULES - 1, WITHOUT_ALARMS)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    up = run_modelctl(home, "up", "--registry", registry, "--json", timeout_s=5_400)
    assert up.status == 0, up.err
    print(f"up of {RULES - 1} models: {spent_s(before)}")

    write_registry(registry, RULES, WITHOUT_ALARMS)
    planned = run_modelctl(home, "plan", "--json", timeout_s=1_800)
    assert planned.status == 0, planned.err
    changed = [(change["model"], change["change"]) for change in planned.document["models"]]
    assert changed == [(f"model-{RULES - 1:03}", "added")]
    # The dashboard shows every model.
    assert [change["kind"] for change in planned.document["platform"]] == ["dashboard"]
    assert planned.document["resources"] == {"add": OWN_RESOURCES, "change": 1, "destroy": 0}

    up = run_modelctl(home, "up", "--json", timeout_s=1_800)
    assert up.status == 0, up.err
    assert len(up.document["models"]) == RULES
    again = run_modelctl(home, "up", timeout_s=1_800)
    assert again.status == 0, again.err
    assert "terraform apply: nothing to change" in again.err
    print(f"the last one, and a plan that is empty: {spent_s(before)} in all")

    s3 = client(run_modelctl(home, "env", "--json").document, "s3")
    buckets = {name.split("-")[1]: name for name in (found["Name"] for found in s3.list_buckets()["Buckets"])}
    for number in range(RULES):
        s3.put_object(Bucket=buckets["inputs"], Key=f"model-{number:03}/7.png", Body=SCAN.read_bytes())
    expected = {f"model-{number:03}/model-{number:03}/7.png.json" for number in range(RULES)}
    started = time.monotonic()
    while (found := results(s3, buckets["results"])) != expected and time.monotonic() < started + 1_800:
        time.sleep(5)
    assert found == expected
    print(f"{RULES} models served in {time.monotonic() - started:.0f} s")


def results(s3: Any, bucket: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {entry["Key"] for page in pages for entry in page.get("Contents", ())}
