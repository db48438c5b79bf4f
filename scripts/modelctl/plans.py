"""What a plan of the platform would do, read from the JSON that `terraform show` prints of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: A plan as `terraform show -json` gives it.
Document = Mapping[str, Any]


@dataclass(frozen=True)
class DeletedQueue:
    """A queue that a plan deletes, with what is in it.

    Args:
        model: whose it is.
        dead_letters: whether it is the model's dead-letter queue.
        replaced: whether another one is created in its place.
    """

    model: str
    dead_letters: bool
    replaced: bool
    url: str
    arn: str

    @property
    def region(self) -> str:
        """Where it is."""
        return self.arn.split(":")[3]


def deleted_queues(plan: Document) -> list[DeletedQueue]:
    """The queues that a plan deletes or replaces."""
    return [
        DeletedQueue(
            model=_models_queue(change["module_address"]),
            dead_letters=change["name"] == "dead_letters",
            replaced="create" in change["change"]["actions"],
            url=change["change"]["before"]["url"],
            arn=change["change"]["before"]["arn"],
        )
        for change in plan.get("resource_changes", [])
        if change["type"] == "aws_sqs_queue" and "delete" in change["change"]["actions"]
    ]


def _models_queue(address: str) -> str:
    """The model that the queues of a module `module.routing.module.queue["name"]` belong to."""
    return address.removeprefix('module.routing.module.queue["').removesuffix('"]')
