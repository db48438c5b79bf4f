"""What `modelctl status` makes of the answers of CloudWatch, SQS and Lambda."""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from inference import metrics
from modelctl import cli
from modelctl.commands import status
from modelctl.deployed import activity
from modelctl.deployed.activity import Activity, Times
from modelctl.deployed.deployment import Deployment, Live, Model
from modelctl.errors import UserError
from unit import deployed

DIGEST = "0f3a9c21" + "0" * 56
OLDER = "77ac90aa" + "0" * 56
#: A metric and its statistic: the values of its periods, the latest first.
Recorded = Mapping[tuple[str, str], list[float]]


def model(name: str) -> Model:
    return replace(
        deployed.model(f"{name}/"),
        name=name,
        digest=DIGEST,
        function_name=f"yard-{name}",
        queue_url=f"https://sqs/1/yard-{name}",
        dead_letter_queue_url=f"https://sqs/1/{name}-dlq",
    )


class CloudWatch:
    """Answers GetMetricData and DescribeAlarms with what was recorded, two results per page."""

    def __init__(
        self, recorded: Mapping[str, Recorded], firing: tuple[str, ...] = (), says: Mapping[str, str] | None = None
    ) -> None:
        self._recorded, self._firing, self._says = recorded, firing, says or {}
        self.asked: list[dict[str, Any]] = []

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=getattr(self, operation))

    def get_metric_data(self, **request: Any) -> Iterator[dict[str, Any]]:
        self.asked.append(request)
        results = [
            {"Id": query["Id"], "Values": self._values(query["MetricStat"])} for query in request["MetricDataQueries"]
        ]
        for first in range(0, len(results), 2):
            yield {"MetricDataResults": results[first : first + 2]}

    def _values(self, stat: dict[str, Any]) -> list[float]:
        metric = stat["Metric"]
        dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
        whose = dimensions.get("Model") or next(iter(dimensions.values())).removeprefix("yard-")
        return self._recorded.get(whose, {}).get((f"{metric['Namespace']} {metric['MetricName']}", stat["Stat"]), [])

    def describe_alarms(self, **request: Any) -> Iterator[dict[str, Any]]:
        assert (request["StateValue"], request["AlarmNamePrefix"]) == ("ALARM", "yard-")
        for name in self._firing:
            yield {"MetricAlarms": [{"AlarmName": name, "AlarmDescription": self._says.get(name, "")}]}


DID: Recorded = {
    ("AWS/Lambda Invocations", "Sum"): [1234],
    ("AWS/Lambda Errors", "Sum"): [2],
    ("AWS/Lambda Throttles", "Sum"): [1],
    ("AWS/Lambda Duration", "p50"): [3.1],
    ("AWS/Lambda Duration", "p95"): [1041.7],
    ("Modelyard InputErrors", "SampleCount"): [12000],
    ("Modelyard InputErrors", "Sum"): [10],
    ("Modelyard ColdStarts", "Sum"): [7],
    ("Modelyard ResultTime", "p50"): [1250],
    ("Modelyard ResultTime", "p95"): [61049],
    ("AWS/SQS ApproximateAgeOfOldestMessage", "Maximum"): [150, 90, 30],
    ("Modelyard Failures", "Sum"): [5, 7],
}
QUIET = Activity(0, 0, 0, 0, 0, 0, None, None, 0, 0, {})


def yard(
    cloudwatch: CloudWatch, *names: str, depths: Mapping[str, tuple[int, int]] | None = None, live: Live | None = None
) -> Any:
    """A deployment named yard of these models; `depths` are by the last part of a queue's URL."""

    def attributes(QueueUrl: str, AttributeNames: list[str]) -> Any:  # noqa: N803  # boto3's
        found = (depths or {}).get(QueueUrl.rpartition("/")[2], (0, 0))
        return {"Attributes": dict(zip(AttributeNames, map(str, found), strict=True))}

    return SimpleNamespace(
        name="yard",
        target=SimpleNamespace(name="local"),
        models={name: model(name) for name in names},
        metrics=cloudwatch,
        sqs=SimpleNamespace(get_queue_attributes=attributes),
        live=lambda _: live or Live("1", DIGEST),
    )


