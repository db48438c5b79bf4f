"""What a first dimension is: how often the model is called, and what one input's predictions are (`batch.rows`)."""

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from inference import decoders, direct
from inference.config import Config
from inference.errors import ModelError, PredictionError, ShapeError, TooLargeError
from inference.predictor import Predictor
from inference.runtimes import Array, Model
from unit.functions.onnx_artifacts import graph

CUMSUM = "(float[N] x) => (float[N] y) <int64 axis = {0}> { y = CumSum(x, axis) }"
SUM = "(float[N] x) => (float sum) { sum = ReduceSum <keepdims = 0> (x) }"
SIMILARITY = """
    (float[I, 8] a, float[T, 8] b) => (float[I, T] scores) { t = Transpose <perm = [1, 0]> (b) scores = MatMul(a, t) }
"""
DETECTIONS = "(float[1, 4] x) => (int64[D, 2] boxes) { i = NonZero(x) boxes = Transpose <perm = [1, 0]> (i) }"
#: 12 steps of one line, whose first dimension is time.
TEXT_LINE = """
    (float[1, 12, 3] image) => (float[12, 1, 3] scores) { scores = Transpose <perm = [1, 0, 2]> (image) }
"""
FRAMES = """
    (float[S] wave) => (float[F, 4] scores) <int64[2] shape = {-1, 4}> { scores = Reshape(wave, shape) }
"""
TWICE = "(float[N, 2] x) => (float[N, 2] y) { y = Add(x, x) }"
FIXED = "(float[4, 2] x) => (float[4, 2] y) { y = Add(x, x) }"


@dataclass(frozen=True)
class Served:
    """A model as the function has it, called in both ways."""

    config: Config
    predictor: Predictor

    def call(self, body: Any) -> dict[str, Any]:
        """The answer to a direct call."""
        answer = direct.serve(body, self.config, self.predictor, cold_start=False)
        answered: dict[str, Any] = json.loads(json.dumps(answer, allow_nan=False))
        return answered

    def upload(self, body: bytes, key: str = "a.json") -> Any:
        """The predictions of an uploaded object."""
        instances = decoders.decode(key, body, self.config.input, self.predictor.inputs)
        return json.loads(self.predictor.predict(instances).json)


Serve = Callable[..., Served]


@pytest.fixture
def serve(make_config: Callable[..., Config], tmp_path: Path) -> Serve:
    """Serve a graph, a function of TensorFlow, or what was written to a folder; `rows` is `batch.rows`."""

    def make(model: str | Path, *, rows: int | None = None, runtime: str = "onnx", **fields: Any) -> Served:
        folder = model if isinstance(model, Path) else tmp_path
        if isinstance(model, str):
            onnx.save(graph(model), folder / "model.onnx")
        batch = {} if rows is None else {"rows": rows}
        config = replace(make_config("odds.saved_model", batch=batch, **fields), artifact=folder, runtime=runtime)
        return Served(config, Predictor(config))

    return make


def saved_model(folder: Path, function: Callable[[Any], Any], *shape: int | None) -> Path:
    """A SavedModel of a function of one tensor `x`, which gives `y`."""
    import tensorflow as tf

    traced = tf.function(lambda x: {"y": function(x)}, [tf.TensorSpec(shape, tf.float32, "x")])
    tf.saved_model.save(tf.Module(), str(folder), signatures=traced)
    return folder


