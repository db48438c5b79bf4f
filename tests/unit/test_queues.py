"""The guard of queues that a plan deletes: which are refused, and which ways out the message names."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from modelctl.deployed import queues
from modelctl.errors import UserError
from modelctl.terraform.plans import DeletedQueue

ARN = "arn:aws:sqs:eu-central-1:123456789012:yard-old"
URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/yard-old"
INPUTS = DeletedQueue("old", dead_letters=False, replaced=False, url=URL, arn=ARN)
DEAD_LETTERS = DeletedQueue("old", dead_letters=True, replaced=False, url=f"{URL}-dlq", arn=f"{ARN}-dlq")


class QueueDoesNotExist(Exception):  # noqa: N818 - the name of SQS
    """SQS's error of this name."""


def target(name: Literal["local", "aws"], **depths: tuple[int, int]) -> Any:
    """A target whose queues, by the last part of their name, hold these numbers of waiting and in-flight messages."""

    def attributes(QueueUrl: str, AttributeNames: list[str]) -> Any:  # noqa: N803 - the names of SQS
        try:
            found = depths[QueueUrl.rpartition("-")[2]]
        except KeyError:
            raise QueueDoesNotExist from None
        return {"Attributes": dict(zip(AttributeNames, map(str, found), strict=True))}

    def session(region: str) -> Any:
        assert region == "eu-central-1"
        exceptions = SimpleNamespace(QueueDoesNotExist=QueueDoesNotExist)
        return SimpleNamespace(
            client=lambda service: SimpleNamespace(get_queue_attributes=attributes, exceptions=exceptions)
        )

    return SimpleNamespace(name=name, session=session)


def problem(*arguments: Any) -> str:
    with pytest.raises(UserError) as refused:
        queues.refuse_to_lose_inputs(*arguments)
    return str(refused.value)


def test_empty_queues_and_those_that_are_gone_may_go() -> None:
    queues.refuse_to_lose_inputs(target("aws", old=(0, 0), dlq=(0, 0)), [INPUTS, DEAD_LETTERS])
    queues.refuse_to_lose_inputs(target("aws"), [INPUTS])
    queues.refuse_to_lose_inputs(target("aws"), [])


def test_inputs_that_wait_or_are_being_served_are_not_lost() -> None:
    assert problem(target("aws", old=(3, 2), dlq=(0, 0)), [DEAD_LETTERS, INPUTS]) == (
        "the registry no longer names old, but its queue holds inputs that would be lost with it: 3 waiting, 2 being "
        "served. Nothing was changed: wait until they are served (`modelctl status`), or discard them (`aws sqs "
        f"purge-queue --queue-url {URL} --region eu-central-1`), then run the command again"
    )


def test_dead_letters_are_not_lost_either() -> None:
    assert problem(target("aws", dlq=(1, 0)), [DEAD_LETTERS]) == (
        "the registry no longer names old, but its dead-letter queue holds inputs that would be lost with it: 1. "
        "Nothing was changed: let the model try them again (`modelctl redrive old`), or discard them (`aws sqs "
        f"purge-queue --queue-url {URL}-dlq --region eu-central-1`), then run the command again"
    )


def test_the_ways_out_of_the_local_stack_speak_to_it() -> None:
    said = problem(target("local", old=(1, 0), dlq=(1, 0)), [DEAD_LETTERS, INPUTS])
    dead_letters, inputs = said.splitlines()
    purge = '(`eval "$(modelctl env)"; aws sqs purge-queue --queue-url {} --region eu-central-1 --endpoint-url "{}"`)'
    assert purge.format(f"{URL}-dlq", "$AWS_ENDPOINT_URL") in dead_letters
    assert "Nothing was changed: let the model try them again (`modelctl redrive old`), or discard" in dead_letters
    assert purge.format(URL, "$AWS_ENDPOINT_URL") in inputs


def test_a_queue_that_is_replaced_is_said_to_be() -> None:
    replaced = DeletedQueue("old", dead_letters=False, replaced=True, url=URL, arn=ARN)
    assert problem(target("aws", old=(1, 0)), [replaced]).startswith(
        "the plan would replace queues of old, but its queue holds inputs that would be lost with it: 1 waiting, 0 "
        "being "
    )


def test_a_queue_that_nothing_serves_is_not_waited_for() -> None:
    """GIVEN a model whose first apply failed, THEN nobody is told to wait until S3's test event is served."""
    said = problem(target("aws", old=(1, 0)), [replace(INPUTS, served=False)])
    assert "its queue holds messages that would be lost with it: 1. No function serves it" in said
    assert "put the model back and apply, or discard them (`aws sqs purge-queue" in said
    assert "wait until they are served" not in said
