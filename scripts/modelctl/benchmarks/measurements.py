"""The measurements: each runs both sides alternately, in separate processes, and checks that they answer alike."""

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
DIGITS = Model("digits", "litert", _MODELS / "digits" / "artifact" / "model.tflite")
PARITY = Model("digits-tf", "tensorflow", _MODELS / "digits-tf" / "artifact")
_WINE = Model("wine", "tensorflow", _MODELS / "wine" / "artifact" / "model.keras")

#: The goals, as the benchmarks' README lists them.
DIRECT_COLD_START = Goal("at most", 1.15, "times")
AGAINST_TENSORFLOW = Goal("at least", 20, "times as fast")
UPLOAD_COLD_START = Goal("at most", 0.6, "times")
UPLOAD_PROCESSOR_TIME = Goal("at most", 0.35, "times")
WARM_DIRECT_CALL = Goal("at most", 1.75, "times")
WARM_UPLOAD = Goal("at most", 7.5, "times")
AGAINST_PREDICT_OF_EACH = Goal("at least", 10, "times as fast")
AGAINST_PREDICT_OF_ALL = Goal("at least", 1.5, "times as fast")
MEMORY = Goal("at most", 80, "MB")

# A cold start of TensorFlow takes seconds.
_SLOWER = 3
_WARM_CALLS = 200
_TEN = 10
_HUNDRED = 100
_TEN_INPUTS_EVENTS = 3

# 8 x 8 pixels of noise, the same every time; as JSON about 1 KB.
_NOISE = random.Random(20)  # noqa: S311  (nothing is kept secret with it)
SCAN = [[round(_NOISE.random(), 10) for _ in range(8)] for _ in range(8)]

Calls = list[tuple[Run, Run]]


@dataclass(frozen=True)
class Report:
    """The rows, and where time goes.

    Attributes:
        rows: the figures.
        profiles: by kind of event, the steps of a cold start.
        batches: by batch, the steps of an input in it, in a warm process: their processor time.
    """

    rows: list[Row]
    profiles: dict[str, list[Step]]
    batches: dict[str, list[Step]]