def npy(array: Array) -> bytes:
    """The bytes of an .npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


# --- an input is one call, unless the registry says that its rows are independent -------------------------------------


def test_a_sequence_is_answered_whole_by_onnx_runtime(serve: Serve) -> None:
    served = serve(CUMSUM)
    assert served.call({"inputs": [1] * 20}) == {"outputs": list(range(1, 21))}
    assert served.call({"instances": [1] * 20}) == {"predictions": list(range(1, 21))}
    assert served.upload(json.dumps([1] * 20).encode()) == list(range(1, 21))


def test_a_sequence_is_answered_whole_by_litert(serve: Serve, tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.f = tf.function(lambda x: {"y": tf.cumsum(x)}, [tf.TensorSpec([None], tf.float32, "x")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.f.get_concrete_function()], module)
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    served = serve(tmp_path, runtime="litert")
    assert served.call({"inputs": [1, 1, 1]}) == {"outputs": [1, 2, 3]}
    assert served.upload(b"[1, 1, 1]") == [1, 2, 3]


def test_a_sequence_is_answered_whole_by_tensorflow(serve: Serve, tmp_path: Path) -> None:
    import tensorflow as tf

    served = serve(saved_model(tmp_path, tf.cumsum, None), runtime="tensorflow")
    assert served.call({"inputs": [1] * 100}) == {"outputs": list(range(1, 101))}


def test_a_recurrent_network_keeps_its_state_over_all_steps_of_an_input(serve: Serve, tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    weights = {"w": (1, 12, 4), "r": (1, 12, 3), "b": (1, 24)}
    text = "(float[S, 1, 4] x) => (float[S, 1, 1, 3] y) { y = LSTM <hidden_size = 3> (x, w, r, b) }"
    model = graph(text, {name: random.random(shape, np.float32) for name, shape in weights.items()})
    onnx.save(model, tmp_path / "model.onnx")
    steps = np.full((20, 1, 4), 0.5, np.float32)
    (whole,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"x": steps})
    assert not np.allclose(whole[16], whole[0], atol=0.1), "the state counts"
    served = serve(tmp_path, rows=0)
    np.testing.assert_allclose(served.call({"inputs": steps.tolist()})["outputs"], whole, atol=1e-6)
    for body, key in ((json.dumps(steps.tolist()).encode(), "a.json"), (npy(steps), "a.npy")):
        (prediction,) = served.upload(body, key)
        np.testing.assert_allclose(prediction, whole, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_output_of_fixed_length_has_no_rows_whatever_their_number(count: int, serve: Serve) -> None:
    """GIVEN an output of two elements WHEN there are two rows THEN these are answered as one or three are."""
    served = serve("(float[N, 3] x) => (float[N, 3] y, int64[2] shape) { y = Add(x, x) shape = Shape(x) }")
    rows = [[1, 2, 3]] * count
    whole = {"y": [[2, 4, 6]] * count, "shape": [count, 3]}
    assert served.upload(json.dumps(rows).encode()) == [whole]
    assert served.call({"inputs": rows}) == {"outputs": whole}
    refusal = rf"not every output has a row for each of the {count} instances \(.*shape \[2\]\)"
    assert re.match(refusal, served.call({"instances": rows})["error"])


def test_an_output_without_rows_is_one_prediction(serve: Serve) -> None:
    served = serve(SUM)
    assert served.call({"inputs": [1, 1]}) == {"outputs": 2}
    assert served.upload(b"[1, 1]") == [2]
    assert served.call({"instances": [1, 1]})["error"].startswith(
        "not every output has a row for each of the 2 instances (sum []): send whole tensors"
    )
    assert serve(SUM, rows=0).call({"instances": [1, 1]}) == {"predictions": [2]}


def test_inputs_need_not_have_equally_many_rows(serve: Serve) -> None:
    served = serve(SIMILARITY)
    eye = np.eye(8, dtype=np.float32)
    assert served.call({"inputs": {"a": eye[:2].tolist(), "b": eye[:2].tolist()}}) == {"outputs": [[1, 0], [0, 1]]}
    one_image = {"a": eye[:1].tolist(), "b": eye[:3].tolist()}
    assert served.call({"inputs": one_image}) == {"outputs": [[1, 0, 0]]}
    assert served.upload(json.dumps({"inputs": one_image}).encode()) == [[[1, 0, 0]]]


def test_a_parameter_beside_rows_is_passed_as_it_is(serve: Serve) -> None:
    served = serve("(float[N, 2] x, float[1] heat) => (float[N, 2] y) { y = Div(x, heat) }")
    body = {"inputs": {"x": [[1, 2], [3, 4]], "heat": [2]}}
    assert served.call(body) == {"outputs": [[0.5, 1], [1.5, 2]]}
    assert served.call({"instances": [{"x": [1, 2], "heat": 2}, {"x": [3, 4], "heat": 4}]}) == {
        "predictions": [[0.5, 1], [0.75, 1]]
    }


@pytest.mark.parametrize(
    ("values", "boxes"), [([0, 5, 0, 7], [[0, 1], [0, 3]]), ([0, 5, 0, 0], [[0, 1]]), ([0] * 4, [])]
)
@pytest.mark.parametrize("rows", [0, None])
def test_detections_are_one_prediction_whatever_their_number(
    rows: int | None, values: list[int], boxes: list[list[int]], serve: Serve
) -> None:
    served = serve(DETECTIONS, rows=rows)
    assert served.upload(json.dumps(values).encode()) == [boxes]
    assert served.upload(npy(np.array(values, np.float32)), "a.npy") == [boxes]
    assert served.call({"inputs": [values]}) == {"outputs": boxes}
    assert served.call({"instances": [values]}) == {"predictions": [boxes]}


@pytest.mark.parametrize("rows", [0, None])
def test_an_output_whose_first_dimension_is_time_is_one_prediction(rows: int | None, serve: Serve) -> None:
    image = np.arange(36, dtype=np.float32).reshape(12, 3)
    (prediction,) = serve(TEXT_LINE, rows=rows).upload(npy(image), "a.npy")
    assert prediction == image[:, np.newaxis].tolist()


@pytest.mark.parametrize("rows", [0, None])
def test_frames_of_a_recording_are_one_prediction(rows: int | None, serve: Serve) -> None:
    wave = np.arange(24, dtype=np.float32)
    assert serve(FRAMES, rows=rows).upload(npy(wave), "a.npy") == [wave.reshape(6, 4).tolist()]


def test_the_limit_of_records_is_not_one_of_samples(serve: Serve) -> None:
    second = npy(np.ones(16_000, np.float32))
    assert serve(SUM, rows=0).upload(second, "a.npy") == [16_000]
    with pytest.raises(
        TooLargeError, match=r"16000 instances; an input may have at most 10000 .* set batch\.rows to 0"
    ):
        serve(SUM).upload(second, "a.npy")


def test_rows_are_seen_together_and_never_with_other_inputs(serve: Serve, tmp_path: Path) -> None:
    """GIVEN a model that standardizes over what it is given WHEN uploads come together THEN each is answered alone."""
    import tensorflow as tf

    def standardized(x: Any) -> Any:
        return (x - tf.reduce_mean(x, 0)) / tf.math.reduce_std(x, 0)

    served = serve(saved_model(tmp_path, standardized, None, 1), runtime="tensorflow")
    uploads = [np.arange(count, dtype=np.float32)[:, np.newaxis] ** 2 for count in (200, 3, 30)]
    inputs = [decoders.decode("a.npy", npy(x), served.config.input, served.predictor.inputs) for x in uploads]
    assert served.predictor.predict_together(inputs) is None
    for x in uploads:
        expected = (x - x.mean(0)) / x.std(0)
        np.testing.assert_allclose(served.upload(npy(x), "a.npy"), expected, atol=1e-4)
        np.testing.assert_allclose(served.call({"inputs": x.tolist()})["outputs"], expected, atol=1e-4)


# --- rows that the registry calls independent -------------------------------------------------------------------------


class Watched(Predictor):
    """Notes how many rows each call of the model has."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.calls: list[int] = []

    def load(self) -> Model:
        loaded, calls = super().load(), self.calls

        class Counted:
            inputs, outputs, bytes_per_call = loaded.inputs, loaded.outputs, loaded.bytes_per_call

            def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
                calls.append(len(next(iter(tensors.values()))))
                return loaded(tensors)

        return Counted()


