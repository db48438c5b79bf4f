"""`modelctl import` with real models: what is served then answers as the original does, or nothing has changed."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
import yaml
from PIL import Image

from inference import runtimes
from modelctl import cli, paths
from modelctl.errors import UserError
from modelctl.importing import children, importer
from modelctl.registry import validation as registries
from unit.functions.artifacts import Artifacts
from unit.functions.onnx_artifacts import graph
from unit.functions.stateful_artifacts import FEATURES, STEPS, UNITS, fused_lstm, sequences
from unit.functions.tflite_files import converted, dequantizing

PAGE = paths.DOCS / "importing.md"

Import = Callable[..., dict[str, Any]]

SCANS = np.random.default_rng(3).random((5, 8, 8, 1), dtype=np.float32)
DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="session")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A sequence model, which LiteRT takes for a batch of one only."""
    tf.keras.utils.set_random_seed(7)
    layers = tf.keras.layers
    model = tf.keras.Sequential([tf.keras.Input((6, 4), name="steps"), layers.LSTM(5), layers.Dense(2)])
    file = tmp_path_factory.mktemp("lstm") / "lstm.keras"
    model.save(file)
    return file, model


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones included."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def served(done: dict[str, Any], tensors: dict[str, Any]) -> dict[str, Any]:
    """What the function would answer from the artifact, row by row."""
    model = runtimes.load(done["runtime"], Path(done["artifact"]), "serving_default")
    count = len(next(iter(tensors.values())))
    rows = [model({name: array[row : row + 1] for name, array in tensors.items()}) for row in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize(
    ("given", "file", "runtime", "rows"),
    [
        ("scans.keras/model.keras", "model.keras", "tensorflow", 64),
        ("scans.h5/model.h5", "model.h5", "tensorflow", 64),
        ("scans.saved_model", "saved_model.pb", "tensorflow", 64),
        ("scans.tflite/model.tflite", "model.tflite", "litert", 1),
        ("scans.onnx", "model.onnx", "onnx", 16),
    ],
)
def test_a_model_is_copied_and_named_in_the_registry(
    given: str, file: str, runtime: str, rows: int, artifacts: Artifacts, registry: Path, import_model: Import
) -> None:
    done = import_model(artifacts.root / given)

    assert registry.read_text() == (
        "# All of them.\nversion: 1\nmodels:\n  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n"
        f"    runtime: {runtime}\n    input: {{format: image, size: [8, 8], mode: L}}\n    batch: {{rows: {rows}}}\n"
        "# The end.\n"
    )  # fmt: skip
    assert file in done["files"]
    assert done["parity"] is None
    assert done["inputs"] == {"count": 32, "from": "made up"}
    answers = served(done, {"scan": SCANS})
    np.testing.assert_allclose(next(iter(answers.values())), artifacts.scans(SCANS, training=False), atol=1e-5)
    assert sorted(path.name for path in (registry.parent / "models").iterdir()) == ["faces"]


def test_an_input_without_a_shape_needs_samples(tmp_path: Path, import_model: Import) -> None:
    model = graph("(float x) => (float y) { y = Neg(x) }")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UserError, match="the signature leaves the shape of x open: give inputs with --samples"):
        import_model(tmp_path / "model.onnx")
    (tmp_path / "a.json").write_text("[[1, 2], [3, 4]]")
    assert import_model(tmp_path / "model.onnx", samples=[tmp_path / "a.json"])["inputs"]["count"] == 2


@pytest.mark.parametrize("runtime", ["tensorflow", "litert"])
def test_a_model_without_inputs_gives_one_answer(runtime: str, tmp_path: Path, import_model: Import) -> None:
    signature = tf.function(lambda: {"y": tf.constant([1.0, 2.0])}, input_signature=[])
    tf.saved_model.save(tf.Module(), str(tmp_path / "given"), signatures=signature)
    done = import_model(tmp_path / "given", runtime=runtime)
    assert done["inputs"] == {"count": 1, "from": "made up"}
    model = runtimes.load(runtime, Path(done["artifact"]), "serving_default")
    assert model({})["y"].tolist() == [1, 2]


@pytest.mark.parametrize("kind", ["float", "float16", "double"])
def test_a_model_of_single_values_is_imported(kind: str, tmp_path: Path, import_model: Import) -> None:
    onnx.save(graph(f"({kind} x) => ({kind} y) {{ y = Neg(x) }}"), tmp_path / "model.onnx")
    done = import_model(tmp_path / "model.onnx")
    assert done["inputs"] == {"count": 32, "from": "made up"}
    assert done["entry"]["batch"] == {"rows": 0}


