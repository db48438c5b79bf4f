"""`modelctl predict`: uploads files under a model's prefix and waits for the results of these very versions."""

import argparse
import json
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from inference.keys import result_key
from modelctl import console
from modelctl.commands.arguments import Commands, add_target, command, deployment, print_json
from modelctl.deployment import Deployment, Model
from modelctl.errors import UserError

# Uploads and polls in flight at once.
_PARALLEL = 16
# "404" is what boto3 makes of an answer that it cannot parse, as one that quotes a key with control characters.
_NOT_THERE_YET = ("NoSuchKey", "AccessDenied", "404")
# The pause between two looks at a result grows from the first to the second.
_POLL_S = (0.05, 1.0)


@dataclass(frozen=True)
class Upload:
    """A file that now lies in the inputs bucket."""

    file: Path
    key: str
    version_id: str


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "upload files for a model and show its predictions"
    parser = command(commands, "predict", run, does, "modelctl predict digits models/digits/samples/*.png")
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--timeout", type=seconds, default=300, metavar="SECONDS", help="how long to wait; default: 300"
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


def predict(deployed: Deployment, model: Model, files: Sequence[Path], timeout_s: float) -> list[dict[str, Any]]:
    """Upload every file and return the result object of each, in the order of the files.

    Raises:
        UserError: a file cannot be uploaded for this model, or a result did not come in time.
    """
    keys = [_key(model, file) for file in files]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"two of the files would both be uploaded as {twice}: give them different names")
    deadline = time.monotonic() + timeout_s
    work = f"predicting {len(files)} input{'s' if len(files) > 1 else ''} with {model.name}"
    given_up = threading.Event()
    pool = ThreadPoolExecutor(_PARALLEL)
    try:
        with console.step(work):
            uploads = list(pool.map(lambda file, key: _upload(deployed, file, key), files, keys))
            return list(pool.map(lambda upload: _result(deployed, model, upload, deadline, given_up), uploads))
    finally:
        # At Ctrl-C, or when one upload failed, nobody waits for the others.
        given_up.set()
        pool.shutdown(wait=False, cancel_futures=True)


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


def is_labelled(prediction: Any) -> bool:
    """Whether it is what `output.labels` makes; a model's hooks may make anything."""
    return (
        isinstance(prediction, dict)
        and set(prediction) - {"top"} == {"label", "score"}
        and isinstance(prediction["label"], str | None)
        and isinstance(prediction["score"], float | None)
    )


def spent(result: dict[str, Any]) -> tuple[str, str]:
    """Milliseconds from the first byte fetched to the prediction, and whether the start was cold."""
    timing = result["timing_ms"]
    # An input that was refused was not predicted, perhaps not even decoded.
    milliseconds = sum(timing[part] or 0 for part in ("fetch", "decode", "predict"))
    return f"{milliseconds:.1f}", "yes" if timing["cold_start"] else "no"


def _key(model: Model, file: Path) -> str:
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    try:
        file.name.encode()
    except UnicodeEncodeError:
        raise UserError(f"{str(file)!r} is not text in UTF-8, and a key of S3 is: rename the file") from None
    key = model.prefixes[0] + file.name
    if not model.takes(key):
        raise UserError(f"{file}: model {model.name} takes only {', '.join(model.suffixes)}")
    return key


def _upload(deployed: Deployment, file: Path, key: str) -> Upload:
    try:
        with file.open("rb") as body:
            answer = deployed.s3.put_object(Bucket=deployed.inputs, Key=key, Body=body)
    except OSError as problem:
        raise UserError(f"{file} cannot be read: {problem.strerror}") from problem
    return Upload(file, key, answer["VersionId"])


def _result(
    deployed: Deployment, model: Model, upload: Upload, deadline: float, given_up: threading.Event
) -> dict[str, Any]:
    key, pause_s = result_key(model.name, upload.key), _POLL_S[0]
    while True:
        try:
            body = deployed.s3.get_object(Bucket=deployed.results, Key=key)["Body"].read()
            result: dict[str, Any] = json.loads(body)
            if result["input"]["version_id"] == upload.version_id:
                return result
        except ClientError as problem:
            if problem.response["Error"]["Code"] not in _NOT_THERE_YET:
                raise
        if time.monotonic() + pause_s > deadline or given_up.wait(pause_s):
            raise UserError(
                f"{upload.file} was uploaded, but no result came in time: see `modelctl status` and "
                f"`modelctl logs {model.name}`; it will be at s3://{deployed.results}/{key}"
            )
        pause_s = min(pause_s * 1.5, _POLL_S[1])