def watched(served: Served) -> tuple[Served, list[int]]:
    """The same, with the number of rows of each call."""
    predictor = Watched(served.config)
    served.predictor.load()
    return replace(served, predictor=predictor), predictor.calls


@pytest.mark.parametrize(("rows", "calls"), [(None, [20]), (0, [20]), (1, [1] * 20), (8, [8, 8, 4]), (64, [20])])
def test_a_call_takes_as_many_rows_as_the_registry_says(rows: int | None, calls: list[int], serve: Serve) -> None:
    for body in ({"instances": [[1, 2]] * 20}, {"inputs": [[1, 2]] * 20}):
        served, found = watched(serve(TWICE, rows=rows))
        (answer,) = served.call(body).values()
        assert answer == ([[[2, 4]] * 20] if rows == 0 and "instances" in body else [[2, 4]] * 20)
        assert found == calls


@pytest.mark.parametrize("rows", [None, 1, 8])
def test_numbers_of_many_rows_are_written_as_those_of_one(rows: int | None, serve: Serve) -> None:
    """A float32 next to 0.2 is 0.2, and a row that is not finite refuses all."""
    served = serve(TWICE, rows=rows)
    body = {"instances": [[0.1, 0.35]] * 20}
    assert served.call(body) == {"predictions": [[0.2, 0.7]] * 20}
    assert served.upload(json.dumps(body).encode()) == [[0.2, 0.7]] * 20
    body["instances"][13] = [3e38, 0]
    assert "NaN or infinite" in served.call(body)["error"]
    with pytest.raises(PredictionError, match="NaN or infinite"):
        served.upload(json.dumps(body).encode())


