"""Whether a model's rows are independent of each other: models that mix them, and models that do not, tell apart."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf

from inference import runtimes
from inference.errors import ModelError, PredictionError
from inference.runtimes import Array, Model, Specs, TensorSpec
from modelctl.importing import inputs, rows
from modelctl.importing.rows import Finding
from unit.functions.artifacts import Artifacts, runtime_of
from unit.functions.onnx_artifacts import graph

FLOAT = np.dtype(np.float32)
WEIGHTS = np.random.default_rng(4)


def measured(model: Model, given: list[inputs.Tensors] | None = None, most: int = 65) -> Finding:
    candidates = inputs.different_rows(given or [], model.inputs, crossed=65, made_up=195)
    return rows.measure(model, candidates, most)


def onnx_model(folder: Path, text: str, weights: Mapping[str, Any] | None = None) -> Model:
    onnx.save_model(graph(text, weights), folder / "model.onnx")
    return runtimes.load("onnx", folder, "serving_default")


def tensorflow_model(folder: Path, call: Callable[[Any], Any], shape: tuple[int | None, ...]) -> Model:
    signature = tf.function(lambda x: {"y": call(x)}, [tf.TensorSpec(shape, tf.float32, "x")])
    tf.saved_model.save(tf.Module(), str(folder), signatures=signature)
    return runtimes.load("tensorflow", folder, "serving_default")


def litert_model(folder: Path, call: Callable[[Any], Any], shape: tuple[int | None, ...]) -> Model:
    signature = tf.function(lambda x: {"y": call(x)}, [tf.TensorSpec(shape, tf.float32, "x")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([signature.get_concrete_function()])
    (folder / "model.tflite").write_bytes(converter.convert())
    return runtimes.load("litert", folder, "serving_default")


class Rowwise:
    """A model of one input and one output that is a function of NumPy."""

    bytes_per_call = 0

    def __init__(self, call: Callable[[Array], Array], shape: tuple[int | None, ...] = (None, 3)) -> None:
        self._call = call
        self.inputs: Specs = (TensorSpec("x", shape, FLOAT),)
        self.outputs: Specs = (TensorSpec("y", None, FLOAT),)

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        return {"y": self._call(tensors["x"])}


# --- models that mix rows ---------------------------------------------------------------------------------------------

#: From the row FIRST on, each row has the mean of all rows added.
FROM = """
    (float[N, 3] x) => (float[N, 3] y) {
        head = Slice (x, start, first, axis)
        tail = Slice (x, first, end, axis)
        mean = ReduceMean <axes = [0]> (x)
        mixed = Add (tail, mean)
        y = Concat <axis = 0> (head, mixed)
    }
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(float[N] x) => (float[N] y) <int64 axis = {0}> { y = CumSum (x, axis) }", "row 2 of a call of 2 differs"),
        ("(float[N] x) => (float s) { s = ReduceSum <keepdims = 0> (x) }", r"s has the shape \[\] for one row"),
        ("(float[N, 3] x) => (float[1, 1] s) { s = ReduceSum (x) }", r"s has the shape \[1, 1\] for 2 rows"),
        ("(float[N, 4] x) => (int64[M, 2] y) { z = NonZero (x) y = Transpose (z) }", r"y has the shape .* for one row"),
        ("(float[1, 4] x) => (int64[M, 2] y) { z = NonZero (x) y = Transpose (z) }", r"y has the shape .* for one row"),
        (
            "(float[n, 8] a, float[m, 8] b) => (float[n, m] s) { t = Transpose (b) s = MatMul (a, t) }",
            r"s has the shape \[2, 2\] for 2 rows",
        ),
        (
            "(float[N, 3] x) => (float[N, 3] y) { m = ReduceMean <axes = [0]> (x) y = Sub (x, m) }",
            "of a call of 2 differs",
        ),
        (
            "(float[N, 3] x) => (float[N, 3] y) { q, s, z = DynamicQuantizeLinear (x) y = DequantizeLinear (q, s, z) }",
            "of a call of 2 differs",
        ),
        ("(float[N, 3] x, float scale) => (float[N, 3] y) { y = Mul (x, scale) }", "no first dimension in common"),
        ("(float[4, 3] x, float[2] s) => (float[4, 3] y, float[2] t) { y = Abs (x) t = Abs (s) }", "no first dim"),
        ("(float[4] x) => (float[4] y) <int64 axis = {0}> { y = CumSum (x, axis) }", "of a call of 4 differs"),
        ("(float[4] x) => (float[1] s) { s = ReduceSum <keepdims = 1> (x) }", r"s has the shape \[1\] for 4 rows"),
    ],
)
def test_a_graph_that_mixes_rows_or_has_none_is_found(text: str, says: str, tmp_path: Path) -> None:
    finding = measured(onnx_model(tmp_path, text))
    assert finding.independent is False
    assert re.search(says, finding.says)


