"""Trains the three sample models and writes them, with held-out inputs and their true labels, to `models/`.

`make samples` runs it; it takes less than a minute. The data sets come with scikit-learn, so nothing is downloaded.
Accuracies and predictions come out the same on every run, the bytes of a SavedModel and of a `.keras` file do not: the
files in the repository are the ones that count.

A model is written only if what was *exported*, read back from its files, reaches its accuracy on the held-out part of
the data. The sample inputs are the first few of each class of that part: no prediction is looked at to choose them.
"""

import csv
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported, and talks a lot otherwise

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_wine
from sklearn.model_selection import train_test_split

from modelctl.console import step
from modelctl.paths import CHECKOUT

MODELS = CHECKOUT / "models"
SEED = 20
HELD_OUT = 0.25

# The least share of held-out inputs that an exported model must get right.
DIGITS_GOAL = 0.97
PARITY_GOAL = 0.97
WINE_GOAL = 0.95

SCANS_PER_DIGIT = 2
BOTTLES_PER_CULTIVAR = 2

# The three cultivars of the UCI wine data, in the order of its classes (59, 71 and 48 wines).
CULTIVARS = ("barolo", "grignolino", "barbera")

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


class Split(NamedTuple):
    """A data set in two parts; `origins` are the rows of the held-out inputs in scikit-learn's data set."""

    train_inputs: Floats
    train_labels: Labels
    inputs: Floats
    labels: Labels
    origins: Labels


class Sample(NamedTuple):
    """One line of `expected.csv`: the true label of a row of a sample file (row 0 where the file holds one input)."""

    file: str
    row: int
    label: str


def main() -> int:
    """Train, export, check and write the three models."""
    tf.config.experimental.enable_op_determinism()
    scans, pictures = digits_data()
    wines, feature_names = wine_data()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with step("digits: train"):
            network = train_digits(scans)
            network.save(work / "digits.keras")
        with step("digits-tf: fine-tune from the weights of digits"):
            parity = fine_tune_parity(work / "digits.keras", scans)
        with step("wine: train"):
            wine = train_wine(wines)

        with step("digits: export to LiteRT and check"):
            artifact = new_folder(work / "digits" / "artifact")
            network.export(work / "digits-saved", verbose=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(
                str(work / "digits-saved"), signature_keys=["serving_default"]
            )
            (artifact / "model.tflite").write_bytes(converter.convert())
            write_labels(artifact, [str(digit) for digit in range(10)])
            check("digits", litert_predictions(artifact / "model.tflite", scans.inputs), scans.labels, DIGITS_GOAL)
        with step("digits-tf: export as SavedModel and check"):
            artifact = work / "digits-tf" / "artifact"
            parity.export(artifact, verbose=False)
            remove_empty_folders(artifact)
            write_labels(artifact, ["even", "odd"])
            served = tf.saved_model.load(str(artifact)).signatures["serving_default"]
            predictions = served(tf.constant(scans.inputs))["output_0"].numpy()
            check("digits-tf", predictions, scans.labels % 2, PARITY_GOAL)
        with step("wine: save as .keras and check"):
            artifact = new_folder(work / "wine" / "artifact")
            wine.save(artifact / "model.keras", include_optimizer=False)
            write_labels(artifact, CULTIVARS)
            loaded = tf.keras.models.load_model(artifact / "model.keras", compile=False)
            check("wine", loaded(wines.inputs).numpy(), wines.labels, WINE_GOAL)

        write_scans(work / "digits", scans, pictures, SCANS_PER_DIGIT, str)
        write_scans(work / "digits-tf", scans, pictures, 1, lambda digit: "odd" if digit % 2 else "even")
        write_bottles(work / "wine", wines, feature_names)
        for name in ("digits", "digits-tf", "wine"):
            shutil.rmtree(MODELS / name, ignore_errors=True)
            shutil.copytree(work / name, MODELS / name)
            size = sum(path.stat().st_size for path in (MODELS / name).rglob("*") if path.is_file())
            print(f"models/{name}: {size / 1000:.0f} KB", flush=True)
    return 0


def digits_data() -> tuple[Split, NDArray[np.uint8]]:
    """Handwritten digits as the function will see them: float32 [n, 8, 8, 1] in 0..1, and the held-out scans, uint8.

    The data set counts grey in 0..16; a scan is stored with 0..255, so that people can see what is on it, and the
    model is trained on those values times 1/255, the `scale` of its registry entry.
    """
    data = load_digits()
    scans = np.rint(data.images * 255 / 16).astype(np.uint8)
    split = split_data(scans[..., np.newaxis].astype(np.float32) / 255, data.target)
    return split, scans[split.origins]


def wine_data() -> tuple[Split, list[str]]:
    """Wines as float32 [n, 13], unscaled, and the names of the 13 measurements."""
    data = load_wine()
    return split_data(data.data.astype(np.float32), data.target), list(data.feature_names)


def split_data(inputs: Floats, labels: Labels) -> Split:
    """Hold out the same quarter on every run, with every class in it in proportion, in the order of the data set."""
    train, held_out = train_test_split(np.arange(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=SEED)
    held_out.sort()
    return Split(inputs[train], labels[train], inputs[held_out], labels[held_out], held_out)


def train_digits(scans: Split) -> Any:
    """A small convolutional network: [n, 8, 8, 1] to the probabilities of ten digits."""
    tf.keras.utils.set_random_seed(SEED)
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            layers.Input((8, 8, 1), name="scan"),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(48, activation="relu"),
            layers.Dense(10, activation="softmax", name="digit"),
        ]
    )
    fit(network, scans.train_inputs, scans.train_labels, epochs=40, learning_rate=2e-3)
    return network


