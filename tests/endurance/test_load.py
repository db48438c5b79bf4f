"""Thousands of uploads at once, some of them harmful: each ends where an operator looks."""

import json
import random
import re
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

QUICK, SLOW = ("quick-one", "quick-two"), "slow"
#: The most calls of each model at once. AWS allows no ceiling below 2.
CEILINGS = {"quick-one": 2, "quick-two": 3, "slow": 4, "sick": 4, "vanishing": 2, "well": 3}
#: More than any of them, so that it is the registry's ceiling that holds and not the machine's.
PROCESSORS = 8

MODEL = """\
  {name}:
    artifact: {checkout}/models/digits/artifact
    runtime: litert
    version: "1"
    hooks: {checkout}/tests/endurance/faulty_hooks.py
    concurrency: {{maximum: {ceiling}}}
    timeout_s: {timeout_s}
    memory_mb: 256
    output: {{labels: labels.txt}}
"""

#: Of a thousand inputs of a model, those that are not well; `faulty_hooks` says what each does.
SHARES = {
    "sick": {"exit": 20, "segfault": 20, "hang": 3, "memory": 10, "raise": 30, "poison": 30, "killed": 20},
    # Enough environments end while the weights are gone, and the next ones cannot load the model.
    "vanishing": {"killed": 50},
    "well": {"poison": 50},
}
#: A call of the models of the burst may take this many seconds: it is not what ends an input of the slow one.
PATIENCE_S = 900
#: A call of the models with faults may take this many seconds, and what fails is tried again after somewhat more.
TIMEOUT_S, AGAIN_S = 30, 35
#: How long weights are gone after a function first missed them: less than it takes to use up an input's tries.
GONE_S = 20

ANSWERED, REFUSED, GIVEN_UP = "answered", "refused", "given up"
_SERVING = "CrashError: the process serving the input"
#: Where an input with a fault ends, and the error that its result then says, as a regular expression.
ENDS = {
    "poison": (REFUSED, "DecodeError: no scan"),
    "exit": (GIVEN_UP, f"{_SERVING} exited with status 3"),
    "segfault": (GIVEN_UP, f"{_SERVING} was killed by SIGSEGV"),
    "hang": (
        GIVEN_UP,
        r"TooLongError: the process serving the input did not finish within \d+\.\d s, "
        "all that was left of timeout_s, or half of it while others waited; raise timeout_s to give it more",
    ),
    # The function ends its child process at nearly all of its memory, and the system does so at all of it.
    "memory": (
        GIVEN_UP,
        r"CrashError: out of memory: the process serving the input took \d+ MB in addition to the function's own "
        rf"\d+ MB; the function has 256 MB \(memory_mb\)|{_SERVING} was killed by SIGKILL; "
        r"a system that is out of memory kills processes this way \(memory_mb is 256\)",
    ),
    "raise": (GIVEN_UP, r"ModelError: hooks: preprocess raised KeyError: 'calibration' \(line \d+\)"),
}

#: What the result of a last attempt says that did not come to an end of its own. Only the log shows whether it is true.
ENDED_THE_FUNCTION = "GivenUpError: its last attempt, number 5, did not finish: "
NOT_TAKEN_UP = "GivenUpError: its last attempt, number 5, did not reach it: "

#: A last attempt may meet the calls of S3 that fail below, four times in a row.
STORAGE = "StorageError: "

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
        lines = list(self.log(model))
        start, end = (
            {line["record"]["requestId"]: line["time"] for line in lines if line.get("type") == kind}
            for kind in ("platform.start", "platform.report")
        )
        # An initialisation that fails is reported without a start.
        assert start.keys() <= end.keys()
        steps = sorted([(start[call], 1) for call in start] + [(end[call], -1) for call in start])
        return max(accumulate(step for _, step in steps))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("load")
    home, registry = folder / "stack", folder / "registry.yaml"
    models = [
        MODEL.format(
            name=name, checkout=paths.CHECKOUT, ceiling=ceiling, timeout_s=TIMEOUT_S if name in SHARES else PATIENCE_S
        )
        for name, ceiling in CEILINGS.items()
    ]
    registry.write_text("version: 1\nmodels:\n" + "".join(models))
    packages.build()
    try:
        up = run_modelctl(home, "up", "--registry", registry, timeout_s=900)
        assert up.status == 0, up.err
        env = {**program.clean_environment(), **run_modelctl(home, "env", "--json").document}
        loaded = Loaded(home, env, program.Root(env).outputs()["deployment"])
        write_whole(Layout(home).processors, str(PROCESSORS))
        # The platform's results have no versions. Here they show what was ever written.
        loaded.client("s3").put_bucket_versioning(Bucket=loaded.results, VersioningConfiguration={"Status": "Enabled"})
        for model, again_s in {SLOW: PATIENCE_S, **dict.fromkeys(SHARES, AGAIN_S)}.items():
            loaded.client("sqs").set_queue_attributes(
                QueueUrl=loaded.deployment["models"][model]["queue_url"],
                Attributes={"VisibilityTimeout": str(again_s)},
            )
        yield loaded
    finally:
        LocalStack(home).stop()


