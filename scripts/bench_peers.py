"""Measures peers beside our functions (`make bench-peers`): start to first answer, memory, processor time per call.

    python scripts/bench_peers.py --runs 5 --json

The first run creates environments for BentoML and MLServer, each with TensorFlow, from the locks in
scripts/requirements.
"""

import argparse
import sys
from collections.abc import Sequence

from modelctl import cli, console
from modelctl.benchmarks import peers
from modelctl.commands.arguments import print_json
from modelctl.commands.bench import count
from modelctl.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 if something could not be measured; the ratios have no goals."""
    parser = argparse.ArgumentParser(
        description="Measure BentoML, MLServer and TensorFlow in a handler next to our functions.",
        epilog="example: python scripts/bench_peers.py --runs 5 --json",
    )
    parser.add_argument("--runs", type=count, default=3, metavar="N", help="starts of each side; default: 3")
    parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    called = parser.parse_args(arguments)
    status = 1
    try:
        found = peers.measure(called.runs)
    except UserError as problem:
        says = str(problem)
    except KeyboardInterrupt:
        says, status = "interrupted", cli.INTERRUPTED
    else:
        if called.json:
            print_json({"peers": [each.document() for each in found]})
        else:
            peers.table(found)
        return 0
    console.error(says)
    if called.json:
        print_json({"error": says})
    return status


if __name__ == "__main__":
    sys.exit(main())
