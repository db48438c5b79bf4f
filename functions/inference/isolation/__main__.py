"""The child process (see the package): loads the model, then decodes and predicts one input after the other."""

import contextlib
import ctypes
import logging
import logging.handlers
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inference import decoders, isolation
from inference.config import Config
from inference.errors import NOT_SERVED, InputError, ModelError, for_a_result
from inference.isolation import Request, messages
from inference.isolation.channel import Channel
from inference.isolation.messages import Loading, Reply, Said
from inference.predictor import Predictor
from inference.result_documents import Refused

# This module is named __main__.
logger = logging.getLogger(isolation.__name__)

#: Linux's name for the setting that sends a process a signal when its parent ends.
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the parent closes its end, or ends."""
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    _go_first()
    config, level = _heard(channel)
    say = _speaker(channel)
    _log_by(say, level)
    predictor = Predictor(config)
    try:
        predictor.load()
    except ModelError as error:
        say(Loading(str(error)))
        return
    say(Loading(None))
    while True:
        try:
            request = _heard(channel)
        except EOFError:
            return
        say(_serve(request, config, predictor))


def _heard(channel: Channel) -> Any:
    """The next message of the function's own process, which is as trustworthy as this one."""
    return pickle.loads(channel.receive())  # noqa: S301


def _go_first() -> None:
    """End with the parent, and before it if memory runs out."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")


def _speaker(channel: Channel) -> Callable[[Said], None]:
    """Sends one message at a time: threads of the model's own code may log while a reply is sent."""
    one_at_a_time = threading.Lock()

    def say(said: Said) -> None:
        message = messages.encoded(said)
        with one_at_a_time:
            channel.send(message)

    return say


class _ToParent(logging.handlers.QueueHandler):
    """Sends log records to the parent, whose handlers know the format of Lambda's log and the id of the request."""

    def __init__(self, say: Callable[[Said], None]) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # `enqueue` is overridden
        self._say = say

    def enqueue(self, record: logging.LogRecord) -> None:
        self._say(record)


def _log_by(say: Callable[[Said], None], level: int) -> None:
    logging.getLogger().addHandler(_ToParent(say))
    logging.getLogger("inference").setLevel(level)


def _serve(request: Request, config: Config, predictor: Predictor) -> Reply:
    started = time.perf_counter()
    decode_ms = predict_ms = None

    def milliseconds() -> float:
        return round((time.perf_counter() - started) * 1000, 3)

    try:
        instances = decoders.decode(
            request.key, request.body, config.input, predictor.inputs, predictor.preprocess, encoding=request.encoding
        )
        decode_ms = milliseconds()
        started = time.perf_counter()
        predictions = predictor.predict(instances)
        predict_ms = milliseconds()
    except InputError as error:
        return Reply(Refused(type(error).__name__, str(error)), None, decode_ms, predict_ms)
    except Exception as error:
        extra = {**request.names, "traceback": traceback.format_exc()}
        logger.error(NOT_SERVED, type(error).__name__, error, extra=extra)
        return Reply(None, Refused(type(error).__name__, for_a_result(str(error))), decode_ms, predict_ms)
    return Reply(predictions, None, decode_ms, predict_ms)


if __name__ == "__main__":
    main()
