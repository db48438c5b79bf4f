"""What the docs quote and link to exists."""

import json
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

import demo
import docs
import soak
from modelctl import paths, runtimes
from modelctl.deployed import backfilling, explaining
from unit.pages import BLOCKS, PAGES, README, SOURCES, without_blocks

LINKS = [
    (page, link)
    for page in PAGES
    for link in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page))
    if not link.startswith("https://")
]
TROUBLES = re.findall(
    r"^\| `([^`]+)` \|",
    (paths.DOCS / "operations.md").read_text().split("\n## Troubleshooting\n")[1].split("\n### ")[0],
    re.MULTILINE,
)


def name(value: object) -> str:
    """A page's path in the checkout, as the name of a case."""
    return str(value.relative_to(paths.CHECKOUT)) if isinstance(value, Path) else str(value)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of a page may have after its `#`, as GitHub makes it.

    https://github.com/gjtorikian/html-pipeline/blob/v2.14.3/lib/html/pipeline/toc_filter.rb
    """
    headings = re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("message", TROUBLES)
def test_a_message_under_troubleshooting_is_one_that_somebody_can_get(message: str) -> None:
    assert message in SOURCES


def test_there_are_messages_under_troubleshooting() -> None:
    assert len(TROUBLES) >= 10


@pytest.mark.parametrize(("page", "link"), LINKS, ids=name)
def test_a_link_leads_to_a_file_and_a_heading_that_exist(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    assert target.exists()
    assert not anchor or anchor in anchors(target)


@pytest.mark.parametrize("page", sorted(paths.DOCS.glob("*.md")), ids=name)
def test_the_readme_links_to_each_page(page: Path) -> None:
    assert (README, name(page)) in LINKS


def test_the_readme_is_short() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1200


def test_the_changelog_begins_with_what_is_not_released_and_then_has_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (paths.CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    project = tomllib.loads((paths.CHECKOUT / "pyproject.toml").read_text())["project"]
    assert versions[:2] == ["Unreleased", project["version"]]


def first_column(page: Path, heading: str) -> list[str]:
    """What is in backticks in the first column of the table with this first heading."""
    _, _, below = page.read_text().partition(f"\n| {heading} |")
    rows = re.match(r"[^\n]*\n(?:\|[^\n]*\n)*", below)
    assert rows, f"{page} has no table with the heading {heading}"
    return [name for row in rows[0].splitlines()[2:] for name in re.findall("`([^`]+)`", row.split("|")[1])]


def test_each_state_of_an_input_is_explained() -> None:
    assert sorted(first_column(paths.DOCS / "operations.md", "state")) == sorted(get_args(explaining.State))


def test_each_reason_for_a_backfill_is_explained() -> None:
    assert first_column(paths.DOCS / "operations.md", "why") == list(get_args(backfilling.Reason))


def test_each_alarm_is_listed() -> None:
    alarms = json.loads(docs.SCHEMA.read_text())["$defs"]["alarms"]["properties"]
    assert sorted(first_column(paths.DOCS / "operations.md", "alarm of a model")) == sorted(alarms)


def test_each_runtime_and_what_it_takes_is_listed() -> None:
    page = paths.DOCS / "importing.md"
    assert first_column(page, "runtime") == list(runtimes.TABLE)
    for name, runtime in runtimes.TABLE.items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*?)\|", page.read_text(), re.MULTILINE)
        assert set(re.findall(r"`(\.\w+)`", row)) == {kind for kind in runtime.files if kind.startswith(".")}


def test_each_part_of_a_soak_is_listed() -> None:
    assert sorted(first_column(paths.CHECKOUT / "CONTRIBUTING.md", "`PARTS=`")) == sorted(soak.PARTS)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_a_field_of_the_registry_that_a_sentence_names_exists(page: Path) -> None:
    fields = set(first_column(paths.DOCS / "reference.md", "field"))
    sections = {field.split(".")[0] for field in fields if "." in field}
    named = re.findall(r"`([a-z_]+)\.([a-z_]+)(?:: [^`]*)?`", without_blocks(page))
    assert {f"{section}.{field}" for section, field in named if section in sections} <= fields


def test_the_readme_shows_the_table_of_the_demo() -> None:
    table = [
        re.split(r"  +", line) for line in README.read_text().splitlines() if re.match(r"(model|digits|wine) ", line)
    ]
    assert tuple(table[0]) == demo.HEADINGS[:-1]
    assert {len(row) for row in table[1:]} == {len(demo.HEADINGS) - 1, len(demo.HEADINGS)}


def test_the_readme_and_the_architecture_have_the_same_picture() -> None:
    of_readme, of_architecture = (
        next(block.text for block in BLOCKS if block.page == page and block.language == "text")
        for page in (README, paths.DOCS / "architecture.md")
    )
    assert of_readme == of_architecture


def test_generated_tables_and_values_are_as_make_docs_would_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["docs.py", "--check"])
    assert docs.main() == 0
