"""Puts messages into a model's queue by hand, at a limited rate."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from modelctl.deployed import queues

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

#: Messages per call: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
BATCH = 10

#: The most bytes per call, the limit until SQS raised it fourfold; attributes count as well.
_BATCH_BYTES = 256 * 2**10

#: Seconds between two checks of a queue that is full enough.
_LOOK_EVERY_S = 2.0

#: Messages between two checks of the depth of the queue.
_LOOK_AFTER = 100


class Message(NamedTuple):
    """A message to put into a queue."""

    body: str
    #: In the form of SQS's API.
    attributes: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @property
    def size(self) -> int:
        """Bytes."""
        attributes = sum(len(name) + len(str(value)) for name, value in self.attributes.items())
        return len(self.body.encode()) + attributes


class Sender:
    """Sends messages to one queue, a bounded number per second.

    Args:
        sqs: the client.
        queue_url: the queue.
        per_second: messages, on average.
        most_waiting: the most messages that may wait in the queue while more are sent, so that fresh uploads do not
            wait behind all of them; None: any number.
        update: is called with the reason for a wait.
        clock: returns seconds.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        sqs: "SQSClient",
        queue_url: str,
        per_second: float,
        *,
        most_waiting: int | None = None,
        update: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._per_second = per_second
        self._most_waiting = most_waiting
        self._update = update
        self._clock = clock
        self._sleep = sleep
        self._next_at = clock()
        # The first check comes before the first message: an earlier run may have filled the queue.
        self._unlooked = _LOOK_AFTER

    def wait_for(self, messages: int) -> None:
        """Wait until this many messages may be sent."""
        self._unlooked += messages
        if self._most_waiting is not None and self._unlooked >= _LOOK_AFTER:
            while (waiting := queues.depth(self._sqs, self._queue_url)[0]) >= self._most_waiting:
                self._update(f"paused, because {waiting:,} messages are waiting in the queue")
                self._sleep(_LOOK_EVERY_S)
            self._unlooked = messages
        pause = self._next_at - self._clock()
        if pause > 0:
            self._sleep(pause)
        self._next_at = max(self._next_at, self._clock()) + messages / self._per_second

    def send(self, messages: Sequence[Message]) -> dict[int, str]:
        """Send up to ten messages; returns why some were not sent, by position."""
        failed: dict[int, str] = {}
        for part in _parts(messages):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {"Id": str(place), "MessageBody": messages[place].body, "MessageAttributes": messages[place].attributes}
                for place in part
            ]
            answer = self._sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
            failed |= {int(one["Id"]): f"{one['Code']}: {one.get('Message', '')}" for one in answer.get("Failed", ())}
        return failed


def _parts(messages: Sequence[Message]) -> list[list[int]]:
    """The positions of messages, in parts that fit into one call."""
    parts: list[list[int]] = [[]]
    size = 0
    for place, message in enumerate(messages):
        if parts[-1] and (size + message.size > _BATCH_BYTES or len(parts[-1]) == BATCH):
            parts.append([])
            size = 0
        parts[-1].append(place)
        size += message.size
    return [part for part in parts if part]
