"""Rewrites the files that tests compare the product's output with, and shows the difference (`make expected`).

These are the problems of the invalid registries, the inventories of the plan, and its costs at rest.
"""

import difflib
import sys

from rich.console import Console

import run_tests
from modelctl import console, paths

TESTS = ("tests/unit/test_registry.py", "tests/plan/test_inventories.py", "tests/plan/test_costs.py")
REWRITTEN = ("tests/registries/invalid/**/*.expected", "tests/plan/inventories/*.yaml", "tests/plan/costs.yaml")


def main() -> int:
    """Exit status 1 if a file could not be rewritten."""
    before = contents()
    with console.step("rewriting what the tests expect"):
        counts, said = run_tests.pytest("--rewrite-expected", *TESTS)
    after = contents()
    changed = [file for file in sorted(before | after) if before.get(file) != after.get(file)]
    for file in changed:
        difference(file, before.get(file, ""), after.get(file, ""))
    console.note(f"{len(changed)} of {len(after)} files changed")
    if counts.failed:
        console.error(f"not every file could be rewritten:\n{said}")
    return 1 if counts.failed else 0


def contents() -> dict[str, str]:
    """The files by their path in the checkout."""
    files = (file for pattern in REWRITTEN for file in paths.CHECKOUT.glob(pattern))
    return {str(file.relative_to(paths.CHECKOUT)): file.read_text(encoding="utf-8") for file in files}


def difference(file: str, before: str, after: str) -> None:
    """Print what changed in a file, in colour on a terminal."""
    terminal = Console(highlight=False, soft_wrap=True)
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), file, file, lineterm=""):
        terminal.print(line, style={"+": "green", "-": "red"}.get(line[:1]), markup=False)


if __name__ == "__main__":
    sys.exit(main())
