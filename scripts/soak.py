"""Looks for what the tests have not found yet (`make soak`), part by part.

`functions` takes MINUTES. Half of the time hypothesis runs its tests with many more examples, with another seed each
round. In the other half atheris changes objects and messages, and keeps those that reach new lines of code. What either
finds stays in the checkout: hypothesis runs it first the next time, also in `make test`; atheris leaves it in
build/soak.

`interrupted` runs the cases of other tests that are marked `soak`. Then it takes MINUTES, too: `modelctl up` is broken
off at one point after the other, and the next one heals it.

The others take what they take: `load` uploads thousands of inputs at once, of which some bring every fault along, and
prints where each ended, `models` is one `modelctl up` of 100 models, and one of 300, `nodes` serves ONNX's backend node
tests, `conversions` imports classifiers that pinned packages have converted, `old` models that the last TensorFlow with
Keras 2 writes, `simulation` delivers a million messages in simulated worlds, and `repeated` runs the tests of the local
stack twenty times beside two busy loops.
"""

import json
import os
import platform
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import run_tests
from modelctl import console, paths
from modelctl.packaging import environments

FUZZ = paths.CHECKOUT / "scripts" / "requirements" / "fuzz.txt"
TESTS = paths.CHECKOUT / "tests"
FOUND = paths.CHECKOUT / "build" / "soak"
#: The targets of tests/unit/functions/fuzz.py, and their shares of its time.
TARGETS = {"objects": 0.75, "messages": 0.25}
#: How often the tests of the local stack run.
TIMES = 20
BUSY_LOOPS = 2
#: Messages that simulated worlds deliver, and minutes after which they are enough in any case.
DELIVERIES = 1_000_000
SIMULATION_MINUTES = 60
# It ends with whoever started it, also with one that is killed.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


#: What was looked at, how many inputs, rounds or tests, how many seconds, and what was found if anything.
Row = tuple[str, str, str, str]


def main() -> int:
    """Take the minutes and the parts from the command line, none for all; exit status 1 if something was found."""
    seconds, chosen = 60 * float(sys.argv[1]), sys.argv[2:] or list(PARTS)
    if unknown := set(chosen) - PARTS.keys():
        console.error(f"there are no parts named {', '.join(sorted(unknown))}; the parts are: {', '.join(PARTS)}")
        return 2
    rows = [row for part in chosen for row in PARTS[part](seconds)]
    console.table(("looked at", "inputs", "seconds", "found"), rows, right=("inputs", "seconds"))
    return 1 if any(found for *_, found in rows) else 0


def functions(seconds: float) -> list[Row]:
    """Inputs and messages that break a function."""
    # https://pypi.org/project/atheris/#files
    fuzzes = sys.platform == "linux" and platform.machine() == "x86_64"
    if not fuzzes:
        console.note("atheris is built for Linux on x86_64 only, so hypothesis gets all of the time.")
    rows = [hypothesis(seconds / 2 if fuzzes else seconds)]
    if fuzzes:
        with console.step("preparing atheris"):
            python = environments.ensure("fuzz", FUZZ) / "bin" / "python"
        rows += [fuzz(python, target, seconds / 2 * share) for target, share in TARGETS.items()]
    return rows


def interrupted(seconds: float) -> list[Row]:
    """Points at which `modelctl up` is broken off, as many as there is time for."""
    os.environ["MODELYARD_SOAK_S"] = str(seconds)
    return [
        tests("updates, refused or interrupted elsewhere", "-m", "soak", "tests/plan", "tests/e2e"),
        tests("packages for AWS, built twice", "-m", "soak", "tests/unit/test_packages.py"),
        tests("up, interrupted", "tests/endurance/test_broken_off.py"),
    ]


def models(_: float) -> list[Row]:
    """As many models as one bucket notifies of, and as a bus has rules for; and more inputs than fit into memory."""
    return [
        tests("up of 100 and of 300 models", "tests/endurance/test_hundred_models.py"),
        tests("backfill of a million inputs", "tests/endurance/test_million_inputs.py"),
    ]


def load(_: float) -> list[Row]:
    """A burst of uploads, and uploads with all faults mixed; shows where they ended."""
    started = time.monotonic()
    with console.step("uploads under load and faults"):
        # Not captured: what the tests print is what they report.
        counts, said = run_tests.pytest("-s", "tests/endurance/test_load.py")
    console.note(said)
    found = f"{counts.failed} failed" if counts.failed else ""
    return [("uploads under load and faults", str(counts.passed), _since(started), found)]


