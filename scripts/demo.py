"""The main job, for real (`make demo`): bring the local stack up, upload held-out inputs, compare with the truth."""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelctl import cli, console, paths
from modelctl.commands.predict import predict, row
from modelctl.deployment import Deployment
from modelctl.errors import UserError
from modelctl.worlds import local

INPUTS_PER_MODEL = 10
# The share of right answers below which the demo failed; the models reach more on all their held-out data.
MUST_BE_RIGHT = 0.9
TIMEOUT_S = 180


@dataclass(frozen=True)
class Sample:
    """A held-out input and its true labels, one for every record in it."""

    file: Path
    labels: tuple[str, ...]


def main() -> int:
    """Exit status 0 if all inputs were answered and nine in ten of each model's answers were right."""
    if status := cli.main(["up"]):
        return status
    try:
        deployed = Deployment(local())
        cells, right, asked = [], {}, {}
        for name, model in deployed.models.items():
            chosen = samples(paths.CHECKOUT / "models" / name / "samples")
            results = predict(deployed, model, [sample.file for sample in chosen], TIMEOUT_S)
            right[name] = sum(
                answer == label
                for s, r in zip(chosen, results, strict=True)
                for answer, label in zip(answers(r), s.labels, strict=True)
            )
            asked[name] = sum(len(sample.labels) for sample in chosen)
            cells += [cell(name, s, r) for s, r in zip(chosen, results, strict=True)]
    except UserError as problem:
        console.error(str(problem))
        return 1
    console.table(("model", "input", "prediction", "true", "score", "ms", "cold"), cells, right=("score", "ms"))
    console.out("")
    for name in right:
        console.out(f"{name}: {right[name]} of {asked[name]} right")
    wrong = [name for name in right if right[name] < MUST_BE_RIGHT * asked[name]]
    if wrong:
        console.error(f"fewer than {MUST_BE_RIGHT:.0%} right: {', '.join(wrong)}")
        return 1
    console.out(GO_ON)
    return 0


def samples(folder: Path) -> list[Sample]:
    """The first inputs of a model's samples, spread over its classes as they were held out."""
    labels: dict[str, list[str]] = {}
    with (folder / "expected.csv").open(newline="") as lines:
        for line in csv.DictReader(lines):
            labels.setdefault(line["file"], []).append(line["label"])
    return [Sample(folder / file, tuple(true)) for file, true in list(labels.items())[:INPUTS_PER_MODEL]]


def answers(result: dict[str, Any]) -> list[str]:
    """The predicted labels of a result object.

    Raises:
        UserError: the function refused the input.
    """
    if "error" in result:
        raise UserError(f"{result['input']['key']}: {result['error']['type']}: {result['error']['message']}")
    return [prediction["label"] for prediction in result["predictions"]]


def cell(model: str, sample: Sample, result: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table."""
    _, prediction, score, spent, cold = row(sample.file, result)
    return model, sample.file.name, prediction, ", ".join(sample.labels), score, spent, cold


GO_ON = """
The local stack is still up. How to go on, with .venv/bin on your PATH:
  modelctl predict digits models/digits/samples/*.png    predictions of your own uploads
  modelctl status                                        what is deployed, what waits
  modelctl logs digits                                   what a function wrote
  eval "$(modelctl env)"                                 then aws and terraform speak to it, too
  modelctl down                                          stop it and remove its data"""


if __name__ == "__main__":
    sys.exit(main())
