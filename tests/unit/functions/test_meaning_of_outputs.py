"""What the numbers of a model mean: raw values as TensorFlow Serving writes them, or labels with scores."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import predictions
from inference.config import OutputConfig
from inference.errors import ModelError, PredictionError, TooLargeError
from inference.predictions import Predictions
from inference.predictor import Predictor
from inference.rows import Rows
from inference.runtimes import TensorSpec
from inference.tensors import Instances


def values(answer: Predictions) -> Any:
    """The predictions of an answer, as who reads the result gets them."""
    return json.loads(answer.json)


LABELS = ("cat", "dog", "owl")


def scores(*values: float) -> np.ndarray:
    """One instance's scores as a model gives them."""
    return np.array(values, np.float32)


def test_a_labelled_prediction_has_the_best_label_and_the_runners_up() -> None:
    assert predictions.labelled(scores(0.1, 0.7, 0.2), LABELS, OutputConfig(top_k=2)) == {
        "label": "dog",
        "score": 0.7,
        "top": [["dog", 0.7], ["owl", 0.2]],
    }


def test_all_labels_are_listed_unless_top_k_says_how_many() -> None:
    assert [label for label, _ in predictions.labelled(scores(0.1, 0.7, 0.2), LABELS, OutputConfig())["top"]] == [
        "dog",
        "owl",
        "cat",
    ]


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    assert predictions.labelled(scores(0.25, 0.5, 0.25), LABELS, OutputConfig())["top"] == [
        ["dog", 0.5],
        ["cat", 0.25],
        ["owl", 0.25],
    ]


def test_a_single_sigmoid_is_the_probability_of_the_second_label() -> None:
    assert predictions.labelled(scores(0.25), ("even", "odd"), OutputConfig(top_k=2))["top"] == [
        ["even", 0.75],
        ["odd", 0.25],
    ]
    assert predictions.labelled(scores(0.75), ("even", "odd"), OutputConfig(top_k=1))["label"] == "odd"


def top(*values: float, **config: Any) -> Any:
    """The best labels of one instance's output, with their scores."""
    return predictions.labelled(scores(*values), LABELS, OutputConfig(**config))["top"]


def test_softmax_makes_probabilities_of_logits() -> None:
    assert top(0, math.log(3), math.log(4), activation="softmax") == [["owl", 0.5], ["dog", 0.375], ["cat", 0.125]]
    # Beyond what the exponential function has numbers for.
    assert top(-1e38, 1e4, 1e4, activation="softmax") == [["dog", 0.5], ["owl", 0.5], ["cat", 0.0]]


def test_sigmoid_makes_a_probability_of_each_logit() -> None:
    assert top(0, -math.log(3), math.log(3), activation="sigmoid") == [["owl", 0.75], ["cat", 0.5], ["dog", 0.25]]
    assert top(1e4, -1e4, -40, activation="sigmoid") == [["cat", 1.0], ["owl", 4.24835e-18], ["dog", 0.0]]


def test_the_activation_of_a_single_logit_comes_before_the_second_label() -> None:
    config = OutputConfig(activation="sigmoid")
    assert predictions.labelled(scores(math.log(3)), ("even", "odd"), config)["top"] == [["odd", 0.75], ["even", 0.25]]


def test_whole_numbers_are_scores_as_well() -> None:
    votes = np.array([3, 250, 7], np.uint8)
    assert predictions.labelled(votes, LABELS, OutputConfig(top_k=2))["top"] == [["dog", 250.0], ["owl", 7.0]]


def test_only_labels_that_reach_the_threshold_are_listed() -> None:
    assert top(0.2, 0.9, 0.7, threshold=0.7) == [["dog", 0.9], ["owl", 0.7]]
    assert top(0.2, 0.9, 0.7, threshold=0.7, top_k=1) == [["dog", 0.9]]
    assert top(0.2, 0.9, 0.7, threshold=0, top_k=None) == [["dog", 0.9], ["owl", 0.7], ["cat", 0.2]]


def test_where_no_label_reaches_the_threshold_there_is_none() -> None:
    prediction = predictions.labelled(scores(0.2, 0.3, 0.1), LABELS, OutputConfig(threshold=0.5))
    assert prediction == {"label": None, "score": None, "top": []}


