"""`modelctl up` from nothing, up again, `terraform destroy`, `modelctl down`: what comes and that all of it goes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from modelctl.local.stack import LocalStack

from e2e.conftest import run_modelctl
from e2e.test_modelctl import SCAN
from modelctl import paths

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


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "stack"
    LocalStack(tmp_path / "stack").stop()


def test_up_serves_another_registry_a_second_up_changes_nothing_and_down_leaves_nothing(
    home: Path, tmp_path: Path
) -> None:
    registry = tmp_path / "registry.yaml"
    registry.write_text(REGISTRY.format(checkout=paths.CHECKOUT, scale=1 / 255))

    up = run_modelctl(home, "up", "--registry", registry, "--json", timeout_s=600)
    assert up.status == 0, up.err
    assert up.document["models"] == ["seven"]

    predicted = run_modelctl(home, "predict", "seven", SCAN, "--json")
    assert predicted.status == 0, predicted.err

    again = run_modelctl(home, "up", timeout_s=600)
    assert again.status == 0, again.err
    assert "terraform apply: 0 of 0 changes" in again.err or "no changes" in again.err
    assert run_modelctl(home, "predict", "seven", SCAN, "--json").status == 0

    started = _processes(home)
    assert started, "the emulator must be running, or the next lines prove nothing"
    down = run_modelctl(home, "down", timeout_s=600)
    assert down.status == 0, down.err
    assert not home.exists()
    assert not _processes(home)
    assert str(home) not in Path("/proc/mounts").read_text()

    assert run_modelctl(home, "down").status == 0, "down of nothing is done at once"
    assert run_modelctl(home, "predict", "seven", SCAN).status == 1


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
