"""One result object per input key, of the newest input, however often and in whatever order its events come."""

import datetime
import hashlib
import json
import random
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from inference import s3
from inference.config import VARIANT, Config
from inference.errors import InputError, StorageError
from inference.events import UploadedObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Longest key in bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_MAX_KEY_BYTES = 1024

#: Writes that are tried against other writers of the same key before the message goes back to the queue.
_ATTEMPTS = 5


@dataclass(frozen=True)
class CurrentResult:
    """The result that stands under a key now."""

    etag: str
    #: None if it is not a result document; it is then written over.
    document: dict[str, Any] | None


def result_key(model: str, key: str) -> str:
    """The key of an input's result: `<model>/<input key>.json`, or a hash where that is longer than S3 allows."""
    plain = f"{model}/{key}.json"
    if len(plain.encode()) <= _MAX_KEY_BYTES:
        return plain
    return f"{model}/{hashlib.sha256(key.encode()).hexdigest()}.json"


def result_document(
    config: Config,
    uploaded: UploadedObject,
    answer: list[Any] | InputError,
    timing_ms: dict[str, Any],
    request_id: str,
) -> dict[str, Any]:
    """The result object: predictions, or in their place the error."""
    if isinstance(answer, InputError):
        outcome: dict[str, Any] = {"error": {"type": type(answer).__name__, "message": str(answer)}}
    else:
        outcome = {"predictions": answer}
    return {
        "model": config.name,
        "version": config.version,
        "digest": config.digest,
        "variant": VARIANT,
        "input": asdict(uploaded),
        **outcome,
        "timing_ms": timing_ms,
        "request_id": request_id,
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def settles(current: CurrentResult | None, uploaded: UploadedObject, digest: str) -> bool:
    """Whether nothing is left to do: the result is this input's by this model, or a newer input's.

    Sequencers order the events of one key: the shorter one is padded with zeros on its right, then they compare as
    strings (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html). An event
    without one (an input put into the queue by hand) counts as newer.
    """
    source = (current.document or {}).get("input") if current is not None else None
    if current is None or current.document is None or not isinstance(source, dict):
        return False
    if _same_version(source, uploaded):
        return current.document.get("digest") == digest
    there, here = source.get("sequencer"), uploaded.sequencer
    if not there or not here:
        return False
    length = max(len(there), len(here))
    return bool(there.ljust(length, "0").lower() > here.ljust(length, "0").lower())


def _same_version(source: dict[str, Any], uploaded: UploadedObject) -> bool:
    if source.get("version_id") and uploaded.version_id:
        return bool(source["version_id"] == uploaded.version_id)
    return source.get("sequencer") == uploaded.sequencer and source.get("etag") == uploaded.etag


class ResultStore:
    """The results of one model in the results bucket."""

    def __init__(self, client: "S3Client", config: Config) -> None:
        self._client = client
        self._config = config

    def current(self, key: str) -> CurrentResult | None:
        """The result that stands for an input's key; None if there is none.

        Raises:
            StorageError: S3 did not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            response = self._client.get_object(Bucket=self._config.results, Key=result_key(self._config.name, key))
            body = response["Body"].read()
        except ClientError as error:
            # Where S3 does not say why, the write's condition decides whether there is none.
            if s3.refusal(error) in (s3.Refusal.MISSING, s3.Refusal.UNEXPLAINED):
                return None
            raise StorageError(f"the result of {key} could not be read: {error}") from error
        except (BotoCoreError, OSError) as error:
            raise StorageError(f"the result of {key} could not be read: {error}") from error
        return CurrentResult(response["ETag"], _parse(body))

    def write(self, uploaded: UploadedObject, document: dict[str, Any], current: CurrentResult | None) -> bool:
        """Put an input's result in the place of `current`, unless another writer's settles it meanwhile.

        Returns whether it was written.

        Raises:
            StorageError: S3 refused, did not answer, or other writers were faster every time.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        key = result_key(self._config.name, uploaded.key)
        body = json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
        for attempt in range(_ATTEMPTS):
            try:
                self._put(key, body, current)
            except ClientError as error:
                # Changed by another writer, or the result to replace is gone.
                if s3.refusal(error) not in (s3.Refusal.CHANGED, s3.Refusal.MISSING):
                    raise StorageError(f"the result of {uploaded.key} could not be written: {error}") from error
            except BotoCoreError as error:
                raise StorageError(f"the result of {uploaded.key} could not be written: {error}") from error
            else:
                return True
            time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  (it only keeps writers apart)
            current = self.current(uploaded.key)
            if settles(current, uploaded, self._config.digest):
                return False
        raise StorageError(f"the result of {uploaded.key} was changed by others {_ATTEMPTS} times in a row")

    def _put(self, key: str, body: bytes, current: CurrentResult | None) -> None:
        bucket, content_type = self._config.results, "application/json"
        if current is None:
            self._client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*")
        else:
            self._client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type, IfMatch=current.etag)


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
