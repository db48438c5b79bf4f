"""The measurements: each runs both sides in turns, in processes of their own, and sees to it that they answer alike."""

import functools
import json
import math
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelctl import console, paths
from modelctl.benchmarks import imports, uploads
from modelctl.benchmarks.functions import OURS, Function, Model, Workshop
from modelctl.benchmarks.imports import Step
from modelctl.benchmarks.rows import Goal, Row, compare
from modelctl.benchmarks.uploads import Uploads
from modelctl.errors import UserError
from modelctl.runtime_api import Run

#: The runtimes that have rows.
MEASURED = ("litert", "onnx", "tensorflow")

_MODELS = paths.CHECKOUT / "models"
_DIGITS = Model("digits", "litert", _MODELS / "digits" / "artifact" / "model.tflite")
_PARITY = Model("digits-tf", "tensorflow", _MODELS / "digits-tf" / "artifact")
_WINE = Model("wine", "tensorflow", _MODELS / "wine" / "artifact" / "model.keras")

# A cold start of TensorFlow takes seconds.
_SLOWER = 3
_WARM_CALLS = 200
_TEN = 10
_BATCHES = 30
_TEN_INPUTS_EVENTS = 3

# 8 x 8 pixels of noise, the same every time; as JSON about 1 KB.
_NOISE = random.Random(20)  # noqa: S311  (nothing is kept secret with it)
_SCAN = [[round(_NOISE.random(), 10) for _ in range(8)] for _ in range(8)]

Calls = list[tuple[Run, Run]]


@dataclass(frozen=True)
class Report:
    """The rows, and for each kind of event where a cold start goes."""

    rows: list[Row]
    profiles: dict[str, list[Step]]


def measure(runtimes: Sequence[str], runs: int) -> Report:
    """Measure the rows of these runtimes, in `runs` pairs each, and in fewer where TensorFlow starts.

    Raises:
        UserError: a function did not answer, or the two sides of a row answered differently.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with uploads.served(folder / "stack") as s3:
            # What TensorFlow's cold start is compared with runs on LiteRT.
            packaged = {"litert", *runtimes} if "tensorflow" in runtimes else runtimes
            bench = _Bench(Workshop(folder, sorted(packaged), s3.access, uploads.RESULTS), s3, runs)
            rows: list[Row] = []
            profiles: dict[str, list[Step]] = {}
            if "litert" in runtimes:
                rows += bench.litert()
                profiles = bench.profiles()
            if "onnx" in runtimes:
                rows += bench.onnx()
            if "tensorflow" in runtimes:
                rows += bench.tensorflow()
            return Report(rows, profiles)


class _Bench:
    """The rows of each runtime."""

    def __init__(self, workshop: Workshop, s3: Uploads, runs: int) -> None:
        self._workshop = workshop
        self._s3 = s3
        self._runs = runs
        self._few = math.ceil(runs / _SLOWER)
        self._scan = _request([[[pixel] for pixel in row] for row in _SCAN])
        self._first_s3_event = {"Records": [s3.upload("digits/scan.json", json.dumps(self._scan).encode())]}

    def litert(self) -> Iterator[Row]:
        """Cold starts, memory and warm calls of a LiteRT function."""
        ours = self._workshop.function(OURS, _DIGITS)

        shortest = self._workshop.function("shortest_direct.handler", _DIGITS)
        name = "cold start, litert, direct call"
        calls = in_turns(name, ours, shortest, [self._scan], self._runs, direct_answer)
        yield compare(name, "the shortest handler", _first_answers(calls), goal=Goal("at most", 1.3, "times"))

        shortest = self._workshop.function("shortest_s3.handler", _DIGITS)
        name = "cold start, litert, first S3 event"
        calls = in_turns(name, ours, shortest, [self._first_s3_event], self._runs, self._stored_answer)
        yield compare(name, "the shortest handler", _first_answers(calls), goal=Goal("at most", 0.6, "times"))
        memory = [(float(run.peak_memory_mb), float(other.peak_memory_mb)) for run, other in calls]
        name = "memory, litert, after the first S3 event"
        yield compare(name, "the shortest handler", memory, unit="MB", goal=Goal("at most", 80, "MB"))

        yield self._batches_of_ten()

        warm = self._workshop.function("warm.handler", _DIGITS, BARE="bare_litert")
        for kind, event in (("direct call", self._scan), ("S3 event without S3", self._first_s3_event)):
            yield _added(f"warm call, litert, our code, {kind}, 1 KB JSON", "LiteRT alone", warm, event, self._scan)

    def _batches_of_ten(self) -> Row:
        """The processor time of an uploaded small input, S3 included, against the same code with botocore."""
        name = "processor time, litert, an input in a batch of ten"
        with console.step(f"{name} (pairs: {_BATCHES})"):
            scan = json.dumps(self._scan).encode()
            pairs = [
                [
                    {"Records": [self._s3.upload(f"digits/{pair}/{side}/{n}.json", scan) for n in range(_TEN)]}
                    for side in range(2)
                ]
                for pair in range(_BATCHES + 1)
            ]
            (took,) = self._workshop.function("batch.handler", _DIGITS).run([{"pairs": pairs}]).answers
            predictions = list(self._s3.take_predictions().values())
            _check_alike(name, predictions, predictions[:1] * (_TEN * 2 * len(pairs)))
        # The first batches open the connections.
        each = [(ours / _TEN, theirs / _TEN) for ours, theirs in took[1:]]
        return compare(name, "the same with botocore", each, goal=Goal("at most", 0.35, "times"))

    def onnx(self) -> Iterator[Row]:
        """Warm calls of an ONNX function."""
        with console.step("training a model for ONNX Runtime"):
            warm = self._workshop.function("warm.handler", self._workshop.trained(), BARE="bare_onnx")
        scan = _request([pixel for row in _SCAN for pixel in row])
        yield _added("warm call, onnx, our code, direct call, 1 KB JSON", "ONNX Runtime alone", warm, scan, scan)

    def tensorflow(self) -> Iterator[Row]:
        """A cold start against TensorFlow's, and ten inputs on TensorFlow."""
        with console.step("converting digits-tf to LiteRT"):
            converted = self._workshop.converted(_PARITY)
        # In one environment, which has to have TensorFlow.
        ours = self._workshop.function(OURS, converted, tensorflow=True)
        loading = self._workshop.function("tensorflow_direct.handler", _PARITY, tensorflow=True)
        name = "cold start, litert, direct call"
        calls = in_turns(f"{name}, against TensorFlow", ours, loading, [self._scan], self._few, direct_answer)
        yield compare(
            name,
            "import tensorflow, saved_model.load",
            _first_answers(calls),
            faster=True,
            goal=Goal("at least", 15, "times as fast"),
        )

        ours = self._workshop.function(OURS, _WINE, tensorflow=True)
        events = self._ten_bottles(2 + _TEN_INPUTS_EVENTS)
        name = "ten inputs, tensorflow"
        for handler, against, goal in (
            ("keras_loop.handler", "model.predict() of each", Goal("at least", 5, "times as fast")),
            ("keras_batch.handler", "model.predict() of all", None),
        ):
            theirs = self._workshop.function(handler, _WINE, tensorflow=True)
            calls = in_turns(f"{name}, against {against}", ours, theirs, events, self._few, self._stored_answer)
            pairs = [(_warm_event(run), _warm_event(other)) for run, other in calls]
            yield compare(name, against, pairs, faster=True, goal=goal)

    def profiles(self) -> dict[str, list[Step]]:
        """Where the cold starts of a LiteRT function go."""
        ours = self._workshop.function("profiled.handler", _DIGITS)

        def cold_start(event: Any) -> Run:
            run = ours.run([event], *imports.OPTIONS)
            self._s3.take_predictions()
            return run

        with console.step(f"where cold starts of litert go (runs: {self._few})"):
            return {
                kind: imports.profile(functools.partial(cold_start, event), self._few)
                for kind, event in (("direct call", self._scan), ("first S3 event", self._first_s3_event))
            }

    def _ten_bottles(self, events: int) -> list[Any]:
        """Events of ten uploads each; no key comes twice, since an input is predicted once."""
        samples = sorted((_MODELS / "wine" / "samples").glob("bottle-*.json"))
        return [
            {
                "Records": [
                    self._s3.upload(f"wine/{event}/{number}.json", samples[number % len(samples)].read_bytes())
                    for number in range(_TEN)
                ]
            }
            for event in range(events)
        ]

    def _stored_answer(self, _run: Run) -> Any:
        return self._s3.take_predictions()


