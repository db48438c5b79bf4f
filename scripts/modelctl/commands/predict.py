"""`modelctl predict`: uploads files under a model's prefix and waits for the results of these very versions."""

import argparse
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelctl import console
from modelctl.commands.arguments import Commands, add_model, add_target, command, deployment
from modelctl.deployed.predictions import predict
from modelctl.deployed.results import is_labelled, said_instead, spent
from modelctl.errors import UserError
from modelctl.local.layout import write_whole

#: The most rows per file on a terminal.
_MOST_ROWS = 100


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "upload files for a model and show its predictions"
    parser = command(commands, "predict", run, does, "modelctl predict digits models/digits/samples/*.png")
    add_model(parser)
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="an input, uploaded under the model's prefix"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="also write the results, as --json prints them, to a new file; an existing file is never overwritten",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="how long to wait for the results; the default leaves Lambda time to restore an idle function first: 541 "
        "with the default timeout_s",
    )
    add_target(parser)


def seconds(text: str) -> float:
    """A time to wait, which is positive and finite."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds: expected a number above 0")
    return number


def run(called: argparse.Namespace) -> int:
    """Exit status 1 if an input got an error instead of predictions."""
    if called.output:
        _check_output(called.output)
    deployed = deployment(called)
    results = predict(deployed, deployed.model(called.model), called.files, called.timeout)
    document = console.as_json(results[0] if len(results) == 1 else results)
    try:
        if not called.json:
            _show(called.files, results)
    finally:
        # Written even if the reader closes the table early (`modelctl predict … | head`).
        if called.output:
            _write(called.output, document)
    if called.json:
        console.out(document)
    if given_up := sum(bool(result.get("provisional")) for result in results):
        console.note(
            f"{given_up} of {len(results)} inputs were given up, and their messages are dead letters: once the cause "
            f"is fixed, `modelctl redrive {called.model}` tries them again"
        )
    return 1 if any("error" in result for result in results) else 0


def _check_output(file: Path) -> None:
    """Refuse an output file that exists or cannot be created, before anything is uploaded.

    It might be an input: the shell expands `--output *.csv` to the first file that matches.
    """
    if os.path.lexists(file):
        raise UserError(f"--output: {file} exists and is never overwritten: name another file, or remove it")
    if not file.parent.is_dir():
        raise UserError(f"--output: the folder {file.parent} does not exist: create it, or name another file")


def _write(file: Path, document: str) -> None:
    try:
        write_whole(file, f"{document}\n")
    except OSError as problem:
        raise UserError(
            f"--output: {file} cannot be written: {problem.strerror}; the results are in the results bucket"
        ) from problem
    console.note(f"results written to {file}")


def _show(files: list[Path], results: list[dict[str, Any]]) -> None:
    """Print a table, limited on a terminal to a readable number of rows and width."""
    shown, left_out = [], 0
    for file, result in zip(files, results, strict=True):
        found = list(rows(file, result))
        most = _MOST_ROWS if console.is_terminal() else len(found)
        shown += found[:most]
        left_out += len(found[most:])
    columns = ("file", "prediction", "score", "ms in function", "cold start")
    console.table(columns, shown, right=("score", "ms in function"), cut="prediction")
    if left_out:
        console.note(f"{left_out:,} more rows are not shown: `--output FILE` writes all of them")


def rows(file: Path, result: dict[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """A result as a row of cells for each prediction, or for its error.

    The cells are the file and its row, the prediction, its score, and the function's time (`results.spent`).
    """
    timing = spent(result)
    if "error" in result:
        yield str(file), said_instead(result), "", *timing
        return
    predictions = result["predictions"]
    if not predictions:
        yield str(file), "no rows", "", *timing
    for number, prediction in enumerate(predictions, start=1):
        name = str(file) if len(predictions) == 1 else f"{file}, row {number}"
        if is_labelled(prediction):
            # It is missing if no label reaches the model's threshold.
            score = "" if prediction["score"] is None else f"{prediction['score']:.3f}"
            yield name, prediction["label"] or "none", score, *timing
        else:
            yield name, json.dumps(prediction, ensure_ascii=False), "", *timing
