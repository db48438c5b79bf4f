"""EventBridge: the version in an event of S3, and queues whose policy must allow a rule's events."""

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.responses import get_account_id
from ministack.services import eventbridge, s3, sqs

from modelctl.local.patches.patching import replace


def install() -> None:
    """Patch the events of S3, and their delivery to queues."""
    replace(s3, "_fire_s3_event", _remembering_the_version)
    replace(eventbridge, "_dispatch_event", _with_the_version)
    replace(eventbridge, "_invoke_target", _only_where_the_queue_allows)


_version = ContextVar[str | None]("version of the object that an event is about", default=None)


def _remembering_the_version(original: Callable[..., None]) -> Callable[..., None]:
    """Remember the version of the object for the event, which the emulator creates without it."""

    def fire(*arguments: Any, version_id: str | None = None, **options: Any) -> None:
        reset = _version.set(version_id)
        try:
            original(*arguments, version_id=version_id, **options)
        finally:
            _version.reset(reset)

    return fire


def _with_the_version(original: Callable[..., None]) -> Callable[..., None]:
    """An event about an object of a versioned bucket has the object's `version-id`.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """

    def dispatch(event: dict[str, Any], *rest: Any) -> None:
        version = _version.get()
        if version and event.get("Source") == "aws.s3":
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version
            event = {**event, "Detail": json.dumps(detail)}
        original(event, *rest)

    return dispatch


def _only_where_the_queue_allows(original: Callable[..., None]) -> Callable[..., None]:
    """A queue receives events only if its policy allows EventBridge to send them, for this rule if it names one.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sqs-permissions
    """

    def invoke(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], *rest: Any) -> None:
        if _is_queue(target["Arn"]) and not sqs.queue_policy_allows(
            target["Arn"], "events.amazonaws.com", rule["Arn"], get_account_id()
        ):
            return
        original(target, event, rule, *rest)

    return invoke


def _is_queue(arn: str) -> bool:
    try:
        return bool(parse_arn(arn).service == "sqs")
    except ArnParseError:
        return False
