"""Models of Keras 2 and TensorFlow 1 are imported with unchanged answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unit.functions import keras_2_models
from unit.functions.test_keras_2 import WRITTEN
from unit.functions.test_saved_models import build
from unit.importing.test_import import served

Import = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("name", "file", "runtime"),
    [
        ("image", "hdf5/model.keras", None),
        ("functional", "model.h5", "litert"),
        ("trained", "saved_model", "litert"),
    ],
)
def test_a_model_of_keras_2_is_imported_with_its_answers(
    name: str, file: str, runtime: str | None, import_model: Import
) -> None:
    done = import_model(WRITTEN / name / file, runtime=runtime)
    assert done["runtime"] == (runtime or "tensorflow")
    inputs, outputs = keras_2_models.answers(WRITTEN / name)
    answered = served(done, inputs)
    if len(outputs) == 1:
        answered = dict(zip(outputs, answered.values(), strict=True))
    for output, array in outputs.items():
        np.testing.assert_allclose(answered[output], array, atol=1e-5)


def test_of_several_graphs_the_one_for_serving_is_imported(tmp_path: Path, import_model: Import) -> None:
    done = import_model(build(tmp_path, ["train"], ["serve"]))
    assert served(done, {"word": np.array([b"b", b"?"], object)})["y"].tolist() == [2, 6]
