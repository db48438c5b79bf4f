"""A batch of queue messages: every input gets its result, and only messages that could not be served go back.

An input that ends the invocation, by exceeding the timeout or the memory, sends the whole batch back. So an invocation
that receives a message again serves its inputs one at a time in a child process (see `isolation`), where such an input
harms only itself. If memory does not suffice for a child, or the child would not be ready in time, this process serves
repeated messages one at a time and writes each result immediately. The other inputs are then done before the harmful
input's message has been received often enough to go to the dead-letter queue.

Before its last attempt, an input without a result gets a provisional one, which an answer replaces. So even an input
that kills the function has a result.

`messages` finds the inputs, `order` decides the order in which repeated ones are served, and `deadline` decides how
many fit into the time. `pipeline` takes each input through the steps to its result; `work` holds what is known about it
on the way.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from inference import metrics
from inference.batch import messages, order
from inference.batch.deadline import Deadline
from inference.batch.pipeline import Pipeline
from inference.batch.work import Answer, SentBack, Work, refused, send_back
from inference.config import Config
from inference.errors import CrashError, GivenUpError, ServiceError, TooLongError
from inference.predictions import Predictions
from inference.predictor import Predictor
from inference.result_documents import Refused
from inference.surroundings import Surroundings, real

if TYPE_CHECKING:
    from inference.isolation import Isolation

logger = logging.getLogger(__name__)

#: What a provisional result says while the last attempt is under way, and for good if that attempt kills the function.
_DID_NOT_END = (
    "its last attempt, number {}, did not finish: the function crashed, or ran out of time (timeout_s) or memory "
    "(memory_mb); its log says which. Once that is fixed, `modelctl redrive` tries it again"
)

#: What it says if the invocation did not reach the input.
_NOT_TAKEN_UP = (
    "its last attempt, number {}, did not reach it: other inputs of its batch used up the time (timeout_s); "
    "its log says which. Once that is fixed, `modelctl redrive` tries it again"
)

#: What the log says if the child process is not ready in time, or has no memory to load the model.
_NOT_ISOLATED = "retried inputs are served in the function's own process, which one of them may kill: %s"

#: At most how many inputs of a batch one log line names.
_MOST_NAMED = 100


def serve(
    records: Sequence[dict[str, Any]],
    config: Config,
    predictor: Predictor,
    *,
    request_id: str,
    cold_start: bool,
    remaining_ms: Callable[[], int],
    surroundings: Surroundings | None = None,
) -> dict[str, Any]:
    """Serve the records of a queue event and return the partial batch response that Lambda expects.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

    Args:
        records: the event's messages.
        config: what is served.
        predictor: the model.
        request_id: of the invocation, for the results.
        cold_start: whether it is the environment's first invocation.
        remaining_ms: returns the milliseconds until Lambda ends the invocation.
        surroundings: the clocks, randomness, threads and processes; None: the real ones.

    Raises:
        ModelError: the model cannot be loaded, so no message of the batch is done.
    """
    surroundings = surroundings or real()
    works, unreadable = messages.take_up(records, config)
    deadline = Deadline(remaining_ms)
    if predictor.loading_ms:
        deadline.took("loading", predictor.loading_ms)
    pipeline = Pipeline(config, predictor, deadline, surroundings, request_id=request_id, cold_start=cold_start)
    pipeline.look_up([work for work in works if work.receives > 1])
    open_works = [work for work in works if work.ending is None]
    # This includes inputs whose results could not be looked up: it is their last attempt, too.
    last = [work for work in works if work.receives >= config.retries and not work.done]
    isolation = None
    if open_works and (last or any(messages.receives(record) > 1 for record in records)):
        _log_tries(open_works, config.retries)
        pipeline.give_up(
            (work, refused(GivenUpError(_DID_NOT_END.format(work.receives)))) for work in last if work.ending is None
        )
        if pipeline.has_time_to_load():
            isolation = surroundings.isolate(config)
        else:
            loading_s = predictor.loading_ms / 1000
            logger.warning(
                _NOT_ISOLATED, f"loading the model in a child process takes {loading_s:.1f} s; raise timeout_s"
            )
    try:
        if not isolation or not _serve_isolated(open_works, pipeline, isolation, predictor):
            _serve_here(works, pipeline, deadline)
    except ServiceError as error:
        # The model cannot be loaded. Messages that are done anyway or need no model, such as S3's test event, are
        # acknowledged: this may be the last time that they are received.
        for work in open_works:
            if not work.done:
                work.end(SentBack(refused(error)))
        if unreadable | _not_done(works) == {record["messageId"] for record in records}:
            raise
        logger.exception("%s: %s", type(error).__name__, error)
    finally:
        if last:
            pipeline.give_up((work, reason) for work in last if (reason := _reason(work)) is not None)
    failures = unreadable | _not_done(works)
    done = [work for work in works if work.done]
    now, sent_ms = surroundings.time(), messages.sent_ms(records)
    metrics.emit(
        config,
        predictions=sum(work.ending.count for work in done if isinstance(work.ending, Predictions)),
        inputs=sum(isinstance(work.ending, Answer) for work in done),
        input_errors=sum(isinstance(work.ending, Refused) for work in done),
        failures=len(failures),
        predict_ms=sum(work.predict_ms or 0 for work in works),
        cold_start=cold_start,
        now=now,
        result_ms=[
            max(0, now * 1000 - sent_ms[work.message_id])
            for work in done
            if isinstance(work.ending, Answer) and work.message_id in sent_ms
        ],
    )
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in sorted(failures)]}


def _serve_here(works: Sequence[Work], pipeline: Pipeline, deadline: Deadline) -> None:
    """Serve inputs in this process: fresh ones together, repeated ones one at a time."""
    fresh = [work for work in works if work.receives == 1 and work.ending is None]
    again = [work for work in works if work.receives > 1]
    again, untried = order.arrange(again)
    send_back(untried)
    # Retries go last, because one of them may kill the invocation; half the time is reserved so that fresh messages
    # cannot starve them.
    with deadline.half_kept() if again else contextlib.nullcontext():
        for group in messages.groups(fresh):
            pipeline.serve(group)
    for work in again:
        pipeline.serve([work])


def _serve_isolated(works: Sequence[Work], pipeline: Pipeline, isolation: "Isolation", predictor: Predictor) -> bool:
    """Serve inputs in a separate process, which one of them may kill without harm to the others.

    Returns whether it was ready to serve. If it was not and this process has loaded the model, the others stay open.
    """
    groups = list(messages.groups(order.isolated(works)))
    try:
        for group in groups:
            pipeline.serve_isolated(group, isolation, others_wait=group is not groups[-1])
    except (CrashError, TooLongError) as error:
        if not predictor.loaded:
            raise
        logger.warning(_NOT_ISOLATED, error)
        return False
    finally:
        isolation.end()
    return True


def _log_tries(works: Sequence[Work], retries: int) -> None:
    """Log which inputs' attempts begin, so that those of a killed invocation can be found."""
    for receives in sorted({work.receives for work in works}, reverse=True):
        keys = [work.uploaded.key for work in works if work.receives == receives]
        more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
        logger.info("try %d of %d: %s%s", receives, retries, ", ".join(keys[:_MOST_NAMED]), more)


def _not_done(works: Sequence[Work]) -> set[str]:
    """The ids of messages that have an input without a result.

    Whether an input was sent back does not count: a thread that is still fetching may end it after that.
    """
    return {work.message_id for work in works if not work.done}


def _reason(work: Work) -> Refused | None:
    """Why an input was not served; None if it was."""
    if not isinstance(work.ending, SentBack):
        return None
    return work.ending.error or refused(GivenUpError(_NOT_TAKEN_UP.format(work.receives)))
