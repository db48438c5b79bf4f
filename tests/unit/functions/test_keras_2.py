"""Files of Keras 2 answer as they did in Keras 2, and no code in them is run."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from inference import runtimes
from inference.errors import ModelError
from unit.functions import keras_2_models

#: Written by TensorFlow 2.15.1; MobileNet is too large to be among them.
WRITTEN = Path(__file__).parent / "keras_2_15"
FILES = [(name, file) for name, files in keras_2_models.FILES.items() for file in files if name != "mobilenet"]

Artifact = Callable[[Path], Path]


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """Makes an artifact of a model file or a SavedModel."""

    def make(path: Path) -> Path:
        folder = tmp_path / "artifact"
        if path.is_dir():
            return shutil.copytree(path, folder)
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder)
        return folder

    return make


def assert_answers_as_in_keras_2(artifact: Path, written: Path) -> None:
    """The model has the inputs and outputs of `answers.npz`, also when it is called again."""
    model = runtimes.load("tensorflow", artifact, "serving_default")
    inputs, outputs = keras_2_models.answers(written)
    assert {spec.name: spec.dtype for spec in model.inputs} == {name: array.dtype for name, array in inputs.items()}
    for _ in range(2):
        answered = model(inputs)
        if "saved_model" in artifact.parts or len(outputs) == 1:
            answered = dict(zip(outputs, answered.values(), strict=True))
        assert answered.keys() == outputs.keys()
        for name, array in outputs.items():
            np.testing.assert_allclose(answered[name], array, atol=1e-6)


@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_model_answers_as_in_keras_2(name: str, file: str, artifact: Artifact) -> None:
    assert_answers_as_in_keras_2(artifact(WRITTEN / name / file), WRITTEN / name)


def test_a_mobilenet_answers_as_in_keras_2(tmp_path: Path, artifact: Artifact) -> None:
    import tf_keras

    keras_2_models.write(tmp_path, tf_keras, ("mobilenet",))
    assert_answers_as_in_keras_2(artifact(tmp_path / "mobilenet" / "model.h5"), tmp_path / "mobilenet")


def test_the_files_are_of_keras_2_15() -> None:
    for file in WRITTEN.rglob("model.*"):
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                version = json.loads(archive.read("metadata.json"))["keras_version"]
        else:
            with h5py.File(file) as hdf5:
                version = hdf5.attrs["keras_version"]
        assert version == "2.15.0", file


def changed(written: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a Keras file with another config."""
    file = folder / written.name
    if not zipfile.is_zipfile(written):
        shutil.copy(written, file)
        with h5py.File(file, "r+") as hdf5:
            config = json.loads(hdf5.attrs["model_config"])
            change(config)
            hdf5.attrs["model_config"] = json.dumps(config)
        return file
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return file


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_code_in_a_file_of_keras_2_is_not_run(
    name: str, tmp_path: Path, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tf_keras

    ran = tmp_path / "ran"
    monkeypatch.setenv("RAN", str(ran))
    # The file holds the code alone, without what is around it here.
    code = tf_keras.layers.Lambda(
        lambda x: (__import__("pathlib").Path(__import__("os").environ["RAN"]).write_text(""), x)[1]
    )
    model = tf_keras.Sequential([tf_keras.Input((3,)), code])
    assert ran.exists(), "the code has to leave a trace, or finding none proves nothing"
    model.save(tmp_path / name)
    ran.unlink()
    with pytest.raises(ModelError, match=rf"{name} contains Python code \(a Lambda layer\), which is not run"):
        runtimes.load("tensorflow", artifact(tmp_path / name), "serving_default")
    assert not ran.exists()


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize(
    ("layer", "change", "says"),
    [
        ("dense", {"activation": {"module": "os", "class_name": "function", "config": "remove"}}, "code of os.remove"),
        ("dense", {"activation": {"module": "own.code", "class_name": "Gate", "config": {}}}, "code of own.code.Gate"),
        (
            "dense",
            {"activation": {"module": "keras.src.utils.io_utils", "class_name": "function", "config": "os.remove"}},
            "code of keras.src.utils.io_utils.os.remove",
        ),
        ("tf.nn.relu", {"function": "compat.v1.write_file"}, "calls tf.compat.v1.write_file while"),
        ("tf.nn.relu", {"function": "print"}, "calls tf.print while"),
        ("tf.nn.relu", {"function": "rpc_client"}, "calls tf.rpc_client while"),
        ("tf.nn.relu", {"function": "io.gfile.remove"}, "calls tf.io.gfile.remove while it is loaded, which is not"),
        ("tf.nn.relu", {"function": "load_library"}, "calls tf.load_library while"),
        ("tf.nn.relu", {"function": "keras.models.load_model"}, "calls tf.keras.models.load_model while"),
        (
            "tf.nn.relu",
            {"function": "no_such"},
            r"Keras 2\.15\.0 wrote model\.\w+, and tf-keras cannot load it: .*no_such.*; publish its SavedModel",
        ),
    ],
)
def test_what_a_file_of_keras_2_asks_for_beside_layers_that_compute_is_named(
    name: str, layer: str, change: dict[str, Any], says: str, tmp_path: Path, artifact: Artifact
) -> None:
    def exchange(config: Any) -> None:
        (found,) = (one for one in config["config"]["layers"] if one["config"]["name"].startswith(layer))
        found["config"] |= change

    file = changed(WRITTEN / "functional" / name, tmp_path, exchange)
    with pytest.raises(ModelError, match=says):
        runtimes.load("tensorflow", artifact(file), "serving_default")


def test_settings_of_training_are_not_looked_at(tmp_path: Path, artifact: Artifact) -> None:
    def compiled(config: Any) -> None:
        config["compile_config"] = {"loss": {"module": "own.code", "class_name": "function", "config": "loss"}}

    written = WRITTEN / "functional"
    assert_answers_as_in_keras_2(artifact(changed(written / "model.keras", tmp_path, compiled)), written)


ARGUMENTS = {"DepthwiseConv2D": {"groups": 1}, "Conv2DTranspose": {"groups": 1}, "LSTM": {"time_major": False}}


def test_a_file_of_keras_3_may_have_arguments_of_keras_2_that_change_nothing(
    tmp_path: Path, artifact: Artifact
) -> None:
    import tensorflow as tf

    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            *(tf.keras.Input((4, 4, 1), name="x"), layers.DepthwiseConv2D(2), layers.Conv2DTranspose(2, 2)),
            *(layers.Reshape((4, 8)), layers.LSTM(2), layers.Dense(2)),
        ]
    )
    model.save(tmp_path / "model.h5")
    x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(2, 4, 4, 1)

    def add(config: Any, **more: Any) -> None:
        for layer in config["config"]["layers"]:
            layer["config"].update(ARGUMENTS.get(layer["class_name"], {}))
            layer["config"].update(more if layer["class_name"] == "LSTM" else {})

    (tmp_path / "changed").mkdir()
    loaded = runtimes.load(
        "tensorflow", artifact(changed(tmp_path / "model.h5", tmp_path / "changed", add)), "serving_default"
    )
    np.testing.assert_allclose(loaded({"x": x})["output_0"], model(x, training=False), atol=1e-6)

    file = changed(tmp_path / "model.h5", tmp_path / "changed", lambda config: add(config, time_major=True))
    with pytest.raises(ModelError, match=r"Keras cannot load model.h5: .*'time_major': True"):
        runtimes.load("tensorflow", artifact(file), "serving_default")
