"""The dead-letter queue of a model: looking at its messages, and putting them back into the model's queue.

Looking hides a message from others for a while, as every receive does, so the messages are made visible again
afterwards. Messages are never received from the input queue itself: that would use up their tries.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from inference import events
from inference.errors import MessageError
from inference.events import UploadedObject
from modelctl import console, interrupts, times
from modelctl.deployed import queues
from modelctl.deployed.deployment import Deployment, Model
from modelctl.deployed.sending import BATCH, Message, Sender
from modelctl.errors import UserError

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

#: The most messages that are looked at, and therefore hidden, at a time.
MOST_RECEIVED = 10_000

#: Seconds for which a message is hidden. Receiving that many takes less, and if the program is killed, they become
#: visible again after this time.
_HIDDEN_S = 120

#: Seconds that SQS waits for a message: an answer without waiting may miss messages.
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
_WAIT_S = 1


@dataclass(frozen=True)
class DeadLetter:
    """A message that was given up."""

    message_id: str
    receipt: str
    message: Message
    #: When it was first sent: moving to the dead-letter queue does not change that.
    sent: datetime
    #: How often it was received, including in the dead-letter queue.
    receives: int
    #: The inputs that it announces.
    uploads: tuple[UploadedObject, ...]
    #: Why it is not an S3 event; None if it is one.
    problem: str | None = None

    @property
    def keys(self) -> list[str]:
        """The keys of the inputs that it announces."""
        return [uploaded.key for uploaded in self.uploads]

    @property
    def announces_nothing(self) -> bool:
        """Whether it is S3's test event, or about a deletion, and so of no use to the model."""
        return not self.uploads and self.problem is None

    def is_about(self, keys: frozenset[str]) -> bool:
        """Whether it announces one of these inputs; with no keys, always true."""
        return not keys or not keys.isdisjoint(self.keys)

    def described(self) -> dict[str, Any]:
        """Its fields in documents."""
        return {
            "message_id": self.message_id,
            "sent": times.iso(self.sent),
            "inputs": [{"key": uploaded.key, "version_id": uploaded.version_id} for uploaded in self.uploads],
        }

    def tries(self, model: Model) -> int:
        """How often the model was to serve it: looks, and the receive that returned it here, count as receives."""
        return max(1, min(self.receives - 1, model.retries))


class DeadLetters:
    """The messages of a model's dead-letter queue; those that are still held at the end are made visible again."""

    def __init__(self, deployed: Deployment, model: Model) -> None:
        self._sqs = deployed.sqs
        self._queue_url = model.dead_letter_queue_url
        self._in_hand: dict[str, DeadLetter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with interrupts.deferred():
            self.put_back(list(self._in_hand.values()))

    def count(self) -> tuple[int, datetime]:
        """The approximate number of messages, including hidden ones, and the end of SQS's current second."""
        answer = self._sqs.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=["QueueArn"])
        # SQS's own clock, which dated the messages, instead of this machine's.
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return sum(queues.depth(self._sqs, self._queue_url)), now + timedelta(seconds=1)

    def receive(self) -> list[DeadLetter]:
        """The next few messages; none if there are no more, or only messages that are already held."""
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=_HIDDEN_S,
            WaitTimeSeconds=_WAIT_S,
            MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
            MessageAttributeNames=["All"],
        )
        received = [_dead_letter(message) for message in answer.get("Messages", ())]
        fresh = [letter for letter in received if letter.message_id not in self._in_hand]
        # Only the newest receipt is valid.
        self._in_hand |= {letter.message_id: letter for letter in received}
        return fresh

    def delete(self, letters: Sequence[DeadLetter]) -> None:
        """Delete up to ten messages. One that SQS does not delete is in the queue again after a while."""
        self._sqs.delete_message_batch(
            QueueUrl=self._queue_url,
            Entries=[
                {"Id": str(place), "ReceiptHandle": self._in_hand.pop(letter.message_id).receipt}
                for place, letter in enumerate(letters)
            ],
        )

    def put_back(self, letters: Sequence[DeadLetter]) -> None:
        """Make messages visible again."""
        for start in range(0, len(letters), BATCH):
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {
                        "Id": str(place),
                        "ReceiptHandle": self._in_hand.pop(letter.message_id).receipt,
                        "VisibilityTimeout": 0,
                    }
                    for place, letter in enumerate(letters[start : start + BATCH])
                ],
            )


