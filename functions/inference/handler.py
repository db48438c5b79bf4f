"""The entry of the Lambda function: a batch of queue messages or a direct call."""

import contextlib
import gc
import logging
import os
from typing import Any

# ruff: noqa: E402
# Garbage collection during the imports below takes a twentieth of a cold start, and finds almost nothing.
gc.disable()

from inference import CHECK, direct, runtimes
from inference import config as configuration
from inference.errors import ModelError
from inference.predictor import Predictor

if "AWS_LAMBDA_LOG_LEVEL" not in os.environ:
    # Without a level, awslambdaric leaves the root logger at WARNING; a level that is set applies there, and here too.
    logging.getLogger("inference").setLevel(logging.INFO)

# What a schedule sends once a week, so that Lambda keeps the function active (terraform/modules/keep_active).
KEEP_ACTIVE = {"keep_active": True}

_config = configuration.read(os.environ)
_predictor = Predictor(_config)
_invocations = 0

# Lambda stops an on-demand init after 10 s and starts it over. Importing TensorFlow alone takes about 5 s, so such a
# model is loaded at init only if init may take minutes, and otherwise at the first call.
if (
    not runtimes.TABLE[_config.runtime]["slow_import"]
    or os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "provisioned-concurrency"
):
    with contextlib.suppress(ModelError):
        # The call that needs the model raises the error again, after doing what is possible without the model: an input
        # whose last attempt this is gets a result that says why, and S3's test event is done.
        _predictor.load()

# What init created stays, so later garbage collections need not look at it.
gc.freeze()
gc.enable()


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Serve one invocation.

    Args:
        event: an SQS event with S3 events in its messages, a check (see `check`), KEEP_ACTIVE, or the body of a
            TensorFlow Serving predict request.
        context: Lambda's context object.

    Returns:
        A partial batch response for an SQS event, what is served for a check, nothing for KEEP_ACTIVE; for a request,
        the response of TensorFlow Serving's REST API.
    """
    global _invocations
    if event == KEEP_ACTIVE:
        return {}
    _invocations += 1
    cold_start = _invocations == 1
    records = event.get("Records") if isinstance(event, dict) else None
    if isinstance(records, list) and records and _is_message(records[0]):
        # Imported here, since a direct call needs neither S3 nor threads.
        from inference import batch

        return batch.serve(
            records,
            _config,
            _predictor,
            request_id=context.aws_request_id,
            cold_start=cold_start,
            remaining_ms=context.get_remaining_time_in_millis,
        )
    if isinstance(event, dict) and event.keys() == {CHECK}:
        from inference import check

        return check.serve(event[CHECK], _config, _predictor)
    return direct.serve(event, _config, _predictor, cold_start=cold_start)


def _is_message(record: Any) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:sqs"
