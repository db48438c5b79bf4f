"""Inputs in the inputs bucket: uploading files, and listing what was uploaded."""

from collections.abc import Iterator
from pathlib import Path

from inference.events import UploadedObject, version_id
from modelctl.deployed.deployment import Deployment, Model
from modelctl.errors import UserError


def key_of(model: Model, file: Path) -> str:
    """The key under which a file is uploaded for a model: the model's first prefix and the file's name.

    Raises:
        UserError: there is no such file, its name cannot be a key, or the model takes no such suffix.
    """
    if file.is_dir():
        raise UserError(f"{file} is a folder: name the files in it")
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    try:
        file.name.encode()
    except UnicodeEncodeError:
        raise UserError(f"{str(file)!r} is not valid UTF-8, as every S3 key must be: rename the file") from None
    key = model.prefixes[0] + file.name
    if not model.takes(key):
        raise UserError(f"{file}: model {model.name} takes only {', '.join(model.suffixes)} (route.suffixes)")
    return key


def upload(deployed: Deployment, file: Path, key: str) -> UploadedObject:
    """Upload a file, and return the version that it became.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with file.open("rb") as body:
            answer = deployed.s3.put_object(Bucket=deployed.inputs, Key=key, Body=body)
    except OSError as problem:
        raise UserError(f"{file} cannot be read: {problem.strerror}") from problem
    return UploadedObject(deployed.inputs, key, answer["VersionId"], answer["ETag"].strip('"'))


def uploaded(deployed: Deployment, model: Model) -> Iterator[UploadedObject]:
    """The current version of every input of a model, page by page as S3 lists them."""
    paginator = deployed.s3.get_paginator("list_object_versions")
    # No key is listed twice: no prefix of a model begins with another one.
    for prefix in model.prefixes:
        for page in paginator.paginate(Bucket=deployed.inputs, Prefix=prefix):
            for listed in page.get("Versions", ()):
                version, etag = version_id(listed["VersionId"]), listed["ETag"].strip('"')
                found = UploadedObject(deployed.inputs, listed["Key"], version, etag, size=listed["Size"])
                if listed["IsLatest"] and model.takes(found.key) and not found.is_folder_marker():
                    yield found
