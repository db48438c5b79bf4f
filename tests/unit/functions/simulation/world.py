"""A simulated world around the function's own code, and what has to hold in it."""

import contextlib
import datetime
import functools
import io
import json
import logging
import random
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from inference import s3
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3
from unit.functions.s3_events import eventbridge, notification
from unit.functions.simulation import chance as chances_of
from unit.functions.simulation.services import BREAKS, HANGS, KILLS, Environment, Function, Message, Settings
from unit.functions.simulation.virtual_time import Killed, Loop

#: Seconds since 1970 at which a world begins: 2027-01-15T08:00:00Z.
START = 1_800_000_000

KEYS = ("digits/a.json", "digits/b c.json", "digits/d+é.json", "digits/e", "digits/f/g.json", "digits/%68.json")

#: Content that is not a result, where one should be.
GARBAGE = (
    b"",
    b"{",
    b'{"input": 7}',
    b'{"input": {"bucket": "b", "key": "k", "sequencer": 7}, "digest": "d"}',
    b'{"input": {"bucket": "b", "key": "k", "sequencer": "zz"}, "digest": "d"}',
    b'{"input": {"bucket": "b", "key": "k", "last_modified": "yesterday"}, "digest": "d"}',
)


class ViolationError(AssertionError):
    """Something does not hold."""


@dataclass
class Upload:
    """What the world knows of an upload; uploads are numbered in the order of their versions."""

    number: int
    key: str
    #: One of "answered", "refused", "kills", "hangs", "breaks".
    kind: str
    predictions: list[float]
    version_id: str | None
    etag: str
    sequencer: str
    size: int
    last_modified: str
    #: Whether a message about it has reached the queue.
    announced: bool = False
    #: Whether S3 no longer has it.
    gone: bool = False


