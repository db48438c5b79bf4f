"""A batch of queue messages: every input gets its result, and only messages that could not be served go back."""

import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from inference import decoders, events, metrics, s3
from inference.config import Config
from inference.errors import InputError, MessageError
from inference.events import UploadedObject
from inference.fetch import fetch
from inference.limits import GROUP_BYTES, GROUP_INPUTS
from inference.predictor import Predictor
from inference.results import CurrentResult, ResultStore, result_document, settles
from inference.tensors import Instances

logger = logging.getLogger(__name__)


@dataclass
class _Work:
    """One input on its way: each step fills in its part."""

    message_id: str
    uploaded: UploadedObject
    current: CurrentResult | None = None
    body: bytes = b""
    instances: Instances | None = None
    answer: list[Any] | InputError | None = None
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
    records: Sequence[dict[str, Any]], config: Config, predictor: Predictor, *, request_id: str, cold_start: bool
) -> dict[str, Any]:
    """Serve the records of a queue event; returns the partial batch response that Lambda takes.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

    Raises:
        ModelError: the model cannot be loaded, so no message of the batch is done.
    """
    works, unreadable = _take_up(records, config)
    server = _Server(config, predictor, request_id=request_id, cold_start=cold_start)
    for group in _groups(works):
        server.serve(group)
    failures = unreadable | {work.message_id for work in works if work.failed}
    answers = [work.answer for work in works if not work.failed]
    metrics.emit(
        config,
        predictions=sum(len(answer) for answer in answers if isinstance(answer, list)),
        input_errors=sum(isinstance(answer, InputError) for answer in answers),
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
            if uploaded.is_folder_marker() or not uploaded.is_routed(config.prefixes, config.suffixes):
                logger.info("passed over: not an input of this model", extra={"key": uploaded.key})
            else:
                works.append(_Work(record["messageId"], uploaded))
    return works, unreadable


def _groups(works: Iterable[_Work]) -> Iterator[list[_Work]]:
    """The inputs in parts that are small enough to be in memory together."""
    group: list[_Work] = []
    size = 0
    for work in works:
        # An event without a size may announce an object of any size: it goes alone.
        length = GROUP_BYTES if work.uploaded.size is None else work.uploaded.size
        if group and (len(group) == GROUP_INPUTS or size + length > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(work)
        size += length
    if group:
        yield group


class _Server:
    """The steps from an uploaded object to its result."""

    def __init__(self, config: Config, predictor: Predictor, *, request_id: str, cold_start: bool) -> None:
        self._config = config
        self._predictor = predictor
        self._request_id = request_id
        self._cold_start = cold_start
        self._client = s3.client()
        self._results = ResultStore(self._client, config)

    def serve(self, group: Sequence[_Work]) -> None:
        """Take a group of inputs through all steps; afterwards each is answered, settled or failed."""
        # The fetches are under way while the model is loaded, which at TensorFlow's first call takes seconds.
        fetched = _threads().map(functools.partial(_attempt, self._fetch), group)
        self._predictor.load()
        for work in fetched:
            if work.is_open:
                _attempt(self._decode, work)
        self._predict([work for work in group if work.is_open])
        write = functools.partial(_attempt, functools.partial(self._write, batch_size=len(group)))
        for work in _threads().map(write, group):
            _log(work, self._config)

    def _fetch(self, work: _Work) -> None:
        started = time.perf_counter()
        work.current = self._results.current(work.uploaded.key)
        if settles(work.current, work.uploaded, self._config.digest):
            work.settled = True
            logger.info("its result stands already", extra={"key": work.uploaded.key})
            return
        work.uploaded, work.body = fetch(self._client, work.uploaded)
        work.fetch_ms = _milliseconds_since(started)

    def _decode(self, work: _Work) -> None:
        started = time.perf_counter()
        work.instances = decoders.decode(work.uploaded.key, work.body, self._config.input, self._predictor.inputs)
        work.body = b""
        work.decode_ms = _milliseconds_since(started)

    def _predict(self, works: Sequence[_Work]) -> None:
        """Answer all in as few calls of the model as its runtime gains from; each is told its share of the time."""
        started = time.perf_counter()
        answers = self._predictor.predict_all([work.instances for work in works if work.instances is not None])
        share = _milliseconds_since(started) / max(1, len(works))
        for work, answer in zip(works, answers, strict=True):
            work.predict_ms = share
            _attempt(functools.partial(_take_answer, answer), work)

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
        work.answer = error
    except Exception:
        logger.exception("not served; its message goes back to the queue", extra=_names(work))
        work.failed = True
    return work


def _take_answer(answer: list[Any] | Exception, work: _Work) -> None:
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
