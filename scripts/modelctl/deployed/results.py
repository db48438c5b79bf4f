"""Results in the results bucket: reading them, waiting for them, and saying what they hold."""

import datetime
import json
import math
import threading
import time
from typing import Any

from botocore.exceptions import ClientError

from inference.events import UploadedObject
from inference.keys import result_key
from modelctl.deployed.deployment import Deployment, Model
from modelctl.errors import UserError

# "404" is what boto3 makes of a response that it cannot parse, such as one that quotes a key with control characters.
NOT_THERE = ("NoSuchKey", "AccessDenied", "404")
# The pause between two looks at a result grows from the first to the second.
_POLL_S = (0.05, 1.0)


def read(deployed: Deployment, model: Model, key: str) -> dict[str, Any] | None:
    """The current result of an input's key; None if there is none."""
    try:
        answer = deployed.s3.get_object(Bucket=deployed.results, Key=result_key(model.name, key))
    except ClientError as problem:
        if problem.response["Error"]["Code"] not in NOT_THERE:
            raise
        return None
    result: dict[str, Any] = json.loads(answer["Body"].read())
    return result


def wait(
    deployed: Deployment, model: Model, uploaded: UploadedObject, deadline: float, given_up: threading.Event
) -> dict[str, Any]:
    """The result of one version of an input, as soon as it is there: a provisional one counts once it is given up.

    Args:
        deployed: where.
        model: the model that takes it.
        uploaded: the version.
        deadline: until when to wait, as `time.monotonic` counts.
        given_up: set by the caller when it no longer waits.

    Raises:
        UserError: it did not come in time.
    """
    pause_s = _POLL_S[0]
    while True:
        result = read(deployed, model, uploaded.key)
        if result and result["input"]["version_id"] != uploaded.version_id:
            result = None
        if result and not pending_s(result, model):
            return result
        if time.monotonic() + pause_s > deadline or given_up.wait(pause_s):
            if result:
                raise UserError(
                    f"{uploaded.key} was uploaded, but no result came in time: its last attempt has begun, and failed "
                    f"unless it is answered within {pending_s(result, model)} s. So far its result is "
                    f"{said_instead(result)}"
                )
            raise UserError(
                f"{uploaded.key} was uploaded, but no result came in time: see `modelctl status` and "
                f"`modelctl logs {model.name}`; the result will be at "
                f"s3://{deployed.results}/{result_key(model.name, uploaded.key)}"
            )
        pause_s = min(pause_s * 1.5, _POLL_S[1])


def pending_s(result: dict[str, Any], model: Model) -> int:
    """Seconds for which an answer may still replace a result: none, unless it is provisional.

    A provisional result is written after the last receive of its message, which becomes a dead letter when the
    visibility timeout of that receive is over.
    """
    if not result.get("provisional"):
        return 0
    written = datetime.datetime.fromisoformat(result["finished_at"])
    dead = written + datetime.timedelta(seconds=model.visibility_timeout_s)
    return max(0, math.ceil((dead - datetime.datetime.now(datetime.UTC)).total_seconds()))


def said_instead(result: dict[str, Any]) -> str:
    """What a result says in place of predictions."""
    error = f"{result['error']['type']}: {result['error']['message']}"
    return f"given up: {error}" if result.get("provisional") else error


def spent(result: dict[str, Any]) -> tuple[str, str]:
    """Milliseconds from fetching the input to its prediction, and whether the call was its environment's first."""
    timing = result["timing_ms"]
    # An input that was refused was not predicted, perhaps not even decoded.
    milliseconds = sum(timing[part] or 0 for part in ("fetch", "decode", "predict"))
    return f"{milliseconds:.1f}", "yes" if timing["cold_start"] else "no"


def is_labelled(prediction: Any) -> bool:
    """Whether a prediction is what `output.labels` makes; a model's hooks may make anything."""
    return (
        isinstance(prediction, dict)
        and set(prediction) - {"top"} == {"label", "score"}
        and isinstance(prediction["label"], str | None)
        and isinstance(prediction["score"], float | None)
    )
