"""Results of inputs that were given up without one, because their messages died before the function saw them.

A function writes a provisional result before it tries an input for the last time. A message that never reached the
function leaves none, for example if the function was throttled or could not start. The results that are written here
are what the function would have written, by the same rules: an answer or a newer input's result stays, and a later
answer replaces them.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from inference import surroundings
from inference.errors import StorageError, for_a_result
from inference.events import UploadedObject
from inference.result_documents import NEVER_TAKEN_UP, Refused, result_document
from inference.results import ResultStore
from inference.s3.with_botocore import BotocoreObjects
from modelctl.deployed.dead_letters import DeadLetter
from modelctl.deployed.deployment import Deployment, Model
from modelctl.deployed.last_errors import LastError

_AT_ONCE = 16


@dataclass(frozen=True)
class _Results:
    """See `inference.results.Results`."""

    name: str
    digest: str
    results: str


@dataclass(frozen=True)
class Recorded:
    """What happened to the inputs without a result, by key."""

    #: Those that have one now.
    written: list[str]
    #: Why S3 did not accept the others.
    failed: dict[str, str]


def record(deployed: Deployment, model: Model, letters: Sequence[tuple[DeadLetter, LastError]]) -> Recorded:
    """Write the results of inputs that have none; a result that S3 refuses does not affect the others.

    Args:
        deployed: where.
        model: whose dead letters they are.
        letters: the dead letters, each with its last error; those whose error comes from a result have a result.
    """
    store = ResultStore(
        BotocoreObjects(deployed.s3), _Results(model.name, model.digest, deployed.results), surroundings.real()
    )

    def write(uploaded: UploadedObject, error: LastError, tries: int) -> bool | StorageError:
        if error.source == "unread":
            return StorageError(error.message)
        known = error.source == "log"
        said = Refused(error.type, error.message) if known else Refused("GivenUpError", _unseen(tries))
        said = said._replace(message=for_a_result(said.message))
        document = result_document(model, uploaded, said, NEVER_TAKEN_UP, None, time.time(), provisional=True)
        try:
            return store.write_provisional(uploaded, document, store.current(uploaded.key)) is not None
        except StorageError as problem:
            return problem

    without = [
        (uploaded, error, letter.tries(model))
        for letter, error in letters
        if error.source in ("log", "unread", "nothing")
        for uploaded in letter.uploads
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ended = [
            (uploaded.key, done)
            for (uploaded, *_), done in zip(without, pool.map(lambda one: write(*one), without), strict=True)
        ]
    return Recorded(
        [key for key, done in ended if done is True],
        {key: str(problem) for key, problem in ended if isinstance(problem, StorageError)},
    )


def _unseen(tries: int) -> str:
    times = "once" if tries == 1 else f"{tries} times"
    return (
        f"its message was received {times} and given up, and the function left no trace of it: it may have been "
        "throttled, unable to start or being restored. Once that is fixed, redrive the message"
    )
