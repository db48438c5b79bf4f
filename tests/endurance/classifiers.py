"""Classifiers as people convert them to ONNX, with the probabilities that their own libraries give.

Runs in the environment of scripts/requirements/classifiers.txt: `python classifiers.py FOLDER` makes a folder for each,
with `model.onnx`, `labels.txt`, the samples `rows.csv`, and `expected.json`: a row of probabilities for each sample.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from lightgbm import LGBMClassifier
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier

#: The shape of the inputs of skl2onnx's own examples: any number of rows.
ROWS = None


def main(root: Path) -> None:
    """Train, convert and ask all of them."""
    for kind, convert in ((XGBClassifier, convert_xgboost), (LGBMClassifier, convert_lightgbm)):
        shapes, options = calculate_linear_classifier_output_shapes, {"nocl": [True, False], "zipmap": [True, False]}
        update_registered_converter(kind, kind.__name__, shapes, convert, options=options)
    wines = load_wine(as_frame=True)
    for kind in (XGBClassifier, LGBMClassifier):
        model = kind(n_estimators=5).fit(wines.data.to_numpy("float32"), wines.target)
        inputs = [("X", FloatTensorType([ROWS, wines.data.shape[1]]))]
        save(root / kind.__name__, model, inputs, wines.data.iloc[::20].astype("float32"), wines.target_names)
    people = pd.DataFrame({"age": [20.0, 30, 40, 50, 60, 70], "city": ["Bonn", "Köln", "Bonn", "Ulm", "Ulm", "Köln"]})
    prepared = ColumnTransformer([("number", StandardScaler(), ["age"]), ("word", OneHotEncoder(), ["city"])])
    pipeline = make_pipeline(prepared, LogisticRegression()).fit(people, [0, 0, 1, 0, 1, 1])
    inputs = [("age", FloatTensorType([ROWS, 1])), ("city", StringTensorType([ROWS, 1]))]
    save(root / "ColumnTransformer", pipeline, inputs, people, ["stays", "leaves"])


def save(folder: Path, model: Any, inputs: list[tuple[str, Any]], rows: pd.DataFrame, labels: Any) -> None:
    """Convert one and write its files."""
    folder.mkdir(parents=True)
    last = model[-1] if hasattr(model, "steps") else model
    options = {id(last): {"zipmap": False}}
    exported = convert_sklearn(model, initial_types=inputs, options=options, target_opset={"": 15, "ai.onnx.ml": 3})
    (folder / "model.onnx").write_bytes(exported.SerializeToString())
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    rows.to_csv(folder / "rows.csv", index=False)
    given = rows if hasattr(model, "steps") else rows.to_numpy()
    (folder / "expected.json").write_text(json.dumps(model.predict_proba(given).tolist()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