def by_and_by(what: Callable[[], Any], uploads: int) -> None:
    """Wait for what takes long, also on a machine that has other work; asking more often would slow it further."""
    eventually(what, timeout_s=600 + uploads, every_s=2)


def test_a_burst_is_answered_completely_and_a_slow_model_slows_only_itself(loaded: Loaded) -> None:
    models, each = (*QUICK, SLOW), BURST // 3
    held = held_file(loaded, SLOW)
    held.touch()
    started = time.monotonic()
    loaded.upload([f"{model}/good-{number}.png" for number in range(each) for model in models])

    by_and_by(lambda: all(loaded.answered(model) == each for model in QUICK), BURST)
    meanwhile, quick_s = loaded.answered(SLOW), time.monotonic() - started
    held.unlink()
    by_and_by(lambda: loaded.answered(SLOW) == each, BURST)
    by_and_by(lambda: loaded.waiting(models) == 0, BURST)

    at_once = {model: loaded.most_calls_at_once(model) for model in models}
    report_burst(at_once, quick_s, meanwhile)
    assert meanwhile == 0
    assert at_once == {model: CEILINGS[model] for model in models}
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
    started = time.monotonic()
    try:
        with ThreadPoolExecutor(1) as pool:
            uploading = pool.submit(loaded.upload, keys)
            by_and_by(lambda: missed_weights(loaded), FAULTY)
            time.sleep(GONE_S)
            hidden.rename(weights)
            uploading.result()
        by_and_by(lambda: loaded.is_done(SHARES), FAULTY)
        seconds = time.monotonic() - started
    finally:
        Layout(loaded.home).faults.unlink()

    written, dead = loaded.written(SHARES), loaded.dead(SHARES)
    ends = {key: end_of(written.get(key, []), dead[key]) for key in keys}
    errors = {key: error_of(written[key][0]) for key, end in ends.items() if end in (REFUSED, GIVEN_UP)}
    report(ends, errors, seconds)
    assert written.keys() == set(keys)
    assert dead.keys() <= set(keys)
    wrong = {key: end for key, end in ends.items() if end != ENDS.get(fault_of(key), (ANSWERED, ""))[0]}
    assert wrong == {}
    failed, left_out = failed_calls(loaded, "sick"), not_taken_up(loaded, "sick")
    unexplained = {
        key: error
        for key, error in errors.items()
        if not re.fullmatch(ENDS[fault_of(key)][1], error)
        and not (error.startswith(STORAGE) and ends[key] == GIVEN_UP)
        and not (error.startswith(ENDED_THE_FUNCTION) and written[key][0]["request_id"] in failed)
        and not (error.startswith(NOT_TAKEN_UP) and (written[key][0]["request_id"], key) in left_out)
    }
    assert unexplained == {}
    assert {model: loaded.most_calls_at_once(model) for model in SHARES} == {model: CEILINGS[model] for model in SHARES}


def faulty_keys(count: int) -> list[str]:
    """Uploads over all models, each with its share of each fault, in an order that is always the same."""
    keys = []
    for place, (model, shares) in enumerate(SHARES.items()):
        each = (count + place) // len(SHARES)
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


def held_file(loaded: Loaded, model: str) -> Path:
    """While it exists, the model answers nothing."""
    return weights_of(loaded, model).with_name("held")


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


def failed_calls(loaded: Loaded, model: str) -> set[str]:
    """The ids of the calls that ended with the whole function."""
    reports = [line["record"] for line in loaded.log(model) if line.get("type") == "platform.report"]
    return {record["requestId"] for record in reports if record["status"] != "success"}


def not_taken_up(loaded: Loaded, model: str) -> set[tuple[str, str]]:
    """The ids of calls, and the keys of inputs that these had no time for."""
    told = [line for line in loaded.log(model) if line.get("message", "").startswith("not started in this invocation")]
    return {(line["requestId"], line["key"]) for line in told}


def error_of(document: dict[str, Any]) -> str:
    """What a result says in place of predictions."""
    return "{type}: {message}".format(**document["error"])


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


def report_burst(at_once: dict[str, int], quick_s: float, meanwhile: int) -> None:
    """Print how the models of the burst did, side by side."""
    print()
    rows = [(model, f"{BURST // 3:,}", str(calls), str(CEILINGS[model])) for model, calls in at_once.items()]
    console.table(
        ("model", "uploads", "most calls at once", "ceiling"), rows, right=("uploads", "most calls at once", "ceiling")
    )
    print(f"{' and '.join(QUICK)} had answered all after {quick_s:.0f} s; by then, {SLOW} had answered {meanwhile:,}")


def report(ends: dict[str, str], errors: dict[str, str], seconds: float) -> None:
    """Print where the inputs of each model and fault ended, and with which type of error."""
    counts = Counter(
        (key.partition("/")[0], fault_of(key), end, errors.get(key, "").partition(":")[0]) for key, end in ends.items()
    )
    rows = [(*how, f"{count:,}") for how, count in sorted(counts.items())]
    print()
    console.table(("model", "input", "ended as", "error", "uploads"), rows, right=("uploads",))
    lost, twice = (sum(end == wrong for end in ends.values()) for wrong in ("lost", "two results"))
    print(f"{len(ends):,} uploads in {seconds:.0f} s: {lost} lost, {twice} with two results")
