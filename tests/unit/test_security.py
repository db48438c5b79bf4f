"""Each attempt in docs/security.md names what stops it, and tests that exist and show it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from modelctl import paths
from unit.test_aws_rules import exists, quoted

PAGE = (paths.DOCS / "security.md").read_text()
STOPPED = ["attempt", "what stops it", "shown by"]


class Attempt(NamedTuple):
    """A row: who tries what, and the other cells."""

    actor: str
    text: str
    stops: str
    shown: str


def attempts(page: str) -> Iterator[Attempt]:
    """The rows of all tables of attempts, each with the heading above it."""
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        actor, _, text = section.partition("\n")
        rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines() if line.startswith("|")]
        if rows and rows[0] == STOPPED:
            yield from (Attempt(actor, *row) for row in rows[2:])


def defects(attempt: Attempt) -> list[str]:
    """What a row lacks."""
    checks = quoted(attempt.shown)
    unnamed = not checks or re.sub(r"`[^`]+`|[, ]", "", attempt.shown)
    return [
        *(["it does not say what stops it"] if not attempt.stops else []),
        *(["it names no test"] if unnamed else []),
        *(f"there is no test {check}" for check in checks if not exists(check)),
    ]


@pytest.mark.parametrize("attempt", list(attempts(PAGE)), ids=lambda attempt: attempt.text[:60])
def test_what_stops_an_attempt_is_shown_by_tests_that_exist(attempt: Attempt) -> None:
    assert defects(attempt) == []


def test_everybody_who_could_try_something_is_on_the_page() -> None:
    assert list(dict.fromkeys(attempt.actor for attempt in attempts(PAGE))) == [
        "Somebody who uploads inputs",
        "The author of a model or of hooks",
        "Somebody who calls models directly",
        "An operator",
        "A deployer, or anybody who changes the registry",
        "Somebody else in the account",
        "Somebody on the network",
    ]
    assert "\n## What is not stopped\n" in PAGE


@pytest.mark.parametrize(
    ("row", "defect"),
    [
        ("| a | b | |", "it names no test"),
        ("| a | b | by hand |", "it names no test"),
        ("| a | b | `tests/gone.py::test_gone` |", "there is no test tests/gone.py::test_gone"),
        ("| a | b | `tests/unit/test_security.py::gone` |", "there is no test tests/unit/test_security.py::gone"),
        (
            "| a | | `tests/unit/test_security.py::test_everybody_who_could_try_something_is_on_the_page` |",
            "it does not say what stops it",
        ),
    ],
)
def test_a_row_that_lacks_something_is_told_what(row: str, defect: str) -> None:
    (attempt,) = attempts(f"## Anybody\n\n| {' | '.join(STOPPED)} |\n| --- | --- | --- |\n{row}\n")
    assert defects(attempt) == [defect]