def test_a_single_label_names_a_single_value() -> None:
    assert predictions.labelled(scores(21.7), ("price",), OutputConfig()) == {"label": "price", "score": 21.7}
    exact = np.array([[1234567.891]])
    assert predictions.labelled(exact, ("price",), OutputConfig()) == {"label": "price", "score": 1234567.891}
    spam = OutputConfig(activation="sigmoid", threshold=0.5)
    assert predictions.labelled(scores(0), ("spam",), spam) == {"label": "spam", "score": 0.5}
    assert predictions.labelled(scores(-1), ("spam",), spam) == {"label": None, "score": None}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_number_for_is_no_prediction(value: float) -> None:
    with pytest.raises(PredictionError, match="NaN or infinite"):
        predictions.raw({"y": scores(1, value)})
    with pytest.raises(PredictionError, match="NaN or infinite"):
        predictions.labelled(scores(0, 1, value), LABELS, OutputConfig())


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


#: Numbers of which each comes to its shortest decimal in another way, among them the ends of float32's range.
FLOATS = {
    "0.1": 0.1,
    "-0.0": -0.0,
    "0.3333333333333333": 1 / 3,
    "1": 1.0,
    "8388609": 8388609.0,
    "16777216": 16777216.0,
    "2097152.25": 2097152.25,
    "a power of two": 2.0**-40,
    "1e22": 1e22,
    "1e-20": 1e-20,
    "the largest": 3.4028234663852886e38,
    "the smallest normal": 1.1754943508222875e-38,
    "the smallest": 1.401298464324817e-45,
}


@pytest.mark.parametrize("length", [1, 100], ids=["one by one", "together"])
@pytest.mark.parametrize("value", FLOATS.values(), ids=FLOATS)
def test_a_float32_is_written_in_the_shortest_digits_that_read_back_as_it(value: float, length: int) -> None:
    number = np.float32(value)
    (written, *_) = predictions.raw({"y": np.full(length, number)})
    assert repr(predictions.raw({"y": np.array(number)})) == repr(written), "a single value, which is no list"
    assert np.float32(written) == number
    # numpy's algorithm is another one (Dragon4).
    assert repr(written) == repr(float(np.format_float_scientific(number, unique=True)))
    assert math.copysign(1, written) == math.copysign(1, value)


@pytest.mark.parametrize("value", FLOATS.values(), ids=FLOATS)
def test_an_output_of_a_single_float32_is_written_as_one_of_several(value: float) -> None:
    (of_several,) = predictions.raw({"y": np.array([value], np.float32)})
    assert repr(predictions.raw({"y": np.array(value, np.float32)})) == repr(of_several)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_floats_of_all_sizes_are_written_shortest(dtype: type[np.floating[Any]]) -> None:
    size = np.dtype(dtype).itemsize
    bits = np.random.default_rng(0).integers(0, 256, 20_000 * size, np.uint8)
    usual = np.random.default_rng(1).standard_normal(20_000).astype(dtype)
    numbers = np.concatenate([bits.view(dtype), usual, np.exp2(np.arange(-149, 128)).astype(dtype)])
    numbers = numbers[np.isfinite(numbers)]
    written = predictions.raw({"y": numbers.reshape(1, -1)})[0]
    np.testing.assert_array_equal(np.array(written, dtype), numbers)
    assert written == [float(np.format_float_scientific(number, unique=True)) for number in numbers]


def test_float64_numbers_keep_all_their_digits() -> None:
    assert predictions.raw({"y": np.array([0.1, 1 / 3])}) == [0.1, 1 / 3]


def test_the_scores_of_a_softmax_take_15_bytes_each() -> None:
    powers = np.exp(np.random.default_rng(0).standard_normal(1_000).astype(np.float32))
    answer = Predictions()
    answer.add(predictions.raw({"y": powers / powers.sum()}))
    assert answer.size < 15_000
    assert len(json.dumps((powers / powers.sum()).tolist())) > 22_000, "as float64 numbers"


def test_labels_that_do_not_match_the_output_are_refused_when_the_model_loads(
    make_predictor: Callable[..., Predictor],
) -> None:
    predictor = make_predictor("scans.tflite", labels=["zero", "one", "two"])
    with pytest.raises(ModelError, match="names 3 labels, but the model returns 10 scores"):
        predictor.load()


@pytest.mark.parametrize(
    ("artifact", "signature", "labels", "message"),
    [
        ("odds.tflite", "serving_default", ["even", "odd"], "softmax of a single score is always 1: use sigmoid"),
        ("signatures.saved_model", "look_up", ["a", "b", "c"], "names 3 labels, but the model returns 1 score$"),
    ],
)
def test_an_activation_and_labels_that_cannot_belong_to_the_output_are_refused_when_the_model_loads(
    artifact: str, signature: str, labels: list[str], message: str, make_predictor: Callable[..., Predictor]
) -> None:
    predictor = make_predictor(artifact, signature=signature, labels=labels, output={"activation": "softmax"})
    with pytest.raises(ModelError, match=message):
        predictor.load()


