"""What `explain`, `dead`, `redrive` and `backfill` print, and what they do when they are interrupted."""

import itertools
import json
from typing import Any

import pytest

from modelctl import cli, times
from modelctl.commands import backfill, dead, explain, redrive
from modelctl.deployed import recording
from modelctl.deployed.recording import Recorded
from modelctl.errors import UserError
from unit.test_backfilling import Buckets
from unit.test_dead_letters import notification
from unit.test_explaining import DIGITS, KEY, NOW, Cloud, at

DEAD = DIGITS.dead_letter_queue_url
SENT = "2027-01-15 07:00:00 UTC"


class Deployed(Cloud):
    """A deployment with dead letters of two causes."""

    def __init__(self) -> None:
        super().__init__()
        self.upload("v1", minutes=60)
        for key in (KEY, "digits/b.png"):
            message_id = self.sqs.put(DEAD, notification(key), receives=3, age=3600)
            line = {"level": "ERROR", "message_id": message_id, "errorType": "ModelError", "errorMessage": f"{key}: no"}
            self.log.append((NOW, line))
        self.sqs.put(DEAD, "{}", receives=3, age=3600)

    def model(self, name: str) -> Any:
        if name != "digits":
            raise UserError(f"no model is named {name!r}")
        return DIGITS


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Deployed:
    deployed = Deployed()
    monkeypatch.setattr(times, "present", lambda: NOW)
    for command in (backfill, dead, explain, redrive):
        monkeypatch.setattr(command, "deployment", lambda called: deployed)
    return deployed


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    """The exit status, the lines on standard output, and what is on standard error."""
    status = cli.main(arguments)
    said = capsys.readouterr()
    return status, [line.rstrip() for line in said.out.splitlines()], said.err


def test_dead_shows_the_most_frequent_cause_first(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "dead", "digits")[:2] == (
        0,
        [
            f"2 dead letters: ModelError: {KEY}: no",
            "  key             version  tries  sent",
            f"  digits/a b.png  v1           3  {SENT}",
            f"  digits/b.png    v1           3  {SENT}",
            "1 dead letter: MessageError: the message is neither an S3 notification nor an S3 event from EventBridge",
            "  key  version  tries  sent",
            f"  m2                3  {SENT}",
        ],
    )


