"""ONNX's backend node tests: small models of every operator, and what the function answers to their inputs.

The package `onnx` makes them. Those that bare ONNX Runtime passes are served in three forms: as they are, with the
first dimension of every tensor open, and with every dimension open. An answer is right if it is what ONNX Runtime gives
for the whole tensors. Called with a file, it tries all of them and writes the `Tally` there (`make soak`).
"""

import contextlib
import importlib
import io
import json
import logging
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnx.backend.test import loader
from onnx.backend.test.runner import Runner

from inference import config as configuration
from inference import decoders, direct
from inference.config import Config
from inference.errors import InputError, ModelError
from inference.predictor import Predictor
from unit.functions.conftest import document_of
from unit.functions.valid_objects import archive

#: How many of a tensor's dimensions, from the first on, a form leaves open.
FORMS = {"as they are": 0, "first dimension open": 1, "every dimension open": None}

#: Fifty of them, by module of `onnx.backend.test.case.node`: what mixes rows or has none, what returns less or more
#: than a row for each, recurrent and control-flow operators, strings, scalars, and no inputs at all.
FIFTY = {
    "argmax": ["argmax_default_axis_example"],
    "compress": ["compress_default_axis"],
    "concat": ["concat_1d_axis_0", "concat_2d_axis_0"],
    "constant": ["constant"],
    "constantofshape": ["constantofshape_int_shape_zero"],
    "conv": ["basic_conv_with_padding"],
    "cumsum": ["cumsum_1d", "cumsum_2d_axis_0"],
    "einsum": ["einsum_inner_prod", "einsum_scalar"],
    "eyelike": ["eyelike_without_dtype"],
    "gather": ["gather_0"],
    "gru": ["gru_seq_length"],
    "hardmax": ["hardmax_axis_0"],
    "identity": ["identity_sequence"],
    "if_": ["if"],
    "isnan": ["isnan"],
    "loop": ["loop11"],
    "lstm": ["lstm_defaults", "lstm_bidirectional"],
    "matmul": ["matmul_2d", "matmul_1d_1d", "matmul_4d_1d"],
    "negativeloglikelihoodloss": ["nllloss_NC"],
    "nonmaxsuppression": ["nonmaxsuppression_two_classes"],
    "nonzero": ["nonzero_example"],
    "onehot": ["onehot_without_axis"],
    "rangeop": ["range_int32_type_negative_delta"],
    "reducesum": [
        "reduce_sum_default_axes_keepdims_example",
        "reduce_sum_do_not_keepdims_example",
        "reduce_sum_empty_set",
    ],
    "resize": ["resize_upsample_scales_nearest"],
    "rnn": ["rnn_seq_length"],
    "scan": ["scan9_sum"],
    "scatternd": ["scatternd"],
    "shape": ["shape_example"],
    "size": ["size_example"],
    "softmax": ["softmax_axis_0"],
    "split": ["split_equal_parts_1d_opset18", "split_zero_size_splits_opset18"],
    "squeeze": ["squeeze"],
    "string_concat": ["string_concat_broadcasting", "string_concat_zero_dimensional"],
    "string_split": ["string_split_basic"],
    "stringnormalizer": ["strnormalizer_nostopwords_nochangecase"],
    "tile": ["tile"],
    "topk": ["top_k"],
    "transpose": ["transpose_all_permutations_5"],
    "unique": ["unique_sorted_without_axis"],
}


@dataclass(frozen=True)
class Reason:
    """Why a node test is refused."""

    #: How the function says so.
    text: str
    #: Whether it is so, judged by the model, its inputs and the outputs that ONNX Runtime gives.
    holds: Callable[[Any, Mapping[str, Any], Mapping[str, Any]], bool]


REASONS = {
    "a sequence, map or optional": Reason(
        r"only tensors can be served",
        lambda model, *_: (
            not all(value.type.HasField("tensor_type") for value in (*model.graph.input, *model.graph.output))
        ),
    ),
    "NaN or infinity in a JSON request": Reason(
        r"NaN, infinity or a number beyond the range", lambda _, inputs, __: not _are_finite(inputs)
    ),
    "NaN or infinity in an answer": Reason(
        r"the model's output contains NaN or infinite values", lambda *parts: not _are_finite(parts[2])
    ),
    "an empty tensor in a JSON request": Reason(
        r"has the shape \[(\d+, )*0\]; expected",
        lambda _, inputs, __: any(array.size == 0 and array.ndim > 1 for array in inputs.values()),
    ),
    "strings in an .npz file": Reason(
        r"arrays of <U\d+ are not accepted",
        lambda _, inputs, __: any(array.dtype.kind in "OU" for array in inputs.values()),
    ),
}

