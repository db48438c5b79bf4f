"""What keys in the buckets say: which model an input is for, and where its result is stored.

`modelctl` uses this module too, so it imports nothing but Python's standard library.
"""

import hashlib
from collections.abc import Iterable

#: Longest key in bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_MAX_KEY_BYTES = 1024


def is_routed(key: str, prefixes: Iterable[str], suffixes: Iterable[str]) -> bool:
    """Whether a route with these prefixes and suffixes takes an input's key; an empty collection matches every key."""
    prefixes, suffixes = tuple(prefixes), tuple(suffixes)
    return (not prefixes or key.startswith(prefixes)) and (not suffixes or key.endswith(suffixes))


def has_foreign_suffix(key: str, prefixes: Iterable[str], suffixes: Iterable[str]) -> bool:
    """Whether a key is under one of a route's prefixes and ends with none of its suffixes, so another model takes it.

    Under any other prefix nothing is known: the key belongs to the route that the model had, or will have, and that
    route may have other suffixes.
    """
    return is_routed(key, prefixes, ()) and not is_routed(key, (), suffixes)


def result_key(model: str, key: str) -> str:
    """The key of an input's result: `<model>/<input key>.json`, or a hash where that is longer than S3 allows."""
    plain = f"{model}/{key}.json"
    if len(plain.encode()) <= _MAX_KEY_BYTES:
        return plain
    return f"{model}/{hashlib.sha256(key.encode()).hexdigest()}.json"