def fine_tune_parity(trained: Path, scans: Split) -> Any:
    """The network of digits, read from `trained`, with a new head for even and odd, trained on gently."""
    tf.keras.utils.set_random_seed(SEED)
    base = tf.keras.models.load_model(trained, compile=False)
    head = tf.keras.layers.Dense(2, activation="softmax", name="parity")
    network = tf.keras.Model(base.inputs, head(base.layers[-2].output))
    fit(network, scans.train_inputs, scans.train_labels % 2, epochs=15, learning_rate=5e-4)
    return network


def train_wine(wines: Split) -> Any:
    """[n, 13] unscaled measurements to the probabilities of three cultivars; the normalisation is part of the model."""
    tf.keras.utils.set_random_seed(SEED)
    layers = tf.keras.layers
    normalization = layers.Normalization()
    normalization.adapt(wines.train_inputs)
    network = tf.keras.Sequential(
        [
            layers.Input((13,), name="measurements"),
            normalization,
            layers.Dense(16, activation="relu"),
            layers.Dense(3, activation="softmax", name="cultivar"),
        ]
    )
    fit(network, wines.train_inputs, wines.train_labels, epochs=60, learning_rate=1e-2)
    return network


def fit(network: Any, inputs: Floats, labels: Labels, *, epochs: int, learning_rate: float) -> None:
    """Train on pairs of inputs and class numbers."""
    network.compile(tf.keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy")
    network.fit(inputs, labels, batch_size=32, epochs=epochs, verbose=0)


def litert_predictions(model: Path, inputs: Floats) -> Floats:
    """What LiteRT answers to `inputs`, as the function calls it: through the signature."""
    served = Interpreter(model_path=str(model)).get_signature_runner("serving_default")
    (predictions,) = served(scan=inputs).values()
    return np.asarray(predictions, np.float32)


def check(model: str, predictions: Floats, labels: Labels, goal: float) -> None:
    """Print the share of right predictions; end the program if it is below the goal."""
    accuracy = float(np.mean(predictions.argmax(axis=1) == labels))
    print(f"  {model}: {accuracy:.3f} of {len(labels)} held-out inputs right", flush=True)
    if accuracy < goal:
        sys.exit(
            f"{model} got {accuracy:.3f} of its held-out inputs right, expected at least {goal}: nothing was written"
        )


def write_labels(artifact: Path, labels: Iterable[str]) -> None:
    """One label a line, in the order of the model's outputs."""
    (artifact / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")


def write_scans(
    model: Path, split: Split, scans: NDArray[np.uint8], per_digit: int, label: Callable[[int], str]
) -> None:
    """The first held-out scans of each digit as 8-bit grey PNG files, named by their row in the data set."""
    samples = new_folder(model / "samples")
    expected = []
    for position in first_of_each_class(split.labels, 0, per_digit):
        file = f"scan-{split.origins[position]:04}.png"
        Image.fromarray(scans[position]).save(samples / file)
        expected.append(Sample(file, 0, label(int(split.labels[position]))))
    write_expected(samples, expected)


def write_bottles(model: Path, split: Split, feature_names: Sequence[str]) -> None:
    """Held-out wines: the first of each cultivar as JSON, each in a file; the next as CSV, one alone, then the rest."""
    samples = new_folder(model / "samples")
    expected = []
    for position in first_of_each_class(split.labels, 0, BOTTLES_PER_CULTIVAR):
        file = f"bottle-{split.origins[position]:03}.json"
        body = {"instances": [measurements(split.inputs[position])]}
        (samples / file).write_text(json.dumps(body) + "\n", encoding="utf-8")
        expected.append(Sample(file, 0, CULTIVARS[split.labels[position]]))
    cellar = first_of_each_class(split.labels, BOTTLES_PER_CULTIVAR, BOTTLES_PER_CULTIVAR)
    for file, positions in ((f"bottle-{split.origins[cellar[0]]:03}.csv", cellar[:1]), ("cellar.csv", cellar[1:])):
        with (samples / file).open("w", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream, lineterminator="\n")
            rows.writerow(feature_names)
            rows.writerows(measurements(split.inputs[position]) for position in positions)
        expected += [Sample(file, row, CULTIVARS[split.labels[position]]) for row, position in enumerate(positions)]
    write_expected(samples, expected)


def measurements(row: Floats) -> list[float]:
    """The numbers of one wine as the data set prints them: 14.23, not 14.229999542236328."""
    return [float(str(number)) for number in row]


def first_of_each_class(labels: Labels, skip: int, count: int) -> list[int]:
    """Positions of `count` inputs of each class, after the first `skip` of it, in the order of the data set."""
    return sorted(int(at) for label in np.unique(labels) for at in np.flatnonzero(labels == label)[skip : skip + count])


def write_expected(samples: Path, expected: Sequence[Sample]) -> None:
    """The true labels, `expected.csv`."""
    with (samples / "expected.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(Sample._fields)
        rows.writerows(expected)


def new_folder(path: Path) -> Path:
    """Make a folder and return it."""
    path.mkdir(parents=True, exist_ok=True)
    return path


def remove_empty_folders(artifact: Path) -> None:
    """Drop folders such as a SavedModel's empty `assets`, which git does not keep."""
    for folder in [path for path in artifact.rglob("*") if path.is_dir() and not any(path.iterdir())]:
        folder.rmdir()


if __name__ == "__main__":
    sys.exit(main())
