"""One `modelctl up` brings up as many models as a bucket's notification has places for, and all of them serve."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.conftest import run_modelctl
from e2e.test_modelctl import SCAN
from modelctl import paths
from modelctl.local.stack import LocalStack
from modelctl.packaging import packages

#: https://docs.aws.amazon.com/general/latest/gr/s3.html: event notifications per bucket.
MODELS = 100
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


def test_a_hundred_models_come_up_in_one_run(home: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry.yaml"
    models = "".join(MODEL.format(number=number, checkout=paths.CHECKOUT) for number in range(MODELS))
    registry.write_text(f"version: 1\nmodels:\n{models}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    up = run_modelctl(home, "up", "--registry", registry, "--json", timeout_s=1_800)

    assert up.status == 0, up.err
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{spent.ru_utime + spent.ru_stime - before.ru_utime - before.ru_stime:.0f} s of processor time")
    assert len(up.document["models"]) == MODELS
    for number in (0, MODELS // 2, MODELS - 1):
        predicted = run_modelctl(home, "predict", f"model-{number:03}", SCAN, "--json")
        assert predicted.status == 0, predicted.err
    again = run_modelctl(home, "up", timeout_s=1_800)
    assert again.status == 0, again.err
    assert "terraform apply: nothing to change" in again.err
