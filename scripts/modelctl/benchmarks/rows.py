"""Turns times into a row: medians, the ratio of pairs and its spread, and whether the goal is met."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: What was measured for ours and for the baseline, one immediately after the other.
Pair = tuple[float, float]


@dataclass(frozen=True)
class Goal:
    """A bound on the ratio of a row or, if it has a unit, on what was measured."""

    bound: Literal["at most", "at least"]
    value: float
    unit: Literal["times", "times as fast", "ms", "MB"]

    def holds(self, value: float) -> bool:
        """Whether a value is within the bound."""
        return value <= self.value if self.bound == "at most" else value >= self.value

    def __str__(self) -> str:
        return f"{self.bound} {self.value:g} {self.unit}"


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        name: what was measured.
        against: what it is compared with.
        unit: the unit of `measured` and `baseline`.
        measured: our median.
        baseline: the median of what it is compared with.
        ratio: the median of the pairs' ratios: our cost as a multiple of the baseline's or, with `faster`, our speed as
            a multiple of the baseline's.
        spread: the lower and upper quartile of the value that the goal is about.
        faster: see `ratio`.
        goal: None: the row is for information only.
        runs: the number of pairs.
    """

    name: str
    against: str
    unit: Literal["ms", "MB"]
    measured: float
    baseline: float
    ratio: float
    spread: Pair
    faster: bool
    goal: Goal | None
    runs: int

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        return self.goal.holds(self.measured if self.goal.unit == self.unit else self.ratio)

    @property
    def ratio_is(self) -> str:
        """What the ratio is a number of."""
        return "times as fast" if self.faster else "times"

    def document(self) -> dict[str, Any]:
        """The row as `--json` prints it."""
        return {
            "name": f"{self.name}, against {self.against}",
            "measured": round(self.measured, 3),
            "baseline": round(self.baseline, 3),
            "ratio": round(self.ratio, 3),
            "goal": None if self.goal is None else self.goal.value,
            "holds": self.holds,
            "unit": self.unit,
            "ratio_is": self.ratio_is,
            "goal_is": None if self.goal is None else str(self.goal),
            "spread": [round(value, 3) for value in self.spread],
            "runs": self.runs,
        }


def compare(
    name: str,
    against: str,
    pairs: Sequence[Pair],
    *,
    unit: Literal["ms", "MB"] = "ms",
    faster: bool = False,
    goal: Goal | None = None,
) -> Row:
    """Make a row from pairs.

    The ratio is computed within each pair, since other load on the machine affects both sides of a pair.
    """
    ratios = [theirs / ours if faster else ours / theirs for ours, theirs in pairs]
    measured, baseline = zip(*pairs, strict=True)
    return Row(
        name=name,
        against=against,
        unit=unit,
        measured=statistics.median(measured),
        baseline=statistics.median(baseline),
        ratio=statistics.median(ratios),
        spread=_quartiles(measured if goal is not None and goal.unit == unit else ratios),
        faster=faster,
        goal=goal,
        runs=len(pairs),
    )


def _quartiles(values: Sequence[float]) -> Pair:
    if len(values) == 1:
        return values[0], values[0]
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper
