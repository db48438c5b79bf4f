"""A model that nobody has used for weeks wakes up: its function refuses calls while Lambda restores it."""

from collections.abc import Iterator

import pytest

from e2e.conftest import Modelctl, Platform, wait_until_empty
from e2e.test_modelctl import SCAN
from modelctl.local.layout import ACCOUNT, REGION
from modelctl.local.patches.idle import TAG


def test_a_call_that_keeps_functions_active_is_answered_and_counts_as_no_input(
    platform: Platform, modelctl: Modelctl
) -> None:
    (schedule,) = platform.client("scheduler").list_schedules(NamePrefix="modelyard-")["Schedules"]
    target = platform.client("scheduler").get_schedule(Name=schedule["Name"])["Target"]
    model = platform.deployment["models"]["wine"]
    functions = platform.client("lambda")
    before = metrics(modelctl)
    for called in (target["Arn"], f"{model['function_name']}:{model['alias']}"):
        answer = functions.invoke(FunctionName=called, Payload=target["Input"])
        assert (answer["Payload"].read(), answer.get("FunctionError")) == (b"{}", None)
    assert metrics(modelctl) == before


def metrics(modelctl: Modelctl) -> list[object]:
    """What the model wine has sent to CloudWatch."""
    lines = [event["line"] for event in modelctl("logs", "wine", "--json").document]
    return [line for line in lines if isinstance(line, dict) and "_aws" in line]


@pytest.fixture
def idle_digits(platform: Platform) -> Iterator[None]:
    """The model digits is idle, takes two seconds to restore, and what fails comes back after four."""
    sqs, url = platform.client("sqs"), platform.queues("digits")[0]
    name = {"QueueUrl": url}
    before = sqs.get_queue_attributes(**name, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(**name, Attributes={"VisibilityTimeout": "4"})
    function = platform.deployment["models"]["digits"]["function_name"]
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    platform.client("lambda").tag_resource(Resource=arn, Tags={TAG: "2"})
    yield
    sqs.set_queue_attributes(**name, Attributes=before)


def test_an_upload_waits_in_the_queue_and_is_predicted(
    modelctl: Modelctl, platform: Platform, idle_digits: None
) -> None:
    done = modelctl("predict", "digits", SCAN, "--json")
    assert done.status == 0, done.err
    assert done.document["predictions"]
    wait_until_empty(platform.client("sqs"), platform.queues("digits"))


def test_a_direct_call_waits_until_the_function_is_restored(modelctl: Modelctl, idle_digits: None) -> None:
    done = modelctl("invoke", "digits", "--data", '{"instances": [[1]]}', "--json")
    assert "error" in done.document, "the function has read the request, and it is no scan"
