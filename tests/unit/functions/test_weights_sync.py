"""Weights are published whole and checked, or not at all."""

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ReadTimeoutError

from modelctl.runtime_api import run_handler
from unit.functions.boto_s3 import BotoClient
from unit.functions.fake_s3 import FakeS3
from unit.functions.loopback import access, served_s3
from weights_sync import artifact, publish
from weights_sync.artifact import Artifact, ArtifactError
from weights_sync.publish import PublishError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "artifacts"

FILES = {
    "saved_model.pb": b"graph" * 1000,
    "variables/variables.index": b"index",
    "variables/variables.data-00000-of-00001": os.urandom(9 * 2**20),
    "labels.txt": b"",
    ".hooks.py": b"def postprocess(outputs): ...",
}


@pytest.fixture
def uploaded() -> tuple[FakeS3, Artifact]:
    """An artifact as `terraform apply` puts it into the bucket."""
    sums = {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}
    wanted = Artifact("digits", artifact.digest_of(sums), sums)
    fake = FakeS3()
    for name, body in FILES.items():
        fake.upload(BUCKET, f"models/digits/{wanted.digest}/{name}", body)
    return fake, wanted


def publish_artifact(
    fake: FakeS3, root: Path, wanted: Artifact, remaining_ms: Callable[[], int] = lambda: 900_000
) -> publish.Published:
    """Publish from the S3 in memory."""
    return publish.publish(cast("S3Client", BotoClient(fake)), BUCKET, root, wanted, remaining_ms)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stagings(root: Path) -> list[Path]:
    """What publishing left behind."""
    return list(root.glob("*/.staging-*"))


def test_the_digest_is_the_sha256_of_the_sorted_lines() -> None:
    lines = b"2" * 64 + b"  a/b\n" + b"1" * 64 + b"  b\n"
    assert artifact.digest_of({"b": "1" * 64, "a/b": "2" * 64}) == hashlib.sha256(lines).hexdigest()


def test_an_artifact_is_copied_under_its_digest(uploaded: tuple[FakeS3, Artifact], tmp_path: Path) -> None:
    fake, wanted = uploaded
    published = publish_artifact(fake, tmp_path, wanted)
    assert contents(tmp_path) == {f"digits/{wanted.digest}/{name}": body for name, body in FILES.items()}
    assert (published.bytes, published.copied) == (sum(map(len, FILES.values())), True)
    assert stagings(tmp_path) == []


