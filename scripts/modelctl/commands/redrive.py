"""`modelctl redrive`: puts a model's dead letters back into its queue."""

import argparse

from modelctl import console, times
from modelctl.commands.arguments import Commands, add_model, add_rate, add_target, command, deployment, print_json
from modelctl.deployed import dead_letters
from modelctl.deployed.deployment import Deployment, Model
from modelctl.deployed.sending import Sender
from modelctl.errors import UserError

#: The most dead letters that a table or a document names.
_MOST_NAMED = 1000


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "put a model's dead letters back into its queue, so that they are tried again"
    parser = command(commands, "redrive", run, does, "modelctl redrive digits --dry-run")
    add_model(parser)
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="put back only the dead letters of this input; can be given several times",
    )
    parser.add_argument("--dry-run", action="store_true", help="only show which would be put back")
    add_rate(parser)
    add_target(parser)


def run(called: argparse.Namespace) -> int:
    """Say how many were put back; exit status 1 if a named input has no dead letter."""
    deployed = deployment(called)
    model = deployed.model(called.model)
    keys = frozenset(called.key)
    found = _dry_run(deployed, model, keys, called) if called.dry_run else _redrive(deployed, model, keys, called)
    if missing := sorted(keys - found):
        named = ", ".join(map(console.in_one_line, missing))
        console.warning(f"{model.name} has no dead letter of {named}: `modelctl explain KEY` shows why")
    return 1 if missing else 0


def _dry_run(deployed: Deployment, model: Model, keys: frozenset[str], called: argparse.Namespace) -> set[str]:
    """Show what would be put back, and return the keys that were found."""
    with console.step(f"looking at the dead letters of {model.name}"):
        found, there = dead_letters.look(deployed, model, keys)
    letters = [letter for letter in found if not letter.announces_nothing]
    removed = len(found) - len(letters)
    there -= removed
    shown = letters[:_MOST_NAMED]
    if called.json:
        named = [{**letter.described(), "tries": letter.tries(model)} for letter in shown]
        counts = {"redriven": len(letters), "removed": removed}
        print_json({"model": model.name, "dry_run": True, **counts, "dead_letters": named})
        return {key for letter in letters for key in letter.keys}
    if shown:
        console.table(
            ("key", "version", "tries", "sent"),
            [
                (
                    " ".join(letter.keys) or "(not an S3 event)",
                    " ".join(uploaded.version_id or "" for uploaded in letter.uploads),
                    str(letter.tries(model)),
                    times.shown(letter.sent),
                )
                for letter in shown
            ],
            right=("tries",),
        )
    if removed:
        console.out(f"would be deleted: {dead_letters.of_no_input(removed)}")
    if not there:
        console.out(f"{model.name} has no dead letters")
        return set()
    more = f"; the first {len(shown):,} are shown" if len(shown) < len(letters) else ""
    about = console.counted(there, "dead letter")
    console.note(f"{len(letters):,} of about {about} of {model.name} would be put back{more}")
    console.note("nothing was changed")
    return {key for letter in letters for key in letter.keys}


def _redrive(deployed: Deployment, model: Model, keys: frozenset[str], called: argparse.Namespace) -> set[str]:
    """Put dead letters back, and return those of `keys` that were found."""
    done = removed = 0
    found: set[str] = set()
    try:
        with console.step(f"putting dead letters of {model.name} back into its queue") as update:

            def progress(done: int, of: int) -> None:
                update(f"{done:,} of about {of:,}")

            sender = Sender(deployed.sqs, model.queue_url, called.rate)
            for moved in dead_letters.redrive(deployed, model, sender, keys, progress):
                removed += sum(letter.announces_nothing for letter in moved)
                done += sum(not letter.announces_nothing for letter in moved)
                found.update(*(keys.intersection(letter.keys) for letter in moved))
    except (KeyboardInterrupt, UserError):
        console.note(
            f"put back so far: {console.counted(done, 'dead letter')}; none is lost: run the command again for the rest"
        )
        raise
    if called.json:
        print_json({"model": model.name, "dry_run": False, "redriven": done, "removed": removed})
        return found
    if removed:
        console.out(f"deleted: {dead_letters.of_no_input(removed)}")
    console.out(f"put back into the queue of {model.name}: {console.counted(done, 'dead letter')}")
    if done:
        console.note(
            f"`modelctl status` shows how many still wait; `modelctl dead {model.name}` will show those that fail again"
        )
    return found
