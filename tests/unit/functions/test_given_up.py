"""An input whose last attempt fails, or ends the function, has a result that says so until an answer replaces it."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from inference.errors import ModelError
from inference.predictions import Predictions
from inference.predictor import Predictor
from inference.runtimes import Model
from inference.s3 import with_obstore
from inference.tensors import Instances
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3, refusal

Announce = Callable[..., dict[str, Any]]
Serve = Callable[..., list[str]]

KEY = "digits/a.json"

#: The document of `conftest` says it.
RETRIES = 5


class Killed(BaseException):
    """The end of the environment."""


class Killing(Predictor):
    """It ends the environment, whatever the input."""

    def predict(self, instances: Instances) -> Predictions:
        raise Killed

    predict_together = predict  # type: ignore[assignment]


class Failing(Predictor):
    """Its own code fails."""

    def predict(self, instances: Instances) -> Predictions:
        raise ModelError("hooks: postprocess raised KeyError: 'scores' (line 7)")

    def predict_together(self, inputs: Sequence[Instances]) -> None:
        return None


class Missing(Predictor):
    """Its weights are gone."""

    def load(self) -> Model:
        raise ModelError("no weights at /mnt/model/digest")


def received(message: dict[str, Any], receives: int) -> dict[str, Any]:
    return message | {"attributes": {"ApproximateReceiveCount": str(receives)}}


def reasons(fake: FakeS3, key: str = KEY) -> list[str]:
    """How each version of a result was written, in order."""
    return [stored.reason for stored in fake.objects.get((RESULTS, f"digits/{key}.json"), [])]


@pytest.mark.parametrize("receives", range(1, RETRIES))
def test_an_earlier_attempt_leaves_no_result(receives: int, announce: Announce, serve: Serve, fake_s3: FakeS3) -> None:
    with pytest.raises(Killed):
        serve([received(announce(KEY, b"[0, 0, 0]"), receives)], predictor=Killing)
    assert serve([received(announce(KEY, b"[0, 0, 0]"), receives)], predictor=Failing) != []
    assert reasons(fake_s3) == []


@pytest.mark.parametrize(("retries", "receives"), [(5, 5), (5, 6), (1, 1), (2, 2)])
def test_an_input_that_ends_the_function_at_its_last_attempt_has_a_result(
    retries: int, receives: int, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    message = received(announce(KEY, b"[0, 0, 0]"), receives)
    with pytest.raises(Killed):
        serve([message], predictor=Killing, retries=retries)
    document = result(KEY)
    assert list(document) == [
        *("model", "version", "digest", "variant", "input", "provisional", "error"),
        *("timing_ms", "request_id", "finished_at"),
    ]
    assert document["provisional"] is True
    assert document["error"]["type"] == "GivenUpError"
    assert f"its last attempt, number {receives}, did not finish" in document["error"]["message"]
    stored = fake_s3.current(INPUTS, KEY)
    assert stored is not None
    assert document["input"]["version_id"] == stored.version_id
    assert document["timing_ms"] == {
        "fetch": None,
        "decode": None,
        "predict": None,
        "batch_size": 0,
        "cold_start": True,
    }
    assert reasons(fake_s3) == ["CompleteMultipartUpload"]


@pytest.mark.parametrize("neighbour", [False, True])
def test_an_input_whose_result_cannot_be_looked_up_at_its_last_attempt_has_a_result(
    neighbour: bool, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    messages = [received(announce(key, b"[0, 0, 0]"), RETRIES) for key in (KEY, "digits/b.json")[: 1 + neighbour]]

    def fail(bucket: str, key: str) -> None:
        if bucket == RESULTS and KEY in key:
            raise refusal(503, "SlowDown")

    fake_s3.before_get = fail
    assert serve(messages) == [messages[0]["messageId"]]
    fake_s3.before_get = lambda _bucket, _key: None
    assert result(KEY)["provisional"] is True
    assert result(KEY)["error"]["type"] == "StorageError"
    assert "SlowDown" in result(KEY)["error"]["message"]
    assert not neighbour or result("digits/b.json")["predictions"] == [[0.5]]


def test_what_was_given_up_is_answered_once_it_is_redriven(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    message = announce(KEY, b"[0, 0, 0]")
    with pytest.raises(Killed):
        serve([received(message, RETRIES)], predictor=Killing)
    assert serve([received(message, 1)]) == []
    assert result(KEY)["predictions"] == [[0.5]]
    assert "provisional" not in result(KEY)
    assert reasons(fake_s3) == ["CompleteMultipartUpload", "PutObject"]


def test_a_last_attempt_that_succeeds_replaces_its_own_provisional_result(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    assert serve([received(announce(KEY, b"[0, 0, 0]"), RETRIES)]) == []
    assert result(KEY)["predictions"] == [[0.5]]
    assert reasons(fake_s3) == ["CompleteMultipartUpload", "PutObject"]


def test_a_last_attempt_that_fails_says_why(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    message = received(announce(KEY, b"[0, 0, 0]"), RETRIES)
    assert serve([message], predictor=Failing) == [message["messageId"]]
    assert result(KEY)["provisional"] is True
    assert result(KEY)["error"] == {
        "type": "ModelError",
        "message": "hooks: postprocess raised KeyError: 'scores' (line 7)",
    }
    assert reasons(fake_s3) == ["CompleteMultipartUpload"] * 2


def test_a_model_that_cannot_be_loaded_at_the_last_attempt_says_why(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    last, earlier = announce(KEY, b"[0, 0, 0]"), announce("digits/b.json", b"[0, 0, 0]")
    with pytest.raises(ModelError):
        serve([received(last, RETRIES), received(earlier, 2)], predictor=Missing)
    assert result(KEY)["error"] == {"type": "ModelError", "message": "no weights at /mnt/model/digest"}
    assert result(KEY)["provisional"] is True
    assert result("digits/b.json") is None


def test_an_input_that_is_refused_at_its_last_attempt_has_a_final_result(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    assert serve([received(announce(KEY, b"no JSON"), RETRIES)]) == []
    assert result(KEY)["error"]["type"] == "DecodeError"
    assert "provisional" not in result(KEY)


def test_a_duplicate_that_answers_beside_the_last_attempt_is_not_overwritten(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    """The duplicate's answer is written between the look for a result and the provisional one."""
    message = announce(KEY, b"[0, 0, 0]")

    def answer_first(_bucket: str, _key: str) -> None:
        fake_s3.before_put = lambda _bucket, _key: None
        assert serve([message]) == []

    fake_s3.before_put = answer_first
    assert serve([received(message, RETRIES)], predictor=Killing) == []
    assert result(KEY)["predictions"] == [[0.5]]
    assert reasons(fake_s3) == ["PutObject"]


