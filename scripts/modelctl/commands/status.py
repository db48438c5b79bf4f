"""`modelctl status`: a row per model."""

import argparse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from modelctl import console
from modelctl.commands.arguments import Commands, add_target, command, deployment, print_json
from modelctl.deployed import queues
from modelctl.deployed.deployment import Deployment, Model


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = command(
        commands, "status", run, "show what is deployed and live, and what waits in the queues", "modelctl status"
    )
    add_target(parser)


def run(called: argparse.Namespace) -> int:
    """Print a row for every model."""
    deployed = deployment(called)
    with ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(lambda model: describe(deployed, model), deployed.models.values()))
    if called.json:
        print_json({"name": deployed.name, "target": deployed.target.name, "models": rows})
        return 0
    console.table(
        ("model", "version", "digest", "live", "runtime", "route", "queued", "in flight", "dead"),
        [
            (
                row["model"],
                row["version"],
                row["digest"][:8],
                (row["live_digest"] or "nothing")[:8],
                row["runtime"],
                " ".join(row["route"]["prefixes"])
                + (f" ({' '.join(row['route']['suffixes'])})" if row["route"]["suffixes"] else ""),
                str(row["queue"]["waiting"]),
                str(row["queue"]["in_flight"]),
                str(row["dead_letters"]),
            )
            for row in rows
        ],
        right=("queued", "in flight", "dead"),
    )
    if behind := [row["model"] for row in rows if row["live_digest"] != row["digest"]]:
        console.note(
            f"`live` does not serve what the registry asked for last: {', '.join(behind)}. The apply failed or was "
            "interrupted: apply again, which completes it or says how"
        )
    return 0


def describe(deployed: Deployment, model: Model) -> dict[str, Any]:
    """What is deployed of a model, and how many messages wait, are being worked on, and are dead letters.

    `digest` is what the last apply was asked for, `live_digest` what serves inputs; None if nothing does.
    """
    waiting, in_flight = queues.depth(deployed.sqs, model.queue_url)
    dead, taken = queues.depth(deployed.sqs, model.dead_letter_queue_url)
    return {
        "model": model.name,
        "version": model.version,
        "digest": model.digest,
        "live_digest": deployed.live_digest(model),
        "runtime": model.runtime,
        "route": {"prefixes": model.prefixes, "suffixes": model.suffixes},
        "queue": {"waiting": waiting, "in_flight": in_flight},
        "dead_letters": dead + taken,
    }
