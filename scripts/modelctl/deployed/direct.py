"""Direct calls of a model's function."""

import json
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from modelctl.deployed import restoring
from modelctl.deployed.deployment import Deployment, Model
from modelctl.errors import UserError

# Bytes of a synchronous payload: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LARGEST_CALL = 6 * 1024 * 1024

# Seconds until a function that is still not restored is given up, and between two calls.
_GIVEN_UP_AFTER_S = 2.5 * restoring.SLOWEST_S
_AGAIN_EVERY_S = 3


def call(deployed: Deployment, model: Model, body: bytes, progress: Callable[[str], None]) -> dict[str, Any]:
    """Call the live version of a model with the JSON of a predict request; returns the response, or its error.

    Response and error have the format of TensorFlow Serving's REST API. The call waits for a function that was idle;
    nothing else is retried, since a second call is a second prediction.

    Args:
        deployed: where.
        model: which.
        body: the request.
        progress: is called with what the call waits for.

    Raises:
        UserError: the function failed, or Lambda does not restore it.
    """
    answer = _invoke(deployed, model, body, progress)
    response: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        said = response.get("errorMessage", response)
        raise UserError(f"the function of {model.name} failed: {said}; see `modelctl logs {model.name}`")
    return response


def _invoke(deployed: Deployment, model: Model, body: bytes, progress: Callable[[str], None]) -> Any:
    deadline = time.monotonic() + _GIVEN_UP_AFTER_S
    while True:
        try:
            return deployed.functions.invoke(FunctionName=model.function_name, Qualifier=model.alias, Payload=body)
        except ClientError as error:
            if not restoring.refused(error):
                raise
            if time.monotonic() > deadline:
                raise UserError(
                    f"the function of {model.name} was not called: it was idle, and Lambda has not restored it within "
                    f"{_GIVEN_UP_AFTER_S:.0f} s ({error}). Run the command again in a few minutes. If that does not "
                    f"help, `aws lambda get-function-configuration --function-name {model.function_name} --qualifier "
                    f"{model.alias}` shows the StateReason"
                ) from error
        progress(f"{model.function_name} was idle; Lambda is restoring it, which takes a minute or two")
        time.sleep(_AGAIN_EVERY_S)
