"""What may go wrong in a simulated world, and how often: drawn from its seed."""

import random
from dataclasses import dataclass, fields


@dataclass
class Chances:
    """The probability of each fault, at each opportunity."""

    #: S3 announces an upload twice; by EventBridge instead of a notification; minutes later.
    announced_twice: float = 0.0
    by_eventbridge: float = 0.0
    announced_late: float = 0.0
    #: SQS delivers a message while somebody is at work on it; once more after it was deleted.
    delivered_twice: float = 0.0
    delivered_again: float = 0.0
    #: Lambda has no room for the invocation.
    throttled: float = 0.0
    #: The model cannot be loaded in a new environment.
    not_loaded: float = 0.0
    #: The environment ends, at each step.
    killed: float = 0.0
    #: The function has answered, and the messages are not deleted.
    answer_lost: float = 0.0
    delete_lost: float = 0.0
    #: S3 refuses a request for the time being; does it, but its answer is lost; the client then repeats the request.
    s3_throttles: float = 0.0
    s3_answer_lost: float = 0.0
    s3_repeats: float = 0.0
    #: S3 or the model takes long.
    slow: float = 0.0
    #: An input ends every environment, takes longer than any timeout, makes the model's own code fail, or is not JSON.
    kills: float = 0.0
    hangs: float = 0.0
    breaks: float = 0.0
    is_refused: float = 0.0
    #: An upload is done in parts, so that its LastModified is when it began.
    in_parts: float = 0.0
    #: Somebody puts a delete marker over a key; a version that is not current is deleted for good.
    deletes: float = 0.0
    expires: float = 0.0
    #: Somebody deletes a result, or writes garbage in its place.
    spoils: float = 0.0
    #: Somebody queues an input by hand; the version that was current a while ago; without saying its time.
    by_hand: float = 0.0
    stale_by_hand: float = 0.0
    without_time: float = 0.0
    #: A new version of the function goes live.
    deploys: float = 0.0
    #: Dead letters are put back.
    redrives: float = 0.0
    #: The child process does not load the model in time.
    never_ready: float = 0.0

    @property
    def are_calm(self) -> bool:
        """Whether a message is not done only because of its input, or of its neighbours' inputs."""
        return not any(getattr(self, field.name) for field in fields(self) if field.name not in CALM)


#: What does not use up a message's receives, but by its own input.
CALM = ("is_refused", "kills", "breaks", "by_eventbridge", "announced_late", "in_parts", "deploys")

#: How often a fault happens where it happens at all, if not one time in ten.
_OFTEN = {
    "by_eventbridge": 0.5,
    "killed": 0.02,
    "is_refused": 0.25,
    "kills": 0.05,
    "hangs": 0.03,
    "breaks": 0.05,
    "stale_by_hand": 0.5,
    "without_time": 0.3,
    "in_parts": 0.3,
    "by_hand": 0.3,
}


def draw(chance: random.Random) -> Chances:
    """Some faults often and the others never, since faults hide each other (swarm testing)."""
    chances = Chances()
    calm, share = chance.random() < 0.2, chance.choice((0.15, 0.4, 0.7))
    for field in fields(Chances):
        if chance.random() < share and (field.name in CALM or not calm):
            setattr(chances, field.name, _OFTEN.get(field.name, 0.1) * chance.choice((0.3, 1.0, 4.0)))
    # Where a key's current version was deleted, times decide; of uploads in parts they say nothing.
    if chances.in_parts:
        chances.deletes = 0.0
    return chances
