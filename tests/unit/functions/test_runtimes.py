"""Every runtime answers as the model that was trained, and its signature says what it takes."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from inference import runtimes
from inference.config import Config
from inference.errors import ModelError, PredictionError
from inference.predictor import Predictor
from inference.tensors import Instances
from unit.functions.artifacts import Artifacts, answer, runtime_of

SCANS = np.random.default_rng(3).random((5, 8, 8, 1), dtype=np.float32)


@pytest.mark.parametrize(
    "artifact", ["scans.tflite", "scans.onnx", "scans.saved_model", "scans.keras", "scans.h5", "scans.hdf5"]
)
def test_every_form_of_a_model_answers_as_keras_does(
    artifact: str, artifacts: Artifacts, make_predictor: Callable[..., Predictor]
) -> None:
    predictor = make_predictor(artifact)
    (spec,) = predictor.inputs
    outputs = predictor.outputs(Instances({spec.name: SCANS}, len(SCANS)))
    expected = artifacts.scans(SCANS, training=False).numpy()
    assert np.ptp(expected, axis=0).max() > 0.01, "the model has to tell its inputs apart, or this proves nothing"
    np.testing.assert_allclose(next(iter(outputs.values())), expected, atol=1e-5)
    assert spec.shape == (None, 8, 8, 1)
    assert spec.dtype == np.float32


@pytest.mark.parametrize("artifact", ["two.tflite", "two.onnx", "two.saved_model", "two.keras", "two.h5"])
def test_several_inputs_and_outputs_go_by_name(
    artifact: str, artifacts: Artifacts, make_predictor: Callable[..., Predictor]
) -> None:
    tensors = {"a": np.eye(3, dtype=np.float32), "b": np.arange(6, dtype=np.float32).reshape(3, 2)}
    outputs = make_predictor(artifact).outputs(Instances(tensors, 3))
    expected = artifacts.two(tensors, training=False)
    np.testing.assert_allclose(outputs["p"], expected["p"], atol=1e-5)
    np.testing.assert_allclose(outputs["q"], expected["q"], atol=1e-5)


@pytest.mark.parametrize(
    ("artifact", "signature"), [("signatures.tflite", "kinds"), ("signatures.saved_model", "kinds"), ("kinds.onnx", "")]
)
def test_every_type_of_tensor_goes_in_and_comes_out(
    artifact: str, signature: str, make_predictor: Callable[..., Predictor]
) -> None:
    predictor = make_predictor(artifact, signature=signature or runtimes.DEFAULT_SIGNATURE)
    assert {spec.name: spec.dtype for spec in predictor.inputs} == {
        "text": np.dtype(object),
        "half": np.float16,
        "flag": np.bool_,
        "small": np.uint8,
        "large": np.int64,
        "exact": np.float64,
    }
    assert answer(
        predictor,
        text=["grün", ""],
        half=[0.5, 60000],
        flag=[True, False],
        small=[0, 255],
        large=[2**40, -1],
        exact=[1e300, 0.1],
    ) == {
        "said": ["grün".encode(), b""],
        "halves": [1, np.inf],
        "turned": [False, True],
        "kept": [0, 255],
        "twice": [2**41, -2],
        "same": [1e300, 0.1],
    }


@pytest.mark.parametrize("artifact", ["signatures.tflite", "signatures.saved_model"])
def test_dimensions_beside_the_batch_may_be_open(artifact: str, make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor(artifact, signature="lengths")
    assert {spec.name: spec.shape for spec in predictor.inputs} == {"tokens": (None, None), "padding": ()}
    assert answer(predictor, tokens=[[7, 8, 0], [9, 0, 0]], padding=0) == {"length": [2, 1]}
    assert answer(predictor, tokens=[[7, 8, 5, 5]], padding=5) == {"length": [2]}


def test_a_keras_file_may_fix_its_batch_and_take_integers(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("pixels.keras")
    (spec,) = predictor.inputs
    assert (spec.name, spec.shape) == ("pixels", (1, 2, 2, 1))
    assert spec.dtype == np.uint8
    scans = [[[[0], [51]], [[102], [255]]], [[[255], [0]], [[0], [0]]]]
    shares = [answer(predictor, pixels=[scan])["output_0"][0] for scan in scans]
    np.testing.assert_allclose(shares, [[0.0, 0.2, 0.4, 1.0], [1.0, 0.0, 0.0, 0.0]], atol=1e-6)


def test_nested_outputs_of_a_keras_file_go_by_number(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("words.keras")
    assert answer(predictor, word=["green", "blue"]) == {
        "output_0": [2, 0],
        "output_1": [3, 1],
        "output_2": [b"green", b"blue"],
    }


@pytest.mark.parametrize(
    ("artifact", "tolerance"),
    [("scans.int8.tflite", 0.005), ("scans.uint8.tflite", 0.005), ("scans.weights.tflite", 0.001)],
)
def test_a_quantized_model_takes_and_gives_real_numbers(
    artifact: str, tolerance: float, artifacts: Artifacts, make_predictor: Callable[..., Predictor]
) -> None:
    predictor = make_predictor(artifact)
    (spec,) = predictor.inputs
    assert spec.dtype == np.float32
    outputs = predictor.outputs(Instances({spec.name: SCANS}, len(SCANS)))
    expected = artifacts.scans(SCANS, training=False).numpy()
    assert np.ptp(expected, axis=0).max() > 4 * tolerance, "the model has to tell its inputs apart"
    np.testing.assert_allclose(next(iter(outputs.values())), expected, atol=tolerance)


def test_a_quantized_model_has_no_answer_to_nan(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("scans.int8.tflite")
    (spec,) = predictor.inputs
    with pytest.raises(PredictionError, match="cannot represent NaN"):
        predictor.outputs(Instances({spec.name: np.full((1, 8, 8, 1), np.nan, np.float32)}, 1))


@pytest.mark.parametrize("artifact", ["double.tflite", "double.onnx"])
def test_a_model_with_a_fixed_batch_of_one_serves_many(artifact: str, make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor(artifact)
    (spec,) = predictor.inputs
    assert spec.shape == (1, 3)
    rows = predictor.rows(Instances({spec.name: np.arange(6, dtype=np.float32).reshape(2, 3)}, 2))
    assert [next(iter(row.values())).tolist() for row in rows] == [[0, 2, 4], [6, 8, 10]]


@pytest.mark.parametrize("artifact", ["scans.saved_model", "scans.onnx"])
@pytest.mark.parametrize("count", [1, 16, 64, 65, 200])
def test_more_rows_than_one_call_takes_are_run_in_parts(
    artifact: str, count: int, artifacts: Artifacts, make_predictor: Callable[..., Predictor]
) -> None:
    predictor = make_predictor(artifact, batch={"rows": 64})
    (spec,) = predictor.inputs
    scans = np.random.default_rng(count).random((count, 8, 8, 1), dtype=np.float32)
    rows = predictor.rows(Instances({spec.name: scans}, count))
    answers = np.stack([next(iter(row.values())) for row in rows])
    np.testing.assert_allclose(answers, artifacts.scans(scans, training=False), atol=1e-5)


def test_the_signature_is_chosen_by_name(make_predictor: Callable[..., Predictor]) -> None:
    shout = make_predictor("signatures.saved_model", signature="shout")
    outputs = shout.outputs(Instances({"text": np.array([b"seven", b"eight"], object)}, 2))
    assert outputs["loud"].tolist() == [b"SEVEN", b"EIGHT"]
    total = make_predictor("signatures.saved_model", signature="total")
    assert total.outputs(Instances({"x": np.array([1, 2, 3], np.float32)}, None))["sum"] == 6


@pytest.mark.parametrize("artifact", ["scans.tflite", "scans.saved_model"])
def test_a_signature_that_the_model_lacks_is_named_beside_those_it_has(artifact: str, artifacts: Artifacts) -> None:
    with pytest.raises(ModelError, match=r"no signature 'classify'; it has:? .*serving_default"):
        runtimes.load(runtime_of(artifact), artifacts.folder(artifact), "classify")


@pytest.mark.parametrize("artifact", ["scans.keras", "scans.h5", "scans.onnx", "double.tflite"])
def test_a_file_without_signatures_has_the_default_one_only(
    artifact: str, artifacts: Artifacts, make_predictor: Callable[..., Predictor]
) -> None:
    assert make_predictor(artifact).inputs
    with pytest.raises(ModelError, match="has no named signatures, so 'classify' is not in it"):
        runtimes.load(runtime_of(artifact), artifacts.folder(artifact), "classify")


@pytest.mark.parametrize("name", ["InvalidArgumentError", "OutOfRangeError", "DataLossError"])
def test_what_tensorflow_refuses_for_its_values_is_the_inputs_fault(name: str) -> None:
    with pytest.raises(PredictionError, match="the model failed on these values: refused"):
        failing_model(name)({})


@pytest.mark.parametrize(
    "name",
    [
        *("ResourceExhaustedError", "UnavailableError", "AbortedError", "InternalError", "UnimplementedError"),
        *("NotFoundError", "FailedPreconditionError", "UnknownError"),
    ],
)
def test_whatever_else_tensorflow_raises_is_not_the_inputs_fault(name: str) -> None:
    with pytest.raises(ModelError, match=f"{name}: refused"):
        failing_model(name)({})


def failing_model(name: str) -> runtimes.Model:
    """A model whose only op raises an error of TensorFlow."""
    import tensorflow as tf

    from inference.runtimes.tensorflow import TensorFlowModel

    def fail() -> Any:
        raise getattr(tf.errors, name)(None, None, "refused")

    return TensorFlowModel(fail, (), ())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("Failed to allocate tensors"), ModelError),
        (RuntimeError("std::bad_alloc"), ModelError),
        (MemoryError("of 80 GB"), ModelError),
        (RuntimeError("gather index out of bounds Node number 3 (GATHER) failed to invoke."), PredictionError),
        (ValueError("Cannot set tensor: Dimension mismatch"), PredictionError),
    ],
)
def test_litert_out_of_memory_is_not_the_inputs_fault(error: Exception, expected: type[Exception]) -> None:
    from inference.runtimes.litert import LiteRtModel

    def fail() -> Any:
        raise error

    with pytest.raises(expected, match=re.escape(str(error))):
        LiteRtModel(cast(Any, SimpleNamespace(call=fail, news=str, inputs={}, outputs={})))({})


def test_values_that_an_op_refuses_are_the_inputs_fault(make_predictor: Callable[..., Predictor]) -> None:
    predictor = make_predictor("signatures.saved_model", signature="look_up")
    assert predictor.outputs(Instances({"index": np.array([2], np.int32)}, 1))["value"].tolist() == [30]
    with pytest.raises(PredictionError, match="no such row"):
        predictor.outputs(Instances({"index": np.array([3], np.int32)}, 1))


@pytest.mark.parametrize("runtime", ["litert", "onnx", "tensorflow"])
def test_missing_weights_are_no_inputs_fault(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no weights at .*weights_sync"):
        runtimes.load(runtime, tmp_path / "absent", "serving_default")
    with pytest.raises(ModelError, match=f"no model in .*: the runtime {runtime} takes"):
        runtimes.load(runtime, tmp_path, "serving_default")


@pytest.mark.parametrize(
    ("runtime", "name", "why"),
    [
        ("litert", "m.tflite", "not a valid Flatbuffer"),
        ("onnx", "m.onnx", "Protobuf parsing failed"),
        ("tensorflow", "m.keras", "it is not a zip file, so it is cut off"),
        ("tensorflow", "m.h5", "file signature not found"),
    ],
)
def test_a_file_that_is_no_model_is_refused_by_name(runtime: str, name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(ModelError, match=f"cannot load {name}: .*{why}"):
        runtimes.load(runtime, tmp_path, "serving_default")


def test_two_models_in_one_artifact_are_refused(tmp_path: Path) -> None:
    for name in ("a.tflite", "b.tflite"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match=r"several models \(a\.tflite, b\.tflite\)"):
        runtimes.load("litert", tmp_path, "serving_default")


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_code_in_a_keras_file_is_not_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    ran, artifact = tmp_path / "ran", tmp_path / "artifact"
    artifact.mkdir()
    monkeypatch.setenv("RAN", str(ran))
    # The file holds the code alone, without what is around it here.
    code = tf.keras.layers.Lambda(
        lambda x: (__import__("pathlib").Path(__import__("os").environ["RAN"]).write_text(""), x)[1]
    )
    layers: Any = [tf.keras.Input((3,)), code]
    model = tf.keras.Sequential(layers)
    assert ran.exists(), "the code has to leave a trace, or finding none proves nothing"
    model.save(artifact / name)
    ran.unlink()
    with pytest.raises(ModelError, match=f"{name} contains Python code .* publish its SavedModel"):
        runtimes.load("tensorflow", artifact, "serving_default")
    assert not ran.exists()


@pytest.mark.parametrize("dtype", ["bfloat16", "complex64"])
def test_types_that_no_input_has_are_refused_when_the_model_loads(dtype: str, tmp_path: Path) -> None:
    import tensorflow as tf

    signature = [tf.TensorSpec((None,), dtype, "x")]
    twice = tf.function(lambda x: {"y": tf.cast(x + x, tf.float32)}, input_signature=signature)
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=twice)
    with pytest.raises(ModelError, match=f"'x' is {dtype}, which cannot be served: export it as float32"):
        runtimes.load("tensorflow", tmp_path, "serving_default")


def test_rows_that_turn_out_large_are_run_in_parts(make_config: Callable[..., Config], tmp_path: Path) -> None:
    """GIVEN independent rows of any length WHEN they are long THEN a call takes no more bytes than else."""
    import tensorflow as tf

    def together(x: Any) -> dict[str, Any]:
        """For each row, how many there are in its call."""
        return {"rows": tf.repeat(tf.shape(x)[:1], tf.shape(x)[0])}

    signature = tf.function(together, [tf.TensorSpec((None, None), tf.uint8, "x")])
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=signature)
    predictor = Predictor(replace(make_config("odds.saved_model", batch={"rows": 64}), artifact=tmp_path))
    for length, rows in ((1, [5] * 5), (3 * 2**20, [2, 2, 2, 2, 1]), (9 * 2**20, [1] * 5)):
        outputs = predictor.outputs(Instances({"x": np.zeros((5, length), np.uint8)}, 5))
        assert outputs["rows"].tolist() == rows


@pytest.mark.parametrize(("memory_mb", "threads"), [("128", 1), ("1769", 1), ("3008", 2), ("10240", 6)])
def test_a_function_computes_with_the_vcpus_that_its_memory_buys(
    memory_mb: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert runtimes.threads() == threads
