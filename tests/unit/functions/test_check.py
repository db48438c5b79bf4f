"""The check of a new version finds what would fail at the first input, and compares samples with what is expected."""

import base64
import gzip
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from inference import CHECK, HOOKS_FILE, check
from inference.config import Config
from inference.errors import ModelError
from inference.predictor import Predictor
from modelctl.runtime_api import run_handler
from unit.functions.artifacts import Artifacts
from unit.functions.onnx_artifacts import graph

Check = Callable[..., Any]

#: What the model doubles.
ROW = b"[1, 2.5, -3]"


def sample(file: str, body: bytes, predictions: Any = None, tolerance: float = 0.001) -> dict[str, Any]:
    """A sample as Terraform sends it."""
    encoded = base64.b64encode(body).decode()
    return {"file": file, "body": encoded, "predictions": predictions, "tolerance": tolerance}


@pytest.fixture
def checked(make_config: Callable[..., Config]) -> Check:
    """Check a model with some samples; what comes back has gone through JSON."""

    def run(artifact: str, *samples: Any, folder: Path | None = None, **fields: Any) -> Any:
        config = make_config(artifact, **fields)
        config = config if folder is None else replace(config, artifact=folder)
        return json.loads(json.dumps(check.serve({"samples": list(samples)}, config, Predictor(config))))

    return run


@pytest.fixture
def onnx_folder(tmp_path: Path) -> Callable[[str], Path]:
    """The folder of an ONNX model, from its graph in ONNX's own notation."""

    def make(text: str) -> Path:
        onnx.save_model(graph(text), tmp_path / "model.onnx")
        return tmp_path

    return make


def test_a_check_returns_what_is_served(checked: Check) -> None:
    assert checked("kinds.onnx", sample("a.json", b'{"instances": []}')) == {
        "model": "digits",
        "version": "1",
        "digest": "kinds.onnx",
        "samples": 1,
        "signature": {
            "name": "serving_default",
            "inputs": [
                {"name": "text", "shape": [None], "dtype": "string"},
                {"name": "half", "shape": [None], "dtype": "float16"},
                {"name": "flag", "shape": [None], "dtype": "bool"},
                {"name": "small", "shape": [None], "dtype": "uint8"},
                {"name": "large", "shape": [None], "dtype": "int64"},
                {"name": "exact", "shape": [None], "dtype": "float64"},
            ],
            "outputs": [
                {"name": "said", "shape": [None], "dtype": "string"},
                {"name": "halves", "shape": [None], "dtype": "float16"},
                {"name": "turned", "shape": [None], "dtype": "bool"},
                {"name": "kept", "shape": [None], "dtype": "uint8"},
                {"name": "twice", "shape": [None], "dtype": "int64"},
                {"name": "same", "shape": [None], "dtype": "float64"},
            ],
        },
    }


# What would fail at the first input


@pytest.mark.parametrize("artifact", ["double.tflite", "double.onnx", "odds.saved_model"])
def test_weights_that_do_not_load(artifact: str, checked: Check, artifacts: Artifacts, tmp_path: Path) -> None:
    for file in artifacts.folder(artifact).rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(artifacts.folder(artifact))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes()[:20])
    with pytest.raises(ModelError, match=r"model\.|saved_model"):
        checked(artifact, folder=tmp_path)


