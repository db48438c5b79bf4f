"""Which inputs have no current result, found by two listings side by side in bounded memory, and queueing those."""

import hashlib
import io
import itertools
import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError

from inference import events, keys
from modelctl.deployed import backfilling, listings
from modelctl.deployed.backfilling import Wanted
from modelctl.deployed.sending import Sender
from modelctl.errors import UserError
from unit.deployed import model
from unit.fake_sqs import FakeSqs
from unit.functions.fake_s3 import INPUTS, RESULTS

DIGITS = model("digits/", suffixes=(".png",))
NOW = datetime(2026, 11, 28, 7, 0, tzinfo=UTC)
LIVE, OLD = "a" * 64, "b" * 64


class Page(dict[str, Any]):
    """A page of a listing; counts how many of its bucket are held at once."""

    held: ClassVar[dict[str, int]] = {}
    most: ClassVar[dict[str, int]] = {}

    def __init__(self, bucket: str, **content: Any) -> None:
        super().__init__(content)
        self.bucket = bucket
        self.held[bucket] = self.held.get(bucket, 0) + 1
        self.most[bucket] = max(self.most.get(bucket, 0), self.held[bucket])

    def __del__(self) -> None:
        self.held[self.bucket] -= 1


@dataclass
class Buckets:
    """The inputs bucket, with the versions of each key, newest first, and the results bucket."""

    inputs: dict[str, list[tuple[str, datetime]]] = field(default_factory=dict)
    results: dict[str, tuple[bytes, datetime, str]] = field(default_factory=dict)
    page: int = 3
    reads: list[str] = field(default_factory=list)

    def upload(self, key: str, version: str, *, minutes: int, deleted: bool = False) -> None:
        """A version of an input, or a delete marker, from this many minutes ago."""
        self.inputs.setdefault(key, []).insert(0, (f"{version} marker" if deleted else version, ago(minutes)))

    def answer(self, key: str, version: str, *, minutes: int, digest: str = LIVE, provisional: bool = False) -> None:
        """The result of a version of an input."""
        uploaded = events.UploadedObject(INPUTS, key, version, "etag", size=1)
        document = {"model": "digits", "version": "1", "digest": digest, "input": vars(uploaded)}
        said = {"provisional": True, "error": {"type": "E", "message": "m"}} if provisional else {"predictions": [1]}
        etag = "0f-1" if provisional else "0f"
        self.results[keys.result_key("digits", key)] = (json.dumps({**document, **said}).encode(), ago(minutes), etag)

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=getattr(self, operation))

    def list_object_versions(self, Bucket: str, Prefix: str) -> Iterator[Page]:  # noqa: N803
        assert Bucket == INPUTS
        listed = (
            (key, version, when, place == 0)
            for key in sorted(self.inputs)
            if key.startswith(Prefix)
            for place, (version, when) in enumerate(self.inputs[key])
        )
        for part in iter(lambda: list(itertools.islice(listed, self.page)), []):
            entries: list[dict[str, Any]] = [
                {
                    "Key": key,
                    "VersionId": version,
                    "LastModified": when,
                    "IsLatest": latest,
                    "ETag": '"etag"',
                    "Size": 1,
                }
                for key, version, when, latest in part
            ]
            markers = [entry for entry in entries if "marker" in entry["VersionId"]]
            versions = [entry for entry in entries if "marker" not in entry["VersionId"]]
            # A kind that a page has none of is left out.
            found = {"Versions": versions, "DeleteMarkers": markers}
            yield Page(INPUTS, **{kind: entries for kind, entries in found.items() if entries})

    def list_objects_v2(self, Bucket: str, Prefix: str) -> Iterator[Page]:  # noqa: N803
        assert Bucket == RESULTS
        listed = (
            {"Key": key, "LastModified": self.results[key][1], "ETag": f'"{self.results[key][2]}"'}
            for key in sorted(self.results)
            if key.startswith(Prefix)
        )
        for part in iter(lambda: list(itertools.islice(listed, self.page)), []):
            yield Page(RESULTS, Contents=part)

    def get_object(self, Bucket: str, Key: str, Range: str) -> Any:  # noqa: N803
        assert (Bucket, Range) == (RESULTS, "bytes=0-16383")
        self.reads.append(Key)
        if Key not in self.results:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        body, when, etag = self.results[Key]
        return {"Body": io.BytesIO(body), "LastModified": when, "ETag": f'"{etag}"'}