def test_a_model_without_a_batch_is_labelled_too(make_predictor: Callable[..., Predictor]) -> None:
    whole = Instances({"x": np.array([1, 2, 3], np.float32)}, None)
    predictor = make_predictor("signatures.saved_model", signature="thrice", labels=list(LABELS))
    assert values(predictor.predict(whole))[0] == {
        "label": "owl",
        "score": 9.0,
        "top": [["owl", 9.0], ["dog", 6.0], ["cat", 3.0]],
    }
    with pytest.raises(ModelError, match="names 2 labels, but the model returns 3 scores"):
        make_predictor("signatures.saved_model", signature="thrice", labels=["a", "b"]).predict(whole)


def test_labels_need_an_output_of_numbers() -> None:
    with pytest.raises(ModelError, match="needs an output of numbers; loud is object"):
        predictions.check_labels(LABELS, (TensorSpec("loud", (None, 3), np.dtype(object)),), OutputConfig(), Rows.OPEN)


@pytest.mark.parametrize(
    ("artifact", "fields", "message"),
    [
        ("odds.tflite", {"columns": ["a", "b"]}, "input.columns names 2 columns, but the input x takes 3"),
        ("two.tflite", {"columns": ["a", "b"]}, "input.columns needs a signature with one input; this one has a, b"),
        ("two.tflite", {"header": False}, "input.header: false needs a signature with one input; this one has a, b"),
        ("scans.uint8.tflite", {"missing": True}, r"float inputs, which can be NaN; this one has scan \(uint8\)"),
        ("pixels.keras", {"missing": True}, r"float inputs, which can be NaN; this one has pixels \(uint8\)"),
    ],
)
def test_columns_and_cells_that_do_not_fit_the_inputs_are_refused_when_the_model_loads(
    artifact: str, fields: dict[str, Any], message: str, make_predictor: Callable[..., Predictor]
) -> None:
    with pytest.raises(ModelError, match=message):
        make_predictor(artifact, input=fields).load()
    make_predictor("scans.tflite", input={"columns": [f"pixel {number}" for number in range(64)]}).load()


def test_labels_need_a_single_output(make_predictor: Callable[..., Predictor]) -> None:
    with pytest.raises(ModelError, match=r"belongs to one output, but the model has p, q: choose .* in output\.name"):
        make_predictor("two.tflite", labels=["zero", "one"]).load()


def test_a_missing_or_empty_labels_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read labels\.txt"):
        predictions.read_labels(tmp_path / "labels.txt")
    (tmp_path / "labels.txt").write_text("")
    with pytest.raises(ModelError, match=r'output\.labels: "labels\.txt" is empty; expected one label per line'):
        predictions.read_labels(tmp_path / "labels.txt")
    (tmp_path / "labels.txt").write_text("cat\ndog\n", encoding="utf-16")
    with pytest.raises(ModelError, match=r'output\.labels: "labels\.txt" is not UTF-8 text; save it as UTF-8'):
        predictions.read_labels(tmp_path / "labels.txt")


def test_an_output_of_unknown_length_is_compared_when_it_is_there() -> None:
    predictions.check_labels(LABELS, (TensorSpec("y", (None, None), np.dtype(np.float32)),), OutputConfig(), Rows.OPEN)
    with pytest.raises(ModelError, match="names 3 labels, but the model returns 2 scores"):
        predictions.labelled(scores(0.5, 0.5), LABELS, OutputConfig())


@pytest.mark.parametrize(
    ("signature", "bodies", "expected"),
    [
        ("look_up", (b"[0]", b"[3]", b"[1, 2]"), ([10.0], [20.0, 30.0])),
        ("reciprocal", (b"[1, 2]", b"[0, 1]", b"[4, 5]"), ([[1.0, 0.5]], [[0.25, pytest.approx(0.2)]])),
    ],
    ids=["an index that is not there", "an infinite answer"],
)
def test_one_bad_input_of_a_shared_call_does_not_touch_the_others(
    signature: str,
    bodies: Sequence[bytes],
    expected: Sequence[Any],
    announce: Callable[..., dict[str, Any]],
    serve: Callable[..., list[str]],
    result: Callable[[str], Any],
) -> None:
    messages = [announce(f"digits/{index}.json", body) for index, body in enumerate(bodies)]
    assert serve(messages, "signatures.saved_model", signature=signature) == []
    assert result("digits/0.json")["predictions"] == expected[0]
    assert result("digits/1.json")["error"]["type"] == "PredictionError"
    assert result("digits/2.json")["predictions"] == expected[1]


