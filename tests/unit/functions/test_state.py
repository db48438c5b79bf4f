"""What a model remembers starts anew at every call, so that a prediction depends on its own input only."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import direct, runtimes
from inference.config import Config
from inference.errors import ModelError, PredictionError
from inference.predictor import Predictor
from inference.tensors import Instances
from unit.functions.artifacts import Artifacts
from unit.functions.stateful_artifacts import FEATURES, STEPS, UNITS, build_stateful, sequences, write

SUMS = [
    *("sum.tflite", "sum_without_signature.tflite", "sum_in_loop.tflite"),
    *("sum.saved_model", "sum_in_loop.saved_model"),
]
LSTMS = ["lstm.tflite", "lstm_of_two.tflite", "lstm_without_signature.tflite", "lstm.keras"]


@pytest.fixture(scope="module")
def lstm(artifacts: Artifacts) -> Any:
    """The Keras model of these LSTMs; all of this file's models are beside the others."""
    return build_stateful(artifacts.root)


@pytest.fixture
def call(lstm: Any, make_config: Callable[..., Config]) -> Callable[[str], Callable[[Any], Any]]:
    """Direct calls of a function that serves an artifact: instances to predictions."""

    def serve(artifact: str) -> Callable[[Any], Any]:
        config = make_config(artifact)
        predictor = Predictor(config)
        return lambda rows: direct.serve({"instances": rows}, config, predictor, cold_start=False)["predictions"]

    return serve


@pytest.fixture
def upload(
    lstm: Any,
    announce: Callable[..., dict[str, Any]],
    serve: Callable[..., list[str]],
    result: Callable[[str], Any],
) -> Callable[..., list[Any]]:
    """Upload documents for an artifact in one batch; the predictions of each."""

    def uploaded(documents: list[Any], artifact: str, **fields: Any) -> list[Any]:
        keys = [f"digits/{number}.json" for number in range(len(documents))]
        messages = [announce(key, json.dumps(body).encode()) for key, body in zip(keys, documents, strict=True)]
        assert serve(messages, artifact, **fields) == []
        return [result(key)["predictions"] for key in keys]

    return uploaded


@pytest.mark.parametrize("artifact", SUMS)
def test_equal_rows_get_equal_answers_whatever_came_before(
    artifact: str, call: Callable[[str], Callable[[Any], Any]]
) -> None:
    """GIVEN a model that adds up its inputs WHEN it gets several THEN each is answered as if it were the first."""
    rows = call(artifact)
    assert np.ravel(rows([[1.0]] * 3)).tolist() == [1, 1, 1]
    assert np.ravel(rows([[1.0]])).tolist() == [1]
    assert np.ravel(rows([[5.0], [1.0]])).tolist() == [5, 1]


@pytest.mark.parametrize("artifact", ["sum_from_7.tflite", "sum_from_7.saved_model"])
def test_a_variable_starts_from_the_value_in_the_file(
    artifact: str, call: Callable[[str], Callable[[Any], Any]]
) -> None:
    rows = call(artifact)
    assert np.ravel(rows([[1.0], [1.0]])).tolist() == [8, 8]
    assert np.ravel(rows([[2.0]])).tolist() == [9]


def test_a_variable_that_is_not_in_the_file_is_the_models_fault(tmp_path: Path) -> None:
    """The converter makes such files of a function that calls a Keras model with a loop."""
    import tensorflow as tf

    model = tf.keras.Sequential([tf.keras.Input((STEPS, FEATURES)), tf.keras.layers.LSTM(UNITS)])
    function = tf.function(model, [tf.TensorSpec((1, STEPS, FEATURES), tf.float32, "x")], autograph=False)
    write(tmp_path / "lstm", tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model))
    loaded = runtimes.load("litert", tmp_path / "lstm", "serving_default")
    with pytest.raises(ModelError, match=r"LiteRT cannot run the model: .*\(READ_VARIABLE\)"):
        loaded({"x": np.ones((1, STEPS, FEATURES), np.float32)})


@pytest.mark.parametrize("artifact", ["sum.tflite", "sum.saved_model"])
def test_uploads_of_strangers_do_not_add_up(artifact: str, upload: Callable[..., list[Any]]) -> None:
    numbers = [1, 4, 1, 0]
    assert np.ravel(upload([[[number]] for number in numbers], artifact)).tolist() == numbers