@pytest.mark.parametrize("given", ["scans.keras/model.keras", "scans.h5", "scans.hdf5", "scans.saved_model"])
def test_a_converted_model_answers_as_the_original_and_says_how_exactly(
    given: str, artifacts: Artifacts, import_model: Import
) -> None:
    done = import_model(artifacts.root / given, runtime="litert", timing=True)

    assert done["files"] == ["model.tflite"]
    assert done["entry"]["batch"] == {"rows": 1}, "of the model that is served, which gains nothing from more"
    (proof,) = done["parity"]
    assert 0 < proof["largest_error"] < 1e-4
    assert proof["inputs"] == 32
    assert proof["agreement"] == 1
    assert done["speedup"]["warm_ms"]["ratio"] > 0
    answers = served(done, {"scan": SCANS})["output_0"]
    expected = artifacts.scans(SCANS, training=False).numpy()
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(answers, expected, atol=1e-4)


def test_what_loops_over_a_sequence_is_converted_for_one_row_at_a_time(
    lstm: tuple[Path, Any], import_model: Import
) -> None:
    file, model = lstm
    done = import_model(file, runtime="litert")
    steps = np.random.default_rng(5).random((3, 6, 4), dtype=np.float32)
    np.testing.assert_allclose(served(done, {"steps": steps})["output_0"], model(steps, training=False), atol=1e-4)
    assert "input" not in done["entry"]
    assert done["says"] == ["rows: independent: the signature takes one row per call → batch.rows: 1"]


def test_several_inputs_and_outputs_are_proved_by_name(artifacts: Artifacts, import_model: Import) -> None:
    done = import_model(artifacts.root / "two.keras", runtime="litert")
    assert {proof["output"] for proof in done["parity"]} == {"p", "q"}
    tensors = {"a": np.eye(3, dtype=np.float32), "b": np.arange(6, dtype=np.float32).reshape(3, 2)}
    answers, expected = served(done, tensors), artifacts.two(tensors, training=False)
    np.testing.assert_allclose(answers["p"], expected["p"], atol=1e-4)
    np.testing.assert_allclose(answers["q"], expected["q"], atol=1e-4)


def test_a_quantized_model_is_smaller_and_within_its_tolerance(
    artifacts: Artifacts, import_model: Import, tmp_path: Path
) -> None:
    np.save(tmp_path / "scans.npy", np.concatenate([SCANS, SCANS**2, 1 - SCANS, SCANS[:, ::-1]]))
    sizes, errors = {}, {}
    for quantize in ("none", "float16", "int8"):
        done = import_model(
            artifacts.root / "scans.keras",
            name=f"scans-{quantize}",
            runtime="litert",
            quantize=quantize,
            samples=[tmp_path / "scans.npy"],
        )
        (proof,) = done["parity"]
        assert done["inputs"] == {"count": 20, "from": "samples"}
        assert proof["largest_error"] <= proof["allowed"]
        sizes[quantize], errors[quantize] = done["bytes"], proof["largest_error"]
    assert sizes["int8"] < sizes["float16"] < sizes["none"]
    assert errors["none"] < errors["float16"] < errors["int8"]


def test_a_signature_is_served_by_its_name(artifacts: Artifacts, registry: Path, import_model: Import) -> None:
    with pytest.raises(UserError, match=r"no signature 'serving_default'; it has: .*total"):
        import_model(artifacts.root / "signatures.saved_model")
    assert import_model(artifacts.root / "signatures.saved_model", signature="shout")["entry"]["signature"] == "shout"
    assert "    signature: shout\n" in registry.read_text()
    done = import_model(
        artifacts.root / "signatures.saved_model", name="look-up", signature="look_up", runtime="litert"
    )
    assert done["inputs"]["count"] < 32, "it has three rows, and refuses other indices"


def test_an_op_that_litert_lacks_is_named_with_the_way_out(
    artifacts: Artifacts, registry: Path, import_model: Import
) -> None:
    before = files_below(registry.parent)
    with pytest.raises(UserError, match=r"LiteRT cannot run the op StringUpper: .*`--runtime tensorflow`"):
        import_model(artifacts.root / "signatures.saved_model", signature="shout", runtime="litert")
    assert files_below(registry.parent) == before


@pytest.mark.parametrize(
    ("kind", "call", "op"), [("custom", tf.linalg.expm, "MatrixSolve"), ("flex", tf.linalg.inv, "MatrixInverse")]
)
def test_a_tflite_file_with_such_an_op_is_refused_too(
    kind: str, call: Any, op: str, tmp_path: Path, import_model: Import
) -> None:
    signature = tf.function(lambda x: {"y": call(x)}, input_signature=[tf.TensorSpec([1, 2, 2], name="x")])
    converted(tmp_path, serving_default=signature, **{kind: True})
    with pytest.raises(UserError, match=rf"LiteRT cannot run the op {op}: .*`--runtime tensorflow`"):
        import_model(tmp_path / "model.tflite")