def of_no_input(messages: int) -> str:
    """How messages that announce nothing are shown."""
    return f"{console.counted(messages, 'message')} without an input (S3's test event, or a deletion)"


def look(
    deployed: Deployment, model: Model, keys: frozenset[str] = frozenset(), most: int = MOST_RECEIVED
) -> tuple[list[DeadLetter], int]:
    """Some of the dead letters of a model, oldest first, and their approximate number; all stay in the queue.

    Args:
        deployed: where.
        model: which.
        keys: only the messages that announce one of these inputs; none: all messages.
        most: the most that are received.
    """
    found: list[DeadLetter] = []
    received = 0
    with DeadLetters(deployed, model) as letters:
        there, _ = letters.count()
        while received < most and (batch := letters.receive()):
            received += len(batch)
            found += [letter for letter in batch if letter.is_about(keys)]
    return sorted(found, key=lambda letter: letter.sent), max(there, received)


def redrive(
    deployed: Deployment,
    model: Model,
    sender: Sender,
    keys: frozenset[str] = frozenset(),
    update: Callable[[int, int], None] = lambda done, of: None,
) -> Iterator[list[DeadLetter]]:
    """Put dead letters back into the queue of inputs, and yield them once they are there.

    A message is sent to the queue before it is deleted from the dead-letter queue, so none is lost. If the process is
    interrupted in between, the message is in both, which is harmless: an input that has its result is not served again.
    A message that announces nothing is only deleted, since a function that cannot run would give it up again.

    Args:
        deployed: where.
        model: which.
        sender: puts messages into the model's queue.
        keys: only the messages that announce one of these inputs; none: all messages.
        update: is called with how many were put back, and about how many there were.

    Raises:
        UserError: SQS did not accept one.
    """
    done = 0
    with DeadLetters(deployed, model) as letters:
        there, started = letters.count()
        left = 0
        while left < MOST_RECEIVED and (batch := letters.receive()):
            # A message that was sent since then was put back, failed and returned: it would go round for ever.
            chosen = [letter for letter in batch if letter.sent < started and letter.is_about(keys)]
            left += len(batch) - len(chosen)
            if not chosen:
                continue
            # In this order, so that the positions of unsent messages are those of the first list.
            chosen.sort(key=lambda letter: letter.announces_nothing)
            inputs = [letter for letter in chosen if not letter.announces_nothing]
            sender.wait_for(len(inputs))
            with interrupts.deferred():
                failed = sender.send([letter.message for letter in inputs])
                moved = [letter for place, letter in enumerate(chosen) if place not in failed]
                if moved:
                    letters.delete(moved)
            done += len(moved)
            update(done, max(there, done))
            yield moved
            if failed:
                raise UserError(
                    f"SQS did not accept {len(failed)} of the messages ({next(iter(failed.values()))}): they are still "
                    f"in the dead-letter queue of {model.name}; run the command again"
                )


def _dead_letter(message: "MessageTypeDef") -> DeadLetter:
    attributes = message["Attributes"]
    uploads: tuple[UploadedObject, ...] = ()
    problem = None
    try:
        uploads = tuple(events.announcement(message["Body"]).uploads)
    except MessageError as error:
        problem = str(error)
    return DeadLetter(
        message_id=message["MessageId"],
        receipt=message["ReceiptHandle"],
        message=Message(message["Body"], dict(message.get("MessageAttributes", {}))),
        sent=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
        receives=int(attributes["ApproximateReceiveCount"]),
        uploads=uploads,
        problem=problem,
    )
