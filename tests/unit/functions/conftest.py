"""Models as the inference function serves them, and an S3 in memory."""

import itertools
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from inference import HOOKS_FILE, batch, s3, surroundings
from inference import config as configuration
from inference.config import Config
from inference.isolation import Isolation
from inference.predictor import Predictor
from unit.functions.artifacts import Artifacts, build, runtime_of
from unit.functions.fake_s3 import INPUTS, RESULTS, FakeS3

# `make soak` takes it: many more examples than the default.
settings.register_profile("soak", max_examples=1_000)

_numbers = itertools.count()


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """The models, made once per run."""
    return build(tmp_path_factory.mktemp("artifacts"))


def document_of(artifact: str, runtime: str, **fields: Any) -> dict[str, Any]:
    """A model's document, as Terraform's module `registry` makes it from an entry (tests/unit/test_facts.py)."""
    return {
        "contract": configuration.CONTRACT,
        "name": "digits",
        "version": "1",
        "digest": artifact,
        "runtime": runtime,
        "signature": "serving_default",
        "retries": 5,
        "input": {"format": "json"},
        "output": {},
        "limits": {},
        "route": {"prefixes": ["digits/"], "suffixes": []},
        **fields,
    }


@pytest.fixture
def make_config(artifacts: Artifacts) -> Callable[..., Config]:
    """Configurations of served models, made from the environment that Terraform would set."""

    def make(
        artifact: str,
        *,
        signature: str = "serving_default",
        input_format: str = "json",
        labels: list[str] | None = None,
        **fields: Any,
    ) -> Config:
        folder = artifacts.folder(artifact)
        if labels is not None:
            (folder / "labels.txt").write_text("\n".join(labels) + "\n")
        document = document_of(
            artifact,
            runtime_of(artifact),
            signature=signature,
            input={"format": input_format} | fields.pop("input", {}),
            output=({"labels": "labels.txt"} if labels is not None else {})
            | ({"top_k": fields.pop("top_k")} if "top_k" in fields else {})
            | fields.pop("output", {}),
            **fields,
        )
        environment = {
            "MODELYARD_MODEL": json.dumps(document),
            "MODELYARD_WEIGHTS": str(artifacts.root),
            "MODELYARD_RESULTS": RESULTS,
        }
        return configuration.read(environment)

    return make


@pytest.fixture
def make_predictor(make_config: Callable[..., Config]) -> Callable[..., Predictor]:
    """Predictors of these models."""
    return lambda artifact, **fields: Predictor(make_config(artifact, **fields))


@pytest.fixture
def hooked(artifacts: Artifacts) -> Callable[[str, str], str]:
    """Gives one of the artifacts hooks; returns the name of that artifact."""

    def make(artifact: str, source: str) -> str:
        name = f"hooked-{next(_numbers)}-{artifact}"
        folder = shutil.copytree(artifacts.folder(artifact), artifacts.folder(name))
        (folder / HOOKS_FILE).write_text(source)
        return name

    return make


@pytest.fixture
def environment(artifacts: Artifacts) -> Callable[..., dict[str, str]]:
    """The environment that Terraform and Lambda give the function."""

    def make(artifact: str, runtime: str, input_format: str = "json", **variables: str) -> dict[str, str]:
        return {
            "MODELYARD_MODEL": json.dumps(document_of(artifact, runtime, input={"format": input_format})),
            "MODELYARD_WEIGHTS": str(artifacts.root),
            "MODELYARD_RESULTS": RESULTS,
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            **variables,
        }

    return make


@pytest.fixture
def fake_s3(monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    """The S3 that the inference function speaks to."""
    fake = FakeS3()
    monkeypatch.setattr(s3, "client", lambda: fake)
    return fake


@pytest.fixture
def announce(fake_s3: FakeS3) -> Callable[..., dict[str, Any]]:
    """Uploads an input and gives the queue message that S3 sends about it."""
    sequencers = itertools.count(0x0055AED6DCD90281E5)

    def upload(
        key: str, body: bytes, *, sequencer: str | None = None, encoding: str | None = None, **changes: Any
    ) -> dict[str, Any]:
        stored = fake_s3.upload(INPUTS, key, body, content_encoding=encoding)
        entry = {
            "key": key.replace(" ", "+"),
            "size": len(body),
            "eTag": stored.etag.strip('"'),
            "versionId": stored.version_id,
            "sequencer": sequencer or f"{next(sequencers):X}",
        } | changes
        event = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": INPUTS}, "object": entry}}
        return {
            "messageId": f"message-{stored.version_id}",
            "eventSource": "aws:sqs",
            "body": json.dumps({"Records": [event]}),
        }

    return upload


@pytest.fixture
def serve(fake_s3: FakeS3, make_config: Callable[..., Config]) -> Callable[..., list[str]]:
    """Serve messages with a model whose rows are independent; returns the ids of the messages that go back.

    It is all done in this process, unless `isolate` gives another.
    """

    def run(
        messages: list[dict[str, Any]],
        artifact: str = "odds.tflite",
        remaining_ms: Callable[[], int] = lambda: 60_000,
        predictor: Callable[[Config], Predictor] = Predictor,
        isolate: Callable[[Config], Isolation | None] = lambda _config: None,
        **fields: Any,
    ) -> list[str]:
        config = make_config(artifact, **{"batch": {"rows": 64}, **fields})
        response = batch.serve(
            messages,
            config,
            predictor(config),
            request_id="request-1",
            cold_start=True,
            remaining_ms=remaining_ms,
            surroundings=surroundings.real()._replace(isolate=isolate),
        )
        return [failure["itemIdentifier"] for failure in response["batchItemFailures"]]

    return run


@pytest.fixture
def result(fake_s3: FakeS3) -> Callable[[str], Any]:
    """The result that is stored for an input's key."""

    def read(key: str) -> Any:
        stored = fake_s3.current(RESULTS, f"digits/{key}.json")
        return None if stored is None else json.loads(stored.body)

    return read
