"""Looking at dead letters, and putting them back: none is lost, wherever that is broken off."""

import contextlib
import itertools
import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import pytest

from modelctl.deployed import dead_letters
from modelctl.deployed.sending import Message, Sender
from modelctl.errors import UserError
from unit.deployed import model
from unit.fake_sqs import FakeSqs

DIGITS = model("digits/")
QUEUE, DEAD = DIGITS.queue_url, DIGITS.dead_letter_queue_url


def notification(key: str, version: str = "v1") -> str:
    """What S3 sends about an upload."""
    described = {"key": quote_plus(key, safe="/"), "versionId": version, "size": 1, "sequencer": "0A"}
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "inputs"}, "object": described}}
    return json.dumps({"Records": [record]})


def deployed(sqs: FakeSqs) -> Any:
    return SimpleNamespace(sqs=sqs)


def sender(sqs: FakeSqs, per_second: float = 1e9, most_waiting: int | None = None) -> Sender:
    clock: Any = {"clock": lambda: sqs.now, "sleep": sqs.sleep}
    return Sender(sqs, QUEUE, per_second, most_waiting=most_waiting, **clock)  # type: ignore[arg-type]  # a fake


def redrive(sqs: FakeSqs, *keys: str, per_second: float = 1e9) -> list[str]:
    """The keys of what was put back."""
    moved = dead_letters.redrive(deployed(sqs), DIGITS, sender(sqs, per_second), frozenset(keys))
    return [key for batch in moved for letter in batch for key in letter.keys]


def full(letters: int = 25) -> FakeSqs:
    """Dead letters of as many inputs, an hour old."""
    sqs = FakeSqs()
    for number in range(letters):
        sqs.put(DEAD, notification(f"digits/{number:02} + é.png"), receives=3, age=3600 - number)
    return sqs


def test_looking_shows_the_oldest_first_and_leaves_all_visible() -> None:
    sqs = full()
    found, there = dead_letters.look(deployed(sqs), DIGITS)
    assert [letter.keys for letter in found] == [[f"digits/{number:02} + é.png"] for number in range(25)]
    assert there == 25
    assert found[0].uploads[0].version_id == "v1"
    assert {letter.tries(DIGITS) for letter in found} == {3}
    assert len(sqs.bodies(DEAD, visible=True)) == 25


def test_looking_twice_does_not_add_to_the_tries() -> None:
    sqs = full(1)
    dead_letters.look(deployed(sqs), DIGITS)
    ((letter,), _) = dead_letters.look(deployed(sqs), DIGITS)
    assert letter.receives == 5
    assert letter.tries(DIGITS) == DIGITS.retries == 3


def test_looking_is_bounded_and_says_how_many_there_are() -> None:
    sqs = full()
    found, there = dead_letters.look(deployed(sqs), DIGITS, most=10)
    assert (len(found), there) == (10, 25)
    assert len(sqs.bodies(DEAD, visible=True)) == 25


def test_an_empty_queue_has_none() -> None:
    assert dead_letters.look(deployed(FakeSqs()), DIGITS) == ([], 0)
    assert redrive(FakeSqs()) == []


def test_looking_that_is_interrupted_leaves_all_visible() -> None:
    sqs = full()
    calls = itertools.count()

    def press(name: str) -> None:
        if name == "receive_message" and next(calls) == 2:
            raise KeyboardInterrupt

    sqs.before = press
    with pytest.raises(KeyboardInterrupt):
        dead_letters.look(deployed(sqs), DIGITS)
    assert len(sqs.bodies(DEAD, visible=True)) == 25


def test_a_message_that_is_no_event_is_looked_at_and_put_back_too() -> None:
    sqs = FakeSqs()
    sqs.put(DEAD, "{}", receives=3, age=60)
    ((letter,), _) = dead_letters.look(deployed(sqs), DIGITS)
    assert (letter.keys, letter.problem) == (
        [],
        "the message is neither an S3 notification nor an S3 event from EventBridge",
    )
    redrive(sqs)
    assert (sqs.bodies(DEAD), sqs.bodies(QUEUE)) == ([], ["{}"])


@pytest.mark.parametrize("keys", [(), ("digits/00 + é.png",)])
def test_what_announces_no_input_is_deleted_and_not_put_back(keys: tuple[str, ...]) -> None:
    """A function that cannot run gives up S3's test event too, and would again."""
    nothing = [json.dumps({"Event": "s3:TestEvent"}), json.dumps({"Records": [{"eventName": "ObjectRemoved:Delete"}]})]
    sqs = FakeSqs()
    sqs.put(DEAD, nothing[0], receives=3, age=3600)
    sqs.put(DEAD, notification("digits/00 + é.png"), receives=3, age=3600)
    sqs.put(DEAD, notification("digits/01 + é.png"), receives=3, age=3600)
    sqs.put(DEAD, nothing[1], receives=3, age=3600)
    sqs.refused = frozenset({notification("digits/01 + é.png")})
    with pytest.raises(UserError, match="did not accept 1") if not keys else contextlib.nullcontext():
        redrive(sqs, *keys)
    left = [notification("digits/01 + é.png")]
    assert sqs.bodies(DEAD, visible=True) == sorted([*left, *nothing] if keys else left)
    assert sqs.bodies(QUEUE) == [notification("digits/00 + é.png")]


