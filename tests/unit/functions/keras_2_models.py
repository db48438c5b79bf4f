"""Models of Keras 2, and files of them with the answers that Keras 2 gives.

`python keras_2_models.py FOLDER [MODEL …]` writes the files with the TensorFlow that runs it, one that includes Keras
2. Those in `keras_2_15` were written so by TensorFlow 2.15.1, the last such version, which Python 3.12 and later do not
have. `make soak` writes all of them anew (tests/endurance/test_old_models.py).
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: The files of each model. Keras 2 wrote HDF5 into `.keras` files until 2.11, and still does if asked to.
FILES = {
    "image": ("model.h5", "model.keras", "hdf5/model.keras"),
    "sequence": ("model.h5", "model.keras"),
    "functional": ("model.h5", "model.keras"),
    "stateful": ("model.h5",),
    "mobilenet": ("model.h5", "model.keras"),
    "trained": ("saved_model",),
}

Answers = dict[str, np.ndarray[Any, Any]]


def models(keras: Any) -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """Models and inputs of each, by name; `keras` is Keras 2."""
    import tensorflow as tf

    layers, random = keras.layers, np.random.default_rng(5)
    image = keras.Sequential(
        [
            keras.Input((8, 8, 2), name="image"),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.BatchNormalization(),
            layers.SeparableConv2D(3, 3),
            layers.Conv2DTranspose(2, 3, strides=2),
            layers.ReLU(6.0),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    sequence = keras.Sequential(
        [
            keras.Input((5, 3), name="steps"),
            layers.LSTM(4, recurrent_activation="hard_sigmoid", return_sequences=True),
            layers.Bidirectional(layers.GRU(3)),
            layers.Dense(2, "hard_sigmoid"),
        ]
    )
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((3,), name="b", dtype="int32")}
    total = layers.Dense(3)(inputs["a"]) / 2 + tf.cast(inputs["b"], tf.float32)
    functional = keras.Model(inputs, {"p": tf.nn.relu(total), "q": tf.reduce_mean(total[:, 1:], axis=1)})
    steps = keras.Input(batch_shape=(1, 3, 2), name="steps")
    stateful = keras.Model(steps, layers.LSTM(2, stateful=True)(steps))
    mobilenet = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, classes=4)
    trained = keras.Sequential([keras.Input((3,), name="row"), layers.Dense(4, "relu"), layers.Dense(2)])
    pictures = random.random((2, 32, 32, 3), np.float32)
    found: dict[str, tuple[Any, Mapping[str, Any]]] = {
        "image": (image, {"image": random.random((2, 8, 8, 2), np.float32)}),
        "sequence": (sequence, {"steps": random.standard_normal((2, 5, 3), np.float32)}),
        "functional": (
            functional,
            {"a": random.standard_normal((2, 3), np.float32), "b": np.array([[1, 2, -3], [0, 5, 9]], np.int32)},
        ),
        "stateful": (stateful, {"steps": random.standard_normal((1, 3, 2), np.float32)}),
        "mobilenet": (mobilenet, {mobilenet.input_names[0]: pictures}),
        "trained": (trained, {"row": random.standard_normal((2, 3), np.float32)}),
    }
    for model, _ in found.values():
        # As random as trained ones: of those that Keras begins with, many are 0 or 1.
        model.set_weights([_weight(variable, random) for variable in model.weights])
    trained.compile(keras.optimizers.legacy.Adam(), "mse")
    trained.fit(found["trained"][1]["row"], np.ones((2, 2)), verbose=0)
    return found


def write(folder: Path, keras: Any, only: tuple[str, ...] = tuple(FILES)) -> None:
    """Write each model's files below `folder/<name>`, and `answers.npz`: its inputs and outputs, by name."""
    for name, (model, inputs) in models(keras).items():
        if name not in only:
            continue
        for file in FILES[name]:
            path = folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = "h5" if file.startswith("hdf5") else "tf" if file == "saved_model" else None
            model.save(path, save_format=kind)
        given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
        outputs = model(given, training=False)
        named = outputs if isinstance(outputs, dict) else {"output_0": outputs}
        np.savez(
            folder / name / "answers.npz",
            allow_pickle=False,
            **{f"input/{key}": value for key, value in inputs.items()},
            **{f"output/{key}": np.asarray(value) for key, value in named.items()},
        )


def answers(folder: Path) -> tuple[Answers, Answers]:
    """The inputs and outputs in an `answers.npz`."""
    with np.load(folder / "answers.npz") as arrays:
        found = {key: arrays[key] for key in arrays.files}
    inputs, outputs = (
        {key.removeprefix(kind): value for key, value in found.items() if key.startswith(kind)}
        for kind in ("input/", "output/")
    )
    return inputs, outputs


def _weight(variable: Any, random: np.random.Generator) -> np.ndarray[Any, Any]:
    name, shape = variable.name, tuple(variable.shape)
    if "variance" in name or "gamma" in name:
        return random.uniform(0.5, 1.5, shape)
    # As He et al. do it, so that the numbers keep their size from layer to layer.
    terms = np.prod(shape[:2] if "depthwise" in name else shape[:-1])
    return random.uniform(-1, 1, shape) * np.sqrt(6 / terms) if len(shape) > 1 else random.uniform(-0.2, 0.2, shape)


if __name__ == "__main__":
    import tensorflow as tf

    write(Path(sys.argv[1]), tf.keras, tuple(sys.argv[2:]) or tuple(FILES))
