"""Thousands of uploads at once, some of which do what they can to spoil it: each ends where an operator looks."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import client, run_modelctl
from e2e.test_modelctl import SCAN
from local_stack.support import eventually
from modelctl import console, paths
from modelctl.local.layout import Layout, write_whole
from modelctl.local.stack import LocalStack
from modelctl.packaging import packages
from modelctl.terraform import program

#: Uploads over the three models of a burst, and over the three of all faults together.
BURST, FAULTY = 3_000, 10_000

#: The most calls of one model at once, and seconds that each input of the slow one takes.
CEILING, SLOW_S = 2, 1.0
QUICK, SLOW = ("quick-one", "quick-two"), "slow"

MODEL = """\
  {name}:
    artifact: {checkout}/models/digits/artifact
    runtime: litert
    version: "1"
    hooks: {checkout}/tests/endurance/faulty_hooks.py
    concurrency: {{maximum: {ceiling}}}
    env: {{SLOW_S: "{slow_s}"}}
    timeout_s: {timeout_s}
    memory_mb: 256
    output: {{labels: labels.txt}}
"""

#: Of a thousand inputs of a model, those that are not well; `faulty_hooks` says what each does.
SHARES = {
    "sick": {"exit": 20, "segfault": 20, "hang": 5, "memory": 10, "raise": 30, "poison": 30, "killed": 20},
    # Enough environments end while the weights are gone, and the next ones cannot load the model.
    "vanishing": {"killed": 50},
    "well": {"poison": 50},
}
#: A call of these models may take this many seconds, and what fails is tried again after somewhat more.
TIMEOUT_S, AGAIN_S = 15, 20
#: How long weights are gone after a function first missed them: less than it takes to use up an input's tries.
GONE_S = 20

REFUSED, GIVEN_UP, ANSWERED = "refused", "provisional and dead letter", "answered"
#: What the provisional result of an input says that is given up, unless the last attempt ended the whole function.
CAUSES = {
    "exit": "exited with status 3",
    "segfault": "was ended by SIGSEGV",
    "hang": "did not do so within",
    "memory": "out of memory",
    "raise": "KeyError: 'calibration'",
}
FUNCTION_ENDED = "its last attempt, number 5, did not end"
#: Where an input ends. What is not named is answered.
ENDS = {"poison": REFUSED} | dict.fromkeys(CAUSES, GIVEN_UP)

#: Calls of S3 that fail: their method and bucket, every how many, and whether they are carried out nevertheless.
FAILING = (
    ("GET", "inputs", 10, False),
    ("GET", "results", 10, False),
    ("PUT", "results", 20, False),
    ("PUT", "results", 20, True),
)


@dataclass(frozen=True)
class Loaded:
    """Models that are ready for uploads."""

    home: Path
    env: dict[str, str]
    deployment: dict[str, Any]

    def client(self, service: str) -> Any:
        return client(self.env, service)

    @property
    def results(self) -> str:
        bucket: str = self.deployment["buckets"]["results"]
        return bucket

    def upload(self, keys: Collection[str]) -> None:
        s3, body, bucket = self.client("s3"), SCAN.read_bytes(), self.deployment["buckets"]["inputs"]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=body), keys))

    def answered(self, model: str) -> int:
        """How many inputs of a model have a result."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.results, Prefix=f"{model}/")
        return sum(page["KeyCount"] for page in pages)

    def waiting(self, models: Collection[str]) -> int:
        """How many messages the queues of models have, hidden ones too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        sqs = self.client("sqs")
        urls = [self.deployment["models"][model]["queue_url"] for model in models]
        found = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] for url in urls]
        return sum(int(attributes[name]) for attributes in found for name in names)

    def is_done(self, models: Collection[str]) -> bool:
        """Whether no message waits, also some seconds later: S3 announces an upload a moment after it."""
        for _ in range(5):
            if self.waiting(models):
                return False
            time.sleep(1)
        return True

    def written(self, models: Collection[str]) -> dict[str, list[dict[str, Any]]]:
        """Every result that was ever written, by the key of its input, the newest first."""
        s3 = self.client("s3")
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=self.results)
        listed = [
            version for page in pages for version in page["Versions"] if version["Key"].partition("/")[0] in models
        ]

        def read(version: dict[str, Any]) -> dict[str, Any]:
            named = {"Bucket": self.results, "Key": version["Key"], "VersionId": version["VersionId"]}
            document: dict[str, Any] = json.loads(s3.get_object(**named)["Body"].read())
            return document

        found: dict[str, list[dict[str, Any]]] = {}
        with ThreadPoolExecutor(8) as pool:
            for version, document in zip(listed, pool.map(read, listed), strict=True):
                key = version["Key"].partition("/")[2].removesuffix(".json")
                found.setdefault(key, []).append(document)
        return found

    def dead(self, models: Collection[str]) -> Counter[str]:
        """How often each key is announced by a dead letter; they are hidden from now on."""
        sqs, keys = self.client("sqs"), Counter[str]()
        for model in models:
            url = self.deployment["models"][model]["dead_letter_queue_url"]
            asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 3600}
            while messages := sqs.receive_message(**asked).get("Messages"):
                bodies = [json.loads(message["Body"]) for message in messages]
                keys.update(record["s3"]["object"]["key"] for body in bodies for record in body["Records"])
        return keys

    def log(self, model: str) -> Iterator[dict[str, Any]]:
        """The lines of a model's log that are JSON; none before its first call."""
        logs, group = self.client("logs"), f"/aws/lambda/modelyard-{model}"
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            yield from (json.loads(event["message"]) for event in page["events"] if event["message"].startswith("{"))

    def most_calls_at_once(self, model: str) -> int:
        times = sorted(
            (line["time"], 1 if line["type"] == "platform.start" else -1)
            for line in self.log(model)
            if line.get("type") in ("platform.start", "platform.report")
        )
        return max(accumulate(step for _, step in times))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("load")
    home, registry = folder / "stack", folder / "registry.yaml"
    shared = {"checkout": paths.CHECKOUT, "ceiling": CEILING}
    models = [MODEL.format(name=name, slow_s=0, timeout_s=60, **shared) for name in QUICK]
    models.append(MODEL.format(name=SLOW, slow_s=SLOW_S, timeout_s=60, **shared))
    models += [MODEL.format(name=name, slow_s=0, timeout_s=TIMEOUT_S, **shared) for name in SHARES]
    registry.write_text("version: 1\nmodels:\n" + "".join(models))
    packages.build()
    try:
        up = run_modelctl(home, "up", "--registry", registry, timeout_s=900)
        assert up.status == 0, up.err
        env = {**program.clean_environment(), **run_modelctl(home, "env", "--json").document}
        loaded = Loaded(home, env, program.Root(env).outputs()["deployment"])
        # The platform's results have no versions. Here they show what was ever written.
        loaded.client("s3").put_bucket_versioning(Bucket=loaded.results, VersioningConfiguration={"Status": "Enabled"})
        for model in SHARES:
            loaded.client("sqs").set_queue_attributes(
                QueueUrl=loaded.deployment["models"][model]["queue_url"],
                Attributes={"VisibilityTimeout": str(AGAIN_S)},
            )
        yield loaded
    finally:
        LocalStack(home).stop()


