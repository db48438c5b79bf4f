"""What `modelctl predict` says of predictions."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from modelctl.commands.predict import row
from modelctl.errors import UserError
from modelctl.predictions import predict
from unit.deployed import deployment, model


@pytest.mark.parametrize(
    ("predictions", "cells"),
    [
        ([{"label": "7", "score": 0.98, "top": [["7", 0.98]]}], ("7", "0.980")),
        ([{"label": "price", "score": 21.75}], ("price", "21.750")),
        (
            [{"label": None, "score": None, "top": []}, {"label": "owl", "score": 0.5, "top": [["owl", 0.5]]}],
            ("none, owl", ", 0.500"),
        ),
        # What a model's own code gives need not be a label and its score, though it be called so.
        ([{"label": 7}, {"label": ["7"], "score": None}], ('[{"label": 7}, {"label": ["7"], "score": null}]', "")),
        ([[0.5], "sharp"], ('[[0.5], "sharp"]', "")),
    ],
)
def test_predictions_are_labels_with_scores_or_shown_as_they_are(
    predictions: list[Any], cells: tuple[str, str]
) -> None:
    timing = {"fetch": 1.0, "decode": 1.0, "predict": 1.0, "cold_start": False}
    assert row(Path("a.png"), {"predictions": predictions, "timing_ms": timing})[1:3] == cells


def test_a_file_that_is_named_twice_is_told_from_two_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    scan, other, link = tmp_path / "a.png", tmp_path / "other" / "a.png", tmp_path / "link"
    scan.touch()
    other.touch()
    link.symlink_to(tmp_path)
    for files, said in (
        ([scan, scan], r"a\.png is named twice: name every file once"),
        ([scan, link / "a.png"], r"link/a\.png is named twice: name every file once"),
        ([scan, other], r"two of the files would both be uploaded as digits/a\.png: give them different names"),
    ):
        with pytest.raises(UserError, match=said):
            predict(deployment(Mock()), model("digits/", suffixes=(".png",)), files, timeout_s=1)
