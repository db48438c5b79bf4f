"""`modelctl status`: a row per model, those in trouble first."""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from modelctl import console, times
from modelctl.commands.arguments import Commands, add_since, add_target, command, deployment, print_json
from modelctl.deployed import activity, listings, queues
from modelctl.deployed.activity import Activity
from modelctl.deployed.deployment import Deployment, Model
from modelctl.errors import UserError

#: Seconds between two readings. CloudWatch has new metrics once per minute, and charges for each that is read.
_WATCH_EVERY_S = {"local": 5, "aws": 60}

Row = dict[str, Any]


def add_to(commands: Commands) -> None:
    """Describe the command."""
    does = "show what is wrong, worst first, and for each model what is live, what it did and how much is waiting"
    parser = command(commands, "status", run, does, "modelctl status --since 24h")
    add_since(parser)
    parser.add_argument(
        "--watch",
        action="store_true",
        help="refresh until Ctrl-C: every five seconds on the local stack, every minute on AWS",
    )
    add_target(parser)


def run(called: argparse.Namespace) -> int:
    """Print a row for every model."""
    if called.watch and called.json:
        raise UserError("--watch never ends, and --json prints one document: use one of them")
    deployed = deployment(called)
    ago = datetime.now(UTC) - called.since
    if not called.watch:
        document = describe(deployed, called.since)
        if called.json:
            print_json(document)
        else:
            _show(document)
        return 0
    try:
        while True:
            document = describe(deployed, datetime.now(UTC) - ago)
            console.start_over()
            _show(document)
            time.sleep(_WATCH_EVERY_S[deployed.target.name])
    except KeyboardInterrupt:
        return 0


def describe(deployed: Deployment, since: datetime) -> Row:
    """What is deployed, what it has done since a point in time and its state now, with the models in trouble first."""
    with ThreadPoolExecutor(16) as pool:
        did = pool.submit(activity.read, deployed, since)
        states = list(pool.map(lambda model: _state(deployed, model), deployed.models.values()))
    rows = [
        _row(state, did.result()[name], model.visibility_timeout_s)
        for state, (name, model) in zip(states, deployed.models.items(), strict=True)
    ]
    # Models with equally many troubles are in the order of their names.
    rows.sort(key=lambda row: -len(row["trouble"]))
    return {"name": deployed.name, "target": deployed.target.name, "since": times.iso(since), "models": rows}


def _state(deployed: Deployment, model: Model) -> Row:
    """What is deployed for a model, and how many messages wait, are in flight, and are dead letters.

    `digest` is what the last apply was to deploy; `live_digest` is what serves inputs, or None if nothing does.
    """
    waiting, in_flight = queues.depth(deployed.sqs, model.queue_url)
    dead, taken = queues.depth(deployed.sqs, model.dead_letter_queue_url)
    live = deployed.live(model)
    if live is None and waiting:
        # S3's test event, which is not an input, is still in the queue: there are no more inputs than uploads.
        waiting = listings.uploads(deployed, model, waiting)
    return {
        "model": model.name,
        "version": model.version,
        "digest": model.digest,
        "live_version": live.version if live else None,
        "live_digest": live.digest if live else None,
        "runtime": model.runtime,
        "route": {"prefixes": model.prefixes, "suffixes": model.suffixes},
        "queue": {"waiting": waiting, "in_flight": in_flight},
        "dead_letters": dead + taken,
    }


def _row(state: Row, did: Activity, next_try_s: int) -> Row:
    # A queue that is empty now may have been full a minute ago, when SQS sent its last metrics.
    oldest_s = did.oldest_s if any(state["queue"].values()) else 0
    queue = {**state["queue"], "oldest_s": oldest_s}
    tried_again = 0
    if oldest_s > next_try_s:
        # If no message waits, those in flight are that old and have failed before. If one waits, it may be that old
        # without an attempt, so only what the function has sent back counts.
        in_queue = queue["waiting"] + queue["in_flight"]
        tried_again = min(did.sent_back, in_queue) if queue["waiting"] else queue["in_flight"]
    row = {**state, **asdict(did), "queue": queue, "tried_again": tried_again, "alarms": list(did.alarms)}
    del row["oldest_s"], row["sent_back"]
    return {**row, "trouble": list(_trouble(row)), "next": _next(row, did.alarms)}


