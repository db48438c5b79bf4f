"""The function does what the suites of others expect, but for the differences that docs/conformance.md lists."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from inference import direct
from inference.errors import ModelError
from inference.predictor import Predictor
from inference.runtimes import Array, TensorSpec
from modelctl import paths
from unit.functions import onnx_nodes
from unit.functions.onnx_artifacts import graph
from unit.functions.onnx_nodes import configured
from unit.functions.serving_cases import ANSWERS, FLOAT, REQUESTS, Answer, Request

HALF_PLUS_TWO = {"a": np.array([0.5], np.float32), "b": np.array([2], np.float32)}
PAGE = paths.DOCS / "conformance.md"


class Recorder:
    """A model that keeps the tensors it is given, and answers with the same outputs always, or with a 0 per row."""

    bytes_per_call = 2**20

    def __init__(self, inputs: Mapping[str, str], outputs: Mapping[str, Array] | None = None) -> None:
        self.inputs = tuple(TensorSpec(name, None, np.dtype(dtype)) for name, dtype in inputs.items())
        named = {"y": np.zeros(1)} if outputs is None else outputs
        self.outputs = tuple(TensorSpec(name, None, array.dtype) for name, array in named.items())
        self._answer = None if outputs is None else dict(outputs)
        self.given: list[dict[str, Array]] = []

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        self.given.append(dict(tensors))
        if self._answer is not None:
            return self._answer
        return {"y": np.zeros(np.shape(next(iter(tensors.values())))[:1])}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Call a model directly with the text of a request; None if it is refused."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.tflite").touch()

    def invoke(model: Recorder, text: str, signature: str = "serving_default") -> Any:
        monkeypatch.setattr("inference.runtimes.litert.load", lambda *_: model)
        config = configured(tmp_path, "model", "litert", signature=signature)
        try:
            event = json.loads(text)
        except ValueError:
            return None  # Lambda reads the request before the function does.
        predictor = Predictor(config)
        try:
            predictor.load()
            model.given.clear()  # what it was warmed with
            answer = direct.serve(event, config, predictor, cold_start=False)
        except ModelError:
            return None
        return None if "error" in answer else json.loads(json.dumps(answer))

    return invoke


def serves_as_expected(ask: Callable[..., Any], request: Request) -> bool:
    """Whether the model is given what TensorFlow Serving gives it, in one call, or the request is refused by both."""
    model = Recorder(request.inputs)
    answered = ask(model, request.text, request.signature) is not None
    if not answered or request.tensors is None:
        return not answered and request.tensors is None
    (given,) = model.given
    return given.keys() == request.tensors.keys() and all(
        _is_same(given[name], np.asarray(request.tensors[name], dtype)) for name, dtype in request.inputs.items()
    )


def answers_as_expected(ask: Callable[..., Any], answer: Answer) -> bool:
    """Whether the outputs become the JSON that TensorFlow Serving makes of them, after a request of as many rows."""
    rows = max((len(array) for array in answer.outputs.values() if array.ndim), default=1)
    request = {"instances" if answer.by_row else "inputs": [0] * rows}
    return repr(ask(Recorder(FLOAT, answer.outputs), json.dumps(request))) == repr(answer.json)


def _is_same(found: Array, expected: Array) -> bool:
    return found.dtype == expected.dtype and np.array_equal(found, expected, equal_nan=found.dtype.kind == "f")


def listed(heading: str) -> set[str]:
    """The first column of the table below a heading of docs/conformance.md."""
    _, _, section = PAGE.read_text().partition(f"## {heading}\n")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return {row.split("|")[1].strip() for row in rows[2:]}


def test_requests_are_read_as_tensorflow_serving_reads_them(ask: Callable[..., Any]) -> None:
    differ = {request.name for request in REQUESTS if not serves_as_expected(ask, request)}
    assert differ == listed("TensorFlow Serving: requests")
    assert len(differ) <= len(REQUESTS) / 10


def test_answers_are_written_as_tensorflow_serving_writes_them(ask: Callable[..., Any]) -> None:
    differ = {answer.name for answer in ANSWERS if not answers_as_expected(ask, answer)}
    assert differ == listed("TensorFlow Serving: answers")
    assert len(differ) <= 1


@pytest.mark.parametrize("shape", ["N", "N, 1"])
def test_the_first_example_of_tensorflow_servings_rest_page(shape: str, tmp_path: Path) -> None:
    model = graph(f"(float[{shape}] x) => (float[{shape}] y) {{ half = Mul(x, a) y = Add(half, b) }}", HALF_PLUS_TWO)
    (tmp_path / "half_plus_two").mkdir()
    onnx.save(model, tmp_path / "half_plus_two" / "model.onnx")
    config = configured(tmp_path, "half_plus_two", "onnx")
    answer = direct.serve({"instances": [1.0, 2.0, 5.0]}, config, Predictor(config), cold_start=False)
    assert answer == {"predictions": [2.5, 3.0, 4.5]}


def test_fifty_of_onnxs_node_tests_are_answered_as_onnx_runtime_does_or_refused_for_a_reason() -> None:
    """GIVEN models of an operator each, as they are, with the first dimension open, and with every dimension open."""
    assert sum(map(len, onnx_nodes.FIFTY.values())) == 50
    tally = onnx_nodes.try_all(onnx_nodes.cases(onnx_nodes.FIFTY))
    assert tally.wrong == []
    assert not tally.unusable
    for form in onnx_nodes.FORMS:
        assert tally.right[form] + tally.refused[form].total() == 50 * len(onnx_nodes.WAYS)


def test_every_reason_to_refuse_a_node_test_is_documented() -> None:
    assert listed("ONNX: node tests") == set(onnx_nodes.REASONS)
