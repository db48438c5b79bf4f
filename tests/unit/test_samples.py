"""What the committed sample models promise: right answers on the held-out inputs that come with them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import yaml
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_wine

import train_samples
from inference import decoders
from inference.config import InputConfig
from inference.runtimes import TensorSpec
from modelctl.paths import CHECKOUT, REGISTRY

Floats = NDArray[np.float32]
Predict = Callable[[Floats], Floats]

MODELS = yaml.safe_load(REGISTRY.read_text())["models"]
SHAPES = {"digits": (8, 8, 1), "digits-tf": (8, 8, 1), "wine": (13,)}


def load(model: str) -> Predict:
    """Return what answers inputs [n, …] with probabilities [n, classes], from the artifact's files."""
    artifact = CHECKOUT / MODELS[model]["artifact"]
    if model == "wine":
        network = tf.keras.models.load_model(artifact / "model.keras", compile=False)
        return lambda inputs: np.asarray(network(inputs))
    if model == "digits-tf":
        served = tf.saved_model.load(str(artifact)).signatures["serving_default"]
        return lambda inputs: np.asarray(served(tf.constant(inputs))["output_0"])
    runner: Any = Interpreter(str(artifact / "model.tflite")).get_signature_runner("serving_default")
    return lambda inputs: np.asarray(runner(scan=inputs)["output_0"])


@pytest.fixture(scope="module")
def predictors() -> dict[str, Predict]:
    """The three models, loaded once."""
    return {model: load(model) for model in MODELS}


def samples(model: str) -> Path:
    """Return the folder of a model's sample inputs."""
    return CHECKOUT / "models" / model / "samples"


def expected(model: str) -> list[dict[str, str]]:
    """Read the true labels."""
    with (samples(model) / "expected.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def labels(model: str) -> list[str]:
    """Read the names of a model's classes."""
    file: Path = CHECKOUT / MODELS[model]["artifact"] / "labels.txt"
    return file.read_text().splitlines()


def read(model: str, file: str) -> Floats:
    """Read a sample file as the registry says: the inputs [n, …]."""
    path = samples(model) / file
    if path.suffix == ".png":
        described = MODELS[model]["input"]
        with Image.open(path) as image:
            assert (image.mode, list(image.size)) == (described["mode"], described["size"])
            return np.asarray(image, np.float32)[np.newaxis, ..., np.newaxis] * np.float32(described["scale"])
    if path.suffix == ".json":
        return np.asarray(json.loads(path.read_text())["instances"], np.float32)
    return np.loadtxt(path, np.float32, delimiter=",", skiprows=1, ndmin=2)


@pytest.mark.parametrize("model", MODELS)
def test_nine_of_ten_held_out_samples_are_right(model: str, predictors: dict[str, Predict]) -> None:
    names, rows = labels(model), expected(model)
    right = 0
    for row in rows:
        inputs = read(model, row["file"])
        prediction = predictors[model](inputs)[int(row["row"])]
        right += names[int(prediction.argmax())] == row["label"]
    assert right >= 0.9 * len(rows), f"{right} of {len(rows)}"


@pytest.mark.parametrize("model", MODELS)
def test_a_label_for_every_output_and_probabilities_that_add_up(model: str, predictors: dict[str, Predict]) -> None:
    answers = predictors[model](np.full((3, *SHAPES[model]), 0.5, np.float32))
    assert answers.shape == (3, len(labels(model)))
    assert len(set(labels(model))) == len(labels(model))
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_every_sample_has_its_true_label_and_every_class_a_sample(model: str) -> None:
    rows = expected(model)
    assert list(rows[0]) == ["file", "row", "label"]
    assert {row["file"] for row in rows} == {path.name for path in samples(model).iterdir()} - {"expected.csv"}
    assert {row["label"] for row in rows} == set(labels(model))
    for file in {row["file"] for row in rows}:
        inputs = read(model, file)
        assert inputs.shape[1:] == SHAPES[model]
        assert [int(row["row"]) for row in rows if row["file"] == file] == list(range(len(inputs)))


@pytest.mark.parametrize("model", MODELS)
def test_every_sample_has_a_suffix_that_is_routed(model: str) -> None:
    suffixes = tuple(MODELS[model]["route"]["suffixes"])
    assert all(row["file"].endswith(suffixes) for row in expected(model))


@pytest.mark.parametrize("model", MODELS)
def test_the_samples_were_held_out_of_the_training(model: str) -> None:
    split = train_samples.wine_data()[0] if model == "wine" else train_samples.digits_data()[0]
    held_out = {inputs.tobytes() for inputs in split.inputs.round(3)}
    trained_on = {inputs.tobytes() for inputs in split.train_inputs.round(3)}
    assert not held_out & trained_on
    for file in {row["file"] for row in expected(model)}:
        assert {inputs.tobytes() for inputs in read(model, file).round(3)} <= held_out


def test_the_columns_of_wines_may_have_any_order() -> None:
    with (samples("wine") / "cellar.csv").open(newline="") as stream:
        header, *rows = csv.reader(stream)
    columns = MODELS["wine"]["input"]["columns"]
    assert columns == header == load_wine().feature_names
    reversed_columns = "\n".join(",".join(row[::-1]) for row in [header, *rows]).encode()
    specs = (TensorSpec("x", (None, 13), np.dtype(np.float32)),)
    decoded = decoders.decode("wine/a.csv", reversed_columns, InputConfig("csv", columns=tuple(columns)), specs)
    np.testing.assert_array_equal(decoded.tensors["x"], np.array(rows, np.float32))


def test_there_are_enough_samples_to_see_something() -> None:
    assert len(expected("digits")) >= 20
    assert len(expected("digits-tf")) >= 10
    assert {path.suffix for path in samples("wine").iterdir()} == {".json", ".csv"}


def test_the_samples_are_small_enough_for_a_repository() -> None:
    assert sum(path.stat().st_size for path in (CHECKOUT / "models").rglob("*") if path.is_file()) < 2_000_000