def _trouble(row: Row) -> Iterator[str]:
    """What is wrong with a model, the worst first."""
    if row["live_digest"] is None:
        yield "nothing is live"
    elif (row["live_version"], row["live_digest"]) != (row["version"], row["digest"]):
        asked = _release(row["version"], row["digest"])
        yield f"live is {_release(row['live_version'], row['live_digest'])} instead of {asked}"
    if row["dead_letters"]:
        yield console.counted(row["dead_letters"], "dead letter")
    if row["tried_again"]:
        oldest = f"the oldest for {_age(row['queue']['oldest_s'])}"
        yield f"{console.counted(row['tried_again'], 'input')} being tried again, {oldest}"
    if row["errors"]:
        yield f"{row['errors']:,} of {console.counted(row['calls'], 'call')} failed"
    if row["throttles"]:
        yield f"{console.counted(row['throttles'], 'call')} throttled"
    if _refuses(row):
        yield f"{row['refused']:,} of {console.counted(row['inputs'], 'input')} refused"
    if row["alarms"]:
        yield f"{'alarm' if len(row['alarms']) == 1 else 'alarms'} {', '.join(row['alarms'])}"


def _next(row: Row, alarms: Mapping[str, str | None]) -> list[str]:
    """The commands that say more about what is wrong with a model."""
    following = list(dict.fromkeys(_commands(row, alarms)))
    return [f"modelctl logs {row['model']}"] if alarms and not following else following


def _commands(row: Row, alarms: Mapping[str, str | None]) -> Iterator[str]:
    if row["dead_letters"]:
        yield f"modelctl dead {row['model']}"
    if row["errors"] or row["throttles"] or row["tried_again"]:
        yield f"modelctl logs {row['model']} --errors"
    if _refuses(row):
        yield f"modelctl errors {row['model']}"
    yield from (command for command in alarms.values() if command and not command.startswith("modelctl status"))


def _refuses(row: Row) -> bool:
    """Whether enough inputs are refused for an alarm to fire; a few refused inputs are normal."""
    return any(alarm.startswith("input_error") for alarm in row["alarms"])


def _show(document: Row) -> None:
    rows = document["models"]
    _show_trouble(document)
    columns = {
        "model": [row["model"] for row in rows],
        "live": [_live(row) for row in rows],
        "inputs": [_number(row["inputs"]) for row in rows],
        "refused": [_number(row["refused"]) for row in rows],
        "call ms": [_milliseconds(row["call_ms"]) for row in rows],
        "result s": [_seconds(row["result_ms"]) for row in rows],
        "cold": [_number(row["cold_starts"]) for row in rows],
        "queued": [_number(row["queue"]["waiting"]) for row in rows],
        "in flight": [_number(row["queue"]["in_flight"]) for row in rows],
        "oldest": [_age(row["queue"]["oldest_s"]) for row in rows],
        "dead": [_number(row["dead_letters"]) for row in rows],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    in_trouble = {row["model"] for row in rows if row["trouble"]}
    console.table(
        tuple(shown),
        list(zip(*shown.values(), strict=True)),
        right=tuple(shown.keys() - {"model", "live"}),
        style=lambda cells: "red" if cells[0] in in_trouble else "",
    )
    if behind := [row["model"] for row in rows if row["live_digest"] != row["digest"]]:
        console.note(
            f"`live` does not serve what the last apply asked for: {', '.join(behind)}. The apply failed or was "
            "interrupted: apply again to complete it, or to see what is missing"
        )


def _show_trouble(document: Row) -> None:
    """Print a line about all models, and one per model in trouble."""
    rows: Sequence[Row] = document["models"]
    where = "AWS" if document["target"] == "aws" else "the local stack"
    since = times.shown(datetime.fromisoformat(document["since"]))
    worst = [row for row in rows if row["trouble"]]
    state = f"{len(worst)} of {console.counted(len(rows), 'model')} in trouble" if worst else "no trouble"
    if not rows:
        state = "no models"
    console.out(f"{document['name']} on {where} since {since}: {state}")
    for row in worst:
        console.out(f"  {row['model']}: {'; '.join(row['trouble'])}")
        if row["next"]:
            console.out(f"    see {', '.join(f'`{following}`' for following in row['next'])}")
    console.out("")


def _release(version: str, digest: str) -> str:
    return f"{version} ({digest[:8]})"


def _live(row: Row) -> str:
    return "nothing" if row["live_digest"] is None else _release(row["live_version"], row["live_digest"])


def _number(number: int) -> str:
    """A number, but "" for zero, so that a column of zeros is left out."""
    return f"{number:,}" if number else ""


def _age(seconds: int) -> str:
    now = datetime.now(UTC)
    return times.ago(now - timedelta(seconds=seconds), now) if seconds else ""


def _milliseconds(found: Row | None) -> str:
    return "" if found is None else f"{found['p50']:,.0f} / {found['p95']:,.0f}"


def _seconds(found: Row | None) -> str:
    return "" if found is None else f"{found['p50'] / 1000:,.1f} / {found['p95'] / 1000:,.1f}"
