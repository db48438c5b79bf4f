"""The function in a simulated world does the same each time: on one thread, in virtual time, by chance from a seed."""

import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from inference import batch, s3
from inference.config import Config
from inference.predictor import Predictor
from inference.surroundings import Surroundings
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3, refusal
from unit.functions.in_turn import InTurn
from unit.functions.s3_events import notification

#: Seconds since 1970 at which a simulation begins: 2027-01-15T08:00:00Z.
START = 1_800_000_000


@dataclass
class Simulation:
    """An S3 that takes its time and fails now and then, as chance has it."""

    chance: random.Random
    clock: float = START
    #: When Lambda would end the invocation.
    ends: float = START
    steps: list[str] = field(default_factory=list)
    s3: FakeS3 = field(default_factory=FakeS3)

    def __post_init__(self) -> None:
        self.s3.before_get = lambda bucket, key: self.call("get", bucket, key)
        self.s3.before_put = lambda bucket, key: self.call("put", bucket, key)

    def note(self, step: str) -> None:
        self.steps.append(f"{self.clock - START:.6f} {step}")

    def sleep(self, seconds: float) -> None:
        self.note(f"sleep {seconds:.6f}")
        self.clock += seconds

    def call(self, name: str, bucket: str, key: str) -> None:
        self.note(f"{name} {bucket}/{key}")
        self.clock += self.chance.uniform(0.005, 0.05)
        if name == "put" and self.chance.random() < 0.3:
            raise refusal(409, "ConditionalRequestConflict")
        if self.chance.random() < 0.1:
            raise refusal(503, "SlowDown")

    def run(self, uploads: int, config: Config) -> None:
        """Upload objects, of which every fourth is no JSON, and serve their messages until all are done."""
        queue = []
        for number in range(uploads):
            stored = self.s3.upload(INPUTS, key := f"digits/{number}.json", b"[1, 2, 3]" if number % 4 else b"no JSON")
            event = notification(key, size=stored.size, versionId=stored.version_id, eTag=stored.etag.strip('"'))
            queue.append({"messageId": f"message-{number}", "body": event})
        for receives in range(1, 50):
            self.ends = self.clock + 60
            response = batch.serve(
                [message | {"attributes": {"ApproximateReceiveCount": str(receives)}} for message in queue],
                config,
                Predictor(config),
                request_id=f"request-{receives}",
                cold_start=receives == 1,
                remaining_ms=lambda: int((self.ends - self.clock) * 1000),
                surroundings=Surroundings(
                    time=lambda: self.clock,
                    perf_counter=lambda: self.clock,
                    sleep=self.sleep,
                    uniform=self.chance.uniform,
                    executor=InTurn(),
                ),
            )
            left = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
            self.note(f"back: {', '.join(left) or 'none'}")
            queue = [message for message in queue if message["messageId"] in left]
            if not queue:
                return
        raise AssertionError("some messages are never done")


@dataclass(frozen=True)
class Seen:
    """All that a simulation shows from outside."""

    results: list[dict[str, Any]]
    steps: list[str]
    log: list[tuple[Any, ...]]
    metrics: list[dict[str, Any]]


@pytest.fixture
def simulate(
    make_config: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Callable[[int], Seen]:
    """Run twenty uploads in the world of a seed."""

    def run(seed: int) -> Seen:
        simulation = Simulation(random.Random(seed))  # noqa: S311  (it has to be known beforehand)
        monkeypatch.setattr(s3, "client", lambda: simulation.s3)
        caplog.clear()
        with caplog.at_level(logging.INFO, "inference"):
            simulation.run(20, make_config("odds.tflite"))
        return Seen(
            [
                json.loads(stored.body)
                for address in simulation.s3.objects
                for stored in simulation.s3.objects[address]
                if address[0] == RESULTS
            ],
            simulation.steps,
            [(record.levelname, record.getMessage(), vars(record).get("key")) for record in caplog.records],
            [json.loads(line) for line in capsys.readouterr().out.splitlines()],
        )

    return run


def test_what_a_seed_gives_is_the_same_each_time(simulate: Callable[[int], Seen]) -> None:
    seen = simulate(7)
    assert simulate(7) == seen
    assert simulate(8) != seen


def test_all_time_and_chance_are_the_simulations(simulate: Callable[[int], Seen]) -> None:
    seen = simulate(7)
    assert sorted(document["input"]["key"] for document in seen.results) == sorted(
        f"digits/{number}.json" for number in range(20)
    )
    assert {document["finished_at"][:16] for document in seen.results} == {"2027-01-15T08:00"}
    # Two calls of S3, each of at least 5 ms; in virtual time decoding and predicting take none.
    assert all(document["timing_ms"]["fetch"] >= 10 for document in seen.results)
    assert {document["timing_ms"]["predict"] for document in seen.results} == {0, None}
    assert all(START * 1000 <= line["_aws"]["Timestamp"] < (START + 60) * 1000 for line in seen.metrics)
    assert [line["ColdStarts"] for line in seen.metrics][:2] == [1, 0]
    assert any(" sleep 0.0" in step for step in seen.steps)
    assert ("INFO", "predicted", "digits/1.json") in seen.log