def test_rows_of_a_model_with_state_share_no_call(
    make_predictor: Callable[..., Predictor], upload: Callable[..., list[Any]]
) -> None:
    """GIVEN rows that are said to be independent WHEN the model's state binds them THEN each starts anew."""
    artifact, batch = "sum_of_rows.saved_model", {"rows": 16}
    rows = make_predictor(artifact, batch=batch).rows(Instances({"x": np.array([[1], [2], [3]], np.float32)}, 3))
    assert [row["y"].item() for row in rows] == [1, 2, 3]
    assert upload([[[4]], [[5]]], artifact, batch=batch) == [[[4]], [[5]]]


@pytest.mark.parametrize("artifact", LSTMS)
def test_an_lstm_answers_as_keras_in_any_order(
    artifact: str, lstm: Any, call: Callable[[str], Callable[[Any], Any]]
) -> None:
    inputs = sequences(4)
    expected = np.concatenate([lstm(steps, training=False) for steps in inputs])
    assert np.ptp(expected, axis=0).max() > 0.1, "the model has to tell its inputs apart, or this proves nothing"
    rows = call(artifact)
    for order in ([0, 1, 2, 3], [3, 1, 0, 0, 2]):
        answers = np.reshape(rows(inputs[order, 0].tolist()), (-1, expected.shape[1]))
        np.testing.assert_allclose(answers, expected[order], atol=1e-5)


@pytest.mark.parametrize("artifact", ["lstm.tflite", "lstm.keras"])
def test_an_lstm_answers_each_upload_as_keras(artifact: str, lstm: Any, upload: Callable[..., list[Any]]) -> None:
    inputs = sequences(4)
    order = [2, 0, 0, 3, 1]
    answers = upload([inputs[index, 0].tolist() for index in order], artifact)
    for (answer,), index in zip(answers, order, strict=True):
        np.testing.assert_allclose(np.ravel(answer), lstm(inputs[index], training=False)[0], atol=1e-5)


def test_the_state_of_a_signature_beside_others_starts_anew(
    lstm: Any, make_predictor: Callable[..., Predictor]
) -> None:
    """LiteRT resets all signatures at once or none: one that was never prepared prevents it."""
    predictor = make_predictor("lstm_of_two.tflite", signature="second")
    for steps in sequences(2):
        for _ in range(2):
            answer = predictor.load()({"steps": steps})["hidden"]
            np.testing.assert_allclose(answer, lstm(steps, training=False), atol=1e-5)


def test_a_call_that_fails_leaves_nothing_behind(lstm: Any, artifacts: Artifacts) -> None:
    model = runtimes.load("litert", artifacts.folder("lstm.tflite"), "serving_default")
    first, second = sequences(2)
    expected = model({"steps": second})["hidden"]
    model({"steps": first})
    with pytest.raises(PredictionError):
        model({"steps": first[:, :, :1]})
    np.testing.assert_array_equal(model({"steps": second})["hidden"], expected)


def test_a_generator_of_random_numbers_starts_from_its_seed(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.generator = tf.random.Generator.from_seed(3)
    expected = tf.random.Generator.from_seed(3).uniform((2,)).numpy()
    draw = tf.function(lambda x: {"y": x + module.generator.uniform((2,))}, [tf.TensorSpec((2,), name="x")])
    tf.saved_model.save(module, str(tmp_path), signatures=draw)
    model = runtimes.load("tensorflow", tmp_path, "serving_default")
    for number in (0, 1, 0):
        answer = model({"x": np.full(2, number, np.float32)})["y"]
        np.testing.assert_allclose(answer, expected + number, rtol=1e-6)


def test_a_variable_of_tensorflow_1_starts_anew_or_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    for name, resource in (("resource", True), ("reference", False)):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, (1, 1))
            variable = v1.get_variable("v", (1, 1), initializer=v1.constant_initializer(7.0), use_resource=resource)
            with tf.control_dependencies([v1.assign_add(variable, x)]):
                y = variable.read_value()
            session.run(v1.global_variables_initializer())
            v1.saved_model.simple_save(session, str(tmp_path / name), {"x": x}, {"y": y})
    model = runtimes.load("tensorflow", tmp_path / "resource", "serving_default")
    assert [model({"x": np.ones((1, 1), np.float32)})["y"].item() for _ in range(3)] == [8, 8, 8]
    with pytest.raises(ModelError, match=r"keeps state between calls that cannot be reset \(op AssignAdd\)"):
        runtimes.load("tensorflow", tmp_path / "reference", "serving_default")


