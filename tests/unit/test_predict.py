"""What `modelctl predict` says of predictions, and of files that it cannot upload."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from modelctl.commands.predict import _upload, row
from modelctl.errors import UserError


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    gone = tmp_path / "gone.png"
    with pytest.raises(UserError, match=r"gone\.png cannot be read: No such file or directory"):
        _upload(Mock(), gone, "digits/gone.png")


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
