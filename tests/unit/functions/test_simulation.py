"""The function in simulated worlds, in which everything fails that can fail (`simulation`); each is that of a seed.

`MODELYARD_SEED=862 .venv/bin/pytest tests/unit/functions/test_simulation.py` replays one of them.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from inference import batch, fetch, results, s3
from inference.batch import pipeline
from inference.batch.pipeline import Pipeline
from inference.errors import NotFoundError, StorageError
from inference.events import UploadedObject
from inference.fetch import Fetched
from inference.keys import result_key
from inference.predictor import Predictor
from inference.results import CurrentResult, ResultStore
from modelctl import paths
from unit.functions.fake_s3 import RESULTS
from unit.functions.simulation import services
from unit.functions.simulation.services import Environment
from unit.functions.simulation.world import GARBAGE, ViolationError, World

#: In `make test`; about fifty deliveries each. `make soak` goes on from there.
SEEDS = range(60)


def failed(world: World) -> str | None:
    """What does not hold in a world, and how it came to that; None if everything holds."""
    try:
        world.run()
    except ViolationError as violation:
        history = "\n".join(world.history)
        return f"{history}\n\nseed {world.seed}: {violation}\nMODELYARD_SEED={world.seed} replays it"
    return None


@pytest.mark.parametrize("seed", [int(os.environ["MODELYARD_SEED"])] if "MODELYARD_SEED" in os.environ else SEEDS)
def test_in_every_world_each_key_ends_with_one_current_result(seed: int) -> None:
    if found := failed(World(seed)):
        pytest.fail(found, pytrace=False)


def test_a_seed_gives_the_same_world_each_time() -> None:
    worlds = [World(7), World(7), World(8)]
    assert [failed(world) for world in worlds] == [None] * 3
    histories = ["\n".join((*world.history, "")) for world in worlds]
    assert histories[0] == histories[1] != histories[2]
    # In another process as well, where strings have other hashes.
    done = subprocess.run(
        [sys.executable, "-m", "unit.functions.simulation", "--seed", "7"],
        env={
            "PYTHONPATH": os.pathsep.join(map(str, (paths.FUNCTIONS, paths.CHECKOUT / "tests"))),
            "PYTHONHASHSEED": "7",
        },
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout == histories[0]


def test_all_time_is_virtual() -> None:
    world = World(7)
    assert failed(world) is None
    documents = [
        json.loads(stored.body)
        for address, versions in world.s3.objects.items()
        for stored in versions
        if address[0] == RESULTS and stored.body not in GARBAGE
    ]
    assert {document["finished_at"][:11] for document in documents} == {"2027-01-15T"}
    # Two requests to S3, each of at least 2 ms.
    assert min(document["timing_ms"]["fetch"] for document in documents if "predictions" in document) >= 4
    stamps = [json.loads(line)["_aws"]["Timestamp"] for line in world.metrics.getvalue().splitlines()]
    began_ms, ended_ms, most_skew_ms = 1_800_000_000_000, 1_000 * world.loop.now, 2_000
    assert stamps
    assert [stamp for stamp in stamps if not began_ms - most_skew_ms < stamp < ended_ms + most_skew_ms] == []


# Planted faults

_write, _serve, _read = Environment.write, batch.serve, ResultStore.current


def without_a_condition(self: Environment, bucket: str, key: str, body: bytes, replaces: str | None) -> None:
    """A write sends none, and S3 takes it whatever is there."""
    stored = self.lambda_.s3.current(bucket, key)
    _write(self, bucket, key, body, stored.etag if stored else None)


def without_if_match(self: Environment, bucket: str, key: str, body: bytes, replaces: str | None) -> None:
    """A write sends If-None-Match where nothing is, and no condition where it replaces something."""
    stored = self.lambda_.s3.current(bucket, key)
    _write(self, bucket, key, body, stored.etag if stored and replaces else None)


def without_if_none_match(self: Environment, bucket: str, key: str, body: bytes, replaces: str | None) -> None:
    """A write sends If-Match where it replaces something, and no condition where nothing is."""
    stored = self.lambda_.s3.current(bucket, key)
    _write(self, bucket, key, body, replaces or (stored.etag if stored else None))


def a_conflict_is_done(
    self: ResultStore, uploaded: UploadedObject, document: bytes, current: CurrentResult | None
) -> bool:
    """Whoever loses a race takes the winner's result for its own."""
    key = result_key("digits", uploaded.key)
    try:
        self._objects.write(RESULTS, key, document, current.etag if current else None)
    except s3.RefusedError as error:
        if error.refusal is not s3.Refusal.CHANGED:
            raise StorageError(str(error)) from error
    except s3.UnansweredError as error:
        raise StorageError(str(error)) from error
    return True


