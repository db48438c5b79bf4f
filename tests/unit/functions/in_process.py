"""An isolation without a process: what would end the child is an exception."""

from collections.abc import Callable

from inference import decoders
from inference.config import Config
from inference.errors import CrashError, InputError, TooLongError, for_a_result
from inference.isolation import Request
from inference.isolation.messages import Reply
from inference.predictor import Predictor
from inference.result_documents import Refused


class Killed(BaseException):
    """The end of a process: nothing in the function comes after it."""


class Hung(BaseException):
    """An input that a process never ends with."""


class InProcess:
    """Serves as the child does, in the process of the test."""

    def __init__(self, config: Config, predictor: Callable[[Config], Predictor] = Predictor) -> None:
        self._config = config
        self._make = predictor
        self._predictor: Predictor | None = None
        #: How often a child would have been started.
        self.starts = 0
        #: Seconds that each input might take.
        self.within_s: list[float] = []

    @property
    def loaded(self) -> bool:
        """See `Isolation`."""
        return self._predictor is not None

    def load(self, within_s: float) -> None:
        """See `Isolation`."""
        self.starts += 1
        predictor = self._make(self._config)
        predictor.load()
        self._predictor = predictor

    def serve(self, request: Request, within_s: float) -> Reply:
        """See `Isolation`."""
        self.within_s.append(within_s)
        predictor = self._predictor
        assert predictor is not None
        try:
            instances = decoders.decode(
                request.key,
                request.body,
                self._config.input,
                predictor.inputs,
                predictor.preprocess,
                encoding=request.encoding,
            )
            return Reply(predictor.predict(instances), None, 1.0, 2.0)
        except InputError as error:
            return Reply(Refused(type(error).__name__, str(error)))
        except Killed:
            self.end()
            raise CrashError("the process serving the input exited with status 3") from None
        except Hung:
            self.end()
            raise TooLongError(f"not within {within_s:.1f} s") from None
        except Exception as error:
            return Reply(None, Refused(type(error).__name__, for_a_result(str(error))))

    def end(self) -> None:
        """See `Isolation`."""
        self._predictor = None
