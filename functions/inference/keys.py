"""The meaning of keys in the buckets: which model an input is for, and where its result is stored.

`modelctl` uses this module too, so it imports nothing but Python's standard library.
"""

import hashlib
from collections.abc import Iterable

#: Longest key in bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_MAX_KEY_BYTES = 1024


def is_routed(key: str, prefixes: Iterable[str], suffixes: Iterable[str]) -> bool:
    """Whether a route with these prefixes and suffixes takes an input's key; an empty collection matches all keys."""
    prefixes, suffixes = tuple(prefixes), tuple(suffixes)
    return (not prefixes or key.startswith(prefixes)) and (not suffixes or key.endswith(suffixes))


def has_foreign_suffix(key: str, prefixes: Iterable[str], suffixes: Iterable[str]) -> bool:
    """Whether a key is under one of a route's prefixes but has none of its suffixes, so that another model takes it.

    Nothing is known about a key under any other prefix: it belongs to the model's previous or next route, which may
    have other suffixes.
    """
    return is_routed(key, prefixes, ()) and not is_routed(key, (), suffixes)


def result_key(model: str, key: str) -> str:
    """The key of an input's result: `<model>/<input key>.json`, with the key's hash if that is too long for S3."""
    plain = f"{model}/{key}.json"
    if len(plain.encode()) <= _MAX_KEY_BYTES:
        return plain
    return f"{model}/{hashlib.sha256(key.encode()).hexdigest()}.json"
