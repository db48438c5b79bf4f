"""The tables of docs/costs.md, computed from what is planned (tests/plan/costs.yaml) and from prices.yaml."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import yaml

from modelctl import costs, paths
from modelctl.costs import Units, Use

#: Column names and rows.
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]

#: Units at rest of one "deployment" and one "model", and the number of composite alarms by number of models.
PLANNED: Mapping[str, Any] = yaml.safe_load(
    (paths.CHECKOUT / "tests" / "plan" / "costs.yaml").read_text(encoding="utf-8")
)

#: Three inputs per day, each long after the previous one.
QUIET = Use(
    inputs=91,
    per_call=1,
    input_s=0.05,
    cold_starts=91,
    cold_start_s=0.5,
    memory_mb=1024,
    weights_mb=50,
    stored_kb=100,
    hours=91,
)
#: One input every 2.6 s on average, in bursts.
BUSY = replace(QUIET, inputs=1_000_000, per_call=10, input_s=0.03, cold_starts=500, hours=costs.HOURS_PER_MONTH)


@dataclass(frozen=True)
class Fleet:
    """The models of an example: how many are quiet and how many are busy, in deployments of the same size.

    Args:
        by_event: whether EventBridge announces uploads, which more than 100 models need.
    """

    quiet: int = 0
    busy: int = 0
    deployments: int = 1
    by_event: bool = False

    @property
    def models(self) -> int:
        """How many there are."""
        return self.quiet + self.busy

    def at_rest(self) -> Units:
        """What AWS charges even if the models are not used."""
        deployment = _deployment(self.models // self.deployments)
        return costs.added((_times(deployment, self.deployments), _times(_model(), self.models)))

    def in_use(self) -> Units:
        """What AWS charges in addition when they are used."""
        quiet, busy = (costs.in_use(replace(use, by_event=self.by_event)) for use in (QUIET, BUSY))
        return costs.added((_times(quiet, self.quiet), _times(busy, self.busy)))


HUNDRED = Fleet(quiet=100)
EXAMPLES = {
    "100 quiet models": HUNDRED,
    "10 busy models": Fleet(busy=10),
    "990 quiet and 10 busy models": Fleet(quiet=990, busy=10, deployments=4, by_event=True),
}


def at_rest() -> Table:
    """What a deployment and each of its models cost at rest, and what 100 of them do."""
    return _table(
        "at rest", _AT_REST, {"deployment": _deployment(10), "model": _model(), "100 models": HUNDRED.at_rest()}
    )


def examples() -> Table:
    """What a month of the examples costs, at rest and in use."""
    resting = {says: costs.usd(fleet.at_rest()) for says, fleet in EXAMPLES.items()}
    columns, (*rows, _) = _table("per month", _IN_USE, {says: fleet.in_use() for says, fleet in EXAMPLES.items()})
    together = {says: resting[says] + costs.usd(fleet.in_use()) for says, fleet in EXAMPLES.items()}
    return columns, [
        ("at rest", *map(_dollars, resting.values())),
        *rows,
        ("**together**", *(f"**{_dollars(amount)}**" for amount in together.values())),
        ("per model", *(_dollars(amount / EXAMPLES[says].models) for says, amount in together.items())),
    ]


def uses() -> Table:
    """What the examples assume about a quiet and a busy model."""
    rows = [(says, *(f"{getattr(use, field):,}" for use in (QUIET, BUSY))) for field, says in _USES.items()]
    return ("per month", "quiet model", "busy model"), rows


def comparison() -> Table:
    """What 100 unused models cost if they are served in other ways."""
    hours = costs.HOURS_PER_MONTH
    ways = {
        "100 SageMaker endpoints on the smallest instance": {"sagemaker_hours": 100 * hours},
        "a Kubernetes cluster (EKS) with three nodes of 8 GB": {"eks_hours": hours, "node_hours": 3 * hours},
        "Modelyard": HUNDRED.at_rest(),
    }
    return ("100 models that nobody uses", "per month"), [(says, _dollars(costs.usd(it))) for says, it in ways.items()]


def prices() -> Table:
    """All prices, with AWS's pages and where each was read."""
    as_of, by_name = costs.prices()
    rows: list[tuple[str, ...]] = [
        (
            f"[{price.says}]({price.page})",
            f"${price.usd:.10f}".rstrip("0").ljust(5, "0"),
            f"{price.per:,} {price.unit}" if price.per > 1 else price.unit,
            f"[{urlsplit(price.seen).hostname}]({price.seen})" if price.seen else "not confirmed",
        )
        for price in by_name.values()
    ]
    return ("price", f"USD on {as_of}", "per", "read at"), rows


#: By name.
TABLES: Mapping[str, Callable[[], Table]] = {
    "at rest": at_rest,
    "uses": uses,
    "examples": examples,
    "comparison": comparison,
    "prices": prices,
}

#: What AWS charges for at rest, by its name in prices.yaml.
_AT_REST = {
    "sqs_requests": "polling each queue for messages",
    "alarm_metrics": "three alarms, which watch four metrics",
    "composite_alarms": "the alarm on all alarms",
    "dashboards": "dashboard",
    "keys": "the alarm topic's key",
    "efs_gb": "50 MB of weights on EFS",
    "s3_gb": "50 MB of weights in the artifacts bucket",
}
_IN_USE = {
    "s3_writes": "writing inputs and results to S3",
    "s3_reads": "reading them from S3",
    "s3_gb": "storing them for a month",
    "events": "announcing uploads through EventBridge",
    "sqs_requests": "messages in queues",
    "lambda_requests": "function calls",
    "lambda_gb_s": "function time, including cold starts",
    "efs_read_gb": "reading weights from EFS at cold starts",
    "custom_metrics": "six metrics per model",
    "log_gb": "logs",
}
#: The fields of a use.
_USES = {
    "inputs": "inputs",
    "per_call": "inputs per call of the function",
    "input_s": "seconds per input",
    "cold_starts": "cold starts",
    "cold_start_s": "seconds per cold start",
    "memory_mb": "memory (MB)",
    "weights_mb": "weights (MB)",
    "stored_kb": "an input and its result (KB)",
    "hours": "hours with an input",
}


def _deployment(models: int) -> Units:
    return {**PLANNED["deployment"], "composite_alarms": PLANNED["composite_alarms"][models]}


def _model() -> Units:
    weights_gb = QUIET.weights_mb / 1000
    return {**PLANNED["model"], "efs_gb": weights_gb, "s3_gb": weights_gb}


def _times(units: Units, number: int) -> Units:
    return {name: number * each for name, each in units.items()}


def _table(first: str, labels: Mapping[str, str], columns: Mapping[str, Units]) -> Table:
    """What each kind of unit costs, and their sum; the columns have units of these kinds only."""
    rows = [
        (label, *(_dollars(costs.usd({name: units.get(name, 0)})) for units in columns.values()))
        for name, label in labels.items()
    ]
    return (first, *columns), [*rows, ("**together**", *(f"**{_dollars(costs.usd(it))}**" for it in columns.values()))]


def _dollars(amount: float) -> str:
    return "" if not amount else "< $0.01" if amount < 0.01 else f"${amount:,.2f}"
