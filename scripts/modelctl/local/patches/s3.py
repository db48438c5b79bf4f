"""S3: encoded version listings, missing keys, overlapping notifications."""

from collections.abc import Callable
from contextvars import ContextVar
from itertools import combinations
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import new_uuid
from ministack.core.router import extract_access_key_id
from ministack.services import s3

from modelctl.local.layout import REGION
from modelctl.local.patches.patching import replace

Response = tuple[int, dict[str, str], bytes]


def install() -> None:
    """Patch the S3 service."""
    replace(s3, "_list_object_versions", _encoded_versions)
    replace(s3, "_xml_body", _with_encoded_keys)
    replace(
        s3,
        "_get_object",
        lambda get: (
            lambda bucket, key, headers, query=None: _hide_missing(
                get(bucket, key, headers, query), bucket, headers, query
            )
        ),
    )
    replace(
        s3,
        "_head_object",
        lambda head: (
            lambda bucket, key, headers=None, query=None: _hide_missing(
                head(bucket, key, headers, query), bucket, headers, query
            )
        ),
    )
    replace(s3, "_list_objects_v1", _or_request_payment)
    replace(s3, "_validate_notification_configs", _without_overlaps)


def _or_request_payment(original: Callable[..., Response]) -> Callable[..., Response]:
    """A request with `requestPayment` is GetBucketRequestPayment; the emulator treats it as a listing of the objects.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketRequestPayment.html. The provider sends it in every
    plan, and a single key that XML cannot contain made it fail.
    """

    def list_objects(bucket: str, query_params: dict[str, Any]) -> Response:
        if "requestPayment" in query_params:
            answer: Response = s3._get_bucket_request_payment(bucket)
            return answer
        return original(bucket, query_params)

    return list_objects


# --- encoding-type=url ------------------------------------------------------------------------------------------------

_ENCODED = ("Key", "Prefix", "Delimiter", "KeyMarker", "NextKeyMarker")
_urls_asked_for = ContextVar("encoding-type=url", default=False)


def _encoded_versions(original: Callable[..., Response]) -> Callable[..., Response]:
    """ListObjectVersions with `encoding-type=url` returns encoded keys and says so.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html. Without it, a client decodes `a/x+y` to
    `a/x y`, deletes the wrong key, and never finishes emptying the bucket.
    """

    def list_object_versions(bucket_name: str, query_params: dict[str, Any]) -> Response:
        reset = _urls_asked_for.set(s3._qp(query_params, "encoding-type", "") == "url")
        try:
            return original(bucket_name, query_params)
        finally:
            _urls_asked_for.reset(reset)

    return list_object_versions


def _with_encoded_keys(original: Callable[..., bytes]) -> Callable[..., bytes]:
    """Encode the keys before they become XML, which cannot represent some characters that keys may have."""

    def xml_body(root: Element) -> bytes:
        if _urls_asked_for.get() and root.tag == "ListVersionsResult":
            for element in root.iter():
                if element.text and element.tag in _ENCODED:
                    element.text = s3._url_encode(element.text)
            SubElement(root, "EncodingType").text = "url"
        return original(root)

    return xml_body


# --- a missing key is a secret ----------------------------------------------------------------------------------------


def _hide_missing(
    response: Response, bucket: str, headers: dict[str, str] | None, query_params: dict[str, Any] | None
) -> Response:
    """A GET or HEAD of a missing key is a 404 only for callers that may list the bucket; for others, it is a 403.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html (Permissions).
    """
    status, _, body = response
    access_key = extract_access_key_id(headers or {}, query_params)
    # Without an access key, the emulator itself is reading, for example a function's code.
    if status != 404 or b"<Code>NoSuchKey</Code>" not in body or not access_key:
        return response
    arn = f"arn:aws:s3:::{bucket}"
    denied = iam_evaluator.enforce(access_key, "s3:ListBucket", "s3", REGION, resource_arn=arn)
    if not isinstance(denied, iam_evaluator.EvalResult):
        return response
    refused: Response = iam_actions.access_denied_response(
        "s3",
        "s3:ListBucket",
        denied.principal_arn,
        new_uuid(),
        headers=headers,
        resource_arn=arn,
        explicit_deny=denied.decision == "Deny",
    )
    return refused


# --- overlapping notifications ----------------------------------------------------------------------------------------


def _without_overlaps(original: Callable[..., Response | None]) -> Callable[..., Response | None]:
    """Two notifications for one event type may not overlap in both prefix and suffix.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html. The text is S3's.
    """

    def validate(configs: list[dict[str, Any]], *rest: Any) -> Response | None:
        for one, other in combinations(configs, 2):
            if _share_an_event(one["events"], other["events"]) and _overlap(one, other):
                return s3._error(  # type: ignore[no-any-return]
                    "InvalidArgument",
                    "Configurations overlap. Configurations on the same bucket cannot share a common event type.",
                    400,
                )
        return original(configs, *rest)

    return validate


def _share_an_event(one: list[str], other: list[str]) -> bool:
    return any(_covers(a, b) or _covers(b, a) for a in one for b in other)


def _covers(pattern: str, event: str) -> bool:
    return event.startswith(pattern[:-1]) if pattern.endswith("*") else event == pattern


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    prefixes = [config["filter_prefix"] or "" for config in (one, other)]
    suffixes = [config["filter_suffix"] or "" for config in (one, other)]
    return (prefixes[0].startswith(prefixes[1]) or prefixes[1].startswith(prefixes[0])) and (
        suffixes[0].endswith(suffixes[1]) or suffixes[1].endswith(suffixes[0])
    )
