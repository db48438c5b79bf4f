"""`modelctl import --measure NAME`, and what an import writes of rows and memory; with real models and processes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf

from inference.errors import ModelError, PredictionError
from inference.runtimes import Specs, TensorSpec
from modelctl import cli
from modelctl.errors import UserError
from modelctl.importing import measurement, measuring
from modelctl.importing.cost import Cost
from modelctl.importing.cost import measure as measure_cost
from modelctl.importing.measurement import Function, decide
from modelctl.importing.rows import Finding
from unit.functions.onnx_artifacts import graph

Import = Callable[..., dict[str, Any]]

CUMULATIVE = "(float[N, 2] x) => (float[N, 2] y) <int64 axis = {0}> { y = CumSum (x, axis) }"
DOUBLE = "(float[N, 2] x) => (float[N, 2] y) { y = Add (x, x) }"
#: Each row is copied SIZE times, and the largest of the copies is the row again.
COPIES = """
    (float[N, 1] x) => (float[N, 1] y) {
        copies = Expand (x, shape)
        y = ReduceMax <axes = [1]> (copies)
    }
"""
#: The same, but the answer is always 0.
NOTHING = COPIES.replace("y = ReduceMax <axes = [1]> (copies)", "m = ReduceMax <axes = [1]> (copies) y = Sub (m, m)")


def write(registry: Path, name: str, text: str, fields: str = "", **weights: Any) -> None:
    """Add an entry with an ONNX model, in a folder that no import would use."""
    folder = registry.parent / "by hand" / name
    folder.mkdir(parents=True)
    onnx.save_model(graph(text, weights), folder / "model.onnx")
    entry = f"  {name}:  # of the tests\n    artifact: by hand/{name}\n    runtime: onnx\n    version: '1'\n{fields}"
    registry.write_text(registry.read_text().replace("# The end.\n", f"{entry}# The end.\n"))


def measure(registry: Path, name: str, *more: str) -> int:
    return cli.main(["import", "--measure", name, "--registry", str(registry), *more])


def test_what_is_found_is_written_into_the_entry_and_said(
    in_process: None, registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(registry, "sums", CUMULATIVE, "    batch: {window_s: 2}  # slow\n")
    write(registry, "doubles", DOUBLE)
    before = registry.read_text()

    assert measure(registry, "sums") == 0
    out = capsys.readouterr().out
    assert "rows: not independent: row 2 of a call of 2 differs by " in out
    assert " → batch.rows: 0, so an input is one call of the model and gets one prediction, the whole output\n" in out
    assert measure(registry, "doubles", "--json") == 0
    done = json.loads(capsys.readouterr().out)

    assert done["written"] == {"batch": {"rows": 16}}
    assert done["measured"]["independent"] is True
    assert done["says"][0] == (
        "rows: independent: calls of 2, 17 and 65 rows give the same answers as calls of one (largest relative "
        "difference 0) → batch.rows: 16"
    )
    assert registry.read_text() == before.replace("{window_s: 2}", "{window_s: 2, rows: 0}").replace(
        "version: '1'\n# The end", "version: '1'\n    batch: {rows: 16}\n# The end"
    )


def test_what_an_entry_says_already_is_replaced_or_stays_where_nothing_was_found(
    in_process: None, registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(registry, "sums", CUMULATIVE, "    batch: {rows: 64}  # wrong\n")
    zero = "(float[N, 2] x) => (float[N, 2] y) { y = Sub (x, x) }"
    write(registry, "zeros", zero, "    batch: {rows: 7}\n")
    before = registry.read_text()
    assert measure(registry, "sums") == measure(registry, "zeros") == 0
    assert registry.read_text() == before.replace("{rows: 64}  # wrong", "{rows: 0}  # wrong")
    assert "rows: not measured: the model gives the same answer to all 65 rows" in (out := capsys.readouterr().out)
    assert "; batch.rows stays 7\n" in out
    assert "entry: models.zeros of" in out
    assert "stays as it is" in out


def test_an_entry_is_measured_with_its_own_samples_settings_and_hooks(
    in_process: None, registry: Path, tmp_path: Path
) -> None:
    """The model is independent on the rows that are looked up, which only the hooks know how to read."""
    table = np.arange(6, dtype=np.float32)
    write(
        registry, "looks-up", "(int64[N] x) => (float[N] y) { y = Gather (table, x) }", "    hooks: h.py\n", table=table
    )
    (registry.parent / "h.py").write_text(
        "import numpy as np\n\n\ndef preprocess(body, key):\n    return np.array([len(body) % 6, 1])\n"
    )
    (tmp_path / "a.txt").write_text("four")
    done = measuring.run("looks-up", [tmp_path / "a.txt"], registry)
    assert done["written"] == {"batch": {"rows": 16}}
    with pytest.raises(UserError, match=r"the sample .*b\.txt is not a file"):
        measuring.run("looks-up", [tmp_path / "b.txt"], registry)
    with pytest.raises(UserError, match=r"has no model looks-down; it has looks-up"):
        measuring.run("looks-down", [], registry)


def test_what_hooks_make_of_a_sample_may_be_a_sequence(in_process: None, registry: Path, tmp_path: Path) -> None:
    text = "(float[T] x) => (float[T] y) <int64 axis = {0}> { y = CumSum (x, axis) }"
    write(registry, "sums", text, "    batch: {rows: 0}\n    hooks: h.py\n")
    (registry.parent / "h.py").write_text(
        "import numpy as np\n\n\ndef preprocess(body, key):\n    return np.linspace(0, 1, 16000, dtype=np.float32)\n"
    )
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    assert measuring.run("sums", [tmp_path / "a.wav"], registry)["written"] == {"batch": {"rows": 0}}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["faces.keras"], "an import needs --name; to measure a model of the registry, use --measure NAME"),
        (["--name", "faces"], "an import needs PATH; to measure"),
        ([], "an import needs PATH and --name"),
        (["--measure", "faces", "faces.keras"], "leave out PATH"),
        (["--measure", "faces", "--name", "a", "--replace"], "leave out --name, --replace"),
        (["--measure", "faces", "--quantize", "int8", "--labels", "l"], "leave out --quantize, --labels"),
        (["--measure", "faces", "--signature", "s", "--runtime", "onnx"], "leave out --runtime, --signature"),
        (["--measure"], "argument --measure: expected one argument"),
    ],
)
def test_an_import_and_a_measurement_are_not_called_at_once(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["import", *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_registry_that_cannot_be_changed_gets_the_lines_to_write(in_process: None, registry: Path) -> None:
    write(registry, "doubles", DOUBLE)
    registry.write_text(
        registry.read_text().replace("version: '1'\n# The", "version: '1'\n    <<: {batch: {size: 2}}\n# The")
    )
    before = registry.read_text()
    with pytest.raises(UserError, match=r"set this in models\.doubles yourself\n  batch\.rows: 16"):
        measuring.run("doubles", [], registry)
    assert registry.read_text() == before


# --- an import --------------------------------------------------------------------------------------------------------


def test_an_import_writes_what_it_found(tmp_path: Path, registry: Path, import_model: Import) -> None:
    for name, text, rows in (("sums", CUMULATIVE, 0), ("doubles", DOUBLE, 16)):
        onnx.save_model(graph(text), tmp_path / f"{name}.onnx")
        done = import_model(tmp_path / f"{name}.onnx", name=name)
        assert done["entry"]["batch"] == {"rows": rows}
        assert f"    batch: {{rows: {rows}}}\n" in registry.read_text()


def test_a_sound_is_no_batch_of_its_samples(tmp_path: Path, registry: Path, import_model: Import) -> None:
    """A window of 400 steps is moved over it; one alone is refused, and 16,000 are more than an input's instances."""
    window = np.random.default_rng(1).standard_normal((1, 1, 400)).astype(np.float32)
    text = """
        (float[T] x) => (float[F] y) {
            sound = Reshape (x, one_channel)
            windows = Conv <strides = [160]> (sound, window)
            y = Reshape (windows, flat)
        }
    """
    weights = {"window": window, "one_channel": np.array([1, 1, -1]), "flat": np.array([-1])}
    onnx.save_model(graph(text, weights), tmp_path / "frames.onnx")
    sounds = [tmp_path / f"{number}.npy" for number in range(2)]
    for number, file in enumerate(sounds):
        np.save(file, np.random.default_rng(number).standard_normal(16_000).astype(np.float32))

    done = import_model(tmp_path / "frames.onnx", samples=sounds)

    assert done["entry"]["batch"] == {"rows": 0}
    assert "the model takes the 16000 rows of an input together, but refuses one alone" in done["says"][0]
    assert done["inputs"]["count"] == 2
    registry.write_text(registry.read_text().replace("    batch: {rows: 0}\n", ""))
    assert measuring.run("faces", sounds, registry)["written"] == {"batch": {"rows": 0}}


