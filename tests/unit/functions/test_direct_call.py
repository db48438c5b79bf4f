"""A direct call is answered as TensorFlow Serving's REST API answers a predict request."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inference import direct
from inference.config import Config
from inference.errors import ModelError
from inference.predictor import Predictor
from unit.functions.artifacts import Artifacts

SCAN = np.random.default_rng(5).random((8, 8, 1), dtype=np.float32)


@pytest.fixture
def call(make_config: Callable[..., Config]) -> Callable[..., Any]:
    """Call a model directly; the answer has gone through JSON, as it does on its way to the caller."""

    def invoke(event: Any, artifact: str, **fields: Any) -> Any:
        config = make_config(artifact, **fields)
        answer = direct.serve(event, config, Predictor(config), cold_start=False)
        return json.loads(json.dumps(answer, allow_nan=False))

    return invoke


@pytest.mark.parametrize("artifact", ["scans.tflite", "scans.saved_model"])
def test_instances_give_predictions_by_row(artifact: str, call: Callable[..., Any], artifacts: Artifacts) -> None:
    answer = call({"instances": [SCAN.tolist(), (1 - SCAN).tolist()]}, artifact)
    assert set(answer) == {"predictions"}
    expected = artifacts.scans(np.stack([SCAN, 1 - SCAN]), training=False).numpy()
    np.testing.assert_allclose(answer["predictions"], expected, atol=1e-5)


def test_inputs_give_outputs_by_column(call: Callable[..., Any], artifacts: Artifacts) -> None:
    answer = call({"inputs": [SCAN.tolist()]}, "scans.saved_model")
    assert set(answer) == {"outputs"}
    np.testing.assert_allclose(answer["outputs"], artifacts.scans(SCAN[np.newaxis], training=False), atol=1e-5)


@pytest.mark.parametrize("artifact", ["two.tflite", "two.saved_model"])
def test_several_outputs_are_objects_by_name(artifact: str, call: Callable[..., Any]) -> None:
    rows = call({"instances": [{"a": [1, 2, 3], "b": [4, 5]}] * 2}, artifact)["predictions"]
    assert [set(row) for row in rows] == [{"p", "q"}] * 2
    assert np.shape(rows[0]["p"]) == (2,)
    columns = call({"inputs": {"a": [[1, 2, 3]] * 2, "b": [[4, 5]] * 2}}, artifact)["outputs"]
    assert np.shape(columns["p"]) == (2, 2)
    assert columns["q"][0] == rows[0]["q"]


def test_strings_go_in_and_out_as_text_and_base64(call: Callable[..., Any]) -> None:
    encoded = base64.b64encode(b"eight").decode()
    answer = call({"instances": ["seven", {"b64": encoded}]}, "signatures.saved_model", signature="shout")
    loud_bytes = [{"b64": base64.b64encode(text).decode()} for text in (b"SEVEN", b"EIGHT")]
    assert answer["predictions"] == [
        {"loud": "SEVEN", "loud_bytes": loud_bytes[0]},
        {"loud": "EIGHT", "loud_bytes": loud_bytes[1]},
    ]


def test_a_signature_without_a_batch_is_called_with_whole_tensors(call: Callable[..., Any]) -> None:
    assert call({"inputs": [1, 2, 3]}, "signatures.saved_model", signature="total") == {"outputs": 6.0}


def test_outputs_that_differ_in_their_rows_are_no_rows(call: Callable[..., Any]) -> None:
    """GIVEN a model that gives a row for each instance, and a list of those that are not 0."""
    refused = call({"instances": [1, 0, 5]}, "unlike.onnx")
    assert "(same [3], places [1, 2]): send whole tensors" in refused["error"]
    whole = {"same": [1.0, 0.0, 5.0], "places": [[0, 2]]}
    assert call({"inputs": [1, 0, 5]}, "unlike.onnx") == {"outputs": whole}
    assert call({"instances": [1, 0, 5]}, "unlike.onnx", batch={"rows": 0}) == {"predictions": [whole]}


def test_labels_do_not_change_a_direct_calls_answer(call: Callable[..., Any]) -> None:
    answer = call({"instances": [[0, 0, 0]]}, "odds.tflite", labels=["even", "odd"])
    assert answer == {"predictions": [[0.5]]}


def test_the_signature_may_be_named(call: Callable[..., Any]) -> None:
    named = {"signature_name": "serving_default", "instances": [[0, 0, 0]]}
    assert call(named, "odds.tflite") == {"predictions": [[0.5]]}
    assert call(named | {"signature_name": "other"}, "odds.tflite") == {
        "error": "this function serves the signature 'serving_default', not 'other'"
    }


@pytest.mark.parametrize(
    "event",
    [
        None,
        7,
        "x",
        [],
        {},
        {"instances": 1},
        {"instances": [[1, 2]]},
        {"Records": []},
        {"Records": [1]},
    ],
)
def test_what_is_wrong_with_a_request_comes_back_as_an_error(event: Any, call: Callable[..., Any]) -> None:
    answer = call(event, "odds.tflite")
    assert set(answer) == {"error"}
    assert answer["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"instances": [[1e400, 0, 0]]}', "NaN, infinity or a number beyond the range"),
        ('{"instances": [[NaN, 0, 0]]}', "NaN, infinity or a number beyond the range"),
        ('{"inputs": [[0, -Infinity, 0]]}', "NaN, infinity or a number beyond the range"),
        ('{"instances": [[' + "9" * 4000 + ", 0, 0]]}", "expected numbers (float32), found one outside its range"),
        ('{"instances": ' + "[" * 500 + "]" * 500 + "}", "lists nested more than 32 deep"),
        ('{"instances": [["\\ud800", 0, 0]]}', "expected numbers (float32), found a string"),
    ],
)
def test_what_a_reader_of_json_lets_pass_is_an_error_of_ours(body: str, message: str, call: Callable[..., Any]) -> None:
    """GIVEN a request that Lambda's runtime client has read."""
    assert message in call(json.loads(body), "odds.tflite")["error"]


