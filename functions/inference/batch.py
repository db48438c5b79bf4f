"""A batch of queue messages: every input gets its result, and only messages that could not be served go back.

An input that ends the invocation (it takes longer than the timeout, or more memory than there is) sends the whole batch
back. So messages that come again are served one at a time, each result is written at once, and the others are done
before that input's message has come so often that it goes to the dead-letter queue.
"""

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from inference import decoders, events, metrics, s3
from inference.config import Config
from inference.errors import InputError, MessageError
from inference.events import UploadedObject
from inference.fetch import fetch
from inference.limits import GROUP_INPUTS, group_bytes, held_tensor_bytes, max_result_bytes
from inference.predictions import Predictions
from inference.predictor import Predictor
from inference.results import CurrentResult, ResultStore, result_document, settles
from inference.tensors import Instances

logger = logging.getLogger(__name__)

#: Time that is kept for writing results, at most a quarter of what there is.
_RESERVE_MS = 1000

#: Of what an input takes: from the fetch to the written result, or the model's call.
_Span = Literal["all", "decoding", "prediction"]


@dataclass
class _Work:
    """One input on its way: each step fills in its part."""

    message_id: str
    #: How often its message was received; above 1 an earlier attempt failed, perhaps with the whole invocation.
    receives: int
    uploaded: UploadedObject
    current: CurrentResult | None = None
    body: bytes = b""
    instances: Instances | None = None
    answer: Predictions | InputError | None = None
    #: How many predictions it got.
    predictions: int = 0
    #: Its result, or a newer input's, stands already.
    settled: bool = False
    #: It could not be served and its message goes back.
    failed: bool = False
    #: Milliseconds of each step; None: not reached.
    fetch_ms: float | None = None
    decode_ms: float | None = None
    predict_ms: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still needs an answer."""
        return self.answer is None and not self.settled and not self.failed


def serve(
    records: Sequence[dict[str, Any]],
    config: Config,
    predictor: Predictor,
    *,
    request_id: str,
    cold_start: bool,
    remaining_ms: Callable[[], int],
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

    Raises:
        ModelError: the model cannot be loaded, so no message of the batch is done.
    """
    works, unreadable = _take_up(records, config)
    fresh, again = [[work for work in works if (work.receives > 1) == repeated] for repeated in (False, True)]
    deadline = _Deadline(remaining_ms)
    server = _Server(config, predictor, deadline, request_id=request_id, cold_start=cold_start)
    again = server.one_by_one(again)
    # Last, since they may end the invocation, and yet with time of their own, or fresh ones would keep them out.
    with deadline.half_kept() if again else contextlib.nullcontext():
        for group in _groups(fresh):
            server.serve(group)
    for work in again:
        server.serve([work])
    failures = unreadable | {work.message_id for work in works if work.failed}
    written = [work for work in works if not work.failed and not work.settled]
    metrics.emit(
        config,
        predictions=sum(work.predictions for work in written),
        input_errors=sum(isinstance(work.answer, InputError) for work in written),
        failures=len(failures),
        predict_ms=sum(work.predict_ms or 0 for work in works),
        cold_start=cold_start,
    )
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in sorted(failures)]}


def _take_up(records: Sequence[dict[str, Any]], config: Config) -> tuple[list[_Work], set[str]]:
    """The inputs that the messages announce, and the ids of messages that are no S3 events."""
    works = []
    unreadable = set()
    for record in records:
        try:
            uploads = events.uploaded_objects(record["body"])
        except MessageError:
            logger.exception("not an S3 event", extra={"message_id": record["messageId"]})
            unreadable.add(record["messageId"])
            continue
        for uploaded in uploads:
            if uploaded.is_folder_marker() or not uploaded.is_routed(config.route.prefixes, config.route.suffixes):
                logger.info("passed over: not an input of this model", extra={"key": uploaded.key})
            else:
                receives = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
                works.append(_Work(record["messageId"], receives, uploaded))
    return works, unreadable


def _groups(works: Iterable[_Work]) -> Iterator[list[_Work]]:
    """The inputs in parts that are small enough to be in memory together."""
    group: list[_Work] = []
    size = 0
    for work in works:
        # An event without a size may announce an object of any size: it goes alone.
        length = group_bytes() if work.uploaded.size is None else work.uploaded.size
        if group and (len(group) == GROUP_INPUTS or size + length > group_bytes()):
            yield group
            group, size = [], 0
        group.append(work)
        size += length
    if group:
        yield group