#: How an answer begins that is neither a refusal nor anything else that a function may answer.
_RAISED = "raised"


@dataclass
class Tally:
    """What became of the node tests, by form."""

    #: Bare ONNX Runtime does not pass, or does not run in this form.
    unusable: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    #: By form and reason.
    refused: dict[str, Counter[str]] = field(default_factory=lambda: {form: Counter() for form in FORMS})
    #: What is wrong, in words; refusals without a reason are wrong, too.
    wrong: list[str] = field(default_factory=list)


def cases(modules: Mapping[str, Sequence[str]] | None = None) -> list[Any]:
    """The node tests of these modules of `onnx.backend.test.case.node` and their names; without: all there are."""
    with warnings.catch_warnings():
        # Some compute what overflows on purpose.
        warnings.simplefilter("ignore", RuntimeWarning)
        if modules is None:
            return list(loader.load_node_model_tests())
        for module in modules:
            importlib.import_module(f"onnx.backend.test.case.node.{module}")
    by_name = {case.name: case for case in importlib.import_module("onnx.backend.test.case.node")._NodeTestCases}
    return [by_name[f"test_{name}"] for names in modules.values() for name in names]


def try_all(tests: Sequence[Any]) -> Tally:
    """Serve node tests in every form, each in every way."""
    tally = Tally()
    for case in tests:
        given, expected = case.data_sets[0]
        inputs = [_array(value) for value in given]
        bare = _bare(case.model, inputs)
        passes = bare is not None and _is_close(bare, expected, case)
        for form, opened in FORMS.items():
            model = _opened(case.model, opened)
            truth = _bare(model, inputs) if passes else None
            if truth is None:
                tally.unusable[form] += 1
                continue
            arrays = dict(zip([value.name for value in model.graph.input], inputs, strict=True))
            for way, answer in _answers(model, arrays, truth):
                if answer is None:
                    tally.right[form] += 1
                elif reason := _reason(answer, model, arrays, truth):
                    tally.refused[form][reason] += 1
                else:
                    tally.wrong.append(f"{case.name}, {form}, {way}: {answer}")
    return tally


def _reason(answer: str, model: Any, inputs: Mapping[str, Any], truth: Mapping[str, Any]) -> str | None:
    """Why an input was refused, if the function says so and it is so."""
    if answer.startswith(_RAISED):
        return None
    reasons = (name for name, reason in REASONS.items() if re.search(reason.text, answer))
    return next((name for name in reasons if REASONS[name].holds(model, inputs, truth)), None)


def _are_finite(arrays: Mapping[str, Any]) -> bool:
    return all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f")


def _opened(model: Any, dimensions: int | None) -> Any:
    """The model with this many dimensions of each input and output open; None: all."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    for number, value in enumerate((*opened.graph.input, *opened.graph.output)):
        shape = value.type.tensor_type.shape.dim if value.type.HasField("tensor_type") else []
        for axis, dimension in enumerate(shape[:dimensions]):
            dimension.dim_param = f"d{number}_{axis}"
    return opened


def _array(value: Any) -> Any:
    """An input as ONNX Runtime takes it: some are numpy's scalars, some are ONNX's own tensors."""
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def _bare(model: Any, inputs: Sequence[Any]) -> dict[str, Any] | None:
    """The outputs that ONNX Runtime gives; None if it refuses the model or the inputs."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [node.name for node in session.get_inputs()]
        outputs = session.run(None, dict(zip(names, inputs, strict=True)))
    except Exception:
        return None
    return dict(zip([node.name for node in session.get_outputs()], outputs, strict=True))


def _is_close(outputs: Mapping[str, Any], expected: Sequence[Any], case: Any) -> bool:
    """Whether ONNX Runtime passes the test."""
    try:
        Runner.assert_similar_outputs(
            [_array(value) for value in expected], list(outputs.values()), case.rtol, case.atol
        )
    except (AssertionError, TypeError):
        return False
    return True


