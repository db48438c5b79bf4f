"""The result document: what the results bucket stores for an input, whether a function or `modelctl` writes it.

A function writes results, and `modelctl` writes those of dead letters that never reached the function. So this module
imports only Python's standard library.
"""

import datetime
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple, Protocol

from inference import VARIANT
from inference.events import UploadedObject
from inference.result_json import as_json

#: `timing_ms` of an input that was never taken up.
NEVER_TAKEN_UP: Mapping[str, Any] = {
    "fetch": None,
    "decode": None,
    "predict": None,
    "batch_size": 0,
    "cold_start": False,
}

#: How much of a result is read: it names its input first. A key whose bytes are all escaped takes 6 KB, an error 4 KB.
HEAD_BYTES = 16 * 2**10


class Refused(NamedTuple):
    """The error that a result has instead of predictions."""

    #: The name of the exception.
    type: str
    message: str


class Served(Protocol):
    """The model that a result comes from: a function's `Config`, or a `Model` of `modelctl`."""

    @property
    def name(self) -> str:
        """Its name in the registry."""

    @property
    def version(self) -> str:
        """Its version, for human readers."""

    @property
    def digest(self) -> str:
        """The digest of its artifact."""


def result_document(
    served: Served,
    uploaded: UploadedObject,
    answer: bytes | bytearray | Refused,
    timing_ms: Mapping[str, Any],
    request_id: str | None,
    now: float,
    *,
    provisional: bool = False,
) -> bytes:
    """The result object, with predictions or an error.

    Args:
        served: the model.
        uploaded: the input.
        answer: the predictions as JSON, or the error.
        timing_ms: the milliseconds of each step; see NEVER_TAKEN_UP.
        request_id: the invocation's; None: there was none.
        now: seconds since 1970.
        provisional: whether the input's last attempt is still under way, or failed. Such a result is replaced if the
            input is answered after all.
    """
    said = (b'"error": ', as_json(answer._asdict())) if isinstance(answer, Refused) else (b'"predictions": ', answer)
    finished_at = datetime.datetime.fromtimestamp(now, datetime.UTC)
    before = {
        "model": served.name,
        "version": served.version,
        "digest": served.digest,
        "variant": VARIANT,
        "input": vars(uploaded),
        **({"provisional": True} if provisional else {}),
    }
    after = {
        "timing_ms": timing_ms,
        "request_id": request_id,
        "finished_at": finished_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return b"".join((as_json(before)[:-1], b", ", *said, b", ", as_json(after)[1:]))


def read_head(head: bytes) -> tuple[dict[str, Any], UploadedObject] | None:
    """What a result's first HEAD_BYTES contain before the predictions, and its input; None if it is not a result."""
    # What follows may be megabytes, and cut off. In a string, these quotes would be escaped.
    identity, found, _ = head.partition(b', "predictions": ')
    try:
        document = json.loads(identity + b"}" if found else head)
        source = document["input"]
        uploaded = UploadedObject(**{field.name: source.get(field.name) for field in fields(UploadedObject)})
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None
    return document, uploaded
