"""What the numbers of a model mean: raw values as TensorFlow Serving writes them, or labels with scores."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inference import predictions
from inference.errors import ModelError, PredictionError
from inference.predictor import Predictor
from inference.runtimes import TensorSpec
from inference.tensors import Instances

LABELS = ("cat", "dog", "owl")


def scores(*values: float) -> np.ndarray:
    """One instance's scores as a model gives them."""
    return np.array(values, np.float32)


def test_a_labelled_prediction_has_the_best_label_and_the_runners_up() -> None:
    assert predictions.labelled(scores(0.1, 0.7, 0.2), LABELS, 2) == {
        "label": "dog",
        "score": 0.7,
        "top": [["dog", 0.7], ["owl", 0.2]],
    }


def test_all_labels_are_listed_unless_top_k_says_how_many() -> None:
    assert [label for label, _ in predictions.labelled(scores(0.1, 0.7, 0.2), LABELS, None)["top"]] == [
        "dog",
        "owl",
        "cat",
    ]


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    assert predictions.labelled(scores(0.25, 0.5, 0.25), LABELS, None)["top"] == [
        ["dog", 0.5],
        ["cat", 0.25],
        ["owl", 0.25],
    ]


def test_a_single_sigmoid_is_the_probability_of_the_second_label() -> None:
    assert predictions.labelled(scores(0.25), ("even", "odd"), 2)["top"] == [["even", 0.75], ["odd", 0.25]]
    assert predictions.labelled(scores(0.75), ("even", "odd"), 1)["label"] == "odd"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_number_for_is_no_prediction(value: float) -> None:
    with pytest.raises(PredictionError, match="NaN or infinite"):
        predictions.raw({"y": scores(1, value)})
    with pytest.raises(PredictionError, match="NaN or infinite"):
        predictions.labelled(scores(0, 1, value), LABELS, None)


def test_one_output_is_its_values_and_several_are_an_object_by_name() -> None:
    assert predictions.raw({"y": scores(1, 2)}) == [1, 2]
    assert predictions.raw({"y": scores(1, 2), "n": np.int64(3) + np.zeros((), np.int64)}) == {"y": [1, 2], "n": 3}


def test_strings_are_text_unless_their_name_or_content_says_bytes() -> None:
    outputs = {name: np.array([b"caf\xc3\xa9"], object) for name in ("text", "text_bytes")}
    assert predictions.raw(outputs) == {"text": ["café"], "text_bytes": [{"b64": "Y2Fmw6k="}]}
    assert predictions.raw({"text": np.array([b"\xff"], object)}) == [{"b64": "/w=="}]


def test_raw_predictions_are_json() -> None:
    outputs = {"f": scores(0.5), "h": np.array([1], np.float16), "b": np.array([True]), "u": np.array([7], np.uint8)}
    assert json.loads(json.dumps(predictions.raw(outputs))) == {"f": [0.5], "h": [1.0], "b": [True], "u": [7]}


def test_labels_that_do_not_match_the_output_are_refused_when_the_model_loads(
    make_predictor: Callable[..., Predictor],
) -> None:
    predictor = make_predictor("scans.tflite", labels=["zero", "one", "two"])
    with pytest.raises(ModelError, match="names 3 labels, but the model gives 10 scores"):
        predictor.load()


def test_labels_need_a_single_output(make_predictor: Callable[..., Predictor]) -> None:
    with pytest.raises(ModelError, match="needs a signature with one output; this one has p, q"):
        make_predictor("two.tflite", labels=["zero", "one"]).load()


def test_a_missing_or_empty_labels_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read labels\.txt"):
        predictions.read_labels(tmp_path / "labels.txt")
    (tmp_path / "labels.txt").write_text("")
    with pytest.raises(ModelError, match=r"labels\.txt is empty"):
        predictions.read_labels(tmp_path / "labels.txt")


def test_an_output_of_unknown_length_is_compared_when_it_is_there() -> None:
    predictions.check_labels(LABELS, (TensorSpec("y", (None, None), np.dtype(np.float32)),))
    with pytest.raises(ModelError, match="names 3 labels, but the model gives 2 scores"):
        predictions.labelled(scores(0.5, 0.5), LABELS, None)


def test_one_bad_input_of_a_shared_call_does_not_touch_the_others(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("signatures.saved_model", signature="look_up")
    answers = predictor.predict_all(
        [Instances({"index": np.array(indices, np.int32)}, len(indices)) for indices in ([0], [3], [1, 2])]
    )
    assert answers[0] == [10.0]
    assert isinstance(answers[1], PredictionError)
    assert answers[2] == [20.0, 30.0]


def test_one_infinite_answer_of_a_shared_call_does_not_touch_the_others(
    make_predictor: Callable[..., Predictor],
) -> None:
    predictor = make_predictor("signatures.saved_model", signature="reciprocal")
    answers = predictor.predict_all(
        [Instances({"x": np.array([row], np.float32)}, 1) for row in ([1, 2], [0, 1], [4, 5])]
    )
    assert answers[0] == [[1.0, 0.5]]
    assert isinstance(answers[1], PredictionError)
    assert answers[2] == [[0.25, pytest.approx(0.2)]]


def test_a_sigmoid_model_is_labelled(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("odds.tflite", labels=["even", "odd"])
    (prediction,) = predictor.predict(Instances({"x": np.zeros((1, 3), np.float32)}, 1))
    assert prediction == {"label": "even", "score": 0.5, "top": [["even", 0.5], ["odd", 0.5]]}