class _Deadline:
    """Whether there is time for one more input, judged by the longest that one took; the first is always tried.

    One that is decoded already needs no more than its prediction.
    """

    def __init__(self, remaining_ms: Callable[[], int]) -> None:
        self._remaining_ms = remaining_ms
        self._longest_ms: dict[_Span, float] = {}
        self._total_ms = remaining_ms()
        self._kept_ms = min(_RESERVE_MS, self._total_ms / 4)

    def took(self, span: _Span, milliseconds: float) -> None:
        """Note what one input took."""
        self._longest_ms[span] = max(self._longest_ms.get(span, 0), milliseconds)

    def has_time_for(self, span: _Span, inputs: int) -> bool:
        """Whether this many inputs can be served, and their results written."""
        if span not in self._longest_ms:
            return True
        return self._remaining_ms() > self._kept_ms + 1.5 * self._longest_ms[span] * inputs

    @contextlib.contextmanager
    def half_kept(self) -> Iterator[None]:
        """Keep half of all the time for what comes after."""
        kept_ms, self._kept_ms = self._kept_ms, self._total_ms / 2
        yield
        self._kept_ms = kept_ms


class _Server:
    """The steps from an uploaded object to its result."""

    def __init__(
        self, config: Config, predictor: Predictor, deadline: _Deadline, *, request_id: str, cold_start: bool
    ) -> None:
        self._config = config
        self._predictor = predictor
        self._deadline = deadline
        self._request_id = request_id
        self._cold_start = cold_start
        self._client = s3.client()
        self._results = ResultStore(self._client, config)

    def serve(self, group: Sequence[_Work]) -> None:
        """Take a group of inputs through all steps; afterwards each is answered, settled or failed."""
        if not self._deadline.has_time_for("all", 1):
            _send_back(group)
            return
        # The fetches are under way while the model is loaded, which at TensorFlow's first call takes seconds.
        fetched = _threads().map(functools.partial(_attempt, self._fetch), group)
        self._predictor.load()
        started = time.perf_counter()
        for part in self._decoded(fetched):
            self._answer(part)
        self._deadline.took("all", _milliseconds_since(started) / len(group))

    def one_by_one(self, works: Sequence[_Work]) -> list[_Work]:
        """The order in which to serve messages that come again; those whose result stands are settled.

        Some may end every invocation that takes them up. The order turns with every receive, so an invocation that
        ended did so at what is now the first open one in its direction: each receive after the second adds one to the
        suspects, from either end in turn, and they come last. A message that comes again although all its results
        stand shows that the invocation before did end: then they go back untried, so that the others' messages are
        deleted.
        """
        works = list(_threads().map(functools.partial(_attempt, self._look_up), works))
        receives = max((work.receives for work in works), default=0)
        order = sorted((work for work in works if work.is_open), key=lambda work: work.message_id)
        suspects = [order.pop(-(earlier % 2)) for earlier in range(2, min(receives, len(order) + 2))]
        if receives % 2:
            order.reverse()
        if {work.message_id for work in works} > {work.message_id for work in works if not work.settled}:
            _send_back(suspects)
            return order
        return order + suspects

    def _look_up(self, work: _Work) -> None:
        work.current = self._results.current(work.uploaded.key)
        if settles(work.current, work.uploaded, self._config.digest):
            work.settled = True
            logger.info("its result stands already", extra={"key": work.uploaded.key})

    def _fetch(self, work: _Work) -> None:
        started = time.perf_counter()
        self._look_up(work)
        if not work.settled:
            work.uploaded, work.body = fetch(self._client, work.uploaded, self._config.input.limits.bytes)
            work.fetch_ms = _milliseconds_since(started)

    def _decoded(self, fetched: Iterable[_Work]) -> Iterator[list[_Work]]:
        """The inputs, decoded, in parts whose tensors are small enough to be in memory together.

        Those for which there is no time are left out, so that what is decoded is answered.
        """
        part: list[_Work] = []
        size = 0
        for work in fetched:
            if work.is_open and not self._deadline.has_time_for("decoding", 1):
                _send_back([work])
            if work.is_open:
                started = time.perf_counter()
                _attempt(self._decode, work)
                self._deadline.took("decoding", _milliseconds_since(started))
            length = 0 if work.instances is None else work.instances.size
            if part and size + length > held_tensor_bytes():
                yield part
                part, size = [], 0
            part.append(work)
            size += length
        yield part

    def _answer(self, part: Sequence[_Work]) -> None:
        """Predict, write and log; what is predicted is written before more of it is than may be in memory."""
        left = [work for work in part if work.is_open]
        answered = [work for work in part if not work.is_open]
        while left:
            done = self._predict(left)
            left = left[len(done) :]
            answered += done
            if sum(work.answer.size for work in answered if isinstance(work.answer, Predictions)) > max_result_bytes():
                self._finish(answered, len(part))
                answered = []
        self._finish(answered, len(part))

    def _finish(self, works: Sequence[_Work], batch_size: int) -> None:
        """Write and log."""
        write = functools.partial(_attempt, functools.partial(self._write, batch_size=batch_size))
        for work in _threads().map(write, works):
            _log(work, self._config)
            # A batch may have thousands of messages: of what is written only the count stays in memory.
            work.body, work.instances = b"", None
            if isinstance(work.answer, Predictions):
                work.predictions, work.answer = work.answer.count, Predictions()

    def _decode(self, work: _Work) -> None:
        started = time.perf_counter()
        key, preprocess = work.uploaded.key, self._predictor.preprocess
        if preprocess is None:
            work.instances = decoders.decode(key, work.body, self._config.input, self._predictor.inputs)
        else:
            work.instances = preprocess(decoders.content(key, work.body, self._config.input.limits), key)
        work.body = b""
        work.decode_ms = _milliseconds_since(started)

    def _predict(self, works: Sequence[_Work]) -> Sequence[_Work]:
        """Answer the first ones, in a common call of the model where its runtime gains from that; gives those.

        Each is told its share of the time.
        """
        call = works if self._predictor.gains_from_batches else works[:1]
        while len(call) > 1 and not self._deadline.has_time_for("prediction", len(call)):
            call = call[: len(call) // 2]
        if not self._deadline.has_time_for("prediction", len(call)):
            _send_back(call)
            return call
        started = time.perf_counter()
        answers = self._predictor.predict_all([work.instances for work in call if work.instances is not None])
        # Not all of them where their answers are too large to be in memory together.
        share = _milliseconds_since(started) / len(answers)
        self._deadline.took("prediction", share)
        for work, answer in zip(call, answers, strict=False):
            work.predict_ms = share
            _attempt(functools.partial(_take_answer, answer), work)
        return call[: len(answers)]

    def _write(self, work: _Work, batch_size: int) -> None:
        if work.answer is None:
            return
        timing = {
            "fetch": work.fetch_ms,
            "decode": work.decode_ms,
            "predict": work.predict_ms,
            "batch_size": batch_size,
            "cold_start": self._cold_start,
        }
        document = result_document(self._config, work.uploaded, work.answer, timing, self._request_id)
        work.settled = not self._results.write(work.uploaded, document, work.current)


def _attempt(step: Callable[[_Work], None], work: _Work) -> _Work:
    """Do one step; whose fault a failure is decides between an error result and a message that goes back."""
    try:
        step(work)
    except InputError as error:
        # These hold what was decoded.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        work.answer = error
    except Exception:
        logger.exception("not served; its message goes back to the queue", extra=_names(work))
        work.failed = True
    return work


def _send_back(works: Iterable[_Work]) -> None:
    """Leave inputs to a later invocation."""
    for work in works:
        logger.info("not taken up in this invocation; its message goes back to the queue", extra=_names(work))
        work.failed = True


def _take_answer(answer: Predictions | Exception, work: _Work) -> None:
    if isinstance(answer, Exception):
        raise answer
    work.answer = answer


def _log(work: _Work, config: Config) -> None:
    """One line about a served input."""
    if work.answer is None or work.failed:
        return
    names = {"model": config.name, "version": config.version, "digest": config.digest, **_names(work)}
    if work.settled:
        logger.info("another result stands by now", extra=names)
    elif isinstance(work.answer, InputError):
        error_type = type(work.answer).__name__
        logger.warning("refused: %s: %s", error_type, work.answer, extra={**names, "error_type": error_type})
    else:
        logger.info("predicted", extra={**names, "predict_ms": work.predict_ms})


def _names(work: _Work) -> dict[str, Any]:
    return {"message_id": work.message_id, "key": work.uploaded.key, "version_id": work.uploaded.version_id}


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """The threads that wait for S3; they live as long as the environment."""
    return ThreadPoolExecutor(s3.PARALLEL, thread_name_prefix="s3")
