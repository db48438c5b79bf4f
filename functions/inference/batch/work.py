"""One input on its way from its message to its result, and how it ends."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from inference.errors import NOT_SERVED, InputError, for_a_result
from inference.events import UploadedObject
from inference.predictions import Predictions
from inference.result_documents import Refused
from inference.results import CurrentResult
from inference.tensors import Instances

logger = logging.getLogger(__name__)


class Settled:
    """The input's result, or a newer input's, already exists."""


@dataclass(frozen=True)
class SentBack:
    """The input was not served, and its message goes back to the queue."""

    #: The reason; None: it was not taken up.
    error: Refused | None = None


#: What a result holds: the predictions of an input that was answered, or the error of one that was refused.
Answer = Predictions | Refused

#: How an input ended. An answer that cannot be written, or need not be, is replaced by one of the other two.
Ending = Answer | Settled | SentBack

_NO_INSTANCES = Instances({}, 0)


class Work:
    """One input: each step fills in its part."""

    def __init__(self, message_id: str, receives: int, uploaded: UploadedObject) -> None:
        self.message_id = message_id
        #: How often its message was received. Above 1, an earlier attempt failed, perhaps with the whole invocation.
        self.receives = receives
        self.uploaded = uploaded
        #: None while it is open.
        self.ending: Ending | None = None
        #: Whether its result, or a newer input's, exists. An answer that is not written yet is not done.
        self.done = False
        #: The result that it replaces.
        self.current: CurrentResult | None = None
        self.body = b""
        #: The object's `Content-Encoding`.
        self.encoding = ""
        self.instances = _NO_INSTANCES
        #: Milliseconds that each step took; None: not reached.
        self.fetch_ms: float | None = None
        self.decode_ms: float | None = None
        self.predict_ms: float | None = None

    def end(self, ending: Ending) -> None:
        """Record how it ended and free its data: a batch may have thousands of messages."""
        self.ending = ending
        self.body, self.instances = b"", _NO_INSTANCES

    @property
    def names(self) -> dict[str, Any]:
        """What log lines name it by."""
        return {"message_id": self.message_id, "key": self.uploaded.key, "version_id": self.uploaded.version_id}


def attempt(step: Callable[[Work], None], work: Work) -> Work:
    """Do one step; whose fault a failure is decides between an error result and a message that goes back."""
    try:
        step(work)
    except InputError as error:
        work.end(Refused(type(error).__name__, str(error)))
    except Exception as error:
        # Also named in the message: in the JSON line, the stack precedes the error.
        logger.exception(NOT_SERVED, type(error).__name__, error, extra=work.names)
        work.end(SentBack(refused(error)))
    return work


def refused(error: Exception) -> Refused:
    """An error in the form that a result has it."""
    return Refused(type(error).__name__, for_a_result(str(error)))


def send_back(works: Iterable[Work]) -> None:
    """Leave inputs to a later invocation."""
    for work in works:
        logger.info("not started in this invocation; its message goes back to the queue", extra=work.names)
        work.end(SentBack())