@dataclass
class World:
    """Everything that happens to some uploads, by chance from a seed."""

    seed: int
    uploads_wanted: int = 25
    history: list[str] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    #: How often the result of each key was deleted or written over by somebody else; or its input deleted.
    spoiled: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    writes: int = 0
    metrics: io.StringIO = field(default_factory=io.StringIO)
    by_hand: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - it has to be known beforehand
        self.chances = chances_of.draw(self.chance)
        self.loop = Loop(START)
        self.s3 = FakeS3(time=lambda: self.loop.now)
        #: What the inputs bucket keeps.
        self.mode = self.chance.choice(("kept", "kept", "kept", "never kept", "suspended"))
        timeout_s = self.chance.choice((3.0, 10.0))
        self.settings = Settings(
            timeout_s=timeout_s,
            visibility_s=timeout_s * self.chance.choice((1.5, 6)),
            retries=self.chance.choice((2, 3, 5, 5)),
            batch_size=self.chance.choice((1, 3, 10)),
            window_s=self.chance.choice((0, 0, 1)),
            concurrency=self.chance.choice((2, 3, 5)),
            rows=self.chance.choice((None, 1, 64)),
            has_room=self.chance.random() < 0.7,
        )
        self.keys = KEYS[: self.chance.choice((1, 3, 6))]
        self.function = Function(self.loop, self.chance, self.chances, self.settings, self.s3, self._version, self)
        self._digests = 0
        #: Uploads per second: bursts and lulls.
        self._pause_s = self.chance.choice((0.02, 0.1, 0.5, 5))

    def _version(self, version_id: str | None) -> str | None:
        return {"kept": version_id, "never kept": None, "suspended": "null"}[self.mode]

    # What happens

    def run(self) -> None:
        """Let everything happen, then everything end.

        Raises:
            ViolationError: something does not hold.
        """
        with _alone(self):
            self._happen()
            self._end()

    def _happen(self) -> None:
        at = 0.0
        for _ in range(self.uploads_wanted):
            at += self.chance.expovariate(1 / self._pause_s)
            self.loop.after(at, self._upload)
        rates = {
            self._queue_by_hand: self.chances.by_hand,
            self._delete: self.chances.deletes,
            self._expire: self.chances.expires,
            self._spoil: self.chances.spoils,
            self._deploy: self.chances.deploys,
            self._redrive: self.chances.redrives,
        }
        for action, rate in rates.items():
            for _ in range(self.uploads_wanted):
                if self.chance.random() < rate:
                    self.loop.after(self.chance.uniform(0, at + 2 * self.settings.visibility_s), action)
        self._settle()

    def _end(self) -> None:
        """After the faults: what died is redriven, every current input is queued by hand, and then nothing changes."""
        self.note("from here on nothing fails, and no input ends an environment")
        for name in vars(self.chances):
            setattr(self.chances, name, 0.0)
        self.function.redrive()
        self._settle()
        self._hold(not self.function.dead, "a message died although nothing fails")
        self._check(exactly=False)
        self._digests += 1
        self.function.deploy(f"digest-{self._digests}")
        self.loop.now += 10
        self.note("every current input is queued by hand")
        self._queue_all_by_hand()
        self._check(exactly=True)
        writes = self.writes
        self.note("and once more, with nothing left to do")
        self._queue_all_by_hand()
        self._hold(self.writes == writes, "an input that has its result was served again")

    def _settle(self) -> None:
        self.loop.run()
        self._hold(not self.function.messages, "messages are left in the queue")

    def _queue_all_by_hand(self) -> None:
        for key in self.keys:
            if newest := self._newest(key):
                self._send_by_hand(newest)
        self._settle()

    def _upload(self) -> None:
        key, number = self.chance.choice(self.keys), len(self.uploads)
        kind = next(
            (
                kind
                for kind, rate in (
                    ("kills", self.chances.kills),
                    ("hangs", self.chances.hangs),
                    ("breaks", self.chances.breaks),
                    ("refused", self.chances.is_refused),
                )
                if self.chance.random() < rate
            ),
            "answered",
        )
        first = {"kills": KILLS, "hangs": HANGS, "breaks": BREAKS}.get(kind, self.chance.randrange(100))
        rows = [[first, number, self.chance.randrange(100)]]
        if kind == "answered" and self.chance.random() < 0.3:
            rows.append([self.chance.randrange(100), number, self.chance.randrange(100)])
        body = json.dumps(rows).encode() if kind != "refused" else b"no JSON: %d" % number
        now = self.loop.now
        if self.chance.random() < self.chances.in_parts:
            self.s3.time = lambda: now - self.chance.uniform(0, 20)
        stored = self.s3.upload(INPUTS, key, body)
        self.s3.time = lambda: self.loop.now
        if self.mode != "kept":
            for upload in self.uploads:
                upload.gone = upload.gone or upload.key == key
        sequencer = f"{number + 1:04X}"
        if self.uploads and self.chance.random() < 0.2:
            # They have no fixed length: this is the one before with more digits.
            sequencer = f"{self.uploads[-1].sequencer}8"
        version_id = self._version(stored.version_id)
        upload = Upload(
            number,
            key,
            kind,
            [float(sum(row)) for row in rows],
            None if version_id == "null" else version_id,
            stored.etag.strip('"'),
            sequencer,
            stored.size,
            stored.last_modified.isoformat().replace("+00:00", "Z"),
        )
        self.uploads.append(upload)
        self.note(f"upload {number} of {key} ({kind}), version {version_id}, sequencer {sequencer}")
        for _ in range(2 if self.chance.random() < self.chances.announced_twice else 1):
            late = self.chance.random() < self.chances.announced_late
            self.loop.after(
                self.chance.uniform(0, 90 if late else 1), functools.partial(self._send, upload, self._event(upload))
            )

    def _event(self, upload: Upload) -> str:
        """What S3 says about an upload, when it is there."""
        entry: dict[str, Any] = {"size": upload.size, "sequencer": upload.sequencer}
        version_id = upload.version_id or self._version(None)
        time = datetime.datetime.fromtimestamp(self.loop.now, datetime.UTC).isoformat(timespec="milliseconds")
        if self.chance.random() < self.chances.by_eventbridge:
            event = json.loads(eventbridge(upload.key, **entry | {"etag": upload.etag, "version-id": version_id}))
            return json.dumps(event | {"time": time})
        key = urllib.parse.quote_plus(upload.key)
        event = json.loads(notification(key, **entry, eTag=upload.etag, versionId=version_id))
        event["Records"][0]["eventTime"] = time
        return json.dumps(event)

    def _send(self, upload: Upload, body: str, how: str = "announces") -> None:
        upload.announced = True
        message = self.function.send(body, upload.number)
        self.note(f"{message.message_id} {how} upload {upload.number} of {upload.key}")

    def _queue_by_hand(self) -> None:
        """As `modelctl backfill` does, which has listed the versions some time ago."""
        if not self.uploads:
            return
        upload = self._newest(self.chance.choice(self.keys))
        if self.chance.random() < self.chances.stale_by_hand:
            upload = self.chance.choice(self.uploads)
        if upload is not None:
            self.loop.after(self.chance.uniform(0, 10), lambda: self._send_by_hand(upload))

    def _send_by_hand(self, upload: Upload) -> None:
        entry: dict[str, Any] = {"size": upload.size, "eTag": upload.etag}
        event = json.loads(notification(urllib.parse.quote_plus(upload.key), **entry, versionId=upload.version_id))
        (record,) = event["Records"]
        del record["s3"]["object"]["sequencer"]
        record["eventTime"] = upload.last_modified.replace("Z", ".000Z")
        if self.chance.random() < self.chances.without_time:
            del record["eventTime"]
        self.by_hand.add(upload.key)
        self._send(upload, json.dumps(event), "announces, by hand,")

    def _delete(self) -> None:
        key = self.chance.choice(self.keys)
        if self._newest(key) is not None:
            self.s3.delete(INPUTS, key)
            self.deleted[key] = self.deleted.get(key, 0) + 1
            if self.mode != "kept":
                for upload in self.uploads:
                    upload.gone = upload.gone or upload.key == key
            self.note(f"{key} is deleted")

    def _expire(self) -> None:
        """A lifecycle rule deletes a version that is not current."""
        old = [upload for upload in self.uploads if not upload.gone and upload is not self._last(upload.key)]
        if old and self.mode == "kept":
            upload = self.chance.choice(old)
            upload.gone = True
            versions = self.s3.objects[INPUTS, upload.key]
            versions[:] = [stored for stored in versions if stored.version_id != upload.version_id]
            self.note(f"upload {upload.number} of {upload.key} is deleted for good")

    def _spoil(self) -> None:
        key = self.chance.choice(self.keys)
        address = RESULTS, f"digits/{key}.json"
        if self.s3.objects.pop(address, None) is None:
            return
        garbage = self.chance.choice((None, *GARBAGE))
        if garbage is not None:
            self.s3.upload(*address, garbage)
        self.spoiled[key] = self.spoiled.get(key, 0) + 1
        self.note(f"somebody {'deletes' if garbage is None else 'spoils'} the result of {key}")

    def _deploy(self) -> None:
        self._digests += 1
        self.function.deploy(f"digest-{self._digests}")

    def _redrive(self) -> None:
        self.function.redrive()

    # What has to hold

    def note(self, text: str) -> None:
        """A line of the history."""
        self.history.append(f"{self.loop.now - START:10.3f}  {text}")

    def begins(self, environment: Environment) -> None:
        """What is compared at the end of an invocation."""
        environment.marks = dict(self.spoiled)

    def culprit(self, number: float, messages: Sequence[Message]) -> str:
        """Which message announces an upload that ends environments."""
        return next(message.message_id for message in messages if message.upload == int(number))

    def crashed(self, error: BaseException) -> None:
        """The function may end by what ends its environment, and by a model that cannot be loaded, or not in time."""
        self.loop.failure = self.loop.failure or ViolationError(f"the function raised {error!r}")
        self.loop.failure.__cause__ = self.loop.failure.__cause__ or error

    def wrote(self, environment: Environment, key: str, before: bytes | None, body: bytes, *, announced: bool) -> None:
        """A result: it says the truth, replaces no newer one, and is not there twice."""
        self.writes += 1
        document = json.loads(body)
        upload = self._upload_of(document)
        self._hold(upload is not None, "a result names an input that there is not")
        assert upload is not None
        provisional = document.get("provisional", False)
        which = "provisional result" if provisional else "result"
        self.note(f"{environment.name} wrote the {which} of upload {upload.number} of {upload.key}")
        self._hold(key == f"digits/{upload.key}.json", "a result has another input's key")
        self._hold(document["digest"] == environment.digest, "a result has another model's digest")
        self._hold(announced is not provisional, f"a {which} was written as the other kind")
        if provisional:
            self._hold("error" in document, "a provisional result has predictions")
        else:
            self._check_answer(upload, document)
        standing = self._result(before)
        if standing is None:
            return
        there = self._upload_of(standing)
        assert there is not None
        self._hold(
            there.number <= upload.number, f"upload {upload.number} replaced upload {there.number}, which is newer"
        )
        if there is upload and not standing.get("provisional"):
            self._hold(not provisional, f"a provisional result replaced the answer to upload {upload.number}")
            doubled = standing["digest"] == document["digest"]
            self._hold(not doubled, f"the result of upload {upload.number} was doubled")

    def _check_answer(self, upload: Upload, document: dict[str, Any]) -> None:
        """A prediction depends on its own input only."""
        source = document["input"]
        self._hold((source["bucket"], source["key"]) == (INPUTS, upload.key), "a result has another input's key")
        error: dict[str, Any] = document.get("error", {})
        if error.get("type") == "NotFoundError":
            self._hold(upload.gone, f"upload {upload.number} is there, and was not found")
            return
        self._hold(source["size"] == upload.size, "a result has another input's size")
        self._hold(source["last_modified"] == upload.last_modified, "a result has another input's time")
        if upload.kind == "refused":
            self._hold(error.get("type") == "DecodeError", f"upload {upload.number} is not JSON: {error}")
        else:
            self._hold(
                document.get("predictions") == upload.predictions,
                f"of upload {upload.number} {upload.predictions} is predicted, not {error or document['predictions']}",
            )

    def done(self, environment: Environment, message: Message) -> None:
        """A message is done: its input has its result or a newer one's, or a newer input replaces it."""
        upload = self.uploads[message.upload]
        if environment.marks.get(upload.key, 0) != self.spoiled.get(upload.key, 0):
            return
        standing = self._standing(upload.key)
        why = f"{message.message_id} is done, and upload {upload.number} of {upload.key} has no result"
        self._hold(standing is not None, why)
        assert standing is not None
        there = self._upload_of(standing)
        assert there is not None
        only_provisional = there is upload and bool(standing.get("provisional"))
        if there.number >= upload.number and not only_provisional:
            return
        # Then S3 may have been asked which version is current.
        unordered = upload.key in self.by_hand
        superseded = upload is not self._last(upload.key) or bool(self.deleted.get(upload.key))
        other = "a provisional one" if only_provisional else "an older one's"
        self._hold(unordered and superseded, f"{why}, but {other}")

    def died(self, message: Message) -> None:
        """An input that ends environments takes no other along; what died has a result that says so."""
        fatal = sum(upload.kind in ("kills", "hangs") for upload in self.uploads)
        others = [failure for failure in message.failures if failure != "itself"]
        if self.settings.has_room and not self.chances.never_ready:
            # In the fresh batch: a process of their own serves those that come again.
            most = 1
        elif fatal == 1 and self.chances.are_calm:
            # Order alone keeps them apart, as long as no look-up fails in between (see `serving_order`).
            most = 3
        else:
            most = len(others)
        self._hold(len(others) <= most, f"{message.message_id} died of {', '.join(message.failures)}")
        if not self.chances.are_calm:
            return
        upload = self.uploads[message.upload]
        standing = self._standing(upload.key)
        there = self._upload_of(standing) if standing else None
        why = f"{message.message_id} is dead, and upload {upload.number} of {upload.key} has no result"
        self._hold(there is not None and there.number >= upload.number, why)
        assert standing is not None
        if there is upload and self.settings.has_room:
            self._hold(bool(standing.get("provisional")), f"{message.message_id} is dead, and its input is answered")

    def _check(self, *, exactly: bool) -> None:
        """Compare the bucket with what must be in it: one current result per key."""
        keys = {f"digits/{upload.key}.json" for upload in self.uploads if upload.announced}
        there = {key for bucket, key in self.s3.objects if bucket == RESULTS}
        self._hold(there <= keys, f"results of no input: {there - keys}")
        for key in self.keys:
            newest = self._last(key)
            if newest is None or (self.spoiled.get(key) and not exactly):
                continue
            if self._newest(key) is None and (exactly or self.deleted.get(key)):
                continue
            standing = self._standing(key)
            self._hold(standing is not None, f"{key} has no result")
            assert standing is not None
            self._hold(self._upload_of(standing) is newest, f"the result of {key} is not of upload {newest.number}")
            self._hold(not standing.get("provisional"), f"the result of {key} is provisional")
            if exactly:
                self._hold(
                    standing["digest"] == self.function.live,
                    f"the result of {key} is of {standing['digest']}, not of {self.function.live}",
                )

    def _last(self, key: str) -> Upload | None:
        """The last upload of a key."""
        return next((upload for upload in reversed(self.uploads) if upload.key == key), None)

    def _newest(self, key: str) -> Upload | None:
        """The current version of a key."""
        return None if (INPUTS, key) in self.s3.deleted else self._last(key)

    def _standing(self, key: str) -> dict[str, Any] | None:
        stored = self.s3.current(RESULTS, f"digits/{key}.json")
        return self._result(stored.body if stored else None)

    @staticmethod
    def _result(body: bytes | None) -> dict[str, Any] | None:
        """A result; None if it is none."""
        if body is None or body in GARBAGE:
            return None
        document: dict[str, Any] = json.loads(body)
        return document

    def _upload_of(self, document: dict[str, Any]) -> Upload | None:
        source = document["input"]
        return next(
            (
                upload
                for upload in self.uploads
                if upload.key == source["key"]
                and upload.etag == source["etag"]
                and source["version_id"] in (None, upload.version_id)
            ),
            None,
        )

    def _hold(self, holds: bool, what: str) -> None:
        if not holds:
            # Told to the loop as well: in a fiber, the function stands between.
            self.loop.failure = ViolationError(what)
            raise Killed


@contextlib.contextmanager
def _alone(world: World) -> Iterator[None]:
    """Each environment speaks to an S3 of its own; logs and metrics go nowhere."""
    client, disabled = s3.client, logging.root.manager.disable
    s3.client = lambda: world.loop.running.group  # type: ignore[assignment,union-attr]
    logging.disable()
    try:
        with contextlib.redirect_stdout(world.metrics):
            yield
    except Killed:
        assert world.loop.failure is not None
        raise world.loop.failure from None
    finally:
        world.loop.close()
        s3.client = client
        logging.disable(disabled)
