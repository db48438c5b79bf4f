"""What the numbers of a model mean: raw values, or a label with its score."""

import base64
from pathlib import Path
from typing import Any

import numpy as np

from inference.errors import ModelError, PredictionError
from inference.runtimes import Array, TensorSpec


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels of an artifact, one per line, in the order of the model's output.

    Raises:
        ModelError: the file is missing, no text, or empty.
    """
    try:
        labels = tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"output.labels: cannot read {path.name} from the artifact: {error}") from error
    if not labels:
        raise ModelError(f"output.labels: {path.name} is empty; expected one label per line")
    return labels


def check_labels(labels: tuple[str, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Refuse labels that cannot belong to the outputs, as far as the signature tells.

    Raises:
        ModelError: there are several outputs, or the one has another number of scores.
    """
    if len(outputs) != 1:
        names = ", ".join(spec.name for spec in outputs)
        raise ModelError(f"output.labels needs a signature with one output; this one has {names}")
    instance = outputs[0].instance
    if instance is not None and all(length is not None for length in instance):
        _check_count(labels, int(np.prod([length for length in instance if length is not None])))


def labelled(scores: Array, labels: tuple[str, ...], top_k: int | None) -> dict[str, Any]:
    """The prediction for one instance's scores: the best label, its score, and the best `top_k` with theirs.

    A single score for two labels is a sigmoid's: the probability of the second one.

    Raises:
        ModelError: there are not as many scores as labels.
        PredictionError: a score is not finite.
    """
    scores = scores.ravel()
    _check_count(labels, scores.size)
    _check_finite(scores)
    if scores.size == 1 and len(labels) == 2:
        scores = np.array([1 - scores[0], scores[0]])
    best = np.argsort(-scores, kind="stable")[:top_k]
    top = [[labels[index], _short(scores[index])] for index in best]
    return {"label": top[0][0], "score": top[0][1], "top": top}


def raw(outputs: dict[str, Array]) -> Any:
    """The outputs as TensorFlow Serving's REST API writes them: the values of one output, or an object by output name.

    Raises:
        PredictionError: a value is NaN or infinite, for which JSON has no number.
    """
    values = {name: _values(name, array) for name, array in outputs.items()}
    return values if len(values) != 1 else next(iter(values.values()))


def _values(name: str, array: Array) -> Any:
    if array.dtype.kind in "OSU":
        return _strings(array.tolist(), as_bytes=name.endswith("_bytes"))
    _check_finite(array)
    return array.tolist()


def _strings(value: Any, *, as_bytes: bool) -> Any:
    """Text, or base64 where the output's name ends in `_bytes` (TensorFlow Serving's rule) or the bytes are no text."""
    if isinstance(value, list):
        return [_strings(element, as_bytes=as_bytes) for element in value]
    if isinstance(value, str):
        return value
    try:
        if not as_bytes:
            return value.decode()
    except UnicodeDecodeError:
        pass
    return {"b64": base64.b64encode(value).decode()}


def _check_count(labels: tuple[str, ...], scores: int) -> None:
    if scores != len(labels) and not (scores == 1 and len(labels) == 2):
        raise ModelError(f"output.labels names {len(labels)} labels, but the model gives {scores} scores")


def _check_finite(array: Array) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise PredictionError("the model's output has NaN or infinite values, for which JSON has no number")


def _short(score: Any) -> float:
    """A score with six significant digits; a 32-bit float has seven."""
    return float(f"{float(score):.6g}")
