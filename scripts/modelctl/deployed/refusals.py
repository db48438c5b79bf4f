"""Inputs that got an error instead of predictions, by cause, and uploads that no model takes."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from modelctl.deployed import logs
from modelctl.deployed.causes import common
from modelctl.deployed.deployment import Deployment, Model
from modelctl.deployed.routes import NotTaken, Routes

#: The most causes, and keys per cause, that are kept separately; further ones are only counted.
_MOST_CAUSES = 1000
_MOST_KEYS = 1000
#: The most uploads without a model that are kept.
_MOST_UPLOADS = 1000
#: The most objects of the inputs bucket that one search reads, a thousand per call.
MOST_OBJECTS = 200_000

_OTHERS = ("other errors", "")

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass
class Refused:
    """One key that was refused, perhaps more than once.

    Attributes:
        count: the number of refusals.
        last: the time of the latest one.
    """

    count: int = 0
    last: datetime = _LONG_AGO

    def add(self, when: datetime) -> None:
        """Count one more."""
        self.count += 1
        self.last = max(self.last, when)


@dataclass
class Cause:
    """Inputs that were refused for one reason.

    Attributes:
        type: the error's type, as results have it.
        message: the latest message of the cause.
        all: the number of refusals, and the time of the latest.
        direct: how many of them were direct calls.
        keys: the inputs, by key.
    """

    type: str
    message: str = ""
    all: Refused = field(default_factory=Refused)
    direct: int = 0
    keys: dict[str, Refused] = field(default_factory=dict)

    def add(self, message: str, key: str | None, when: datetime) -> None:
        """Count one more; without a key it is a direct call."""
        if when >= self.all.last:
            self.message = message
        self.all.add(when)
        if key is None:
            self.direct += 1
        elif key in self.keys or len(self.keys) < _MOST_KEYS:
            self.keys.setdefault(key, Refused()).add(when)


@dataclass(frozen=True, order=True)
class Unmatched:
    """An upload that no model takes."""

    uploaded: datetime
    key: str
    why: str = field(compare=False)
    #: A key under which a model would take it, if there is a similar one.
    instead: str | None = field(compare=False)


@dataclass(frozen=True)
class Uploads:
    """Uploads that no model takes.

    Attributes:
        count: how many there are.
        latest: the latest of them, newest first.
        looked_at: how many objects were checked.
        until: the last key that was checked, if the bucket has more objects than one search reads.
    """

    count: int
    latest: list[Unmatched]
    looked_at: int
    until: str | None


def causes(deployed: Deployment, model: Model, since: datetime) -> list[Cause]:
    """Why inputs of a model were refused since a point in time, the most frequent cause first."""
    return grouped(_refused(deployed, model, since))


def grouped(refused: Iterable[tuple[Mapping[str, Any], datetime]]) -> list[Cause]:
    """The causes in lines of a function's log, each with the time of its line."""
    found: dict[tuple[str, str], Cause] = {}
    for line, when in refused:
        kind = str(line["error_type"])
        message = str(line.get("message", "")).partition("refused: ")[2].removeprefix(f"{kind}: ")
        key = line.get("key")
        like = (kind, common(message, [] if key is None else [key]))
        if like not in found and len(found) >= _MOST_CAUSES:
            like = _OTHERS
        found.setdefault(like, Cause(like[0])).add(message, key, when)
    return sorted(found.values(), key=lambda cause: (-cause.all.count, cause.type, cause.message))


def _refused(deployed: Deployment, model: Model, since: datetime) -> Iterator[tuple[dict[str, Any], datetime]]:
    for event in logs.events(deployed, model, int(since.timestamp() * 1000), words='"refused:"'):
        line = logs.parsed(event["message"])
        if isinstance(line, dict) and "error_type" in line and "refused: " in str(line.get("message")):
            yield line, datetime.fromtimestamp(event["timestamp"] / 1000, UTC)


def unmatched(deployed: Deployment, since: datetime) -> Uploads:
    """What was uploaded since a point in time and matches no model's route."""
    routes = Routes(deployed.models.values())
    latest: list[Unmatched] = []
    count = looked_at = 0
    for page in deployed.s3.get_paginator("list_objects_v2").paginate(Bucket=deployed.inputs):
        for listed in page.get("Contents", ()):
            looked_at += 1
            folder = listed["Key"].endswith("/") and not listed["Size"]
            if listed["LastModified"] < since or folder:
                continue
            route = routes.find(listed["Key"])
            if isinstance(route, NotTaken):
                count += 1
                upload = Unmatched(listed["LastModified"], listed["Key"], route.why, route.instead)
                (heapq.heappush if len(latest) < _MOST_UPLOADS else heapq.heappushpop)(latest, upload)
        if looked_at >= MOST_OBJECTS and page.get("IsTruncated"):
            return Uploads(count, sorted(latest, reverse=True), looked_at, page["Contents"][-1]["Key"])
    return Uploads(count, sorted(latest, reverse=True), looked_at, None)
