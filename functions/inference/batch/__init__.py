"""A batch of queue messages: every input gets its result, and only messages that could not be served go back.

An input that ends the invocation (it takes longer than the timeout, or more memory than there is) sends the whole batch
back. So messages that come again are served one at a time, and each result is written at once. The other inputs are
then done before that input's message has been received so often that it goes to the dead-letter queue.

Before its last attempt, an input that has no result gets a provisional one, which an answer replaces. So even an input
that ends the function has a result.

`messages` finds the inputs, `order` decides in which order repeated ones are served, and `deadline` decides how many
there is time for. `pipeline` takes each input through the steps to its result; `work` holds what is known of it on the
way.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from inference import metrics
from inference.batch import messages, order
from inference.batch.deadline import Deadline
from inference.batch.pipeline import Pipeline
from inference.batch.work import Answer, SentBack, Settled, Work, refused, send_back
from inference.config import Config
from inference.errors import GivenUpError, ServiceError
from inference.predictions import Predictions
from inference.predictor import Predictor
from inference.result_documents import Refused
from inference.surroundings import Surroundings, real

#: What a provisional result says while the last attempt is under way, and for ever if that ends the function.
_DID_NOT_END = (
    "its last attempt, number {}, did not end: the function crashed, or ran out of time (timeout_s) or memory "
    "(memory_mb); its log says which. Once that is fixed, `modelctl redrive` tries it again"
)


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
    """Serve the records of a queue event; returns the partial batch response that Lambda takes.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

    Args:
        records: the event's messages.
        config: what is served.
        predictor: the model.
        request_id: of the invocation, for the results.
        cold_start: whether it is the environment's first invocation.
        remaining_ms: gives the milliseconds until Lambda ends the invocation.
        surroundings: its clocks, chance and threads; None: the real ones.

    Raises:
        ModelError: the model cannot be loaded, so no message of the batch is done.
    """
    surroundings = surroundings or real()
    works, unreadable = messages.take_up(records, config)
    fresh, again = [[work for work in works if (work.receives > 1) == repeated] for repeated in (False, True)]
    deadline = Deadline(remaining_ms)
    pipeline = Pipeline(config, predictor, deadline, surroundings, request_id=request_id, cold_start=cold_start)
    pipeline.look_up(again)
    last = [work for work in works if work.receives >= config.retries and work.ending is None]
    pipeline.give_up((work, refused(GivenUpError(_DID_NOT_END.format(work.receives)))) for work in last)
    again, untried = order.arrange(again)
    send_back(untried)
    # Retries go last, because one of them may kill the invocation; half the time is reserved so that fresh messages
    # cannot starve them.
    try:
        with deadline.half_kept() if again else contextlib.nullcontext():
            for group in messages.groups(fresh):
                pipeline.serve(group)
        for work in again:
            pipeline.serve([work])
    except ServiceError as error:
        pipeline.give_up((work, refused(error)) for work in last if not isinstance(work.ending, Settled | Answer))
        raise
    pipeline.give_up((work, reason) for work in last if (reason := _reason(work)) is not None)
    failures = unreadable | {work.message_id for work in works if isinstance(work.ending, SentBack)}
    metrics.emit(
        config,
        predictions=sum(work.ending.count for work in works if isinstance(work.ending, Predictions)),
        inputs=sum(isinstance(work.ending, Answer) for work in works),
        input_errors=sum(isinstance(work.ending, Refused) for work in works),
        failures=len(failures),
        predict_ms=sum(work.predict_ms or 0 for work in works),
        cold_start=cold_start,
        now=surroundings.time(),
    )
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in sorted(failures)]}


def _reason(work: Work) -> Refused | None:
    """Why an input was not served; None if it was, or was not taken up."""
    return work.ending.error if isinstance(work.ending, SentBack) else None
