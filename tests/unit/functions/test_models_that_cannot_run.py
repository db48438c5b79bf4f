"""A model that cannot run is the model's fault, and is refused when it loads; one that refuses zeros only is fine."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from inference import runtimes
from inference.config import Config
from inference.errors import ModelError, PredictionError
from inference.predictor import Predictor
from unit.functions.artifacts import Artifacts, runtime_of
from unit.functions.onnx_artifacts import graph
from unit.functions.tflite_files import all_of_type, by_channel, changed, converted, input_shape, of_type


@pytest.fixture
def load(make_config: Callable[..., Config]) -> Callable[..., runtimes.Model]:
    """Loads the model in a folder as the function does: it is warmed, too."""

    def model(folder: Path, like: str, **fields: Any) -> runtimes.Model:
        config = replace(make_config(like, **fields), artifact=folder)
        assert config.runtime == runtime_of(like)
        return Predictor(config).load()

    return model


Load = Callable[..., runtimes.Model]
LITERT, ONNX, TENSORFLOW = "double.tflite", "double.onnx", "odds.saved_model"


def function(call: Callable[..., Any], *shape: int | None, dtype: str = "float32") -> Any:
    """A function of one input `x`, for a signature."""
    import tensorflow as tf

    return tf.function(call, [tf.TensorSpec(shape, dtype, "x")], autograph=False)


def invert(x: Any) -> dict[str, Any]:
    """LiteRT has no kernel for it."""
    import tensorflow as tf

    return {"y": tf.linalg.inv(x)}


def invert_some(x: Any) -> dict[str, Any]:
    """The same in a branch."""
    import tensorflow as tf

    return {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: tf.linalg.inv(x), lambda: x)}


@pytest.mark.parametrize("call", [invert, invert_some])
@pytest.mark.parametrize("shape", [(1, 2, 2), (None, None, None)])
@pytest.mark.parametrize(
    ("kind", "message"), [("custom", "unresolved custom op"), ("flex", r"Select TensorFlow op\(s\)")]
)
def test_an_op_that_litert_lacks_is_named_when_the_model_loads(
    kind: str, message: str, shape: tuple[int | None, ...], call: Any, tmp_path: Path, load: Load
) -> None:
    converted(tmp_path, serving_default=function(call, *shape), **{kind: True})
    with pytest.raises(ModelError, match=rf"LiteRT cannot run the op MatrixInverse: .*--runtime tensorflow.*{message}"):
        load(tmp_path, LITERT)


def test_uploads_for_such_a_model_stay_in_the_queue(
    artifacts: Artifacts,
    announce: Callable[..., dict[str, Any]],
    serve: Callable[..., list[str]],
    result: Callable[[str], Any],
) -> None:
    """The invocation fails, so the queue keeps them all."""
    folder = artifacts.folder("lacking.tflite")
    folder.mkdir()
    converted(folder, flex=True, serving_default=function(invert, 1, 2, 2))
    messages = [announce(f"digits/{number}.json", b"[[1, 0], [0, 1]]") for number in range(2)]
    with pytest.raises(ModelError, match="cannot run the op MatrixInverse"):
        serve(messages, "lacking.tflite")
    assert [result(f"digits/{number}.json") for number in range(2)] == [None, None]


def test_only_the_signature_that_is_served_has_to_run(tmp_path: Path, load: Load) -> None:
    signatures = {"bad": function(invert, 1, 2, 2), "good": function(lambda x: {"y": 2 * x}, 1, 3)}
    converted(tmp_path, flex=True, **signatures)
    assert load(tmp_path, LITERT, signature="good")({"x": np.ones((1, 3), np.float32)})["y"].tolist() == [[2, 2, 2]]
    with pytest.raises(ModelError, match="cannot run the op MatrixInverse"):
        load(tmp_path, LITERT, signature="bad")


def test_the_second_signature_is_prepared_when_it_is_served(tmp_path: Path, load: Load) -> None:
    signatures = {"a_good": function(lambda x: {"y": 2 * x}, 1, 3), "bad": function(invert, 1, 2, 2)}
    converted(tmp_path, flex=True, **signatures)
    with pytest.raises(ModelError, match="cannot run the op MatrixInverse"):
        runtimes.load("litert", tmp_path, "bad")


def test_an_op_that_an_input_alone_reaches_is_named_then(tmp_path: Path, load: Load) -> None:
    """GIVEN an op behind a shape that only values tell WHEN zeros do not get so far THEN the model loads."""
    import tensorflow as tf

    def count(x: Any) -> dict[str, Any]:
        return {"y": tf.linalg.inv(tf.reshape(tf.range(tf.reduce_sum(x)), (1, 2, 2)))}

    model = load(converted(tmp_path, flex=True, serving_default=function(count, 1, 2)), LITERT)
    with pytest.raises(PredictionError):
        model({"x": np.array([[1, 2]], np.float32)})
    with pytest.raises(ModelError, match="cannot run the op MatrixInverse"):
        model({"x": np.array([[2, 2]], np.float32)})


@pytest.mark.parametrize("signatures", [True, False])
def test_shapes_in_a_file_that_contradict_each_other_are_the_models_fault(
    signatures: bool, tmp_path: Path, load: Load
) -> None:
    import tensorflow as tf

    def product(x: Any) -> dict[str, Any]:
        return {"y": x @ tf.ones((4, 2))}

    def spoil(model: Any) -> None:
        input_shape(1, 3)(model)
        model.signatureDefs = model.signatureDefs if signatures else None

    converted(tmp_path, serving_default=function(product, 1, 4))
    load(tmp_path, LITERT)
    with pytest.raises(ModelError, match=r"LiteRT cannot run model\.tflite: .*failed to prepare"):
        load(changed(tmp_path, spoil), LITERT)


def test_lengths_that_only_an_input_tells_may_not_fit_one(tmp_path: Path, load: Load) -> None:
    """GIVEN open dimensions, for which the file has ones WHEN ones are too few THEN longer inputs are still served."""
    import tensorflow as tf

    def blur(x: Any) -> dict[str, Any]:
        return {"y": tf.nn.conv2d(x, tf.ones((3, 3, 1, 1)), 1, "VALID")}

    model = load(converted(tmp_path, serving_default=function(blur, None, None, None, 1)), LITERT)
    for length in (5, 2, 3):
        image = np.ones((1, length, length, 1), np.float32)
        if length < 3:
            with pytest.raises(PredictionError, match="failed to prepare"):
                model({"x": image})
        else:
            assert model({"x": image})["y"].sum() == 9 * (length - 2) ** 2


@pytest.mark.parametrize(
    ("op", "message"),
    [("sin", "FLOAT64 is unsupported by op Sin"), ("relu", "Only float32.*got FLOAT64"), ("cumsum", "input->type ==")],
)
@pytest.mark.parametrize("length", [3, None])
def test_a_type_that_an_op_cannot_compute_with_is_the_models_fault(
    op: str, message: str, length: int | None, tmp_path: Path, load: Load
) -> None:
    import tensorflow as tf

    call = {"sin": tf.sin, "relu": tf.nn.relu, "cumsum": tf.cumsum}[op]
    converted(tmp_path, serving_default=function(lambda x: {"y": call(x)}, length))
    with pytest.raises(ModelError, match=message):
        load(changed(tmp_path, all_of_type("FLOAT64")), LITERT)


@pytest.mark.parametrize("runtime", [LITERT, TENSORFLOW])
def test_a_model_for_which_there_is_no_memory_does_not_load(runtime: str, tmp_path: Path, load: Load) -> None:
    import tensorflow as tf

    call = function(lambda x: {"y": tf.reduce_sum(tf.tile(x, (20_000_000, 20_000_000)))}, 1, 1)
    if runtime == LITERT:
        converted(tmp_path, serving_default=call)
    else:
        tf.saved_model.save(tf.Module(), str(tmp_path), signatures=call)
    with pytest.raises(ModelError, match=r"out of memory|OOM when allocating"):
        load(tmp_path, runtime)


def test_an_error_says_nothing_of_earlier_inputs(tmp_path: Path, load: Load) -> None:
    """LiteRT repeats in each error all that it said before."""
    import tensorflow as tf

    def look_up(x: Any) -> dict[str, Any]:
        return {"y": tf.gather([1.0, 2.0, 3.0], x)}

    model = load(converted(tmp_path, serving_default=function(look_up, None, dtype="int32")), LITERT)
    errors = []
    for index in (7, -7, 7):
        with pytest.raises(PredictionError) as raised:
            model({"x": np.array([index], np.int32)})
        errors.append(str(raised.value))
    assert errors[0] == errors[2]
    assert all(error.count("failed to invoke") == 1 for error in errors)
    assert model({"x": np.array([2], np.int32)})["y"].tolist() == [3]


def test_errors_do_not_pile_up(tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN an interpreter that repeats much already WHEN it is at its limit THEN a new one takes its place."""
    import tensorflow as tf

    from inference.runtimes import litert

    def look_up(x: Any) -> dict[str, Any]:
        return {"y": tf.gather([1.0, 2.0, 3.0], x)}

    monkeypatch.setattr(litert, "_MOST_SAID", 200)
    model = load(converted(tmp_path, serving_default=function(look_up, None, dtype="int32")), LITERT)
    lengths = []
    for _ in range(20):
        with pytest.raises(PredictionError) as raised:
            model({"x": np.array([7], np.int32)})
        lengths.append(len(str(raised.value.__cause__)))
        assert str(raised.value).count("failed to invoke") == 1
    assert 2 * lengths[0] <= max(lengths) <= 200 + lengths[0]
    assert model({"x": np.array([2], np.int32)})["y"].tolist() == [3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (by_channel, "'y' is quantized per channel"),
        (of_type("RESOURCE", "outputs"), "'y' is a resource handle"),
        (of_type("VARIANT", "outputs"), "'y' is a resource handle"),
        (of_type("COMPLEX64", "outputs"), "'y' is complex64"),
        (of_type("BFLOAT16", "outputs"), "'y' is bfloat16"),
        (of_type("INT4", "outputs"), "got 18"),
        (of_type("STRING", "inputs"), "STRING"),
    ],
)
def test_what_litert_cannot_give_as_numbers_is_refused_when_it_loads(
    change: Callable[[Any], None], message: str, tmp_path: Path, load: Load
) -> None:
    converted(tmp_path, serving_default=function(lambda x: {"y": 2 * x}, 1, 2))
    with pytest.raises(ModelError, match=message):
        load(changed(tmp_path, change), LITERT)