def test_a_call_that_is_shared_answers_each_input_and_one_that_fails_answers_none(
    make_predictor: Callable[..., Predictor],
) -> None:
    predictor = make_predictor("signatures.saved_model", signature="look_up", batch={"rows": 64})
    good, bad, two = (Instances({"index": np.array(rows, np.int32)}, len(rows)) for rows in ([0], [3], [1, 2]))
    answers = predictor.predict_together([good, two])
    assert answers is not None
    assert [values(answer) for answer in answers] == [[10.0], [20.0, 30.0]]
    assert predictor.predict_together([good, bad, two]) is None
    with pytest.raises(PredictionError):
        predictor.predict(bad)


def test_a_result_that_the_memory_has_no_room_for_is_refused_with_how_many_predictions_fit(
    make_predictor: Callable[..., Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = make_predictor("odds.tflite")
    rows = Instances({"x": np.zeros((10_000, 3), np.float32)}, 10_000)
    assert predictor.predict(rows).json == b"[" + b", ".join([b"[0.5]"] * 10_000) + b"]"

    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1")
    with pytest.raises(TooLargeError, match="room for 9362 predictions: they may take 65536 bytes of JSON, a 16th of"):
        predictor.predict(rows)
    fits = 65_536 // len(b"[0.5], ")
    assert predictor.predict(Instances({"x": rows.tensors["x"][:fits]}, fits)).count == fits == 9362


def test_a_prediction_of_more_values_than_the_memory_has_room_for_is_refused(
    make_predictor: Callable[..., Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = make_predictor("scans.saved_model")
    monkeypatch.setattr("inference.predictions.max_values", lambda: 10)
    scan = Instances({"scan": np.zeros((1, 8, 8, 1), np.float32)}, 1)
    assert len(values(predictor.predict(scan))[0]) == 10
    monkeypatch.setattr("inference.predictions.max_values", lambda: 9)
    with pytest.raises(
        TooLargeError, match=r"a prediction has 10 values; it may have at most 9 with this memory \(memory_mb\)"
    ):
        predictor.predict(scan)


def test_answers_too_large_to_be_in_memory_together_come_one_by_one(
    make_predictor: Callable[..., Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = make_predictor("odds.saved_model", batch={"rows": 64})
    inputs = [Instances({"x": np.zeros((count, 3), np.float32)}, count) for count in (5_000, 20_000, 6_000, 3_000)]
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1")
    assert predictor.predict_together([inputs[0], inputs[2]]) is None
    assert [len(values(predictor.predict(inputs[index]))) for index in (0, 2)] == [5_000, 6_000]
    with pytest.raises(TooLargeError):
        predictor.predict(inputs[1])
    together = predictor.predict_together([inputs[0], inputs[3]])
    assert together is not None
    assert [len(values(answer)) for answer in together] == [5_000, 3_000]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, [{"same": [3, 0, 5], "places": [[0, 2]]}]),
        ("same", [3, 0, 5]),
        ("places", [[[0, 2]]]),
    ],
)
def test_a_prediction_is_made_of_the_named_output(
    name: str | None, expected: Any, make_predictor: Callable[..., Predictor]
) -> None:
    """The model gives its input, which is a row's answer, and the places of what is not zero, which belong together."""
    predictor = make_predictor("unlike.onnx", output={"name": name} if name else {})
    instances = Instances({"x": np.array([3, 0, 5], np.float32)}, 3)
    assert values(predictor.predict(instances)) == expected
    assert predictor.outputs(instances).keys() == {"same", "places"}, "a direct call has all of them"


def test_labels_belong_to_the_named_output(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("unlike.onnx", labels=["even", "odd"], output={"name": "same"})
    answered = predictor.predict(Instances({"x": np.array([0.25, 1], np.float32)}, 2))
    assert [(row["label"], row["score"]) for row in values(answered)] == [("even", 0.75), ("odd", 1)]


def test_the_named_output_is_one_of_the_models(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("unlike.onnx", output={"name": "scores"})
    with pytest.raises(ModelError, match=r"output\.name is 'scores', but the outputs of the model are same, places"):
        predictor.load()


def test_a_sigmoid_model_is_labelled(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("odds.tflite", labels=["even", "odd"])
    (prediction,) = values(predictor.predict(Instances({"x": np.zeros((1, 3), np.float32)}, 1)))
    assert prediction == {"label": "even", "score": 0.5, "top": [["even", 0.5], ["odd", 0.5]]}