def test_what_a_model_did_is_what_cloudwatch_says() -> None:
    cloudwatch = CloudWatch(
        {"digits": DID},
        ("yard-digits/errors", "yard-digits/dead_letters", "yard-2-digits/errors"),
        {"yard-digits/dead_letters": "Model digits: inputs were given up. Next: `modelctl dead digits`."},
    )
    found = activity.read(yard(cloudwatch, "digits", "quiet"), datetime.now(UTC) - timedelta(hours=1))
    assert found == {
        "digits": Activity(
            inputs=12000,
            refused=10,
            calls=1234,
            errors=2,
            throttles=1,
            cold_starts=7,
            call_ms=Times(3.1, 1041.7),
            result_ms=Times(1250, 61049),
            oldest_s=150,
            sent_back=12,
            alarms={"dead_letters": "modelctl dead digits", "errors": None},
        ),
        "quiet": QUIET,
    }


def test_three_hundred_models_take_few_calls_of_at_most_500_queries() -> None:
    cloudwatch = CloudWatch({})
    names = [f"m{number}" for number in range(300)]
    found = activity.read(yard(cloudwatch, *names), datetime.now(UTC) - timedelta(hours=1))
    assert found == dict.fromkeys(names, QUIET)
    assert [len(request["MetricDataQueries"]) for request in cloudwatch.asked] == [500] * 7 + [100]


@pytest.mark.parametrize(("ago", "resolution_s"), [("90s", 60), ("1h", 60), ("14d", 60), ("20d", 300), ("12w", 3600)])
def test_all_of_the_time_is_one_period(ago: str, resolution_s: int) -> None:
    """The start time and the period are what CloudWatch has of that age, or it would have none."""
    cloudwatch = CloudWatch({})
    since = argparse.Namespace(**vars(cli.parser().parse_args(["status", "--since", ago]))).since
    activity.read(yard(cloudwatch, "digits"), since)
    whole = cloudwatch.asked[0]
    (period_s,) = {query["MetricStat"]["Period"] for query in whole["MetricDataQueries"]}
    assert whole["StartTime"] <= since
    assert whole["EndTime"] >= datetime.now(UTC) - timedelta(seconds=1)
    assert period_s >= (whole["EndTime"] - whole["StartTime"]).total_seconds() > period_s - resolution_s
    assert period_s % resolution_s == whole["StartTime"].timestamp() % resolution_s == 0


def test_what_is_asked_for_is_what_functions_emit(capsys: pytest.CaptureFixture[str]) -> None:
    cloudwatch = CloudWatch({})
    activity.read(yard(cloudwatch, "digits"), datetime.now(UTC) - timedelta(hours=1))
    named: Any = SimpleNamespace(name="digits")
    metrics.emit(
        named,
        predictions=1,
        inputs=1,
        input_errors=0,
        failures=0,
        predict_ms=1,
        cold_start=False,
        now=0,
        result_ms=[1],
    )
    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    (names,) = directive["Dimensions"]
    emitted = [{"Name": name, "Value": line[name]} for name in names]
    of_functions = [
        query["MetricStat"]["Metric"]
        for request in cloudwatch.asked
        for query in request["MetricDataQueries"]
        if not query["MetricStat"]["Metric"]["Namespace"].startswith("AWS/")
    ]
    assert {metric["MetricName"] for metric in of_functions} <= {metric["Name"] for metric in directive["Metrics"]}
    for metric in of_functions:
        assert (metric["Namespace"], metric["Dimensions"]) == (directive["Namespace"], emitted)


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], of: Any, *arguments: str) -> Any:
    monkeypatch.setattr(status, "deployment", lambda called: of)
    assert cli.main(["status", *arguments]) == 0
    return capsys.readouterr()


BUSY = CloudWatch({"wine": DID, "digits": {("Modelyard InputErrors", "SampleCount"): [3]}}, ("yard-wine/dead_letters",))
DEPTHS = {"wine-dlq": (3, 1), "yard-wine": (40, 5)}


def test_trouble_comes_first_and_columns_of_zeros_do_not_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of = yard(BUSY, "cars", "digits", "wine", depths=DEPTHS)
    first, *lines = shown(monkeypatch, capsys, of, "--since", "2026-11-27T18:30").out.splitlines()
    assert first == "yard on the local stack since 2026-11-27 18:30:00 UTC: 1 of 3 models in trouble"
    assert [line.rstrip() for line in lines] == [
        "  wine: 4 dead letters; 2 of 1,234 calls failed; 1 call throttled; alarm dead_letters",
        "    see `modelctl dead wine`, `modelctl logs wine --errors`",
        "",
        "model   live          inputs  refused    call ms    result s  cold  queued  in flight  oldest  dead",
        "wine    1 (0f3a9c21)  12,000       10  3 / 1,042  1.2 / 61.0     7      40          5   2 min     4",
        "cars    1 (0f3a9c21)",
        "digits  1 (0f3a9c21)       3",
    ]


