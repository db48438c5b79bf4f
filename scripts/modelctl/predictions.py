"""Predictions of files: uploads them for a model and waits for the results of these very versions."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from modelctl import console, results, uploads
from modelctl.deployment import Deployment, Model
from modelctl.errors import UserError

# Uploads and polls in flight at once.
_PARALLEL = 16


def predict(deployed: Deployment, model: Model, files: Sequence[Path], timeout_s: float) -> list[dict[str, Any]]:
    """Upload every file and return the result object of each, in the order of the files.

    Raises:
        UserError: a file cannot be uploaded for this model, or a result did not come in time.
    """
    keys = [uploads.key_of(model, file) for file in files]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        one, other, *_ = (file for file, key in zip(files, keys, strict=True) if key == twice)
        if one.samefile(other):
            raise UserError(f"{other} is named twice: name every file once")
        raise UserError(f"two of the files would both be uploaded as {twice}: give them different names")
    deadline = time.monotonic() + timeout_s
    work = f"predicting {len(files)} input{'s' if len(files) > 1 else ''} with {model.name}"
    given_up = threading.Event()
    pool = ThreadPoolExecutor(_PARALLEL)
    try:
        with console.step(work):
            uploaded = list(pool.map(lambda file, key: uploads.upload(deployed, file, key), files, keys))
            return list(pool.map(lambda one: results.wait(deployed, model, one, deadline, given_up), uploaded))
    finally:
        # At Ctrl-C, or when one upload failed, nobody waits for the others.
        given_up.set()
        pool.shutdown(wait=False, cancel_futures=True)
