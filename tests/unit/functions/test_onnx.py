"""ONNX models, as ONNX Runtime runs them: what is refused and whose fault it is, and how many rows a call takes."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from inference import decoders, runtimes
from inference.config import Config, InputConfig
from inference.errors import DecodeError, ModelError, PredictionError, ShapeError
from inference.predictor import Predictor
from inference.tensors import from_request
from unit.functions.artifacts import Artifacts, answer
from unit.functions.onnx_artifacts import graph


def test_bytes_that_are_no_text_are_the_inputs_fault(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("kinds.onnx")
    others = {"half": [1], "flag": [True], "small": [1], "large": [1], "exact": [1]}
    with pytest.raises(PredictionError, match="can't decode byte 0xff"):
        answer(predictor, text=[{"b64": "/w=="}], **others)


def test_a_single_value_beside_a_batch_is_no_batch(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("scaled.onnx")
    assert answer(predictor, x=[[1, 2, 3], [4, 5, 6]], scale=2) == {"y": [[2, 4, 6], [8, 10, 12]]}
    with pytest.raises(DecodeError, match="has no batch dimension"):
        from_request({"instances": [{"x": [1, 2, 3], "scale": 2}]}, predictor.inputs, InputConfig("json"))


def test_an_input_without_a_shape_takes_any_and_one_without_dimensions_a_single_value(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    """GIVEN a file in which only one of two inputs has a shape, and that has none: ONNX Runtime shows both alike."""
    model = graph("(float x, float scale) => (float y) <float[1] half = {0.5}> { z = Mul(x, scale) y = Add(z, half) }")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [node.shape for node in session.get_inputs()] == [[], []]
    config = replace(make_config("scaled.onnx"), artifact=tmp_path)
    predictor = Predictor(config)
    assert {spec.name: spec.shape for spec in predictor.inputs} == {"x": None, "scale": ()}
    for x, y in ((3, [6.5]), ([1, 2], [2.5, 4.5]), ([[1], [-1]], [[2.5], [-1.5]])):
        assert answer(predictor, x=x, scale=2) == {"y": y}
        given = {"x": np.array(x, np.float32), "scale": np.array(2, np.float32)}
        assert session.run(["y"], given)[0].tolist() == y
    with pytest.raises(ShapeError, match=r"scale has the shape \[1\]; expected \[\]"):
        answer(predictor, x=1, scale=[2])


def test_rows_of_an_input_without_a_shape_have_predictions(make_config: Callable[..., Config], tmp_path: Path) -> None:
    model = graph("(float x) => (float y) { y = Add(x, x) }")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "model.onnx")
    config = replace(make_config("scaled.onnx"), artifact=tmp_path)
    predictor = Predictor(config)
    for body, expected in ((b"[1, 2]", [2, 4]), (b"3", [6]), (b"[[1, 2], [3, 4]]", [[2, 4], [6, 8]])):
        instances = decoders.decode("digits/a.json", body, config.input, predictor.inputs)
        assert json.loads(predictor.predict(instances).json) == expected


def test_a_model_without_inputs_answers_an_empty_object(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("nothing.onnx")
    predictor.try_zeros()
    assert answer(predictor) == {"y": [1, 2]}
    for body in (b"{}", b'{"inputs": {}}'):
        instances = decoders.decode("digits/a.json", body, InputConfig("json"), predictor.inputs)
        assert json.loads(predictor.predict(instances).json) == [[1, 2]]
    with pytest.raises(DecodeError, match="a bare value needs a model with one input; this one has no inputs"):
        decoders.decode("digits/a.json", b"[1]", InputConfig("json"), predictor.inputs)


def test_what_onnx_runtime_logs_while_it_is_imported_does_not_get_to_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    from inference.runtimes.onnx import _silence

    with _silence():
        os.write(2, b"[W:onnxruntime:Default, device_discovery.cc:322 GetGpuDevices] Failed\n")
    os.write(2, b"and after it\n")
    assert capfd.readouterr().err == "and after it\n"


def test_a_classifier_of_scikit_learn_gives_labels_and_probabilities(
    make_predictor: Callable[..., Predictor],
) -> None:
    predictor = make_predictor("classifier.onnx")
    specs = predictor.load().outputs
    assert {spec.name: spec.dtype for spec in specs} == {"label": np.int64, "probabilities": np.float32}
    answered = answer(predictor, X=np.eye(3).tolist())
    assert answered["label"] == [0, 1, 1]
    assert [int(np.argmax(row)) for row in answered["probabilities"]] == [0, 1, 1]


@pytest.mark.parametrize(
    ("artifact", "message"),
    [
        ("zipmap.onnx", r"'output_probability' is seq\(map\(.*skl2onnx: options=\{'zipmap': False\}"),
        ("sequence.onnx", r"'y' is seq\(tensor\(float\)\), and only tensors can be served"),
        ("bfloat16.onnx", r"'x' is tensor\(bfloat16\), and numpy has no such type"),
        ("unknown_op.onnx", "cannot load model.onnx: .*Fold"),
        ("locale.onnx", r"cannot load model\.onnx: .*locale.*skl2onnx accepts options=\{TfidfVectorizer: \{'locale'"),
    ],
)
def test_what_cannot_be_served_is_refused_when_it_loads(artifact: str, message: str, artifacts: Artifacts) -> None:
    with pytest.raises(ModelError, match=message):
        runtimes.load("onnx", artifacts.folder(artifact), "serving_default")


def test_weights_that_are_missing_beside_the_model_are_named(artifacts: Artifacts, tmp_path: Path) -> None:
    shutil.copy(artifacts.folder("scans.onnx") / "model.onnx", tmp_path)
    with pytest.raises(ModelError, match=r"stores weights in model\.onnx\.data, which is missing"):
        runtimes.load("onnx", tmp_path, "serving_default")


def test_values_that_an_op_refuses_are_the_inputs_fault(make_predictor: Callable[..., Predictor]) -> None:
    look_up, divide = make_predictor("look_up.onnx"), make_predictor("divide.onnx")
    assert answer(look_up, index=[2]) == {"value": [30]}
    assert answer(divide, a=[7], b=[2]) == {"quotient": [3]}
    with pytest.raises(PredictionError, match="out of data bounds, idx=3"):
        answer(look_up, index=[3])
    with pytest.raises(PredictionError, match="division by zero"):
        answer(divide, a=[7], b=[0])


def test_running_out_of_memory_is_not_the_inputs_fault(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("fill.onnx")
    assert answer(predictor, shape=[1, 2]) == {"y": [[0, 0]]}
    with pytest.raises(ModelError, match=r"ran out of memory: .*Failed to allocate"):
        answer(predictor, shape=[10**6, 10**8])


@pytest.mark.parametrize("name", ["NotImplemented", "EPFail", "InvalidGraph"])
def test_whatever_else_onnx_runtime_raises_is_not_the_inputs_fault(name: str) -> None:
    from onnxruntime.capi import onnxruntime_pybind11_state as raised

    from inference.runtimes.onnx import OnnxModel

    class Failing:
        def run(self, *_: Any) -> Any:
            raise getattr(raised, name)("refused")

    with pytest.raises(ModelError, match=f"{name}: refused"):
        OnnxModel(Failing(), (), ())({})


@pytest.mark.parametrize(
    ("artifact", "together"),
    [
        *(("classifier.onnx", True), ("scans.onnx", True), ("sentences.onnx", True)),
        *(("images.onnx", False), ("double.onnx", False)),
    ],
)
def test_small_rows_are_run_together_and_others_alone(
    artifact: str, together: bool, make_predictor: Callable[..., Predictor]
) -> None:
    assert make_predictor(artifact, batch={"rows": 16}).gains_from_batches == together
