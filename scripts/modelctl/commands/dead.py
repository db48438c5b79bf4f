"""`modelctl dead`: what is in a model's dead-letter queue, by cause."""

import argparse
import itertools
from typing import TYPE_CHECKING, Any

from modelctl import console, times
from modelctl.commands.arguments import Commands, add_model, add_target, command, deployment, print_json
from modelctl.deployed import dead_letters, last_errors
from modelctl.deployed.deployment import Model
from modelctl.deployed.last_errors import Cause

if TYPE_CHECKING:
    from modelctl.deployed.recording import Recorded

#: The most dead letters per cause in a table, and in total in a document.
_MOST_SHOWN = 10
_MOST_NAMED = 1000


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "show what is in a model's dead-letter queue, by cause, with the last error of each input"
    parser = command(commands, "dead", run, does, "modelctl dead digits")
    add_model(parser)
    parser.add_argument(
        "--record",
        action="store_true",
        help="also write a provisional result for each input that was given up before the function saw it; after a "
        "redrive, the answer replaces it",
    )
    add_target(parser)


def run(called: argparse.Namespace) -> int:
    """Print the causes, the most frequent first; exit status 1 if a result could not be recorded."""
    deployed = deployment(called)
    model = deployed.model(called.model)
    with console.step(f"looking at the dead letters of {model.name}") as update:
        found, there = dead_letters.look(deployed, model)
        letters = [letter for letter in found if not letter.announces_nothing]
        nothing = len(found) - len(letters)
        there -= nothing
        update(f"{len(letters):,} read; looking for their errors")
        errors = last_errors.find(deployed, model, letters)
        causes = last_errors.by_cause(letters, errors)
    recorded = None
    if called.record:
        # Imported here, since it imports numpy, and all other commands would wait for that.
        from modelctl.deployed import recording

        with console.step(f"recording inputs of {model.name} that have no result"):
            recorded = recording.record(deployed, model, [(letter, errors[letter.message_id]) for letter in letters])
    if called.json:
        counts = {"dead_letters": there, "looked_at": len(letters), "no_input": nothing}
        document = {"model": model.name, **counts, **_described(causes, model)}
        print_json({**document, **(_recorded(recorded) if recorded else {})})
        return 1 if recorded and recorded.failed else 0
    for cause in causes:
        _show(cause, model)
    if recorded:
        console.out(f"recorded: {console.counted(len(recorded.written), 'result')}")
        _show_failed(recorded, model)
    if nothing:
        console.out(f"also there: {dead_letters.of_no_input(nothing)}; `modelctl redrive {model.name}` deletes these")
    if hidden := there - len(letters):
        console.note(
            f"about {hidden:,} more were not read: the command reads at most {dead_letters.MOST_RECEIVED:,}, and "
            "messages that somebody else is reading or putting back are hidden for two minutes"
        )
    if not letters:
        console.out(f"no dead letter of {model.name} can be read" if hidden else f"{model.name} has no dead letters")
        return 0
    console.note(
        f"once the cause is fixed, `modelctl redrive {model.name}` tries them again; `modelctl explain KEY` shows what "
        "happened to one input"
    )
    return 1 if recorded and recorded.failed else 0


def _show(cause: Cause, model: Model) -> None:
    count = len(cause.letters)
    says = console.in_one_line(cause.error.message)
    console.out(f"{console.counted(count, 'dead letter')}: {cause.error.type}: {says}")
    rows = [
        (
            " ".join(letter.keys) or letter.message_id,
            " ".join(uploaded.version_id or "" for uploaded in letter.uploads),
            str(letter.tries(model)),
            times.shown(letter.sent),
        )
        for letter, _ in cause.letters[:_MOST_SHOWN]
    ]
    console.table(("  key", "version", "tries", "sent"), [(f"  {key}", *rest) for key, *rest in rows], right=("tries",))
    if count > _MOST_SHOWN:
        console.out(f"  and {count - _MOST_SHOWN:,} more")


def _show_failed(recorded: "Recorded", model: Model) -> None:
    if not recorded.failed:
        return
    shown = dict(itertools.islice(recorded.failed.items(), _MOST_SHOWN))
    for key, why in shown.items():
        console.warning(f"no result was recorded for {console.in_one_line(f'{key}: {why}')}")
    if more := len(recorded.failed) - len(shown):
        console.warning(f"nor for {console.counted(more, 'other input')}: `--json` lists them")
    console.note(
        "run the command again for these. For a message that was put into the queue by hand, it asks S3 whether the "
        "version is current. If S3 denies that, run it with permission to read the inputs bucket, or use "
        f"`modelctl redrive {model.name}`"
    )


def _recorded(recorded: "Recorded") -> dict[str, Any]:
    failed = [{"key": key, "error": why} for key, why in recorded.failed.items()]
    return {"recorded": recorded.written, "not_recorded": failed}


def _described(causes: list[Cause], model: Model) -> dict[str, Any]:
    left = _MOST_NAMED
    described = []
    for cause in causes:
        named = [
            {
                **letter.described(),
                "tries": letter.tries(model),
                "error": {"type": error.type, "message": error.message},
                "source": error.source,
            }
            for letter, error in cause.letters[:left]
        ]
        left -= len(named)
        described.append(
            {
                "type": cause.error.type,
                "message": cause.error.message,
                "count": len(cause.letters),
                "dead_letters": named,
            }
        )
    return {"causes": described}
