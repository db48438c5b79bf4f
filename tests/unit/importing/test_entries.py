"""What `modelctl import` writes into an entry, and what of an entry that is there it holds against the model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from inference import config as configuration
from inference import decoders
from inference.config import InputConfig
from inference.predictor import Predictor
from inference.runtimes import TensorSpec
from modelctl import cli, model_variables, paths
from modelctl.errors import UserError
from modelctl.importing import child, inputs, proof
from modelctl.registry import validation as registries
from unit.functions.artifacts import Artifacts
from unit.functions.onnx_artifacts import graph

Import = Callable[..., dict[str, Any]]

#: y = a + 10 b + 100 c, of a row of three numbers.
WEIGHED = "(float[N, 3] x) => (float[N, 1] y) { y = MatMul (x, w) }"
WEIGHTS = {"w": np.array([[1], [10], [100]], np.float32)}

#: The values of a picture's pixels, which stay as they are.
PICTURE = "(float[N, 2, 2, {channels}] x) => (float[N, 2, 2, {channels}] y) {{ y = Identity (x) }}"


def write(folder: Path, text: str, weights: dict[str, Any] | None = None) -> Path:
    """An ONNX file of a graph in ONNX's notation."""
    onnx.save(graph(text, weights), folder / "model.onnx")
    return folder / "model.onnx"