def by_and_by(what: Callable[[], Any], uploads: int) -> None:
    """Wait for what takes long, also on a machine that has other work; asking more often would slow it further."""
    eventually(what, timeout_s=600 + uploads, every_s=2)


def test_a_burst_is_answered_completely_and_a_slow_model_slows_only_itself(loaded: Loaded) -> None:
    models, each = (*QUICK, SLOW), BURST // 3
    loaded.upload([f"{model}/good-{number}.png" for number in range(each) for model in models])

    by_and_by(lambda: all(loaded.answered(model) == each for model in QUICK), BURST)
    meanwhile = loaded.answered(SLOW)
    by_and_by(lambda: loaded.answered(SLOW) == each, BURST)
    by_and_by(lambda: loaded.waiting(models) == 0, BURST)

    at_once = {model: loaded.most_calls_at_once(model) for model in models}
    print(f"\nburst of {BURST:,}: {meanwhile:,} of {each:,} slow ones were answered when all others were; {at_once}")
    assert meanwhile < each / 2
    assert set(at_once.values()) == {CEILING}
    written = loaded.written(models)
    assert len(written) == 3 * each
    assert [key for key, documents in written.items() if len(documents) != 1 or "error" in documents[0]] == []
    assert loaded.dead(models) == {}


def test_whatever_goes_wrong_each_upload_ends_where_an_operator_looks(loaded: Loaded) -> None:
    keys = faulty_keys(FAULTY)
    weights = weights_of(loaded, "vanishing")
    hidden = weights.with_name(f"{weights.name}.gone")
    let_s3_fail(loaded)
    weights.rename(hidden)
    try:
        with ThreadPoolExecutor(1) as pool:
            uploading = pool.submit(loaded.upload, keys)
            by_and_by(lambda: missed_weights(loaded), FAULTY)
            time.sleep(GONE_S)
            hidden.rename(weights)
            uploading.result()
        by_and_by(lambda: loaded.is_done(SHARES), FAULTY)
    finally:
        Layout(loaded.home).faults.unlink()

    written, dead = loaded.written(SHARES), loaded.dead(SHARES)
    ends = {key: end_of(written.get(key, []), dead[key]) for key in keys}
    report(ends)
    assert written.keys() == set(keys)
    assert dead.keys() <= set(keys)
    wrong = {key: end for key, end in ends.items() if end != ENDS.get(fault_of(key), ANSWERED)}
    assert wrong == {}
    reasons = {key: written[key][0]["error"]["message"] for key, end in ends.items() if end == GIVEN_UP}
    unexplained = {
        key: reason
        for key, reason in reasons.items()
        if CAUSES[fault_of(key)] not in reason and not reason.startswith(FUNCTION_ENDED)
    }
    assert unexplained == {}
    assert all(loaded.most_calls_at_once(model) <= CEILING for model in SHARES)