@pytest.mark.parametrize("runtime", [LITERT, TENSORFLOW])
def test_a_model_may_have_no_inputs_and_a_single_value_as_its_output(runtime: str, tmp_path: Path, load: Load) -> None:
    import tensorflow as tf

    signatures = {
        "constant": tf.function(lambda: {"y": tf.constant([1.0, 2.0])}, []),
        "total": function(lambda x: {"y": tf.reduce_sum(x)}, 3),
    }
    if runtime == LITERT:
        converted(tmp_path, **signatures)
    else:
        tf.saved_model.save(tf.Module(), str(tmp_path), signatures=signatures)
    constant, total = (load(tmp_path, runtime, signature=name) for name in signatures)
    assert constant.inputs == ()
    assert constant({})["y"].tolist() == [1, 2]
    assert total({"x": np.array([1, 2, 3], np.float32)})["y"] == 6


def test_an_op_without_a_kernel_is_named_when_an_onnx_model_loads(tmp_path: Path, load: Load) -> None:
    onnx.save_model(graph("(double[N, 2, 2] x) => (double[N] y) { y = Det (x) }"), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"cannot load model\.onnx: .*NOT_IMPLEMENTED.*Det"):
        load(tmp_path, ONNX)


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        (
            "(int64[N] x) => (float[N] y) <float[3] t = {1, 2, 3}, int64 c = {9}> { i = Sub (x, c) y = Gather (t, i) }",
            [9, 11],
            [1, 3],
        ),
        ("(int64[N] x) => (int64[N] y) <int64 c = {12}> { y = Div (c, x) }", [3, 4], [4, 3]),
        ("(string[N] x) => (float[N] y) { y = Cast <to = 1> (x) }", [b"1.5", b"2"], [1.5, 2]),
    ],
)
def test_an_onnx_model_that_refuses_zeros_serves_what_it_can(
    text: str, given: list[Any], expected: list[float], tmp_path: Path, load: Load
) -> None:
    onnx.save_model(graph(text), tmp_path / "model.onnx")
    model = load(tmp_path, ONNX)
    (spec,) = model.inputs
    zero = np.zeros(1, spec.dtype) if spec.dtype.kind != "O" else np.array([b""], object)
    with pytest.raises(PredictionError):
        model({"x": zero})
    assert model({"x": np.array(given, spec.dtype)})["y"].tolist() == expected


