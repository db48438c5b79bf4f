"""Whatever happens to uploads, messages, environments and S3, every key has one current result in the end.

A history is a list of steps. The environments of the function run in threads of which one runs at a time: each stands
still before every call of S3 until a step lets it go on, and the step says how the call ends. So a history is the same
each time, and hypothesis makes a failing one short.
"""

import enum
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inference import batch, s3, surroundings
from inference.config import BatchConfig, Config, InputConfig, OutputConfig, Route
from inference.predictor import Predictor
from inference.runtimes import Array, Model, TensorSpec
from inference.s3 import Found, UnansweredError
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3, refusal
from unit.functions.in_turn import InTurn
from unit.functions.s3_events import eventbridge, notification

T = TypeVar("T")

KEYS = ("digits/a.json", "digits/b c.json")
#: What is uploaded, and the predictions for it; None: an error in their place.
BODIES: tuple[tuple[bytes, list[float] | None], ...] = (
    (b"[1, 2, 3]", [6.0]),
    (b"no JSON", None),
    (b"[[1, 1, 1], [2, 2, 2]]", [3.0, 6.0]),
)
GARBAGE = (
    b"",
    b"{",
    b'{"input": 7}',
    b'{"input": {"bucket": "b", "key": "k", "sequencer": 7}}',
    b'{"input": {"sequencer": "zz"}}',
)


class Sum:
    """A model that adds up each row."""

    inputs: tuple[TensorSpec, ...] = (TensorSpec("x", (None, 3), np.dtype(np.float32)),)
    outputs: tuple[TensorSpec, ...] = (TensorSpec("sum", (None,), np.dtype(np.float32)),)
    bytes_per_call = 2**20

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        return {"sum": tensors["x"].sum(axis=1)}


class Summing(Predictor):
    def load(self) -> Model:
        return Sum()


class Versions(enum.Enum):
    """What the inputs bucket keeps, and how S3 then calls an upload."""

    KEPT = enum.auto()
    NEVER_KEPT = enum.auto()
    SUSPENDED = enum.auto()


class Fate(enum.Enum):
    """How a call of S3 ends."""

    ANSWERED = enum.auto()
    REFUSED = enum.auto()
    #: S3 does it, and its answer does not arrive.
    LOST = enum.auto()
    KILLED_BEFORE = enum.auto()
    KILLED_AFTER = enum.auto()


# The steps of a history; numbers choose among what there is.


@dataclass(frozen=True)
class Upload:
    """Upload a body under a key; S3 announces it in one of two forms."""

    key: int
    body: int
    by_eventbridge: bool = False
    #: S3's sequencers have no fixed length: whether this one is the one before with more digits.
    longer: bool = False


@dataclass(frozen=True)
class Receive:
    """An environment receives messages: new ones, ones that came back, and ones that were done and come once more."""

    messages: tuple[int, ...]


@dataclass(frozen=True)
class Go:
    """An environment makes calls of S3, of which the last one ends as said and the others are answered."""

    environment: int
    calls: int = 1
    fate: Fate = Fate.ANSWERED


@dataclass(frozen=True)
class Spoil:
    """Somebody deletes a result (None) or writes garbage in its place."""

    key: int
    garbage: bytes | None = None


@dataclass(frozen=True)
class Deploy:
    """The model gets another digest; environments that are at work keep theirs."""


Step = Upload | Receive | Go | Spoil | Deploy

#: Receives from which on a message's attempt may be its last; they do not die here, as if they were redriven.
RETRIES = 2

#: Most of them on the first key, where they meet.
_KEY = st.sampled_from((0, 0, 0, 1))
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Upload, _KEY, st.integers(0, len(BODIES) - 1), st.booleans(), st.booleans()),
    st.builds(Receive, st.lists(st.integers(0, 7), min_size=1, max_size=4).map(tuple)),
    st.builds(Go, st.integers(0, 2), st.integers(1, 4)),
    st.builds(Go, st.integers(0, 2), st.integers(1, 4), st.sampled_from(Fate)),
    st.builds(Spoil, _KEY, st.none() | st.sampled_from(GARBAGE)),
    st.builds(Deploy),
)
#: Drawn by length first: lists of no given length are mostly short.
HISTORIES = st.integers(0, 50).flatmap(lambda length: st.lists(STEPS, min_size=length, max_size=length))


