"""EFS: the file system policy."""

import json
from collections.abc import Callable
from typing import Any

from ministack.services import efs

from modelctl.local.patches.patching import replace


def install() -> None:
    """Patch the EFS service."""
    replace(efs, "_put_file_system_policy", _without_id)


def _without_id(original: Callable[..., Any]) -> Callable[..., Any]:
    """PutFileSystemPolicy does not add an `Id` to a policy; with one, a second plan would remove it.

    https://docs.aws.amazon.com/efs/latest/ug/API_PutFileSystemPolicy.html
    """

    def put(file_system_id: str, body: dict[str, Any]) -> Any:
        status, headers, answer = original(file_system_id, body)
        if status != 200 or "Id" in json.loads(body["Policy"]):
            return status, headers, answer
        shown = json.loads(answer)
        policy = json.loads(shown["Policy"])
        del policy["Id"]
        shown["Policy"] = efs._file_systems[file_system_id]["FileSystemPolicy"] = json.dumps(policy)
        return efs._json(status, shown)

    return put
