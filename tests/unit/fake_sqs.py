"""SQS in memory: visibility by a clock of its own, batch calls, and a redrive policy; real queues come in tests/e2e."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from botocore.exceptions import ClientError


@dataclass
class Stored:
    """One message."""

    message_id: str
    body: str
    attributes: dict[str, Any]
    sent: float
    receives: int = 0
    visible_at: float = 0
    receipt: str = ""


@dataclass
class FakeSqs:
    """Queues by URL."""

    queues: dict[str, list[Stored]] = field(default_factory=dict)
    now: float = 1_800_000_000.0
    #: Called before each call with its name; may raise as a broken connection or Ctrl-C would.
    before: Callable[[str], None] = lambda name: None
    #: Bodies that SQS does not accept.
    refused: frozenset[str] = frozenset()
    #: The number of messages of each batch that was sent, and when.
    batches: list[tuple[float, int]] = field(default_factory=list)
    _ids: Any = field(default_factory=itertools.count)

    def put(self, queue: str, body: str, receives: int = 0, age: float = 0) -> str:
        """A message that was sent this many seconds ago."""
        message_id = f"m{next(self._ids)}"
        self.queues.setdefault(queue, []).append(Stored(message_id, body, {}, self.now - age, receives))
        return message_id

    def bodies(self, queue: str, *, visible: bool = False) -> list[str]:
        """What is in a queue."""
        messages = self.queues.get(queue, [])
        return sorted(message.body for message in messages if not visible or message.visible_at <= self.now)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:  # noqa: N803
        """How many messages wait, how many are hidden, and the time."""
        self.before("get_queue_attributes")
        messages = self.queues.get(QueueUrl, [])
        hidden = sum(message.visible_at > self.now for message in messages)
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": str(len(messages) - hidden),
                "ApproximateNumberOfMessagesNotVisible": str(hidden),
            },
            "ResponseMetadata": {"HTTPHeaders": {"date": formatdate(self.now, usegmt=True)}},
        }

    def receive_message(
        self,
        QueueUrl: str,  # noqa: N803
        MaxNumberOfMessages: int,  # noqa: N803
        VisibilityTimeout: int,  # noqa: N803
        **options: Any,
    ) -> dict[str, Any]:
        """The next visible messages, which it hides."""
        assert options["WaitTimeSeconds"] > 0, "without waiting, SQS may leave out messages that are there"
        self.before("receive_message")
        visible = [message for message in self.queues.get(QueueUrl, []) if message.visible_at <= self.now]
        found = visible[:MaxNumberOfMessages]
        for message in found:
            message.receives += 1
            message.visible_at = self.now + VisibilityTimeout
            message.receipt = f"r{next(self._ids)}"
        return {
            "Messages": [
                {
                    "MessageId": message.message_id,
                    "ReceiptHandle": message.receipt,
                    "Body": message.body,
                    "Attributes": {
                        "SentTimestamp": str(int(message.sent * 1000)),
                        "ApproximateReceiveCount": str(message.receives),
                    },
                    "MessageAttributes": message.attributes,
                }
                for message in found
            ]
        }

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """Store up to ten messages, of 256 KB together."""
        _refuse_other_sizes(Entries)
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        assert sum(len(entry["MessageBody"].encode()) for entry in Entries) <= 256 * 2**10 or len(Entries) == 1
        self.before("send_message_batch")
        failed = [entry for entry in Entries if entry["MessageBody"] in self.refused]
        self.batches.append((self.now, len(Entries)))
        for entry in Entries:
            if entry not in failed:
                message_id = f"m{next(self._ids)}"
                stored = Stored(message_id, entry["MessageBody"], entry["MessageAttributes"], self.now)
                self.queues.setdefault(QueueUrl, []).append(stored)
        return {"Failed": [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in failed]}

    def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> None:  # noqa: N803
        """Delete by receipt."""
        _refuse_other_sizes(Entries)
        self.before("delete_message_batch")
        receipts = {entry["ReceiptHandle"] for entry in Entries}
        self.queues[QueueUrl] = [message for message in self.queues[QueueUrl] if message.receipt not in receipts]

    def change_message_visibility_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> None:  # noqa: N803
        """Hide or show by receipt."""
        _refuse_other_sizes(Entries)
        self.before("change_message_visibility_batch")
        timeouts = {entry["ReceiptHandle"]: entry["VisibilityTimeout"] for entry in Entries}
        for message in self.queues[QueueUrl]:
            if message.receipt in timeouts:
                message.visible_at = self.now + timeouts[message.receipt]


def _refuse_other_sizes(entries: list[dict[str, Any]]) -> None:
    """Refuse, as SQS does, a batch without entries or with more than ten."""
    if len(entries) not in range(1, 11):
        code = "TooManyEntriesInBatchRequest" if entries else "EmptyBatchRequest"
        raise ClientError({"Error": {"Code": f"AWS.SimpleQueueService.{code}"}}, "Batch")