class Killed(BaseException):
    """The end of an environment: nothing in the function comes after it."""


@dataclass
class Message:
    """A message of the queue, and which uploads it announces, by their number."""

    record: dict[str, Any]
    upload: int
    receives: int = 0
    done: bool = False


#: One thread and no other process per environment, which never sleeps.
ALONE = surroundings.real()._replace(sleep=lambda _seconds: None, executor=InTurn(), isolate=lambda _config: None)


class Environment:
    """One invocation of the function; its S3 client is this object."""

    def __init__(self, world: "World", messages: Sequence[Message], config: Config) -> None:
        self.messages = messages
        self.config = config
        #: How often each key's result had been spoiled when it began.
        self.spoiled = list(world.spoiled)
        self.answer: list[str] | None = None
        self.error: BaseException | None = None
        self._world = world
        self._fate = Fate.ANSWERED
        self._stands, self._may_go = threading.Semaphore(0), threading.Semaphore(0)
        self._records = [
            message.record | {"attributes": {"ApproximateReceiveCount": str(message.receives)}} for message in messages
        ]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._stands.acquire()

    @property
    def ended(self) -> bool:
        return self.answer is not None or self.error is not None

    def go(self, fate: Fate = Fate.ANSWERED) -> None:
        """Let it make the call before which it stands, and run to the next one."""
        self._fate = fate
        self._may_go.release()
        self._stands.acquire()

    def finish(self) -> None:
        while not self.ended:
            self.go()

    def _run(self) -> None:
        _current.client = self
        try:
            response = batch.serve(
                self._records,
                self.config,
                Summing(self.config),
                request_id="request",
                cold_start=False,
                remaining_ms=lambda: 60_000,
                surroundings=ALONE,
            )
            self.answer = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
        except BaseException as error:
            self.error = error
        self._stands.release()

    def read(self, bucket: str, key: str, most: int, **wanted: Any) -> Found:
        found = self._call(lambda: self._world.s3.read(bucket, key, most, **wanted))
        match self._world.versions:
            case Versions.NEVER_KEPT:
                return found._replace(version_id=None)
            case Versions.SUSPENDED:
                return found._replace(version_id="null")
        return found

    def write(self, bucket: str, key: str, body: bytes, replaces: str | None) -> None:
        self._call(lambda: self._world.write(self, bucket, key, body, replaces))

    def write_unannounced(self, bucket: str, key: str, body: bytes, replaces: str | None) -> str:
        return self._call(lambda: self._world.write_provisional(bucket, key, body, replaces))

    def _call(self, call: Callable[[], T]) -> T:
        self._stands.release()
        self._may_go.acquire()
        match self._fate:
            case Fate.REFUSED:
                raise refusal(503, "SlowDown")
            case Fate.KILLED_BEFORE:
                raise Killed
        try:
            return call()
        finally:
            match self._fate:
                case Fate.LOST:
                    raise UnansweredError("timed out")
                case Fate.KILLED_AFTER:
                    raise Killed


_current = threading.local()


@dataclass
class Uploaded:
    """What the model of the world knows about an upload."""

    key: int
    body: int
    sequencer: str
    etag: str
    received: bool = False


