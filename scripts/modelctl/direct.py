"""Direct calls of a model's function."""

import json
from typing import Any

from modelctl.deployment import Deployment, Model
from modelctl.errors import UserError

# Bytes of a synchronous payload: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LARGEST_CALL = 6 * 1024 * 1024


def call(deployed: Deployment, model: Model, body: bytes) -> dict[str, Any]:
    """Call the live version of a model with the JSON of a predict request; returns the response, or its error.

    Response and error have the format of TensorFlow Serving's REST API.

    Raises:
        UserError: the function failed.
    """
    answer = deployed.functions.invoke(FunctionName=model.function_name, Qualifier=model.alias, Payload=body)
    response: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        said = response.get("errorMessage", response)
        raise UserError(f"the function of {model.name} failed: {said}; see `modelctl logs {model.name}`")
    return response
