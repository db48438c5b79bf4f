"""The direct call: a request of TensorFlow Serving's REST API, answered as that API does."""

import logging
import time
from typing import Any

from inference import metrics, predictions, tensors
from inference.config import Config
from inference.errors import DecodeError, InputError
from inference.predictor import Predictor
from inference.tensors import Instances

logger = logging.getLogger(__name__)


def serve(event: Any, config: Config, predictor: Predictor, *, cold_start: bool) -> dict[str, Any]:
    """Answer `{"instances": [...]}` with `{"predictions": [...]}` and `{"inputs": ...}` with `{"outputs": ...}`.

    Predictions are raw, whatever labels the model has. What is wrong with the request comes back as
    `{"error": "..."}`; NaN and infinity are wrong in both directions, since JSON has no number for them.

    Raises:
        ServiceError: not the caller's fault; Lambda reports it as the function's error.
    """
    answered, predict_ms = 0, 0.0
    try:
        instances = _read(event, config, predictor)
        started = time.perf_counter()
        answer = _predict(instances, predictor, by_row="instances" in event)
        answered, predict_ms = instances.count, (time.perf_counter() - started) * 1000
    except InputError as error:
        logger.warning("direct call refused: %s", error, extra={"error_type": type(error).__name__})
        answer = {"error": str(error)}
    metrics.emit(
        config,
        predictions=answered,
        input_errors=0 if answered else 1,
        failures=0,
        predict_ms=predict_ms,
        cold_start=cold_start,
    )
    return answer


def _read(event: Any, config: Config, predictor: Predictor) -> Instances:
    signature = event.get("signature_name") if isinstance(event, dict) else None
    if signature not in (None, "", config.signature):
        raise DecodeError(f"this function serves the signature {config.signature!r}, not {str(signature)[:64]!r}")
    return tensors.from_request(event, predictor.inputs)


def _predict(instances: Instances, predictor: Predictor, *, by_row: bool) -> dict[str, Any]:
    if by_row:
        return {"predictions": [predictions.raw(row) for row in predictor.rows(instances)]}
    return {"outputs": predictions.raw(predictor.outputs(instances))}
