"""Simulates worlds until enough messages were delivered, or the world of one seed, and prints its history.

`python -m unit.functions.simulation --seed 7`, with `functions` and `tests` on PYTHONPATH.
"""

import argparse
import itertools
import sys
import time

from unit.functions.simulation.world import ViolationError, World


def main() -> int:
    """Take the arguments from the command line; exit status 1 if something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="the world to replay, or with --deliveries the first one")
    parser.add_argument("--deliveries", type=int, help="end after so many deliveries")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end after so many minutes at the latest")
    arguments = parser.parse_args()
    if arguments.deliveries is None:
        if arguments.seed is None:
            parser.error("give --seed, --deliveries, or both")
        world = World(arguments.seed)
        holds = simulate(world)
        sys.stdout.write("\n".join((*world.history, "")))
        return 0 if holds else 1

    first, started, deliveries = arguments.seed or 0, time.monotonic(), 0
    for seed in itertools.count(first):
        world = World(seed)
        if not simulate(world):
            sys.stdout.write("\n".join((*world.history, "")))
            return 1
        deliveries += world.function.deliveries
        if deliveries >= arguments.deliveries or time.monotonic() - started > 60 * arguments.minutes:
            sys.stdout.write(f"{deliveries} deliveries in {seed + 1 - first} worlds\n")
            break
    return 0


def simulate(world: World) -> bool:
    """Whether everything holds in a world; what does not is said on standard error."""
    try:
        world.run()
    except ViolationError as violation:
        sys.stderr.write(f"seed {world.seed}: {violation}\n")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
