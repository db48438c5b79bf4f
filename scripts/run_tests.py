"""Runs every test, kind by kind, and says at the end how many of which kind ran (`make test`)."""

import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from attached import AttachedProvider
from modelctl import console, paths
from modelctl.terraform import program

MODULES = paths.TERRAFORM / "modules"


@dataclass(frozen=True)
class Counts:
    """How the tests of one kind ended; `failed` counts errors outside of a test, too."""

    passed: int
    failed: int
    skipped: int


Outcome = tuple[Counts, str]

# Tests that need a long time and share no platform with others of their folder.
LIFE = ("tests/e2e/test_lifecycle.py",)
UP = ("tests/e2e/test_up.py",)
ROUTES = ("tests/e2e/test_route_changes.py",)
REFUSED = (
    "tests/plan/test_deployer.py",
    "tests/plan/test_home.py",
    "tests/plan/test_package_type.py",
)
INTERRUPTED = ("tests/plan/test_interrupted_updates.py",)
FUNCTIONS = ("tests/unit/functions",)

# The longest first, so that those that run at once end together. Most of end to end is waiting for queues, which leaves
# the processors to others.
AT_ONCE = 5
# The first kind runs one command after another and would end last: the others have a lower priority.
GIVING_WAY = ("nice", "-n", "5")
KINDS: tuple[tuple[str, Callable[[], Outcome]], ...] = (
    ("End to end: modelctl up, again and again", lambda: pytest(*UP, giving_way=False)),
    ("Python: modelctl", lambda: pytest("tests/unit", *without(*FUNCTIONS))),
    ("End to end: one apply of the platform", lambda: pytest("tests/e2e", *without(*UP, *LIFE, *ROUTES))),
    ("End to end: routes that change", lambda: pytest(*ROUTES)),
    ("Plan and apply: updates that are refused or interrupted", lambda: pytest(*INTERRUPTED)),
    ("End to end: from the first up to down", lambda: pytest(*LIFE)),
    ("Plan and apply: permissions, another place, another package", lambda: pytest(*REFUSED)),
    ("Python: functions", lambda: pytest(*FUNCTIONS)),
    ("Plan: what AWS would be asked for", lambda: pytest("tests/plan", *without(*REFUSED, *INTERRUPTED))),
    ("Local stack: emulator, permissions, isolation", lambda: pytest("tests/local_stack")),
    ("Terraform: AWS modules, mocked provider", lambda: terraform_tests(paths.TERRAFORM)),
    ("Terraform: registry module", lambda: terraform_tests(MODULES / "registry")),
)


def main() -> int:
    """Exit status 0 if every test of every kind passed and every kind had some."""
    # Hundreds of tests start modelctl, which takes twice as long if its modules are compiled every time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = dict(zip((kind for kind, _ in KINDS), pool.map(lambda kind: timed(*kind), KINDS), strict=True))
    console.table(
        ("tests", "passed", "failed", "skipped", "seconds"),
        [(kind, str(n.passed), str(n.failed), str(n.skipped), f"{spent:.0f}") for kind, (n, spent) in outcomes.items()],
        right=("passed", "failed", "skipped", "seconds"),
    )
    counts = [n for n, _ in outcomes.values()]
    passed, failed, skipped = (sum(getattr(n, what) for n in counts) for what in ("passed", "failed", "skipped"))
    console.out(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not all(n.passed for n in counts) else 0


def timed(kind: str, run: Callable[[], Outcome]) -> tuple[Counts, float]:
    """Run the tests of one kind; what they say is shown when they are done, so that two do not talk at once."""
    console.note(f"=== {kind}: started")
    started = time.monotonic()
    counts, said = run()
    spent = time.monotonic() - started
    console.note(f"\n=== {kind}: {counts.passed} passed, {counts.failed} failed in {spent:.0f} s\n{said}")
    return counts, spent


def without(*paths: str) -> list[str]:
    """The options of pytest that leave tests out."""
    return [f"--ignore={path}" for path in paths]


def pytest(*arguments: str, giving_way: bool = True) -> Outcome:
    """Run tests: folders, files and options of pytest."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        done = subprocess.run(
            [
                *(GIVING_WAY if giving_way else ()),
                *(sys.executable, "-m", "pytest", "-q", f"--tf-binary={program.binary()}"),
                *(f"--junitxml={report}", *arguments),
            ],
            cwd=paths.CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        if not report.exists():
            return Counts(0, 1, 0), done.stdout
        suite = ElementTree.parse(report).getroot()[0].attrib  # noqa: S314 - pytest wrote it just now
    failed = int(suite["failures"]) + int(suite["errors"])
    skipped = int(suite["skipped"])
    # A status without a failed test is a run that broke off.
    counts = Counts(int(suite["tests"]) - failed - skipped, failed or int(done.returncode != 0), skipped)
    return counts, done.stdout


def terraform_tests(module: Path) -> Outcome:
    """Run the `.tftest.hcl` files of a module; the root's include those of the modules below it, but the registry's."""
    modules = [module]
    if module == paths.TERRAFORM:
        modules += [tests.parent for tests in sorted(MODULES.glob("*/tests")) if tests.parent.name != "registry"]
    outcomes = [_terraform_test(module) for module in modules]
    counts = Counts(*(sum(getattr(n, what) for n, _ in outcomes) for what in ("passed", "failed", "skipped")))
    return counts, "".join(said for _, said in outcomes)


def _terraform_test(module: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, **program.providers(), **program.QUIET, "TF_DATA_DIR": scratch}
        command = [program.binary(), f"-chdir={module}"]
        init = [*command, "init", "-backend=false", "-no-color"]
        ready = subprocess.run(init, env=env, capture_output=True, encoding="utf-8", check=False)
        if ready.returncode:
            return Counts(0, 1, 0), ready.stderr
        # It is mocked, and only asked for its schemas, in every run of every file.
        with closing(AttachedProvider()) as provider:
            attached = {**env, **provider.variables(module, env)}
            done = subprocess.run(
                [*command, "test", "-json"], env=attached, capture_output=True, encoding="utf-8", check=False
            )
    summary: dict[str, int] = {}
    said = ""
    for event in map(json.loads, done.stdout.splitlines()):
        match event["type"]:
            case "test_summary":
                summary = event["test_summary"]
            case "diagnostic" if event["diagnostic"]["severity"] == "error":
                said += f"{event['diagnostic']['summary']}: {event['diagnostic'].get('detail', '')}\n"
            case "test_run" if event["test_run"].get("progress") == "complete":
                run = event["test_run"]
                said += f"{module.name}/{run['path']}: {run['run']}: {run['status']}\n"
    failed = summary.get("failed", 0) + summary.get("errored", 0)
    # A status without a failed run is a test that broke off.
    return Counts(summary.get("passed", 0), failed or int(done.returncode != 0), summary.get("skipped", 0)), said


if __name__ == "__main__":
    sys.exit(main())
