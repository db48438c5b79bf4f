"""One line of CloudWatch's embedded metric format per invocation, and one more per 100 inputs beyond the first 100.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
A custom metric costs $0.30 per month, and every combination of dimensions is one: hence only six, and no version.
ResultTime is one of them because AWS does not report it: SQS reports the age of the oldest message, but not when a
message was answered.
"""

import functools
import json
import sys
from collections.abc import Mapping, Sequence

from inference import VARIANT
from inference.config import Config

NAMESPACE = "Modelyard"

_UNITS = {
    "Predictions": "Count",
    "InputErrors": "Count",
    "Failures": "Count",
    "PredictTime": "Milliseconds",
    "ColdStarts": "Count",
    "ResultTime": "Milliseconds",
}

#: The most values of one metric per line, according to the format's specification.
_MOST_VALUES = 100


def emit(
    config: Config,
    *,
    predictions: int,
    inputs: int,
    input_errors: int,
    failures: int,
    predict_ms: float,
    cold_start: bool,
    now: float,
    result_ms: Sequence[float] = (),
) -> None:
    """Write the metrics of one invocation to standard output, from which CloudWatch extracts them.

    InputErrors has one value per input: 1 if it was refused, otherwise 0. So its sum is the number of refused inputs,
    its average their share, and its sample count the number of inputs (the alarm input_error_share reads these).

    Args:
        config: names the model.
        predictions: instances that were answered.
        inputs: inputs that ended with a result, or direct calls that got an answer.
        input_errors: how many of them ended with an error result, or got an error.
        failures: queue messages that go back to their queue.
        predict_ms: time in the model.
        cold_start: whether it was the environment's first invocation.
        now: seconds since 1970.
        result_ms: for each input that came through the queue and has a result, the time since it was queued.
    """
    refused = [1] * input_errors + [0] * (inputs - input_errors)
    values: dict[str, float | Sequence[float]] = {
        "Predictions": predictions,
        "Failures": failures,
        "PredictTime": round(predict_ms, 3),
        "ColdStarts": int(cold_start),
    }
    several: dict[str, Sequence[float]] = {"InputErrors": refused, "ResultTime": result_ms}
    for start in range(0, max(1, len(refused), len(result_ms)), _MOST_VALUES):
        # An empty list is left out. A value in its place would count as an input.
        values |= {name: part for name, each in several.items() if (part := each[start : start + _MOST_VALUES])}
        _write(config, now, values)
        values = {}


def _write(config: Config, now: float, values: Mapping[str, float | Sequence[float]]) -> None:
    described = _description(config.name, tuple(values))
    sys.stdout.write(f'{{"_aws": {{"Timestamp": {int(now * 1000)}, {described}, {json.dumps(values)[1:]}\n')


@functools.cache
def _description(model: str, names: tuple[str, ...]) -> str:
    """The part of these lines between the time and the values: JSON, which begins inside `_aws` and closes it."""
    metrics = {
        "CloudWatchMetrics": [
            {
                "Namespace": NAMESPACE,
                "Dimensions": [["Model", "Variant"]],
                "Metrics": [{"Name": name, "Unit": _UNITS[name]} for name in names],
            }
        ]
    }
    dimensions = {"Model": model, "Variant": VARIANT}
    return f"{json.dumps(metrics)[1:]}, {json.dumps(dimensions)[1:-1]}"
