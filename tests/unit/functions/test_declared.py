"""What model files declare, as `modelctl` reads it before an apply: the same as the runtimes that load them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from inference import runtimes
from inference.config import Config, InputConfig, OutputConfig, Route
from inference.runtimes import Specs, TensorSpec
from modelctl.registry import declared, validation
from unit.functions.artifacts import Artifacts, runtime_of
from unit.functions.onnx_artifacts import graph
from unit.functions.tflite_files import changed, without_signature

CONFIG = Config(
    "m", "1", "d", "litert", "serving_default", 5, InputConfig("json"), OutputConfig(), Route(()), Path(), "r"
)


def declared_of(file: Path, signature: str = "serving_default") -> tuple[Specs, Specs] | None:
    return declared.signature(file, replace(CONFIG, signature=signature))


def model_file(folder: Path) -> Path:
    """The model's file in an artifact's folder."""
    return next(file for file in folder.iterdir() if file.name == "saved_model.pb" or file.stem == "model")


@pytest.mark.parametrize(
    ("artifact", "signature"),
    [
        *((f"{name}.tflite", "serving_default") for name in ("scans", "scans.uint8", "two", "wide")),
        *(("signatures.tflite", "kinds"), ("signatures.tflite", "lengths")),
        *((f"{name}.onnx", "serving_default") for name in ("scans", "kinds", "scaled", "two", "classifier", "nothing")),
        *(("odds.saved_model", "serving_default"), ("signatures.saved_model", "kinds")),
        ("signatures.saved_model", "total"),
    ],
)
def test_a_file_declares_what_its_runtime_loads(artifact: str, signature: str, artifacts: Artifacts) -> None:
    model = runtimes.load(runtime_of(artifact), artifacts.folder(artifact), signature)
    found = declared_of(model_file(artifacts.folder(artifact)), signature)
    assert found
    for specs, loaded in zip(found, (model.inputs, model.outputs), strict=True):
        assert {(spec.name, spec.shape, spec.dtype) for spec in specs} == {
            (spec.name, spec.shape, spec.dtype) for spec in loaded
        }


def test_a_litert_file_without_signatures_declares_its_tensors(artifacts: Artifacts, tmp_path: Path) -> None:
    shutil.copy(artifacts.folder("double.tflite") / "model.tflite", tmp_path)
    changed(tmp_path, without_signature)
    model = runtimes.load("litert", tmp_path, "serving_default")
    assert declared_of(tmp_path / "model.tflite") == (model.inputs, model.outputs)


def test_weights_among_the_inputs_of_an_older_onnx_file_are_no_inputs(tmp_path: Path) -> None:
    model = graph("(float[N, 2] x, float[2] w) => (float[N, 2] y) { y = Add(x, w) }", {"w": np.ones(2, np.float32)})
    onnx.save(model, tmp_path / "model.onnx")
    inputs, _ = declared_of(tmp_path / "model.onnx") or ((), ())
    assert inputs == (TensorSpec("x", (None, 2), np.dtype(np.float32)),)


@pytest.mark.parametrize(
    ("artifact", "signature"),
    [("scans.tflite", "other"), ("odds.saved_model", "other"), ("scans.keras", "serving_default")],
)
def test_what_a_file_does_not_say_is_left_to_the_function(artifact: str, signature: str, artifacts: Artifacts) -> None:
    assert declared_of(model_file(artifacts.folder(artifact)), signature) is None


@pytest.mark.parametrize("artifact", ["double.tflite", "scaled.onnx", "sequence.onnx", "odds.saved_model"])
def test_a_file_that_is_cut_off_anywhere_declares_something_or_nothing(
    artifact: str, artifacts: Artifacts, tmp_path: Path
) -> None:
    whole = model_file(artifacts.folder(artifact))
    content, file = whole.read_bytes(), tmp_path / whole.name
    for length in range(0, len(content), max(1, len(content) // 50)):
        file.write_bytes(content[:length])
        assert declared_of(file) in (None, declared_of(whole))


def test_labels_that_do_not_fit_show_before_an_apply_in_the_functions_words(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    entries = {
        "tflite": ("scans.tflite", "labels: labels.txt"),
        "onnx": ("scans.onnx", "labels: labels.txt"),
        "saved-model": ("odds.saved_model", "labels: labels.txt"),
        "logit": ("odds.tflite", "labels: two.txt, activation: softmax"),
        "several": ("two.tflite", "labels: labels.txt"),
        "named": ("two.tflite", "name: p, labels: labels.txt"),
        "unknown": ("two.onnx", "name: scores, labels: two.txt"),
        "fitting-named": ("two.tflite", "name: p, labels: two.txt"),
        # Two labels and one score are a sigmoid's, and Keras files do not say how many scores they give.
        "fitting": ("odds.tflite", "labels: two.txt"),
        "keras": ("scans.keras", "labels: labels.txt"),
        "one-output-of-any-length": ("fill.onnx", "labels: labels.txt"),
    }
    lines = ["version: 1", "models:"]
    for name, (artifact, output) in entries.items():
        shutil.copytree(artifacts.folder(artifact), tmp_path / name)
        (tmp_path / name / "labels.txt").write_text("cat\ndog\nowl\n")
        (tmp_path / name / "two.txt").write_text("even\nodd\n\n")
        entry = {"artifact": name, "version": "'1'", "runtime": runtime_of(artifact), "output": f"{{{output}}}"}
        lines.append(f"  {name}: {{{', '.join(f'{field}: {value}' for field, value in entry.items())}}}")
    file = tmp_path / "registry.yaml"
    file.write_text("\n".join(lines))
    assert [f"{problem.line}: {problem.path}: {problem.message}" for problem in validation.validate(file)] == [
        "3: models.tflite.output.labels: names 3 labels, but the model returns 10 scores",
        "4: models.onnx.output.labels: names 3 labels, but the model returns 10 scores",
        "5: models.saved-model.output.labels: names 3 labels, but the model returns 1 score",
        "6: models.logit.output.activation: softmax of a single score is always 1: use sigmoid to make it a "
        "probability",
        "7: models.several.output.labels: belongs to one output, but the model has p, q: choose the one with the "
        "scores in output.name (`modelctl import` takes it as --output)",
        "8: models.named.output.labels: names 3 labels, but the model returns 2 scores",
        "9: models.unknown.output.name: is 'scores', but the outputs of the model are p, q: choose one of these",
    ]
