"""What the README quotes exists."""

import re

import pytest

import docs
from modelctl import paths

README = (paths.CHECKOUT / "README.md").read_text()
TROUBLES = re.findall(r"^\| `([^`]+)` \|", README.split("## Troubleshooting")[1].split("## ")[0], re.MULTILINE)
SOURCES = [
    *paths.TERRAFORM.rglob("*.tf"),
    *(paths.CHECKOUT / "scripts").rglob("*.py"),
    *paths.FUNCTIONS.rglob("*.py"),
]


@pytest.mark.parametrize("message", TROUBLES)
def test_a_message_under_troubleshooting_is_one_that_somebody_can_get(message: str) -> None:
    assert any(message in re.sub(r'"\s*\n\s*f?"', "", source.read_text()) for source in SOURCES)


def test_there_are_messages_under_troubleshooting() -> None:
    assert len(TROUBLES) >= 10


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_file_that_the_readme_links_to_exists(path: str) -> None:
    assert (paths.CHECKOUT / path).exists()


def test_the_page_of_the_registry_module_shows_what_terraform_computes() -> None:
    page = docs.REGISTRY_PAGE.read_text()
    assert docs.registry_page(page) == page


def test_the_custom_code_is_the_file_that_the_tests_run() -> None:
    shown = README.split("\n## Custom code\n")[1].split("```python\n")[1].split("```")[0]
    assert shown == (paths.CHECKOUT / "models" / "numbers" / "hooks.py").read_text()