@dataclass
class World:
    """S3, the queue and the environments; checks at every write and every acknowledgement what has to hold."""

    versions: Versions
    s3: FakeS3 = field(default_factory=FakeS3)
    uploads: list[Uploaded] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    at_work: list[Environment] = field(default_factory=list)
    deployed: int = 0
    #: How often each key's result was deleted or written over by somebody else.
    spoiled: list[int] = field(default_factory=lambda: [0, 0])
    writes: int = 0

    def do(self, step: Step) -> None:
        match step:
            case Upload():
                self.upload(step)
            case Receive() if self.messages:
                chosen = dict.fromkeys(number % len(self.messages) for number in step.messages)
                self.at_work.append(self.receive([self.messages[number] for number in chosen]))
            case Go() if self.at_work:
                environment = self.at_work[step.environment % len(self.at_work)]
                for call in range(step.calls):
                    if not environment.ended:
                        environment.go(step.fate if call == step.calls - 1 else Fate.ANSWERED)
                if environment.ended:
                    self.at_work.remove(environment)
                    self.acknowledge(environment)
            case Spoil():
                self.spoil(step)
            case Deploy():
                self.deployed += 1

    def upload(self, step: Upload) -> None:
        key, (body, _) = KEYS[step.key], BODIES[step.body]
        stored = self.s3.upload(INPUTS, key, body)
        sequencer = f"00{len(self.uploads) + 1:04X}"
        if step.longer and self.uploads:
            sequencer = f"{self.uploads[-1].sequencer}1"
        version_id = {Versions.KEPT: stored.version_id, Versions.NEVER_KEPT: None, Versions.SUSPENDED: "null"}[
            self.versions
        ]
        etag = stored.etag.strip('"')
        entry: dict[str, Any] = {"size": stored.size, "sequencer": sequencer}
        if step.by_eventbridge:
            text = eventbridge(key, **entry | {"etag": etag, "version-id": version_id})
        else:
            text = notification(urllib.parse.quote_plus(key), **entry, eTag=etag, versionId=version_id)
        number = len(self.uploads)
        self.uploads.append(Uploaded(step.key, step.body, sequencer, etag))
        record = {"messageId": f"message-{number}", "eventSource": "aws:sqs", "body": text}
        self.messages.append(Message(record, number))

    def receive(self, messages: Sequence[Message]) -> Environment:
        for message in messages:
            message.receives += 1
            self.uploads[message.upload].received = True
        return Environment(self, messages, config(f"digest-{self.deployed}"))

    def spoil(self, step: Spoil) -> None:
        address = (RESULTS, f"digits/{KEYS[step.key]}.json")
        if self.s3.objects.pop(address, None) is not None and step.garbage is not None:
            self.s3.upload(*address, step.garbage)
        self.spoiled[step.key] += 1

    def write(self, environment: Environment, bucket: str, key: str, body: bytes, replaces: str | None) -> None:
        """Write a result, and compare it with the one that it replaces."""
        before = self.standing(key)
        self.s3.write(bucket, key, body, replaces)
        document = json.loads(body)
        number = self.number_of(document)
        uploaded = self.uploads[number]
        assert key == f"digits/{KEYS[uploaded.key]}.json"
        assert document["digest"] == environment.config.digest
        predictions = BODIES[uploaded.body][1]
        if self.versions is Versions.KEPT or uploaded is self.newest(uploaded.key):
            assert document.get("predictions") == predictions
            assert ("error" in document) == (predictions is None)
        assert "provisional" not in document
        if before is not None:
            assert self.number_of(before) <= number, "an older input's result replaced a newer one's"
            doubled = self.number_of(before) == number and before["digest"] == document["digest"]
            assert not doubled or "provisional" in before, "a result was doubled"
        self.writes += 1

    def write_provisional(self, bucket: str, key: str, body: bytes, replaces: str | None) -> str:
        """Write a provisional result, and compare it with the one that it replaces."""
        before = self.standing(key)
        etag = self.s3.write_unannounced(bucket, key, body, replaces)
        document = json.loads(body)
        number = self.number_of(document)
        assert document["provisional"] is True
        assert document["error"]
        assert any(message.upload == number and message.receives >= RETRIES for message in self.messages)
        if before is not None:
            final = self.number_of(before) == number and "provisional" not in before
            assert self.number_of(before) <= number, "a provisional result replaced a newer input's"
            assert not final, "a provisional result replaced an answer"
        self.writes += 1
        return etag

    def acknowledge(self, environment: Environment) -> None:
        """The messages of an invocation that ended: those that are done have their result, or a newer input's."""
        if environment.answer is None:
            if not isinstance(environment.error, Killed):
                raise AssertionError("the environment crashed") from environment.error
            return
        assert set(environment.answer) <= {message.record["messageId"] for message in environment.messages}
        for message in environment.messages:
            message.done = message.record["messageId"] not in environment.answer
            if not message.done:
                continue
            key = self.uploads[message.upload].key
            if environment.spoiled[key] == self.spoiled[key]:
                document = self.standing(f"digits/{KEYS[key]}.json")
                assert document is not None
                number = self.number_of(document)
                assert number > message.upload or (number == message.upload and "provisional" not in document)

    def drain(self) -> None:
        """Let everybody finish, then deliver what is not done until all is."""
        while self.at_work:
            environment = self.at_work.pop(0)
            environment.finish()
            self.acknowledge(environment)
        received = [message for message in self.messages if message.receives]
        # One of those that come again may be held back each time, as a suspect; the others are done.
        for _ in range(len(received) + 1):
            self.deliver([message for message in received if not message.done])
        assert all(message.done for message in received)

    def deliver(self, messages: Sequence[Message]) -> None:
        if messages:
            environment = self.receive(messages)
            environment.finish()
            self.acknowledge(environment)

    def check(self, *, exactly: bool) -> None:
        """Compare the bucket with what must stand in it."""
        expected = {}
        for number, uploaded in enumerate(self.uploads):
            if uploaded.received:
                expected[uploaded.key] = number
        for key, number in expected.items():
            document = self.standing(f"digits/{KEYS[key]}.json")
            if exactly or not self.spoiled[key]:
                assert document is not None
                assert self.number_of(document) == number
            if exactly:
                assert document is not None
                assert document["digest"] == f"digest-{self.deployed}"
                assert "provisional" not in document
        allowed = {(RESULTS, f"digits/{KEYS[key]}.json") for key in expected}
        assert {address for address in self.s3.objects if address[0] == RESULTS} <= allowed

    def standing(self, key: str) -> dict[str, Any] | None:
        """The result under a key of the results bucket; None if there is none, or garbage."""
        stored = self.s3.current(RESULTS, key)
        if stored is None or stored.body in GARBAGE:
            return None
        document: dict[str, Any] = json.loads(stored.body)
        return document

    def number_of(self, document: dict[str, Any]) -> int:
        (number,) = [
            number
            for number, uploaded in enumerate(self.uploads)
            if uploaded.sequencer == document["input"]["sequencer"]
        ]
        return number

    def newest(self, key: int) -> Uploaded:
        return [uploaded for uploaded in self.uploads if uploaded.key == key][-1]