def nothing_failed(*arguments: Any, **keywords: Any) -> dict[str, Any]:
    """Messages that were not served are acknowledged."""
    return _serve(*arguments, **keywords) | {"batchItemFailures": []}


def the_first_is_left_out(*arguments: Any, **keywords: Any) -> dict[str, Any]:
    """One failed message is acknowledged."""
    response = _serve(*arguments, **keywords)
    return response | {"batchItemFailures": response["batchItemFailures"][1:]}


def a_lost_write_is_forgotten(self: Pipeline, work: Any, batch_size: int) -> None:
    """A write that S3 refuses for the time being counts as done."""
    with contextlib.suppress(StorageError):
        _pipeline_write(self, work, batch_size)


_pipeline_write = Pipeline._write
_fetch = fetch.fetch


def whatever_is_current(objects: Any, uploaded: UploadedObject, max_bytes: int) -> Fetched:
    """The version that the event names is not the one that is read."""
    fetched = _fetch(objects, UploadedObject(uploaded.bucket, uploaded.key), max_bytes)
    return fetched._replace(uploaded=uploaded)


def throttled_is_the_inputs_fault(objects: Any, uploaded: UploadedObject, max_bytes: int) -> Fetched:
    """What S3 refuses for the time being ends the input."""
    try:
        return _fetch(objects, uploaded, max_bytes)
    except StorageError as error:
        raise NotFoundError(str(error)) from error


_together = Predictor.predict_together


def rolled(self: Predictor, inputs: Sequence[Any]) -> Any:
    """The answers of a batch are given to each other."""
    answers = _together(self, inputs)
    return None if answers is None else answers[1:] + answers[:1]


def unreadable_is_none(self: ResultStore, key: str) -> CurrentResult | None:
    """A result that could not be read counts as missing."""
    try:
        return _read(self, key)
    except StorageError:
        return None


def provisional_settles(self: ResultStore, current: CurrentResult | None, uploaded: UploadedObject) -> bool:
    """A provisional result counts as an answer."""
    return _settles(self, current._replace(provisional=False) if current else None, uploaded)


_settles = ResultStore.settles


def announced(self: Environment, bucket: str, key: str, body: bytes, replaces: str | None) -> str:
    """A provisional result is written like any other."""
    return self._write(bucket, key, body, replaces, announced=True)


#: What is wrong, where it is planted, and within how many seeds it is found.
FAULTS: dict[str, tuple[Any, str, Any, int]] = {
    "no condition": (Environment, "write", without_a_condition, 20),
    "no If-Match": (Environment, "write", without_if_match, 20),
    "no If-None-Match": (Environment, "write", without_if_none_match, 20),
    "a conflict counts as done": (ResultStore, "write", a_conflict_is_done, 10),
    "the acknowledgement of all": (batch, "serve", nothing_failed, 5),
    "the acknowledgement of one": (batch, "serve", the_first_is_left_out, 5),
    "a lost write": (Pipeline, "_write", a_lost_write_is_forgotten, 40),
    "sequencers ignored": (results, "_padded", lambda *sequencers: ["0"] * len(sequencers), 5),
    "sequencers not padded": (results, "_padded", lambda *sequencers: [s.rjust(32, "0") for s in sequencers], 5),
    "by hand counts as newer": (results, "is_current", lambda *_: True, 20),
    "by hand counts as older": (results, "is_current", lambda *_: False, 30),
    "times decide": (results, "is_current", lambda *_: None, 40),
    "another version is read": (pipeline, "fetch", whatever_is_current, 5),
    "a throttled input is refused": (pipeline, "fetch", throttled_is_the_inputs_fault, 10),
    "answers are mixed up": (Predictor, "predict_together", rolled, 10),
    "a provisional result settles": (ResultStore, "settles", provisional_settles, 40),
    "a provisional result replaces an answer": (ResultStore, "_stays", lambda *_: False, 40),
    "a provisional result is announced": (Environment, "write_unannounced", announced, 40),
    "no provisional result": (Pipeline, "give_up", lambda *_: None, 40),
    "one process for all": (services, "Isolated", lambda _environment: None, 40),
    "null is a version": (results, "_same_version", lambda there, here: there.version_id == here.version_id, 10),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, planted, seeds = FAULTS[fault]
    monkeypatch.setattr(place, name, planted)
    assert any(failed(World(seed)) for seed in range(seeds))
