"""Looks for what the tests of the functions have not found yet, for a while (`make soak`).

Half of the time hypothesis runs its tests with many more examples, with another seed each round. In the other half
atheris changes objects and messages, and keeps those that reach new lines of code. What either finds stays in the
checkout: hypothesis runs it first the next time, also in `make test`; atheris leaves it in build/soak.
"""

import os
import platform
import random
import re
import subprocess
import sys
import time
from pathlib import Path

from modelctl import console, environments, paths

FUZZ = paths.CHECKOUT / "scripts" / "requirements" / "fuzz.txt"
TESTS = paths.CHECKOUT / "tests"
FOUND = paths.CHECKOUT / "build" / "soak"
#: The targets of tests/unit/functions/fuzz.py, and their shares of its time.
TARGETS = {"objects": 0.75, "messages": 0.25}


def main() -> int:
    """Exit status 1 if something was found."""
    seconds = 60 * float(sys.argv[1])
    # https://pypi.org/project/atheris/#files
    fuzzes = sys.platform == "linux" and platform.machine() == "x86_64"
    if not fuzzes:
        console.note("atheris is built for Linux on x86_64 only, so hypothesis gets all of the time.")
    rows = [hypothesis(seconds / 2 if fuzzes else seconds)]
    if fuzzes:
        with console.step("preparing atheris"):
            python = environments.ensure("fuzz", FUZZ) / "bin" / "python"
        rows += [fuzz(python, target, seconds / 2 * share) for target, share in TARGETS.items()]
    console.table(("looked at", "inputs", "seconds", "found"), rows, right=("inputs", "seconds"))
    return 1 if any(found for *_, found in rows) else 0


def hypothesis(seconds: float) -> tuple[str, str, str, str]:
    """Run the tests that make up their inputs, round after round; the last round may end later."""
    started, examples = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        seed = random.randrange(2**32)  # noqa: S311 - it only makes each round another one
        with console.step(f"hypothesis, seed {seed}"):
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pytest", "-q", "-m", "hypothesis", TESTS / "unit" / "functions"),
                    *("--hypothesis-profile=soak", f"--hypothesis-seed={seed}", "--hypothesis-show-statistics"),
                    "--show-capture=no",
                ],
                cwd=paths.CHECKOUT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        examples += sum(map(int, re.findall(r"- (\d+) passing", done.stdout)))
        if done.returncode:
            console.note(done.stdout)
            return "properties, by hypothesis", str(examples), _since(started), f"seed {seed}"
    return "properties, by hypothesis", str(examples), _since(started), ""


def fuzz(python: Path, target: str, seconds: float) -> tuple[str, str, str, str]:
    """Run atheris on one target, beginning with what it kept the last time."""
    started = time.monotonic()
    corpus = FOUND / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    with console.step(f"atheris, {target}"):
        done = subprocess.run(
            [
                *(python, TESTS / "unit" / "functions" / "fuzz.py", target, corpus),
                *(f"-max_total_time={seconds:.0f}", "-timeout=60", "-rss_limit_mb=2048", "-max_len=8192"),
                *(f"-artifact_prefix={FOUND}{os.sep}{target}-", "-print_final_stats=1"),
            ],
            env={
                "PYTHONPATH": os.pathsep.join(map(str, (paths.FUNCTIONS, TESTS))),
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # The fuzzer prints parts of its inputs.
            errors="replace",
            check=False,
        )
    tried = re.search(r"number_of_executed_units: *(\d+)", done.stdout)
    found = re.search(r"Test unit written to (\S+)", done.stdout)
    if done.returncode:
        console.note(done.stdout[-8_000:])
    kept = found[1] if found else f"status {done.returncode}" if done.returncode else ""
    return f"{target}, by atheris", tried[1] if tried else "?", _since(started), kept


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.0f}"


if __name__ == "__main__":
    sys.exit(main())