def test_a_model_that_says_nothing_of_a_row_alone_is_checked_with_several(tmp_path: Path, import_model: Import) -> None:
    def standardize(x: Any) -> Any:
        return {"y": (x - tf.reduce_mean(x, 0)) / (tf.math.reduce_std(x, 0) + 1e-6)}

    signature = tf.function(standardize, [tf.TensorSpec((None, 2), tf.float32, "x")])
    tf.saved_model.save(tf.Module(), str(tmp_path / "standardize"), signatures=signature)
    for runtime in ("tensorflow", "litert"):
        done = import_model(tmp_path / "standardize", name=f"on-{runtime}", runtime=runtime)
        assert done["entry"]["batch"] == {"rows": 0}
        assert "not independent" in done["says"][0]


def test_a_kept_entry_that_says_otherwise_is_told(tmp_path: Path, registry: Path, import_model: Import) -> None:
    onnx.save_model(graph(DOUBLE), tmp_path / "doubles.onnx")
    onnx.save_model(graph(CUMULATIVE), tmp_path / "sums.onnx")
    import_model(tmp_path / "doubles.onnx")
    text = registry.read_text()
    done = import_model(tmp_path / "sums.onnx", replace=True)
    assert registry.read_text() == text
    assert "→" not in " ".join(done["says"])
    assert done["next"][0] == (
        "models.faces.batch.rows is 16, but this model's rows are not independent: `modelctl import --measure faces` "
        "writes 0"
    )
    registry.write_text(text.replace("    batch: {rows: 16}\n", ""))
    assert import_model(tmp_path / "sums.onnx", replace=True)["next"][0].startswith(
        "models.faces.batch.rows is not set"
    )
    registry.write_text(text.replace("16", "0"))
    assert len(import_model(tmp_path / "sums.onnx", replace=True)["next"]) == 1
    assert (
        "is 0, but this model's rows are independent"
        in import_model(tmp_path / "doubles.onnx", replace=True)["next"][0]
    )


