"""One line of CloudWatch's embedded metric format per invocation.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
A custom metric costs $0.30 a month and every combination of dimensions is one: hence five, and no version.
"""

import json
import sys

from inference.config import VARIANT, Config

NAMESPACE = "Modelyard"

_UNITS = {
    "Predictions": "Count",
    "InputErrors": "Count",
    "Failures": "Count",
    "PredictTime": "Milliseconds",
    "ColdStarts": "Count",
}


def emit(
    config: Config,
    *,
    predictions: int,
    input_errors: int,
    failures: int,
    predict_ms: float,
    cold_start: bool,
    now: float,
) -> None:
    """Write the metrics of one invocation to standard output, from where CloudWatch takes them.

    Args:
        config: names the model.
        predictions: instances that were answered.
        input_errors: inputs that ended as an error result, or direct calls that got an error.
        failures: queue messages that go back to their queue.
        predict_ms: time in the model.
        cold_start: whether it was the environment's first invocation.
        now: seconds since 1970.
    """
    line = {
        "_aws": {
            "Timestamp": int(now * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["Model", "Variant"]],
                    "Metrics": [{"Name": name, "Unit": unit} for name, unit in _UNITS.items()],
                }
            ],
        },
        "Model": config.name,
        "Variant": VARIANT,
        "Predictions": predictions,
        "InputErrors": input_errors,
        "Failures": failures,
        "PredictTime": round(predict_ms, 3),
        "ColdStarts": int(cold_start),
    }
    sys.stdout.write(json.dumps(line) + "\n")