def in_turns(
    what: str, ours: Function, theirs: Function, events: Sequence[Any], runs: int, answer: Callable[[Run], Any]
) -> Calls:
    """Run both on the events, one after the other, so many times; what `answer` gives of them has to be the same."""
    calls = []
    with console.step(f"{what} (pairs: {runs})") as tell:
        for number in range(runs + 1):
            run = ours.run(events)
            answered = answer(run)
            other = theirs.run(events)
            _check_alike(what, answered, answer(other), run.output)
            # The first pair found the files of both not yet in memory.
            if number:
                calls.append((run, other))
            tell(f"{number} done")
    return calls


def direct_answer(run: Run) -> Any:
    """The predictions of a direct call."""
    return run.answers[0].get("predictions")


def _added(name: str, against: str, warm: Function, event: Any, request: Any) -> Row:
    """What our code adds to the bare call, from calls in turns within one process; `request` is what `event` asks."""
    call = {"event": event, "body": json.dumps(request), "calls": _WARM_CALLS}
    with console.step(f"{name} (pairs: {_WARM_CALLS})"):
        # The first answer is that of calls that are not warm yet.
        answer = warm.run([call, call]).answers[-1]
    _check_alike(name, answer["predictions"], answer["expected"])
    added = [(ours - bare, bare) for ours, bare in answer["pairs"]]
    return compare(name, against, added, goal=Goal("at most", 1, "ms"))


def _check_alike(what: str, ours: Any, theirs: Any, output: str = "") -> None:
    if not theirs or not _alike(ours, theirs):
        raise UserError(f"{what}: the two sides do not answer alike: {ours} and {theirs}\n{output}".rstrip())


def _alike(ours: Any, theirs: Any) -> bool:
    """Whether two JSON values are the same but for the last digits of their numbers."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_alike(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_alike, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-4, abs_tol=1e-6)
    return bool(ours == theirs)


def _first_answers(calls: Calls) -> list[tuple[float, float]]:
    return [(run.answered_ms[0], other.answered_ms[0]) for run, other in calls]


def _warm_event(run: Run) -> float:
    """The median time of its events after the first two, which load the model and meet its shape for the first time."""
    times = [answered - asked for asked, answered in zip(run.asked_ms, run.answered_ms, strict=True)]
    return statistics.median(times[2:])


def _request(instance: Any) -> Any:
    return {"instances": [instance]}
