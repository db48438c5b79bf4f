"""What is wrong with a model's files is said in the same words by `validate`, by `import` and by the function."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from inference import model_files, runtimes
from inference.errors import ModelError
from modelctl.errors import UserError
from modelctl.registry import validation
from unit.functions.onnx_artifacts import graph
from unit.functions.test_model_files import LFS, outside

NOT_PART = "which is not part of the runtime {}: perform that step before the upload, and export the model without it"


def pointer(folder: Path) -> None:
    (folder / "model.onnx").write_text(LFS)


def keras_pointer(folder: Path) -> None:
    (folder / "model.keras").write_text(LFS)


def without_data(folder: Path) -> None:
    model = graph("(float[1] x) => (float[1] y) { y = Add (x, w) }")
    model.graph.initializer.append(outside("w", "model.onnx.data"))
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def tokenizer(folder: Path) -> None:
    node = helper.make_node("GPT2Tokenizer", ["x"], ["y"], domain="ai.onnx.contrib")
    given, answer = (helper.make_tensor_value_info(name, TensorProto.STRING, [1]) for name in "xy")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.contrib", 1)]
    model = helper.make_model(helper.make_graph([node], "g", [given], [answer]), opset_imports=opsets, ir_version=8)
    onnx.save(model, folder / "model.onnx")


def with_op(folder: Path, op: str) -> None:
    """A SavedModel with another op in the place of StringLower."""
    signature = tf.function(lambda x: {"y": tf.strings.lower(x)}, [tf.TensorSpec([None], tf.string, "x")])
    tf.saved_model.save(tf.Module(), str(folder), signatures=signature)
    file = folder / "saved_model.pb"
    saved = SavedModel.FromString(file.read_bytes())
    (meta,) = saved.meta_graphs
    listed = [known for known in meta.meta_info_def.stripped_op_list.op if known.name == "StringLower"]
    nodes = [node for body in meta.graph_def.library.function for node in body.node_def if node.op == "StringLower"]
    assert listed
    assert nodes
    for known in listed:
        known.name = op
    for node in nodes:
        node.op = op
    file.write_bytes(saved.SerializeToString())


def text_op(folder: Path) -> None:
    with_op(folder, "CaseFoldUTF8")


def link(folder: Path) -> None:
    onnx.save(graph("(float[1] x) => (float[1] y) { y = Neg (x) }"), folder / "model.onnx")
    (folder / "more").mkdir()
    (folder / "more" / "words.txt").symlink_to("../../gone")


#: By case: what makes the artifact, its runtime, the message, and whether the function can meet it, too.
CASES: dict[str, tuple[Callable[[Path], None], str, str, bool]] = {
    "pointer": (
        pointer,
        "onnx",
        "model.onnx is a Git LFS pointer, not the content: fetch the content with `git lfs pull`",
        True,
    ),
    "keras-pointer": (
        keras_pointer,
        "tensorflow",
        "model.keras is a Git LFS pointer, not the content: fetch the content with `git lfs pull`",
        True,
    ),
    "data": (
        without_data,
        "onnx",
        "model.onnx stores weights in model.onnx.data, which is missing: put it in the model's folder",
        True,
    ),
    "tokenizer": (
        tokenizer,
        "onnx",
        f"the model has the op GPT2Tokenizer of onnxruntime_extensions, {NOT_PART.format('onnx')}",
        True,
    ),
    "text": (
        text_op,
        "tensorflow",
        f"the model has the op CaseFoldUTF8 of tensorflow_text, {NOT_PART.format('tensorflow')}",
        True,
    ),
    "link": (
        link,
        "onnx",
        "more/words.txt is a link to ../../gone, which does not exist: put the file itself in its place, or remove it",
        False,
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    for name, (make, *_) in CASES.items():
        (root / name).mkdir()
        make(root / name)
    return root


def test_validate_names_the_cause_at_the_line_of_the_artifact(folders: Path) -> None:
    file = folders / "registry.yaml"
    entries = [
        f"  {name}: {{version: '1', runtime: {runtime}, artifact: {name}}}\n"
        for name, (_, runtime, *_) in CASES.items()
    ]
    file.write_text("version: 1\nmodels:\n" + "".join(entries))
    found = [(problem.path, problem.line, problem.message) for problem in validation.validate(file)]
    assert found == [
        (f"models.{name}.artifact", line, message) for line, (name, (_, _, message, _)) in enumerate(CASES.items(), 3)
    ]


@pytest.mark.parametrize("name", CASES)
def test_import_and_the_function_name_the_same_cause(
    name: str, folders: Path, import_model: Callable[..., dict[str, Any]]
) -> None:
    _, runtime, message, meets = CASES[name]
    with pytest.raises(UserError) as refused:
        import_model(folders / name)
    assert str(refused.value) == f"{folders / name}: {message}"
    if meets:
        with pytest.raises(ModelError) as failed:
            runtimes.load(runtime, folders / name, "serving_default")
        assert str(failed.value) == message


def test_an_op_of_no_known_library_is_named_by_import_and_the_function(
    tmp_path: Path, import_model: Callable[..., dict[str, Any]]
) -> None:
    (tmp_path / "saved").mkdir()
    with_op(tmp_path / "saved", "OwnOp")
    message = f"the model has the op OwnOp, {NOT_PART.format('tensorflow')}"
    with pytest.raises(UserError) as refused:
        import_model(tmp_path / "saved")
    assert str(refused.value) == message
    with pytest.raises(ModelError) as failed:
        runtimes.load("tensorflow", tmp_path / "saved", "serving_default")
    assert str(failed.value) == message


def test_only_the_graph_that_is_served_has_to_run(tmp_path: Path) -> None:
    with_op(tmp_path, "CaseFoldUTF8")
    file = tmp_path / "saved_model.pb"
    saved = SavedModel.FromString(file.read_bytes())
    for tag, expected in (("train", 0), ("serve", 1)):
        other = SavedModel.FromString(saved.SerializeToString())
        other.meta_graphs.add().meta_info_def.tags.append("serve" if tag == "train" else "train")
        other.meta_graphs[0].meta_info_def.tags[:] = [tag]
        file.write_bytes(other.SerializeToString())
        assert len(list(model_files.problems({"saved_model.pb": file}, "saved_model.pb"))) == expected


def test_what_is_behind_links_belongs_to_an_artifact(
    tmp_path: Path, import_model: Callable[..., dict[str, Any]]
) -> None:
    onnx.save(graph("(float[1] x) => (float[1] y) { y = Neg (x) }"), tmp_path / "blob")
    given = tmp_path / "given"
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "en.txt").write_text("one")
    given.mkdir()
    (given / "model.onnx").symlink_to("../blob")
    (given / "words").symlink_to("../words")
    (given / ".hidden").symlink_to("gone")
    assert import_model(given, include=["words"])["files"] == ["model.onnx", "words/en.txt"]
    annexed = given / "labels.txt"
    annexed.symlink_to("../.git/annex/objects/x")
    with pytest.raises(UserError, match=r"labels\.txt is a link to .*: fetch it with `git annex get`$"):
        import_model(given, name="again")
