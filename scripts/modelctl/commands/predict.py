"""`modelctl predict`: uploads files under a model's prefix and waits for the results of these very versions."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from modelctl import console
from modelctl.commands.arguments import Commands, add_target, command, deployment, print_json
from modelctl.predictions import predict
from modelctl.results import is_labelled, spent


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "upload files for a model and show its predictions"
    parser = command(commands, "predict", run, does, "modelctl predict digits models/digits/samples/*.png")
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="how long to wait; by default long enough for Lambda to restore an idle function first: 541 with the "
        "default timeout_s",
    )
    add_target(parser)


def seconds(text: str) -> float:
    """A time to wait: more than nothing, and finite."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no time to wait: expected a number above 0")
    return number


def run(called: argparse.Namespace) -> int:
    """Exit status 1 if an input got an error in place of predictions."""
    deployed = deployment(called)
    results = predict(deployed, deployed.model(called.model), called.files, called.timeout)
    if called.json:
        print_json(results[0] if len(results) == 1 else results)
    else:
        console.table(
            ("file", "prediction", "score", "ms", "cold"),
            [row(file, result) for file, result in zip(called.files, results, strict=True)],
            right=("score", "ms"),
        )
    return 1 if any("error" in result for result in results) else 0


def row(file: Path, result: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """A result as cells: file, prediction or error, score, milliseconds, whether the start was cold."""
    if "error" in result:
        return str(file), f"{result['error']['type']}: {result['error']['message']}", "", *spent(result)
    predictions = result["predictions"]
    if all(is_labelled(prediction) for prediction in predictions):
        # Where no label reaches the model's threshold there is none.
        labels = ", ".join(prediction["label"] or "none" for prediction in predictions)
        scores = ", ".join(
            "" if prediction["score"] is None else f"{prediction['score']:.3f}" for prediction in predictions
        )
        return str(file), labels, scores, *spent(result)
    return str(file), json.dumps(predictions), "", *spent(result)