def test_what_an_input_says_does_not_control_the_terminal(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors quote inputs and their keys, whose content the uploader controls."""
    key = "digits/\x1b[2J.png"
    message_id = deployed.sqs.put(DEAD, notification(key), receives=3, age=3600)
    line = {"level": "ERROR", "message_id": message_id, "errorType": "E", "errorMessage": "found \x1b[2J\nall is well"}
    deployed.log.append((NOW, line))
    assert r"1 dead letter: E: found \x1b[2J\nall is well" in run(capsys, "dead", "digits")[1]
    assert r"key       digits/\x1b[2J.png" in run(capsys, "explain", key)[1]


def test_what_announces_no_input_is_no_dead_letter(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """S3's test event is given up like any other message by a function that cannot run."""
    deployed.sqs.queues[DEAD][2].body = json.dumps({"Event": "s3:TestEvent"})
    of_no_input = "1 message without an input (S3's test event, or a deletion)"
    status, out, _ = run(capsys, "dead", "digits")
    assert (status, out[0], out[-1]) == (
        0,
        f"2 dead letters: ModelError: {KEY}: no",
        f"also there: {of_no_input}; `modelctl redrive digits` deletes these",
    )
    document = json.loads("\n".join(run(capsys, "dead", "digits", "--json")[1]))
    assert [document[name] for name in ("dead_letters", "looked_at", "no_input")] == [2, 2, 1]
    assert sum(cause["count"] for cause in document["causes"]) == 2
    del deployed.sqs.queues[DEAD][:2]
    assert run(capsys, "dead", "digits")[1] == [
        f"also there: {of_no_input}; `modelctl redrive digits` deletes these",
        "digits has no dead letters",
    ]
    assert run(capsys, "redrive", "digits")[1] == [
        f"deleted: {of_no_input}",
        "put back into the queue of digits: 0 dead letters",
    ]
    assert deployed.sqs.bodies(DEAD) == []


def test_dead_names_the_inputs_whose_result_it_could_not_record(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(["digits/b.png"], {KEY: "S3 said no"} | {f"digits/{number}": "slow" for number in range(11)})
    monkeypatch.setattr(recording, "record", lambda *given: recorded)
    status, out, err = run(capsys, "dead", "digits", "--record")
    assert status == 1
    assert "recorded: 1 result" in out
    assert f"warning: no result was recorded for {KEY}: S3 said no\n" in err
    assert "warning: nor for 2 other inputs: `--json` lists them\nrun the command again for these. For a" in err
    assert err.count("warning:") == 11
    status, out, _ = run(capsys, "dead", "digits", "--record", "--json")
    document = json.loads("\n".join(out))
    assert (status, document["recorded"], len(document["not_recorded"])) == (1, ["digits/b.png"], 12)
    assert document["not_recorded"][0] == {"key": KEY, "error": "S3 said no"}
    monkeypatch.setattr(recording, "record", lambda *given: Recorded([KEY], {}))
    assert run(capsys, "dead", "digits", "--record")[0] == 0


def test_dead_letters_that_somebody_else_looks_at_are_counted(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    for message in deployed.sqs.queues[DEAD]:
        message.visible_at = deployed.sqs.now + 60
    status, out, err = run(capsys, "dead", "digits")
    assert (status, out) == (0, ["no dead letter of digits can be read"])
    assert "about 3 more were not read" in err
    deployed.sqs.queues.clear()
    assert run(capsys, "dead", "digits")[1] == ["digits has no dead letters"]


def test_a_dry_run_of_redrive_changes_nothing(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "redrive", "digits", "--dry-run", "--key", KEY)
    assert (status, out) == (0, ["key             version  tries  sent", f"digits/a b.png  v1           3  {SENT}"])
    assert err.endswith("1 of about 3 dead letters of digits would be put back\nnothing was changed\n")
    assert len(deployed.sqs.bodies(DEAD, visible=True)) == 3


def test_a_dry_run_says_what_each_message_is_and_whether_there_is_none(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.sqs.queues[DEAD][0].body = json.dumps({"Event": "s3:TestEvent"})
    status, out, err = run(capsys, "redrive", "digits", "--dry-run")
    assert (status, out) == (
        0,
        [
            "key                version  tries  sent",
            f"digits/b.png       v1           3  {SENT}",
            f"(not an S3 event)               3  {SENT}",
            "would be deleted: 1 message without an input (S3's test event, or a deletion)",
        ],
    )
    assert "2 of about 2 dead letters of digits would be put back" in err
    document = json.loads("\n".join(run(capsys, "redrive", "digits", "--dry-run", "--json")[1]))
    assert (document["redriven"], document["removed"], len(document["dead_letters"])) == (2, 1, 2)
    deployed.sqs.queues.clear()
    assert run(capsys, "redrive", "digits", "--dry-run")[:2] == (0, ["digits has no dead letters"])


def test_redrive_says_how_many_and_which_were_not_there(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "redrive", "digits", "--key", KEY, "--key", "digits/none.png")
    assert (status, out) == (1, ["put back into the queue of digits: 1 dead letter"])
    assert "warning: digits has no dead letter of digits/none.png: `modelctl explain KEY` shows why" in err
    assert run(capsys, "redrive", "digits", "--json")[:2] == (
        0,
        json.dumps({"model": "digits", "dry_run": False, "redriven": 2, "removed": 0}, indent=2).splitlines(),
    )
    assert run(capsys, "redrive", "wine")[::2] == (1, "error: no model is named 'wine'\n")


def test_an_interrupted_redrive_says_how_to_go_on(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    calls = itertools.count()

    def press(name: str) -> None:
        if name == "receive_message" and next(calls) == 1:
            raise KeyboardInterrupt

    deployed.sqs.before = press
    for number in range(20):
        deployed.sqs.put(DEAD, notification(f"digits/{number}.png"), receives=3, age=3600)
    status, out, err = run(capsys, "redrive", "digits")
    assert (status, out) == (cli.INTERRUPTED, [])
    assert "put back so far: 10 dead letters; none is lost: run the command again for the rest" in err
    assert len(deployed.sqs.bodies(DEAD, visible=True)) == 13


def test_explain_says_it_in_a_few_lines(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "explain", KEY)[:2] == (
        0,
        [
            f"key       {KEY}",
            "model     digits, because the key begins with digits/ and ends with .png",
            "way       the bucket's notification digits-0 sends it to the queue yard-digits",
            f"uploaded  {at(60)} (60 min ago), 114 bytes, version v1",
            "state     given up after 3 tries, and its message is in the dead-letter queue yard-digits-dlq: "
            f"ModelError: {KEY}: no",
            f"next      fix the cause, then `modelctl redrive digits --key '{KEY}'`",
        ],
    )
    assert run(capsys, "explain", "digits/a.PNG")[1] == [
        "key       digits/a.PNG",
        "model     none: digits takes digits/ only with .png, but the key ends with .PNG; S3 distinguishes upper and "
        "lower case",
        "nearest   digits",
        "state     no model takes it",
        "next      upload it as digits/a.png",
    ]


def test_backfill_shows_what_it_would_queue_and_why(deployed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    buckets = Buckets()
    for name, result in (("a", None), ("b", "v0"), ("c", "v1")):
        buckets.upload(f"digits/{name}.png", "v1", minutes=60)
        if result:
            buckets.answer(f"digits/{name}.png", result, minutes=59 if result == "v1" else 61)
    deployed.s3 = buckets
    status, out, err = run(capsys, "backfill", "digits", "--dry-run")
    assert (status, out) == (
        0,
        [
            "key           version  uploaded                 why",
            "digits/a.png  v1       2026-11-28 06:00:00 UTC  missing",
            "digits/b.png  v1       2026-11-28 06:00:00 UTC  older",
            "3 inputs checked: 1 have a current result, 1 have no result, 1 have the result of an earlier version",
        ],
    )
    assert err.endswith("would be queued: 2 inputs of digits; nothing was changed\n")
    assert deployed.sqs.bodies(DIGITS.queue_url) == []
    assert json.loads("\n".join(run(capsys, "backfill", "digits", "--prefix", "digits/b", "--json")[1])) == {
        "model": "digits",
        "dry_run": False,
        "looked_at": 1,
        "queued": 1,
        "reasons": {"older": 1},
    }
    assert len(deployed.sqs.bodies(DIGITS.queue_url)) == 1


def test_stale_results_are_looked_for_only_where_something_is_live(
    deployed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.digest = None
    status, _, err = run(capsys, "backfill", "digits", "--stale")
    assert status == 1
    assert "digits has no live version to compare results with: apply, then run the command again" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("--since", "yesterday"),
            "argument --since: 'yesterday' is not a point in time: expected a time span before now, such as 90s",
        ),
        (("--rate", "0"), "argument --rate: '0' is not a rate: expected a number of messages per second above 0"),
        (("--rate", "fast"), "argument --rate: 'fast' is not a rate"),
        (("--backlog", "0"), "argument --backlog: '0' is not a number of messages: expected 1 or more"),
    ],
)
def test_a_wrong_value_is_a_wrong_call(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["backfill", "digits", *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_key_that_is_named_by_a_foreign_address_is_refused(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "explain", "s3://other/a")[::2] == (
        1,
        "error: s3://other/a is not in the inputs bucket, which is inputs\n",
    )
