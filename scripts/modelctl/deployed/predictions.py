"""Predictions for files: uploads them for a model and waits for the results of exactly these versions."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Any

from modelctl import console
from modelctl.deployed import restoring, results, uploads
from modelctl.deployed.deployment import Deployment, Model
from modelctl.errors import UserError

# Uploads and polls in flight at the same time.
_PARALLEL = 16

# Seconds between two checks of what delays the results.
_LOOK_EVERY_S = 5


def longest_wait_s(model: Model) -> float:
    """Seconds within which a result arrives even if Lambda has to restore the function first.

    A message that is received before then comes back after its visibility timeout.
    """
    return restoring.SLOWEST_S + model.visibility_timeout_s + model.timeout_s


def predict(
    deployed: Deployment, model: Model, files: Sequence[Path], timeout_s: float | None = None
) -> list[dict[str, Any]]:
    """Upload every file and return the result object of each, in the order of the files.

    Args:
        deployed: where.
        model: which.
        files: the inputs.
        timeout_s: how long to wait; by default `longest_wait_s`.

    Raises:
        UserError: a file cannot be uploaded for this model, or a result did not come in time.
    """
    keys = [uploads.key_of(model, file) for file in files]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        one, other, *_ = (file for file, key in zip(files, keys, strict=True) if key == twice)
        if one.samefile(other):
            raise UserError(f"{other} is given twice: give each file once")
        raise UserError(f"two of the files would both be uploaded as {twice}: give them different names")
    turns = results.Turns(time.monotonic() + (timeout_s or longest_wait_s(model)))
    work = f"predicting {console.counted(len(files), 'input')} with {model.name}"
    pool = ThreadPoolExecutor(_PARALLEL)
    try:
        with console.step(work) as update:
            uploaded = list(pool.map(lambda file, key: uploads.upload(deployed, file, key), files, keys))
            waiting = [pool.submit(results.wait, deployed, model, one, turns) for one in uploaded]
            _watch(deployed, model, waiting, update)
            return [one.result() for one in waiting]
    finally:
        # After Ctrl-C or a failed upload, nothing waits for the others.
        turns.give_up()
        pool.shutdown(wait=False, cancel_futures=True)


def _watch(
    deployed: Deployment, model: Model, waiting: Sequence[Future[dict[str, Any]]], progress: Callable[[str], None]
) -> None:
    """Show what the results wait for, until all have arrived or one has not arrived in time."""
    said = "{come} of {all} results have arrived"
    while True:
        done, pending = wait_for(waiting, _LOOK_EVERY_S, FIRST_EXCEPTION)
        if not pending or any(one.exception() for one in done):
            return
        if restoring.state(deployed, model) in ("Inactive", "Pending"):
            said = (
                f"{{come}} of {{all}} results have arrived; {model.function_name} was idle and Lambda had to restore "
                f"it; inputs that it refused meanwhile are tried again after {model.visibility_timeout_s} s"
            )
        progress(said.format(come=len(done), all=len(waiting)))