def ago(minutes: int) -> datetime:
    return NOW - timedelta(minutes=minutes)


def deployed(buckets: Any, sqs: Any = None) -> Any:
    return SimpleNamespace(inputs=INPUTS, results=RESULTS, s3=buckets, sqs=sqs)


def reasons(buckets: Buckets, wanted: Wanted | None = None, of: Any = DIGITS) -> dict[str, str | None]:
    found = list(backfilling.find(deployed(buckets), of, wanted or Wanted()))
    named: dict[str, str | None] = {one.uploaded.key: reason for one, reason in found}
    assert len(named) == len(found)
    return named


@pytest.fixture
def buckets() -> Buckets:
    """An input of each kind."""
    buckets = Buckets()
    for key in ("current", "missing", "replaced", "replaced in time", "given up", "stale", "no suffix"):
        buckets.upload(f"digits/{key}.png" if key != "no suffix" else f"digits/{key}", f"{key} 1", minutes=60)
    for key, of, when in (
        ("current", "current 1", 59),
        ("replaced", "replaced 1", 59),
        # Its event came late: it was answered after the next version was uploaded.
        ("replaced in time", "replaced in time 1", 10),
    ):
        buckets.answer(f"digits/{key}.png", of, minutes=when)
    buckets.answer("digits/given up.png", "given up 1", minutes=50, provisional=True)
    buckets.answer("digits/stale.png", "stale 1", minutes=59, digest=OLD)
    for key in ("replaced", "replaced in time"):
        buckets.upload(f"digits/{key}.png", f"{key} 2", minutes=30)
    buckets.upload("digits/deleted.png", "deleted 1", minutes=60)
    buckets.upload("digits/deleted.png", "deleted 2", minutes=30, deleted=True)
    buckets.upload("digits/back again.png", "back 1", minutes=60)
    buckets.upload("digits/back again.png", "back 2", minutes=50, deleted=True)
    buckets.upload("digits/back again.png", "back 3", minutes=40)
    buckets.answer("digits/back again.png", "back 3", minutes=39)
    # An input that was deleted keeps its result.
    buckets.answer("digits/gone.png", "gone 1", minutes=59)
    return buckets


EXPECTED = {
    "digits/back again.png": None,
    "digits/current.png": None,
    "digits/given up.png": "given up",
    "digits/missing.png": "missing",
    "digits/replaced in time.png": "older",
    "digits/replaced.png": "older",
    "digits/stale.png": None,
}


@pytest.mark.parametrize("page", [1, 2, 3, 4, 100])
def test_an_input_is_queued_for_what_its_result_lacks_wherever_a_page_ends(buckets: Buckets, page: int) -> None:
    buckets.page = page
    assert reasons(buckets) == EXPECTED
    assert reasons(buckets, Wanted(digest=LIVE)) == {**EXPECTED, "digits/stale.png": "stale"}


def test_a_result_is_read_only_where_the_listings_cannot_tell(buckets: Buckets) -> None:
    reasons(buckets)
    assert sorted(buckets.reads) == [
        f"digits/digits/{key}.png.json" for key in ("back again", "given up", "replaced in time")
    ]


def test_only_inputs_that_were_uploaded_since_are_looked_at(buckets: Buckets) -> None:
    since = Wanted(since=ago(30))
    assert reasons(buckets, since) == {"digits/replaced in time.png": "older", "digits/replaced.png": "older"}
    assert reasons(buckets, Wanted(since=ago(29))) == {}


