"""What a cold start is spent on: the time of each import, and the rest for everything else.

`python -X importtime` measures it in the unchanged function. The measurement itself adds about a fifth, so these
figures can be compared with each other, but not with the figures of the rows.
"""

import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from modelctl.runtime_api import Run

# A module's own microseconds, its microseconds including its imports, and its name.
_LINE = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", re.MULTILINE)

Phase = Literal["initialisation", "first call", "each input"]

# Shorter steps are shown as one sum.
_LEAST_MS = 0.5

#: The options that make Python report it.
OPTIONS = ("-X", "importtime")

REST: dict[Phase, str] = {
    "initialisation": "no import: starting Python",
    "first call": "no import: clients, requests, the prediction",
}


@dataclass(frozen=True)
class Step:
    """A part of a cold start, or of an input in a warm batch, in milliseconds."""

    phase: Phase
    what: str
    ms: float


def profile(cold_start: Callable[[], Run], runs: int) -> list[Step]:
    """The steps of a cold start, the longest of each phase first; medians of `runs` runs with `OPTIONS`."""
    profiles = [Counter(dict(_steps(cold_start()))) for _ in range(runs)]
    steps = [
        Step(phase, what, statistics.median(found[phase, what] for found in profiles))
        for phase, what in {key: None for found in profiles for key in found}
    ]
    return sorted(steps, key=lambda step: (step.phase == "first call", -step.ms))


def shown(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps of one phase after the other, with the small ones of each added up."""
    for phase in REST:
        of_phase = [step for step in steps if step.phase == phase]
        yield from (step for step in of_phase if step.ms >= _LEAST_MS)
        if small := [step.ms for step in of_phase if step.ms < _LEAST_MS]:
            yield Step(phase, f"{len(small)} others, each below {_LEAST_MS:g} ms", sum(small))


def _steps(run: Run) -> Iterator[tuple[tuple[Phase, str], float]]:
    phases: tuple[tuple[Phase, str, float], ...] = (
        ("initialisation", run.initialisation, run.asked_ms[0]),
        ("first call", run.output.removeprefix(run.initialisation), run.answered_ms[0] - run.asked_ms[0]),
    )
    for phase, text, lasted in phases:
        took: Counter[str] = Counter()
        for microseconds, module in _LINE.findall(text):
            took[_group(module)] += int(microseconds)
        for what, microseconds in took.items():
            yield (phase, what), microseconds / 1000
        yield (phase, REST[phase]), lasted - took.total() / 1000


def _group(module: str) -> str:
    """What a module is counted under: our own modules each by itself, others by their package."""
    package = module.partition(".")[0]
    if module == "inference.handler":
        return "inference.handler, which loads the model and calls it once"
    if package == "inference":
        return module
    return "Python's standard library" if package in sys.stdlib_module_names else package
