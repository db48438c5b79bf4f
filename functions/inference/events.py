"""What was uploaded: the objects that a queue message announces.

A message contains an S3 notification, an S3 event of EventBridge, or the `s3:TestEvent` that S3 sends when a
notification is set up. Their formats:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from inference.errors import MessageError

_SEQUENCER = re.compile("[0-9a-fA-F]+", re.ASCII)
_WHOLE_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True)
class UploadedObject:
    """One version of one object, as its event describes it; what the event leaves out is None."""

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None
    #: Hexadecimal digits, of varying length, that order the events of one key.
    sequencer: str | None = None
    #: Bytes.
    size: int | None = None
    #: S3's `LastModified`, in whole seconds: `2026-11-28T07:00:00Z`. Until S3 has returned it, the time of the event;
    #: in a message that was queued by hand, that is the `LastModified` of the listed version.
    last_modified: str | None = None

    def __post_init__(self) -> None:
        """Refuse what S3 cannot have sent: events and results come from outside.

        Raises:
            TypeError, ValueError: naming the field.
        """
        for name in ("bucket", "key", "version_id", "etag", "sequencer", "last_modified"):
            value = getattr(self, name)
            if value is None and name not in ("bucket", "key"):
                continue
            if not isinstance(value, str) or not value:
                raise TypeError(f"the {name} must be text")
            # A lone surrogate, which JSON can hold, cannot be part of a key.
            value.encode()
        if self.sequencer is not None and not _SEQUENCER.fullmatch(self.sequencer):
            raise ValueError("the sequencer must be hexadecimal")
        if self.last_modified is not None and not _WHOLE_SECONDS.fullmatch(self.last_modified):
            raise ValueError("the last_modified must be a time in UTC, in whole seconds")
        # Not isinstance(): for Python, a bool is an integer.
        if self.size is not None and (type(self.size) is not int or self.size < 0):
            raise ValueError("the size must be a number of bytes")

    def is_folder_marker(self) -> bool:
        """Whether it is the empty object that the S3 console creates for a folder."""
        return self.key.endswith("/") and not self.size


class Announcement(NamedTuple):
    """What one queue message announces."""

    #: Empty for a test event or a deletion.
    uploads: list[UploadedObject]
    #: Whether S3 has compared the keys with a suffix. EventBridge rules filter only by prefix, since a bus has only 30
    #: wildcards: there, each model gets the objects of every model that shares its prefix.
    filtered_by_suffix: bool = True


def announcement(body: str) -> Announcement:
    """Read the body of one queue message.

    Raises:
        MessageError: the body is not an S3 event.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"the message is not JSON ({error}); expected an S3 event") from error
    try:
        if event.get("Event") == "s3:TestEvent":
            return Announcement([])
        if "Records" in event:
            created = [record for record in event["Records"] if "ObjectCreated" in record["eventName"]]
            return Announcement([_from_notification(record) for record in created])
        if event.get("source") == "aws.s3":
            created = [event] if event["detail-type"] == "Object Created" else []
            return Announcement(list(map(_from_eventbridge, created)), filtered_by_suffix=False)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MessageError(f"the message is not a complete S3 event: {repr(error)[:200]}") from error
    raise MessageError("the message is neither an S3 notification nor an S3 event from EventBridge")


def version_id(named: str | None) -> str | None:
    """The version that S3 names; "null" is that of every object written while its bucket kept no versions."""
    return None if named in ("", "null") else named


def whole_seconds(time: datetime.datetime) -> str:
    """A time in the format of `UploadedObject.last_modified`."""
    return time.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _from_notification(record: Mapping[str, Any]) -> UploadedObject:
    entry = record["s3"]["object"]
    # A notification's key is encoded like a form field: a space is a plus sign.
    key, version = unquote_plus(entry["key"]), entry.get("versionId")
    return _uploaded_object(record["s3"]["bucket"]["name"], key, entry, version, record.get("eventTime"))


def _from_eventbridge(event: Mapping[str, Any]) -> UploadedObject:
    detail = event["detail"]
    entry = detail["object"]
    return _uploaded_object(detail["bucket"]["name"], entry["key"], entry, entry.get("version-id"), event.get("time"))


def _uploaded_object(
    bucket: str, key: str, entry: Mapping[str, Any], version: str | None, time: str | None
) -> UploadedObject:
    etag = entry.get("eTag", entry.get("etag"))
    return UploadedObject(
        bucket=bucket,
        key=key,
        version_id=version_id(version),
        etag=etag.strip('"') if etag else None,
        sequencer=entry.get("sequencer"),
        size=entry.get("size"),
        last_modified=None if time is None else _event_time(time),
    )


def _event_time(text: str) -> str:
    time = datetime.datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"the time of the event, {text}, has no time zone")
    try:
        return whole_seconds(time)
    except OverflowError as error:
        raise ValueError(f"the time of the event, {text}, is before the year 1 or after 9999") from error