def config(digest: str) -> Config:
    """The configuration of the function after a deployment."""
    return Config(
        name="digits",
        version="1",
        digest=digest,
        runtime="litert",
        signature="serving_default",
        retries=RETRIES,
        input=InputConfig("json", batch=BatchConfig(rows=64)),
        output=OutputConfig(),
        route=Route(("digits/",)),
        artifact=None,  # type: ignore[arg-type]  # `Sum` has no files
        results=RESULTS,
    )


@pytest.fixture(scope="module", autouse=True)
def _own_client() -> Iterator[None]:
    """Each environment speaks to an S3 of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3, "client", lambda: _current.client)
        yield


@settings(deadline=None, max_examples=3 * settings().max_examples)
@given(versions=st.sampled_from(Versions), history=HISTORIES)
# Once "null", which every upload is called there, was taken for the same version: the second one got no result.
@example(Versions.SUSPENDED, [Upload(0, 0), Receive((0,)), Go(0, 3), Upload(0, 1), Receive((1,)), Go(0, 3)])
# Once a sequencer that is none failed every message of its key.
@example(Versions.KEPT, [Upload(0, 0), Receive((0,)), Go(0, 3), Spoil(0, GARBAGE[3]), Upload(0, 0), Receive((1,))])
# Once a sequencer that is none, and yet compared as the larger one, kept every result from being written.
@example(Versions.KEPT, [Upload(0, 0), Receive((0,)), Go(0, 3), Spoil(0, GARBAGE[4]), Upload(0, 0), Receive((1,))])
def test_every_history_ends_in_one_current_result_per_key(versions: Versions, history: list[Step]) -> None:
    world = World(versions)
    for step in history:
        world.do(step)
    world.drain()
    world.check(exactly=False)
    # Once more, in the order of upload, then again: the first may repair what was spoiled, the second writes nothing.
    received = [message for message in world.messages if message.receives]
    world.deliver(received)
    world.drain()
    world.check(exactly=True)
    writes = world.writes
    world.deliver(received)
    assert world.writes == writes
