"""The messages that the child sends to the function's own process, as bytes.

None of them is a pickle, since the child runs the model's own code: a pickle could name classes that only the child
has, or run any code in the function's own process.
"""

import json
import logging
from typing import Any, NamedTuple

from inference.predictions import Predictions
from inference.result_documents import Refused


class Loading(NamedTuple):
    """How loading the model ended."""

    #: Why the model cannot be loaded; None: it is loaded.
    problem: str | None


class Reply(NamedTuple):
    """The outcome of an input."""

    #: What its result contains; None: it was not served.
    answer: Predictions | Refused | None
    #: Why it was not served, which is not the input's fault.
    error: Refused | None = None
    #: Milliseconds that each step took; None: not reached.
    decode_ms: float | None = None
    predict_ms: float | None = None


Said = Loading | Reply | logging.LogRecord


def encoded(said: Said) -> bytes:
    """A line of JSON, followed by the predictions of a reply as they are."""
    head: dict[str, Any]
    body = b""
    match said:
        case Loading(problem):
            head = {"loading": problem}
        case Reply(Predictions() as predictions):
            head, body = {"reply": said._replace(answer=None), "count": predictions.count}, bytes(predictions.json)
        case Reply():
            head = {"reply": said}
        case _:
            head = {"record": vars(said)}
    return b"%b\n%b" % (json.dumps(head, default=str).encode(), body)


def decoded(message: bytes) -> Said:
    """The inverse of `encoded`.

    Raises:
        ValueError: the bytes are not a message of this form.
    """
    line, _, body = message.partition(b"\n")
    try:
        match json.loads(line):
            case {"loading": str() | None as problem}:
                return Loading(problem)
            case {"reply": [None, None, decode_ms, predict_ms], "count": int(count)}:
                predictions = Predictions()
                predictions.json, predictions.count = bytearray(body), count
                return Reply(predictions, None, decode_ms, predict_ms)
            case {"reply": [answer, error, decode_ms, predict_ms]}:
                return Reply(answer and Refused(*answer), error and Refused(*error), decode_ms, predict_ms)
            case {"record": {"name": str()} as record}:
                return logging.makeLogRecord(record)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the child said {line[:200]!r}") from error
    raise ValueError(f"the child said {line[:200]!r}")
