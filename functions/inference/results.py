"""One result object per input key, of the newest input, however often and in whatever order its events come."""

import datetime
import json
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from inference import s3
from inference.config import VARIANT, Config
from inference.errors import StorageError
from inference.events import UploadedObject
from inference.fetch import is_current
from inference.keys import result_key
from inference.predictions import Predictions
from inference.s3 import Objects, RefusedError, UnansweredError
from inference.surroundings import Surroundings

#: What is read of a result: it names its input first. A key's bytes, all of them escaped, take 6 KB.
_HEAD_BYTES = 16 * 2**10

#: Writes that are tried against other writers of the same key before the message goes back to the queue.
_ATTEMPTS = 5


class Refused(NamedTuple):
    """The error that a result has in the place of predictions."""

    #: The name of the `InputError`.
    type: str
    message: str


class CurrentResult(NamedTuple):
    """The result that stands under a key now."""

    etag: str
    #: The input that it is of; None if it is not a result document, which is then written over.
    uploaded: UploadedObject | None
    #: The model's that made it.
    digest: str | None


def result_document(
    config: Config,
    uploaded: UploadedObject,
    answer: Predictions | Refused,
    timing_ms: dict[str, Any],
    request_id: str,
    now: float,
) -> bytes:
    """The result object: predictions, or in their place the error; as JSON, since predictions are.

    `now` is in seconds since 1970.
    """
    outcome: tuple[bytes | bytearray, ...]
    if isinstance(answer, Refused):
        outcome = (b'"error": ', _json(answer._asdict()))
    else:
        outcome = (b'"predictions": ', answer.json)
    finished_at = datetime.datetime.fromtimestamp(now, datetime.UTC)
    before = {
        "model": config.name,
        "version": config.version,
        "digest": config.digest,
        "variant": VARIANT,
        "input": asdict(uploaded),
    }
    after = {
        "timing_ms": timing_ms,
        "request_id": request_id,
        "finished_at": finished_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return b"".join((_json(before)[:-1], b", ", *outcome, b", ", _json(after)[1:]))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def _same_version(there: UploadedObject, here: UploadedObject) -> bool:
    if there.version_id and here.version_id:
        return there.version_id == here.version_id
    if there.sequencer is None or here.sequencer is None:
        return there.etag is not None and there.etag == here.etag
    sequencers = _padded(there.sequencer, here.sequencer)
    return sequencers[0] == sequencers[1] and there.etag == here.etag


def _padded(*sequencers: str) -> list[str]:
    length = max(map(len, sequencers))
    return [sequencer.ljust(length, "0").lower() for sequencer in sequencers]


class ResultStore:
    """The results of one model in the results bucket."""

    def __init__(self, objects: Objects, config: Config, surroundings: Surroundings) -> None:
        self._objects = objects
        self._config = config
        self._surroundings = surroundings

    def current(self, key: str) -> CurrentResult | None:
        """The result that stands for an input's key; None if there is none.

        Raises:
            StorageError: S3 did not answer, or nobody can read it as it is.
        """
        try:
            found = self._objects.read(self._config.results, result_key(self._config.name, key), _HEAD_BYTES, cut=True)
        except RefusedError as error:
            # Where S3 does not say why, the write's condition decides whether there is none.
            if error.refusal in (s3.Refusal.MISSING, s3.Refusal.UNEXPLAINED):
                return None
            # A result that nobody can read may belong to a newer input, so it is not overwritten either.
            unreadable = error.refusal in s3.UNREADABLE
            way_out = "; restore or delete the result, then redrive the message" if unreadable else ""
            raise StorageError(f"the result of {key} could not be read: {error}{way_out}") from error
        except UnansweredError as error:
            raise StorageError(f"the result of {key} could not be read: {error}") from error
        return CurrentResult(found.etag, *_origin(found.body))

    def settles(self, current: CurrentResult | None, uploaded: UploadedObject) -> bool:
        """Whether nothing is left to do: the result is this input's by this model, or a newer input's.

        Raises:
            StorageError: S3 was asked which input is newer, and refused or did not answer.
        """
        if current is None or current.uploaded is None:
            return False
        if _same_version(current.uploaded, uploaded):
            return current.digest == self._config.digest
        return self._is_newer(current.uploaded, uploaded)

    def _is_newer(self, there: UploadedObject, here: UploadedObject) -> bool:
        """Whether the input of a result is newer than another version of it.

        Sequencers order the events of one key: the shorter one is padded with zeros on its right, then they compare as
        strings (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).

        A message that was put into the queue by hand has none, and the result of one has none either. Then the current
        version replaces the result, and no other: a message of its own announces that one. The times say less than
        S3's answer: they are in whole seconds, and an object that was uploaded in parts has the time when its upload
        began (https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html). They decide where the current
        version was deleted, or where nobody can read it.
        """
        if there.sequencer is not None and here.sequencer is not None:
            sequencers = _padded(there.sequencer, here.sequencer)
            return sequencers[0] > sequencers[1]
        current = is_current(self._objects, here)
        if current is None:
            return (there.last_modified or "") >= (here.last_modified or "")
        return not current

    def write(self, uploaded: UploadedObject, document: bytes, current: CurrentResult | None) -> bool:
        """Put an input's result in the place of `current`, unless another writer's settles it meanwhile.

        Returns whether it was written.

        Raises:
            StorageError: S3 refused, did not answer, or other writers were faster every time.
        """
        key = result_key(self._config.name, uploaded.key)
        for attempt in range(_ATTEMPTS):
            try:
                self._objects.write(self._config.results, key, document, current.etag if current else None)
            except RefusedError as error:
                # Changed by another writer, or the result to replace is gone.
                if error.refusal not in (s3.Refusal.CHANGED, s3.Refusal.MISSING):
                    raise StorageError(f"the result of {uploaded.key} could not be written: {error}") from error
            except UnansweredError as error:
                raise StorageError(f"the result of {uploaded.key} could not be written: {error}") from error
            else:
                return True
            # A random time, which keeps writers apart.
            self._surroundings.sleep(self._surroundings.uniform(0, 0.02 * 2**attempt))
            current = self.current(uploaded.key)
            if self.settles(current, uploaded):
                return False
        raise StorageError(f"the result of {uploaded.key} was changed by others {_ATTEMPTS} times in a row")


def _origin(head: bytes) -> tuple[UploadedObject, str] | tuple[None, None]:
    """The input and the digest that a result's beginning names; (None, None) if it is no result."""
    # What follows them may be megabytes, and cut off. In a string these quotes would be escaped.
    identity, found, _ = head.partition(b', "predictions": ')
    try:
        document = json.loads(identity + b"}" if found else head)
        source = document["input"]
        return UploadedObject(**{field.name: source.get(field.name) for field in fields(UploadedObject)}), document[
            "digest"
        ]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None, None