def test_every_reader_may_read_whatever_the_umask(uploaded: tuple[FakeS3, Artifact], tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        publish_artifact(uploaded[0], tmp_path, uploaded[1])
    finally:
        os.umask(before)
    for path in (tmp_path / "digits").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path
    assert stat.S_IMODE((tmp_path / "digits").stat().st_mode) == 0o755


def test_a_second_call_copies_nothing(uploaded: tuple[FakeS3, Artifact], tmp_path: Path) -> None:
    fake, wanted = uploaded
    first = publish_artifact(fake, tmp_path, wanted)
    fake.objects.clear()
    second = publish_artifact(fake, tmp_path, wanted)
    assert (second.bytes, second.copied) == (first.bytes, False)


@pytest.mark.parametrize("damage", ["changed", "missing", "extra"])
def test_weights_that_were_damaged_are_put_back(damage: str, uploaded: tuple[FakeS3, Artifact], tmp_path: Path) -> None:
    fake, wanted = uploaded
    publish_artifact(fake, tmp_path, wanted)
    path = tmp_path / "digits" / wanted.digest / "variables" / "variables.index"
    if damage == "changed":
        path.write_bytes(b"INDEX")
    elif damage == "missing":
        path.unlink()
    else:
        path.with_name("extra").write_bytes(b"")
    assert publish_artifact(fake, tmp_path, wanted).copied
    assert contents(tmp_path / "digits" / wanted.digest) == FILES
    assert stagings(tmp_path) == []


def test_an_object_that_is_not_the_planned_file_is_not_published(
    uploaded: tuple[FakeS3, Artifact], tmp_path: Path
) -> None:
    fake, wanted = uploaded
    fake.upload(BUCKET, f"models/digits/{wanted.digest}/labels.txt", b"other")
    with pytest.raises(PublishError, match=r"labels\.txt has the sha256 .* expected .* apply again"):
        publish_artifact(fake, tmp_path, wanted)
    assert contents(tmp_path) == {}
    assert stagings(tmp_path) == []


def test_a_missing_object_is_named_and_nothing_is_left(uploaded: tuple[FakeS3, Artifact], tmp_path: Path) -> None:
    fake, wanted = uploaded
    del fake.objects[BUCKET, f"models/digits/{wanted.digest}/saved_model.pb"]
    with pytest.raises(PublishError, match=r"models\.digits: s3://artifacts/models/.*/saved_model\.pb cannot"):
        publish_artifact(fake, tmp_path, wanted)
    assert contents(tmp_path) == {}
    assert stagings(tmp_path) == []


def test_a_download_that_breaks_off_is_tried_again(uploaded: tuple[FakeS3, Artifact], tmp_path: Path) -> None:
    fake, wanted = uploaded
    failures = [ReadTimeoutError(endpoint_url="https://s3")] * 2

    def fail(_bucket: str, key: str) -> None:
        if key.endswith("labels.txt") and failures:
            raise failures.pop()

    fake.before_get = fail
    assert publish_artifact(fake, tmp_path, wanted).copied
    assert contents(tmp_path / "digits" / wanted.digest) == FILES


def test_a_download_that_never_ends_well_is_an_error(uploaded: tuple[FakeS3, Artifact], tmp_path: Path) -> None:
    fake, wanted = uploaded

    def fail(_bucket: str, _key: str) -> None:
        raise ReadTimeoutError(endpoint_url="https://s3")

    fake.before_get = fail
    with pytest.raises(PublishError, match="even at the third attempt"):
        publish_artifact(fake, tmp_path, wanted)
    assert stagings(tmp_path) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(
    uploaded: tuple[FakeS3, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    # Only for this one call: pytest's own plugins sync their files too.
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(PublishError, match="No space left on device"):
            publish_artifact(uploaded[0], tmp_path, uploaded[1])
    assert contents(tmp_path) == {}
    assert stagings(tmp_path) == []


def test_what_does_not_fit_into_one_call_is_removed_and_says_how_much_was_copied_of_how_much(
    uploaded: tuple[FakeS3, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN one file after the other, in chunks of 4 MB, and a call with a minute left before each of four chunks."""
    fake, wanted = uploaded
    monkeypatch.setattr(publish, "_PARALLEL", 1)
    left_ms = iter([61_000, 60_001, 60_000, 60_000, 59_999])
    with pytest.raises(PublishError) as refused:
        publish_artifact(fake, tmp_path, wanted, lambda: next(left_ms))
    # .hooks.py, the graph and two of three chunks of the variables; the empty labels.txt has no chunk.
    copied = len(FILES[".hooks.py"]) + len(FILES["saved_model.pb"]) + 2 * 4 * 2**20
    total = sum(map(len, FILES.values()))
    assert str(refused.value).startswith(
        f"models.digits: {copied:,} of {total:,} bytes were copied in the 15 minutes that one call of weights_sync may "
        "take, and were removed again."
    )
    assert contents(tmp_path) == {}
    assert stagings(tmp_path) == []


def test_a_run_that_was_overtaken_accepts_what_the_other_published(
    uploaded: tuple[FakeS3, Artifact], tmp_path: Path
) -> None:
    fake, wanted = uploaded

    def overtake(_bucket: str, _key: str) -> None:
        fake.before_get = lambda _bucket, _key: None
        publish_artifact(fake, tmp_path, wanted)

    fake.before_get = overtake
    publish_artifact(fake, tmp_path, wanted)
    assert contents(tmp_path / "digits" / wanted.digest) == FILES
    assert stagings(tmp_path) == []


def test_what_dead_runs_left_is_removed_after_an_hour(uploaded: tuple[FakeS3, Artifact], tmp_path: Path) -> None:
    fake, wanted = uploaded
    dead, alive = tmp_path / "digits" / ".staging-dead", tmp_path / "digits" / ".staging-alive"
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "half").write_bytes(b"half a model")
    os.utime(dead, (time.time() - 3700, time.time() - 3700))
    publish_artifact(fake, tmp_path, wanted)
    assert stagings(tmp_path) == [alive]


def call(**changes: Any) -> dict[str, Any]:
    """A call for one file, with changes."""
    files = changes.pop("files", {"model.tflite": "0" * 64})
    event = {"model": "digits", "digest": artifact.digest_of(files) if isinstance(files, dict) else "", "files": files}
    return event | changes


@pytest.mark.parametrize(
    "name",
    ["../secret", "a/../../secret", "/etc/passwd", "", ".", "..", "a//b", "a/./b", "./a", "a/", "a\0b"],
)
def test_a_path_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match="not a relative path inside the artifact's folder"):
        artifact.read(call(files={name: "0" * 64}))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (None, 'expected an object with "model", "digest" and "files"'),
        ({"model": "digits"}, 'expected an object with "model", "digest" and "files"'),
        (call(model="../digits"), "is not a model name"),
        (call(model="Digits"), "is not a model name"),
        (call(files={}), "has no files"),
        (call(files={"a": "xyz"}), "is not a sha256"),
        (call(digest="0" * 64), "is not that of its files"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(event: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        artifact.read(event)


def test_terraforms_call_is_served_under_awslambdaric(uploaded: tuple[FakeS3, Artifact], tmp_path: Path) -> None:
    fake, wanted = uploaded
    event = {"model": wanted.model, "digest": wanted.digest, "files": dict(wanted.files)}
    with served_s3(fake) as endpoint:
        environment = {
            "MODELYARD_ARTIFACTS": BUCKET,
            "MODELYARD_WEIGHTS": str(tmp_path),
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            **access(endpoint),
        }
        events = [event, event, event | {"model": "wine"}, {"keep_active": True}]
        run = run_handler("weights_sync.handler.handler", events, environment, timeout_s=publish.CALL_S)
    first, second, wrong, kept_active = run.answers
    size = sum(map(len, FILES.values()))
    assert first == {"model": "digits", "digest": wanted.digest, "files": 5, "bytes": size, "copied": True}
    assert second == first | {"copied": False}
    assert wrong["errorType"] == "PublishError"
    assert kept_active == {}
    assert contents(tmp_path / "digits" / wanted.digest) == FILES
    assert any(json.loads(line).get("message") == "published" for line in run.output.splitlines() if line[0] == "{")
