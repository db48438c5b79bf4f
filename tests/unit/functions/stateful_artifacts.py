"""Models that remember what they are given, in every form that keeps a state."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unit.functions.tflite_files import changed, without_signature

#: Steps and features of the LSTM's inputs, and its units.
STEPS, FEATURES, UNITS = 6, 4, 5


def build_stateful(root: Path) -> Any:
    """Make the models below a folder; gives the Keras LSTM whose weights `lstm.*.tflite` have."""
    import tensorflow as tf

    row = [tf.TensorSpec((1, 1), tf.float32, "x")]

    def sum_from(first: float) -> tuple[Any, Any]:
        """A model that adds each input to the sum of all so far, and gives that."""
        module = tf.Module()
        module.sum = tf.Variable([[first]])

        def add(x: Any) -> dict[str, Any]:
            module.sum.assign_add(x)
            return {"y": module.sum.read_value()}

        return module, tf.function(add, row)

    def sum_in_loop() -> tuple[Any, Any]:
        """The same, where an op of a branch within a loop does it."""
        module = tf.Module()
        module.sum = tf.Variable([[0.0]])

        def add(x: Any) -> dict[str, Any]:
            for _ in tf.range(1):
                if tf.reduce_sum(x) > 0:
                    module.sum.assign_add(x)
            return {"y": module.sum.read_value()}

        return module, tf.function(add, row)

    def sum_of_rows() -> tuple[Any, Any]:
        """One that adds up all rows of a call, and gives each the sum."""
        module = tf.Module()
        module.sum = tf.Variable(0.0)

        def add(x: Any) -> dict[str, Any]:
            module.sum.assign_add(tf.reduce_sum(x))
            return {"y": tf.fill(tf.shape(x), module.sum.read_value())}

        return module, tf.function(add, [tf.TensorSpec((None, 1), tf.float32, "x")])

    module, function = sum_of_rows()
    tf.saved_model.save(module, str(root / "sum_of_rows.saved_model"), signatures=function)
    for name, (module, function) in {
        "sum": sum_from(0.0),
        "sum_from_7": sum_from(7.0),
        "sum_in_loop": sum_in_loop(),
    }.items():
        saved = root / f"{name}.saved_model"
        tf.saved_model.save(module, str(saved), signatures=function)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        converter.experimental_enable_resource_variables = True
        write(root / f"{name}.tflite", converter)
    tf.keras.utils.set_random_seed(3)
    layers = [tf.keras.Input((STEPS, FEATURES), batch_size=1, name="steps"), tf.keras.layers.LSTM(UNITS)]
    lstm = tf.keras.Sequential(layers)
    function = fused_lstm(lstm.get_weights())
    saved = root / "lstm.saved_model"
    tf.saved_model.save(tf.Module(), str(saved), signatures={"serving_default": function, "second": function})
    first = ["serving_default"]
    write(root / "lstm.tflite", tf.lite.TFLiteConverter.from_saved_model(str(saved), first))
    write(root / "lstm_of_two.tflite", tf.lite.TFLiteConverter.from_saved_model(str(saved), [*first, "second"]))
    for name in ("sum", "lstm"):
        bare = root / f"{name}_without_signature.tflite"
        changed(Path(shutil.copytree(root / f"{name}.tflite", bare)), without_signature)
    stateful = tf.keras.Sequential([layers[0], tf.keras.layers.LSTM(UNITS, stateful=True)])
    stateful.set_weights([*lstm.get_weights(), *stateful.get_weights()[3:]])
    (root / "lstm.keras").mkdir()
    stateful.save(root / "lstm.keras" / "model.keras")
    return lstm


def fused_lstm(weights: list[Any]) -> Any:
    """The function of an LSTM with these weights of Keras's, marked as Keras 2 does: LiteRT gets one op of it."""
    import tensorflow as tf

    kernel, recurrent, bias = map(tf.constant, weights)
    zeros = tf.zeros((1, UNITS))

    def loop(steps: Any, hidden: Any, cell: Any, kernel: Any, recurrent: Any, bias: Any) -> tuple[Any, ...]:
        outputs = []
        for step in range(STEPS):
            gates = tf.split(steps[:, step] @ kernel + hidden @ recurrent + bias, 4, axis=1)
            cell = tf.sigmoid(gates[1]) * cell + tf.sigmoid(gates[0]) * tf.tanh(gates[2])
            hidden = tf.sigmoid(gates[3]) * tf.tanh(cell)
            outputs.append(hidden)
        return hidden, tf.stack(outputs, 1), hidden, cell, tf.constant(1.0)

    marks: Mapping[str, Any] = {"api_implements": "lstm_1", "time_major": False, "go_backwards": False}
    marked = tf.function(loop, autograph=False, experimental_attributes=marks)
    return tf.function(
        lambda steps: {"hidden": marked(steps, zeros, zeros, kernel, recurrent, bias)[0]},
        [tf.TensorSpec((1, STEPS, FEATURES), tf.float32, "steps")],
        autograph=False,
    )


def write(folder: Path, converter: Any) -> None:
    """Convert a model to the `.tflite` file of an artifact."""
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(converter.convert())


def sequences(count: int) -> Any:
    """Inputs of the LSTM that it answers differently."""
    return np.random.default_rng(5).normal(0, 1, (count, 1, STEPS, FEATURES)).astype(np.float32)
