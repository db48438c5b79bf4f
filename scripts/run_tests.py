"""Runs every test, kind by kind, and says at the end how many of which kind ran (`make test`)."""

import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelctl import console, paths, terraform

MODULES = paths.TERRAFORM / "modules"


@dataclass(frozen=True)
class Counts:
    """How the tests of one kind ended; `failed` counts errors outside of a test, too."""

    passed: int
    failed: int
    skipped: int


def main() -> int:
    """Exit status 0 if every test of every kind passed and every kind had some."""
    kinds: tuple[tuple[str, Callable[[], Counts]], ...] = (
        ("Terraform: registry module", lambda: terraform_tests(MODULES / "registry")),
        ("Terraform: AWS modules, mocked provider", lambda: terraform_tests(paths.TERRAFORM)),
        ("Python: functions and modelctl", lambda: pytest("tests/unit")),
        ("Local stack: emulator, permissions, isolation", lambda: pytest("tests/local_stack")),
        ("End to end: one apply of the platform", lambda: pytest("tests/e2e")),
    )
    rows = []
    for kind, run in kinds:
        console.note(f"\n=== {kind}")
        started = time.monotonic()
        counts = run()
        rows.append((kind, counts, time.monotonic() - started))
    console.note("")
    console.table(
        ("tests", "passed", "failed", "skipped", "seconds"),
        [(kind, str(n.passed), str(n.failed), str(n.skipped), f"{spent:.0f}") for kind, n, spent in rows],
        right=("passed", "failed", "skipped", "seconds"),
    )
    passed, failed, skipped = (sum(getattr(n, what) for _, n, _ in rows) for what in ("passed", "failed", "skipped"))
    console.out(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not all(n.passed for _, n, _ in rows) else 0


def pytest(folder: str) -> Counts:
    """Run the tests of a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--tf-binary={terraform.binary()}", f"--junitxml={report}", folder],
            cwd=paths.CHECKOUT,
            check=False,
        )
        if not report.exists():
            return Counts(0, 1, 0)
        suite = ElementTree.parse(report).getroot()[0].attrib  # noqa: S314 - pytest wrote it just now
    failed = int(suite["failures"]) + int(suite["errors"])
    skipped = int(suite["skipped"])
    # A status without a failed test is a run that broke off.
    return Counts(int(suite["tests"]) - failed - skipped, failed or int(done.returncode != 0), skipped)


def terraform_tests(module: Path) -> Counts:
    """Run the `.tftest.hcl` files of a module and of the modules below it that have their own."""
    counts = [_terraform_test(module)]
    if module == paths.TERRAFORM:
        counts += [
            _terraform_test(below.parent)
            for below in sorted(MODULES.glob("*/tests"))
            if below.parent.name != "registry"
        ]
    return Counts(*(sum(getattr(n, what) for n in counts) for what in ("passed", "failed", "skipped")))


def _terraform_test(module: Path) -> Counts:
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, **terraform.providers(), **terraform.QUIET, "TF_DATA_DIR": scratch}
        command = [terraform.binary(), f"-chdir={module}"]
        ready = subprocess.run(
            [*command, "init", "-backend=false"], env=env, capture_output=True, text=True, check=False
        )
        if ready.returncode:
            console.error(ready.stderr)
            return Counts(0, 1, 0)
        done = subprocess.run([*command, "test", "-json"], env=env, capture_output=True, text=True, check=False)
    summary = None
    for event in map(json.loads, done.stdout.splitlines()):
        if event["type"] == "test_summary":
            summary = event["test_summary"]
        elif event["type"] == "diagnostic" and event["diagnostic"]["severity"] == "error":
            console.error(f"{event['diagnostic']['summary']}: {event['diagnostic'].get('detail', '')}")
        elif event["type"] == "test_run" and event["test_run"].get("progress") == "complete":
            console.note(
                f"{module.name} {event['test_run']['path']}: {event['test_run']['run']}: {event['test_run']['status']}"
            )
    if summary is None:
        return Counts(0, 1, 0)
    return Counts(
        summary.get("passed", 0),
        summary.get("failed", 0) + summary.get("errored", 0) or int(done.returncode != 0),
        summary.get("skipped", 0),
    )


if __name__ == "__main__":
    sys.exit(main())