def test_an_lstm_whose_state_litert_keeps_is_proved_alike(tmp_path: Path, import_model: Import) -> None:
    """Of an LSTM marked as Keras 2 marks it the converter makes one op, whose state is in the file's variables."""
    tf.keras.utils.set_random_seed(3)
    steps = tf.keras.Input((STEPS, FEATURES), batch_size=1, name="steps")
    model = tf.keras.Model(steps, tf.keras.layers.LSTM(UNITS)(steps))
    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"), signatures=fused_lstm(model.get_weights()))
    done = import_model(tmp_path / "saved", runtime="litert")
    (proof,) = done["parity"]
    assert proof["inputs"] == 32
    assert proof["largest_error"] <= proof["allowed"]
    inputs = sequences(3)
    for order in ([0, 1, 2], [2, 0, 0]):
        answers = served(done, {"steps": np.concatenate(inputs[order])})["hidden"]
        np.testing.assert_allclose(
            answers, np.concatenate([model(inputs[index], training=False) for index in order]), atol=1e-5
        )


def test_a_model_that_answers_everything_alike_proves_nothing(tmp_path: Path, import_model: Import) -> None:
    network = tf.keras.Sequential(
        [tf.keras.Input((3,)), tf.keras.layers.Dense(4, "softmax", kernel_initializer="zeros")]
    )
    network.save(tmp_path / "flat.keras")
    for runtime in (None, "litert"):
        with pytest.raises(UserError, match=r"same answer to all 32 inputs.*--samples"):
            import_model(tmp_path / "flat.keras", runtime=runtime)


def test_samples_are_decoded_as_the_function_will(artifacts: Artifacts, tmp_path: Path, import_model: Import) -> None:
    for number, scan in enumerate(SCANS[:2]):
        Image.fromarray((scan[..., 0] * 255).astype(np.uint8)).resize((20, 20)).save(tmp_path / f"{number}.png")
    (tmp_path / "two.json").write_text(json.dumps({"instances": SCANS[2:4].tolist()}))
    np.savez(tmp_path / "one.npz", scan=SCANS[4])
    samples = [*sorted(tmp_path.glob("*.png")), tmp_path / "two.json", tmp_path / "one.npz"]
    assert import_model(artifacts.root / "scans.keras", samples=samples)["inputs"] == {"count": 5, "from": "samples"}


