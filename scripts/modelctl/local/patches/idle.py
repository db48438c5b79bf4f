"""Lambda: functions that were idle, which takes weeks on AWS and one call here.

    aws lambda tag-resource --resource <the function's ARN> --tags local-stack:idle=20

makes a function Inactive; Lambda then takes 20 seconds to restore it. The tag is not stored.
"""

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from modelctl.local.patches.patching import replace

TAG = "local-stack:idle"

Record = dict[str, Any]

# How many seconds it takes to restore each idle function, by name.
_idle: dict[str, float] = {}
_lock = threading.Lock()


def install() -> None:
    """Patch how the Lambda service calls functions that were idle."""
    replace(lambda_svc, "_tag_resource", _making_idle)
    replace(lambda_svc, "_invoke", _refused)
    replace(lambda_svc, "_execute_function", _failed)


def _making_idle(original: Callable[..., Any]) -> Callable[..., Any]:
    """TagResource makes a function idle if the tag says so."""

    def tag(arn: str, data: Record) -> Any:
        tags = dict(data.get("Tags") or {})
        seconds = tags.pop(TAG, None)
        answer = original(arn, {**data, "Tags": tags})
        name = lambda_svc._resolve_request_scoped_name(arn)
        if seconds is not None and name in lambda_svc._functions:
            with _lock:
                _idle[name] = float(seconds)
                _change(name, "Inactive", "Idle", "The function is inactive")
        return answer

    return tag


def _refused(original: Callable[..., Any]) -> Callable[..., Any]:
    """A synchronous call of a function that was idle is refused until the function is restored."""

    async def invoke(name: str, event: Any, headers: dict[str, str], *rest: Any, **named: Any) -> Any:
        lower = {key.lower(): value for key, value in headers.items()}
        if lower.get("x-amz-invocation-type", "RequestResponse") == "RequestResponse" and (refusal := _refusal(name)):
            return error_response_json(*refusal, 409)
        return await original(name, event, headers, *rest, **named)

    return invoke


def _failed(original: Callable[..., Any]) -> Callable[..., Any]:
    """For an event source mapping or an asynchronous call, that refusal is a failure like any other.

    A batch of messages then comes back after its visibility timeout.
    """

    def execute(func: Record, event: Any) -> Any:
        if refusal := _refusal((func.get("config") or func)["FunctionName"]):
            code, message = refusal
            return {"body": {"errorType": code, "errorMessage": message}, "error": True}
        return original(func, event)

    return execute


def _refusal(name: str) -> tuple[str, str] | None:
    """The error for a call of a function that was idle, which starts to restore it; None if it may be called.

    https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html; users have reported the errors:
    https://github.com/boto/boto3/issues/3788 for the first call, https://github.com/aws/aws-cdk/issues/20123.
    """
    with _lock:
        func = lambda_svc._functions.get(name) if name in _idle else None
        state = func["config"]["State"] if func else ""
        if state == "Inactive":
            _change(name, "Pending", "Restoring", "The function is being restored")
            # The emulator takes the account from the context of the thread.
            threading.Thread(target=contextvars.copy_context().run, args=(_restore, name), daemon=True).start()
            return (
                "CodeArtifactUserPendingException",
                "Lambda is initializing your function. It will be ready to invoke shortly.",
            )
        if state == "Pending":
            return (
                "ResourceConflictException",
                "The operation cannot be performed at this time. "
                "The function is currently in the following state: Pending",
            )
        return None


def _restore(name: str) -> None:
    time.sleep(_idle[name])
    with _lock:
        del _idle[name]
        _change(name, "Active", "", "")


def _change(name: str, state: str, code: str, reason: str) -> None:
    """Set the visible state of a function, if it still exists, and of its versions."""
    func = lambda_svc._functions.get(name) or {}
    for record in (func, *func.get("versions", {}).values()):
        record.get("config", {}).update(State=state, StateReasonCode=code, StateReason=reason)
