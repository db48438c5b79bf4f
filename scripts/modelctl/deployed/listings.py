"""Pairs inputs with their results, as a stream: a bucket may have more objects than fit into memory.

S3 lists keys in the order of their UTF-8 bytes, which is also the order of Python's strings. Both buckets are listed
once, page by page, and merged. The only difficulty is the suffix `.json` of results: `a-b` comes after `a`, but
`a-b.json` comes before `a.json`. So inputs are first put into the order of their results. That takes little memory,
since a key waits only for longer keys that begin with it.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from datetime import datetime
from typing import NamedTuple, TypeVar

from inference.events import UploadedObject, version_id
from inference.keys import result_key
from modelctl.deployed.deployment import Deployment, Model
from modelctl.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


class Input(NamedTuple):
    """The current version of an input."""

    uploaded: UploadedObject
    last_modified: datetime
    #: Whether its key has, or had, other versions: a result that is newer than this one may still belong to another.
    has_others: bool


class Listed(NamedTuple):
    """A result as a listing shows it."""

    key: str
    last_modified: datetime
    etag: str

    @property
    def in_parts(self) -> bool:
        """Whether it was uploaded in parts, as only provisional results are."""
        return "-" in self.etag


def prefixes(model: Model, within: str) -> list[str]:
    """The prefixes to list for the inputs of a model whose keys begin with `within`.

    Raises:
        UserError: the model takes no key like that.
    """
    below = [within for prefix in model.prefixes if within.startswith(prefix)]
    found = below or [prefix for prefix in model.prefixes if prefix.startswith(within)]
    if not found:
        raise UserError(
            f"model {model.name} does not take keys that begin with {within}: it takes {' and '.join(model.prefixes)}"
        )
    return found


def inputs(deployed: Deployment, model: Model, prefix: str) -> Iterator[Input]:
    """The current versions of a model's inputs, by key."""
    pages = deployed.s3.get_paginator("list_object_versions").paginate(Bucket=deployed.inputs, Prefix=prefix)
    # One page at a time: the versions of a key may be on several.
    current: Input | None = None
    for page in pages:
        versions = [(one["Key"], one) for one in page.get("Versions", ())]
        markers = {one["Key"] for one in page.get("DeleteMarkers", ())}
        if current and current.uploaded.key in markers:
            current = current._replace(has_others=True)
        for key, one in versions:
            if current and current.uploaded.key == key:
                current = current._replace(has_others=True)
            if not one["IsLatest"]:
                continue
            if current:
                yield current
            version, etag = version_id(one["VersionId"]), one["ETag"].strip('"')
            uploaded = UploadedObject(deployed.inputs, key, version, etag, size=one["Size"])
            taken = model.takes(key) and not uploaded.is_folder_marker()
            current = Input(uploaded, one["LastModified"], key in markers) if taken else None
    if current:
        yield current


def uploads(deployed: Deployment, model: Model, most: int) -> int:
    """How many uploads of a model's inputs the bucket has, including every version; counting stops at `most`."""
    pages = (
        page
        for prefix in model.prefixes
        for page in deployed.s3.get_paginator("list_object_versions").paginate(Bucket=deployed.inputs, Prefix=prefix)
    )
    taken = (one for page in pages for one in page.get("Versions", ()) if model.takes(one["Key"]))
    return sum(1 for _ in itertools.islice(taken, most))


def results(deployed: Deployment, model: Model, prefix: str) -> Iterator[Listed]:
    """The results of a model's inputs, by key, without those whose name is a hash."""
    pages = deployed.s3.get_paginator("list_objects_v2").paginate(
        Bucket=deployed.results, Prefix=f"{model.name}/{prefix}"
    )
    for page in pages:
        for one in page.get("Contents", ()):
            yield Listed(one["Key"], one["LastModified"], one["ETag"].strip('"'))


def beside(model: Model, inputs: Iterable[Input], results: Iterator[Listed]) -> Iterator[tuple[Input, Listed | None]]:
    """Each input with its result, if that is listed, in the order of the results."""
    result = next(results, None)
    for one in in_order_of_results(inputs, lambda one: one.uploaded.key):
        name = _plain(model, one.uploaded.key)
        while result is not None and result.key < name:
            result = next(results, None)
        yield one, result if result is not None and result.key == name else None


def is_listed(model: Model, key: str) -> bool:
    """Whether the name of a key's result contains the key; for a very long key it is a hash."""
    return result_key(model.name, key) == _plain(model, key)


def _plain(model: Model, key: str) -> str:
    return f"{model.name}/{key}.json"


def in_order_of_results(keyed: Iterable[T], key: Callable[[T], str]) -> Iterator[T]:
    """Reorders items that are sorted by key to the order of their keys with `.json` appended.

    The two orders differ only if one key begins with another. So the keys that wait form a chain, in which each begins
    with the previous one: at most as many as a key has bytes, 1,024.
    """
    waiting: list[T] = []
    for one in keyed:
        while waiting and key(waiting[-1]) + ".json" < key(one) + ".json":
            yield waiting.pop()
        waiting.append(one)
    yield from reversed(waiting)


def ahead(pool: Executor, most: int, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`map` in threads, in order, with a bounded number of items in progress; `Executor.map` takes all at once."""
    in_hand: deque[Future[R]] = deque()
    for item in items:
        in_hand.append(pool.submit(function, item))
        if len(in_hand) == most:
            yield in_hand.popleft().result()
    while in_hand:
        yield in_hand.popleft().result()
