"""The steps from an uploaded object to its result: fetch, decode, predict, write."""

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from inference import decoders, s3
from inference.batch.deadline import Deadline
from inference.batch.work import Answer, SentBack, Settled, Work, attempt, refused, send_back
from inference.config import Config
from inference.errors import NOT_SERVED, CrashError, TooLongError
from inference.fetch import fetch
from inference.limits import held_tensor_bytes, max_result_bytes
from inference.predictions import Predictions
from inference.predictor import Predictor
from inference.result_documents import NEVER_TAKEN_UP, Refused, result_document
from inference.results import ResultStore
from inference.surroundings import Surroundings

if TYPE_CHECKING:
    from inference.isolation import Isolation

logger = logging.getLogger(__name__)


class Pipeline:
    """The steps, for the inputs of one invocation."""

    def __init__(
        self,
        config: Config,
        predictor: Predictor,
        deadline: Deadline,
        surroundings: Surroundings,
        *,
        request_id: str,
        cold_start: bool,
    ) -> None:
        self._config = config
        self._predictor = predictor
        self._deadline = deadline
        self._surroundings = surroundings
        self._request_id = request_id
        self._cold_start = cold_start
        self._objects = s3.client()
        self._results = ResultStore(self._objects, config, surroundings)

    def look_up(self, works: Sequence[Work]) -> None:
        """Settle the inputs whose results already exist."""
        list(self._attempts(self._look_up, works))

    def give_up(self, reasons: Iterable[tuple[Work, Refused]]) -> None:
        """Write provisional results with the reason, before an input's last attempt; an answer replaces them."""
        list(self._surroundings.executor.map(lambda reason: self._give_up(*reason), reasons))

    def _give_up(self, work: Work, error: Refused) -> None:
        now = self._surroundings.time()
        timing = {**NEVER_TAKEN_UP, "cold_start": self._cold_start}
        document = result_document(self._config, work.uploaded, error, timing, self._request_id, now, provisional=True)
        try:
            work.current = self._results.write_provisional(work.uploaded, document, work.current) or work.current
        except Exception:
            # The attempt itself may still succeed.
            logger.exception("its provisional result could not be written", extra=self._names(work))

    def serve(self, group: Sequence[Work]) -> None:
        """Take a group of inputs through all steps, so that each ends."""
        if not self._deadline.has_time_for("all", 1):
            send_back(group)
            return
        # Fetches run while the model is loaded, which takes seconds at TensorFlow's first call.
        fetched = self._attempts(self._fetch, group)
        self._predictor.load()
        started = self._surroundings.perf_counter()
        for part in self._decoded(fetched):
            self._answer(part)
        self._deadline.took("all", self._surroundings.milliseconds_since(started) / len(group))

    def _attempts(self, step: Callable[[Work], None], works: Sequence[Work]) -> Iterator[Work]:
        """Attempt a step that waits for S3, for several inputs at the same time; a single one is not worth a thread."""
        one = functools.partial(attempt, step)
        return map(one, works) if len(works) == 1 else self._surroundings.executor.map(one, works)

    def serve_isolated(self, group: Sequence[Work], isolation: "Isolation", *, others_wait: bool) -> None:
        """Take a group of inputs through all steps, one at a time, with the risky steps in a separate process.

        Args:
            group: the inputs.
            isolation: decodes and predicts.
            others_wait: whether there are other groups after this one.

        Raises:
            CrashError, TooLongError: the process was not ready to serve.
            ServiceError: the model cannot be loaded.
        """
        left = len(group)
        fetched = self._attempts(self._fetch, group)
        try:
            for work in fetched:
                left -= 1
                if work.ending is None:
                    self._try_isolated(work, isolation, others_wait=others_wait or left > 0)
                self._finish([work], 1)
        except (CrashError, TooLongError):
            # The open ones may now be served in this process, and by then no thread may still be fetching them.
            for work in fetched:
                if work.ending is not None:
                    self._finish([work], 1)
            raise

    def _try_isolated(self, work: Work, isolation: "Isolation", *, others_wait: bool) -> None:
        if not self._deadline.has_time_for("all", 1) or not (isolation.loaded or self.has_time_to_load()):
            send_back([work])
            return
        if not isolation.loaded:
            self._load(isolation)
        started = self._surroundings.perf_counter()
        within_s = self._deadline.share_s(others_wait=others_wait)
        attempt(functools.partial(self._answer_isolated, isolation=isolation, within_s=within_s), work)
        if isinstance(work.ending, Answer):
            self._deadline.took("all", self._surroundings.milliseconds_since(started))

    def has_time_to_load(self) -> bool:
        """Whether another process is likely to be ready in time, judged by earlier loading times.

        It may use all of the time, since every input needs the model. If this process has the model as well, it may use
        only half: the inputs can then still be served here.
        """
        return self._deadline.has_time_for("loading", 2 if self._predictor.loaded else 1)

    def _load(self, isolation: "Isolation") -> None:
        started = self._surroundings.perf_counter()
        try:
            isolation.load(self._deadline.share_s(others_wait=self._predictor.loaded))
        finally:
            took = self._surroundings.milliseconds_since(started)
            self._deadline.took("loading", took)
            self._predictor.loading_ms = max(self._predictor.loading_ms, took)

    def _answer_isolated(self, work: Work, isolation: "Isolation", within_s: float) -> None:
        # Imported here, since most invocations need no other process.
        from inference.isolation import Request

        request = Request(work.uploaded.key, work.body, work.encoding, self._names(work))
        try:
            reply = isolation.serve(request, within_s)
        except (CrashError, TooLongError) as error:
            # This process's stack says nothing about what ended the other one.
            logger.error(NOT_SERVED, type(error).__name__, error, extra=self._names(work))
            work.end(SentBack(refused(error)))
            return
        work.decode_ms, work.predict_ms = reply.decode_ms, reply.predict_ms
        work.end(reply.answer or SentBack(reply.error))

    def _look_up(self, work: Work) -> None:
        work.current = self._results.current(work.uploaded.key)
        if self._results.settles(work.current, work.uploaded):
            work.end(Settled())
            work.done = True
            logger.info("its result already exists", extra={"key": work.uploaded.key})

    def _fetch(self, work: Work) -> None:
        started = self._surroundings.perf_counter()
        self._look_up(work)
        if work.ending is None:
            found = fetch(self._objects, work.uploaded, self._config.input.limits.bytes)
            work.uploaded, work.body, work.encoding = found
            work.fetch_ms = self._surroundings.milliseconds_since(started)

    def _decoded(self, fetched: Iterable[Work]) -> Iterator[list[Work]]:
        """The decoded inputs, in groups whose tensors fit into memory together.

        Inputs for which there is no time are sent back undecoded, so that time is left to answer the decoded ones.
        """
        part: list[Work] = []
        size = 0
        for work in fetched:
            if work.ending is None and not self._deadline.has_time_for("decoding", 1):
                send_back([work])
            if work.ending is None:
                started = self._surroundings.perf_counter()
                attempt(self._decode, work)
                self._deadline.took("decoding", self._surroundings.milliseconds_since(started))
            if part and size + work.instances.size > held_tensor_bytes():
                yield part
                part, size = [], 0
            part.append(work)
            size += work.instances.size
        yield part

    def _decode(self, work: Work) -> None:
        started = self._surroundings.perf_counter()
        predictor = self._predictor
        work.instances = decoders.decode(
            work.uploaded.key,
            work.body,
            self._config.input,
            predictor.inputs,
            predictor.preprocess,
            encoding=work.encoding,
        )
        work.body = b""
        work.decode_ms = self._surroundings.milliseconds_since(started)

    def _answer(self, part: Sequence[Work]) -> None:
        """Predict, write and log; predictions are written early once they fill the memory that they may use."""
        left = [work for work in part if work.ending is None]
        ended = [work for work in part if work.ending is not None]
        while left:
            done = self._predict(left)
            left = left[len(done) :]
            ended += done
            if _answered_bytes(ended) > max_result_bytes():
                self._finish(ended, len(part))
                ended = []
        self._finish(ended, len(part))

    def _predict(self, works: Sequence[Work]) -> Sequence[Work]:
        """End the first inputs, in one call of the model if its runtime gains from that, and return those that ended.

        Each one's timing is its share of the call.
        """
        call = works if self._predictor.gains_from_batches else works[:1]
        while len(call) > 1 and not self._deadline.has_time_for("prediction", len(call)):
            call = call[: len(call) // 2]
        if not self._deadline.has_time_for("prediction", len(call)):
            send_back(call)
            return call
        started = self._surroundings.perf_counter()
        done = self._predict_together(call) or self._predict_each(call)
        share = self._surroundings.milliseconds_since(started) / len(done)
        self._deadline.took("prediction", share)
        for work in done:
            work.predict_ms = share
        return done

    def _predict_together(self, works: Sequence[Work]) -> Sequence[Work]:
        """Answer all of them or none, and return those that were answered."""
        answers = self._predictor.predict_together([work.instances for work in works])
        if answers is None:
            return []
        for work, answer in zip(works, answers, strict=True):
            work.end(answer)
        return works

    def _predict_each(self, works: Sequence[Work]) -> Sequence[Work]:
        """End as many of the first inputs as may be in memory together, each by itself, and return those that ended."""
        done: list[Work] = []
        for work in works:
            if _answered_bytes(done) > max_result_bytes():
                break
            done.append(attempt(self._predict_alone, work))
        return done

    def _predict_alone(self, work: Work) -> None:
        work.end(self._predictor.predict(work.instances))

    def _finish(self, works: Sequence[Work], batch_size: int) -> None:
        """Write and log."""
        for work in self._attempts(functools.partial(self._write, batch_size=batch_size), works):
            work.done = not isinstance(work.ending, SentBack)
            self._log(work)
            if isinstance(work.ending, Predictions):
                work.ending.drop()

    def _write(self, work: Work, batch_size: int) -> None:
        if not isinstance(work.ending, Answer):
            return
        timing = {
            "fetch": work.fetch_ms,
            "decode": work.decode_ms,
            "predict": work.predict_ms,
            "batch_size": batch_size,
            "cold_start": self._cold_start,
        }
        now = self._surroundings.time()
        answer = work.ending if isinstance(work.ending, Refused) else work.ending.json
        document = result_document(self._config, work.uploaded, answer, timing, self._request_id, now)
        if not self._results.write(work.uploaded, document, work.current):
            work.end(Settled())
            logger.info("another result was written in the meantime", extra=self._names(work))

    def _log(self, work: Work) -> None:
        """One line about an input that was served."""
        match work.ending:
            case Predictions():
                logger.info("predicted", extra={**self._names(work), "predict_ms": work.predict_ms})
            case Refused(error_type, message):
                names = {**self._names(work), "error_type": error_type}
                logger.warning("refused: %s: %s", error_type, message, extra=names)

    def _names(self, work: Work) -> dict[str, Any]:
        config = self._config
        return {"model": config.name, "version": config.version, "digest": config.digest, **work.names}


def _answered_bytes(works: Iterable[Work]) -> int:
    return sum(work.ending.size for work in works if isinstance(work.ending, Predictions))