def test_a_batch_of_fixed_length_can_be_replaced(tmp_path: Path, import_model: Import) -> None:
    onnx.save_model(graph("(float[4, 3] x) => (float[4, 3] y) { y = Abs (x) }"), tmp_path / "four.onnx")
    assert import_model(tmp_path / "four.onnx")["entry"]["batch"] == {"rows": 4}
    assert import_model(tmp_path / "four.onnx", replace=True)["replaced"]


@pytest.mark.parametrize(
    "text",
    [
        "(float[N] x) => (float s) { s = ReduceSum <keepdims = 0> (x) }",
        "(float[N, 2] x) => (float[N, 2] y) { mean = ReduceMean <axes = [0]> (x) y = Sub (x, mean) }",
        "(float[N, 3] x, float scale) => (float[N, 3] y) { y = Mul (x, scale) }",
    ],
)
def test_a_model_is_measured_whatever_was_said_of_its_rows(
    text: str, tmp_path: Path, registry: Path, import_model: Import
) -> None:
    """GIVEN rows that an entry, or the defaults, call independent WHEN a model has none THEN import finds out."""
    onnx.save_model(graph(DOUBLE), tmp_path / "doubles.onnx")
    onnx.save_model(graph(text), tmp_path / "mixes.onnx")
    import_model(tmp_path / "doubles.onnx")
    assert "rows are not independent" in import_model(tmp_path / "mixes.onnx", replace=True)["next"][0]
    registry.write_text(registry.read_text().replace("models:", "defaults: {batch: {rows: 16}}\nmodels:"))
    assert import_model(tmp_path / "mixes.onnx", name="new")["entry"]["batch"] == {"rows": 0}


def test_defaults_hold_where_nothing_was_found(tmp_path: Path, registry: Path, import_model: Import) -> None:
    registry.write_text(registry.read_text().replace("models:", "defaults: {batch: {rows: 16}}\nmodels:"))
    text = "(float[N, 2] x) => (float[N, 2] y, float[N, 2] z) { y = RandomUniformLike (x) z = Add (x, y) }"
    onnx.save_model(graph(text), tmp_path / "random.onnx")
    done = import_model(tmp_path / "random.onnx")
    assert "batch" not in done["entry"]
    assert done["says"][0].endswith("; batch.rows stays 16")


def test_a_measurement_that_ends_early_does_not_keep_a_model_from_being_imported(
    tmp_path: Path, import_model: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: Any) -> None:
        raise UserError("measuring it: the process was ended by SIGKILL")

    monkeypatch.setattr(measurement, "measure", end)
    onnx.save_model(graph(DOUBLE), tmp_path / "doubles.onnx")
    done = import_model(tmp_path / "doubles.onnx")
    assert "batch" not in done["entry"]
    assert done["says"] == [
        "rows: not measured: measuring it: the process was ended by SIGKILL; batch.rows is left out, so inputs do not "
        "share calls of the model"
    ]


