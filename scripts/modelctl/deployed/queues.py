"""The queues of models: how many messages they hold, and a guard against deleting them with inputs inside."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from modelctl.errors import UserError
from modelctl.targets import Target
from modelctl.terraform.plans import DeletedQueue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_AT_ONCE = 16


def depth(sqs: "SQSClient", queue_url: str) -> tuple[int, int]:
    """How many messages of a queue wait, and how many are in flight; SQS calls both numbers approximate."""
    answer = sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    attributes = answer["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"]), int(attributes["ApproximateNumberOfMessagesNotVisible"])


def refuse_to_lose_inputs(target: Target, queues: Sequence[DeletedQueue]) -> None:
    """Refuse to delete queues with inputs that wait, are being served, or were given up.

    Raises:
        UserError: there are such inputs; the message names the ways out.
    """
    if problems := list(_problems(target, queues)):
        raise UserError("\n".join(problems))


def _problems(target: Target, queues: Sequence[DeletedQueue]) -> Iterator[str]:
    # By region, since the shell may name a region other than the plan's.
    clients = {queue.region: target.session(queue.region).client("sqs") for queue in queues}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        depths = pool.map(lambda queue: _depth(clients[queue.region], queue.url), queues)
    for queue, (waiting, in_work) in zip(queues, depths, strict=True):
        if waiting or in_work:
            yield _problem(target, queue, waiting, in_work)


def _problem(target: Target, queue: DeletedQueue, waiting: int, in_work: int) -> str:
    why = (
        f"the plan would replace queues of {queue.model}, but"
        if queue.replaced
        else f"the registry no longer names {queue.model}, but"
    )
    sqs, place = "aws sqs", f"--region {queue.region}"
    if target.name == "local":
        # Named explicitly, since version 1 of aws ignores the variable for SQS in us-east-1.
        sqs, place = f'eval "$(modelctl env)"; {sqs}', f'{place} --endpoint-url "$AWS_ENDPOINT_URL"'
    discard = f"or discard them (`{sqs} purge-queue --queue-url {queue.url} {place}`), then run the command again"
    if not queue.dead_letters and not queue.served:
        return (
            f"{why} its queue holds messages that would be lost with it: {waiting + in_work}. No function serves it, "
            "since the model never went live or its removal was interrupted. One message may be the test event that S3 "
            "sends to a new queue; any other is an input. Nothing was changed: put the model back and "
            f"apply, {discard}"
        )
    if not queue.dead_letters:
        return (
            f"{why} its queue holds inputs that would be lost with it: {waiting} waiting, {in_work} being served. "
            f"Nothing was changed: wait until they are served (`modelctl status`), {discard}"
        )
    return (
        f"{why} its dead-letter queue holds inputs that would be lost with it: {waiting + in_work}. Nothing was "
        f"changed: let the model try them again (`modelctl redrive {queue.model}`), {discard}"
    )


def _depth(sqs: "SQSClient", queue_url: str) -> tuple[int, int]:
    """The depth of a queue; nothing for a queue that is gone."""
    try:
        return depth(sqs, queue_url)
    except sqs.exceptions.QueueDoesNotExist:
        # It was deleted by hand after Terraform's refresh.
        return 0, 0
