"""Inputs that end whatever serves them harm themselves only: no other input dies, or is counted dead, with them."""

import dataclasses
import errno
import json
import logging
import random
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from inference import batch, isolation, memory, surroundings
from inference.config import Config
from inference.errors import CrashError, ModelError, TooLongError
from inference.isolation import Child, Isolation, Request
from inference.isolation.messages import Reply
from inference.predictor import Predictor
from inference.runtimes import Model
from inference.tensors import Instances
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3
from unit.functions.in_process import Hung, InProcess, Killed
from unit.functions.in_turn import InTurn
from unit.functions.s3_events import notification
from unit.functions.simulation.services import Sum

UPLOADS = 300

#: Of each hundred uploads: those that end the process, and those at which the model's own code raises.
CRASHING, RAISING = 19, 19

#: Messages of one invocation at most, invocations at a time, and receives until a message is dead.
BATCH, AT_ONCE, RETRIES = 10, 4, 5


class Treacherous(Predictor):
    """A model whose hook ends the process for some inputs, and raises for others."""

    def load(self) -> Model:
        return Sum()

    @property
    def preprocess(self) -> Callable[[bytes, str], Instances]:
        def decode(body: bytes, _key: str) -> Instances:
            if body == b"crash":
                raise Killed
            if body == b"hang":
                raise Hung
            if body == b"raise":
                raise ModelError("hooks: preprocess raised KeyError: 'x' (line 3)")
            return Instances({"x": np.array([json.loads(body)], np.float32)}, 1)

        return decode


@dataclass
class Message:
    """A message of the queue."""

    record: dict[str, Any]
    visible: bool = True
    receives: int = 0


@dataclass
class Queue:
    """A queue with its event source mapping: who comes in a batch together is chance."""

    chance: random.Random
    messages: list[Message] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)

    def receive(self) -> list[Message]:
        """A batch of messages; those that were received too often are dead instead."""
        for message in [message for message in self.messages if message.visible and message.receives >= RETRIES]:
            self.messages.remove(message)
            self.dead.append(message)
        visible = [message for message in self.messages if message.visible]
        chosen = self.chance.sample(visible, min(len(visible), self.chance.randint(1, BATCH)))
        for message in chosen:
            message.receives, message.visible = message.receives + 1, False
        return chosen

    def acknowledge(self, received: list[Message], failed: set[str]) -> None:
        """Delete the messages that did not fail."""
        for message in received:
            if message.record["messageId"] not in failed:
                self.messages.remove(message)


def body_of(number: int) -> bytes:
    """What is uploaded."""
    share = number * 7 % 100
    return b"crash" if share < CRASHING else b"raise" if share < CRASHING + RAISING else b"[1, 2, 3]"


def run(
    seed: int, fake: FakeS3, config: Config, isolate: Callable[[Config], Isolation | None]
) -> tuple[Queue, dict[str, dict[str, Any]]]:
    """Upload, and serve until the queue is empty; gives the queue and the results by key."""
    queue = Queue(random.Random(seed))  # noqa: S311  (it has to be known beforehand)
    # S3's first message in a queue, which is not an input.
    queue.messages.append(Message({"messageId": "test", "body": json.dumps({"Event": "s3:TestEvent"})}))
    for number in range(UPLOADS):
        stored = fake.upload(INPUTS, key := f"digits/{number}", body_of(number))
        event = notification(key, size=stored.size, versionId=stored.version_id, eTag=stored.etag.strip('"'))
        queue.messages.append(Message({"messageId": key, "body": event}))
    around = surroundings.real()._replace(sleep=lambda _seconds: None, executor=InTurn(), isolate=isolate)
    while queue.messages:
        # So many invocations run before the visibility timeouts of what they leave are over.
        batches = [received for _ in range(AT_ONCE) if (received := queue.receive())]
        for received in batches:
            records = [
                message.record | {"attributes": {"ApproximateReceiveCount": str(message.receives)}}
                for message in received
            ]
            try:
                response = batch.serve(
                    records,
                    config,
                    Treacherous(config),
                    request_id="request",
                    cold_start=False,
                    remaining_ms=lambda: 60_000,
                    surroundings=around,
                )
            except Killed:
                continue
            queue.acknowledge(received, {failure["itemIdentifier"] for failure in response["batchItemFailures"]})
        for message in queue.messages:
            message.visible = True
    results = {
        json.loads(stored[-1].body)["input"]["key"]: json.loads(stored[-1].body)
        for (bucket, _), stored in fake.objects.items()
        if bucket == RESULTS
    }
    return queue, results


