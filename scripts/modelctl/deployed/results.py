"""Results in the results bucket: reading them, waiting for them, and describing their content."""

import datetime
import json
import math
import threading
import time
from collections import deque
from typing import Any

from botocore.exceptions import ClientError

from inference.events import UploadedObject
from inference.keys import result_key
from modelctl.deployed.deployment import Deployment, Model
from modelctl.errors import UserError

# boto3 reports "404" for a response that it cannot parse, such as one that quotes a key with control characters.
NOT_THERE = ("NoSuchKey", "AccessDenied", "404")
# The pause after a poll that finds nothing grows from the first to the second.
_POLL_S = (0.05, 1.0)
# A poll that finds a result lets this many follow without a pause, since results come in batches.
_FOLLOW = 2


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


class Turns:
    """Lets waits poll in turn, one per pause, so that waiting for many inputs costs as much as waiting for one.

    Args:
        deadline: when to stop waiting, by `time.monotonic`.
    """

    def __init__(self, deadline: float) -> None:
        self.given_up = False
        self._deadline = deadline
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._pause_s = _POLL_S[0]
        self._next_look = 0.0
        self._without_pause = 0

    def next(self) -> bool:
        """Wait for a turn; False if the time is up or all waits were ended."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            while not self._has(turn) and not self._over():
                # Only the first one must wake up by itself: it wakes the others.
                self._changed.wait(max(0.0, min(self._next_look, self._deadline) - time.monotonic()) or None)
            self._waiting.remove(turn)
            if self._without_pause:
                self._without_pause -= 1
            else:
                self._next_look = time.monotonic() + self._pause_s
                self._pause_s = min(self._pause_s * 1.5, _POLL_S[1])
            self._changed.notify_all()
            return not self._over()

    def looked(self, *, found: bool) -> None:
        """Report whether a poll has found a result."""
        with self._changed:
            self._without_pause = self._without_pause + _FOLLOW if found else 0
            if found:
                self._pause_s = _POLL_S[0]
                self._changed.notify_all()

    def give_up(self) -> None:
        """End all waits."""
        with self._changed:
            self.given_up = True
            self._changed.notify_all()

    def _has(self, turn: object) -> bool:
        return self._waiting[0] is turn and (self._without_pause > 0 or time.monotonic() >= self._next_look)

    def _over(self) -> bool:
        return self.given_up or time.monotonic() >= self._deadline


def wait(deployed: Deployment, model: Model, uploaded: UploadedObject, turns: Turns) -> dict[str, Any]:
    """The result of one version of an input, as soon as it exists; a provisional one counts once the input is given up.

    Args:
        deployed: where.
        model: the model that takes it.
        uploaded: the version.
        turns: shared with the other waits of the caller; it also has the deadline.

    Raises:
        UserError: it did not arrive in time.
    """
    result = None
    while True:
        in_time = turns.next()
        if not turns.given_up:
            result = read(deployed, model, uploaded.key)
        if result and result["input"]["version_id"] != uploaded.version_id:
            result = None
        if result and not pending_s(result, model):
            turns.looked(found=True)
            return result
        turns.looked(found=False)
        if not in_time:
            if result:
                raise UserError(
                    f"{uploaded.key} was uploaded, but no result came in time: its last attempt has begun, and has "
                    f"failed unless an answer comes within {pending_s(result, model)} s. So far its result is "
                    f"{said_instead(result)}"
                )
            raise UserError(
                f"{uploaded.key} was uploaded, but no result came in time: see `modelctl status` and "
                f"`modelctl logs {model.name}`; the result will be at "
                f"s3://{deployed.results}/{result_key(model.name, uploaded.key)}"
            )


def pending_s(result: dict[str, Any], model: Model) -> int:
    """Seconds for which an answer may still replace a result: none, unless it is provisional.

    A provisional result is written after the last receive of its message, which becomes a dead letter after the
    visibility timeout of that receive.
    """
    if not result.get("provisional"):
        return 0
    written = datetime.datetime.fromisoformat(result["finished_at"])
    dead = written + datetime.timedelta(seconds=model.visibility_timeout_s)
    return max(0, math.ceil((dead - datetime.datetime.now(datetime.UTC)).total_seconds()))


def said_instead(result: dict[str, Any]) -> str:
    """What a result says instead of predictions."""
    error = f"{result['error']['type']}: {result['error']['message']}"
    return f"given up: {error}" if result.get("provisional") else error


def spent(result: dict[str, Any]) -> tuple[str, str]:
    """Milliseconds from fetching the input to its prediction, and whether the call was its environment's first."""
    timing = result["timing_ms"]
    # An input that was refused was not predicted, perhaps not even decoded.
    milliseconds = sum(timing[part] or 0 for part in ("fetch", "decode", "predict"))
    return f"{milliseconds:.1f}", "yes" if timing["cold_start"] else "no"


def is_labelled(prediction: Any) -> bool:
    """Whether a prediction has the form of `output.labels`; a model's hooks may return anything."""
    return (
        isinstance(prediction, dict)
        and set(prediction) - {"top"} == {"label", "score"}
        and isinstance(prediction["label"], str | None)
        and isinstance(prediction["score"], float | None)
    )
