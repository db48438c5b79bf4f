"""The main job, for real (`make demo`): bring the local stack up, upload held-out inputs, compare with the truth."""

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelctl import cli, console, paths
from modelctl.deployed.deployment import Deployment
from modelctl.deployed.predictions import predict
from modelctl.deployed.results import spent
from modelctl.errors import UserError
from modelctl.targets import local

INPUTS_PER_MODEL = 10
# The demo fails below this share of right answers; on all their held-out data, the models reach more.
MUST_BE_RIGHT = 0.9
TIMEOUT_S = 180
HEADINGS = ("model", "input", "prediction", "true", "score", "ms in function", "cold start", "")


@dataclass(frozen=True)
class Sample:
    """A held-out input and its true labels, one per record."""

    file: Path
    labels: tuple[str, ...]


def main() -> int:
    """Exit status 0 if all inputs were answered and nine in ten of each model's answers were right."""
    if status := cli.main(["up", "--registry", str(paths.REGISTRY)]):
        return status
    try:
        deployed = Deployment(local())
        cells: list[tuple[str, ...]] = []
        right: dict[str, tuple[int, int]] = {}
        for name, model in deployed.models.items():
            chosen = samples(paths.CHECKOUT / "models" / name / "samples")
            results = predict(deployed, model, [sample.file for sample in chosen], TIMEOUT_S)
            lines = [line for pair in zip(chosen, results, strict=True) for line in compare(name, *pair)]
            cells += lines
            right[name] = (sum(line[-1] == "" for line in lines), len(lines))
    except UserError as problem:
        console.error(str(problem))
        return 1
    console.table(HEADINGS, cells, right=("score", "ms in function"))
    console.out(COLUMNS)
    for name, (count, asked) in right.items():
        console.out(f"{name}: {count} of {asked} right")
    wrong = [name for name, (count, asked) in right.items() if count < MUST_BE_RIGHT * asked]
    if wrong:
        console.error(f"fewer than {MUST_BE_RIGHT:.0%} right: {', '.join(wrong)}")
        return 1
    console.out(GO_ON)
    return 0


def samples(folder: Path) -> list[Sample]:
    """The first inputs of a model's samples, spread over its classes like the held-out data."""
    labels: dict[str, list[str]] = {}
    with (folder / "expected.csv").open(newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            labels.setdefault(line["file"], []).append(line["label"])
    return [Sample(folder / file, tuple(true)) for file, true in list(labels.items())[:INPUTS_PER_MODEL]]


def compare(model: str, sample: Sample, result: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows of the table, one per record of an input; the last cell is empty if the prediction is right.

    Raises:
        UserError: the function refused the input.
    """
    if "error" in result:
        raise UserError(f"{sample.file}: {result['error']['type']}: {result['error']['message']}")
    timing = spent(result)
    for number, (prediction, true) in enumerate(zip(result["predictions"], sample.labels, strict=True), start=1):
        name = sample.file.name if len(sample.labels) == 1 else f"{sample.file.name}, row {number}"
        judged = "" if prediction["label"] == true else "wrong"
        yield model, name, prediction["label"], true, f"{prediction['score']:.3f}", *timing, judged


COLUMNS = """
ms in function: from fetching the input to its prediction; the wait in the queue is not counted
cold start: whether this call of the function was the first of its process
"""
GO_ON = """
The local stack is still up. Next steps, with .venv/bin on your PATH:
  modelctl predict digits models/digits/samples/*.png    predict for your own uploads
  modelctl status                                        what is deployed, what is waiting
  modelctl logs digits                                   what a function wrote
  eval "$(modelctl env)"                                 point aws and terraform at it
  modelctl down                                          stop it and remove its data"""


if __name__ == "__main__":
    sys.exit(main())
