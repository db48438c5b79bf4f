"""SQS, Lambda's event source mapping, the function's environments and S3, as far as results depend on them.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

import functools
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from inference import batch
from inference.config import BatchConfig, Config, InputConfig, OutputConfig, Route
from inference.errors import ModelError, TooLongError
from inference.isolation import Request
from inference.isolation.messages import Reply
from inference.predictions import Predictions
from inference.predictor import Predictor
from inference.runtimes import Array, Model, TensorSpec
from inference.s3 import Found, Read, UnansweredError
from inference.surroundings import Surroundings
from inference.tensors import Instances
from unit.functions import in_process
from unit.functions.fake_s3 import RESULTS, FakeS3, refusal
from unit.functions.simulation.chance import Chances
from unit.functions.simulation.virtual_time import Fiber, FiberExecutor, Killed, Loop

T = TypeVar("T")

#: The first number of an input's row says what the input does to the model, if not a sum.
KILLS, HANGS, BREAKS = -1, -2, -3


@dataclass
class Settings:
    """What the model's registry entry says, and the queue's."""

    timeout_s: float
    visibility_s: float
    retries: int
    batch_size: int
    window_s: float
    concurrency: int
    #: Whether inputs share calls of the model.
    rows: int | None
    #: Whether the function's memory has room for a process that serves inputs which come again.
    has_room: bool


@dataclass(eq=False)
class Message:
    """A message of the queue."""

    message_id: str
    body: str
    #: Which upload it announces.
    upload: int
    visible_at: float
    receives: int = 0
    deleted: bool = False
    dead: bool = False
    #: Why it was not done, once per receive: "itself", or the message whose input ended the invocation.
    failures: list[str] = field(default_factory=list)


class Observer(Protocol):
    """Who compares what happens with what has to hold."""

    def note(self, text: str) -> None:
        """A line of the history."""

    def wrote(
        self, environment: "Environment", key: str, before: bytes | None, body: bytes, *, announced: bool
    ) -> None:
        """A result was written; `announced`: as one that consumers of results hear of."""

    def done(self, environment: "Environment", message: Message) -> None:
        """A message is done, and will be deleted."""

    def died(self, message: Message) -> None:
        """A message went to the dead-letter queue."""

    def crashed(self, error: BaseException) -> None:
        """The function ended in a way in which it may not."""

    def begins(self, environment: "Environment") -> None:
        """An invocation begins."""

    def culprit(self, number: float, messages: Sequence[Message]) -> str:
        """Which of the messages announces the input of this number."""


class Environment:
    """An execution environment; S3 as its invocation sees it."""

    def __init__(self, lambda_: "Function", name: str, digest: str) -> None:
        self.lambda_ = lambda_
        self.name = name
        self.digest = digest
        self.config = config(digest, lambda_.settings)
        self.messages: Sequence[Message] = ()
        self.killed_by: str | None = None
        #: How far its clock is wrong, in seconds.
        self.skew = lambda_.chance.uniform(-2, 2)
        self.marks: Any = None
        self._loop, self._chance, self._chances = lambda_.loop, lambda_.chance, lambda_.chances
        self._predictor = Summing(self)
        self._fibers: list[Fiber] = []
        self._invocations = 0
        self._ends = 0.0

    def start(self, work: Callable[[], T]) -> Fiber:
        """Begin a piece of work in this environment."""
        fiber = self._loop.start(work, self)
        self._fibers.append(fiber)
        return fiber

    def invoke(self, messages: Sequence[Message], then: Callable[[list[str] | None], None]) -> None:
        """Serve messages; `then` gets the ids of those that failed, or None if the invocation did."""
        self._invocations += 1
        self.messages = messages
        self.hangs_by: str | None = None
        self.lambda_.observer.begins(self)
        self._ends = self._loop.now + self.lambda_.settings.timeout_s
        self._fibers = []
        records = [
            {
                "messageId": message.message_id,
                "eventSource": "aws:sqs",
                "body": message.body,
                "attributes": {"ApproximateReceiveCount": str(message.receives)},
            }
            for message in messages
        ]
        invocation = self._invocations

        def serve() -> None:
            response: list[str] | None = None
            try:
                answer = batch.serve(
                    records,
                    self.config,
                    self._predictor,
                    request_id=f"{self.name}-{invocation}",
                    cold_start=invocation == 1,
                    remaining_ms=lambda: max(0, int(1000 * (self._ends - self._loop.now))),
                    surroundings=Surroundings(
                        time=lambda: self._loop.now + self.skew,
                        perf_counter=lambda: self._loop.now,
                        sleep=self._loop.wait,
                        uniform=self._chance.uniform,
                        executor=FiberExecutor(self._loop),
                        isolate=lambda _config: Isolated(self) if self.lambda_.settings.has_room else None,
                    ),
                )
                self.step("return")
                response = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
            except (ModelError, TooLongError):
                self.lambda_.observer.note(f"{self.name} has no model")
            except Killed:
                pass
            except BaseException as error:
                self.lambda_.observer.crashed(error)
            self._loop.after(0, lambda: self._end(response, then))

        self.start(serve)
        self._loop.after(self.lambda_.settings.timeout_s, lambda: self._time_out(invocation))

    def step(self, name: str, seconds: float | None = None) -> None:
        """Let time pass; the environment may end here."""
        if self.killed_by is not None:
            raise Killed
        slow = self._chance.random() < self._chances.slow
        self._loop.wait(self._chance.uniform(0.002, 0.03) * (100 if slow else 1) if seconds is None else seconds)
        if self.killed_by is not None:
            raise Killed
        if self._chance.random() < self._chances.killed:
            self.kill("chance", f"before {name}")

    def kill(self, by: str, where: str) -> None:
        """Called in a fiber: end the environment."""
        self.killed_by = by
        self.lambda_.observer.note(f"{self.name} is killed by {by} {where}")
        raise Killed

    def _time_out(self, invocation: int) -> None:
        if invocation == self._invocations and self.messages and self.killed_by is None:
            self.killed_by = self.hangs_by or "timeout"
            self.lambda_.observer.note(f"{self.name} is timed out")
            self._fibers[0].kill()

    def _end(self, response: list[str] | None, then: Callable[[list[str] | None], None]) -> None:
        for fiber in self._fibers:
            if not fiber.done:
                fiber.kill()
        self.messages = ()
        then(response)

    # S3

    def read(self, wanted: Read) -> Found:
        """See `Objects`."""
        s3 = self.lambda_.s3

        def read() -> Found:
            found = s3.read(wanted)
            return found._replace(version_id=self.lambda_.versions(found.version_id))

        return self._request(f"read {wanted.bucket}/{wanted.key} {wanted.version_id or ''}".rstrip(), read)

    def write(self, bucket: str, key: str, body: bytes, replaces: str | None) -> None:
        """See `Objects`."""
        self._write(bucket, key, body, replaces, announced=True)

    def write_unannounced(self, bucket: str, key: str, body: bytes, replaces: str | None) -> str:
        """See `Objects`."""
        return self._write(bucket, key, body, replaces, announced=False)

    def _write(self, bucket: str, key: str, body: bytes, replaces: str | None, *, announced: bool) -> str:
        address = bucket, key
        under_way = self.lambda_.writes

        def write() -> str:
            if under_way[address] > 1 and self._chance.random() < 0.3:
                raise refusal(409, "ConditionalRequestConflict")
            current = self.lambda_.s3.current(bucket, key)
            written = self.lambda_.s3.put(bucket, key, body, replaces, "application/json")
            self.lambda_.observer.wrote(self, key, current.body if current else None, body, announced=announced)
            return written.etag

        under_way[address] = under_way.get(address, 0) + 1
        try:
            return self._request(f"write {bucket}/{key}", write)
        finally:
            under_way[address] -= 1

    def _request(self, name: str, effect: Callable[[], T]) -> T:
        self.step(name)
        fate = self._chance.random()
        if (fate := fate - self._chances.s3_throttles) < 0:
            self.lambda_.observer.note(f"{self.name} {name}: throttled")
            raise refusal(503, "SlowDown")
        outcome = effect()
        self.lambda_.observer.note(f"{self.name} {name}")
        if (fate := fate - self._chances.s3_answer_lost) < 0:
            self.lambda_.observer.note(f"{self.name} {name}: its answer is lost")
            raise UnansweredError("timed out")
        if (fate := fate - self._chances.s3_repeats) < 0:
            self.step(f"{name} again")
            self.lambda_.observer.note(f"{self.name} {name}: once more")
            return effect()
        return outcome


class Function:
    """The queue, its dead-letter queue, the event source mapping, and the function behind the alias."""

    def __init__(
        self,
        loop: Loop,
        chance: random.Random,
        chances: Chances,
        settings: Settings,
        s3: FakeS3,
        versions: Callable[[str | None], str | None],
        observer: Observer,
    ) -> None:
        self.loop, self.chance, self.chances = loop, chance, chances
        self.settings, self.s3, self.versions, self.observer = settings, s3, versions, observer
        self.messages: list[Message] = []
        self.dead: list[Message] = []
        self.deliveries = 0
        #: The writes under way, by address.
        self.writes: dict[tuple[str, str], int] = {}
        #: What is behind the alias, and what was before until when.
        self.live, self.before, self.until = "digest-0", "digest-0", 0.0
        self._idle: list[Environment] = []
        self._active = 0
        self._gathers_until: float | None = None
        self._names = (f"env-{number}" for number in itertools.count(1))
        self._ids = (f"message-{number}" for number in itertools.count(1))

    def send(self, body: str, upload: int) -> Message:
        """Put a message into the queue."""
        message = Message(next(self._ids), body, upload, self.loop.now)
        self.messages.append(message)
        self.loop.after(0, self.poll)
        return message

    def deploy(self, digest: str) -> None:
        """Switch the alias; for some seconds, invocations reach either version."""
        self.before, self.live, self.until = self.live, digest, self.loop.now + 5
        self.observer.note(f"{digest} goes live")

    def redrive(self) -> None:
        """Put the dead letters back; there they are new messages."""
        for message in self.dead:
            again = self.send(message.body, message.upload)
            self.observer.note(f"{message.message_id} is redriven as {again.message_id}")
        self.dead = []

    def poll(self) -> None:
        """Receive messages and invoke the function, as far as its concurrency allows."""
        if self._active == self.settings.concurrency:
            return
        now = self.loop.now
        visible = [message for message in self.messages if message.visible_at <= now]
        if not visible:
            return
        if len(visible) < self.settings.batch_size and self.settings.window_s:
            if self._gathers_until is None:
                self._gathers_until = now + self.settings.window_s
                self.loop.after(self.settings.window_s, self.poll)
            if now < self._gathers_until:
                return
        self._gathers_until = None
        received = []
        for message in self.chance.sample(visible, min(self.settings.batch_size, len(visible))):
            if message.receives >= self.settings.retries:
                self._die(message)
                continue
            message.receives += 1
            twice = self.chance.random() < self.chances.delivered_twice
            message.visible_at = now + (self.chance.uniform(0, 1) if twice else self.settings.visibility_s)
            self.loop.after(message.visible_at - now, self.poll)
            received.append(message)
        if received:
            self._invoke(received)
        self.loop.after(0, self.poll)

    def _die(self, message: Message) -> None:
        self.messages.remove(message)
        message.dead = True
        self.dead.append(message)
        self.observer.note(f"{message.message_id} is dead")
        self.observer.died(message)

    def _invoke(self, messages: Sequence[Message]) -> None:
        self.deliveries += len(messages)
        digest = self.live
        if self.loop.now < self.until and self.chance.random() < 0.5:
            digest = self.before
        names = ", ".join(f"{message.message_id} ({message.receives})" for message in messages)
        if self.chance.random() < self.chances.throttled:
            self.observer.note(f"throttled: {names}")
            self._fail(messages, "itself")
            return
        self._active += 1
        idle = [environment for environment in self._idle if environment.digest == digest]
        environment = self.chance.choice(idle) if idle else Environment(self, next(self._names), digest)
        if idle:
            self._idle.remove(environment)
        self.observer.note(f"{environment.name} of {digest} {'' if idle else 'starts and '}receives {names}")

        def begin() -> None:
            environment.invoke(messages, lambda failures: self._answered(environment, messages, failures))

        self.loop.after(self.chance.uniform(0.001, 0.01) if idle else self.chance.uniform(0.1, 3), begin)

    def _answered(self, environment: Environment, messages: Sequence[Message], failures: list[str] | None) -> None:
        self._active -= 1
        self.loop.after(0, self.poll)
        if environment.killed_by is None:
            self._idle.append(environment)
        if failures is None:
            self._fail(messages, environment.killed_by or "itself")
            return
        self.observer.note(f"{environment.name} returns, failed: {', '.join(failures) or 'none'}")
        if self.chance.random() < self.chances.answer_lost:
            self.observer.note("its answer is lost")
            self._fail(messages, "itself")
            return
        for message in messages:
            if message.message_id in failures:
                message.failures.append("itself")
                continue
            self.observer.done(environment, message)
            if self.chance.random() < self.chances.delete_lost:
                self.observer.note(f"{message.message_id} is not deleted")
                message.failures.append("itself")
            elif message in self.messages:
                self.messages.remove(message)
                message.deleted = True
                if self.chance.random() < self.chances.delivered_again:
                    self.loop.after(self.chance.uniform(0, 60), functools.partial(self._come_again, message))

    def _come_again(self, message: Message) -> None:
        self.observer.note(f"{message.message_id} comes again")
        message.visible_at = self.loop.now
        self.messages.append(message)
        self.poll()

    def _fail(self, messages: Sequence[Message], by: str) -> None:
        for message in messages:
            message.failures.append("itself" if by in ("chance", "timeout", message.message_id) else by)


class Sum:
    """A model that adds up each row."""

    inputs: tuple[TensorSpec, ...] = (TensorSpec("x", (None, 3), np.dtype(np.float32)),)
    outputs: tuple[TensorSpec, ...] = (TensorSpec("sum", (None,), np.dtype(np.float32)),)
    bytes_per_call = 2**20

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        return {"sum": tensors["x"].sum(axis=1)}


class ObedientSum(Sum):
    """Takes its time, and does what an input tells it to do."""

    def __init__(self, environment: Environment, *, isolated: bool) -> None:
        self._environment = environment
        self._isolated = isolated

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        environment = self._environment
        rows = tensors["x"]
        environment.step("predict", 0.001 * len(rows))
        lambda_ = environment.lambda_
        for first, number, _ in rows.tolist():
            if self._isolated and first == KILLS and lambda_.chances.kills:
                raise in_process.Killed
            if self._isolated and first == HANGS and lambda_.chances.hangs:
                raise in_process.Hung
            if first == KILLS and lambda_.chances.kills:
                environment.kill(lambda_.observer.culprit(number, environment.messages), "in the model")
            if first == HANGS and lambda_.chances.hangs:
                environment.hangs_by = lambda_.observer.culprit(number, environment.messages)
                lambda_.observer.note(f"{environment.name} hangs in {environment.hangs_by}")
                lambda_.loop.wait(10 * lambda_.settings.timeout_s)
        return super().__call__(tensors)


class Summing(Predictor):
    """Loads no files."""

    def __init__(self, environment: Environment, *, isolated: bool = False) -> None:
        super().__init__(environment.config)
        self._environment = environment
        self._isolated = isolated
        self._sum: ObedientSum | None = None

    @property
    def loaded(self) -> bool:
        """See `Predictor`."""
        return self._sum is not None

    def load(self) -> Model:
        if self._sum is None:
            lambda_ = self._environment.lambda_
            if lambda_.chance.random() < lambda_.chances.not_loaded:
                raise ModelError("EFS is not available")
            self._sum = ObedientSum(self._environment, isolated=self._isolated)
        return self._sum

    def predict(self, instances: Instances) -> Predictions:
        if self._environment.lambda_.chances.breaks and (instances.tensors["x"][:, 0] == BREAKS).any():
            raise ModelError("the model's own code failed")
        return super().predict(instances)


class Isolated(in_process.InProcess):
    """A child process, which takes its time."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment.config, lambda _config: Summing(environment, isolated=True))
        self._environment = environment

    def load(self, within_s: float) -> None:
        """See `Isolation`."""
        lambda_ = self._environment.lambda_
        if lambda_.chance.random() < lambda_.chances.never_ready:
            lambda_.observer.note(f"{self._environment.name} has no child in time")
            lambda_.loop.wait(within_s)
            raise TooLongError(f"not within {within_s:.1f} s")
        self._environment.step("load in a child", 0.2)
        super().load(within_s)

    def serve(self, request: Request, within_s: float) -> Reply:
        """See `Isolation`."""
        lambda_ = self._environment.lambda_
        lambda_.observer.note(f"{self._environment.name} serves {request.key} in a child")
        try:
            return super().serve(request, within_s)
        except TooLongError:
            lambda_.loop.wait(within_s)
            raise


def config(digest: str, settings: Settings) -> Config:
    """The configuration of the function after a deployment."""
    return Config(
        name="digits",
        version="1",
        digest=digest,
        runtime="litert",
        signature="serving_default",
        retries=settings.retries,
        input=InputConfig("json", batch=BatchConfig(rows=settings.rows)),
        output=OutputConfig(),
        route=Route(("digits/",)),
        artifact=None,  # type: ignore[arg-type]  # `Sum` has no files
        results=RESULTS,
    )