@pytest.mark.parametrize(("first", "size"), [(16, 17), (32, 65)])
def test_a_graph_that_mixes_rows_from_some_number_on_is_found(first: int, size: int, tmp_path: Path) -> None:
    places = {"start": [0], "first": [first], "end": [2**31], "axis": [0]}
    finding = measured(onnx_model(tmp_path, FROM, {name: np.array(place) for name, place in places.items()}))
    assert finding.independent is False
    assert f"of a call of {size} differs by" in finding.says


def test_a_sequence_whose_first_dimension_is_time_is_found(tmp_path: Path) -> None:
    weights = {
        "w": WEIGHTS.standard_normal((1, 12, 4), np.float32),
        "r": WEIGHTS.standard_normal((1, 12, 3), np.float32),
    }
    text = "(float[S, 1, 4] x) => (float[S, 1, 1, 3] y) { y = LSTM <hidden_size = 3> (x, w, r) }"
    finding = measured(onnx_model(tmp_path, text, weights))
    assert finding.independent is False
    assert "row 2 of a call of 2 differs" in finding.says


@pytest.mark.parametrize("make", [tensorflow_model, litert_model])
def test_models_of_tensorflow_that_look_at_the_whole_batch_are_found(make: Any, tmp_path: Path) -> None:
    whole = {
        "standardizes": lambda x: (x - tf.reduce_mean(x, 0)) / (tf.math.reduce_std(x, 0) + 1e-6),
        "sums": lambda x: tf.cumsum(x),
    }
    for name, call in whole.items():
        (tmp_path / name).mkdir()
        finding = measured(make(tmp_path / name, call, (None, 2)))
        assert finding.independent is False, name
        assert "of a call of 2 differs" in finding.says


def test_a_little_of_the_neighbours_is_seen_where_as_much_would_be_rounding() -> None:
    mixing = measured(Rowwise(lambda x: x + x.mean() * np.float32(1e-3)))
    assert mixing.independent is False
    assert "when the rows beside it change" in mixing.says
    rounding = measured(Rowwise(lambda x: x * np.float32(1 + 1e-3 * (len(x) > 1))))
    assert rounding.independent is True
    assert "(largest relative difference 0.001)" in rounding.says


# --- models whose rows are independent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "scans.onnx",
        "two.onnx",
        "classifier.onnx",
        "kinds.onnx",
        "look_up.onnx",
        "images.onnx",
        "sentences.onnx",
        "scans.keras",
        "words.keras",
        "two.saved_model",
        "scans.tflite",
        "scans.int8.tflite",
        "two.tflite",
    ],
)
def test_independent_rows_of_many_kinds_are_found_to_be(name: str, artifacts: Artifacts) -> None:
    finding = measured(runtimes.load(runtime_of(name), artifacts.folder(name), "serving_default"))
    assert finding.says.startswith("calls of 2, 17 and 65 rows give the same answers as calls of one")
    assert finding == Finding(True, finding.says, most=65)


