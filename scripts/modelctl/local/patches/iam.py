"""IAM: who is root, the keys of conditions, the resource of a function call, and the action of an SQS batch."""

import re
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services import iam, lambda_svc, sqs

from modelctl.local.patches.patching import replace


def install() -> None:
    """Patch authentication and the evaluation of policies."""
    replace(iam_evaluator, "_is_root_key", _signed_like_every_key)
    replace(iam_evaluator, "_resolve_condition_key", _role_of_session)
    replace(iam_evaluator, "_resolve_condition_key", _function_of_session)
    replace(iam_evaluator, "_resolve_condition_key", _tag_of_queue)
    replace(iam_evaluator, "_fnmatch_compile", _across_lines)
    replace(iam_actions, "extract_resource_arn", _with_qualifier)
    replace(iam_actions, "extract_iam_action", _of_one_message)


def _signed_like_every_key(_: Callable[[str], bool]) -> Callable[[str], bool]:
    """A request by root needs root's signature.

    The emulator uses this to let requests pass without a check of their signature: it accepts the key `test` and any
    twelve digits as root, with any secret, so every function could bypass all denials.
    """
    return lambda access_key: False


def _role_of_session(original: Callable[..., Any]) -> Callable[..., Any]:
    """For a role's session, `aws:PrincipalArn` is the ARN of the role, not of the session.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
    """

    def resolve(key: str, context: Any) -> Any:
        if key.lower() == "aws:principalarn" and context.principal_type == "AssumedRole":
            name = iam_evaluator._role_name_from_assumed_arn(context.principal_arn)
            role = iam._roles.get_scoped(context.principal_account, None, name)
            return role["Arn"] if role else context.principal_arn
        return original(key, context)

    return resolve


def _function_of_session(original: Callable[..., Any]) -> Callable[..., Any]:
    """`lambda:SourceFunctionArn` is the function whose code makes the request; Lambda's own requests have no such key.

    https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html. The session of an execution role
    is named after its function.
    """

    def resolve(key: str, context: Any) -> Any:
        if key.lower() != "lambda:sourcefunctionarn" or context.principal_type != "AssumedRole":
            return original(key, context)
        name = context.principal_arn.rsplit("/", 1)[1]
        function = lambda_svc._functions.get_scoped(context.principal_account, context.region, name)
        return function["config"]["FunctionArn"] if function else None

    return resolve


def _tag_of_queue(original: Callable[..., Any]) -> Callable[..., Any]:
    """For a queue, `aws:ResourceTag/...` is the value of its tag; the emulator does not know the key for any resource.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-abac.html
    """

    def resolve(key: str, context: Any) -> Any:
        scope, _, name = key.partition("/")
        if scope.lower() != "aws:resourcetag" or ":sqs:" not in context.resource_arn:
            return original(key, context)
        queue = sqs._queue_by_arn(context.resource_arn)
        # IAM ignores case in the keys of tags.
        tags = {} if queue is None else {key.lower(): value for key, value in queue["tags"].items()}
        return tags.get(name.lower())

    return resolve


def _with_qualifier(original: Callable[..., str]) -> Callable[..., str]:
    """The resource of a call through a version or alias is that version or alias, not the function.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html. The emulator considers a qualifier
    only if it is part of the function's name.
    """

    def extract(service: str, method: str, path: str, headers: Any, body: bytes, query: Any, *where: str) -> str:
        arn = original(service, method, path, headers, body, query, *where)
        calls = service == "lambda" and path.endswith("/invocations")
        qualifier = lambda_svc._qp_first(query, "Qualifier") if calls else None
        return f"{arn}:{qualifier}" if qualifier else arn

    return extract


def _of_one_message(original: Callable[..., str]) -> Callable[..., str]:
    """A permission to send, hide or delete a message also covers batches; batches have no actions of their own.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    """

    def extract(service: str, *request: Any) -> str:
        action = original(service, *request)
        return action.removesuffix("Batch") if service == "sqs" else action

    return extract


def _across_lines(original: Callable[[str, bool], re.Pattern[str]]) -> Callable[[str, bool], re.Pattern[str]]:
    """`*` and `?` match any character, including a line break in the key of an object.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
    """

    def compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        made = original(pattern, ignore_case)
        return re.compile(made.pattern, made.flags | re.DOTALL)

    return compiled