def test_a_litert_model_that_refuses_zeros_serves_what_it_can(tmp_path: Path, load: Load) -> None:
    import tensorflow as tf

    def look_up(x: Any) -> dict[str, Any]:
        return {"y": tf.gather([1.0, 2.0, 3.0], x - 9)}

    model = load(converted(tmp_path, serving_default=function(look_up, None, dtype="int32")), LITERT)
    with pytest.raises(PredictionError, match=r"out of bounds"):
        model({"x": np.zeros(1, np.int32)})
    assert model({"x": np.array([9, 11], np.int32)})["y"].tolist() == [1, 3]


def parsers() -> dict[str, tuple[Any, list[Any], list[Any]]]:
    """By name, a function that refuses zeros, what to give it instead, and its answer."""
    import tensorflow as tf

    def example(x: Any) -> Any:
        return tf.io.parse_example(x, {"a": tf.io.FixedLenFeature((2,), tf.float32)})["a"]

    def picture(x: Any) -> Any:
        return tf.map_fn(lambda one: tf.io.decode_png(one, 1), x, fn_output_signature=tf.uint8)

    def positive(x: Any) -> Any:
        with tf.control_dependencies([tf.debugging.assert_positive(x)]):
            return tf.identity(x)

    def sparse(x: Any) -> Any:
        return tf.sparse.to_dense(tf.SparseTensor(tf.reshape(x - 1, (1, 1)), [5.0], (3,)))

    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[1.5, 2]))
    message = tf.train.Example(features=tf.train.Features(feature={"a": feature})).SerializeToString()
    png = tf.io.encode_png(np.array([[[7], [9]]], np.uint8)).numpy()
    return {
        "example": (function(lambda x: {"y": example(x)}, None, dtype="string"), [message], [[1.5, 2]]),
        "picture": (function(lambda x: {"y": picture(x)}, None, dtype="string"), [png], [[[[7], [9]]]]),
        "number": (function(lambda x: {"y": tf.strings.to_number(x)}, None, dtype="string"), [b"1.5"], [1.5]),
        "positive": (function(lambda x: {"y": positive(x)}, None), [2.0], [2]),
        "quotient": (function(lambda x: {"y": 12 // x}, None, dtype="int64"), [5], [2]),
        "sparse": (function(lambda x: {"y": sparse(x)}, 1, dtype="int64"), [3], [0, 0, 5]),
        "inverse": (function(invert, None, 1, 1), [[[4.0]]], [[[0.25]]]),
    }


@pytest.mark.parametrize("name", ["example", "picture", "number", "positive", "quotient", "sparse", "inverse"])
def test_a_tensorflow_model_that_refuses_zeros_serves_what_it_can(name: str, tmp_path: Path, load: Load) -> None:
    import tensorflow as tf

    signature, given, expected = parsers()[name]
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=signature)
    model = load(tmp_path, TENSORFLOW)
    (spec,) = model.inputs
    right = np.array(given, spec.dtype)
    with pytest.raises(PredictionError, match="failed on these values"):
        model({"x": np.full_like(right, b"" if spec.dtype.kind == "O" else 0)})
    assert model({"x": right})["y"].tolist() == expected


def test_a_message_that_a_parser_cannot_read_is_the_inputs_fault(tmp_path: Path, load: Load) -> None:
    """TensorFlow calls it lost data."""
    import tensorflow as tf

    def sizes(x: Any) -> dict[str, Any]:
        return {"y": tf.io.decode_proto(x, "tensorflow.Example", ["features"], [tf.string]).sizes}

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=function(sizes, None, dtype="string"))
    model = load(tmp_path, TENSORFLOW)
    assert model({"x": np.array([b""], object)})["y"].tolist() == [[0]]
    with pytest.raises(PredictionError, match="Failed to consume entire buffer"):
        model({"x": np.array([b"\xff\xff"], object)})


@pytest.mark.parametrize("name", ["SpaceToDepth", "CudnnRNN", "Cannot assign a device"])
def test_an_op_that_tensorflow_cannot_run_here_is_the_models_fault(name: str, tmp_path: Path, load: Load) -> None:
    import tensorflow as tf

    def call(x: Any) -> dict[str, Any]:
        if name == "SpaceToDepth":
            return {"y": tf.raw_ops.SpaceToDepth(input=tf.reshape(x, (1, 1, 2, 2)), block_size=2, data_format="NCHW")}
        if name == "CudnnRNN":
            state = tf.zeros((1, 1, 4))
            steps = tf.reshape(x, (1, 1, 4))
            return {"y": tf.raw_ops.CudnnRNN(input=steps, input_h=state, input_c=state, params=tf.zeros(9))[0]}
        with tf.device("/job:elsewhere/task:3"):
            return {"y": 2 * x}

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=function(call, 4))
    with pytest.raises(ModelError, match=f"TensorFlow cannot run the model: .*{name}"):
        load(tmp_path, TENSORFLOW)


