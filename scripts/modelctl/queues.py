"""The queues of models: how much waits in them, and a guard against deleting them with inputs inside."""

from modelctl import console
from modelctl.deployment import Deployment
from modelctl.errors import UserError
from modelctl.targets import Target


def depth(deployed: Deployment, queue_url: str) -> tuple[int, int]:
    """How many messages of a queue wait, and how many somebody has received; SQS calls both approximate."""
    answer = deployed.sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    attributes = answer["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"]), int(attributes["ApproximateNumberOfMessagesNotVisible"])


def refuse_to_lose_inputs(target: Target, models: set[str]) -> None:
    """Refuse to remove a model that the registry no longer names while inputs are in its queue.

    Terraform alone cannot know: it would delete the queue with all that waits in it.

    Raises:
        UserError: inputs wait or are being served.
    """
    deployed = target.root.outputs().get("deployment")
    if not deployed or deployed["models"].keys() <= models:
        return
    deployment = Deployment(target)
    for name in sorted(deployment.models.keys() - models):
        model = deployment.models[name]
        waiting, in_work = _depth(deployment, model.queue_url)
        if waiting or in_work:
            raise UserError(
                f"the registry no longer names {name}, but its queue holds inputs that would be lost with it: "
                f"{waiting} waiting, {in_work} being served. Nothing was changed: wait until they are served "
                '(`modelctl status`), or give them up (`eval "$(modelctl env)"; aws sqs purge-queue --queue-url '
                f"{model.queue_url}`), then run `modelctl up` again"
            )
        if dead := sum(_depth(deployment, model.dead_letter_queue_url)):
            console.note(
                f"{name} is being removed with its dead letters ({dead}); their inputs stay in {deployment.inputs}"
            )


def _depth(deployment: Deployment, queue_url: str) -> tuple[int, int]:
    """The depth of a queue; none of a queue that is gone."""
    try:
        return depth(deployment, queue_url)
    except deployment.sqs.exceptions.QueueDoesNotExist:
        # An apply that was interrupted has deleted it, and Terraform's outputs are those of the one before.
        return 0, 0