def _answers(model: Any, arrays: Mapping[str, Any], truth: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """By way of asking, what is wrong with the answer, or why it was refused; None: it is right."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model").mkdir()
        onnx.save(model, Path(folder, "model", "model.onnx"))
        for way, ask in WAYS.items():
            try:
                yield way, ask(Path(folder), model, arrays, truth)
            except (InputError, ModelError) as error:
                yield way, str(error)
            except Exception as error:
                yield way, f"{_RAISED} {type(error).__name__}: {error}"


def configured(weights: Path, artifact: str, runtime: str, **fields: Any) -> Config:
    """The configuration of a model whose artifact is in a folder of this name."""
    environment = {
        "MODELYARD_MODEL": json.dumps(document_of(artifact, runtime, **fields)),
        "MODELYARD_WEIGHTS": str(weights),
        "MODELYARD_RESULTS": "results",
    }
    return configuration.read(environment)


def _direct(weights: Path, _: Any, arrays: Mapping[str, Any], truth: Mapping[str, Any]) -> str | None:
    """A direct call with whole tensors, through JSON in both directions."""
    config = configured(weights, "model", "onnx")
    predictor = Predictor(config)
    predictor.load()
    request = json.loads(json.dumps({"inputs": {name: array.tolist() for name, array in arrays.items()}}))
    with contextlib.redirect_stdout(io.StringIO()):
        answer = direct.serve(request, config, predictor, cold_start=False)
    return str(answer["error"]) if "error" in answer else _difference([answer["outputs"]], [truth])


def _upload(weights: Path, model: Any, arrays: Mapping[str, Any], truth: Mapping[str, Any]) -> str | None:
    """An .npz file: predictions by row where the model takes rows, else one."""
    return _difference(_uploaded(weights, arrays, rows=None), _predictions(model, arrays, truth))


def _upload_whole(weights: Path, _: Any, arrays: Mapping[str, Any], truth: Mapping[str, Any]) -> str | None:
    """An .npz file for a model whose entry says that its first dimension is not rows: always one prediction."""
    return _difference(_uploaded(weights, arrays, rows=0), [truth])


#: How a model is asked.
WAYS = {"a direct call": _direct, "an upload": _upload, "an upload, batch.rows 0": _upload_whole}


def _uploaded(weights: Path, arrays: Mapping[str, Any], rows: int | None) -> list[Any]:
    """The predictions of an uploaded .npz file."""
    config = configured(weights, "model", "onnx", batch={"rows": rows})
    predictor = Predictor(config)
    predictor.load()
    # numpy would pickle objects.
    members = {name: array.astype(str) if array.dtype.kind == "O" else array for name, array in arrays.items()}
    instances = decoders.decode("x.npz", archive(**members), config.input, predictor.inputs)
    answer: list[Any] = json.loads(bytes(predictor.predict(instances).json))
    return answer


def _predictions(model: Any, arrays: Mapping[str, Any], truth: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The outputs of each prediction that an upload gets while `batch.rows` is unset."""
    first = [_first(value) for value in model.graph.input]
    if 1 in first and set(first) <= {1, None}:
        fixed = {value.name for value in model.graph.output if _first(value) == 1}
        return [{name: array[0, ...] if name in fixed else array for name, array in truth.items()}]
    rows = {array.shape[:1] for array in (*arrays.values(), *truth.values())}
    if set(first) == {None} and len(rows) == 1 and () not in rows and not _has_output_of_fixed_length(model):
        ((count,),) = rows
        return [{name: array[row, ...] for name, array in truth.items()} for row in range(count)]
    return [truth]


def _has_output_of_fixed_length(model: Any) -> bool:
    """Whether ONNX Runtime knows an output to be longer than 1 whatever the inputs: NonZero has a row per dimension."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return any(isinstance(length, int) and length > 1 for node in session.get_outputs() for length in node.shape[:1])


def _first(value: Any) -> int | str | None:
    """The first dimension of an input or output; None if it is open."""
    shape = value.type.tensor_type.shape.dim
    return "scalar" if not shape else None if shape[0].dim_param else int(shape[0].dim_value)


def _difference(answers: Sequence[Any], truths: Sequence[Mapping[str, Any]]) -> str | None:
    """What differs between answers in JSON and the outputs that each should be."""
    if len(answers) != len(truths):
        return f"{len(answers)} predictions instead of {len(truths)}"
    for answer, truth in zip(answers, truths, strict=True):
        values = answer if len(truth) > 1 else {next(iter(truth)): answer}
        if values.keys() != truth.keys():
            return f"the outputs {sorted(values)} instead of {sorted(truth)}"
        for name, array in truth.items():
            if not _is_equal(values[name], array):
                return f"{name} is {str(values[name])[:200]} instead of {str(array.tolist())[:200]}"
    return None


def _is_equal(value: Any, array: Any) -> bool:
    """Whether a value in JSON is a tensor, floats as their type reads their decimals."""
    expected = array.tolist()
    if np.shape(value) != np.shape(expected):
        return False
    if array.dtype.kind != "f":
        return bool(value == expected)
    return np.allclose(np.asarray(value, array.dtype).astype(np.float64), np.asarray(expected), rtol=1e-5, atol=1e-7)


def main() -> None:
    """Try all node tests and write the tally into the file."""
    logging.disable()
    tally = try_all(cases())
    Path(sys.argv[1]).write_text(json.dumps(vars(tally)))


if __name__ == "__main__":
    main()
