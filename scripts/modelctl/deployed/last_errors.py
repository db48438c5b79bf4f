"""Why messages became dead letters: the error of the last attempt of each, and which of them share a cause."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from modelctl.deployed import logs, result_heads
from modelctl.deployed.causes import common
from modelctl.deployed.dead_letters import DeadLetter
from modelctl.deployed.deployment import Deployment, Model

_AT_ONCE = 16

#: The most pages of the log that are read, each of at most a megabyte.
_MOST_PAGES = 100

#: A line about one message, in CloudWatch's syntax. The emulator matches it loosely, so lines are checked again below.
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
_ERRORS = '{ $.level = "ERROR" && $.message_id = "*" }'


@dataclass(frozen=True)
class LastError:
    """What is known about why a message was given up."""

    type: str
    message: str
    #: The source. `result`: the provisional result. `log`: the function's log. `answered`: the input has its result.
    #: `message`: the message itself. `unread`: S3 refuses to return its result. `nothing`: the function has left no
    #: trace.
    source: Literal["result", "log", "answered", "message", "unread", "nothing"]


_ANSWERED = LastError("Answered", "the input has its result; a redrive only removes the message", "answered")
_UNKNOWN = LastError(
    "Unknown",
    "neither a result nor the log mentions it: the message may not have reached the function, which may have been "
    "throttled, unable to start or being restored",
    "nothing",
)


@dataclass(frozen=True)
class Cause:
    """Dead letters that were given up for the same reason."""

    #: The error of the first of them.
    error: LastError
    letters: Sequence[tuple[DeadLetter, LastError]]


def find(deployed: Deployment, model: Model, letters: Sequence[DeadLetter]) -> dict[str, LastError]:
    """The last error of each dead letter, by the id of its message; each must announce an input."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        said = pool.map(lambda letter: _by_result(deployed, model, letter), letters)
        found = {letter.message_id: error for letter, error in zip(letters, said, strict=True) if error}
    without = {letter.message_id: _UNKNOWN for letter in letters if letter.message_id not in found}
    without |= {message_id: error for message_id, error in found.items() if error.source == "unread"}
    if without:
        unsaid = [letter for letter in letters if letter.message_id in without]
        found |= without | _logged(deployed, model, unsaid)
    return found


def by_cause(letters: Sequence[DeadLetter], errors: Mapping[str, LastError]) -> list[Cause]:
    """Dead letters by cause, the most frequent first."""
    groups: dict[tuple[str, str], list[tuple[DeadLetter, LastError]]] = defaultdict(list)
    for letter in letters:
        error = errors[letter.message_id]
        groups[error.type, common(error.message, letter.keys)].append((letter, error))
    return sorted((Cause(group[0][1], group) for group in groups.values()), key=lambda cause: -len(cause.letters))


def _by_result(deployed: Deployment, model: Model, letter: DeadLetter) -> LastError | None:
    if letter.problem is not None:
        return LastError("MessageError", letter.problem, "message")
    answered = True
    for uploaded in letter.uploads:
        try:
            head = result_heads.read(deployed, model, uploaded.key)
        except ClientError as refusal:
            # It is one of many, whose results may be readable.
            said = refusal.response["Error"]
            return LastError(
                "Unread", f"its result cannot be read: {said['Code']}: {said.get('Message', '')}", "unread"
            )
        current = head is not None and head.is_of(uploaded.version_id, uploaded.etag)
        if head is not None and current and head.provisional and head.error:
            return LastError(head.error["type"], head.error["message"], "result")
        answered = answered and current
    return _ANSWERED if answered else None


def _logged(deployed: Deployment, model: Model, letters: Sequence[DeadLetter]) -> dict[str, LastError]:
    """The last entry in the function's log about each message; bounded, so a long log leaves some without."""
    ids = {letter.message_id for letter in letters}
    since = min(letter.sent for letter in letters)
    return {
        line["message_id"]: _error(line)
        for _, line in logs.lines(deployed, model, since, _ERRORS, _MOST_PAGES)
        if line.get("message_id") in ids and line.get("level") == "ERROR"
    }


def _error(line: Mapping[str, Any]) -> LastError:
    """The error in a line of the log, from the fields for its type and text if the line has them."""
    kind, says = str(line.get("errorType") or "Error"), str(line.get("errorMessage") or line.get("message", ""))
    return LastError(kind, says, "log")