@pytest.mark.parametrize("seed", range(3))
def test_of_300_uploads_only_those_die_that_cannot_be_served_and_each_has_a_result(
    seed: int, fake_s3: FakeS3, make_config: Callable[..., Config]
) -> None:
    config = make_config("odds.tflite", batch={"rows": 64}, retries=RETRIES)
    queue, results = run(seed, fake_s3, config, lambda config: InProcess(config, Treacherous))
    bodies = {f"digits/{number}": body_of(number) for number in range(UPLOADS)}
    assert {message.record["messageId"] for message in queue.dead} == {
        key for key, body in bodies.items() if body in (b"crash", b"raise")
    }
    assert results.keys() == bodies.keys()
    expected = {b"crash": "CrashError", b"raise": "ModelError"}
    for key, body in bodies.items():
        if body in expected:
            assert results[key]["provisional"] is True
            assert results[key]["error"]["type"] == expected[body]
        else:
            assert results[key]["predictions"] == [6.0]


# Which inputs are isolated, in which order and for how long


def received(message: dict[str, Any], receives: int) -> dict[str, Any]:
    return message | {"attributes": {"ApproximateReceiveCount": str(receives)}}


@pytest.fixture
def isolations() -> list[InProcess]:
    """The isolations that were made."""
    return []


@pytest.fixture
def isolate(isolations: list[InProcess]) -> Callable[[Config], Isolation]:
    """Isolates without a process."""

    def make(config: Config) -> Isolation:
        isolations.append(InProcess(config, Treacherous))
        return isolations[-1]

    return make


Announce = Callable[..., dict[str, Any]]
Serve = Callable[..., list[str]]
Isolate = Callable[[Config], Isolation]


def test_fresh_inputs_need_no_other_process(
    announce: Announce, serve: Serve, isolate: Isolate, isolations: list[InProcess]
) -> None:
    messages = [announce(f"digits/{name}", b"[0, 0, 0]") for name in "ab"]
    assert serve(messages, predictor=Treacherous, isolate=isolate) == []
    assert isolations == []


@pytest.mark.parametrize(
    "repeated", ["an open one", "an answered one", "a test event", "none, but each attempt is the last"]
)
def test_fresh_inputs_are_isolated_where_they_could_harm_others(
    repeated: str,
    announce: Announce,
    serve: Serve,
    isolate: Isolate,
    isolations: list[InProcess],
    result: Callable[[str], Any],
) -> None:
    """A message that is answered, or is not an input, has used up receives like any other."""
    crashing, other = announce("digits/a", b"crash"), announce("digits/b", b"[0, 0, 1]")
    retries = 5
    match repeated:
        case "an answered one":
            assert serve([other], predictor=Treacherous) == []
            other = received(other, 5)
        case "an open one":
            other = received(other, 5)
        case "a test event":
            other = received(other | {"body": json.dumps({"Event": "s3:TestEvent"})}, 5)
        case _:
            retries = 1
    assert serve([crashing, other], isolate=isolate, retries=retries) == [crashing["messageId"]]
    assert isolations[0].loaded is False
    if repeated != "a test event":
        assert result("digits/b")["predictions"] == [1.0]


