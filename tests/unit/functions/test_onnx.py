"""ONNX models, as ONNX Runtime runs them: their types, what is refused and by whom, how many rows a call takes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import runtimes
from inference.errors import DecodeError, ModelError, PredictionError
from inference.limits import Limits
from inference.predictor import Predictor
from inference.tensors import from_request
from unit.functions.artifacts import Artifacts


def outputs(predictor: Predictor, **inputs: Any) -> dict[str, Any]:
    """The outputs for a request that gives whole tensors."""
    answer = predictor.outputs(from_request({"inputs": inputs}, predictor.inputs, Limits()))
    return {name: array.tolist() for name, array in answer.items()}


def test_every_type_of_tensor_goes_in_and_comes_out(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("kinds.onnx")
    assert {spec.name: spec.dtype for spec in predictor.inputs} == {
        "text": np.dtype(object),
        "half": np.float16,
        "flag": np.bool_,
        "small": np.uint8,
        "large": np.int64,
        "exact": np.float64,
    }
    assert outputs(
        predictor,
        text=["grün", ""],
        half=[0.5, 60000],
        flag=[True, False],
        small=[0, 255],
        large=[2**40, -1],
        exact=[1e300, 0.1],
    ) == {
        "said": ["grün".encode(), b""],
        "halves": [1, np.inf],
        "turned": [False, True],
        "kept": [0, 255],
        "twice": [2**41, -2],
        "more": [2e300, 0.2],
    }


def test_bytes_that_are_no_text_are_the_inputs_fault(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("kinds.onnx")
    others = {"half": [1], "flag": [True], "small": [1], "large": [1], "exact": [1]}
    with pytest.raises(PredictionError, match="can't decode byte 0xff"):
        outputs(predictor, text=[{"b64": "/w=="}], **others)


def test_a_single_value_beside_a_batch_is_no_batch(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("scaled.onnx")
    assert outputs(predictor, x=[[1, 2, 3], [4, 5, 6]], scale=2) == {"y": [[2, 4, 6], [8, 10, 12]]}
    with pytest.raises(DecodeError, match="takes no batch"):
        from_request({"instances": [{"x": [1, 2, 3], "scale": 2}]}, predictor.inputs, Limits())


def test_a_classifier_of_scikit_learn_gives_labels_and_probabilities(
    make_predictor: Callable[..., Predictor],
) -> None:
    predictor = make_predictor("classifier.onnx")
    specs = predictor.load().outputs
    assert {spec.name: spec.dtype for spec in specs} == {"label": np.int64, "probabilities": np.float32}
    answer = outputs(predictor, X=np.eye(3).tolist())
    assert answer["label"] == [0, 1, 1]
    assert [int(np.argmax(row)) for row in answer["probabilities"]] == [0, 1, 1]


@pytest.mark.parametrize(
    ("artifact", "message"),
    [
        ("zipmap.onnx", r"'output_probability' is seq\(map\(.*skl2onnx: options=\{'zipmap': False\}"),
        ("sequence.onnx", r"'y' is seq\(tensor\(float\)\), and only tensors can be served"),
        ("bfloat16.onnx", r"'x' is tensor\(bfloat16\), and numpy has no such type"),
        ("unknown_op.onnx", "cannot load model.onnx: .*Fold"),
    ],
)
def test_what_cannot_be_served_is_refused_when_it_loads(artifact: str, message: str, artifacts: Artifacts) -> None:
    with pytest.raises(ModelError, match=message):
        runtimes.load("onnx", artifacts.folder(artifact), "serving_default")


def test_weights_that_are_missing_beside_the_model_are_named(artifacts: Artifacts, tmp_path: Path) -> None:
    shutil.copy(artifacts.folder("scans.onnx") / "model.onnx", tmp_path)
    with pytest.raises(ModelError, match=r"cannot load model\.onnx: .*model\.onnx\.data"):
        runtimes.load("onnx", tmp_path, "serving_default")


def test_values_that_an_op_refuses_are_the_inputs_fault(make_predictor: Callable[..., Predictor]) -> None:
    look_up, divide = make_predictor("look_up.onnx"), make_predictor("divide.onnx")
    assert outputs(look_up, index=[2]) == {"value": [30]}
    assert outputs(divide, a=[7], b=[2]) == {"quotient": [3]}
    with pytest.raises(PredictionError, match="out of data bounds, idx=3"):
        outputs(look_up, index=[3])
    with pytest.raises(PredictionError, match="division by zero"):
        outputs(divide, a=[7], b=[0])


def test_running_out_of_memory_is_not_the_inputs_fault(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("fill.onnx")
    assert outputs(predictor, shape=[1, 2]) == {"y": [[0, 0]]}
    with pytest.raises(ModelError, match=r"ran out of memory: .*Failed to allocate"):
        outputs(predictor, shape=[10**6, 10**8])


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
        *(("classifier.onnx", True), ("scans.onnx", True)),
        *(("images.onnx", False), ("sentences.onnx", False), ("double.onnx", False), ("whole.onnx", False)),
    ],
)
def test_small_rows_are_run_together_and_others_alone(
    artifact: str, together: bool, make_predictor: Callable[..., Predictor]
) -> None:
    assert make_predictor(artifact).gains_from_batches == together
