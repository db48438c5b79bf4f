"""The variables by which the code that serves a model finds it, where that code runs on this machine for `modelctl`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def environment(model: Mapping[str, Any], folder: Path, *, results: str = "", **changes: str) -> dict[str, str]:
    """What Terraform would set for a function, with the weights in a folder of this machine.

    Args:
        model: the normal form of the model's entry, from `registry.load`.
        folder: of the artifact's files.
        results: name of the results bucket.
        changes: fields that the model's document shall have instead, such as another runtime.
    """
    # On EFS the folder of the weights has the digest as its name.
    document = {**model["document"], **changes, "digest": folder.name}
    return {
        **model["environment"],
        "MODELYARD_MODEL": json.dumps(document),
        "MODELYARD_WEIGHTS": str(folder.absolute().parent),
        "MODELYARD_RESULTS": results,
    }