def test_a_quantized_model_of_pictures_gets_their_pixels_as_they_are(
    tmp_path: Path, registry: Path, import_model: Import
) -> None:
    """Its entry has the file's own quantization; test_quantized_inputs.py compares what it is good for."""
    (tmp_path / "given").mkdir()
    file = dequantizing(tmp_path / "given", "uint8", (1, 8, 8, 3), 0.012566, 131) / "model.tflite"
    for color in (0, 255):
        Image.new("RGB", (8, 8), (color, 1, 2)).save(tmp_path / f"{color}.png")
    done = import_model(file, samples=sorted(tmp_path.glob("*.png")))
    fields = {"format": "image", "size": [8, 8], "mode": "RGB", "scale": 0.012566, "mean": [1.646146] * 3}
    assert done["entry"]["input"] == fields
    assert registries.load(registry)["faces"]["document"]["input"] == fields
    assert done["next"][0].startswith("models.faces.input: scale and mean are the file's own quantization")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "a.json",
            b"{",
            "a.json is not an input of this model: read as json because of its suffix .json, although the model's "
            "input.format is image: not valid JSON",
        ),
        ("a.json", b'{"instances": [[1, 2]]}', r"a.json is not an input of this model: .*shape"),
        ("a.png", b"PNG", r"a.png is not an input of this model: not an image"),
        ("one.json", json.dumps(SCANS[0].tolist()).encode(), r"same answer to all 1 inputs"),
    ],
)
def test_a_sample_that_is_none_is_named(
    name: str, content: bytes, says: str, artifacts: Artifacts, tmp_path: Path, import_model: Import
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        import_model(artifacts.root / "scans.keras", samples=[tmp_path / name])


def test_a_sample_that_the_model_cannot_answer_is_named(
    artifacts: Artifacts, tmp_path: Path, import_model: Import
) -> None:
    (tmp_path / "a.json").write_text('{"instances": [[1, 2], [0, 4]]}')
    with pytest.raises(UserError, match=r"answers .*a\.json, row 2 with NaN or infinity in y"):
        import_model(artifacts.root / "signatures.saved_model", signature="reciprocal", samples=[tmp_path / "a.json"])
    (tmp_path / "b.json").write_text('{"instances": [1, 7]}')
    with pytest.raises(UserError, match=r"the model refuses the sample .*b\.json, row 2: .*no such row"):
        import_model(artifacts.root / "signatures.saved_model", signature="look_up", samples=[tmp_path / "b.json"])


def test_labels_beside_a_model_come_along(
    artifacts: Artifacts, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    shutil.copy(artifacts.root / "scans.keras" / "model.keras", tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join(DIGITS))
    for name, path, runtime in (("file", tmp_path / "model.keras", "litert"), ("folder", tmp_path, None)):
        if name == "folder":
            shutil.rmtree(registry.parent / "models")
            registry.write_text("version: 1\nmodels:\n")
        done = import_model(path, name=name, runtime=runtime)
        assert "labels.txt" in done["files"]
        assert done["entry"]["output"] == {"labels": "labels.txt"}


def training_data(folder: Path) -> None:
    """Put files into a model's folder that do not belong to it, and a vocabulary that hooks may read."""
    for name in ("train.csv", "images/1.png", "words/en.txt", ".git/HEAD"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)


def test_what_does_not_belong_to_a_model_is_left_behind_and_named(
    artifacts: Artifacts, tmp_path: Path, import_model: Import
) -> None:
    for kind in ("saved_model", "onnx"):
        given = tmp_path / kind
        shutil.copytree(artifacts.root / f"scans.{kind}", given)
        training_data(given)
        (given / "labels.txt").write_text("\n".join(DIGITS))
        done = import_model(given, name=f"scans-{kind.replace('_', '-')}")
        assert done["files"] == sorted(["labels.txt", *files_below(artifacts.root / f"scans.{kind}")])
        assert done["left_behind"] == ["images/", "train.csv", "words/"]


def test_what_is_named_belongs_to_a_model_and_stays_with_it_when_it_is_converted(
    artifacts: Artifacts, tmp_path: Path, import_model: Import
) -> None:
    given = tmp_path / "given"
    shutil.copytree(artifacts.root / "scans.saved_model", given)
    training_data(given)
    done = import_model(given, runtime="litert", include=["words"])
    assert done["files"] == ["model.tflite", "words/en.txt"]
    assert done["left_behind"] == ["images/", "train.csv"]
    everything = import_model(given, name="everything", include=["."])
    assert everything["left_behind"] == []
    assert "images/1.png" in everything["files"]
    assert not any(name.startswith(".git") for name in everything["files"])
    for name in ("nothing.txt", "../given/words", str(given / "words")):
        with pytest.raises(UserError, match=rf"--include {name}: expected a file or folder in .*given, relative"):
            import_model(given, name="others", include=[name])


def test_weights_in_other_files_belong_to_an_onnx_model(tmp_path: Path, import_model: Import) -> None:
    """The length of the second file's name takes two bytes."""
    for location in ("weights/part", "v" * 200):
        given = tmp_path / location[:1]
        (given / location).parent.mkdir(parents=True, exist_ok=True)
        training_data(given)
        weights = {"w": np.arange(6, dtype=np.float32).reshape(3, 2)}
        model = graph("(float[N, 3] x) => (float[N, 2] y) { y = MatMul (x, w) }", weights)
        onnx.save_model(model, given / "m.onnx", save_as_external_data=True, location=location, size_threshold=0)
        done = import_model(given, name=f"model-{location[:1]}")
        assert done["files"] == sorted(["m.onnx", location])
        assert done["left_behind"] == ["images/", "train.csv", "words/"]


def test_files_of_an_artifact_that_is_replaced_are_taken_again(tmp_path: Path, import_model: Import) -> None:
    given = tmp_path / "given"
    given.mkdir()
    training_data(given)
    for factor in (2, 3):
        model = graph(f"(float[N, 2] x) => (float[N, 2] y) <float f = {{{factor}}}> {{ y = Mul (x, f) }}")
        onnx.save(model, given / "m.onnx")
        again = factor == 3
        done = import_model(given / "m.onnx" if again else given, replace=again, include=[] if again else ["words"])
        assert done["files"] == ["model.onnx" if again else "m.onnx", "words/en.txt"]
        np.testing.assert_array_equal(served(done, {"x": np.ones((1, 2), np.float32)})["y"], [[factor, factor]])


def test_labels_that_are_not_the_outputs_are_refused_and_named(
    artifacts: Artifacts, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    (tmp_path / "few.txt").write_text("cat\ndog\n")
    before = files_below(registry.parent)
    with pytest.raises(UserError, match=r"few\.txt: output\.labels names 2 labels, but the model returns 10 scores"):
        import_model(artifacts.root / "scans.keras", labels=tmp_path / "few.txt", runtime="litert")
    assert files_below(registry.parent) == before


def test_labels_that_the_file_shows_to_be_wrong_are_refused_as_at_a_plan(
    artifacts: Artifacts, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    (tmp_path / "few.txt").write_text("cat\ndog\n\n")
    before = files_below(registry.parent)
    with pytest.raises(
        UserError, match=r"models\.faces\.output\.labels: names 2 labels, but the model returns 10 scores"
    ):
        import_model(artifacts.root / "scans.tflite", labels=tmp_path / "few.txt")
    assert files_below(registry.parent) == before


def test_what_a_signature_leaves_open_of_its_outputs_is_checked_on_an_answer(
    tmp_path: Path, registry: Path, import_model: Import
) -> None:
    open_shape = tf.TensorSpec((None, None), tf.float32, "x")
    for name, answer in {"scores": lambda x: 2 * x, "sum": tf.reduce_sum}.items():
        signature = tf.function(lambda x, answer=answer: {"y": answer(x)}, [open_shape])
        tf.saved_model.save(tf.Module(), str(tmp_path / name), signatures=signature)
    (tmp_path / "few.txt").write_text("cat\ndog\n")
    before = files_below(registry.parent)
    with pytest.raises(UserError, match=r"few\.txt: output\.labels names 2 labels, but the model returns 16 scores"):
        import_model(tmp_path / "scores", labels=tmp_path / "few.txt")
    assert files_below(registry.parent) == before
    assert import_model(tmp_path / "sum")["entry"]["batch"] == {"rows": 0}, "its prediction is the whole output"


def test_a_new_version_takes_the_place_of_the_old_one_and_the_entry_stays(
    artifacts: Artifacts, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    (tmp_path / "names.txt").write_text("\n".join(DIGITS))
    first = import_model(artifacts.root / "scans.saved_model", runtime="litert", labels=tmp_path / "names.txt")
    edited = registry.read_text().replace('"1"', '"7"  # by hand').replace("labels.txt", "labels.txt, top_k: 2")
    registry.write_text(edited)
    retrained = tf.keras.models.clone_model(artifacts.scans)
    retrained.save(tmp_path / "retrained.keras")

    before = files_below(registry.parent)
    with pytest.raises(UserError, match=r"already has a model faces: run this again with --replace"):
        import_model(tmp_path / "retrained.keras")
    assert files_below(registry.parent) == before

    second = import_model(tmp_path / "retrained.keras", replace=True)

    assert registry.read_text() == edited
    assert second["replaced"]
    assert second["runtime"] == "litert", "which the entry says"
    assert second["files"] == ["labels.txt", "model.tflite"], "the entry names labels, so they are kept"
    assert second["digest"] != first["digest"]
    expected = retrained(SCANS, training=False)
    np.testing.assert_allclose(served(second, {"scan": SCANS})["output_0"], expected, atol=1e-4)

    before = files_below(registry.parent)
    with pytest.raises(UserError, match=r"models\.faces has the runtime litert, but the import asks for tensorflow"):
        import_model(tmp_path / "retrained.keras", runtime="tensorflow", replace=True)
    (tmp_path / "names.txt").write_text("\n".join(DIGITS[:3]))
    with pytest.raises(UserError, match="names 3 labels"):
        import_model(tmp_path / "retrained.keras", labels=tmp_path / "names.txt", replace=True)
    assert files_below(registry.parent) == before


def test_samples_of_a_model_with_hooks_are_read_by_them(
    artifacts: Artifacts, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    import_model(artifacts.root / "scans.tflite")
    (registry.parent / "hooks.py").write_text(
        "import numpy as np\n\n\ndef preprocess(body, key):\n"
        "    return np.frombuffer(body, np.float32).reshape(1, 8, 8, 1)\n"
    )
    registry.write_text(registry.read_text().replace("    runtime:", "    hooks: hooks.py\n    runtime:"))
    samples = [tmp_path / f"{number}.scan" for number in range(2)]
    for sample, scan in zip(samples, SCANS, strict=False):
        sample.write_bytes(scan.tobytes())

    done = import_model(artifacts.root / "scans.keras", samples=samples, replace=True)

    assert done["inputs"] == {"count": 2, "from": "samples"}
    assert done["files"] == ["model.tflite"], "hooks lie where the registry says"


def test_a_model_is_checked_with_the_memory_and_the_variables_of_its_entry(
    artifacts: Artifacts, registry: Path
) -> None:
    arguments = ["import", str(artifacts.root / "scans.tflite"), "--name", "faces", "--registry", str(registry)]
    assert cli.main(arguments) == 0
    (registry.parent / "hooks.py").write_text(
        "import os\n\nassert (os.environ['SIDE'], os.environ['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']) == ('8', '512')\n\n\n"
        "def postprocess(outputs):\n    return 1\n"
    )
    fields = "    hooks: hooks.py\n    memory_mb: 512\n    env: {SIDE: '8'}\n    runtime:"
    registry.write_text(registry.read_text().replace("    runtime:", fields))
    assert cli.main([*arguments, "--replace"]) == 0


def test_an_artifact_that_is_not_an_imported_one_is_left_alone(
    artifacts: Artifacts, registry: Path, import_model: Import
) -> None:
    by_hand = registry.parent / "models" / "faces" / "artifact"
    shutil.copytree(artifacts.root / "scans.tflite", by_hand)
    before = files_below(registry.parent)
    with pytest.raises(UserError, match=r"exists, but no entry of .* names it: move it elsewhere"):
        import_model(artifacts.root / "scans.tflite")
    assert files_below(registry.parent) == before

    registry.write_text(
        "version: 1\nmodels:\n  mine:\n    artifact: models/faces/artifact\n    runtime: litert\n    version: '1'\n"
    )
    before = files_below(registry.parent)
    with pytest.raises(UserError, match=r"already has a model mine, but its artifact is .*models/faces/artifact"):
        import_model(artifacts.root / "scans.tflite", name="mine")
    assert files_below(registry.parent) == before


def test_a_registry_that_would_be_refused_is_not_written(
    artifacts: Artifacts, registry: Path, import_model: Import
) -> None:
    registry.write_text(
        f"version: 1\nmodels:\n  other:\n    artifact: {artifacts.root / 'scans.tflite'}\n    runtime: litert\n"
        "    version: '1'\n    route: {prefixes: [faces/]}\n"
    )
    before = files_below(registry.parent)
    with pytest.raises(UserError, match=r"(?s)nothing was imported.*:7:13: models\.other\.route\.prefixes.*\"faces\""):
        import_model(artifacts.root / "scans.tflite")
    with pytest.raises(UserError, match=r"(?s)nothing was imported.*\n  models\.Faces: a model's name consists of"):
        import_model(artifacts.root / "scans.tflite", name="Faces")
    with pytest.raises(UserError, match=r"(?s)nothing was imported.*\n  models\.on: a model cannot be named on"):
        import_model(artifacts.root / "scans.tflite", name="on")
    assert files_below(registry.parent) == before


@pytest.mark.parametrize("new", [True, False])
def test_what_goes_wrong_at_the_last_step_leaves_everything_as_it_was(
    new: bool, artifacts: Artifacts, registry: Path, import_model: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    (names := registry.parent / "names.txt").write_text("\n".join(DIGITS))
    if not new:
        import_model(artifacts.root / "scans.tflite")
    before = files_below(registry.parent)

    def interrupt(*_: Any) -> None:
        assert (registry.parent / "models" / "faces" / "artifact" / "model.tflite").exists()
        raise KeyboardInterrupt

    if new:
        monkeypatch.setattr(importer, "_write_entry", interrupt)
    else:
        loads: Iterator[Callable[[Path], Any]] = iter([registries.load, interrupt])
        monkeypatch.setattr(registries, "load", lambda file: next(loads)(file))
    with pytest.raises(KeyboardInterrupt):
        import_model(artifacts.root / "scans.tflite", labels=names, replace=not new)
    assert files_below(registry.parent) == before
    assert (registry.parent / "models").exists() is not new


def test_without_quantization_nothing_but_conversion_needs_litert(artifacts: Artifacts, import_model: Import) -> None:
    with pytest.raises(UserError, match=r"--quantize is part of the conversion.*add `--runtime litert`"):
        import_model(artifacts.root / "scans.keras", quantize="int8")
    with pytest.raises(UserError, match=r"model\.tflite is not converted: quantize it where it was made"):
        import_model(artifacts.root / "scans.tflite" / "model.tflite", quantize="int8")


@pytest.mark.parametrize(
    ("given", "runtime", "says"),
    [
        ("scans.onnx/model.onnx", "litert", "model.onnx cannot run on litert: .onnx files run on onnx only"),
        (
            "scans.tflite/model.tflite",
            "tensorflow",
            "model.tflite cannot run on tensorflow: .tflite files run on litert only",
        ),
        (
            "scans.keras/model.keras",
            "onnx",
            "modelctl does not convert to onnx; choose tensorflow or litert, or export the model for onnx",
        ),
        ("scans.saved_model", "onnx", "modelctl does not convert to onnx"),
    ],
)
def test_a_model_is_not_imported_for_a_runtime_that_cannot_take_it(
    given: str, runtime: str, says: str, artifacts: Artifacts, import_model: Import
) -> None:
    with pytest.raises(UserError, match=says):
        import_model(artifacts.root / given, runtime=runtime)


@pytest.mark.parametrize(
    ("files", "given", "says"),
    [
        ([], "nowhere.keras", r"nowhere\.keras does not exist: expected a SavedModel"),
        (["notes.txt"], "notes.txt", r"notes\.txt is not a model that can be imported"),
        (["notes.txt"], ".", r"contains no model: .* found notes\.txt"),
        ([".hidden.tflite"], ".", r"contains no model: .* found nothing"),
        (["a.tflite", "b.onnx"], ".", r"contains several models \(a\.tflite, b\.onnx\): give the file"),
        (["saved_model.pb"], "saved_model.pb", r"is a part of a SavedModel: give its folder"),
        (["1/saved_model.pb"], ".", r"is not a SavedModel, but .*/1 is one: give that folder"),
        (["model.PKL"], ".", r"model\.PKL is a pickle, .*skl2onnx with zipmap=False"),
        (["model.joblib"], "model.joblib", r"is a pickle, .*skl2onnx with zipmap=False"),
        (["model.pth"], "model.pth", r"is a pickle of PyTorch, .*torch\.onnx\.export"),
        (["model.keras"], "model.keras", r"Keras cannot load model\.keras"),
        (["model.h5"], "model.h5", r"Keras cannot load model\.h5"),
        (["model.tflite"], "model.tflite", r"LiteRT cannot load model\.tflite"),
        (["model.onnx"], "model.onnx", r"ONNX Runtime cannot load model\.onnx"),
        (["saved_model.pb"], ".", r"TensorFlow cannot load the SavedModel"),
    ],
)
def test_what_is_no_model_is_refused_with_what_was_expected(
    files: list[str], given: str, says: str, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(b"no model")
    before = files_below(registry.parent)
    with pytest.raises(UserError, match=says):
        import_model(folder / given)
    assert files_below(registry.parent) == before
    assert not (registry.parent / "models").exists()


def test_a_pickle_is_not_even_opened(tmp_path: Path, import_model: Import) -> None:
    (tmp_path / "model.pkl").write_bytes(b"cposix\nsystem\n(S'false'\ntR.")
    opened = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    with pytest.raises(UserError, match="is a pickle"):
        import_model(tmp_path / "model.pkl")
    assert [path for path in opened if path.endswith("model.pkl")] == []


def test_a_model_of_several_files_is_given_as_their_folder(artifacts: Artifacts, import_model: Import) -> None:
    with pytest.raises(
        UserError,
        match=r"its weights are stored in another file, model\.onnx\.data: give the folder that contains both",
    ):
        import_model(artifacts.root / "scans.onnx" / "model.onnx")
    assert import_model(artifacts.root / "scans.onnx")["files"] == ["model.onnx", "model.onnx.data"]


def test_what_somebody_writes_into_the_registry_meanwhile_is_kept(
    artifacts: Artifacts, registry: Path, import_model: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = registries.load
    edits = iter(["# Written while the model was loaded.\n", "# And once more.\n"])

    def edit_and_load(file: Path) -> Any:
        with registry.open("a") as stream:
            stream.write(next(edits, ""))
        return load(file)

    monkeypatch.setattr(registries, "load", edit_and_load)
    import_model(artifacts.root / "scans.tflite")
    text = registry.read_text()
    assert text.endswith("# The end.\n# Written while the model was loaded.\n# And once more.\n")
    assert text.count("faces:") == 1


def test_int8_says_what_it_has_learned_from(artifacts: Artifacts, tmp_path: Path, import_model: Import) -> None:
    np.save(tmp_path / "scans.npy", SCANS)
    asked = {"runtime": "litert", "quantize": "int8", "samples": [tmp_path / "scans.npy"]}
    first = import_model(artifacts.root / "scans.keras", **asked)
    assert any(
        "import it again with --replace: int8 was calibrated with pixels of 0 to 255" in step for step in first["next"]
    )
    again = import_model(artifacts.root / "scans.keras", **asked, replace=True)
    assert len(again["next"]) == 1, "the entry says how pixels are scaled"


def test_code_inside_of_a_keras_file_is_not_run(tmp_path: Path, import_model: Import) -> None:
    @tf.keras.utils.register_keras_serializable("of_this_test")
    class Double(tf.keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x * 2

    layers = {"lambda": tf.keras.layers.Lambda(lambda x: x * 2), "own": Double()}
    for name, layer in layers.items():
        tf.keras.Sequential([tf.keras.Input((3,)), layer]).save(tmp_path / f"{name}.keras")
    tf.keras.utils.get_custom_objects().clear()
    with pytest.raises(UserError, match=r"contains Python code \(a Lambda layer\), which is not run; .*model\.export"):
        import_model(tmp_path / "lambda.keras")
    with pytest.raises(UserError, match=r"it needs the code of Double, .*model\.export"):
        import_model(tmp_path / "own.keras")
    tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(2)]).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(UserError, match=r"it contains only weights: save the whole model"):
        import_model(tmp_path / "a.weights.h5")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "to start one, write the lines `version: 1` and `models:`"),
        (b"\xff", "is not UTF-8 text"),
        (b"models: [", "not valid YAML"),
        (b"version: 1\n", "has no `models:`"),
        (b"version: 2\nmodels:\n", "nothing was imported"),
    ],
)
def test_a_registry_that_is_none_is_refused_before_any_model_is_loaded(
    content: bytes | None, says: str, artifacts: Artifacts, registry: Path, import_model: Import
) -> None:
    registry.unlink()
    if content is not None:
        registry.write_bytes(content)
    with pytest.raises(UserError, match=says):
        import_model(artifacts.root / "scans.tflite")


def test_the_command_converts_in_processes_of_its_own(
    artifacts: Artifacts,
    registry: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importer, "RUNS", 1)
    (tmp_path / "numpy.py").write_text("raise SystemExit('not the library')\n")
    monkeypatch.chdir(tmp_path)
    model = str(artifacts.root / "scans.keras" / "model.keras")
    arguments = ["import", model, "--name", "faces", "--runtime", "litert", "--registry", str(registry), "--json"]

    assert cli.main(arguments) == 0

    out, err = capfd.readouterr()
    done = json.loads(out)
    assert done["entry"] == yaml.safe_load(registry.read_text())["models"]["faces"]
    assert done["parity"][0]["largest_error"] < 1e-4
    for times in done["speedup"].values():
        assert times["ratio"] == times["original"] / times["converted"]
    assert "converting it to LiteRT: done" in err
    assert "absl" not in err
    assert cli.main([*arguments[:5], "onnx", *arguments[6:]]) == 1
    out, err = capfd.readouterr()
    assert err == f"error: {json.loads(out)['error']}\n"
    assert len(err.splitlines()) == 1


def test_what_the_command_says_has_the_entry_and_what_is_left_to_do(
    in_process: None, artifacts: Artifacts, registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(artifacts.root / "scans.keras")
    assert cli.main(["import", model, "--name", "faces", "--runtime", "litert", "--registry", str(registry)]) == 0
    out, err = capsys.readouterr()
    for says in (
        "parity: over ",
        ", output_0 differs by at most ",
        "cold start: ",
        "warm call: ",
        "artifact: ",
        "    runtime: litert\n",
    ):
        assert says in out
    assert "pixels go in as 0 to 255" in err
    assert "tf.image.resize, add `resample: keras`" in err
    assert cli.main(["import", model, "--name", "faces", "--replace", "--registry", str(registry)]) == 0
    assert "models.faces stays as it is" in capsys.readouterr().out


def test_commands_do_not_import_what_only_an_import_needs() -> None:
    heavy = ("numpy", "tensorflow", "inference.runtimes")
    program = f"import sys, modelctl.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import os; os.abort()", "loading it: the process was ended by SIGABRT"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "ended by SIGKILL; a system that is out of memory kills processes this way",
        ),
        ("print('why', file=__import__('sys').stderr); __import__('os').abort()", "SIGABRT; its last output: why"),
        ("raise SystemExit('no more')", "loading it failed: no more"),
    ],
)
def test_a_process_that_ends_without_an_answer_is_told(
    program: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(UserError, match=says):
        children.ask("loading it", "prepare")


@pytest.mark.parametrize(
    ("quantize", "way_out"),
    [("int8", "`--quantize float16`"), ("float16", "`--quantize none`"), ("none", "`--runtime tensorflow`")],
)
def test_a_converter_that_crashes_is_named_with_the_way_out(
    quantize: str,
    way_out: str,
    artifacts: Artifacts,
    registry: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As TensorFlow's does of an LSTM that is to be quantized to int8 (`make soak`)."""
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\nimport os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    script.chmod(0o755)
    ask = children.ask

    def crash(what: str, do: str, **request: Any) -> dict[str, Any]:
        if do == "convert":
            monkeypatch.setattr(sys, "executable", str(script))
            return ask(what, do, **request)
        return {"input": None}

    monkeypatch.setattr(children, "ask", crash)
    before = files_below(registry.parent)
    wanted = ["--runtime", "litert", "--quantize", quantize, "--name", "faces", "--registry", str(registry)]
    assert cli.main(["import", str(artifacts.root / "scans.keras"), *wanted]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith(f"scans.keras: the process was ended by SIGSEGV; import it with {way_out} instead")
    assert files_below(registry.parent) == before


def test_a_file_of_the_users_folder_does_not_take_the_place_of_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('not numpy')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"comparing failed: FileNotFoundError: .*none\.npz"):
        children.ask("comparing", "compare", original="none.npz", converted="none.npz", quantize="none")


def test_the_readmes_scikit_learn_model_is_served_as_it_was_trained(
    tmp_path: Path, import_model: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recipe,) = re.findall(r"<!-- example: scikit-learn -->\n\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    trained: dict[str, Any] = {}
    exec(recipe, trained)  # noqa: S102 - the page's own lines

    samples = [paths.CHECKOUT / "models/wine/samples/cellar.csv"]
    done = import_model(tmp_path / "cultivars.onnx", samples=samples, output="probabilities")

    assert done["runtime"] == "onnx"
    assert done["entry"]["output"] == {"name": "probabilities", "labels": "labels.txt"}
    wines = trained["wines"].data
    probabilities = served(done, {"X": wines.astype(np.float32)})["probabilities"]
    np.testing.assert_allclose(probabilities, trained["model"].predict_proba(wines), atol=1e-5)
