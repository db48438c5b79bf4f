"""Queues inputs again that have no current result, or a result of another digest."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from urllib.parse import quote_plus

from modelctl import interrupts, times
from modelctl.deployed import listings, result_heads
from modelctl.deployed.deployment import Deployment, Model
from modelctl.deployed.listings import Input, Listed
from modelctl.deployed.sending import BATCH, Message, Sender
from modelctl.errors import UserError

#: How many results are read at the same time, and how many inputs may wait for that.
_AT_ONCE = 16
_IN_HAND = 64

#: Why an input is queued. `missing`: it has no result; `older`: its result is for an earlier version; `given up`: its
#: result is provisional; `stale`: its result has another digest.
Reason = Literal["missing", "older", "given up", "stale"]


@dataclass(frozen=True)
class Wanted:
    """Which inputs are checked."""

    #: The prefix of their keys.
    prefix: str = ""
    #: The time since which they were uploaded; None: any time.
    since: datetime | None = None
    #: The digest whose results count as current; None: any.
    digest: str | None = None


class Found(NamedTuple):
    """An input that was checked."""

    input: Input
    #: None: it has a current result.
    reason: Reason | None


def find(deployed: Deployment, model: Model, wanted: Wanted) -> Iterator[Found]:
    """Check the inputs of a model one by one, with no more than a page of each listing in memory.

    The listings decide if they can. Otherwise the result is read: if its digest matters, if its input has several
    versions, or if its name is a hash.

    Raises:
        UserError: the model takes no such prefix.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:

        def judge(pair: tuple[Input, Listed | None]) -> Found:
            return Found(pair[0], _reason(deployed, model, wanted, *pair))

        for prefix in listings.prefixes(model, wanted.prefix):
            results = listings.results(deployed, model, prefix)
            pairs = listings.beside(model, listings.inputs(deployed, model, prefix), results)
            recent = (pair for pair in pairs if wanted.since is None or pair[0].last_modified >= wanted.since)
            yield from listings.ahead(pool, _IN_HAND, judge, recent)


def _reason(deployed: Deployment, model: Model, wanted: Wanted, one: Input, listed: Listed | None) -> Reason | None:
    key = one.uploaded.key
    if listings.is_listed(model, key):
        if listed is None:
            return "missing"
        if listed.last_modified < one.last_modified:
            return "older"
        if not (listed.in_parts or one.has_others or wanted.digest):
            return None
    head = result_heads.read(deployed, model, key)
    if head is None:
        return "missing"
    if not head.is_of(one.uploaded.version_id, one.uploaded.etag):
        return "older"
    if head.provisional:
        return "given up"
    return "stale" if wanted.digest not in (None, head.digest) else None


def backfill(
    deployed: Deployment,
    model: Model,
    wanted: Wanted,
    sender: Sender | None,
    seen: Callable[[Found], None],
) -> None:
    """Queue the inputs that have no current result.

    Running it again is harmless: an input that has its result by then is skipped, and an input that is queued twice is
    served once.

    Args:
        deployed: where.
        model: which.
        wanted: which inputs.
        sender: puts messages into the model's queue; None: nothing is queued.
        seen: is called with each input that was checked; an input with a reason is in the queue by then.

    Raises:
        UserError: the model takes no such prefix, or SQS did not accept a message.
    """
    batch: list[Found] = []

    def send() -> None:
        if sender and batch:
            sender.wait_for(len(batch))
            with interrupts.deferred():
                failed = sender.send([message(found.input) for found in batch])
            if failed:
                place, why = next(iter(failed.items()))
                raise UserError(
                    f"SQS did not accept {len(failed)} messages, one of them for {batch[place].input.uploaded.key} "
                    f"({why}): run the command again; it continues from there"
                )
        for found in batch:
            seen(found)
        batch.clear()

    for found in find(deployed, model, wanted):
        if found.reason is None:
            seen(found)
            continue
        batch.append(found)
        if len(batch) == BATCH:
            send()
    send()


def message(one: Input) -> Message:
    """What S3 would have sent about an input, without the sequencer: version and time order it among others.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    uploaded = one.uploaded
    described = {
        "key": quote_plus(uploaded.key, safe="/"),
        "size": uploaded.size,
        "eTag": uploaded.etag,
        **({"versionId": uploaded.version_id} if uploaded.version_id else {}),
    }
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": times.iso(one.last_modified),
        "s3": {"bucket": {"name": uploaded.bucket}, "object": described},
    }
    return Message(json.dumps({"Records": [record]}))
