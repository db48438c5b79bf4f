"""`modelctl bench`: what our functions cost, compared with the shortest code that does the same."""

import argparse
from dataclasses import asdict

from modelctl import console
from modelctl.benchmarks import imports, measurements
from modelctl.benchmarks.measurements import Report
from modelctl.commands.arguments import Commands, command, print_json

_HOLDS = {True: "yes", False: "NO", None: ""}


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "measure cold starts, warm calls and memory against baselines; exits with 1 if a goal is missed"
    parser = command(commands, "bench", run, does, "modelctl bench litert --runs 5")
    parser.add_argument(
        "runtimes",
        nargs="*",
        type=runtime,
        metavar="RUNTIME",
        help=f"{', '.join(measurements.MEASURED)}; default: all",
    )
    parser.add_argument("--runs", type=count, default=15, metavar="N", help="measurements per row; default: 15")


def runtime(text: str) -> str:
    """The name of a runtime that has rows."""
    if text not in measurements.MEASURED:
        raise argparse.ArgumentTypeError(f"nothing is measured for {text}: expected {', '.join(measurements.MEASURED)}")
    return text


def count(text: str) -> int:
    """How often: at least once."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few: expected at least 1")
    return number


def run(called: argparse.Namespace) -> int:
    """Exit status 1 if a goal is not met."""
    report = measurements.measure(called.runtimes or measurements.MEASURED, called.runs)
    if called.json:
        print_json(
            {
                "rows": [row.document() for row in report.rows],
                "profile": {
                    kind: [asdict(step) for step in steps]
                    for kind, steps in {**report.profiles, **report.batches}.items()
                },
            }
        )
    else:
        _show(report)
    return int(any(row.holds is False for row in report.rows))


def _show(report: Report) -> None:
    console.table(
        ("what", "against", "ours", "baseline", "ratio", "half of them", "goal", "holds"),
        [
            (
                row.name,
                row.against,
                _amount(row.measured, row.unit),
                _amount(row.baseline, row.unit),
                f"{row.ratio:.2f} {row.ratio_is}",
                f"{row.spread[0]:.2f} to {row.spread[1]:.2f}",
                "" if row.goal is None else str(row.goal),
                _HOLDS[row.holds],
            )
            for row in report.rows
        ],
        right=("ours", "baseline", "ratio"),
    )
    for event, steps in report.profiles.items():
        console.out("")
        console.table(
            (f"cold start, {event}", "of that", "ms"),
            [(step.phase, step.what, f"{step.ms:.1f}") for step in imports.shown(steps)],
            right=("ms",),
        )
    for batch, steps in report.batches.items():
        console.out("")
        console.table(
            (f"processor time, {batch}", "ms per input"),
            [(step.what, f"{step.ms:.3f}") for step in steps],
            right=("ms per input",),
        )


def _amount(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.3f} {unit}"
