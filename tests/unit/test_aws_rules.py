"""Every rule of terraform/AWS_RULES.md names a source, what relies on it, and a test that exists."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelctl import paths

PAGE = paths.TERRAFORM / "AWS_RULES.md"
CHECKED = ["rule", "source", "relied on in", "enforced by"]
UNCHECKED = ["rule", "source", "relied on in", "why not here"]


@dataclass(frozen=True)
class Rule:
    """A row of a table; `last` is what enforces it or, in a table of what nothing enforces, why."""

    text: str
    source: str
    files: list[str]
    last: str
    enforced: bool


def rules(page: str) -> Iterator[Rule]:
    """The rows of all tables.

    Raises:
        AssertionError: a table is none of rules.
    """
    header: list[str] | None = None
    for line in page.splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip() for cell in line.rstrip()[1:-1].split("|")]
        if header is None:
            assert cells in (CHECKED, UNCHECKED), f"a table of rules has other columns: {line}"
            header = cells
        elif not set(line) <= set("|-"):
            assert len(cells) == 4, f"a rule has four cells: {line}"
            text, source, files, last = cells
            yield Rule(text, source, quoted(files), last, header == CHECKED)


def quoted(cell: str) -> list[str]:
    """The text between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def defects(rule: Rule) -> list[str]:
    """What a rule lacks."""
    found = []
    if not re.fullmatch(r"\[[^]]+\]\(https://[^ )]+\)", rule.source):
        found.append("it names no page as its source")
    if not rule.files:
        found.append("it names nothing that relies on it")
    found += [f"there is no {file}" for file in rule.files if not (paths.CHECKOUT / file).exists()]
    if rule.enforced:
        checks = quoted(rule.last)
        if not checks or re.sub(r"`[^`]+`|[, ]", "", rule.last):
            found.append("it names no check")
        found += [f"there is no check {check}" for check in checks if not exists(check)]
    elif len(rule.last.split()) < 5:
        found.append("it does not say why nothing enforces it")
    return found


def exists(check: str) -> bool:
    """Whether there is such a test function, run, refused registry, inventory or place in the schema."""
    path, _, name = check.partition("::")
    path, _, pointer = path.partition("#")
    file = paths.CHECKOUT / path
    if not file.is_file():
        return False
    if path.endswith(".py"):
        return name in functions_of(file)
    if path.endswith(".tftest.hcl"):
        return name in re.findall(r'^run "([^"]+)"', file.read_text(), re.MULTILINE)
    if path.endswith(".schema.json"):
        return bool(pointer) and is_in(json.loads(file.read_text()), pointer)
    if path.startswith("tests/registries/invalid/"):
        return path.endswith(".yaml") and bool(file.with_suffix(".expected").read_text())
    return path.startswith("tests/plan/inventories/")


def functions_of(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def is_in(document: object, pointer: str) -> bool:
    """Whether a JSON pointer leads somewhere."""
    for step in pointer.strip("/").split("/"):
        if not isinstance(document, dict) or step not in document:
            return False
        document = document[step]
    return True


@pytest.mark.parametrize("rule", list(rules(PAGE.read_text())), ids=lambda rule: rule.text[:60])
def test_a_rule_has_a_source_and_a_check_that_exists(rule: Rule) -> None:
    assert defects(rule) == []


def test_there_are_rules_and_each_stands_once() -> None:
    texts = [rule.text for rule in rules(PAGE.read_text())]
    assert len(texts) > 50
    assert len(set(texts)) == len(texts)


def test_what_nothing_enforces_stands_apart() -> None:
    enforced, _, unenforced = PAGE.read_text().partition("\n## Not enforced locally\n")
    assert all(rule.enforced for rule in rules(enforced))
    assert not any(rule.enforced for rule in rules(unenforced))


GOOD_SOURCE = "[Page](https://docs.aws.amazon.com/page.html)"
GOOD_CHECK = "`tests/unit/test_aws_rules.py::test_there_are_rules_and_each_stands_once`"


@pytest.mark.parametrize(
    ("row", "defect"),
    [
        (f"| a | {GOOD_SOURCE} | `terraform/weights.tf` | |", "it names no check"),
        (f"| a | {GOOD_SOURCE} | `terraform/weights.tf` | by hand |", "it names no check"),
        (
            f"| a | {GOOD_SOURCE} | `terraform/weights.tf` | {GOOD_CHECK}, `tests/unit/test_aws_rules.py::test_gone` |",
            "there is no check tests/unit/test_aws_rules.py::test_gone",
        ),
        (
            f"| a | {GOOD_SOURCE} | `terraform/weights.tf` | `tests/gone.py::test_gone` |",
            "there is no check tests/gone.py::test_gone",
        ),
        (
            f"| a | {GOOD_SOURCE} | `terraform/weights.tf` | `terraform/tests/root.tftest.hcl::gone` |",
            "there is no check terraform/tests/root.tftest.hcl::gone",
        ),
        (
            f"| a | {GOOD_SOURCE} | `terraform/weights.tf` "
            "| `terraform/modules/registry/model_registry.schema.json#/$defs/gone` |",
            "there is no check terraform/modules/registry/model_registry.schema.json#/$defs/gone",
        ),
        (
            f"| a | {GOOD_SOURCE} | `terraform/weights.tf` | `tests/registries/valid/minimal.yaml` |",
            "there is no check tests/registries/valid/minimal.yaml",
        ),
        (f"| a | commonly known | `terraform/weights.tf` | {GOOD_CHECK} |", "it names no page as its source"),
        (f"| a | {GOOD_SOURCE} | `terraform/gone.tf` | {GOOD_CHECK} |", "there is no terraform/gone.tf"),
        (f"| a | {GOOD_SOURCE} | everything | {GOOD_CHECK} |", "it names nothing that relies on it"),
    ],
)
def test_a_rule_that_lacks_something_is_told_what(row: str, defect: str) -> None:
    (rule,) = rules(f"| {' | '.join(CHECKED)} |\n|---|---|---|---|\n{row}\n")
    assert defects(rule) == [defect]
