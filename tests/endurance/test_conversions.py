"""What other libraries convert, and what crashes TensorFlow's converter; with real processes and pinned packages."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from modelctl import cli, paths
from modelctl.packaging import environments
from unit.importing.test_entries import uploaded

REQUIREMENTS = paths.CHECKOUT / "scripts" / "requirements" / "classifiers.txt"
EMPTY = "version: 1\nmodels:\n"


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each classifier that classifiers.py makes."""
    python = environments.ensure("classifiers", REQUIREMENTS) / "bin" / "python"
    root = tmp_path_factory.mktemp("classifiers")
    subprocess.run([python, Path(__file__).with_name("classifiers.py"), root], check=True)
    return root


@pytest.mark.parametrize("name", ["XGBClassifier", "LGBMClassifier", "ColumnTransformer"])
def test_a_converted_classifier_gives_the_probabilities_of_its_own_library(
    name: str, classifiers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (registry := tmp_path / "registry.yaml").write_text(EMPTY)
    given = classifiers / name
    asked = ["--name", "model", "--registry", str(registry), "--output", "probabilities"]
    assert cli.main(["import", str(given), *asked, "--samples", str(given / "rows.csv"), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    rows = (given / "rows.csv").read_bytes()
    several = name == "ColumnTransformer"
    assert done["entry"].get("input") == (None if several else {"columns": rows.decode().splitlines()[0].split(",")})
    assert done["left_behind"] == ["expected.json", "rows.csv"]

    labels = (given / "labels.txt").read_text().split()
    answered = [dict(row["top"]) for row in uploaded(done, "rows.csv", rows)]
    expected = json.loads((given / "expected.json").read_bytes())
    np.testing.assert_allclose([[row[label] for label in labels] for row in answered], expected, atol=1e-5)


def test_int8_of_an_lstm_names_the_signal_and_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (registry := tmp_path / "registry.yaml").write_text(EMPTY)
    layers = tf.keras.layers
    network = tf.keras.Sequential([tf.keras.Input((6, 4), name="steps"), layers.LSTM(5), layers.Dense(2)])
    network.save(tmp_path / "lstm.keras")
    asked = [
        "import",
        str(tmp_path / "lstm.keras"),
        "--name",
        "lstm",
        "--runtime",
        "litert",
        "--registry",
        str(registry),
    ]
    assert cli.main([*asked, "--quantize", "int8"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith("ended by SIGSEGV; import it with `--quantize float16` instead")
    assert cli.main([*asked, "--quantize", "float16", "--no-timing"]) == 0
