"""Files that TensorFlow 2.15, the last with Keras 2, writes now are imported with unchanged answers."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from inference import runtimes
from modelctl import cli, paths
from modelctl.packaging import environments
from unit.functions import keras_2_models

REQUIREMENTS = paths.CHECKOUT / "scripts" / "requirements" / "old_models.txt"
CASES = [
    (name, file, runtime)
    for name, files in keras_2_models.FILES.items()
    for file in files
    for runtime in ("tensorflow", "litert")
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the files."""
    python = environments.ensure("old_models", REQUIREMENTS) / "bin" / "python"
    folder = tmp_path_factory.mktemp("written")
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([python, "-W", "ignore", keras_2_models.__file__, folder], env=quiet, check=True)
    return folder


@pytest.mark.parametrize(("name", "file", "runtime"), CASES)
def test_a_model_is_imported_with_its_answers(
    name: str, file: str, runtime: str, written: Path, tmp_path: Path
) -> None:
    registry = tmp_path / "registry.yaml"
    registry.write_text("version: 1\nmodels: {}\n")
    asked = ["--name", "old", "--runtime", runtime, "--registry", str(registry)]
    assert cli.main(["import", str(written / name / file), *asked]) == 0

    model = runtimes.load(runtime, tmp_path / "models" / "old" / "artifact", "serving_default")
    inputs, outputs = keras_2_models.answers(written / name)
    for row in range(len(next(iter(outputs.values())))):
        answered = model({given: array[row : row + 1] for given, array in inputs.items()})
        if len(outputs) == 1:
            answered = dict(zip(outputs, answered.values(), strict=True))
        for output, array in outputs.items():
            np.testing.assert_allclose(answered[output], array[row : row + 1], atol=1e-5)