def test_all_dead_letters_are_put_back_as_they_were() -> None:
    sqs = full()
    sqs.queues[DEAD][3].attributes = {"trace": {"StringValue": "7", "DataType": "String"}}
    before = sqs.bodies(DEAD)
    assert sorted(redrive(sqs)) == [f"digits/{number:02} + é.png" for number in range(25)]
    assert (sqs.bodies(DEAD), sqs.bodies(QUEUE)) == ([], before)
    assert sqs.queues[QUEUE][3].attributes == {"trace": {"StringValue": "7", "DataType": "String"}}


def test_only_the_inputs_that_are_named_are_put_back_and_the_others_stay_visible() -> None:
    sqs = full()
    assert redrive(sqs, "digits/07 + é.png", "digits/21 + é.png", "digits/none") == [
        "digits/07 + é.png",
        "digits/21 + é.png",
    ]
    assert len(sqs.bodies(DEAD, visible=True)) == 23
    assert sqs.bodies(QUEUE) == [notification("digits/07 + é.png"), notification("digits/21 + é.png")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConnectionError])
def test_no_message_is_lost_at_whichever_call_it_is_broken_off(error: type[BaseException]) -> None:
    """Every place is tried: before each call that a whole run makes."""
    calls: list[str] = []
    whole = full(12)
    whole.before = calls.append
    redrive(whole)
    assert calls == [
        *("get_queue_attributes", "get_queue_attributes"),
        *("receive_message", "send_message_batch", "delete_message_batch"),
        *("receive_message", "send_message_batch", "delete_message_batch"),
        "receive_message",
    ]
    for place in range(len(calls)):
        sqs = full(12)
        everything = set(sqs.bodies(DEAD))
        left = itertools.count(-place)

        def fail(name: str, left: Any = left) -> None:
            if next(left) == 0:
                raise error(name)

        sqs.before = fail
        with pytest.raises(error):
            redrive(sqs)
        assert {*sqs.bodies(DEAD), *sqs.bodies(QUEUE)} == everything
        # What is hidden still is so for two minutes at most; then a second run moves the rest.
        sqs.before = lambda name: None
        sqs.sleep(120)
        redrive(sqs)
        assert sqs.bodies(DEAD) == []
        assert set(sqs.bodies(QUEUE)) == everything


def test_what_sqs_does_not_accept_stays_a_dead_letter_and_the_rest_is_put_back() -> None:
    sqs = full(5)
    sqs.refused = frozenset({notification("digits/02 + é.png")})
    with pytest.raises(UserError, match=r"did not accept 1 of the messages \(InternalError: \): they are still in the"):
        redrive(sqs)
    assert sqs.bodies(DEAD, visible=True) == [notification("digits/02 + é.png")]
    assert len(sqs.bodies(QUEUE)) == 4


def test_what_fails_again_meanwhile_is_not_put_back_once_more() -> None:
    sqs = full(12)

    def die(name: str) -> None:
        # Whatever is sent fails at once and becomes a dead letter, with the time of its sending.
        if name == "receive_message":
            sqs.sleep(2)
            sqs.queues[DEAD] += sqs.queues.pop(QUEUE, [])

    sqs.before = die
    assert len(redrive(sqs)) == 12
    assert len(sqs.bodies(DEAD, visible=True)) == 12


def test_no_more_messages_are_sent_per_second_than_asked_for() -> None:
    sqs = full()
    start = sqs.now
    redrive(sqs, per_second=4)
    assert sqs.batches == [(start, 10), (start + 2.5, 10), (start + 5, 5)]


def test_sending_pauses_while_the_queue_is_full() -> None:
    sqs = FakeSqs()
    for number in range(30):
        sqs.put(QUEUE, str(number))
    start = sqs.now

    def serve(name: str) -> None:
        if name == "get_queue_attributes" and sqs.now > start:
            del sqs.queues[QUEUE][:8]

    sqs.before = serve
    said: list[str] = []
    paused = Sender(
        sqs,  # type: ignore[arg-type]  # a fake
        QUEUE,
        1000,
        most_waiting=10,
        update=said.append,
        clock=lambda: sqs.now,
        sleep=sqs.sleep,
    )
    paused.wait_for(10)
    assert said == [f"paused, because {waiting} messages are waiting in the queue" for waiting in (30, 22, 14)]
    assert sqs.now == start + 6


def test_large_messages_are_sent_in_calls_that_sqs_takes() -> None:
    sqs = FakeSqs()
    bodies = [letter * 100_000 for letter in "abcdef"]
    assert sender(sqs).send([Message(body) for body in bodies]) == {}
    assert [count for _, count in sqs.batches] == [2, 2, 2]
    assert sqs.bodies(QUEUE) == bodies
