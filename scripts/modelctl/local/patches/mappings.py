"""Lambda's event source mappings: the role they need, the alias they call, how many concurrent calls they make."""

import os
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from modelctl.local import permissions
from modelctl.local.layout import MAX_ENVIRONMENTS, Layout
from modelctl.local.patches.patching import replace

_SQS_ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

Response = tuple[int, dict[str, str], bytes]
Record = dict[str, Any]


def install(layout: Layout) -> None:
    """Patch how the Lambda service polls queues."""
    replace(lambda_svc, "_create_esm", lambda create: lambda data: _refusal(data) or create(data))
    replace(lambda_svc, "_run_sqs_batch", _named_as_called)
    replace(lambda_svc, "_sqs_esm_concurrency", lambda original: _bounded(original, layout))


def _refusal(data: Record) -> Response | None:
    """Return the error for a mapping whose function's role may not poll the queue, or None.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-permissions
    """
    queue = data.get("EventSourceArn", "")
    name, qualifier = lambda_svc._resolve_name_and_qualifier(data.get("FunctionName", ""))
    _, config = lambda_svc._get_func_record_for_qualifier(name, qualifier)
    if ":sqs:" not in queue or config is None:
        return None
    for action in _SQS_ACTIONS:
        if not permissions.role_allows(config["Role"], action, queue):
            short = action.removeprefix("sqs:")
            refused: Response = error_response_json(
                "InvalidParameterValueException",
                f"The provided execution role does not have permissions to call {short} on SQS",
                400,
            )
            return refused
    return None


def _named_as_called(original: Callable[..., None]) -> Callable[..., None]:
    """`context.invoked_function_arn` is what was called, with the alias, not the version that it points at.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    def run(esm: Record, func: Record, *rest: Any) -> None:
        config = func["config"] | {"FunctionArn": esm["FunctionArn"]}
        original(esm, func | {"config": config}, *rest)

    return run


def _bounded(original: Callable[..., int], layout: Layout) -> Callable[..., int]:
    """A mapping's concurrent calls are limited by its own maximum, and by the processors of this machine.

    AWS adds environments up to 1,250; here, more processes than processors would only wait for each other. A test whose
    functions do not need processors may set another number in `Layout.processors`.

    While the maximum number of environments is running, no mapping receives messages: they would be throttled, and so
    hidden for the visibility timeout. AWS has room for 1,000.
    """

    def limit(*arguments: Any) -> int:
        running, _ = lambda_svc.executions_in_flight()
        # A batch that was received a moment ago does not run yet.
        if max(running, sum(list(lambda_svc._esm_inflight.values()))) >= MAX_ENVIRONMENTS:
            return 0
        try:
            processors = int(layout.processors.read_text(encoding="utf-8"))
        except FileNotFoundError:
            processors = os.cpu_count() or 1
        return min(original(*arguments), max(2, processors))

    return limit
