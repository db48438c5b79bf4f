"""What to publish: the files of one model, each with its sha256, and the digest of all of them."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

_MODEL = re.compile(r"[a-z][a-z0-9-]{1,39}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ArtifactError(Exception):
    """The call does not describe an artifact that can be published; the message says what is wrong with it."""


@dataclass(frozen=True)
class Artifact:
    """The files of one model."""

    model: str
    digest: str
    #: The sha256, in hex, of each file by its path relative to the artifact's folder.
    files: Mapping[str, str]


def read(event: Any) -> Artifact:
    """The artifact that a call describes: `{"model": ..., "digest": ..., "files": {path: sha256}}`.

    Raises:
        ArtifactError: a field is missing or malformed, a path leads out of the folder, or the digest is not that of the
            files.
    """
    if not isinstance(event, dict) or not {"model", "digest", "files"} <= set(event):
        raise ArtifactError('expected an object with "model", "digest" and "files"')
    model, digest, files = event["model"], event["digest"], event["files"]
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        raise ArtifactError(f"{model!r} is not a model name: expected [a-z][a-z0-9-]{{1,39}}")
    if not isinstance(files, dict) or not files:
        raise ArtifactError(f"models.{model}: the artifact has no files")
    for path, sha256 in files.items():
        _check_path(model, path)
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise ArtifactError(f"models.{model}: {path}: {sha256!r} is not a sha256: expected 64 hexadecimal digits")
    if digest != digest_of(files):
        raise ArtifactError(f"models.{model}: the digest {digest!r} is not that of its files, {digest_of(files)}")
    return Artifact(model, digest, files)


def digest_of(files: Mapping[str, str]) -> str:
    """The sha256, in hex, of the lines "<sha256 of the file>  <relative path>", sorted by path."""
    lines = (f"{sha256}  {path}\n" for path, sha256 in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check_path(model: str, path: str) -> None:
    """Refuse a path that is not clearly inside the folder."""
    parts = PurePosixPath(path).parts
    plain = path == "/".join(parts) and "\0" not in path and not path.startswith("/")
    if not parts or not plain or ".." in parts:
        raise ArtifactError(f"models.{model}: {path!r} is not a relative path inside the artifact's folder")