def test_a_duplicate_answers_while_the_last_attempt_is_under_way(
    announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    message = announce(KEY, b"[0, 0, 0]")

    class Slow(Failing):
        def predict(self, instances: Instances) -> Predictions:
            assert result(KEY)["provisional"] is True
            assert serve([message]) == []
            raise ModelError("too late")

    assert serve([received(message, RETRIES)], predictor=Slow) == [message["messageId"]]
    assert result(KEY)["predictions"] == [[0.5]]
    assert reasons(fake_s3) == ["CompleteMultipartUpload", "PutObject"]


@pytest.mark.parametrize("answered_by", ["its own digest", "another digest", "a newer input"])
def test_no_answer_and_no_newer_input_is_overwritten(
    answered_by: str, announce: Announce, serve: Serve, fake_s3: FakeS3, result: Callable[[str], Any]
) -> None:
    message = announce(KEY, b"[0, 0, 0]")
    serve([announce(KEY, b"[1, 1, 1]") if answered_by == "a newer input" else message])
    before, artifact = result(KEY), "odds.onnx" if answered_by == "another digest" else "odds.tflite"
    left = serve([received(message, RETRIES)], artifact, predictor=Failing)
    assert left == ([message["messageId"]] if answered_by == "another digest" else [])
    assert result(KEY) == before
    assert reasons(fake_s3) == ["PutObject"]


def test_a_newer_input_that_was_given_up_is_not_overwritten_by_an_older_one(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    older, newer = announce(KEY, b"[0, 0, 0]"), announce(KEY, b"[1, 1, 1]")
    serve([received(newer, RETRIES)], predictor=Failing)
    before = result(KEY)
    assert serve([older]) == serve([received(older, RETRIES)]) == []
    assert result(KEY) == before


def test_an_older_inputs_answer_gives_way_to_a_newer_input_that_is_given_up(
    announce: Announce, serve: Serve, result: Callable[[str], Any]
) -> None:
    older, newer = announce(KEY, b"[0, 0, 0]"), announce(KEY, b"[1, 1, 1]")
    assert serve([older]) == []
    serve([received(newer, RETRIES)], predictor=Failing)
    stands = json.loads(newer["body"])["Records"][0]["s3"]["object"]["versionId"]
    assert (result(KEY)["input"]["version_id"], result(KEY)["provisional"]) == (stands, True)


def test_the_client_for_provisional_results_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer to make than a provisional result to write, and they are written in many threads."""
    made = []

    def make() -> FakeS3:
        made.append(FakeS3())
        time.sleep(0.05)
        return made[-1]

    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr(with_obstore, "_botocore", make)
    objects = with_obstore.ObstoreObjects()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: objects.write_unannounced(RESULTS, key, b"{}", None), "abcd"))
    (client,) = made
    assert {key for _, key in client.objects} == set("abcd")


def test_s3_that_refuses_a_provisional_result_does_not_keep_the_input_from_its_answer(
    announce: Announce,
    serve: Serve,
    fake_s3: FakeS3,
    result: Callable[[str], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse_once(_bucket: str, _key: str) -> None:
        fake_s3.before_put = lambda _bucket, _key: None
        raise refusal(503, "SlowDown")

    fake_s3.before_put = refuse_once
    with caplog.at_level(logging.ERROR, "inference"):
        assert serve([received(announce(KEY, b"[0, 0, 0]"), RETRIES)]) == []
    assert result(KEY)["predictions"] == [[0.5]]
    assert [record.getMessage() for record in caplog.records] == ["its provisional result could not be written"]