def test_inputs_share_calls_only_if_their_rows_are_independent(serve: Serve) -> None:
    bodies = [b"[1, 2]", b"[[3, 4], [5, 6]]", b"[7, 8]"]
    answers = [[[2, 4]], [[6, 8], [10, 12]], [[14, 16]]]
    for rows, together in ((None, False), (0, False), (1, False), (16, True)):
        served, calls = watched(serve(TWICE, rows=rows))
        inputs = [decoders.decode("a.json", body, served.config.input, served.predictor.inputs) for body in bodies]
        found = served.predictor.predict_together(inputs)
        assert (found is not None) == together
        if found:
            assert [json.loads(answer.json) for answer in found] == answers
            assert calls == [4]


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_a_batch_of_fixed_length_is_filled_up_where_rows_are_independent(count: int, serve: Serve) -> None:
    rows = [[row, -row] for row in range(count)]
    expected = [[2 * row, -2 * row] for row in range(count)]
    served, calls = watched(serve(FIXED, rows=4))
    assert served.call({"instances": rows}) == {"predictions": expected}
    assert served.upload(json.dumps(rows).encode()) == expected
    assert set(calls) == {4}


def test_a_batch_of_fixed_length_takes_exactly_as_many_rows_else(serve: Serve) -> None:
    rows = [[1, 2], [3, 4], [5, 6], [7, 8]]
    doubled = [[2, 4], [6, 8], [10, 12], [14, 16]]
    served = serve(FIXED)
    assert served.call({"instances": rows}) == {"predictions": doubled}
    assert served.call({"inputs": rows}) == {"outputs": doubled}
    assert served.upload(b"1,2\n3,4\n5,6\n7,8\n", "a.csv") == doubled
    assert served.upload(json.dumps(rows).encode()) == [doubled], "not in rows, it is one tensor"
    for fewer in (rows[:3], [*rows, [9, 10]]):
        assert (
            "expected [4, 2]; if its rows are independent, set batch.rows" in served.call({"instances": fewer})["error"]
        )


def test_independent_rows_that_an_output_lacks_are_the_registrys_fault(serve: Serve) -> None:
    for body in ({"instances": [1, 1]}, {"inputs": [1, 1]}):
        with pytest.raises(ModelError, match=r"batch\.rows says .* the output sum has the shape \[\] for 2 rows"):
            serve(SUM, rows=16).call(body)


@pytest.mark.parametrize(
    "text",
    [
        "(float[N, 2] x, float scale) => (float[N, 2] y) { y = Mul(x, scale) }",
        "(float[2] x, float[3] z) => (float[2] y, float[3] w) { y = Add(x, x) w = Add(z, z) }",
    ],
)
def test_rows_that_a_signature_cannot_have_are_refused_when_the_model_loads(text: str, serve: Serve) -> None:
    with pytest.raises(
        ModelError, match=r"batch\.rows is 2, but the signature's inputs do not share a first dimension .* to 0"
    ):
        serve(text, rows=2).predictor.load()


@pytest.mark.parametrize("inputs", ["float[1, 4] x", "float[N, 4] x"])
def test_rows_whose_outputs_differ_in_shape_are_no_tensor(inputs: str, serve: Serve) -> None:
    text = f"""
        ({inputs}) => (int64[R, D, 2] boxes) <int64 axis = {{0}}> {{
            i = NonZero(x) t = Transpose <perm = [1, 0]> (i) boxes = Unsqueeze(t, axis)
        }}
    """
    rows = [[0, 5, 0, 7], [0, 5, 0, 0]]
    served = serve(text, rows=1)
    assert served.call({"instances": rows}) == {"predictions": [[[0, 1], [0, 3]], [[0, 1]]]}
    assert "differ in shape" in served.call({"inputs": rows})["error"]


# --- forms of inputs --------------------------------------------------------------------------------------------------


def test_a_batch_of_one_is_called_for_each_row(serve: Serve) -> None:
    served, calls = watched(serve("(float[1, 2] x) => (float[1, 2] y) { y = Add(x, x) }"))
    assert served.call({"instances": [[1, 2], [3, 4]]}) == {"predictions": [[2, 4], [6, 8]]}
    assert served.upload(b"[[1, 2], [3, 4]]") == [[2, 4], [6, 8]]
    assert calls == [1, 1, 1, 1]
    assert served.call({"inputs": [[1, 2]]}) == {"outputs": [[2, 4]]}
    assert served.call({"inputs": [[1, 2], [3, 4]]})["error"] == (
        'x has the shape [2, 2]; expected [1, 2]; send several rows as {"instances": [...]}: the model is then called '
        "once per row"
    )