def test_only_keys_below_a_prefix_are_looked_at(buckets: Buckets) -> None:
    assert list(reasons(buckets, Wanted(prefix="digits/re"))) == ["digits/replaced in time.png", "digits/replaced.png"]
    assert reasons(buckets, Wanted(prefix="dig")) == EXPECTED
    with pytest.raises(UserError, match=r"model digits does not take keys that begin with wine/: it takes digits/"):
        reasons(buckets, Wanted(prefix="wine/"))


def test_a_result_whose_name_is_a_hash_is_found_by_its_key() -> None:
    buckets = Buckets()
    answered, missing = (f"digits/{letter * 1013}.png" for letter in "ab")
    for key in (answered, missing):
        buckets.upload(key, "v1", minutes=60)
    buckets.answer(answered, "v1", minutes=59)
    assert list(buckets.results) == [f"digits/{hashlib.sha256(answered.encode()).hexdigest()}.json"]
    assert reasons(buckets) == {answered: None, missing: "missing"}


def test_what_is_no_result_counts_as_none() -> None:
    buckets = Buckets()
    buckets.upload("digits/a.png", "v1", minutes=60)
    buckets.results["digits/digits/a.png.json"] = (b"{}", ago(5), "0f-2")
    assert reasons(buckets) == {"digits/a.png": "older"}


@pytest.mark.parametrize("seed", range(20))
def test_any_keys_are_put_into_the_order_of_their_results(seed: int) -> None:
    """Characters below and above the dot, and keys that begin with each other, are what can go wrong."""
    choose = random.Random(seed)  # noqa: S311 - no secret
    made = {"".join(choose.choices("a-.j!~é", k=choose.randrange(1, 6))) for _ in range(200)}
    made |= {f"{key}.json" for key in list(made)[:50]} | {f"{key}.js" for key in list(made)[50:80]}
    ordered = list(listings.in_order_of_results(sorted(made), lambda key: key))
    assert ordered == sorted(made, key=lambda key: f"{key}.json".encode())


def test_each_input_meets_its_result_whatever_characters_their_keys_have() -> None:
    choose = random.Random(7)  # noqa: S311 - no secret
    made = sorted({"digits/" + "".join(choose.choices("a-.j!/", k=choose.randrange(1, 5))) for _ in range(300)})
    answered = {key for key in made if choose.random() < 0.5}
    buckets = Buckets(page=7)
    for key in made:
        buckets.upload(key, "v1", minutes=60)
    for key in (*answered, "digits/zz"):
        buckets.answer(key, "v1", minutes=59)
    every = model("digits/")
    expected = {key: None if key in answered else "missing" for key in made}
    assert reasons(buckets, of=every) == expected


@dataclass
class Endless(Buckets):
    """So many inputs, of which every second has a result, made as they are asked for: pages of 100."""

    count: int = 0

    def list_object_versions(self, Bucket: str, Prefix: str) -> Iterator[Page]:  # noqa: N803
        version = {"VersionId": "v1", "LastModified": ago(60), "IsLatest": True, "ETag": '"e"', "Size": 1}
        for start in range(0, self.count, 100):
            keys = (f"{Prefix}{number:07}.png" for number in range(start, start + 100))
            yield Page(Bucket, Versions=[{"Key": key, **version} for key in keys])

    def list_objects_v2(self, Bucket: str, Prefix: str) -> Iterator[Page]:  # noqa: N803
        result = {"LastModified": ago(59), "ETag": '"e"'}
        for start in range(0, self.count, 200):
            keys = (f"{Prefix}{number:07}.png.json" for number in range(start, start + 200, 2))
            yield Page(Bucket, Contents=[{"Key": key, **result} for key in keys])


def assert_streamed(count: int) -> None:
    """Two pages of each bucket are there at once, however many there are: one, and the next while it comes."""
    Page.held.clear()
    Page.most.clear()
    found = backfilling.find(deployed(Endless(count=count)), DIGITS, Wanted())
    assert sum(reason == "missing" for _, reason in found) == count / 2
    assert Page.most == {INPUTS: 2, RESULTS: 2}
    assert Page.held == {INPUTS: 0, RESULTS: 0}


