"""`modelctl backfill`: queues a model's inputs that have no current result."""

import argparse
import contextlib
from collections import Counter

from modelctl import console, times
from modelctl.commands.arguments import Commands, add_model, add_rate, add_target, command, deployment, print_json
from modelctl.deployed import backfilling, queues
from modelctl.deployed.backfilling import Found, Wanted
from modelctl.deployed.deployment import Deployment, Model
from modelctl.deployed.sending import Sender
from modelctl.errors import UserError

#: The most inputs that a dry run names.
_MOST_NAMED = 1000

#: The reasons in words.
_SAYS = {
    "missing": "have no result",
    "older": "have the result of an earlier version",
    "given up": "were given up",
    "stale": "have a result of another digest",
}


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "queue a model's inputs that have no current result"
    parser = command(commands, "backfill", run, does, "modelctl backfill digits --since 2h --dry-run")
    add_model(parser)
    parser.add_argument(
        "--since", type=times.since, metavar="TIME", help=f"only inputs uploaded since then: {times.FORMS}"
    )
    parser.add_argument("--prefix", default="", metavar="PREFIX", help="only inputs whose keys begin with PREFIX")
    parser.add_argument(
        "--stale", action="store_true", help="also inputs whose result comes from another digest than the live one"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show which inputs would be queued, and why")
    add_rate(parser)
    parser.add_argument(
        "--backlog",
        type=_backlog,
        default=1000,
        metavar="N",
        help="pause while this many messages wait in the queue, so that new uploads are not delayed; default: 1000",
    )
    add_target(parser)


def _backlog(text: str) -> int:
    with contextlib.suppress(ValueError):
        number = int(text)
        if number > 0:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of messages: expected 1 or more")


class _Tally:
    """What has been checked so far, in bounded memory."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.current = 0
        self.named: list[Found] = []

    def add(self, found: Found) -> None:
        """Count one more input."""
        if found.reason is None:
            self.current += 1
            return
        self.reasons[found.reason] += 1
        if len(self.named) < _MOST_NAMED:
            self.named.append(found)

    @property
    def queued(self) -> int:
        """The number of inputs without a current result."""
        return self.reasons.total()

    @property
    def says(self) -> str:
        """The numbers in words."""
        parts = [f"{self.current:,} have a current result"]
        parts += [f"{self.reasons[reason]:,} {says}" for reason, says in _SAYS.items() if self.reasons[reason]]
        return f"{console.counted(self.current + self.queued, 'input')} checked: {', '.join(parts)}"


def run(called: argparse.Namespace) -> int:
    """Say how many were queued, and why."""
    deployed = deployment(called)
    model = deployed.model(called.model)
    wanted = Wanted(called.prefix, called.since, _live_digest(deployed, model) if called.stale else None)
    tally = _Tally()
    _backfill(deployed, model, wanted, called, tally)
    if called.json:
        document = {"model": model.name, "dry_run": called.dry_run, "looked_at": tally.current + tally.queued}
        named = {"inputs": [_described(found) for found in tally.named]} if called.dry_run else {}
        print_json({**document, "queued": tally.queued, "reasons": dict(tally.reasons), **named})
        return 0
    if called.dry_run and tally.named:
        rows = [
            (one.uploaded.key, one.uploaded.version_id or "", times.shown(one.last_modified), str(reason))
            for one, reason in tally.named
        ]
        console.table(("key", "version", "uploaded", "why"), rows)
        if len(rows) < tally.queued:
            console.note(f"{tally.queued - len(rows):,} more are not shown")
    console.out(tally.says)
    if called.dry_run:
        console.note(f"would be queued: {console.counted(tally.queued, 'input')} of {model.name}; nothing was changed")
    elif tally.queued:
        console.note(f"queued: {console.counted(tally.queued, 'input')}; `modelctl status` shows how many still wait")
    return 0


def _live_digest(deployed: Deployment, model: Model) -> str:
    digest = deployed.live_digest(model)
    if digest is None:
        raise UserError(f"{model.name} has no live version to compare results with: apply, then run the command again")
    return digest


def _backfill(deployed: Deployment, model: Model, wanted: Wanted, called: argparse.Namespace, tally: _Tally) -> None:
    does = f"looking for inputs of {model.name} without a current result"
    if not called.dry_run and (waiting := sum(queues.depth(deployed.sqs, model.queue_url))):
        console.note(
            f"already in its queue: {console.counted(waiting, 'message')}; an input that is queued twice is served once"
        )
    try:
        with console.step(does if called.dry_run else f"{does}, and queueing them") as update:
            sender = Sender(deployed.sqs, model.queue_url, called.rate, most_waiting=called.backlog, update=update)

            def seen(found: Found) -> None:
                tally.add(found)
                update(f"{tally.current + tally.queued:,} checked, {tally.queued:,} of them without")

            backfilling.backfill(deployed, model, wanted, None if called.dry_run else sender, seen)
    except (KeyboardInterrupt, UserError):
        if tally.queued and not called.dry_run:
            console.note(
                f"queued so far: {console.counted(tally.queued, 'input')}. Run the command again once they are served: "
                "it continues with the inputs that still have no result"
            )
        raise


def _described(found: Found) -> dict[str, object]:
    uploaded = found.input.uploaded
    return {
        "key": uploaded.key,
        "version_id": uploaded.version_id,
        "uploaded": times.iso(found.input.last_modified),
        "reason": found.reason,
    }