def test_a_forest_and_the_classes_that_it_names_are_independent(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    features = WEIGHTS.standard_normal((60, 4)).astype(np.float32)
    classes = np.where(features[:, 0] > 0, "above", "below")
    forest = RandomForestClassifier(5, random_state=0).fit(features, classes)
    onnx.save_model(to_onnx(forest, features[:1], options={"zipmap": False}), tmp_path / "model.onnx")
    assert measured(runtimes.load("onnx", tmp_path, "serving_default")).independent is True


def test_an_embedding_is_independent_and_given_rows_are_what_it_is_called_with(tmp_path: Path) -> None:
    text = "(int64[N, L] x) => (float[N, L, 2] y) { y = Gather (table, x) }"
    model = onnx_model(tmp_path, text, {"table": WEIGHTS.standard_normal((5, 2), np.float32)})
    given = [{"x": np.array([tokens])} for tokens in ([0, 1, 2], [4, 3, 2], [1, 1, 0])]
    assert measured(model, given).independent is True


def test_a_call_of_one_row_has_nothing_to_compare(tmp_path: Path) -> None:
    (tmp_path / "fixed").mkdir()
    (tmp_path / "open").mkdir()
    fixed = measured(onnx_model(tmp_path / "fixed", "(float[1, 3] x) => (float[1, 3] y) { y = Abs (x) }"))
    assert (fixed.independent, fixed.most) == (True, 1)
    refuses = "(float[N, 3] x) => (float[N, 3] y) { y = Reshape (x, one) }"
    refusing = measured(onnx_model(tmp_path / "open", refuses, {"one": np.array([1, 3])}))
    assert (refusing.independent, refusing.most) == (True, 1)
    assert refusing.says == "the model takes one row per call and refuses more"


def test_a_row_of_a_call_of_one_may_have_an_answer_of_any_length(tmp_path: Path) -> None:
    text = """
        (float[1, 4] x) => (int64[1, D, 2] y) <int64 axis = {0}> {
            positive = Relu (x) places = NonZero (positive) pairs = Transpose (places) y = Unsqueeze (pairs, axis)
        }
    """
    finding = measured(onnx_model(tmp_path, text))
    assert (finding.independent, finding.most) == (True, 1)


def test_a_fixed_batch_is_measured_beside_other_rows(tmp_path: Path) -> None:
    finding = measured(onnx_model(tmp_path, "(float[4, 3] x) => (float[4, 3] y) { y = Abs (x) }"))
    assert (finding.independent, finding.most, finding.fixed) == (True, 4, True)


def test_no_call_is_larger_than_may_be() -> None:
    sizes = []

    def call(x: Array) -> Array:
        sizes.append(len(x))
        return x

    assert measured(Rowwise(call), most=20).most == 20
    assert max(sizes) == 20


def test_the_best_of_two_scores_that_are_nearly_the_same_may_change() -> None:
    random = np.random.default_rng(1)
    given = [{"x": random.random((1, 3), np.float32)} for _ in range(65)]
    tied = given[10]["x"]

    def best(x: Array) -> Array:
        return np.where((x == tied).all(axis=1), len(x) > 2, x.argmax(axis=1))

    finding = measured(Rowwise(best), given)
    assert finding.independent is True
    assert "an integer or text of 1 row changes, as ties can" in finding.says
    assert measured(Rowwise(lambda x: x.argmax(axis=1) + len(x)), given).independent is False


# --- what cannot be measured ------------------------------------------------------------------------------------------


def refuse_many(x: Array) -> Array:
    if 2 < len(x) < 20:
        raise PredictionError("seventeen is too many")
    return x


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Rowwise(lambda x: x * 0), "the same answer to all 65 rows; with --samples, give rows"),
        (Rowwise(lambda x: x * np.nan), r"fewer than two different rows (its answers are NaN or infinite)"),
        (Rowwise(lambda x: x + np.random.default_rng().random(x.shape)), "answers the same row differently"),
        (Rowwise(refuse_many), "refuses a call of 17 rows, each of which it answers alone: seventeen is too many"),
        (Rowwise(lambda x: x, (1, 3)), "leaves open how many rows y has"),
    ],
)
def test_what_shows_nothing_is_said(model: Rowwise, says: str) -> None:
    finding = measured(model)
    assert finding.independent is None
    assert says in finding.says


def test_noise_in_larger_calls_is_not_taken_for_mixing() -> None:
    noise = np.random.default_rng(1)
    finding = measured(Rowwise(lambda x: x + np.float32(1e-3 * noise.random(x.shape) * (len(x) > 1))))
    assert finding.independent is None
    assert "answers the same rows differently when they are called again" in finding.says


def test_running_out_of_memory_is_no_finding() -> None:
    def call(x: Array) -> Array:
        if len(x) > 2:
            raise ModelError("out of memory")
        return x

    with pytest.raises(ModelError, match="out of memory"):
        measured(Rowwise(call))
