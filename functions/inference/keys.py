"""What keys in the buckets say: which model an input is for, and where its result is stored.

`modelctl` uses this module too, so it imports nothing but Python's standard library.
"""

import hashlib
from collections.abc import Iterable

#: Longest key in bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_MAX_KEY_BYTES = 1024


def is_routed(key: str, prefixes: Iterable[str], suffixes: Iterable[str]) -> bool:
    """Whether a route with these prefixes and suffixes takes an input's key; an empty collection matches every key.

    S3 filters notifications itself. EventBridge rules filter by prefix alone (a bus has 30 wildcards), so there each
    model sees the objects of every model that shares its prefix.
    """
    prefixes, suffixes = tuple(prefixes), tuple(suffixes)
    return (not prefixes or key.startswith(prefixes)) and (not suffixes or key.endswith(suffixes))


def result_key(model: str, key: str) -> str:
    """The key of an input's result: `<model>/<input key>.json`, or a hash where that is longer than S3 allows."""
    plain = f"{model}/{key}.json"
    if len(plain.encode()) <= _MAX_KEY_BYTES:
        return plain
    return f"{model}/{hashlib.sha256(key.encode()).hexdigest()}.json"
