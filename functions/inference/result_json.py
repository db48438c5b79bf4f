"""The JSON of results: strict, and in UTF-8. It is a module of its own because direct calls need only this."""

import json
from typing import Any

#: `json.dumps` would create one per call.
_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False)


def as_json(value: Any) -> bytes:
    """A value as the JSON of a result.

    Raises:
        TypeError, ValueError, RecursionError: it is not a JSON value.
    """
    return _ENCODER.encode(value).encode()
