"""A queue batch: every input gets exactly one current result, and only messages that were not served go back."""

import gzip
import io
import itertools
import json
import logging
import re
import threading
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inference import decoders, s3
from inference.batch import pipeline
from inference.errors import ModelError
from inference.fetch import fetch
from inference.keys import result_key
from inference.predictions import Predictions
from inference.predictor import Predictor
from inference.runtimes import Array, Model
from inference.s3 import UnansweredError
from inference.tensors import Instances
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3, denied, refusal
from unit.functions.s3_events import eventbridge, notification

Announce = Callable[..., dict[str, Any]]
Serve = Callable[..., list[str]]
Receive = Callable[[list[dict[str, Any]], int], list[dict[str, Any]]]

LABELS = [str(digit) for digit in range(10)]


def scan(seed: int) -> bytes:
    """A scan as PNG."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def receive() -> Receive:
    """Messages as the queue gives them at their n-th receive."""

    def run(messages: list[dict[str, Any]], receives: int) -> list[dict[str, Any]]:
        return [message | {"attributes": {"ApproximateReceiveCount": str(receives)}} for message in messages]

    return run


# What a result says


@pytest.mark.parametrize("artifact", ["scans.tflite", "scans.saved_model"])
def test_an_uploaded_scan_gets_its_labelled_prediction(
    artifact: str, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    messages = [announce(f"digits/{seed}.png", scan(seed)) for seed in range(3)]
    assert serve(messages, artifact, input_format="image", labels=LABELS, top_k=3) == []
    document = result("digits/1.png")
    assert list(document) == [
        *("model", "version", "digest", "variant", "input", "predictions", "timing_ms", "request_id", "finished_at")
    ]
    (prediction,) = document["predictions"]
    assert prediction["label"] in LABELS
    assert [prediction["label"], prediction["score"]] == prediction["top"][0]
    assert len(prediction["top"]) == 3
    stored = fake_s3.current(INPUTS, "digits/1.png")
    assert stored is not None
    assert document["input"] == {
        "bucket": INPUTS,
        "key": "digits/1.png",
        "version_id": stored.version_id,
        "etag": stored.etag.strip('"'),
        "sequencer": document["input"]["sequencer"],
        "size": len(stored.body),
        "last_modified": "2027-01-15T08:00:00Z",
    }
    timing = document["timing_ms"]
    assert set(timing) == {"fetch", "decode", "predict", "batch_size", "cold_start"}
    assert (timing["batch_size"], timing["cold_start"]) == (3, True)
    assert min(timing["fetch"], timing["decode"], timing["predict"]) > 0
    written = fake_s3.current(RESULTS, "digits/digits/1.png.json")
    assert written is not None
    assert written.content_type == "application/json"


def test_runtimes_agree_on_a_prediction(announce: Announce, serve: Serve, result: Callable[[str], Any]) -> None:
    messages = [announce("digits/7.png", scan(7))]
    scores = []
    for artifact in ("scans.tflite", "scans.saved_model", "scans.keras"):
        serve(messages, artifact, input_format="image", labels=LABELS)
        scores.append(result("digits/7.png")["predictions"][0]["score"])
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-4)


def test_without_labels_a_prediction_is_raw(announce: Announce, serve: Serve, result: Callable[[str], Any]) -> None:
    serve([announce("digits/a.json", b"[[0, 0, 0], [0, 0, 0]]")])
    assert result("digits/a.json")["predictions"] == [[0.5], [0.5]]
    serve([announce("digits/b.json", b'{"a": [1, 2, 3], "b": [4, 5]}')], "two.tflite")
    (prediction,) = result("digits/b.json")["predictions"]
    assert {name: np.shape(values) for name, values in prediction.items()} == {"p": (2,), "q": (1,)}


@pytest.mark.parametrize("artifact", ["odds.tflite", "scans.saved_model"])
def test_an_object_with_many_rows_gets_as_many_predictions(
    artifact: str, announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    width = 3 if artifact == "odds.tflite" else 64
    rows = "\n".join(",".join(["0.5"] * width) for _ in range(70))
    assert serve([announce("digits/a.csv.gz", gzip.compress(rows.encode()))], artifact) == []
    assert len(result("digits/a.csv.gz")["predictions"]) == 70


def test_an_object_with_a_content_encoding_is_decoded(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    body = gzip.compress(b"0,0,0\n0,0,0\n")
    messages = [
        announce("digits/a.csv", body, encoding="gzip"),
        announce("digits/b.csv", body, encoding="br"),
        announce("digits/c.csv", body),
    ]
    assert serve(messages) == []
    assert result("digits/a.csv")["predictions"] == [[0.5], [0.5]]
    assert result("digits/a.csv")["input"]["size"] == len(body)
    assert result("digits/b.csv")["error"] == {
        "type": "UnsupportedInputError",
        "message": "its Content-Encoding is br: upload it without one, or compress it with gzip, once",
    }
    assert result("digits/c.csv")["error"]["type"] == "DecodeError"


# The input's fault


@pytest.mark.parametrize("artifact", ["scans.tflite", "scans.saved_model"])
def test_bad_inputs_get_results_with_errors_and_their_neighbours_are_answered(
    artifact: str, announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    bad = {
        "digits/text.png": (b"this is no picture", "DecodeError"),
        "digits/empty.png": (b"", "EmptyInputError"),
        "digits/shape.json": (b'{"instances": [[1, 2, 3]]}', "ShapeError"),
        "digits/broken.json": (b'{"instances": ', "DecodeError"),
    }
    messages = [announce(key, body) for key, (body, _) in bad.items()]
    good = [announce(f"digits/{seed}.png", scan(seed)) for seed in range(2)]
    assert serve([good[0], *messages, good[1]], artifact, input_format="image", labels=LABELS) == []
    for key, (_, error_type) in bad.items():
        document = result(key)
        assert "predictions" not in document
        assert document["error"]["type"] == error_type
        assert document["error"]["message"]
        assert document["timing_ms"]["predict"] is None
    assert result("digits/0.png")["predictions"]
    assert result("digits/1.png")["predictions"]


def test_values_that_the_model_refuses_get_a_result_with_an_error(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    messages = [announce("digits/good.json", b"[0, 1]"), announce("digits/bad.json", b"[0, 7]")]
    assert serve(messages, "signatures.saved_model", signature="look_up") == []
    assert result("digits/good.json")["predictions"] == [10, 20]
    assert result("digits/bad.json")["error"]["type"] == "PredictionError"


def test_an_object_above_the_limit_is_refused_without_being_read(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    assert serve([announce("digits/large.json", b"[0, 0, 0]", size=2**40)]) == []
    assert result("digits/large.json")["error"] == {
        "type": "TooLargeError",
        "message": "1099511627776 bytes; an input may have at most 67108864 (limits.bytes)",
    }
    assert (INPUTS, "digits/large.json") not in fake_s3.gets


#: What S3 says of a VPC endpoint's policy that does not allow an action, and of one that denies it.
ENDPOINT = (
    "because no VPC endpoint policy allows the {action} action",
    "with an explicit deny in a VPC endpoint policy",
)


@pytest.mark.parametrize(
    "answer",
    [
        refusal(403, "AccessDenied", denied("s3:ListBucket")),
        refusal(403, "AccessDenied", denied("s3:ListBucketVersions")),
        *(refusal(403, "AccessDenied", denied("s3:ListBucketVersions", by)) for by in ENDPOINT),
        refusal(404, "NoSuchVersion"),
        refusal(405, "MethodNotAllowed"),
    ],
    ids=[
        *("may not list", "may not list versions", "nor does the endpoint", "and it denies it"),
        *("may list", "delete marker"),
    ],
)
def test_an_object_that_is_gone_gets_a_result_that_says_so(
    answer: Exception, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    message = announce("digits/gone.json", b"[0, 0, 0]")

    def refuse(bucket: str, _key: str) -> None:
        if bucket == INPUTS:
            raise answer

    fake_s3.before_get = refuse
    assert serve([message]) == []
    assert result("digits/gone.json")["error"]["type"] == "NotFoundError"


#: S3's answers for objects that it gives to no reader, and what the result then names.
UNREADABLE = {
    "archived": (
        refusal(
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's storage class",
            StorageClass="DEEP_ARCHIVE",
        ),
        "an archive, which S3 cannot read directly: upload it again .* restore it and copy .*storage class, "
        "DEEP_ARCHIVE",
    ),
    "archived by Intelligent-Tiering": (
        refusal(
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's access tier",
            StorageClass="INTELLIGENT_TIERING",
            AccessTier="ARCHIVE_ACCESS",
        ),
        "access tier is an archive, .* access tier, INTELLIGENT_TIERING, ARCHIVE_ACCESS",
    ),
    "the uploader's key": (
        refusal(
            400,
            "InvalidRequest",
            "The object was stored using a form of Server Side Encryption. "
            "The correct parameters must be provided to retrieve the object.",
        ),
        r"customer-provided key \(SSE-C\), which the function does not have: upload it again without such a key",
    ),
    "a deleted key": (
        refusal(400, "KMS.NotFoundException", "Key 'arn:aws:kms:us-east-1:000000000000:key/1' does not exist"),
        "the KMS key that it is encrypted with was deleted: upload it again .* Key 'arn:aws:kms:.*' does not exist",
    ),
}


@pytest.mark.parametrize(("answer", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_object_that_nobody_can_read_gets_a_result_that_says_why_and_what_helps(
    answer: Exception,
    message: str,
    announce: Announce,
    serve: Serve,
    fake_s3: FakeS3,
    result: Callable[[str], Any],
) -> None:
    messages = [announce(f"digits/{name}.json", b"[0, 0, 0]") for name in "ab"]

    def refuse(bucket: str, key: str) -> None:
        if (bucket, key) == (INPUTS, "digits/b.json"):
            raise answer

    fake_s3.before_get = refuse
    assert serve(messages) == []
    assert result("digits/a.json")["predictions"]
    error = result("digits/b.json")["error"]
    assert error["type"] == "UnreadableError"
    assert re.search(message, error["message"])


@pytest.mark.parametrize("answer", [answer for answer, _ in UNREADABLE.values()], ids=UNREADABLE)
def test_an_input_whose_result_nobody_can_read_goes_back_and_the_result_stays(
    answer: Exception,
    announce: Announce,
    serve: Serve,
    fake_s3: FakeS3,
    result: Callable[[str], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A newer input's result may have been archived: written over unread, it would be lost."""
    serve([announce("digits/a.json", b"[0, 0, 0]")])
    before = result("digits/a.json")
    message = announce("digits/a.json", b"no JSON")

    def refuse(bucket: str, _key: str) -> None:
        if bucket == RESULTS:
            raise answer

    fake_s3.before_get = refuse
    assert serve([message]) == [message["messageId"]]
    assert result("digits/a.json") == before
    assert "restore or delete the result, then redrive the message" in caplog.text


