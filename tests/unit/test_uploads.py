"""Uploading files as inputs, and listing the inputs that are there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from inference.events import UploadedObject
from modelctl.deployed import uploads
from modelctl.errors import UserError
from unit.deployed import deployment, model
from unit.functions.fake_s3 import INPUTS


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    gone = tmp_path / "gone.png"
    with pytest.raises(UserError, match=r"gone\.png cannot be read: No such file or directory"):
        uploads.upload(deployment(Mock()), gone, "digits/gone.png")


def test_a_file_is_uploaded_under_the_models_first_prefix_and_only_with_a_suffix_that_the_model_takes(
    tmp_path: Path,
) -> None:
    scan, text = tmp_path / "a scan.png", tmp_path / "text.txt"
    scan.touch()
    text.touch()
    digits = model("digits/", "scans/", suffixes=(".png", ".json"))
    assert uploads.key_of(digits, scan) == "digits/a scan.png"
    with pytest.raises(UserError, match=r"text\.txt: model digits takes only \.png, \.json \(route\.suffixes\)"):
        uploads.key_of(digits, text)
    with pytest.raises(UserError, match=r"is a folder: name the files in it$"):
        uploads.key_of(digits, tmp_path)


class Listing:
    """S3's answers about a prefix, one page after the other, and how many pages were asked for."""

    def __init__(self, pages: dict[str, list[list[dict[str, Any]]]]) -> None:
        self.pages = pages
        self.asked = 0

    def get_paginator(self, operation: str) -> "Listing":
        assert operation == "list_object_versions"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert Bucket == INPUTS
        for versions in self.pages[Prefix]:
            self.asked += 1
            # A page of delete markers alone has no versions.
            yield {"Versions": versions} if versions else {"DeleteMarkers": [{}]}


def version(key: str, version_id: str, *, latest: bool = True, size: int = 1) -> dict[str, Any]:
    return {"Key": key, "VersionId": version_id, "IsLatest": latest, "ETag": '"etag"', "Size": size}


def test_the_inputs_of_a_model_are_the_current_versions_that_its_route_takes() -> None:
    listing = Listing(
        {
            "digits/": [
                [version("digits/", "v1", size=0), version("digits/a.png", "v3"), version("digits/b.txt", "v4")],
                [],
                [version("digits/c.png", "v2", latest=False), version("digits/d.png", "null")],
            ],
            "scans/": [[version("scans/e.png", "v5")]],
        }
    )
    listed = uploads.uploaded(deployment(listing), model("digits/", "scans/", suffixes=(".png",)))
    assert next(listed) == UploadedObject(INPUTS, "digits/a.png", "v3", "etag", size=1)
    assert listing.asked == 1, "no more is asked for than is needed"
    # "null" is what was uploaded before the bucket kept versions; its result names none.
    assert [(one.key, one.version_id) for one in listed] == [("digits/d.png", None), ("scans/e.png", "v5")]