def test_only_what_is_done_is_acknowledged_if_the_model_cannot_be_loaded(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    class Missing(Treacherous):
        def load(self) -> Model:
            raise ModelError("no weights")

    done, last = announce("digits/a", b"[0, 0, 0]"), received(announce("digits/b", b"[0, 0, 0]"), 5)
    assert serve([done], predictor=Treacherous) == []
    messages = [received(done, 5), last]
    assert serve(messages, isolate=lambda config: InProcess(config, Missing)) == [last["messageId"]]
    assert result("digits/b")["error"] == {"type": "ModelError", "message": "no weights"}
    # Where nothing is done, the call fails: the alarm `errors` counts such calls.
    with pytest.raises(ModelError, match="no weights"):
        serve([last], isolate=lambda config: InProcess(config, Missing))


@pytest.mark.parametrize("receives", [1, 5])
def test_a_test_event_is_done_although_the_model_of_its_neighbour_cannot_be_loaded(
    receives: int, announce: Announce, serve: Serve
) -> None:
    class Missing(Treacherous):
        def load(self) -> Model:
            raise ModelError("no weights")

    test_event = {"messageId": "test", "body": json.dumps({"Event": "s3:TestEvent"})}
    message = announce("digits/a", b"[0, 0, 0]")
    assert serve([received(one, receives) for one in (test_event, message)], predictor=Missing) == [
        message["messageId"]
    ]


@pytest.mark.parametrize("isolated", [False, True], ids=["in this process", "isolated"])
def test_an_input_whose_refusal_is_not_written_is_not_done(
    isolated: bool, announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    """GIVEN an input that is refused unread, WHEN the model cannot be loaded after that THEN it is not acknowledged."""

    class Missing(Treacherous):
        def load(self) -> Model:
            # Meanwhile another thread looks at the input that is too large.
            time.sleep(0.2)
            raise ModelError("no weights")

    done = announce("digits/a", b"[0, 0, 0]")
    assert serve([done], predictor=Treacherous) == []
    first, large = announce("digits/b", b"[0, 0, 0]"), announce("digits/c", b"", size=2**40)
    messages = [received(message, 3) for message in (done, first, large)]
    back = serve(messages, predictor=Missing, isolate=lambda config: InProcess(config, Missing) if isolated else None)
    assert back == [first["messageId"], large["messageId"]]
    assert result("digits/c") is None


def test_each_input_gets_half_of_the_time_while_others_wait_and_the_last_one_all_of_it(
    announce: Announce, serve: Serve, isolate: Isolate, isolations: list[InProcess], result: Callable[[str], Any]
) -> None:
    """Of 9 s, one is kept for writing results; a hanging input costs none of the others its turn."""
    hanging, *others = [announce(f"digits/{number}", b"[0, 0, 0]" if number else b"hang") for number in range(3)]
    messages = [received(message, 3) for message in (hanging, *others)]
    assert serve(messages, isolate=isolate, remaining_ms=lambda: 9_000) == [hanging["messageId"]]
    (made,) = isolations
    assert made.within_s == [4.0, 4.0, 8.0]
    assert made.starts == 2
    assert result("digits/0") is None
    assert result("digits/1")["predictions"] == result("digits/2")["predictions"] == [0.0]


def test_those_with_the_fewest_attempts_left_come_first_and_the_others_from_either_end_in_turn(
    announce: Announce, serve: Serve, isolate: Isolate, fake_s3: FakeS3
) -> None:
    written: list[str] = []
    fake_s3.before_put = lambda _bucket, key: written.append(key[-6:-5])
    for receives in (2, 3):
        messages = [announce(f"digits/{receives}/{name}", b"[0, 0, 0]") for name in "abcd"]
        counts = (1, receives, receives, 1)
        assert serve(list(map(received, messages, counts)), isolate=isolate) == []
    assert "".join(written) == "cbda" + "bcad"


def test_what_the_time_has_no_room_for_goes_back_untried(
    announce: Announce, serve: Serve, isolate: Isolate, isolations: list[InProcess]
) -> None:
    left = iter([10_000] * 3 + [500] * 20)
    messages = [received(announce(f"digits/{name}", b"[0, 0, 0]"), 3) for name in "abc"]
    back = serve(messages, isolate=isolate, remaining_ms=lambda: next(left))
    assert back == [message["messageId"] for message in messages[1:]]


def test_what_the_last_attempt_has_no_time_for_has_a_result_that_says_so(
    announce: Announce, serve: Serve, isolate: Isolate, result: Callable[[str], Any]
) -> None:
    left = iter([10_000] * 3 + [500] * 20)
    messages = [received(announce(f"digits/{name}", b"[0, 0, 0]"), 5) for name in "ab"]
    assert serve(messages, isolate=isolate, remaining_ms=lambda: next(left)) == [messages[1]["messageId"]]
    assert result("digits/a")["predictions"] == [0.0]
    assert result("digits/b")["provisional"] is True
    assert result("digits/b")["error"]["type"] == "GivenUpError"
    assert "its last attempt, number 5, did not reach it" in result("digits/b")["error"]["message"]


def test_the_log_names_the_inputs_of_each_try(
    announce: Announce, serve: Serve, isolate: Isolate, caplog: pytest.LogCaptureFixture
) -> None:
    messages = [received(announce(f"digits/{name}", b"[0, 0, 0]"), 2) for name in "ab"]
    with caplog.at_level(logging.INFO, "inference"):
        serve([*messages, announce("digits/c", b"crash")], isolate=isolate)
        serve([received(announce(f"digits/{number}", b"[0, 0, 0]"), 4) for number in range(102)], isolate=isolate)
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if line.startswith("try ")] == [
        "try 2 of 5: digits/a, digits/b",
        "try 1 of 5: digits/c",
        f"try 4 of 5: {', '.join(f'digits/{number}' for number in range(100))} and 2 more",
    ]
    (crash,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert crash.getMessage() == (
        "not served; its message goes back to the queue: CrashError: the process serving the input exited with status 3"
    )
    assert vars(crash)["key"] == "digits/c"


# Where no other process can serve them


class Slow(InProcess):
    """It is never ready, and says how long it might take to be."""

    within: ClassVar[list[float]] = []

    def load(self, within_s: float) -> None:
        self.within.append(within_s)
        raise TooLongError(f"not within {within_s:.1f} s")


class Warm(Predictor):
    """The model is loaded, as it is after init."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.load()
        self.loading_ms = 0.0


def test_what_no_other_process_is_ready_for_in_time_is_served_in_the_functions_own(
    announce: Announce, serve: Serve, result: Callable[[str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Of 9 s, one is kept for writing results, and the process may take half of the others."""
    Slow.within.clear()
    again, fresh = (announce(f"digits/{name}", b"[0, 0, 0]") for name in "ab")
    messages = [received(again, 5), fresh]
    assert serve(messages, predictor=Warm, isolate=Slow, remaining_ms=lambda: 9_000) == []
    assert Slow.within == [4.0]
    for name in "ab":
        assert result(f"digits/{name}")["predictions"] == [[0.5]]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "retried inputs are served in the function's own process, which one of them may kill: not within 4.0 s"
    ]


def test_an_input_that_was_refused_before_no_process_was_ready_has_its_result(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    """GIVEN an input that is read while another one waits WHEN the process is not ready THEN it is done as well."""
    again = announce("digits/a", b"[0, 0, 0]")
    gone = announce("digits/b", b"[0, 0, 0]", versionId="gone")
    assert serve([received(message, 5) for message in (again, gone)], predictor=Warm, isolate=Slow) == []
    assert result("digits/a")["predictions"] == [[0.5]]
    assert result("digits/b")["error"]["type"] == "NotFoundError"


def test_a_model_that_no_process_has_loaded_yet_gets_all_of_the_time(announce: Announce, serve: Serve) -> None:
    Slow.within.clear()
    message = received(announce("digits/a", b"[0, 0, 0]"), 2)
    with pytest.raises(TooLongError):
        serve([message], isolate=Slow, remaining_ms=lambda: 9_000)
    assert Slow.within == [8.0]


@pytest.mark.parametrize(
    ("of", "loading_ms", "isolated"),
    [(Predictor, 5_300, True), (Predictor, 5_400, False), (Warm, 2_600, True), (Warm, 2_700, False)],
)
def test_no_process_is_started_that_would_need_longer_than_there_is(
    of: type[Predictor],
    loading_ms: int,
    isolated: bool,
    announce: Announce,
    serve: Serve,
    isolate: Isolate,
    isolations: list[InProcess],
) -> None:
    """Of 9 s, one is kept, and loading may take half as long again as it did: 8 / 1.5 = 5.33 s, or half of that."""

    def known(config: Config) -> Predictor:
        predictor = of(config)
        predictor.loading_ms = loading_ms
        return predictor

    message = received(announce("digits/a", b"[0, 0, 0]"), 2)
    assert serve([message], predictor=known, isolate=isolate, remaining_ms=lambda: 9_000) == []
    assert bool(isolations) == isolated


def test_how_long_a_process_was_not_ready_is_remembered(
    announce: Announce, serve: Serve, make_config: Callable[..., Config]
) -> None:
    warm = Warm(make_config("odds.tflite", batch={"rows": 64}))

    class Sleeping(Slow):
        def load(self, within_s: float) -> None:
            time.sleep(0.05)
            super().load(within_s)

    message = received(announce("digits/a", b"[0, 0, 0]"), 2)
    assert serve([message], predictor=lambda _config: warm, isolate=Sleeping, remaining_ms=lambda: 140) == []
    # Of 140 ms, 105 are left to serve in, and the process got half of them: it is not tried again.
    assert warm.loading_ms >= 50
    again = received(announce("digits/b", b"[0, 0, 0]"), 2)
    Slow.within.clear()
    assert serve([again], predictor=lambda _config: warm, isolate=Sleeping, remaining_ms=lambda: 140) == []
    assert Slow.within == []


# The child process


@pytest.mark.parametrize(("room_mb", "seconds"), [(1000, 0.05), (200, 0.05), (100, 0.025), (4, 0.001), (0, 0.001)])
def test_the_less_memory_is_left_the_sooner_it_is_looked_at_again(room_mb: float, seconds: float) -> None:
    """Before 4 GB per second would fill it."""
    assert isolation.look_after_s(room_mb) == seconds


HOOKS = """
import gc, logging, os, signal, time
import numpy as np
from inference.errors import InputError
from inference.isolation.channel import Channel

class Blurred(InputError):
    pass

def preprocess(body, key):
    logging.getLogger(__name__).warning("got %s", key)
    match body:
        case b"exit":
            os._exit(3)
        case b"segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"hang":
            time.sleep(600)
        case b"half":
            (channel,) = [each for each in gc.get_objects() if isinstance(each, Channel)]
            channel._end.send(bytes(7) + b"9" + b"{")
            time.sleep(600)
        case b"memory":
            taken = [b"x" * 2**20 for _ in range(1000)]
            time.sleep(600)
        case b"raise":
            raise KeyError("scores")
        case b"refuse":
            raise Blurred("nothing to see")
    return np.zeros((1, 3))
"""


class Impatient(Child):
    """It waits less for what hangs."""

    def serve(self, request: Request, within_s: float) -> Reply:
        return super().serve(request, 0.3 if request.body in (b"hang", b"half") else within_s)


def test_what_ends_the_child_costs_no_other_input_its_answer(
    hooked: Callable[[str, str], str],
    announce: Announce,
    serve: Serve,
    result: Callable[[str], Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Room for a child, and for 300 MB more.
    limit = round((memory.private_mb() + 400) / 0.95)
    monkeypatch.setattr(isolation, "memory_mb", lambda: limit)
    expected = {
        "exit": ("CrashError", "the process serving the input exited with status 3"),
        "segfault": ("CrashError", "the process serving the input was killed by SIGSEGV"),
        "hang": (
            "TooLongError",
            "the process serving the input did not finish within 0.3 s, all",
        ),
        "half": ("TooLongError", "the process serving the input did not finish within 0.3 s, all"),
        "memory": ("CrashError", f"out of memory: .* the function has {limit} MB"),
        "raise": ("ModelError", r"hooks: preprocess raised KeyError: 'scores' \(line 27\)"),
    }
    messages = [received(announce(f"digits/{name}", name.encode()), 5) for name in (*expected, "refuse", "good")]
    with caplog.at_level(logging.INFO, "inference"):
        back = serve(messages, hooked("odds.tflite", HOOKS), isolate=Impatient)
    assert back == [message["messageId"] for message in messages[: len(expected)]]
    for name, (error_type, message) in expected.items():
        document = result(f"digits/{name}")
        assert (document["provisional"], document["error"]["type"]) == (True, error_type)
        assert re.match(message, document["error"]["message"])
    logged = {vars(record).get("key"): record for record in caplog.records if record.levelname == "ERROR"}
    assert logged.keys() == {f"digits/{name}" for name in expected}
    for name, (error_type, message) in expected.items():
        begins = f"not served; its message goes back to the queue: {error_type}: {message}"
        assert re.match(begins, logged[f"digits/{name}"].getMessage())
    assert 'raise KeyError("scores")' in vars(logged["digits/raise"])["traceback"]
    assert result("digits/good")["predictions"] == [[0.5]]
    assert result("digits/good")["timing_ms"]["predict"] > 0
    assert result("digits/refuse")["error"] == {"type": "Blurred", "message": "nothing to see"}
    assert "provisional" not in result("digits/refuse")
    # What the child logs is in the function's own log, from the logger that said it.
    said = {(record.name, record.getMessage()) for record in caplog.records}
    assert {("inference.hooks.file", f"got digits/{name}") for name in (*expected, "refuse", "good")} <= said
    starts = [line for _, line in said if line.startswith("a child process that serves one input at a time is ready")]
    assert starts


def test_what_nobody_can_read_of_the_child_never_becomes_the_answer_to_another_input(
    hooked: Callable[[str, str], str],
    announce: Announce,
    serve: Serve,
    result: Callable[[str], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """GIVEN a hook that logs an object of its own, or writes to the channel WHEN it serves THEN each has its own."""
    hooks = """
import gc, logging
import numpy as np
from inference.isolation.channel import Channel

class Own:
    def __str__(self):
        return "its own"

def preprocess(body, key):
    if key.endswith("logs"):
        logging.getLogger(__name__).warning("logged", extra={"seen": Own()})
    if key.endswith("writes"):
        for channel in [each for each in gc.get_objects() if isinstance(each, Channel)]:
            channel.send(b"[]")
    global served
    served = key
    return np.zeros((1, 3))

def postprocess(outputs):
    return served
"""
    names = ("logs", "a", "writes", "b")
    messages = [received(announce(f"digits/{name}", b"x"), 5) for name in names]
    with caplog.at_level(logging.INFO, "inference"):
        back = serve(messages, hooked("odds.tflite", hooks), isolate=Child)
    assert back == [messages[2]["messageId"]]
    assert [result(f"digits/{name}").get("predictions") for name in names] == [
        ["digits/logs"],
        ["digits/a"],
        None,
        ["digits/b"],
    ]
    assert [vars(record)["seen"] for record in caplog.records if record.getMessage() == "logged"] == ["its own"]
    refusal = result("digits/writes")
    assert (refusal["provisional"], refusal["error"]["type"]) == (True, "CrashError")
    assert "the child said b'[]'" in refusal["error"]["message"]


def test_a_model_that_the_child_cannot_load_is_named(make_config: Callable[..., Config]) -> None:
    config = dataclasses.replace(make_config("odds.tflite"), artifact=Path("missing"))
    child = Child(config)
    with pytest.raises(ModelError, match="no weights at missing: weights_sync copies them there"):
        child.load(60)
    assert not child.loaded


def test_a_child_that_cannot_be_started_is_not_ready(
    make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function may have 1,024 processes and threads, and the model's own code may have taken them."""

    def popen(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", popen)
    child = Child(make_config("odds.tflite"))
    with pytest.raises(
        CrashError, match=r"^the process loading the model could not be started: \[Errno \d+\] Resource"
    ):
        child.load(60)
    assert not child.loaded


@pytest.mark.parametrize(("memory_mb", "room"), [(1024, True), (100, False)])
def test_a_child_needs_room_beside_the_functions_own_process(
    memory_mb: int, room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child may need as much as this process's peak: 60 MB in addition to its current 45 MB."""
    monkeypatch.setattr(isolation, "memory_mb", lambda: memory_mb)
    monkeypatch.setattr(memory, "private_mb", lambda: 45.0)
    monkeypatch.setattr(memory, "peak_mb", lambda: 60)
    assert isolation.has_room() == room