def test_an_object_replaced_in_an_unversioned_bucket_is_not_mistaken_for_the_announced_one(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    message = announce("digits/a.json", b"[0, 0, 0]", versionId=None)
    fake_s3.upload(INPUTS, "digits/a.json", b"[1, 1, 1]")
    assert serve([message]) == []
    assert result("digits/a.json")["error"]["type"] == "NotFoundError"


def test_the_announced_version_is_read_although_a_newer_one_is_there(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    message = announce("digits/a.json", b"[0, 0, 0]")
    fake_s3.upload(INPUTS, "digits/a.json", b"no JSON")
    assert serve([message]) == []
    assert result("digits/a.json")["predictions"] == [[0.5]]


# Nobody's input, or not this model's

ROUTE = {"prefixes": ["digits/"], "suffixes": [".json"]}


def by_eventbridge(message: dict[str, Any]) -> dict[str, Any]:
    """The message about the same upload that an EventBridge rule sends."""
    entry = json.loads(message["body"])["Records"][0]["s3"]["object"]
    version = {"version-id": entry["versionId"], "etag": entry["eTag"]}
    body = eventbridge(entry["key"], size=entry["size"], sequencer=entry["sequencer"], **version)
    return message | {"body": body}


def test_test_events_and_folder_markers_are_skipped(announce: Announce, serve: Serve, fake_s3: FakeS3) -> None:
    folder = announce("digits/new-folder/", b"")
    messages = [
        folder,
        by_eventbridge(folder),
        {"messageId": "test-event", "eventSource": "aws:sqs", "body": '{"Event": "s3:TestEvent"}'},
    ]
    assert serve(messages, route={"prefixes": ["digits/"]}) == []
    assert not any(bucket == RESULTS for bucket, _ in fake_s3.objects)


@pytest.mark.parametrize("key", ["wine/a.json", "digits/a", "wine/a"])
def test_every_notification_is_served_whatever_route_the_function_knows(
    key: str, announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    assert serve([announce(key, b"[0, 0, 0]")], route=ROUTE) == []
    assert result(key)["predictions"] == [[0.5]]


def test_a_notification_of_an_object_that_the_role_may_not_read_goes_back(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    def forbidden(bucket: str, key: str) -> None:
        if key.startswith("wine/"):
            raise refusal(403, "AccessDenied", denied("s3:GetObjectVersion"))

    foreign, own = announce("wine/a.json", b"[0, 0, 0]"), announce("digits/a.json", b"[0, 0, 0]")
    fake_s3.before_get = forbidden
    assert serve([foreign, own], route=ROUTE) == [foreign["messageId"]]
    assert result("wine/a.json") is None
    assert result("digits/a.json")["predictions"]


def test_an_eventbridge_event_is_skipped_by_its_suffix_under_a_prefix_of_the_route_only(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    neighbours, own, of_another_route = (
        by_eventbridge(announce(key, b"[0, 0, 0]")) for key in ("digits/a.txt", "digits/a.json", "scans/a")
    )
    assert serve([neighbours, own, of_another_route], route=ROUTE) == []
    assert {key for bucket, key in fake_s3.objects if bucket == RESULTS} == {
        "digits/digits/a.json.json",
        "digits/scans/a.json",
    }
    assert result("scans/a")["predictions"] == [[0.5]]


@pytest.mark.parametrize(
    "body",
    [
        "nonsense",
        "[" * 100_000,
        eventbridge(7),  # type: ignore[arg-type]
        eventbridge("digits/\ud800.json"),
        notification("digits/b.json", size=float("inf")),
    ],
    ids=["no JSON", "nested deeply", "a number for a key", "a key that is no text", "an infinite size"],
)
def test_a_message_that_is_no_s3_event_goes_back_alone(
    body: str, announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    nonsense = {"messageId": "nonsense", "eventSource": "aws:sqs", "body": body}
    assert serve([nonsense, announce("digits/a.json", b"[0, 0, 0]")]) == ["nonsense"]
    assert result("digits/a.json")["predictions"]


# Anyone else's fault


@pytest.mark.parametrize(
    "trouble",
    [
        refusal(503, "SlowDown"),
        refusal(500, "InternalError"),
        refusal(403, "AccessDenied", denied("s3:GetObjectVersion")),
        *(refusal(403, "AccessDenied", denied("s3:GetObjectVersion", by)) for by in ENDPOINT),
        refusal(403, "AccessDenied", denied("kms:Decrypt")),
        refusal(403, "AccessDenied", "Access Denied"),
        refusal(400, "KMS.DisabledException", "arn:aws:kms:us-east-1:000000000000:key/1 is disabled."),
        refusal(400, "KMS.KMSInvalidStateException", "arn:aws:kms:us-east-1:000000000000:key/1 is pending deletion."),
        refusal(400, "KMS.ThrottlingException", "Rate exceeded"),
        refusal(400, "InvalidRequest", "The request is invalid"),
        refusal(403, "InvalidAccessKeyId"),
        refusal(404, "NoSuchBucket"),
        UnansweredError("timed out"),
    ],
    ids=[
        *("throttled", "server error", "missing permission", "endpoint does not allow it", "endpoint denies it"),
        *("no key to decrypt", "no reason"),
        *("key disabled", "key about to be deleted", "KMS throttled", "another bad request", "wrong credentials"),
        *("no bucket", "timeout"),
    ],
)
def test_an_input_that_s3_does_not_give_goes_back_alone(
    trouble: Exception, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    messages = [announce(f"digits/{name}.json", b"[0, 0, 0]") for name in "abc"]

    def fail(bucket: str, key: str) -> None:
        if (bucket, key) == (INPUTS, "digits/b.json"):
            raise trouble

    fake_s3.before_get = fail
    assert serve(messages) == [messages[1]["messageId"]]
    assert result("digits/a.json")["predictions"]
    assert result("digits/b.json") is None
    assert result("digits/c.json")["predictions"]


def test_a_refusal_without_a_reason_is_logged_with_both_that_there_may_be(
    announce: Announce, serve: Serve, fake_s3: FakeS3, caplog: pytest.LogCaptureFixture
) -> None:
    message = announce("digits/a.json", b"[0, 0, 0]")

    def fail(bucket: str, _key: str) -> None:
        if bucket == INPUTS:
            raise refusal(403, "AccessDenied", "Access Denied")

    fake_s3.before_get = fail
    assert serve([message]) == [message["messageId"]]
    assert "either a policy denies reading it, or this version was deleted" in caplog.text


@pytest.mark.parametrize(
    "trouble", [refusal(503, "SlowDown"), refusal(403, "AccessDenied"), refusal(400, "ExpiredToken")]
)
def test_an_input_whose_result_cannot_be_written_goes_back_alone(
    trouble: Exception, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    messages = [announce(f"digits/{name}.json", b"[0, 0, 0]") for name in "ab"]

    def fail(_bucket: str, key: str) -> None:
        if key == "digits/digits/b.json.json":
            raise trouble

    fake_s3.before_put = fail
    assert serve(messages) == [messages[1]["messageId"]]
    assert result("digits/a.json")["predictions"]
    fake_s3.before_put = lambda _bucket, _key: None
    assert serve([messages[1]]) == []
    assert result("digits/b.json")["predictions"]


@pytest.mark.parametrize("action", ["s3:GetObject", "kms:Decrypt"])
def test_an_input_whose_result_may_not_be_read_goes_back_unpredicted(
    action: str, announce: Announce, serve: Serve, fake_s3: FakeS3
) -> None:
    message = announce("digits/a.json", b"[0, 0, 0]")

    def refuse(bucket: str, _key: str) -> None:
        if bucket == RESULTS:
            raise refusal(403, "AccessDenied", denied(action))

    fake_s3.before_get = refuse
    assert serve([message]) == [message["messageId"]]
    assert (INPUTS, "digits/a.json") not in fake_s3.gets


@pytest.mark.parametrize(
    "answer", [refusal(404, "NoSuchKey"), refusal(403, "AccessDenied", "Access Denied")], ids=["404", "403"]
)
def test_a_result_is_written_however_s3_says_that_there_is_none(
    answer: Exception, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    def refuse(bucket: str, _key: str) -> None:
        if bucket == RESULTS:
            raise answer

    fake_s3.before_get = refuse
    assert serve([announce("digits/a.json", b"[0, 0, 0]")]) == []
    assert result("digits/a.json")["predictions"]


def test_a_message_goes_back_if_one_of_its_inputs_was_not_served(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    first, second = announce("digits/a.json", b"[0, 0, 0]"), announce("digits/b.json", b"[0, 0, 0]")
    records = [json.loads(message["body"])["Records"][0] for message in (first, second)]
    message = first | {"body": json.dumps({"Records": records})}

    def fail(_bucket: str, key: str) -> None:
        if key == "digits/digits/b.json.json":
            raise refusal(503, "SlowDown")

    fake_s3.before_put = fail
    assert serve([message]) == [message["messageId"]]
    assert result("digits/a.json")["predictions"]


def test_a_model_that_cannot_be_loaded_fails_the_call_so_that_the_queue_keeps_all(
    announce: Announce, serve: Serve, fake_s3: FakeS3
) -> None:
    with pytest.raises(ModelError, match="no weights"):
        serve([announce("digits/a.json", b"[0, 0, 0]")], digest="not-there")
    assert not any(bucket == RESULTS for bucket, _ in fake_s3.objects)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    messages=st.lists(
        st.lists(st.sampled_from(("served", "refused", "not given", "not written")), min_size=1, max_size=3),
        max_size=12,
    ),
    nonsense=st.integers(0, 2),
)
def test_exactly_those_messages_go_back_of_which_an_input_was_not_served(
    messages: list[list[str]],
    nonsense: int,
    announce: Announce,
    serve: Serve,
    fake_s3: FakeS3,
    result: Callable[[str], Any],
) -> None:
    """GIVEN messages of several inputs each WHEN S3 fails for some of the inputs THEN the others have their results."""
    fake_s3.objects.clear()

    def fail(bucket: str, key: str) -> None:
        if bucket == INPUTS and "not given" in key:
            raise refusal(503, "SlowDown")

    def fail_to_write(_bucket: str, key: str) -> None:
        if "not written" in key:
            raise refusal(503, "SlowDown")

    fake_s3.before_get, fake_s3.before_put = fail, fail_to_write
    sent = [{"messageId": f"nonsense-{number}", "eventSource": "aws:sqs", "body": "{}"} for number in range(nonsense)]
    for number, fates in enumerate(messages):
        inputs = [
            announce(f"digits/{number}-{place} {fate}.json", b"no JSON" if fate == "refused" else b"[0, 0, 0]")
            for place, fate in enumerate(fates)
        ]
        records = [json.loads(announced["body"])["Records"][0] for announced in inputs]
        sent.append(inputs[0] | {"messageId": f"message-{number}", "body": json.dumps({"Records": records})})
    served = {"served", "refused"}
    expected = [f"message-{number}" for number, fates in enumerate(messages) if not served.issuperset(fates)]
    assert serve(sent) == sorted(expected) + [f"nonsense-{number}" for number in range(nonsense)]
    for number, fates in enumerate(messages):
        for place, fate in enumerate(fates):
            document = result(f"digits/{number}-{place} {fate}.json")
            assert (document is not None) == (fate in served)
            assert document is None or ("error" in document) == (fate == "refused")


# At once


@pytest.mark.parametrize("step", ["before_get", "before_put"])
def test_inputs_are_fetched_and_results_are_written_at_the_same_time(
    step: str, announce: Announce, serve: Serve, fake_s3: FakeS3
) -> None:
    messages = [announce(f"digits/{index}.json", b"[0, 0, 0]") for index in range(s3.PARALLEL)]
    # Nobody passes before all are there; otherwise it breaks, and nothing is served.
    together = threading.Barrier(s3.PARALLEL, timeout=20)

    def wait(bucket: str, _key: str) -> None:
        if bucket == (INPUTS if step == "before_get" else RESULTS):
            together.wait()

    setattr(fake_s3, step, wait)
    assert serve(messages) == []


def test_a_single_input_is_fetched_and_its_result_written_without_another_thread(
    announce: Announce, serve: Serve, fake_s3: FakeS3
) -> None:
    requests = []

    def note(bucket: str, _key: str) -> None:
        requests.append((bucket, threading.current_thread() is threading.main_thread()))

    fake_s3.before_get = fake_s3.before_put = note
    assert serve([announce("digits/a.json", b"[0, 0, 0]")]) == []
    assert requests == [(RESULTS, True), (INPUTS, True), (RESULTS, True)]


@pytest.mark.parametrize(("artifact", "calls"), [("odds.saved_model", [10]), ("odds.tflite", [1] * 10)])
def test_a_batch_is_one_call_of_the_model_where_that_costs_less(
    artifact: str, calls: list[int], announce: Announce, serve: Serve
) -> None:
    rows: list[int] = []

    class CountedModel:
        def __init__(self, model: Model) -> None:
            self.inputs, self.outputs = model.inputs, model.outputs
            self.bytes_per_call = model.bytes_per_call
            self._model = model

        def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
            rows.append(len(tensors["x"]))
            return self._model(tensors)

    class Counted(Predictor):
        def load(self) -> Model:
            return CountedModel(super().load())

    messages = [announce(f"digits/{index}.json", b"[0, 0, 0]") for index in range(10)]
    assert serve(messages, artifact, predictor=Counted) == []
    assert rows == calls


# A poison input: one that ends every invocation that takes it up


class Killed(BaseException):
    """What stands for Lambda's end of an invocation: nothing in the function comes after it."""


class Poisoned(Predictor):
    """A model that instances above 1 keep busy beyond the timeout."""

    def predict_together(self, inputs: Sequence[Instances]) -> list[Predictions] | None:
        if any(array.max() > 1 for instances in inputs for array in instances.tensors.values()):
            raise Killed
        return super().predict_together(inputs)


@pytest.mark.parametrize("artifact", ["odds.tflite", "odds.saved_model"])
@pytest.mark.parametrize("places", [*itertools.combinations(range(5), 1), *itertools.combinations(range(5), 2)])
def test_poison_inputs_take_no_neighbour_to_the_dead_letter_queue(
    artifact: str,
    places: tuple[int, ...],
    announce: Announce,
    serve: Serve,
    receive: Receive,
    result: Callable[[str], Any],
) -> None:
    """GIVEN a queue whose messages always come together WHEN some kill every invocation THEN they alone stay."""
    bodies = [b"[9, 9, 9]" if index in places else b"[0, 0, 0]" for index in range(5)]
    queue = [announce(f"digits/{index}.json", body) for index, body in enumerate(bodies)]
    poison = [queue[place]["messageId"] for place in places]
    for receives in range(1, 4 + len(places)):
        try:
            left = serve(receive(queue, receives), artifact, predictor=Poisoned)
        except Killed:
            continue
        queue = [message for message in queue if message["messageId"] in left]
    assert [message["messageId"] for message in queue] == poison
    results = [result(f"digits/{index}.json") or {} for index in range(5)]
    assert [index for index, document in enumerate(results) if "predictions" not in document] == list(places)
    assert all("provisional" in results[place] for place in places) == (3 + len(places) >= 5)


def test_a_message_that_comes_again_is_predicted_alone_and_after_the_fresh_ones(
    announce: Announce, serve: Serve, receive: Receive, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    again = [announce(f"digits/again-{name}.json", b"[0, 0, 0]") for name in "ab"]
    fresh = [announce(f"digits/fresh-{name}.json", b"[0, 0, 0]") for name in "ab"]
    written: list[str] = []
    fake_s3.before_put = lambda _bucket, key: written.append(key)
    assert serve([*receive(again, 2), *receive(fresh, 1)], "odds.saved_model") == []
    assert ["fresh" in key for key in written] == [True, True, False, False]
    assert result("digits/again-a.json")["timing_ms"]["batch_size"] == 1
    assert result("digits/fresh-a.json")["timing_ms"]["batch_size"] == 2


def test_a_message_with_several_inputs_of_which_one_was_not_served_is_tried_again(
    announce: Announce, serve: Serve, receive: Receive, result: Callable[[str], Any]
) -> None:
    first, second = announce("digits/a.json", b"[0, 0, 0]"), announce("digits/b.json", b"[0, 0, 0]")
    assert serve([first]) == []
    records = [json.loads(message["body"])["Records"][0] for message in (first, second)]
    assert serve(receive([second | {"body": json.dumps({"Records": records})}], 2)) == []
    assert result("digits/b.json")["predictions"]


# Time and memory are bounded


class Clock:
    """The time that is left of an invocation."""

    def __init__(self, remaining_ms: int) -> None:
        self.remaining_ms = remaining_ms

    def __call__(self) -> int:
        """As Lambda's context says it."""
        return self.remaining_ms


@pytest.mark.parametrize("receives", [1, 2])
def test_what_there_is_no_time_for_goes_back_and_what_was_answered_stands(
    receives: int, announce: Announce, serve: Serve, receive: Receive, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    clock = Clock(60_000)

    class Slow(Predictor):
        def predict_together(self, inputs: Sequence[Instances]) -> list[Predictions] | None:
            clock.remaining_ms -= 29_700
            return super().predict_together(inputs)

    messages = receive([announce(f"digits/{index}.json", b"[0, 0, 0]") for index in range(4)], receives)
    assert serve(messages, remaining_ms=clock, predictor=Slow) == [message["messageId"] for message in messages[2:]]
    assert [result(f"digits/{index}.json") is not None for index in range(4)] == [True, True, False, False]
    # Fresh ones are fetched as a group, at once; a single one only if there is time for it.
    assert ((INPUTS, "digits/3.json") in fake_s3.gets) == (receives == 1)


def test_what_is_decoded_is_not_thrown_away_for_want_of_the_time_that_decoding_took(
    announce: Announce, serve: Serve, receive: Receive
) -> None:
    clock = Clock(60_000)
    left = iter([2_000, 1_200])

    class SlowToDecode(Predictor):
        @property
        def preprocess(self) -> Callable[[bytes, str], Instances]:
            def decode(body: bytes, _key: str) -> Instances:
                time.sleep(0.4)
                clock.remaining_ms = next(left)
                return Instances({"x": np.array([json.loads(body)], np.float32)}, 1)

            return decode

    messages = receive([announce(f"digits/{name}.json", b"[0, 0, 0]") for name in "ab"], 2)
    assert serve(messages, remaining_ms=clock, predictor=SlowToDecode) == []


def test_a_call_has_no_more_inputs_than_there_is_time_for_judged_by_those_that_were_predicted(
    announce: Announce, serve: Serve
) -> None:
    """GIVEN answers so large that only one is in memory WHEN it took 0.1 s THEN 1.1 s are too few for nine at once."""
    asked = []

    class Huge(Predictions):
        size = 2**40

    class Large(Predictor):
        def predict_together(self, inputs: Sequence[Instances]) -> None:
            asked.append(len(inputs))
            time.sleep(0.1)

        def predict(self, instances: Instances) -> Predictions:
            return Huge()

    messages = [announce(f"digits/{index}.json", b"[0, 0, 0]") for index in range(10)]
    assert serve(messages, "odds.saved_model", remaining_ms=Clock(1_500), predictor=Large) == []
    assert asked[0] == len(asked) == 10
    assert asked[1] < 9


def test_what_there_is_no_time_to_decode_goes_back_and_what_was_decoded_is_answered(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    clock = Clock(60_000)
    left = iter([2_000, 1_200, 1_100, 1_050])
    decoded = []

    class SlowToDecode(Predictor):
        @property
        def preprocess(self) -> Callable[[bytes, str], Instances]:
            def decode(body: bytes, key: str) -> Instances:
                time.sleep(0.2)
                clock.remaining_ms = next(left)
                decoded.append(key)
                return Instances({"x": np.array([json.loads(body)], np.float32)}, 1)

            return decode

    messages = [announce(f"digits/{name}.json", b"[0, 0, 0]") for name in "abcd"]
    back = [message["messageId"] for message in messages[2:]]
    assert serve(messages, remaining_ms=clock, predictor=SlowToDecode) == back
    assert decoded == ["digits/a.json", "digits/b.json"]
    assert all(result(key)["predictions"] == [[0.5]] for key in decoded)


def test_time_for_the_next_input_is_judged_by_what_the_ones_before_took(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    clock = Clock(60_000)

    class Slow(Predictor):
        def predict_together(self, inputs: Sequence[Instances]) -> list[Predictions] | None:
            time.sleep(0.4)
            clock.remaining_ms = 1_300
            return super().predict_together(inputs)

    messages = [announce(f"digits/{name}.json", b"[0, 0, 0]") for name in "ab"]
    assert serve(messages, remaining_ms=clock, predictor=Slow) == [messages[1]["messageId"]]
    assert result("digits/a.json")["predictions"]


@pytest.mark.parametrize("receives", [1, 2])
def test_the_first_input_is_tried_however_little_time_there_is(
    receives: int, announce: Announce, serve: Serve, receive: Receive, result: Callable[[str], Any]
) -> None:
    messages = receive([announce(f"digits/{name}.json", b"[0, 0, 0]") for name in "ab"], receives)
    assert serve(messages, remaining_ms=lambda: 0) == [messages[1]["messageId"]]
    assert result("digits/a.json")["predictions"]


def test_fresh_messages_leave_half_of_the_time_to_those_that_come_again(
    announce: Announce, serve: Serve, receive: Receive, result: Callable[[str], Any]
) -> None:
    clock = Clock(60_000)

    class Slow(Predictor):
        def predict_together(self, inputs: Sequence[Instances]) -> list[Predictions] | None:
            clock.remaining_ms -= 12_000
            return super().predict_together(inputs)

    fresh = [announce(f"digits/fresh-{index}.json", b"[0, 0, 0]") for index in range(6)]
    again = receive([announce("digits/again.json", b"[0, 0, 0]")], 4)
    assert serve([*fresh, *again], remaining_ms=clock, predictor=Slow) == [
        message["messageId"] for message in fresh[3:]
    ]
    assert result("digits/again.json")["predictions"]


def test_the_tensors_that_are_in_memory_together_are_bounded(
    announce: Announce, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1")
    held: list[int] = []

    class Weighed(Predictor):
        def predict_together(self, inputs: Sequence[Instances]) -> list[Predictions] | None:
            held.append(sum(instances.size for instances in inputs))
            return super().predict_together(inputs)

    file = io.BytesIO()
    np.save(file, np.zeros((4000, 3), np.uint8))
    messages = [announce(f"digits/{index}.npy.gz", gzip.compress(file.getvalue())) for index in range(7)]
    assert serve(messages, "odds.saved_model", predictor=Weighed) == []
    assert sum(held) == 7 * 4000 * 3 * 4
    assert len(held) > 1
    assert max(held) <= 2**20 / 8


def test_the_objects_that_are_in_memory_together_are_bounded(
    announce: Announce, serve: Serve, result: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1")
    held, most = [0], [0]
    lock, two = threading.Lock(), threading.Barrier(2)
    decode = decoders.decode

    def weighed_fetch(*arguments: Any) -> Any:
        found = fetch(*arguments)
        with lock:
            held[0] += len(found.body)
            most[0] = max(most[0], held[0])
        if len(found.body) < 100_000:
            # Or the first may be decoded before the second is there.
            two.wait(10)
        return found

    def weighed_decode(key: str, body: bytes, *arguments: Any, **options: Any) -> Instances:
        with lock:
            held[0] -= len(body)
        return decode(key, body, *arguments, **options)

    monkeypatch.setattr(pipeline, "fetch", weighed_fetch)
    monkeypatch.setattr(decoders, "decode", weighed_decode)
    file = io.BytesIO()
    np.save(file, np.zeros((2000, 3)))
    messages = [announce(f"digits/{index}.npy", file.getvalue()) for index in range(6)]
    assert serve(messages, limits={"bytes": 200_000}) == []
    assert held == [0]
    assert 2 * 48_000 < most[0] <= 2**20 / 8

    # One that the model may have although it is larger than all of them may be together goes alone.
    file = io.BytesIO()
    np.save(file, np.zeros((6000, 3)))
    messages = [announce(f"digits/{index}.npy", file.getvalue()) for index in range(3)]
    most[0] = 0
    assert serve(messages, limits={"bytes": 200_000}) == []
    assert most == [len(file.getvalue())]
    assert most[0] > 2**20 / 8
    assert len(result("digits/2.npy")["predictions"]) == 6000


def test_the_results_that_are_in_memory_together_are_bounded(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1")
    written: list[int] = []

    class Counted(Predictor):
        def predict(self, instances: Instances) -> Predictions:
            written.append(sum(bucket == RESULTS for bucket, _ in fake_s3.objects))
            return super().predict(instances)

    def indices(first: int) -> bytes:
        file = io.BytesIO()
        np.save(file, np.array([first] + [0] * 8999, np.int32))
        return file.getvalue()

    # The fifth one is refused: 7 is not in the vocabulary.
    messages = [announce(f"digits/{index}.npy", indices(7 if index == 4 else 0)) for index in range(6)]
    assert serve(messages, "signatures.saved_model", signature="look_up", predictor=Counted) == []
    counts = [len(result(f"digits/{index}.npy").get("predictions", [])) for index in range(6)]
    assert counts == [9000, 9000, 9000, 9000, 0, 9000]
    # Three inputs are decoded together. The second answer fills what they may take; it is there before that is known,
    # and with the first one it is written before there is a third.
    assert 3 * 9000 * 4 < 2**20 / 8 < 4 * 9000 * 4
    assert len("10.0, " * 9000) < 2**20 / 16 < 2 * len("10.0, " * 9000)
    assert written == [0, 0, 2, 3, 3, 3]


def test_the_limits_of_the_registry_hold_for_a_batch(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    bodies = {"large.json": b"[0, 0, 0]" + b" " * 50, "many.json": b"[[0, 0, 0], [0, 0, 0]]", "good.json": b"[0, 0, 0]"}
    messages = [announce(f"digits/{name}", body) for name, body in bodies.items()]
    assert serve(messages, limits={"bytes": 50, "records": 1}) == []
    assert result("digits/large.json")["error"] == {
        "type": "TooLargeError",
        "message": "59 bytes; an input may have at most 50 (limits.bytes)",
    }
    assert (INPUTS, "digits/large.json") not in fake_s3.gets
    assert result("digits/many.json")["error"]["message"] == "2 instances; an input may have at most 1 (limits.records)"
    assert result("digits/good.json")["predictions"] == [[0.5]]


def test_of_an_input_that_was_refused_nothing_stays_in_memory(announce: Announce, serve: Serve) -> None:
    size = 4 * 2**20
    bodies = (b"\xff" * size, b"[" + b" " * size, b'"' + b"a" * size)
    messages = [announce(f"digits/{index}.json.gz", gzip.compress(bodies[index % 3])) for index in range(30)]
    tracemalloc.start()
    assert serve(messages) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * size


# One current result


def test_a_duplicate_event_is_done_without_a_second_prediction(
    announce: Announce, serve: Serve, fake_s3: FakeS3
) -> None:
    message = announce("digits/a.json", b"[0, 0, 0]")
    serve([message])
    first = fake_s3.objects[RESULTS, "digits/digits/a.json.json"][:]
    fake_s3.gets.clear()
    assert serve([message]) == []
    assert fake_s3.objects[RESULTS, "digits/digits/a.json.json"] == first
    assert (INPUTS, "digits/a.json") not in fake_s3.gets


def test_the_same_event_twice_in_one_batch_has_one_result(announce: Announce, serve: Serve, fake_s3: FakeS3) -> None:
    message = announce("digits/a.json", b"[0, 0, 0]")
    assert serve([message, message | {"messageId": "again"}]) == []
    assert len(fake_s3.objects[RESULTS, "digits/digits/a.json.json"]) == 1


def test_a_late_event_of_an_older_input_does_not_replace_the_newer_ones_result(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    older = announce("digits/a.json", b"no JSON", sequencer="00FFFF01")
    newer = announce("digits/a.json", b"[0, 0, 0]", sequencer="01")
    assert serve([newer]) == []
    assert serve([older]) == []
    assert result("digits/a.json")["predictions"] == [[0.5]]


@pytest.mark.parametrize(
    ("older", "newer"), [("0A", "0B"), ("0a", "0B"), ("09ff", "0A"), ("0A", "0A01"), ("FFFF", "FFFF0001")]
)
def test_sequencers_compare_padded_on_the_right_as_s3_says(
    older: str, newer: str, announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    messages = [announce("digits/a.json", b"[0, 0, 0]", sequencer=sequencer) for sequencer in (older, newer)]
    for order in (messages, messages[::-1]):
        for message in order:
            assert serve([message]) == []
        assert result("digits/a.json")["input"]["sequencer"] == newer


def test_a_corrected_upload_replaces_the_error(announce: Announce, serve: Serve, result: Callable[[str], Any]) -> None:
    serve([announce("digits/a.json", b"no JSON")])
    assert result("digits/a.json")["error"]
    serve([announce("digits/a.json", b"[0, 0, 0]")])
    assert result("digits/a.json")["predictions"] == [[0.5]]
    assert "error" not in result("digits/a.json")


def test_another_digest_predicts_the_same_input_again(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    message = announce("digits/7.png", scan(7))
    serve([message], "scans.tflite", input_format="image")
    serve([message], "scans.keras", input_format="image")
    assert result("digits/7.png")["digest"] == "scans.keras"


@pytest.mark.parametrize("faster", ["newer", "older"])
def test_another_environment_that_writes_in_between_is_taken_into_account(
    faster: str, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    versions = {
        "older": announce("digits/a.json", b"[1, 1, 1]", sequencer="01"),
        "newer": announce("digits/a.json", b"[0, 0, 0]", sequencer="02"),
    }

    def race(bucket: str, _key: str) -> None:
        fake_s3.before_put = lambda _bucket, _key: None
        assert serve([versions[faster]]) == []

    fake_s3.before_put = race
    assert serve([versions["older" if faster == "newer" else "newer"]]) == []
    assert result("digits/a.json")["input"]["sequencer"] == "02"


def test_a_result_that_was_deleted_in_between_is_written_anew(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    serve([announce("digits/a.json", b"no JSON")])

    def expire(bucket: str, key: str) -> None:
        fake_s3.before_put = lambda _bucket, _key: None
        del fake_s3.objects[bucket, key]

    fake_s3.before_put = expire
    assert serve([announce("digits/a.json", b"[0, 0, 0]")]) == []
    assert result("digits/a.json")["predictions"]


def test_a_write_that_conflicts_with_another_is_tried_again(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    attempts = itertools.count(1)

    def conflict(_bucket: str, _key: str) -> None:
        if next(attempts) == 1:
            raise refusal(409, "ConditionalRequestConflict")

    fake_s3.before_put = conflict
    assert serve([announce("digits/a.json", b"[0, 0, 0]")]) == []
    assert result("digits/a.json")["predictions"]


def test_writers_that_never_end_send_the_message_back(announce: Announce, serve: Serve, fake_s3: FakeS3) -> None:
    message = announce("digits/a.json", b"[0, 0, 0]")

    def conflict(_bucket: str, _key: str) -> None:
        raise refusal(409, "ConditionalRequestConflict")

    fake_s3.before_put = conflict
    assert serve([message]) == [message["messageId"]]


def test_what_is_no_result_document_is_written_over(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    for foreign in (b"", b"not JSON", b"[]", b'{"input": 7}', b"\xff"):
        fake_s3.upload(RESULTS, "digits/digits/a.json.json", foreign)
        assert serve([announce("digits/a.json", b"[0, 0, 0]")]) == []
        assert result("digits/a.json")["predictions"] == [[0.5]]


def test_of_a_result_only_the_beginning_is_read_which_says_whose_it_is(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    rows = b"[" + b", ".join([b"[0, 0, 0]"] * 9_000) + b"]"
    key = 'digits/", "predictions": .json'
    message = announce(key, rows)
    assert serve([message]) == []
    written = fake_s3.current(RESULTS, f"digits/{key}.json")
    assert written is not None
    assert written.size > 2 * 2**14
    fake_s3.taken.clear()
    assert serve([message]) == []
    assert len(fake_s3.objects[RESULTS, f"digits/{key}.json"]) == 1
    assert fake_s3.taken == [2**14]
    assert serve([announce(key, b"[0, 0, 0]")]) == []
    assert result(key)["predictions"] == [[0.5]]


# Keys


def test_the_key_of_a_result_holds_the_whole_key_of_the_input() -> None:
    assert result_key("digits", "digits/7.png") == "digits/digits/7.png.json"


def test_a_key_too_long_for_s3_goes_under_its_hash_with_the_full_key_inside(
    announce: Announce, serve: Serve, fake_s3: FakeS3
) -> None:
    longest = "digits/" + "e" * 1005
    assert result_key("digits", longest) == f"digits/{longest}.json"
    assert len(result_key("digits", longest)) == 1024
    too_long = "digits/" + "é" * 505
    assert serve([announce(too_long, b"[0, 0, 0]")]) == []
    key = result_key("digits", too_long)
    assert len(key.encode()) <= 1024
    stored = fake_s3.current(RESULTS, key)
    assert stored is not None
    assert json.loads(stored.body)["input"]["key"] == too_long
    assert result_key("digits", too_long + "e") != key


# What is told


def test_each_input_is_logged_with_its_key_and_whose_fault_it_was(
    announce: Announce, serve: Serve, fake_s3: FakeS3, caplog: pytest.LogCaptureFixture
) -> None:
    messages = [announce("digits/good.json", b"[0, 0, 0]"), announce("digits/bad.json", b"no JSON")]
    with caplog.at_level(logging.INFO, "inference"):
        serve(messages)
    records = {record.key: record for record in caplog.records}  # type: ignore[attr-defined]
    good: Any = records["digits/good.json"]
    bad: Any = records["digits/bad.json"]
    assert (good.levelname, good.model, good.version, good.digest) == ("INFO", "digits", "1", "odds.tflite")
    assert (bad.levelname, bad.error_type) == ("WARNING", "DecodeError")


def test_the_metrics_of_a_batch_count_predictions_errors_and_failures(
    announce: Announce, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    nonsense = {"messageId": "nonsense", "eventSource": "aws:sqs", "body": "nonsense"}
    serve([announce("digits/a.csv", b"0,0,0\n1,1,1\n"), announce("digits/b.csv", b"x,y\n"), nonsense])
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
    assert (line["Predictions"], line["Failures"], line["ColdStarts"]) == (2, 1, 1)
    assert line["PredictTime"] > 0
    assert line["InputErrors"] == [1, 0], "a value per answered input, so that their average is the share"


def test_the_inputs_of_a_large_batch_are_all_counted_with_at_most_a_hundred_values_per_line(
    announce: Announce, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html"""
    bodies = {"good": (b"[0, 0, 0]", 117), "bad": (b"no JSON", 113)}
    serve([announce(f"digits/{name}{n}.json", body) for name, (body, count) in bodies.items() for n in range(count)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
    assert [len(line["InputErrors"]) for line in lines] == [100, 100, 30]
    assert sum(sum(line["InputErrors"]) for line in lines) == 113
    assert [line.get("Predictions") for line in lines] == [117, None, None]
    for line in lines:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert {metric["Name"] for metric in directive["Metrics"]} == line.keys() - {"_aws", "Model", "Variant"}


def test_the_time_from_the_queue_to_the_result_is_measured_for_every_input_with_a_result(
    announce: Announce, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    sent_ms = int(time.time() * 1000)
    nonsense: dict[str, Any] = {"messageId": "nonsense", "eventSource": "aws:sqs", "body": "nonsense"}
    good, bad = announce("digits/good.json", b"[0, 0, 0]"), announce("digits/bad.json", b"no JSON")
    for message, ago_ms in ((good, 90_000), (bad, 5_000), (nonsense, 7_000)):
        message["attributes"] = {"SentTimestamp": str(sent_ms - ago_ms)}
    # Its clock is behind that of the queue; of the last nothing is known.
    early, unknown = announce("digits/early.json", b"[0, 0, 0]"), announce("digits/unknown.json", b"[0, 0, 0]")
    early["attributes"] = {"SentTimestamp": str(sent_ms + 3_600_000)}
    serve([good, bad, nonsense, early, unknown])
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
    took_ms = line["ResultTime"][0] - 90_000
    assert 0 <= took_ms < 60_000
    assert line["ResultTime"] == [pytest.approx(90_000 + took_ms), pytest.approx(5_000 + took_ms), 0]


def test_without_a_result_no_time_is_measured(
    announce: Announce, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve([announce("digits/a.json", b"[0, 0, 0]")])
    assert "ResultTime" not in capsys.readouterr().out


@pytest.mark.parametrize("body", [b"[0, 0, 0]", b"no JSON"])
def test_an_answer_that_is_not_written_since_another_stands_is_not_counted(
    body: bytes, announce: Announce, serve: Serve, fake_s3: FakeS3, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = announce("digits/a.json", body), announce("digits/a.json", b"[1, 1, 1]")

    def overtake(_bucket: str, _key: str) -> None:
        fake_s3.before_put = lambda _bucket, _key: None
        serve([newer])

    fake_s3.before_put = overtake
    assert serve([older]) == []
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
    assert [(line["Predictions"], line.get("InputErrors"), line["Failures"]) for line in lines] == [
        (1, [0], 0),
        (0, None, 0),
    ]