def test_a_deep_list_of_strings_is_an_error_of_ours(call: Callable[..., Any]) -> None:
    body = '{"instances": ' + "[" * 900 + '"a"' + "]" * 900 + "}"
    answer = call(json.loads(body), "signatures.saved_model", signature="shout")
    assert answer == {"error": "instances[0]: lists nested more than 32 deep"}


def test_an_answer_beyond_what_lambda_returns_is_an_error_of_ours(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for body, fields in (({"instances": [[1]] * 2500}, {}), ({"inputs": [[1]] * 2500}, {"batch": {"rows": 1}})):
        message = "the answer has 2500000 values; it may have at most 2097152: send fewer instances, or upload them"
        assert call(body, "wide.tflite", **fields) == {"error": message}
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "8")
    answer = call({"instances": [[1]] * 600}, "wide.tflite")
    assert answer["error"].startswith(
        "the outputs of 600 instances take more than 2097152 bytes, a quarter of the memory"
    )
    assert len(call({"instances": [[1]] * 30}, "wide.tflite")["predictions"]) == 30


def test_the_limit_of_records_holds_for_a_direct_call(call: Callable[..., Any]) -> None:
    answer = call({"instances": [[0, 0, 0]] * 3}, "odds.tflite", limits={"records": 2})
    assert answer == {"error": "3 instances; an input may have at most 2 (limits.records)"}


def test_an_answer_that_json_has_no_number_for_is_an_error(call: Callable[..., Any]) -> None:
    answer = call({"instances": [[0, 1]]}, "signatures.saved_model", signature="reciprocal")
    assert "NaN or infinite" in answer["error"]


def test_a_model_that_cannot_be_loaded_is_not_the_callers_fault(make_config: Callable[..., Config]) -> None:
    config = make_config("scans.tflite", digest="not-there")
    with pytest.raises(ModelError, match="no weights"):
        direct.serve({"instances": []}, config, Predictor(config), cold_start=False)


def test_every_call_writes_one_line_of_at_most_five_metrics(
    call: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    call({"instances": [[0, 0, 0], [1, 1, 1]]}, "odds.tflite")
    call({}, "odds.tflite")
    good, bad = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
    directive = good["_aws"]["CloudWatchMetrics"][0]
    assert directive["Dimensions"] == [["Model", "Variant"]]
    assert len(directive["Metrics"]) <= 5
    assert {metric["Name"] for metric in directive["Metrics"]} <= set(good)
    assert (good["Model"], good["Variant"], good["Predictions"], good["InputErrors"]) == ("digits", "stable", 2, [0])
    assert (bad["Predictions"], bad["InputErrors"]) == (0, [1])


@pytest.mark.parametrize(
    ("artifact", "body", "count"),
    [
        ("odds.saved_model", {"inputs": [[0, 0, 0]] * 3}, 3),
        ("odds.saved_model", {"instances": []}, 0),
        ("unlike.onnx", {"inputs": [1, 0, 5]}, 1),
    ],
)
def test_rows_that_were_answered_are_counted_and_an_output_without_them_is_one(
    artifact: str, body: Any, count: int, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    call(body, artifact)
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (metrics["Predictions"], metrics["InputErrors"]) == (count, [0])