def faulty_keys(count: int) -> list[str]:
    """Uploads over all models, each with its share of each fault, in an order that is always the same."""
    each, keys = count // len(SHARES), []
    for model, shares in SHARES.items():
        bad = [fault for fault, share in shares.items() for _ in range(each * share // 1000)]
        faults = bad + ["good"] * (each - len(bad))
        keys += [f"{model}/{fault}-{number}.png" for number, fault in enumerate(faults)]
    random.Random(13).shuffle(keys)  # noqa: S311 - no secret
    return keys


def fault_of(key: str) -> str:
    return key.rpartition("/")[2].partition("-")[0]


def weights_of(loaded: Loaded, model: str) -> Path:
    """The folder of a model's weights on the emulated file system."""
    (folder,) = Layout(loaded.home).efs.glob(f"*/models/{model}/{'?' * 64}")
    return folder


def let_s3_fail(loaded: Loaded) -> None:
    """Every tenth call of each kind by a function fails from now on; only functions make these calls meanwhile."""
    buckets = loaded.deployment["buckets"]
    faults = [
        {
            "method": method,
            "path": f"/{buckets[bucket]}/.+",
            "every": every,
            "status": 500 if done else 503,
            "code": "InternalError" if done else "SlowDown",
            "done": done,
        }
        for method, bucket, every, done in FAILING
    ]
    write_whole(Layout(loaded.home).faults, json.dumps(faults))


def missed_weights(loaded: Loaded) -> bool:
    """Whether a function had no weights to load."""
    return any("ModelError" in json.dumps(line) for line in loaded.log("vanishing"))


def end_of(documents: Sequence[dict[str, Any]], dead_letters: int) -> str:
    """Where an input ended, by the results that were written for it and by the letters that announce it."""
    final = [document for document in documents if not document.get("provisional")]
    match len(final), dead_letters:
        case 0, 1 if documents:
            return GIVEN_UP
        case 1, 0 if documents[0] == final[0]:
            return REFUSED if "error" in final[0] else ANSWERED
        case 0, 0:
            return "lost"
        case 0 | 1, _:
            return f"{len(documents)} results, {dead_letters} dead letters"
        case _:
            return "two results"


def report(ends: dict[str, str]) -> None:
    """Print where the inputs of each model and fault ended."""
    counts = Counter((key.partition("/")[0], fault_of(key), end) for key, end in ends.items())
    rows = [(model, fault, end, str(count)) for (model, fault, end), count in sorted(counts.items())]
    print()
    console.table(("model", "input", "ended as", "uploads"), rows, right=("uploads",))
    lost, twice = (sum(end == wrong for end in ends.values()) for wrong in ("lost", "two results"))
    print(f"{len(ends):,} uploads: {lost} lost, {twice} with two results")