def test_a_quiet_deployment_is_a_short_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = shown(monkeypatch, capsys, yard(CloudWatch({}), "digits"))
    assert [line.rstrip() for line in said.out.splitlines()[1:]] == ["", "model   live", "digits  1 (0f3a9c21)"]
    assert said.out.splitlines()[0].endswith(" UTC: no trouble")
    assert said.err == ""


def test_a_deployment_without_models_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(monkeypatch, capsys, yard(CloudWatch({}))).out.strip().endswith(" UTC: no models")


def test_a_model_that_is_not_what_the_registry_asks_for_is_in_trouble(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = shown(monkeypatch, capsys, yard(CloudWatch({}), "digits", live=Live("2", OLDER)))
    assert "  digits: live is 2 (77ac90aa) instead of 1 (0f3a9c21)\n" in said.out
    assert "`live` does not serve what the last apply asked for: digits." in said.err


def test_refused_inputs_are_trouble_once_an_alarm_fires_for_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusing = {("Modelyard InputErrors", "SampleCount"): [12.0], ("Modelyard InputErrors", "Sum"): [10.0]}
    cloudwatch = CloudWatch({"wine": refusing, "digits": refusing}, ("yard-wine/input_error_share",))
    lines = shown(monkeypatch, capsys, yard(cloudwatch, "digits", "wine")).out.splitlines()
    assert [line.rstrip() for line in lines[1:]] == [
        "  wine: 10 of 12 inputs refused; alarm input_error_share",
        "    see `modelctl errors wine`",
        "",
        "model   live          inputs  refused",
        "wine    1 (0f3a9c21)      12       10",
        "digits  1 (0f3a9c21)      12       10",
    ]


def test_an_alarm_whose_cause_is_over_still_says_what_to_look_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CloudWatch looks at metrics of the past minutes; the dead letters may have been put back since."""
    cloudwatch = CloudWatch(
        {},
        ("yard-digits/dead_letters", "yard-digits/queue_age_s", "yard-wine/queue_age_s"),
        {
            "yard-digits/dead_letters": "Model digits: inputs were given up. Next: `modelctl dead digits`.",
            "yard-digits/queue_age_s": "Model digits: inputs have waited too long. Next: `modelctl status --since 1h`.",
            "yard-wine/queue_age_s": "Model wine: inputs have waited too long. Next: `modelctl status --since 1h`.",
        },
    )
    lines = shown(monkeypatch, capsys, yard(cloudwatch, "digits", "wine")).out.splitlines()
    assert lines[1:5] == [
        "  digits: alarms dead_letters, queue_age_s",
        "    see `modelctl dead digits`",
        "  wine: alarm queue_age_s",
        "    see `modelctl logs wine`",
    ]


@pytest.mark.parametrize(
    ("uploaded", "messages", "waiting"),
    [([], 1, 0), (["digits/a.png", "digits/b.gif", "digits/a.png"], 3, 2), (["digits/a.png"] * 5, 2, 2)],
)
def test_what_waits_for_a_model_that_never_went_live_is_no_test_event(
    uploaded: list[str], messages: int, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 sends it to a new queue; nothing serves that, so the message stays, and must not be received to look at it."""

    def pages(Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803  # boto3's
        assert (Bucket, Prefix) == ("inputs", "digits/")
        yield {"DeleteMarkers": [{"Key": "digits/a.png"}]}
        yield from ({"Versions": [{"Key": key}]} for key in uploaded)

    of = yard(CloudWatch({}), "digits", depths={"yard-digits": (messages, 0)})
    of.live, of.inputs = lambda _: None, "inputs"
    of.models["digits"] = replace(of.models["digits"], suffixes=(".png",))
    of.s3 = SimpleNamespace(get_paginator=lambda operation: SimpleNamespace(paginate=pages))
    (row,) = status.describe(of, datetime.now(UTC) - timedelta(hours=1))["models"]
    assert row["queue"] == {"waiting": waiting, "in_flight": 0, "oldest_s": 0}


def aged(seconds: int, sent_back: int = 0) -> CloudWatch:
    recorded: Recorded = {
        ("AWS/SQS ApproximateAgeOfOldestMessage", "Maximum"): [seconds],
        ("Modelyard Failures", "Sum"): [0, sent_back],
    }
    return CloudWatch({"digits": recorded})


def test_inputs_that_fail_are_trouble_before_they_are_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that returns messages to the queue is not an error to Lambda, and the alarm on the queue comes later."""
    again = yard(aged(362), "cars", "digits", depths={"yard-digits": (0, 7)})
    lines = shown(monkeypatch, capsys, again).out.splitlines()
    assert [line.rstrip() for line in lines[1:3]] == [
        "  digits: 7 inputs being tried again, the oldest for 6 min",
        "    see `modelctl logs digits --errors`",
    ]
    for oldest_s, depth in ((361, (0, 7)), (362, (1, 7)), (362, (0, 0))):
        other = yard(aged(oldest_s), "digits", depths={"yard-digits": depth})
        assert "no trouble" in shown(monkeypatch, capsys, other).out


@pytest.mark.parametrize(
    ("oldest_s", "sent_back", "depth", "tried_again"),
    [(362, 3, (40, 7), 3), (362, 60, (40, 7), 47), (361, 3, (40, 7), 0), (362, 0, (40, 7), 0), (362, 3, (0, 7), 7)],
)
def test_inputs_that_fail_are_seen_behind_a_full_queue(
    oldest_s: int, sent_back: int, depth: tuple[int, int], tried_again: int
) -> None:
    """By what functions say went back, each time, and so no more than there are."""
    of = yard(aged(oldest_s, sent_back), "digits", depths={"yard-digits": depth})
    (row,) = status.describe(of, datetime.now(UTC) - timedelta(hours=1))["models"]
    assert row["tried_again"] == tried_again
    assert row["next"] == (["modelctl logs digits --errors"] if tried_again else [])


def test_json_is_the_whole_of_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    of = yard(BUSY, "digits", "wine", depths=DEPTHS)
    document = json.loads(shown(monkeypatch, capsys, of, "--json", "--since", "2026-11-27T18:30").out)
    assert {name: document[name] for name in ("name", "target", "since")} == {
        "name": "yard",
        "target": "local",
        "since": "2026-11-27T18:30:00.000Z",
    }
    assert [row["model"] for row in document["models"]] == ["wine", "digits"]
    assert document["models"][0] == {
        "model": "wine",
        "version": "1",
        "digest": DIGEST,
        "live_version": "1",
        "live_digest": DIGEST,
        "runtime": "litert",
        "route": {"prefixes": ["wine/"], "suffixes": []},
        "queue": {"waiting": 40, "in_flight": 5, "oldest_s": 150},
        "tried_again": 0,
        "dead_letters": 4,
        "inputs": 12000,
        "refused": 10,
        "calls": 1234,
        "errors": 2,
        "throttles": 1,
        "cold_starts": 7,
        "call_ms": {"p50": 3.1, "p95": 1041.7},
        "result_ms": {"p50": 1250, "p95": 61049},
        "alarms": ["dead_letters"],
        "trouble": ["4 dead letters", "2 of 1,234 calls failed", "1 call throttled", "alarm dead_letters"],
        "next": ["modelctl dead wine", "modelctl logs wine --errors"],
    }


def test_watching_repeats_it_until_ctrl_c_which_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds: list[float] = []

    def wait(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", wait)
    said = shown(monkeypatch, capsys, yard(CloudWatch({}), "digits"), "--watch")
    assert said.out.count("yard on the local stack since") == 2
    assert rounds == [5, 5]


def test_watching_has_no_one_document() -> None:
    called = cli.parser().parse_args(["status", "--watch", "--json"])
    with pytest.raises(UserError, match="--watch never ends, and --json prints one document"):
        status.run(called)


@pytest.mark.parametrize("wrong", ["yesterday", "2999-01-01"])
def test_a_time_that_is_none_is_called_wrongly(wrong: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args(["status", "--since", wrong])
    assert ended.value.code == 2


def test_what_is_live_is_read_from_the_document_of_its_function() -> None:
    document = json.dumps({"version": "1.10", "digest": DIGEST, "name": "digits"})
    configuration = {"Configuration": {"Environment": {"Variables": {"MODELYARD_MODEL": document}}}}
    gone = type("ResourceNotFoundException", (Exception,), {})

    def get_function(FunctionName: str, Qualifier: str) -> Any:  # noqa: N803  # boto3's
        if FunctionName == "yard-none":
            raise gone
        assert Qualifier == "live"
        return configuration

    functions = SimpleNamespace(get_function=get_function, exceptions=SimpleNamespace(ResourceNotFoundException=gone))
    of: Any = SimpleNamespace(function_settings=functions)
    assert Deployment.live(of, model("digits")) == Live("1.10", DIGEST)
    assert Deployment.live(of, model("none")) is None