def measure(runtimes: Sequence[str], runs: int) -> Report:
    """Measure the rows of these runtimes, in `runs` pairs each, and in fewer if TensorFlow starts.

    Raises:
        UserError: a function did not answer, or the two sides of a row answered differently.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with uploads.served(folder / "stack") as s3:
            # TensorFlow's cold start is compared with a function on LiteRT.
            packaged = {"litert", *runtimes} if "tensorflow" in runtimes else runtimes
            bench = _Bench(Workshop(folder, sorted(packaged), s3.access, uploads.RESULTS), s3, runs)
            rows: list[Row] = []
            profiles: dict[str, list[Step]] = {}
            batches: dict[str, list[Step]] = {}
            if "litert" in runtimes:
                rows += bench.litert()
                profiles, batches = bench.profiles(), bench.batches()
            if "onnx" in runtimes:
                rows += bench.onnx()
            if "tensorflow" in runtimes:
                rows += bench.tensorflow()
            return Report(rows, profiles, batches)


class _Bench:
    """The rows of each runtime."""

    def __init__(self, workshop: Workshop, s3: Uploads, runs: int) -> None:
        self._workshop = workshop
        self._s3 = s3
        self._runs = runs
        self._few = math.ceil(runs / _SLOWER)
        self._scan = _request([[[pixel] for pixel in row] for row in SCAN])
        self._first_s3_event = {"Records": [s3.upload("digits/scan.json", json.dumps(self._scan).encode())]}

    def litert(self) -> Iterator[Row]:
        """Cold starts, memory and warm calls of a LiteRT function."""
        ours = self._workshop.function(OURS, DIGITS)

        shortest = self._workshop.function("shortest_direct.handler", DIGITS)
        name = "cold start, litert, direct call"
        calls = in_turns(name, ours, shortest, [self._scan], self._runs, direct_answer)
        yield compare(name, "the shortest handler", _first_answers(calls), goal=DIRECT_COLD_START)

        shortest = self._workshop.function("shortest_s3.handler", DIGITS)
        name = "cold start, litert, first S3 event"
        calls = in_turns(name, ours, shortest, [self._first_s3_event], self._runs, self._stored_answer)
        yield compare(name, "the shortest handler", _first_answers(calls), goal=UPLOAD_COLD_START)
        memory = [(float(run.peak_memory_mb), float(other.peak_memory_mb)) for run, other in calls]
        name = "memory, litert, after the first S3 event"
        yield compare(name, "the shortest handler", memory, unit="MB", goal=MEMORY)

        yield self._batches_of_ten()

        warm = self._workshop.function("warm.handler", DIGITS, BARE="bare_litert")
        for kind, event, goal in (
            ("direct call", self._scan, WARM_DIRECT_CALL),
            ("S3 event without S3", self._first_s3_event, WARM_UPLOAD),
        ):
            name = f"warm call, litert, our code, {kind}, 1 KB JSON"
            yield from _added(name, "LiteRT alone", warm, event, self._scan, goal)

    def _batches_of_ten(self) -> Row:
        """The processor time of an uploaded small input, S3 included, against the same code with botocore."""
        name = "processor time, litert, an input in a batch of ten"
        # Batches are short.
        count = 2 * self._runs
        with console.step(f"{name} (pairs: {count})"):
            pairs = [[self._batch(f"digits/{pair}/{side}", _TEN) for side in range(2)] for pair in range(count + 1)]
            (took,) = self._workshop.function("batch.handler", DIGITS).run([{"pairs": pairs}]).answers
            predictions = list(self._s3.take_predictions().values())
            check_alike(name, predictions, predictions[:1] * (_TEN * 2 * len(pairs)))
        # The first batches open the connections.
        each = [(ours / _TEN, theirs / _TEN) for ours, theirs in took[1:]]
        return compare(name, "the same with botocore", each, goal=UPLOAD_PROCESSOR_TIME)

    def onnx(self) -> Iterator[Row]:
        """Warm calls of an ONNX function."""
        with console.step("training a model for ONNX Runtime"):
            warm = self._workshop.function("warm.handler", self._workshop.trained(), BARE="bare_onnx")
        scan = _request([pixel for row in SCAN for pixel in row])
        name = "warm call, onnx, our code, direct call, 1 KB JSON"
        yield from _added(name, "ONNX Runtime alone", warm, scan, scan, WARM_DIRECT_CALL)

    def tensorflow(self) -> Iterator[Row]:
        """A cold start against TensorFlow's, and ten inputs on TensorFlow."""
        with console.step("converting digits-tf to LiteRT"):
            converted = self._workshop.converted(PARITY)
        # In one environment, which must have TensorFlow.
        ours = self._workshop.function(OURS, converted, tensorflow=True)
        loading = self._workshop.function("tensorflow_direct.handler", PARITY, tensorflow=True)
        name = "cold start, litert, direct call"
        calls = in_turns(f"{name}, against TensorFlow", ours, loading, [self._scan], self._few, direct_answer)
        yield compare(
            name,
            "import tensorflow, saved_model.load",
            _first_answers(calls),
            faster=True,
            goal=AGAINST_TENSORFLOW,
        )

        ours = self._workshop.function(OURS, _WINE, tensorflow=True)
        events = self._ten_bottles(2 + _TEN_INPUTS_EVENTS)
        name = "ten inputs, tensorflow"
        for handler, against, goal in (
            ("keras_loop.handler", "model.predict() of each", AGAINST_PREDICT_OF_EACH),
            ("keras_batch.handler", "model.predict() of all", AGAINST_PREDICT_OF_ALL),
        ):
            theirs = self._workshop.function(handler, _WINE, tensorflow=True)
            calls = in_turns(f"{name}, against {against}", ours, theirs, events, self._few, self._stored_answer)
            pairs = [(_warm_event(run), _warm_event(other)) for run, other in calls]
            yield compare(name, against, pairs, faster=True, goal=goal)

    def profiles(self) -> dict[str, list[Step]]:
        """What the cold starts of a LiteRT function are spent on."""
        ours = self._workshop.function("profiled.handler", DIGITS)

        def cold_start(event: Any) -> Run:
            run = ours.run([event], *imports.OPTIONS)
            self._s3.take_predictions()
            return run

        with console.step(f"where cold starts of litert go (runs: {self._few})"):
            return {
                kind: imports.profile(functools.partial(cold_start, event), self._few)
                for kind, event in (("direct call", self._scan), ("first S3 event", self._first_s3_event))
            }

    def batches(self) -> dict[str, list[Step]]:
        """What the processor time of an input is spent on, in warm batches of ten and of a hundred."""
        function = self._workshop.function("profiled_batch.handler", DIGITS)
        found = {}
        for size in (_TEN, _HUNDRED):
            with console.step(f"where the processor time of a batch of {size} goes (runs: {self._few})"):
                # The first batch opens the connections.
                batches = [self._batch(f"digits/{size}/{number}", size) for number in range(self._few + 1)]
                (took,) = function.run([{"batches": batches}]).answers
                self._s3.take_predictions()
            found[f"batch of {size}"] = [
                Step("each input", name, statistics.median(batch[name] / size for batch in took[1:]))
                for name in took[-1]
            ]
        return found

    def _batch(self, folder: str, size: int) -> Any:
        """The event of a batch of uploaded scans."""
        scan = json.dumps(self._scan).encode()
        return {"Records": [self._s3.upload(f"{folder}/{number}.json", scan) for number in range(size)]}

    def _ten_bottles(self, events: int) -> list[Any]:
        """Events of ten uploads each; no key occurs twice, since an input is predicted only once."""
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
    """Run both on the events, alternately, `runs` times; `answer` must return the same for both."""
    calls = []
    with console.step(f"{what} (pairs: {runs})") as tell:
        for number in range(runs + 1):
            run = ours.run(events)
            answered = answer(run)
            other = theirs.run(events)
            check_alike(what, answered, answer(other), run.output)
            # In the first pair, the files of both were not in memory yet.
            if number:
                calls.append((run, other))
            tell(f"{number} done")
    return calls


