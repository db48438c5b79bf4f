"""SavedModels of every age load as TensorFlow Serving loads them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from inference import runtimes
from inference.errors import ModelError

v1 = tf.compat.v1


def build(folder: Path, *graphs: Sequence[str], resource: bool = True) -> Path:
    """A SavedModel of TensorFlow 1: a graph per set of tags, each `y = factor * position of the word`.

    The factor is 2 and the words are a, b and c; any other word has the position 3. `resource`: whether the factor is a
    variable as in TensorFlow 2.
    """
    words = folder / "words.txt"
    words.write_text("a\nb\nc\n")
    builder = v1.saved_model.Builder(str(folder / "saved"))
    with v1.Graph().as_default(), v1.Session() as session:
        word = v1.placeholder(tf.string, (None,), "word")
        factor = v1.get_variable("factor", initializer=2.0, use_resource=resource)
        position = tf.lookup.TextFileIndex
        lines = tf.lookup.TextFileInitializer(
            str(words), tf.string, position.WHOLE_LINE, tf.int64, position.LINE_NUMBER
        )
        table = tf.lookup.StaticVocabularyTable(lines, 1)
        answer = tf.cast(table.lookup(word), tf.float32) * factor
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, tf.constant(str(words)))
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        contents = {
            "signature_def_map": {
                "serving_default": v1.saved_model.predict_signature_def({"word": word}, {"y": answer})
            },
            "assets_collection": v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            "main_op": v1.tables_initializer(),
        }
        first, *others = graphs
        builder.add_meta_graph_and_variables(session, first, **contents)
        for tags in others:
            v1.get_default_graph().clear_collection("saved_model_main_op")  # the builder adds it each time
            builder.add_meta_graph(tags, **contents)
    builder.save()
    words.unlink()
    return folder / "saved"


@pytest.mark.parametrize(
    ("graphs", "resource"),
    [
        ([["serve"]], True),
        ([["serve"]], False),
        ([["hub"]], True),
        ([[]], True),
        ([["train"], ["serve"]], False),
        ([["serve"], ["serve", "tpu"]], True),
        ([["serve", "gpu"], ["train"], ["serve"]], True),
    ],
)
def test_the_only_graph_or_the_one_for_serving_is_served(
    graphs: list[list[str]], resource: bool, tmp_path: Path
) -> None:
    model = runtimes.load("tensorflow", build(tmp_path, *graphs, resource=resource), "serving_default")
    (spec,) = model.inputs
    assert (spec.name, spec.shape, spec.dtype.kind) == ("word", (None,), "O")
    for _ in range(2):
        assert model({"word": np.array([b"c", b"?", b"a"], object)})["y"].tolist() == [4, 6, 0]


def test_several_graphs_of_which_none_is_for_serving_are_refused_by_their_tags(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tags 'serve' could not be found.* '\[\{'train'\}, \{'eval'\}\]"):
        runtimes.load("tensorflow", build(tmp_path, ["train"], ["eval"]), "serving_default")


def test_a_missing_signature_is_named_beside_those_that_a_graph_has(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no signature 'classify'; it has: serving_default$"):
        runtimes.load("tensorflow", build(tmp_path, ["serve"]), "classify")


def test_a_saved_model_without_signatures_names_the_way_to_one(tmp_path: Path) -> None:
    module = tf.Module()
    module.table = tf.Variable([1.0])
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(ModelError) as refused:
        runtimes.load("tensorflow", tmp_path, "serving_default")
    assert str(refused.value) == (
        "the SavedModel has no signature 'serving_default'; it has: none: save it with model.export (Keras) or "
        "tf.saved_model.save(model, folder, signatures=function)"
    )