def test_python_code_that_a_saved_model_only_names_is_the_models_fault(tmp_path: Path, load: Load) -> None:
    import tensorflow as tf

    call = function(lambda x: {"y": tf.py_function(lambda numbers: numbers, [x], tf.float32)}, 4)
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=call)
    file = tmp_path / "saved_model.pb"
    # In another process the code would not be there either.
    file.write_bytes(file.read_bytes().replace(b"pyfunc_", b"absent_"))
    with pytest.raises(ModelError, match="Could not find callback"):
        load(tmp_path, TENSORFLOW)


def test_an_op_that_tensorflow_does_not_know_is_named_when_the_model_loads(tmp_path: Path, load: Load) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=function(lambda x: {"y": tf.sin(x)}, 4))
    file = tmp_path / "saved_model.pb"
    file.write_bytes(file.read_bytes().replace(b"Sin", b"Sxn"))
    with pytest.raises(ModelError, match=r"the model has the op Sxn, which is not part of the runtime tensorflow"):
        load(tmp_path, TENSORFLOW)


def composites() -> dict[str, Callable[[Any], Any]]:
    """By the name of what a signature may give in place of a tensor, how it is made."""
    import tensorflow as tf

    return {
        "RaggedTensor": lambda x: tf.RaggedTensor.from_row_lengths(x, [1, 1]),
        "SparseTensor": tf.sparse.from_dense,
        "Optional": tf.experimental.Optional.from_value,
        "variant": lambda x: tf.raw_ops.TensorListFromTensor(tensor=x, element_shape=tf.constant([], tf.int32)),
    }


@pytest.mark.parametrize("name", ["RaggedTensor", "SparseTensor", "Optional", "variant"])
def test_outputs_that_are_no_dense_tensors_are_refused_when_the_model_loads(
    name: str, tmp_path: Path, load: Load
) -> None:
    import tensorflow as tf

    make = composites()[name]
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=function(lambda x: {"y": make(x)}, 2))
    with pytest.raises(ModelError, match=f"'y' is {name}.*only dense tensors can be served"):
        load(tmp_path, TENSORFLOW)


def test_a_signature_without_outputs_is_refused(tmp_path: Path, load: Load) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=function(lambda _: {}, 2))
    with pytest.raises(ModelError, match="has no outputs"):
        load(tmp_path, TENSORFLOW)