# --- memory -----------------------------------------------------------------------------------------------------------

MB = 2**20


def test_rows_that_take_much_memory_are_measured_and_limited(
    registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row is copied to so many MB: of 192 MB less the process itself there is room for some of them."""
    fields = "    memory_mb: 256\n"
    write(registry, "copies", COPIES, fields, shape=np.array([1, 16 * MB // 4]))
    write(registry, "nothing", NOTHING, fields, shape=np.array([1, MB // 4]))

    assert measure(registry, "copies", "--json") == 0
    copies = json.loads(capsys.readouterr().out)
    assert 16 * MB <= copies["measured"]["memory"]["row_bytes"] < 40 * MB
    memory = copies["measured"]["memory"]
    assert memory["fitting_rows"] == int((192 * MB - memory["base_bytes"]) / memory["row_bytes"])
    assert copies["written"]["batch"] == {"rows": memory["fitting_rows"]}, "fewer than the 16 of the runtime"
    assert measure(registry, "nothing", "--json") == 0
    nothing = json.loads(capsys.readouterr().out)
    memory = nothing["measured"]["memory"]
    assert MB <= memory["row_bytes"] < 2.5 * MB
    assert memory["fitting_rows"] == int((192 * MB - memory["base_bytes"]) / memory["row_bytes"])
    (records,) = nothing["written"]["limits"].values()
    assert 0.9 * memory["fitting_rows"] <= records <= memory["fitting_rows"]
    assert nothing["says"][1].endswith(f"rows in one call → limits.records: {records}")
    assert f"    limits: {{records: {records}}}\n" in registry.read_text()


def cost(row: float, base: float = 60 * MB) -> Cost:
    return Cost(base=int(base), row=row, tensors=8, seconds=0.001)


FUNCTION = Function(batch_rows=16, memory_mb=1024, records=10_000)
UNKNOWN = Finding(None, "all the same")
MIXED = Finding(False, "row 2 differs")
INDEPENDENT = Finding(True, "as calls of one do", most=65)


@pytest.mark.parametrize(
    ("finding", "row", "rows", "records"),
    [
        (INDEPENDENT, 1000, 16, None),
        (INDEPENDENT, 100 * MB, 7, None),
        (INDEPENDENT, 9000 * MB, 1, None),
        (Finding(True, "", most=5), 1000, 5, None),
        (Finding(True, "", most=32, fixed=True), 1000, 32, None),
        (MIXED, 1000, 0, None),
        (MIXED, 100 * MB, 0, None),
        (UNKNOWN, 1000, None, None),
        (UNKNOWN, 100 * MB, None, 7),
        (UNKNOWN, MB / 2, None, 1400),
        (UNKNOWN, 9000 * MB, None, 1),
    ],
)
def test_rows_and_records_follow_from_what_fits_into_three_quarters_of_the_memory(
    finding: Finding, row: float, rows: int | None, records: int | None
) -> None:
    found = decide(finding, cost(row), FUNCTION)
    assert (found.rows, found.records) == (rows, records)
    assert decide(finding, None, FUNCTION).records is None


def test_a_call_that_is_too_large_ends_the_growth_and_nothing_else() -> None:
    sizes = []

    class Growing:
        inputs: Specs = (TensorSpec("x", (None, 2), np.dtype(np.float32)),)
        outputs = inputs
        bytes_per_call = 0

        def __init__(self, most: int, error: type[Exception]) -> None:
            self._most, self._error = most, error

        def __call__(self, tensors: Any) -> Any:
            sizes.append(len(tensors["x"]))
            if len(tensors["x"]) > self._most:
                raise self._error("too many")
            return tensors

    row = {"x": np.ones((1, 2), np.float32)}
    for error in (PredictionError, ModelError):
        found = measure_cost(Growing(100, error), [row])
        assert found is not None
        assert found.row >= found.tensors == 16
    assert measure_cost(Growing(0, PredictionError), [row]) is None
    assert measure_cost(Growing(1, PredictionError), [row, row]) is None
    assert sizes[-3:] == [1, 1, 4]
    with pytest.raises(ModelError):
        measure_cost(Growing(1, ModelError), [row])


def test_no_call_may_take_more_memory_or_time_than_there_is() -> None:
    assert cost(1).most_rows(copies=3, seconds=12) > 65
    assert cost(2**30).most_rows(copies=3, seconds=12) < 3
    assert Cost(base=0, row=1, tensors=2**30, seconds=0).most_rows(copies=3, seconds=12) == 0
    assert Cost(base=0, row=1, tensors=1, seconds=2).most_rows(copies=3, seconds=12) == 6