def test_weights_that_are_not_there(checked: Check, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights at"):
        checked("double.tflite", folder=tmp_path / "missing")


def test_hooks_that_cannot_be_imported(checked: Check, onnx_folder: Callable[[str], Path]) -> None:
    folder = onnx_folder("(float[N, 3] x) => (float[N, 3] y) { y = Identity(x) }")
    (folder / HOOKS_FILE).write_text("import pandas_that_is_not_there\n")
    with pytest.raises(ModelError, match="No module named 'pandas_that_is_not_there'"):
        checked("double.onnx", folder=folder)


def test_labels_of_another_number_than_an_output_whose_length_no_signature_tells(
    checked: Check, onnx_folder: Callable[[str], Path]
) -> None:
    folder = onnx_folder("(float[N, 3] x) => (float[N, K] y) { y = Identity(x) }")
    (folder / "labels.txt").write_text("a\nb\n")
    with pytest.raises(ModelError, match="names 2 labels, but the model returns 3 scores"):
        checked("double.onnx", folder=folder, output={"labels": "labels.txt"})


def test_rows_that_are_not_independent(checked: Check, onnx_folder: Callable[[str], Path]) -> None:
    folder = onnx_folder("(float[N] x) => (float[K] sum) { sum = ReduceSum <keepdims = 1> (x) }")
    with pytest.raises(ModelError, match=r"the output sum has the shape \[1\] for 2 rows"):
        checked("double.onnx", folder=folder, batch={"rows": 64})


@pytest.mark.parametrize(
    ("artifact", "fields", "says"),
    [
        ("two.tflite", {"input_format": "image"}, "input.format image needs a signature with one input"),
        ("odds.tflite", {"input_format": "text"}, "input.format text needs a model with one input of strings"),
        ("odds.tflite", {"input": {"columns": ["a", "b"]}}, "names 2 columns, but the input x takes 3"),
        (
            "scans.tflite",
            {"input_format": "image", "input": {"size": [9, 9]}},
            r"input.size is \[9, 9\], but the model",
        ),
        ("scans.tflite", {"labels": ["zero", "one"]}, "names 2 labels, but the model returns 10 scores"),
        (
            "pixels.keras",
            {"input_format": "image", "input": {"scale": 0.5, "mean": [0.25]}},
            "pixels are out of range once input.scale",
        ),
    ],
)
def test_an_entry_that_does_not_fit_the_signature(
    artifact: str, fields: dict[str, Any], says: str, checked: Check
) -> None:
    with pytest.raises(ModelError, match=says):
        checked(artifact, **fields)


def test_a_package_without_what_decodes_its_inputs(checked: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.PngImagePlugin", None)
    monkeypatch.delitem(sys.modules, "inference.decoders.png", raising=False)  # which another test has imported
    with pytest.raises(ModelError, match=r"the decoder for input.format image cannot be imported: .*PngImagePlugin"):
        checked("scans.tflite", input_format="image")


def test_a_model_that_refuses_zeros_only_passes(checked: Check) -> None:
    assert checked("divide.onnx")["samples"] == 0


def test_hooks_are_called_with_samples_only(checked: Check, onnx_folder: Callable[[str], Path]) -> None:
    folder = onnx_folder("(float[N, 3] x) => (float[N, 3] y) { y = Identity(x) }")
    (folder / HOOKS_FILE).write_text(
        "import numpy as np\n"
        "def preprocess(body, key): return np.array([[float(digit) for digit in body.decode()]], np.float32)\n"
        "def postprocess(outputs): return {'ratio': round(float(outputs['y'][0] / outputs['y'][1].item()), 3)}\n"
    )
    assert checked("double.onnx", folder=folder)["samples"] == 0
    answered = sample("123.digits", b"123", [{"ratio": 0.5}])
    assert checked("double.onnx", answered, folder=folder)["samples"] == 1
    with pytest.raises(
        ModelError, match=r"digits fails on the smoke sample 0.digits: hooks: preprocess returned tensors"
    ):
        checked("double.onnx", sample("0.digits", b"0"), folder=folder)


# Samples


@pytest.mark.parametrize(
    ("file", "body", "predictions"),
    [
        ("rows/one.json", ROW, [[2, 5, -6]]),
        ("one.csv", b"1,2.5,-3\n", [[2, 5, -6]]),
        ("two.csv.gz", None, [[2, 5, -6], [0, 0, 0]]),
        ("instances.json", b'{"instances": [[1, 2.5, -3]]}', [[2.0019, 4.996, -6.005]]),
        ("any.json", ROW, None),
    ],
)
def test_a_sample_is_answered_as_an_upload_of_its_name(
    file: str, body: bytes | None, predictions: Any, checked: Check
) -> None:
    content = gzip.compress(b"1,2.5,-3\n0,0,0\n") if body is None else body
    assert checked("double.tflite", sample(file, content, predictions))["samples"] == 1


def test_a_mismatch_names_the_model_the_sample_what_was_expected_and_what_came(checked: Check) -> None:
    """Of zeros, this model says that they are as likely odd as even."""
    zeros, fields = b"[0, 0, 0]", {"labels": ["even", "odd"]}
    as_expected = sample("zeros.json", zeros, [{"label": "even", "score": 0.5}])
    assert checked("odds.tflite", as_expected, **fields)["samples"] == 1
    with pytest.raises(ModelError) as refused:
        checked(
            "odds.tflite",
            as_expected,
            sample("samples/odd.json", zeros, [{"label": "odd"}]),
            sample("samples/broken.json", b"[0, 0"),
            **fields,
        )
    assert str(refused.value) == (
        "the model digits does not answer 2 of 3 smoke samples as expected: "
        'samples/odd.json: expected [{"label": "odd"}], '
        'got [{"label": "even", "score": 0.5, "top": [["even", 0.5], ["odd", 0.5]]}]; '
        "samples/broken.json: expected any predictions, "
        "got DecodeError: not valid JSON: Expecting ',' delimiter: line 1 column 6 (char 5)"
    )


def test_a_message_quotes_long_answers_in_part_only(checked: Check) -> None:
    rows = json.dumps([[number, 0, 0] for number in range(200)]).encode()
    with pytest.raises(ModelError) as refused:
        checked("double.tflite", sample("rows.json", rows, [[1] * 400]))
    assert len(str(refused.value)) < 800


def test_the_limits_of_an_upload_hold_for_a_sample(checked: Check) -> None:
    with pytest.raises(ModelError, match=r"got TooLargeError: 12 bytes; an input may have at most 5 \(limits\.bytes\)"):
        checked("double.tflite", sample("a.json", ROW), limits={"bytes": 5})


@pytest.mark.parametrize(
    ("got", "expected", "agree"),
    [
        (0.98, 0.9805, True),
        (0.98, 0.9825, False),
        (0.0, 0.001, True),
        (-0.0005, 0.001, False),
        (1000.9, 1000, True),
        (1002, 1000, False),
        (3, 3.0, True),
        (1, True, False),
        (True, True, True),
        (False, 0, False),
        (None, None, True),
        (0, None, False),
        ("3", "3", True),
        ("3", 3, False),
        ("b", "B", False),
        ([1, [2.0004]], [1, [2]], True),
        ([1, 2], [1], False),
        ([], {}, False),
        ({"label": "a", "score": 1.0}, {"label": "a"}, True),
        ({"score": 1.0}, {"label": "a"}, False),
        ({"label": None}, {"label": None}, True),
        (1.0, 10**400, False),
        (1.0, float("inf"), False),
    ],
)
def test_answers_agree_as_a_reader_of_the_result_would_say(got: Any, expected: Any, agree: bool) -> None:
    assert check._agrees([got], [expected], 0.001) is agree


# The event


SAMPLE = sample("a.json", ROW)


@pytest.mark.parametrize(
    "call",
    [
        None,
        [],
        {},
        {"samples": None},
        {"samples": [], "instances": []},
        {"samples": [SAMPLE] * (check.MOST_SAMPLES + 1)},
        *(
            {"samples": [wrong]}
            for wrong in (
                "a.json",
                {},
                SAMPLE | {"label": "3"},
                {name: SAMPLE[name] for name in ("file", "body", "tolerance")},
                SAMPLE | {"file": 3},
                SAMPLE | {"file": "a" * (check.LONGEST_FILE + 1)},
                SAMPLE | {"body": "not base64"},
                SAMPLE | {"body": "\u00e9"},
                SAMPLE | {"predictions": {"label": "3"}},
                SAMPLE | {"tolerance": -1},
                SAMPLE | {"tolerance": "0.1"},
            )
        ),
    ],
)
def test_a_call_of_another_form_is_refused(call: Any, make_config: Callable[..., Config]) -> None:
    config = make_config("double.tflite")
    with pytest.raises(ModelError, match=CHECK):
        check.serve(call, config, Predictor(config))


def test_only_an_event_with_that_one_field_is_a_check_and_a_check_counts_in_no_metric(
    environment: Callable[..., dict[str, str]],
) -> None:
    events = [
        {CHECK: {"samples": [SAMPLE]}},
        {CHECK: {"samples": [SAMPLE]}, "instances": [[1, 2, 3]]},
        {CHECK: {"samples": [SAMPLE | {"predictions": [[1, 1, 1]]}]}},
        {"instances": [[1, 2, 3]]},
    ]
    ran = run_handler("inference.handler.handler", events, environment("double.tflite", "litert"))
    checked, mixed, refused, direct = ran.answers
    assert (checked["digest"], checked["samples"]) == ("double.tflite", 1)
    assert mixed == direct == {"predictions": [[2, 4, 6]]}
    assert refused["errorType"] == "ModelError"
    assert refused["errorMessage"].startswith(
        "the model digits does not answer 1 of 1 smoke samples as expected: a.json"
    )
    metrics = [json.loads(line) for line in ran.output.splitlines() if '"_aws"' in line]
    assert [line["Predictions"] for line in metrics] == [1, 1]
    assert [line["InputErrors"] for line in metrics] == [[0], [0]]
