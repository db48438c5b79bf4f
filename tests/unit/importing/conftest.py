"""Real models to import, a registry to import them into, and the processes of an import inside of the test's own."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelctl.errors import UserError
from modelctl.importing import child, children, cost, importer
from unit.functions.artifacts import Artifacts, build


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """The models of the tests of the functions."""
    return build(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry without models, with comments."""
    file = tmp_path / "registry" / "registry.yaml"
    file.parent.mkdir()
    file.write_text("# All of them.\nversion: 1\nmodels:\n# The end.\n")
    return file


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer in this process, which has TensorFlow imported already: a new one takes seconds for it."""

    def ask(_what: str, do: str, *, way_out: str = "", **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(json.dumps(child.answered(json.loads(json.dumps({"do": do, **request})))))
        if "error" in answer:
            raise UserError(answer["error"])
        return answer

    # This process, with TensorFlow and the models of all tests, is larger than any function.
    fitting = cost.Cost.fitting
    monkeypatch.setattr(cost.Cost, "fitting", lambda found, memory_mb: fitting(replace(found, base=0), memory_mb))
    monkeypatch.setattr(children, "ask", ask)
    monkeypatch.setattr(importer, "RUNS", 1)


@pytest.fixture
def import_model(in_process: None, registry: Path) -> Callable[..., dict[str, Any]]:
    """Imports a model as `modelctl import` does."""

    def run(path: Path, name: str = "faces", **asked: Any) -> dict[str, Any]:
        defaults: dict[str, Any] = {
            "runtime": None,
            "quantize": "none",
            "signature": None,
            "labels": None,
            "samples": [],
            "replace": False,
            "timing": False,
        }
        return importer.run(importer.Wanted(path=path, name=name, registry=registry, **{**defaults, **asked}))

    return run
