"""Errors of an apply that resolve themselves: AWS has not finished yet what was requested shortly before.

An apply that fails only with such errors is repeated. More errors resolve themselves, but the provider retries those
for longer than they last; docs/operations.md lists them. If the provider gives up on one of them, applying again would
not help.
"""

import re
from dataclasses import dataclass
from time import sleep

from modelctl import console
from modelctl.deployed import restoring
from modelctl.errors import UserError
from modelctl.terraform.program import Root, TerraformError


@dataclass(frozen=True)
class Race:
    """An error that resolves itself.

    Args:
        says: texts; the error contains one of them.
        means: what is not finished, as a sentence.
        within_s: how many seconds that takes at most.
        source: where AWS says so.
        keeps: a type of resource that must not be replaced. The next apply would replace one that failed while it was
            created, and the successor, just as new, would fail in the same way.
    """

    says: tuple[str, ...]
    means: str
    within_s: int
    source: str
    keeps: str | None = None


RACES = (
    Race(
        says=(
            "EFSMountConnectivityException",
            "EFSMountFailureException",
            "EFSMountTimeoutException",
            "not all are in the available life cycle state yet",
        ),
        means="A new mount target, or its name, is not known everywhere in the network yet.",
        within_s=90,
        source="https://docs.aws.amazon.com/efs/latest/ug/mounting-fs-mount-cmd-dns-name.html",
    ),
    Race(
        says=("CodeArtifactUserPendingException", "The function is currently in the following state: Pending"),
        means="Lambda is still preparing a new function, or restoring one that was idle for weeks.",
        within_s=restoring.SLOWEST_S,
        source="https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html",
    ),
    Race(
        says=("Unable to validate the following destination configurations",),
        means="S3 does not know the policy of a new queue yet.",
        within_s=60,
        source="https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html",
    ),
    Race(
        # What the provider asks of a key that it has just made.
        says=(
            "to perform: kms:EnableKeyRotation on",
            "to perform: kms:GetKey",
            "to perform: kms:DescribeKey on",
            "to perform: kms:ListResourceTags on",
        ),
        means="The tags of a new key have not taken effect yet, and the deployer's policies depend on them.",
        within_s=300,
        source="https://docs.aws.amazon.com/kms/latest/developerguide/abac.html",
        keeps="aws_kms_key",
    ),
)

# An apply is repeated this often, after these shares of the time that the slowest of its errors takes.
_WAITS = (1 / 6, 1 / 3, 1 / 2)


def waited_for(problem: UserError, repeated: int, root: Root) -> bool:
    """Wait until the errors of an apply may have passed; returns whether to repeat it.

    It is not repeated if it failed with another error as well, or was repeated for as long as its errors last.

    Args:
        problem: the error of the apply.
        repeated: how often it was repeated so far.
        root: what was applied.
    """
    found = _races(problem)
    if not found or repeated == len(_WAITS):
        return False
    wait_s = round(_WAITS[repeated] * max(race.within_s for race in found))
    for race in found:
        console.note(race.means)
    console.note(f"this resolves itself: applying again in {wait_s} s")
    sleep(wait_s)
    for address in _kept(problem, found):
        root.untaint(address)
    return True


def _races(problem: UserError) -> list[Race]:
    """The races that an apply failed with; none if one of its errors is of another kind."""
    if not isinstance(problem, TerraformError):
        return []
    found = [next((race for race in RACES if any(s in text for s in race.says)), None) for text in problem.problems]
    return [] if None in found else [race for race in RACES if race in found]


def _kept(problem: UserError, found: list[Race]) -> list[str]:
    """Addresses of the resources that must not be replaced."""
    return [
        address
        for race in found
        if race.keeps
        for address in re.findall(rf"\((\S*\b{race.keeps}\.\S+)\)", str(problem))
    ]
