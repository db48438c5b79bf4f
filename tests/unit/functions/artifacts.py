"""Real models, small ones, made with Keras, tf.function, scikit-learn and in ONNX's own notation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.config import InputConfig
from inference.predictor import Predictor
from inference.tensors import from_request
from unit.functions.onnx_artifacts import build_onnx


@dataclass(frozen=True)
class Artifacts:
    """Folders with one model each, as weights_sync leaves them, and the models themselves to compare with."""

    root: Path
    #: (None, 8, 8, 1) → 10 probabilities.
    scans: Any
    #: a (None, 3) and b (None, 2) → p (None, 2) and q (None, 1).
    two: Any

    def folder(self, name: str) -> Path:
        """The folder of one artifact."""
        return self.root / name


def runtime_of(artifact: str) -> str:
    """The runtime of an artifact of these tests."""
    return {"tflite": "litert", "onnx": "onnx"}.get(artifact.rpartition(".")[2], "tensorflow")


def answer(predictor: Predictor, **inputs: Any) -> dict[str, Any]:
    """What a predictor answers to a request that gives whole tensors."""
    outputs = predictor.outputs(from_request({"inputs": inputs}, predictor.inputs, InputConfig("json")))
    return {name: array.tolist() for name, array in outputs.items()}


def build(root: Path) -> Artifacts:
    """Make every model of these tests below a folder, in every form that a runtime takes."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(7)
    layers = tf.keras.layers

    def folder(name: str) -> Path:
        path = root / name
        path.mkdir()
        return path

    scans = tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 1), name="scan"),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    a, b = tf.keras.Input((3,), name="a"), tf.keras.Input((2,), name="b")
    joined = layers.Concatenate()([a, b])
    outputs = {"p": layers.Dense(2, name="p")(joined), "q": layers.Dense(1, name="q")(joined)}
    two = tf.keras.Model({"a": a, "b": b}, outputs)
    odds = tf.keras.Sequential([tf.keras.Input((3,), name="x"), layers.Dense(1, activation="sigmoid")])

    odds.export(str(folder("odds.saved_model")), verbose=False)
    scans.save(folder("scans.keras") / "model.keras")
    scans.save(folder("scans.h5") / "model.h5")
    scans.save(folder("scans.hdf5") / "model.hdf5")
    scans.export(str(folder("scans.saved_model")), verbose=False)
    two.save(folder("two.keras") / "model.keras")
    two.save(folder("two.h5") / "model.h5")
    two.export(str(folder("two.saved_model")), verbose=False)

    pixels = tf.keras.Input((2, 2, 1), batch_size=1, dtype="uint8", name="pixels")
    shares = layers.Flatten()(layers.Rescaling(1 / 255)(pixels))
    tf.keras.Model(pixels, shares).save(folder("pixels.keras") / "model.keras")
    word = tf.keras.Input((), dtype="string", name="word")
    number = layers.StringLookup(vocabulary=["red", "green"])(word)
    tf.keras.Model(word, {"number": [number, number + 1], "word": word}).save(folder("words.keras") / "model.keras")

    def write_tflite(name: str, converter: Any) -> None:
        (folder(name) / "model.tflite").write_bytes(converter.convert())

    write_tflite("scans.tflite", tf.lite.TFLiteConverter.from_keras_model(scans))
    write_tflite("two.tflite", tf.lite.TFLiteConverter.from_keras_model(two))
    write_tflite("odds.tflite", tf.lite.TFLiteConverter.from_keras_model(odds))

    generator = np.random.default_rng(7)
    for outside in (tf.int8, tf.uint8):
        quantized = tf.lite.TFLiteConverter.from_keras_model(scans)
        quantized.optimizations = [tf.lite.Optimize.DEFAULT]
        samples = [[generator.random((1, 8, 8, 1), dtype=np.float32)] for _ in range(50)]
        quantized.representative_dataset = lambda samples=samples: samples
        quantized.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        quantized.inference_input_type = quantized.inference_output_type = outside
        write_tflite(f"scans.{outside.name}.tflite", quantized)
    small_weights = tf.lite.TFLiteConverter.from_keras_model(scans)
    small_weights.optimizations = [tf.lite.Optimize.DEFAULT]
    write_tflite("scans.weights.tflite", small_weights)

    def function(call: Callable[[Any], Any], name: str, shape: tuple[int | None, ...], dtype: Any = tf.float32) -> Any:
        """A function with one named input, for a signature."""
        return tf.function(call, input_signature=[tf.TensorSpec(shape, dtype, name=name)])

    double = function(lambda x: {"doubled": x * 2.0}, "x", (1, 3)).get_concrete_function()
    write_tflite("double.tflite", tf.lite.TFLiteConverter.from_concrete_functions([double]))

    wide = function(lambda x: {"y": x * tf.range(1000.0) / 7}, "x", (1, 1)).get_concrete_function()
    write_tflite("wide.tflite", tf.lite.TFLiteConverter.from_concrete_functions([wide]))

    module = tf.Module()
    module.table = tf.constant([10.0, 20.0, 30.0])

    def look_up(index: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_less(index, 3, message="no such row")]):
            return {"value": tf.gather(module.table, index)}

    def shout(text: Any) -> Any:
        return {"loud": tf.strings.upper(text), "loud_bytes": tf.strings.upper(text)}

    def kinds(text: Any, half: Any, flag: Any, small: Any, large: Any, exact: Any) -> Any:
        # LiteRT has no arithmetic of these types but that of int64.
        return {
            "said": tf.identity(text),
            "halves": tf.cast(tf.cast(half, tf.float32) * 2.0, tf.float16),
            "turned": tf.logical_not(flag),
            "kept": tf.identity(small),
            "twice": large + large,
            "same": tf.identity(exact),
        }

    def lengths(tokens: Any, padding: Any) -> Any:
        return {"length": tf.reduce_sum(tf.cast(tf.not_equal(tokens, padding), tf.int32), axis=1)}

    types = {
        "text": tf.string,
        "half": tf.float16,
        "flag": tf.bool,
        "small": tf.uint8,
        "large": tf.int64,
        "exact": tf.float64,
    }
    tokens, padding = tf.TensorSpec((None, None), tf.int32, "tokens"), tf.TensorSpec((), tf.int32, "padding")
    signatures = {
        "kinds": tf.function(kinds, [tf.TensorSpec((None,), dtype, name) for name, dtype in types.items()]),
        "lengths": tf.function(lengths, [tokens, padding]),
        "look_up": function(look_up, "index", (None,), tf.int32),
        "reciprocal": function(lambda x: {"y": 1.0 / x}, "x", (None, 2)),
        "shout": function(shout, "text", (None,), tf.string),
        "thrice": function(lambda x: {"y": 3.0 * x}, "x", (3,)),
        "total": function(lambda x: {"sum": tf.reduce_sum(x)}, "x", (3,)),
    }
    tf.saved_model.save(module, str(folder("signatures.saved_model")), signatures=signatures)
    several = tf.lite.TFLiteConverter.from_saved_model(str(root / "signatures.saved_model"), ["kinds", "lengths"])
    write_tflite("signatures.tflite", several)
    build_onnx(root, scans, two)
    return Artifacts(root, scans, two)