def test_a_table_that_remembers_inputs_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.seen = tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, 0)

    def count(x: Any) -> dict[str, Any]:
        module.seen.insert(x, module.seen.lookup(x) + 1)
        return {"times": module.seen.lookup(x)}

    signature = tf.function(count, [tf.TensorSpec((None,), tf.int64, "x")])
    tf.saved_model.save(module, str(tmp_path), signatures=signature)
    with pytest.raises(ModelError, match=r"LookupTableInsertV2.*depend on other inputs"):
        runtimes.load("tensorflow", tmp_path, "serving_default")


@pytest.mark.parametrize("runtime", ["litert", "tensorflow"])
def test_a_table_that_never_changes_is_no_state(runtime: str, tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    entries = tf.lookup.KeyValueTensorInitializer(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64))
    module.table = tf.lookup.StaticHashTable(entries, -1)
    look_up = tf.function(lambda x: {"y": module.table.lookup(x)}, [tf.TensorSpec((None,), tf.string, "x")])
    tf.saved_model.save(module, str(tmp_path), signatures=look_up)
    if runtime == "litert":
        content = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path)).convert()
        (tmp_path / "model.tflite").write_bytes(content)
    model = runtimes.load(runtime, tmp_path, "serving_default")
    for words, numbers in (([b"b", b"c"], [2, -1]), ([b"a"], [1])):
        assert model({"x": np.array(words, object)})["y"].tolist() == numbers


@pytest.fixture
def interpreters(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with LiteRT's interpreters: `new` and `reset`."""
    from ai_edge_litert.interpreter import Interpreter

    done: list[str] = []
    for name, method in {"new": "__init__", "reset": "reset_all_variables"}.items():
        do = getattr(Interpreter, method)

        def noted(*arguments: Any, name: str = name, do: Any = do, **options: Any) -> Any:
            done.append(name)
            return do(*arguments, **options)

        monkeypatch.setattr(Interpreter, method, noted)
    return done


@pytest.mark.parametrize(
    ("artifact", "per_call"),
    [
        ("double.tflite", []),
        ("scans.tflite", []),
        ("lstm.tflite", ["reset"]),
        ("lstm_without_signature.tflite", ["reset"]),
        ("lstm_of_two.tflite", ["new"]),
        ("sum.tflite", ["new"]),
    ],
)
def test_only_a_model_with_state_pays_for_it(
    artifact: str, per_call: list[str], lstm: Any, artifacts: Artifacts, interpreters: list[str]
) -> None:
    model = runtimes.load("litert", artifacts.folder(artifact), "serving_default")
    (spec,) = model.inputs
    zeros = np.zeros([length or 1 for length in spec.shape or ()], spec.dtype)
    interpreters.clear()
    for _ in range(2):
        model({spec.name: zeros})
    assert interpreters == per_call * 2


def test_a_model_that_assigns_to_nothing_has_nothing_to_restore(lstm: Any, artifacts: Artifacts) -> None:
    from inference.runtimes.tensorflow import TensorFlowModel

    for artifact, restores in {"scans.saved_model": False, "scans.keras": False, "sum.saved_model": True}.items():
        model = runtimes.load("tensorflow", artifacts.folder(artifact), "serving_default")
        assert isinstance(model, TensorFlowModel)
        assert bool(model._start) == restores


def test_onnx_runtime_keeps_nothing_between_calls(make_config: Callable[..., Config], tmp_path: Path) -> None:
    """What a loop carries is of one call; ONNX has no variables."""
    import onnx

    from unit.functions.onnx_artifacts import graph

    text = """
        (float[N] x) => (float last, float[N] sums) <float zero = {0}> {
            last, sums = Scan <num_scan_inputs = 1, body = add (float before, float number) => (float sum, float out) {
                sum = Add (before, number)
                out = Identity (sum)
            }> (zero, x)
        }
    """
    onnx.save_model(graph(text), tmp_path / "model.onnx")
    predictor = Predictor(replace(make_config("double.onnx"), artifact=tmp_path))
    for numbers in ([1, 2, 3], [5], [1, 1]):
        answer = predictor.load()({"x": np.array(numbers, np.float32)})
        assert answer["sums"].tolist() == np.cumsum(numbers).tolist()