def direct_answer(run: Run) -> Any:
    """The predictions of a direct call."""
    return run.answers[0].get("predictions")


def _added(name: str, against: str, warm: Function, event: Any, request: Any, goal: Goal) -> Iterator[Row]:
    """What our code adds to the bare call, from alternating calls in one process; `request` is the body of `event`.

    Milliseconds depend on the machine. So the goal belongs to a second row, which compares the same figure with a
    yardstick: the time of Python's own JSON, in the same turn, to read and write the request.
    """
    call = {"event": event, "body": json.dumps(request), "calls": _WARM_CALLS}
    with console.step(f"{name} (pairs: {_WARM_CALLS})"):
        # The first calls are not warm yet.
        answer = warm.run([call, call]).answers[-1]
    check_alike(name, answer["predictions"], answer["expected"])
    yield compare(name, against, [(ours - bare, bare) for ours, bare, _ in answer["turns"]])
    yardstick = [(ours - bare, read) for ours, bare, read in answer["turns"]]
    yield compare(name, "reading and writing that JSON", yardstick, goal=goal)


def check_alike(what: str, ours: Any, theirs: Any, output: str = "") -> None:
    """Refuse a comparison of two sides that do not answer alike; `output` is the output of ours.

    Raises:
        UserError: they do not.
    """
    if not theirs or not _alike(ours, theirs):
        raise UserError(f"{what}: the two sides do not answer alike: {ours} and {theirs}\n{output}".rstrip())


def _alike(ours: Any, theirs: Any) -> bool:
    """Whether two JSON values are the same except for the last digits of their numbers."""
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
    """The median time of its events after the first two, which load the model and see its shape for the first time."""
    times = [answered - asked for asked, answered in zip(run.asked_ms, run.answered_ms, strict=True)]
    return statistics.median(times[2:])


def _request(instance: Any) -> Any:
    return {"instances": [instance]}
