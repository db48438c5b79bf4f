"""JSON as results have it: strict, and in UTF-8. Direct calls need it too, and nothing else of what results are."""

import json
from typing import Any

#: `json.dumps` would make one for every text.
_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False)


def as_json(value: Any) -> bytes:
    """A value as the JSON of a result.

    Raises:
        TypeError, ValueError, RecursionError: it is not a JSON value.
    """
    return _ENCODER.encode(value).encode()