def test_half_plus_two(serve: Serve) -> None:
    """https://www.tensorflow.org/tfx/serving/api_rest: its first example."""
    text = (
        "(float[N, 1] x) => (float[N, 1] y) <float half = {0.5}, float two = {2}> { h = Mul(x, half) y = Add(h, two) }"
    )
    served = serve(text)
    assert served.call({"instances": [1.0, 2.0, 5.0]}) == {"predictions": [2.5, 3.0, 4.5]}
    assert served.call({"instances": [[1.0], [2.0], [5.0]]}) == {"predictions": [[2.5], [3.0], [4.5]]}
    assert served.call({"instances": [{"x": 1.0}, {"x": 2.0}]}) == {"predictions": [2.5, 3.0]}
    assert (
        "instances[1] has the shape [1], but instances[0] has []" in served.call({"instances": [1.0, [2.0]]})["error"]
    )


@pytest.mark.parametrize("rows", [None, 0, 16])
def test_no_rows_have_no_predictions(rows: int | None, serve: Serve) -> None:
    served = serve(TWICE, rows=rows)
    assert served.call({"instances": []}) == {"predictions": []}
    assert served.upload(b'{"instances": []}') == []
    if rows != 0:
        assert served.upload(npy(np.zeros((0, 2), np.float32)), "a.npy") == []


def test_a_whole_output_keeps_its_dimensions_also_where_rows_were_bare(serve: Serve) -> None:
    served = serve("(float[N, 1] x) => (float[N, 1] y) { y = Add(x, x) }", rows=0)
    assert served.call({"instances": [5]}) == {"predictions": [[[10]]]}
    assert served.call({"instances": [5, 6]}) == {"predictions": [[[10], [12]]]}
    assert served.upload(b"5\n", "a.jsonl") == [[[10]]]


def test_an_object_by_name_is_whole_where_the_first_dimension_is_not_a_batch(serve: Serve) -> None:
    assert serve(CUMSUM, rows=0).upload(b'{"x": [1, 1, 1]}') == [[1, 2, 3]]
    assert serve(CUMSUM, rows=0).upload(b"1\n1\n1\n", "a.csv") == [[1, 2, 3]]


def test_bytes_fill_the_whole_tensor_where_the_first_dimension_is_not_a_batch(serve: Serve) -> None:
    served = serve("(uint8[S] wave) => (uint8[S] same) { same = Identity(wave) }", rows=0, input={"format": "raw"})
    assert served.upload(bytes(range(5)), "a") == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("rows", [None, 0, 4])
def test_bytes_of_a_column_are_a_whole_tensor(rows: int | None, serve: Serve) -> None:
    served = serve("(uint8[N, 3] x) => (uint8[N, 3] same) { same = Identity(x) }", rows=rows)
    for column in ({"b64": "AQIDBAUG"}, {"x": {"b64": "AQIDBAUG"}}, [{"b64": "AQID"}, {"b64": "BAUG"}]):
        assert served.call({"inputs": column}) == {"outputs": [[1, 2, 3], [4, 5, 6]]}


def test_a_model_without_inputs_and_a_scalar_output_are_answered(serve: Serve) -> None:
    served = serve("() => (float y) <float seven = {7}> { y = Identity(seven) }")
    assert served.call({"inputs": {}}) == {"outputs": 7}
    assert "has no batch dimension" in served.call({"instances": [{}]})["error"]


def test_a_call_that_cannot_be_split_is_refused_before_it_runs(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "(float[N, 1] x) => (float[N, 1000] y) <int64[2] shape = {1, 1000}> { y = Expand(x, shape) }"
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "16")
    served, calls = watched(serve(text))
    message = r"the outputs of 2000 instances take 8000000 bytes .* 4194304, .*memory_mb.* batch\.rows: to the number"
    instances = decoders.decode(
        "a.npy", npy(np.ones((2000, 1), np.float32)), served.config.input, served.predictor.inputs
    )
    with pytest.raises(TooLargeError, match=message):
        served.predictor.predict(instances)
    assert calls == []


def test_a_signature_with_rows_is_told_from_one_without(serve: Serve) -> None:
    with pytest.raises(ShapeError, match=r"x has the shape \[1, 2\]; expected \[any\]"):
        serve(CUMSUM, rows=0).upload(b"[[1, 2]]")