def test_listings_are_streamed() -> None:
    assert_streamed(10_000)


def test_a_bounded_number_of_results_is_read_ahead() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while taken < 100:
            taken += 1
            yield taken

    with ThreadPoolExecutor(2) as pool:
        doubled = listings.ahead(pool, 8, lambda number: 2 * number, items())
        assert next(doubled) == 2
        assert taken == 8
        assert list(doubled) == [2 * number for number in range(2, 101)]


# Queueing


def queue(buckets: Buckets, sqs: FakeSqs, seen: Callable[[Any], None] = lambda found: None) -> None:
    sender = Sender(sqs, DIGITS.queue_url, 1e9, clock=lambda: sqs.now, sleep=sqs.sleep)  # type: ignore[arg-type]
    backfilling.backfill(deployed(buckets, sqs), DIGITS, Wanted(), sender, seen)


def test_a_message_says_what_s3_would_have_said_but_for_the_sequencer() -> None:
    buckets = Buckets()
    buckets.upload("digits/a+b é.png", "v1", minutes=60)
    sqs = FakeSqs()
    queue(buckets, sqs)
    (body,) = sqs.bodies(DIGITS.queue_url)
    assert json.loads(body) == {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "eventTime": "2026-11-28T06:00:00.000Z",
                "s3": {
                    "bucket": {"name": INPUTS},
                    "object": {"key": "digits/a%2Bb+%C3%A9.png", "size": 1, "eTag": "etag", "versionId": "v1"},
                },
            }
        ]
    }
    (uploaded,) = events.announcement(body).uploads
    assert (uploaded.key, uploaded.version_id, uploaded.sequencer) == ("digits/a+b é.png", "v1", None)


def test_each_input_without_a_current_result_is_queued_once(buckets: Buckets) -> None:
    sqs = FakeSqs()
    seen: list[Any] = []
    queue(buckets, sqs, seen.append)
    queued = {events.announcement(body).uploads[0].key: body for body in sqs.bodies(DIGITS.queue_url)}
    assert set(queued) == {key for key, reason in EXPECTED.items() if reason}
    assert len(sqs.bodies(DIGITS.queue_url)) == len(queued)
    assert events.announcement(queued["digits/replaced.png"]).uploads[0].version_id == "replaced 2"
    assert {found.input.uploaded.key: found.reason for found in seen} == EXPECTED


def test_a_second_run_goes_on_where_the_first_was_broken_off() -> None:
    """GIVEN a run that ends after 20 messages, WHEN those are answered and it runs again THEN the other five come."""
    buckets, sqs = Buckets(), FakeSqs()
    every = [f"digits/{number:02}.png" for number in range(25)]
    for key in every:
        buckets.upload(key, "v1", minutes=60)
    calls = itertools.count()

    def press(name: str) -> None:
        if name == "send_message_batch" and next(calls) == 2:
            raise KeyboardInterrupt

    sqs.before = press
    with pytest.raises(KeyboardInterrupt):
        queue(buckets, sqs)
    first = [events.announcement(body).uploads[0].key for body in sqs.bodies(DIGITS.queue_url)]
    assert first == every[:20]
    for key in first:
        buckets.answer(key, "v1", minutes=1)
    sqs.queues.clear()
    queue(buckets, sqs)
    assert [events.announcement(body).uploads[0].key for body in sqs.bodies(DIGITS.queue_url)] == every[20:]


def test_a_message_that_sqs_does_not_accept_is_named() -> None:
    buckets, sqs = Buckets(), FakeSqs()
    buckets.upload("digits/a.png", "v1", minutes=60)
    queue(buckets, sqs)
    sqs.refused = frozenset(sqs.bodies(DIGITS.queue_url))
    with pytest.raises(
        UserError, match=r"did not accept 1 messages, one of them for digits/a\.png \(InternalError: \)"
    ):
        queue(buckets, sqs)
