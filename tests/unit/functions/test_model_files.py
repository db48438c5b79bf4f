"""What is wrong with the files of a model is told by its cause."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from inference import model_files
from unit.functions.onnx_artifacts import graph

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * "0" + "\nsize 12345\n"
ANNEX = "/annex/objects/SHA256E-s12345--" + 64 * "0" + ".onnx\n"


def problems(folder: Path, model: str | None = None) -> list[str]:
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return list(model_files.problems(files, model))


def test_pointers_are_named_with_what_fetches_the_files(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text(LFS)
    lfs = "model.onnx is a Git LFS pointer, not the content: fetch the content with `git lfs pull`"
    assert problems(tmp_path, "model.onnx") == [lfs]
    (tmp_path / "labels.txt").write_text(ANNEX)
    annex = "labels.txt is a git-annex pointer, not the content: fetch the content with `git annex get`"
    assert sorted(problems(tmp_path, "model.onnx")) == [annex, lfs]
    for number in range(7):
        (tmp_path / f"{number}.bin").write_text(LFS)
    assert problems(tmp_path)[0] == (
        "0.bin, 1.bin, 2.bin, 3.bin, 4.bin and 3 more are Git LFS pointers, not the content: fetch the content "
        "with `git lfs pull`"
    )


@pytest.mark.parametrize("content", ["", "version", LFS[1:], f" {LFS}", "version https://git-lfs.example\n"])
def test_other_files_are_no_pointers(content: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(content)
    assert problems(tmp_path) == []


def outside(name: str, location: str) -> TensorProto:
    """A tensor of one number that is in another file."""
    tensor = numpy_helper.from_array(np.ones(1, np.float32), name)
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    return tensor


def with_data(*locations: str) -> onnx.ModelProto:
    """A model whose weights are in other files: an initializer, a constant, and both in a branch."""
    weight, constant, inner, fixed = (outside(name, location) for name, location in zip("wcif", locations, strict=True))
    output = helper.make_tensor_value_info("o", TensorProto.FLOAT, [1])
    nodes = [helper.make_node("Constant", [], ["f"], value=fixed), helper.make_node("Add", ["i", "f"], ["o"])]
    branch = helper.make_graph(nodes, "branch", [], [output], [inner])
    found: onnx.ModelProto = graph("(float[1] x, bool b) => (float[1] y) { y = Identity (x) }")
    found.graph.initializer.append(weight)
    found.graph.node.append(helper.make_node("Constant", [], ["c"], value=constant))
    found.graph.node.append(helper.make_node("If", ["b"], ["z"], then_branch=branch, else_branch=branch))
    return found


def test_weights_that_an_onnx_file_keeps_elsewhere_are_named_where_they_are_missing(tmp_path: Path) -> None:
    locations = ("model.onnx.data", "./more/c", "i.bin", "more//f")
    (tmp_path / "model.onnx").write_bytes(with_data(*locations).SerializeToString())
    assert problems(tmp_path, "model.onnx") == [
        "model.onnx stores weights in model.onnx.data, more/c, i.bin, more/f, which are missing: put them in the "
        "model's folder"
    ]
    (tmp_path / "more").mkdir()
    for name in locations[:3]:
        (tmp_path / name).touch()
    assert problems(tmp_path, "model.onnx") == [
        "model.onnx stores weights in more/f, which is missing: put it in the model's folder"
    ]
    (tmp_path / "more" / "f").touch()
    assert problems(tmp_path, "model.onnx") == []


def test_ops_of_other_domains_are_named_and_functions_of_the_model_are_not(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Twice", ["x"], ["t"], domain="own.functions"),
        helper.make_node("Gelu", ["t"], ["g"], domain="com.microsoft"),
        helper.make_node("Scaler", ["g"], ["y"], domain="ai.onnx.ml"),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own.functions", 1)]
    twice = helper.make_function(
        "own.functions", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], opsets[:1]
    )

    def save(*more: Any) -> None:
        model = helper.make_model(helper.make_graph([*nodes, *more], "g", [value], []), functions=[twice])
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    save()
    assert problems(tmp_path, "model.onnx") == []
    branch = helper.make_graph([helper.make_node("Mine", [], ["m"], domain="own.ops")], "b", [], [])
    tokenizers = [
        helper.make_node(f"{name}Tokenizer", [], ["z"], domain="ai.onnx.contrib") for name in ("GPT2", "Bert")
    ]
    save(*tokenizers, helper.make_node("If", ["b"], ["z"], then_branch=branch, else_branch=branch))
    way_out = "not part of the runtime onnx: perform that step before the upload, and export the model without it"
    assert problems(tmp_path, "model.onnx") == [
        f"the model has the ops BertTokenizer, GPT2Tokenizer of onnxruntime_extensions, which are {way_out}",
        f"the model has the op Mine of own.ops, which is {way_out}",
    ]


def test_every_domain_of_onnx_runtime_is_known() -> None:
    domains = {schema.domain for schema in ort.get_all_operator_schema()}
    assert "com.microsoft" in domains
    assert [domain for domain in domains if not model_files._ONNX_DOMAINS.fullmatch(domain)] == []


def test_no_op_of_tensorflow_is_taken_for_one_of_a_library() -> None:
    from tensorflow.core.framework.op_def_pb2 import OpList
    from tensorflow.python.client import pywrap_tf_session as session

    ops = [op.name for op in OpList.FromString(session.TF_GetBuffer(session.TF_GetAllOpList())).op]
    assert len(ops) > 1000
    assert [op for op in ops if model_files.origin_of(op)] == []


@pytest.mark.parametrize(
    ("op", "library"),
    [
        ("TFText>WhitespaceTokenizeWithOffsetsV2", "tensorflow_text"),
        ("SentencepieceOp", "tensorflow_text"),
        ("SentencepieceTokenizeWithOffsetsOp", "tensorflow_text"),
        ("Addons>ImageProjectiveTransformV2", "tensorflow_addons"),
        ("SimpleMLInferenceOpWithHandle", "tensorflow_decision_forests"),
        ("IO>DecodeAvro", "tensorflow_io"),
        ("Own", ""),
    ],
)
def test_an_op_tells_its_library(op: str, library: str) -> None:
    assert model_files.origin_of(op) == library


@pytest.mark.parametrize("name", ["model.onnx", "saved_model.pb", "model.keras", "model.tflite"])
@pytest.mark.parametrize("content", [b"", b"no model", b"\x3a\xff\xff\xff\x7f", b"\x3a" * 9, b"\xff" * 20, b"\x12\x00"])
def test_what_is_no_model_is_left_to_its_library(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert problems(tmp_path, name) == []


def test_a_file_of_zeros_is_left_to_its_library_without_reading_on(tmp_path: Path) -> None:
    """As a download that was allocated and not filled leaves it: here 16 GB, which take no room on the disk."""
    with (tmp_path / "model.onnx").open("wb") as file:
        file.truncate(2**34)
    assert problems(tmp_path, "model.onnx") == []
