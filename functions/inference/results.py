"""One result object per input key, for the newest input, however often and in whatever order its events arrive."""

import functools
from collections.abc import Callable
from typing import NamedTuple, Protocol

from inference import s3
from inference.errors import StorageError
from inference.events import UploadedObject
from inference.fetch import is_current
from inference.keys import result_key
from inference.result_documents import HEAD_BYTES, read_head
from inference.s3 import Objects, Read, RefusedError, UnansweredError
from inference.surroundings import Surroundings

#: How often a write is tried against other writers of the same key before the message goes back to the queue.
_ATTEMPTS = 5


class CurrentResult(NamedTuple):
    """The result that is currently stored under a key."""

    etag: str
    #: The input that it belongs to; None if it is not a result document and may be overwritten.
    uploaded: UploadedObject | None
    #: The digest of the model that made it.
    digest: str | None
    #: Whether its input's last attempt is still under way, or failed, so that an answer replaces it.
    provisional: bool = False


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


class Results(Protocol):
    """The model whose results they are: a function's `Config`, or what `modelctl` knows about a model."""

    @property
    def name(self) -> str:
        """The model's name in the registry."""

    @property
    def digest(self) -> str:
        """The digest of its artifact."""

    @property
    def results(self) -> str:
        """The results bucket."""


class ResultStore:
    """The results of one model in the results bucket."""

    def __init__(self, objects: Objects, config: Results, surroundings: Surroundings) -> None:
        self._objects = objects
        self._config = config
        self._surroundings = surroundings

    def current(self, key: str) -> CurrentResult | None:
        """The result of an input's key; None if there is none.

        Raises:
            StorageError: S3 did not answer, or the result cannot be read as it is.
        """
        try:
            where = Read(self._config.results, result_key(self._config.name, key), HEAD_BYTES, cut=True)
            found = self._objects.read(where)
        except RefusedError as error:
            # If S3 gives no reason, the condition of the write decides whether there is a result.
            if error.refusal in (s3.Refusal.MISSING, s3.Refusal.UNEXPLAINED):
                return None
            # A result that cannot be read may belong to a newer input, so it is not overwritten either.
            unreadable = error.refusal in s3.UNREADABLE
            way_out = "; restore or delete the result, then redrive the message" if unreadable else ""
            raise StorageError(f"the result of {key} could not be read: {error}{way_out}") from error
        except UnansweredError as error:
            raise StorageError(f"the result of {key} could not be read: {error}") from error
        return CurrentResult(found.etag, *_origin(found.body))

    def settles(self, current: CurrentResult | None, uploaded: UploadedObject) -> bool:
        """Whether nothing is left to do: the result is this model's for this input, or a newer input's.

        Raises:
            StorageError: S3 refused or did not answer the question which input is newer.
        """
        if current is None or current.uploaded is None:
            return False
        if _same_version(current.uploaded, uploaded):
            return current.digest == self._config.digest and not current.provisional
        return self._is_newer(current.uploaded, uploaded)

    def _stays(self, current: CurrentResult | None, uploaded: UploadedObject) -> bool:
        """Whether a provisional result of this input must not replace one: its final result, or a newer input's."""
        if current is None or current.uploaded is None:
            return False
        if _same_version(current.uploaded, uploaded):
            return not current.provisional
        return self._is_newer(current.uploaded, uploaded)

    def _is_newer(self, there: UploadedObject, here: UploadedObject) -> bool:
        """Whether the input of a result is newer than another version of it.

        Sequencers order the events of one key: the shorter one is padded with zeros on the right, then they are
        compared as strings (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).

        A message that was queued by hand has no sequencer, and neither has its result. Then only the current version of
        the input replaces the result; any other version has been superseded, and the current one has its own message.
        Times are less reliable than S3's answer: they are in whole seconds, and an object that was uploaded in parts
        has the time at which its upload began
        (https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html). They decide only if the current
        version was deleted or cannot be read.
        """
        if there.sequencer is not None and here.sequencer is not None:
            sequencers = _padded(there.sequencer, here.sequencer)
            return sequencers[0] > sequencers[1]
        current = is_current(self._objects, here)
        if current is not None:
            return not current
        # A result stays unless something shows that it is older.
        if there.last_modified is None or here.last_modified is None:
            return True
        return there.last_modified >= here.last_modified

    def write(self, uploaded: UploadedObject, document: bytes, current: CurrentResult | None) -> bool:
        """Replace `current` by an input's result, unless another writer's result settles it in the meantime.

        Returns whether it was written.

        Raises:
            StorageError: S3 refused, did not answer, or other writers were faster every time.
        """
        write = functools.partial(self._objects.write, self._config.results, self._key(uploaded), document)
        return self._replace(uploaded, current, write, self.settles)

    def write_provisional(
        self, uploaded: UploadedObject, document: bytes, current: CurrentResult | None
    ) -> CurrentResult | None:
        """Replace `current` by an input's provisional result, unless the existing result stays.

        Returns the result that is then stored; None if it was not written.

        Raises:
            StorageError: S3 refused, did not answer, or other writers were faster every time.
        """
        etags: list[str] = []

        def write(replaces: str | None) -> None:
            address = self._config.results, self._key(uploaded)
            etags.append(self._objects.write_unannounced(*address, document, replaces))

        if self._stays(current, uploaded) or not self._replace(uploaded, current, write, self._stays):
            return None
        return CurrentResult(etags[-1], uploaded, self._config.digest, provisional=True)

    def _key(self, uploaded: UploadedObject) -> str:
        return result_key(self._config.name, uploaded.key)

    def _replace(
        self,
        uploaded: UploadedObject,
        current: CurrentResult | None,
        write: Callable[[str | None], None],
        gives_way_to: Callable[[CurrentResult | None, UploadedObject], bool],
    ) -> bool:
        """Replace `current`, or what other writers stored in the meantime, unless that must stay."""
        for attempt in range(_ATTEMPTS):
            try:
                write(current.etag if current else None)
            except RefusedError as error:
                # Another writer changed the result, or it was deleted.
                if error.refusal not in (s3.Refusal.CHANGED, s3.Refusal.MISSING):
                    raise StorageError(f"the result of {uploaded.key} could not be written: {error}") from error
            except UnansweredError as error:
                raise StorageError(f"the result of {uploaded.key} could not be written: {error}") from error
            else:
                return True
            # A random wait keeps writers apart.
            self._surroundings.sleep(self._surroundings.uniform(0, 0.02 * 2**attempt))
            current = self.current(uploaded.key)
            if gives_way_to(current, uploaded):
                return False
        raise StorageError(f"the result of {uploaded.key} was changed by others {_ATTEMPTS} times in a row")


def _origin(head: bytes) -> tuple[UploadedObject | None, str | None, bool]:
    """The input and the digest that the beginning of a result names, and whether it is provisional.

    (None, None, False) if it is not a result.
    """
    if (found := read_head(head)) is None or "digest" not in found[0]:
        return None, None, False
    document, uploaded = found
    return uploaded, document["digest"], document.get("provisional") is True
