"""The messages of a queue event: which inputs they announce, and which inputs are in memory together."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from inference import events, keys
from inference.batch.work import Work
from inference.config import Config
from inference.errors import MessageError
from inference.limits import GROUP_INPUTS, group_bytes

logger = logging.getLogger(__name__)


def take_up(records: Sequence[dict[str, Any]], config: Config) -> tuple[list[Work], set[str]]:
    """The inputs that the messages announce, and the ids of messages that are not S3 events.

    A notification's key is not compared with the route. While a route changes, S3 or this function may still use the
    previous one, and an input that is skipped here is never announced again. If the role may not read the input, its
    message goes back.
    """
    works = []
    unreadable = set()
    for record in records:
        try:
            uploads, filtered_by_suffix = events.announcement(record["body"])
        except MessageError as error:
            logger.exception("not an S3 event: %s", error, extra={"message_id": record["messageId"]})
            unreadable.add(record["messageId"])
            continue
        for uploaded in uploads:
            foreign = not filtered_by_suffix and keys.has_foreign_suffix(
                uploaded.key, config.route.prefixes, config.route.suffixes
            )
            if foreign or uploaded.is_folder_marker():
                logger.info("skipped: not an input of this model", extra={"key": uploaded.key})
            else:
                works.append(Work(record["messageId"], receives(record), uploaded))
    return works, unreadable


def receives(record: Mapping[str, Any]) -> int:
    """How often a message was received, including this time."""
    return int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))


def groups(works: Iterable[Work]) -> Iterator[list[Work]]:
    """The inputs in groups that fit into memory together."""
    group: list[Work] = []
    size = 0
    for work in works:
        # An event without a size may announce an object of any size: it goes alone.
        length = group_bytes() if work.uploaded.size is None else work.uploaded.size
        if group and (len(group) == GROUP_INPUTS or size + length > group_bytes()):
            yield group
            group, size = [], 0
        group.append(work)
        size += length
    if group:
        yield group


def sent_ms(records: Iterable[dict[str, Any]]) -> dict[str, int]:
    """When each message was put into the queue, in milliseconds since 1970, by its id.

    S3 queues a message within seconds of the upload. A backfilled input, if timed from its upload, would seem months
    late.
    """
    sent = ((record["messageId"], record.get("attributes", {}).get("SentTimestamp")) for record in records)
    return {message_id: int(at) for message_id, at in sent if at is not None}
