"""The direct call: a request of TensorFlow Serving's REST API, answered as that API does."""

import logging
import time
from typing import Any

from inference import metrics, predictions, tensors
from inference.config import Config
from inference.errors import DecodeError, InputError, TooLargeError
from inference.limits import max_values
from inference.predictor import Predictor
from inference.tensors import Instances

logger = logging.getLogger(__name__)

#: The most values that fit into an answer of 6 MB: none is shorter than `0, `.
#: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_MOST_VALUES = 6 * 2**20 // 3


def serve(event: Any, config: Config, predictor: Predictor, *, cold_start: bool) -> dict[str, Any]:
    """Answer `{"instances": [...]}` with `{"predictions": [...]}` and `{"inputs": ...}` with `{"outputs": ...}`.

    Predictions are raw, whatever labels the model has. A faulty request is answered with `{"error": "..."}`. NaN and
    infinity are errors in both directions, since JSON has no number for them.

    Raises:
        ServiceError: not the caller's fault; Lambda reports it as the function's error.
    """
    answered, refused, predict_ms = 0, 0, 0.0
    try:
        instances = _read(event, config, predictor)
        started = time.perf_counter()
        answer, answered = _predict(instances, predictor, by_row="instances" in event)
        predict_ms = (time.perf_counter() - started) * 1000
    except InputError as error:
        logger.warning("direct call refused: %s", error, extra={"error_type": type(error).__name__})
        refused, answer = 1, {"error": str(error)}
    metrics.emit(
        config,
        predictions=answered,
        inputs=1,
        input_errors=refused,
        failures=0,
        predict_ms=predict_ms,
        cold_start=cold_start,
        now=time.time(),
    )
    return answer


def _read(event: Any, config: Config, predictor: Predictor) -> Instances:
    signature = event.get("signature_name") if isinstance(event, dict) else None
    if signature not in (None, "", config.signature):
        raise DecodeError(f"this function serves the signature {config.signature!r}, not {str(signature)[:64]!r}")
    return tensors.from_request(event, predictor.inputs, config.input)


def _predict(instances: Instances, predictor: Predictor, *, by_row: bool) -> tuple[dict[str, Any], int]:
    """The answer, and how many predictions it counts as."""
    if by_row:
        rows = predictor.rows(instances)
        _check_size(sum(array.size for row in rows for array in row.values()))
        return {"predictions": [predictions.raw(row, bare=instances.bare) for row in rows]}, len(rows)
    outputs = predictor.outputs(instances)
    _check_size(sum(array.size for array in outputs.values()))
    in_rows = all(array.shape[:1] == (instances.count,) for array in outputs.values())
    return {"outputs": predictions.raw(outputs)}, (instances.count or 0) if in_rows else 1


def _check_size(values: int) -> None:
    """Refuse an answer that is too large for Lambda, before it is built from Python objects."""
    most = min(max_values(), _MOST_VALUES)
    if values > most:
        raise TooLargeError(
            f"the answer has {values} values; it may have at most {most}: send fewer instances, or upload them"
        )
