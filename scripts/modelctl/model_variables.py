"""The environment variables that tell the serving code about its model when `modelctl` runs it on this machine."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def of(model: Mapping[str, Any], folder: Path, *, results: str = "", **changes: str) -> dict[str, str]:
    """The variables that Terraform would set for a function, with the weights in a folder on this machine.

    Args:
        model: the normal form of the model's entry, from `registry.load`.
        folder: the folder with the artifact's files.
        results: name of the results bucket.
        changes: fields of the model's document to replace, such as the runtime.
    """
    # On EFS the folder of the weights has the digest as its name.
    document = {**model["document"], **changes, "digest": folder.name}
    return {
        **model["variables"],
        "MODELYARD_MODEL": json.dumps(document),
        "MODELYARD_WEIGHTS": str(folder.absolute().parent),
        "MODELYARD_RESULTS": results,
    }
