"""Puts an artifact's files into the file system, all or nothing.

Files are copied into `<root>/<model>/.staging-<random>/`, checked and synced to disk, and the folder is renamed to
`<root>/<model>/<digest>/`. So a function never sees half a model, and what it sees does not change.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weights_sync.artifact import Artifact

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: How many files are copied at the same time; each has one chunk in memory.
_PARALLEL = 8
_CHUNK_BYTES = 4 * 2**20

#: How often the copy of a file is begun; the client retries requests by itself, but not a body that breaks off.
_ATTEMPTS = 3

_STAGING_PREFIX = ".staging-"

#: Seconds that a call may take: https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
CALL_S = 900

#: Seconds of a call that are reserved for removing an incomplete copy and reporting it: twice the read timeout of S3.
KEPT_S = 60

#: Seconds after which the run that a staging folder belongs to must have ended.
_STAGING_MAX_AGE = 4 * CALL_S


class PublishError(Exception):
    """The artifact was not published, and nothing of it is left; the message says why and what to do."""


class _OutOfTimeError(Exception):
    """The call ends too soon to copy the rest."""


@dataclass(frozen=True)
class Published:
    """What is stored under the digest now."""

    bytes: int
    #: Whether it was copied; False: it was there already.
    copied: bool


def publish(
    client: "S3Client", bucket: str, root: Path, artifact: Artifact, remaining_ms: Callable[[], int]
) -> Published:
    """Make sure that `<root>/<model>/<digest>/` holds exactly the artifact's files.

    An existing folder is read in full and compared by sha256, since this runs only when Terraform or an operator has a
    reason to ask; a folder that differs is replaced.

    Args:
        client: S3.
        bucket: the artifacts bucket.
        root: the folder of all models.
        artifact: what to publish.
        remaining_ms: returns the milliseconds until Lambda ends the call.

    Raises:
        PublishError: an object is missing or differs, a disk or S3 error persisted, or the time was too short.
    """
    folder = root / artifact.model
    target = folder / artifact.digest
    try:
        _make_folder(folder)
        _remove_dead_stagings(folder)
        if target.is_dir() and _holds(target, artifact):
            return Published(_total_bytes(target, artifact), copied=False)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=folder))
        try:
            try:
                _copy(client, bucket, staging, artifact, remaining_ms)
            except _OutOfTimeError:
                raise PublishError(_not_in_time(client, bucket, staging, artifact)) from None
            _put_in_place(staging, target, artifact)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return Published(_total_bytes(target, artifact), copied=True)
    except OSError as error:
        raise PublishError(f"models.{artifact.model}: the file system refused: {error}") from error


def _make_folder(folder: Path) -> None:
    """A folder that every reader may enter, whatever the umask."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


def _remove_dead_stagings(folder: Path) -> None:
    for staging in folder.glob(f"{_STAGING_PREFIX}*"):
        # Another run may remove it at the same moment.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - staging.stat().st_mtime > _STAGING_MAX_AGE:
                shutil.rmtree(staging, ignore_errors=True)


def _holds(target: Path, artifact: Artifact) -> bool:
    """Whether a folder holds the artifact's files, with their contents, and no other."""
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    return found == set(artifact.files) and all(
        _sha256(target / name) == sha256 for name, sha256 in artifact.files.items()
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _total_bytes(target: Path, artifact: Artifact) -> int:
    return sum((target / name).stat().st_size for name in artifact.files)


def _copy(client: "S3Client", bucket: str, staging: Path, artifact: Artifact, remaining_ms: Callable[[], int]) -> None:
    """Copy all files and sync them to disk."""
    paths = [staging / name for name in artifact.files]
    folders = sorted({parent for path in paths for parent in path.parents if parent.is_relative_to(staging)})
    for folder in folders:
        _make_folder(folder)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        copies = [
            pool.submit(_copy_file, client, bucket, artifact, name, staging / name, remaining_ms)
            for name in sorted(artifact.files)
        ]
        try:
            for copy in copies:
                copy.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    _sync_folders(folders)


def _key(artifact: Artifact, name: str) -> str:
    return f"models/{artifact.model}/{artifact.digest}/{name}"


def _not_in_time(client: "S3Client", bucket: str, staging: Path, artifact: Artifact) -> str:
    """The error that says how much of the artifact fits into one call, and what to do."""

    def size(name: str) -> int:
        return int(client.head_object(Bucket=bucket, Key=_key(artifact, name))["ContentLength"])

    with ThreadPoolExecutor(_PARALLEL) as pool:
        total = sum(pool.map(size, artifact.files))
    copied = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
    return (
        f"models.{artifact.model}: {copied:,} of {total:,} bytes were copied in the {CALL_S // 60} minutes that one "
        "call of weights_sync may take, and were removed again. Apply again if S3 or EFS was slow; otherwise make the "
        "artifact smaller, as `modelctl import --quantize` does"
    )


def _copy_file(
    client: "S3Client", bucket: str, artifact: Artifact, name: str, path: Path, remaining_ms: Callable[[], int]
) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    key = _key(artifact, name)
    where = f"models.{artifact.model}: s3://{bucket}/{key}"
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            sha256 = _download(client, bucket, key, path, remaining_ms)
        except ClientError as error:
            raise PublishError(f"{where} cannot be read: {error}. `terraform apply` uploads it") from error
        except BotoCoreError as error:
            if attempt == _ATTEMPTS:
                raise PublishError(f"{where} cannot be read, even at the third attempt: {error}") from error
        else:
            if sha256 != artifact.files[name]:
                raise PublishError(
                    f"{where} has the sha256 {sha256}, expected {artifact.files[name]}: the object is not the "
                    "planned file. Delete it and apply again"
                )
            return


def _download(client: "S3Client", bucket: str, key: str, path: Path, remaining_ms: Callable[[], int]) -> str:
    """Stream an object to disk; returns the sha256 of what was written.

    Raises:
        _OutOfTimeError: the call ends soon.
    """
    body: Any = client.get_object(Bucket=bucket, Key=key)["Body"]
    sha256 = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            if remaining_ms() < 1000 * KEPT_S:
                raise _OutOfTimeError
            file.write(chunk)
            sha256.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)
    return sha256.hexdigest()


def _put_in_place(staging: Path, target: Path, artifact: Artifact) -> None:
    """Rename the copied folder to its digest, replacing one that differs, unless another run was faster."""
    # A folder cannot be renamed over one with files in it, so the old one is moved aside first.
    replaced = staging.with_name(f"{staging.name}-replaced")
    try:
        if target.is_dir() and not _holds(target, artifact):
            target.rename(replaced)
        staging.rename(target)
    except OSError:
        if not (target.is_dir() and _holds(target, artifact)):
            raise
    finally:
        shutil.rmtree(replaced, ignore_errors=True)
    _sync_folders([target.parent])


def _sync_folders(folders: Iterable[Path]) -> None:
    """Sync the entries of folders to disk: syncing a file does not cover its name."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