def sample(folder: Path, name: str, content: str | bytes) -> Path:
    """A file with an input."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def uploaded(done: dict[str, Any], name: str, body: bytes) -> Any:
    """The predictions that the function would make of an upload to the model."""
    model = registries.load(Path(done["registry"]))[done["model"]]
    config = configuration.read(model_variables.of(model, Path(done["artifact"])))
    predictor = Predictor(config)
    return json.loads(predictor.predict(decoders.decode(name, body, config.input, predictor.inputs)).json)


def spec(*shape: int | None, dtype: Any = np.float32, name: str = "x") -> TensorSpec:
    return TensorSpec(name, shape, np.dtype(dtype))


# --- format -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specs", "files", "expected"),
    [
        ((spec(None, dtype=object),), {}, {"format": "text"}),
        ((spec(None, 1, dtype=object),), {"a.txt": "né"}, {"format": "text"}),
        ((spec(1, dtype=object),), {"a.json": "{}", "b.csv": b"\xff"}, {"format": "text"}),
        ((spec(dtype=object),), {}, {"format": "text"}),
        ((spec(None, dtype=object),), {"a.txt": "né", "b.jpg": b"\xff\xd8\xff"}, {"format": "raw"}),
        ((spec(None, 3, dtype=object),), {"a.txt": "né"}, None),
        ((spec(5, dtype=object),), {}, None),
        ((spec(None, dtype=object), spec(None, dtype=object, name="z")), {}, None),
        ((spec(None, 13),), {}, None),
    ],
)
def test_a_model_of_one_string_per_row_takes_text_or_bytes(
    specs: Any, files: dict[str, Any], expected: Any, tmp_path: Path
) -> None:
    samples = [sample(tmp_path, name, content) for name, content in files.items()]
    assert inputs.fields(specs, samples, InputConfig("json"), {}) == expected


def test_a_model_of_strings_is_served_with_uploads_of_text(tmp_path: Path, import_model: Import) -> None:
    upper = 'y = StringNormalizer <case_change_action = "UPPER", locale = "C"> (x)'
    model = write(tmp_path, f"(string[N] x) => (string[N] y) {{ {upper} }}")
    done = import_model(model, samples=[sample(tmp_path, f"{word}.txt", word) for word in ("one", "two")])
    assert done["entry"]["input"] == {"format": "text"}
    assert uploaded(done, "c.txt", b"seven") == ["SEVEN"]


# --- scale, mean and std ----------------------------------------------------------------------------------------------


def test_pixels_are_scaled_as_the_arguments_say(tmp_path: Path, import_model: Import) -> None:
    pixels = np.array([[[0, 128, 255], [1, 2, 3]], [[9, 8, 7], [50, 100, 150]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(255 - pixels).save(tmp_path / "b.png")
    given = {"scale": 0.5, "mean": [1.0, 2.0, 4.0], "std": [0.25, 0.5, 2.0]}
    samples = [tmp_path / "a.png", tmp_path / "b.png"]
    done = import_model(write(tmp_path, PICTURE.format(channels=3)), pixels=given, samples=samples)
    assert done["entry"]["input"] == {"format": "image", "size": [2, 2], "mode": "RGB", **given}
    assert not any("pixels go in" in step for step in done["next"])
    expected = (pixels * 0.5 - [1, 2, 4]) / [0.25, 0.5, 2]
    assert uploaded(done, "a.png", (tmp_path / "a.png").read_bytes()) == [expected.tolist()]


@pytest.mark.parametrize(
    ("text", "pixels", "says"),
    [
        (
            WEIGHED,
            {"scale": 0.5, "std": [1.0]},
            r"--scale, --std: the model does not take images: expected one input of height",
        ),
        (PICTURE.format(channels=3), {"scale": 0.0}, r"nothing was imported.*input\.scale: must be more than 0, not 0"),
        (PICTURE.format(channels=3), {"std": [1.0, 0.0, 1.0]}, r"nothing was imported.*input\.std"),
        (PICTURE.format(channels=3), {"mean": [1.0]}, r"input\.mean has 1 numbers, but a pixel has 3 channels \(RGB\)"),
        (
            PICTURE.format(channels=1),
            {"mean": [1.0, 2.0]},
            r"input\.mean: must have one number per channel, 1 or 3 or 4",
        ),
    ],
)
def test_numbers_that_no_pixel_can_have_are_refused(
    text: str, pixels: dict[str, Any], says: str, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    before = registry.read_bytes()
    with pytest.raises(UserError, match=f"(?s){says}"):
        import_model(write(tmp_path, text, WEIGHTS if text == WEIGHED else None), pixels=pixels)
    assert registry.read_bytes() == before


# --- columns ----------------------------------------------------------------------------------------------------------


def test_columns_are_named_as_in_the_header_of_a_sample(tmp_path: Path, import_model: Import) -> None:
    samples = [sample(tmp_path, name, "a, b c,\u00e7\r\n1,2,3\r\n4,5,6\r\n") for name in ("one.csv", "two.CSV")]
    done = import_model(write(tmp_path, WEIGHED, WEIGHTS), samples=samples)
    assert done["entry"]["input"] == {"columns": ["a", "b c", "\u00e7"]}
    assert uploaded(done, "x.csv", "b c,id,\u00e7,a\n2,7,3,1\n5,7,6,4\n".encode()) == [[321], [654]]


@pytest.mark.parametrize("content", ["1,2,3\n4,5,6\n", "a,a,b\n1,2,3\n4,5,6\n", "\n1,2,3\n4,5,6\n"])
def test_a_sample_without_names_of_columns_says_none(content: str, tmp_path: Path, import_model: Import) -> None:
    done = import_model(write(tmp_path, WEIGHED, WEIGHTS), samples=[sample(tmp_path, "a.csv", content)])
    assert "input" not in done["entry"]


@pytest.mark.parametrize(("header", "expected"), [("true", ["7", "8", "9"]), ("false", None)])
def test_whether_samples_have_a_header_the_registry_may_say(
    header: str, expected: list[str] | None, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    registry.write_text(f"defaults: {{input: {{header: {header}}}}}\n{registry.read_text()}")
    samples = [sample(tmp_path, "a.csv", "7,8,9\n1,2,3\n4,5,6\n")]
    done = import_model(write(tmp_path, WEIGHED, WEIGHTS), samples=samples)
    assert done["entry"].get("input") == (expected and {"columns": expected})


def test_samples_whose_headers_differ_do_not_say_the_order(tmp_path: Path, import_model: Import) -> None:
    samples = [sample(tmp_path, f"{order}.csv", f"{','.join(order)}\n1,2,3\n4,5,6\n") for order in ("abc", "cba")]
    with pytest.raises(UserError, match=r"samples .*abc\.csv and .*cba\.csv have different headers"):
        import_model(write(tmp_path, WEIGHED, WEIGHTS), samples=samples)


def test_a_sample_that_is_no_csv_is_named(tmp_path: Path, import_model: Import) -> None:
    with pytest.raises(UserError, match=r"a\.csv is not an input of this model"):
        import_model(write(tmp_path, WEIGHED, WEIGHTS), samples=[sample(tmp_path, "a.csv", "x" * 200_000)])


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("NA,?,-", "line 1, column 1: 'NA' is not a number"),
        ("true,false,x", "line 1, column 1: 'true' is not a number"),
        ("5%,$5,5 kg", r"line 1: the first row \(5%, \$5, 5 kg\) may be column names or values: set input.header"),
    ],
)
def test_a_row_of_data_is_not_taken_for_column_names(row: str, says: str, tmp_path: Path, import_model: Import) -> None:
    with pytest.raises(UserError, match=says):
        import_model(write(tmp_path, WEIGHED, WEIGHTS), samples=[sample(tmp_path, "a.csv", f"{row}\n1,2,3\n4,5,6\n")])


def test_a_header_with_more_columns_than_the_model_takes_is_refused(tmp_path: Path, import_model: Import) -> None:
    with pytest.raises(
        UserError, match=r"a\.csv is not an input of this model: .*line 1: the rows have 4 columns; expected 3"
    ):
        import_model(write(tmp_path, WEIGHED, WEIGHTS), samples=[sample(tmp_path, "a.csv", "a,b,c,d\n1,2,3,4\n")])


# --- outputs ----------------------------------------------------------------------------------------------------------


def test_one_of_several_outputs_is_chosen(artifacts: Artifacts, tmp_path: Path, import_model: Import) -> None:
    """A classifier of scikit-learn gives the class and the probabilities of all."""
    model = artifacts.root / "classifier.onnx" / "model.onnx"
    done = import_model(model, output="probabilities", labels=sample(tmp_path, "names.txt", "even\nodd\n"))
    assert done["entry"]["output"] == {"name": "probabilities", "labels": "labels.txt"}
    assert not any("models.faces.output" in step for step in done["next"])
    rows = np.array([[0, 1, 2], [3, 0, 0]], np.float32)
    (expected,) = onnxruntime.InferenceSession(model).run(["probabilities"], {"X": rows})
    answered = uploaded(done, "x.json", json.dumps(rows.tolist()).encode())
    assert [row["label"] for row in answered] == [["even", "odd"][best] for best in expected.argmax(axis=1)]
    np.testing.assert_allclose([row["score"] for row in answered], expected.max(axis=1), rtol=1e-5)


def test_what_outputs_there_are_is_said(artifacts: Artifacts, tmp_path: Path, import_model: Import) -> None:
    model = artifacts.root / "classifier.onnx" / "model.onnx"
    with pytest.raises(UserError, match=r"output\.name is 'p', but the outputs of the model are label, probabilities"):
        import_model(model, output="p")
    with pytest.raises(
        UserError, match=r"models\.faces\.output\.labels: belongs to .* label, probabilities: .* --output"
    ):
        import_model(model, labels=sample(tmp_path, "names.txt", "even\nodd\n"))
    assert import_model(model)["next"][0] == (
        "models.faces.output: the model has label (int64 [any]) and probabilities (float32 [any, 2]), so a prediction "
        "is an object with all of them; to get only one, add `name` (or import with --output); labels require it"
    )


def test_how_to_serve_the_model_is_said_with_the_registry_that_has_it(
    artifacts: Artifacts, registry: Path, import_model: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = artifacts.root / "classifier.onnx" / "model.onnx"
    assert import_model(model)["next"][-1] == (
        f"`modelctl up --registry {registry}` serves it on the local stack, "
        f"`TF_VAR_registry_file={registry} modelctl apply --target aws` on AWS"
    )
    monkeypatch.setattr(paths, "REGISTRY", registry)
    assert import_model(model, replace=True)["next"][-1] == (
        "`modelctl up` serves it on the local stack, `modelctl apply --target aws` on AWS"
    )


# --- what an entry says already ---------------------------------------------------------------------------------------


def test_what_an_entry_says_is_not_changed_by_arguments(tmp_path: Path, registry: Path, import_model: Import) -> None:
    model = write(tmp_path, PICTURE.format(channels=1))
    import_model(model, pixels={"scale": 0.5})
    before = registry.read_bytes()
    import_model(model, pixels={"scale": 0.5}, replace=True)
    for asked, says in (
        (
            {"pixels": {"scale": 0.25}},
            r"models\.faces has the input\.scale 0\.5, but the import asks for 0\.25: .* kept as it is",
        ),
        ({"pixels": {"mean": [1.0]}}, r"models\.faces has no input\.mean, but the import asks for \[1\.0\]"),
        ({"output": "y"}, r"models\.faces has no output\.name, but the import asks for y"),
    ):
        with pytest.raises(UserError, match=says):
            import_model(model, replace=True, **asked)
    assert registry.read_bytes() == before


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (
            PICTURE.format(channels=3),
            PICTURE.format(channels=1),
            r"input\.mode is RGB, but the model's input x takes 1 ch",
        ),
        (WEIGHED, WEIGHED.replace("3", "4"), r"input\.columns names 3 columns, but the input x takes 4"),
    ],
)
def test_an_entry_that_does_not_fit_the_new_model_is_named(
    first: str, second: str, says: str, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    samples = [sample(tmp_path, "a.csv", "a,b,c\n1,2,3\n4,5,6\n")] if first == WEIGHED else []
    import_model(write(tmp_path, first, WEIGHTS if first == WEIGHED else None), samples=samples)
    before = registry.read_bytes()
    weights = {"w": np.ones((4, 1), np.float32)} if first == WEIGHED else None
    with pytest.raises(UserError, match=says):
        import_model(write(tmp_path, second, weights), replace=True)
    assert registry.read_bytes() == before


def test_samples_beyond_the_limits_of_an_entry_are_named(tmp_path: Path, registry: Path, import_model: Import) -> None:
    model = write(tmp_path, WEIGHED, WEIGHTS)
    rows = sample(tmp_path, "rows.csv", "1,2,3\n4,5,6\n7,8,9\n")
    registry.write_text(f"defaults: {{limits: {{records: 2, bytes: 18}}}}\n{registry.read_text()}")
    (said, _) = import_model(model, samples=[rows])["next"]
    assert said == (
        f"the sample {rows} has 3 rows, but models.faces.limits.records allows 2: an upload of it would be refused; "
        "raise that, or send fewer rows at once"
    )
    rows.write_text("1,2,3\n4,5,6\n7,8,99\n")
    with pytest.raises(UserError, match=r"rows\.csv is not an input of this model: 19 bytes; .* 18 \(limits\.bytes\)"):
        import_model(model, name="others", samples=[rows])


@pytest.mark.parametrize(
    ("text", "defaults", "says"),
    [
        (
            "(float[4, 2] x) => (float[4, 2] y) { y = Identity (x) }",
            "limits: {records: 3}",
            "models.faces.limits.records is 3, but a call of the model takes 4 rows, so every list of instances is "
            "refused: set it to 4 or more",
        ),
        (
            "(uint8[N, 11] x) => (uint8[N, 11] y) { y = Identity (x) }",
            "input: {format: raw}, limits: {bytes: 10}",
            "models.faces.limits.bytes is 10, but a row of the model takes 11 bytes as raw, so every such upload is "
            "refused: raise it",
        ),
        ("(float[4, 2] x) => (float[4, 2] y) { y = Identity (x) }", "limits: {records: 4}", None),
        (
            "(uint8[N, 11] x) => (uint8[N, 11] y) { y = Identity (x) }",
            "input: {format: raw}, limits: {bytes: 11}",
            None,
        ),
    ],
)
def test_limits_within_which_a_model_cannot_be_asked_are_named(
    text: str, defaults: str, says: str | None, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    registry.write_text(f"defaults: {{{defaults}}}\n{registry.read_text()}")
    steps = import_model(write(tmp_path, text))["next"]
    assert [step for step in steps if ".limits." in step] == ([says] if says else [])


# --- what was accepted ------------------------------------------------------------------------------------------------


def test_a_difference_that_was_accepted_is_in_the_entry_until_it_is_gone(
    in_process: None,
    artifacts: Artifacts,
    registry: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def convert(request: dict[str, Any]) -> dict[str, Any]:
        shutil.copy(artifacts.root / "scans.tflite" / "model.tflite", request["target"])
        return {}

    monkeypatch.setitem(child._DOES, "convert", convert)
    exact = proof.Tolerance(error=0, spread=0, agreement=1)
    asked = [str(artifacts.root / "scans.keras"), "--name", "faces", "--runtime", "litert", "--registry", str(registry)]

    def run(*more: str, tolerance: proof.Tolerance) -> int:
        monkeypatch.setitem(proof.TOLERANCES, "none", tolerance)
        return cli.main(["import", *asked, "--no-timing", *more])

    allowed, before = proof.TOLERANCES["none"], registry.read_text()
    assert run(tolerance=exact) == 1
    assert "output_0 differs by up to" in capsys.readouterr().err
    assert registry.read_text() == before

    assert run("--accept", tolerance=exact) == 0
    out = capsys.readouterr().out
    (comment,) = (line for line in registry.read_text().splitlines(keepends=True) if "accepted" in line)
    assert comment.startswith("    # accepted at import (--accept): output_0 differs by up to ")
    assert comment.endswith(", but only 0 is allowed\n")
    assert comment in out
    assert "; accepted\n" in out
    assert "cold start" not in out
    accepted = registry.read_text()

    assert run("--accept", "--replace", tolerance=allowed) == 0
    assert registry.read_text() == accepted.replace(comment, "")
    assert run("--accept", "--replace", tolerance=exact) == 0
    assert registry.read_text() == accepted
    says = comment.strip(" #\n")
    assert f"; it says: {says}\n" in capsys.readouterr().out