def conversions(_: float) -> list[Row]:
    """Models of other libraries, and a converter that crashes."""
    return [tests("conversions", "tests/endurance/test_conversions.py")]


def nodes(_: float) -> list[Row]:
    """ONNX's backend node tests, each model in three forms and asked in three ways."""
    started = time.monotonic()
    FOUND.mkdir(parents=True, exist_ok=True)
    report = FOUND / "nodes.json"
    report.unlink(missing_ok=True)
    with console.step("ONNX's node tests"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", TESTS / "unit" / "functions" / "onnx_nodes.py", report],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (paths.FUNCTIONS, TESTS)))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
    if not report.exists():
        console.note(done.stdout)
        return [("ONNX's node tests", "?", _since(started), f"status {done.returncode}")]
    tally = json.loads(report.read_bytes())
    for wrong in tally["wrong"]:
        console.note(wrong)
    found = "see above" if tally["wrong"] else ""
    rows = [("ONNX's node tests: wrong", str(len(tally["wrong"])), _since(started), found)]
    for form, right in tally["right"].items():
        rows.append((f"{form}: right", str(right), "", ""))
        rows += [(f"{form}: refused, {why}", str(count), "", "") for why, count in tally["refused"][form].items()]
        rows.append((f"{form}: not run by ONNX Runtime", str(tally["unusable"][form]), "", ""))
    return rows


def old(_: float) -> list[Row]:
    """Models of Keras 2, written by the last TensorFlow that includes it."""
    # https://pypi.org/project/tensorflow-cpu/2.15.1/#files
    if sys.version_info >= (3, 12) or sys.platform != "linux" or platform.machine() != "x86_64":
        console.note("TensorFlow 2.15 is built for Python 3.11 on Linux on x86_64, so its models are not imported.")
        return []
    return [tests("models of Keras 2", "tests/endurance/test_old_models.py")]


def repeated(_: float) -> list[Row]:
    """The tests of the local stack, again and again on a machine that is busy."""
    with ExitStack() as loops:
        for _ in range(BUSY_LOOPS):
            loops.callback(subprocess.Popen([sys.executable, "-c", BUSY]).kill)
        return [tests(f"the local stack, {run} of {TIMES}", "tests/local_stack") for run in range(1, TIMES + 1)]


def simulation(_: float) -> list[Row]:
    """The function in simulated worlds, each that of a seed."""
    started, seed = time.monotonic(), random.randrange(10**9)  # noqa: S311 - it only makes each run another one
    with console.step(f"simulated worlds, from seed {seed}"):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "unit.functions.simulation", "--seed", str(seed)),
                *("--deliveries", str(DELIVERIES), "--minutes", str(SIMULATION_MINUTES)),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (paths.FUNCTIONS, TESTS)))},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    if done.returncode:
        console.note(done.stdout + done.stderr)
        violated = re.match(r"seed \d+", done.stderr)
        return [("simulated worlds", "?", _since(started), violated[0] if violated else f"status {done.returncode}")]
    return [("simulated worlds: deliveries", done.stdout.split()[0], _since(started), "")]


def tests(what: str, *arguments: str) -> Row:
    """Run tests, as pytest's arguments say; their count is that of those that passed."""
    started = time.monotonic()
    with console.step(what):
        counts, said = run_tests.pytest(*arguments)
    if counts.failed:
        console.note(said)
    return what, str(counts.passed), _since(started), f"{counts.failed} failed" if counts.failed else ""


def hypothesis(seconds: float) -> Row:
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
                encoding="utf-8",
                check=False,
            )
        examples += sum(map(int, re.findall(r"- (\d+) passing", done.stdout)))
        if done.returncode:
            console.note(done.stdout)
            return "properties, by hypothesis", str(examples), _since(started), f"seed {seed}"
    return "properties, by hypothesis", str(examples), _since(started), ""


def fuzz(python: Path, target: str, seconds: float) -> Row:
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


PARTS: dict[str, Callable[[float], list[Row]]] = {
    "conversions": conversions,
    "functions": functions,
    "interrupted": interrupted,
    "load": load,
    "models": models,
    "nodes": nodes,
    "old": old,
    "repeated": repeated,
    "simulation": simulation,
}


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.0f}"


if __name__ == "__main__":
    sys.exit(main())
