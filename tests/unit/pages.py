"""The pages of the docs, the examples on them (the blocks between fences), and the code that they are about."""

import re
from pathlib import Path
from typing import NamedTuple

from modelctl import paths

README = paths.CHECKOUT / "README.md"
#: The pages for users, then those for people who change Modelyard.
PAGES = (
    README,
    *sorted(paths.DOCS.glob("*.md")),
    *sorted(page for page in paths.CHECKOUT.glob("*.md") if page != README),
    paths.TERRAFORM / "AWS_RULES.md",
    paths.TERRAFORM / "modules" / "registry" / "README.md",
    paths.CHECKOUT / "scripts" / "modelctl" / "benchmarks" / "README.md",
)
#: The code, with the parts of a text joined that are on lines of their own.
SOURCES = re.sub(
    r'"\s*\n\s*f?"',
    "",
    "\n".join(
        source.read_text()
        for folder, suffix in ((paths.TERRAFORM, "tf"), (paths.CHECKOUT / "scripts", "py"), (paths.FUNCTIONS, "py"))
        for source in folder.rglob(f"*.{suffix}")
    ),
)
_FENCED = re.compile(
    r"(?:^<!-- example: (?P<mark>.+?) -->\n\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """An example."""

    page: Path
    line: int
    language: str
    text: str
    #: What the comment above it says, as in `<!-- example: scikit-learn -->`.
    mark: str | None

    def __str__(self) -> str:
        """Where it is, as the name of a test's case."""
        return f"{self.page.relative_to(paths.CHECKOUT)}:{self.line}"


def _blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            found["mark"],
        )
        for found in _FENCED.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in _blocks(page)]


def without_blocks(page: Path) -> str:
    """The text of a page outside its examples."""
    return _FENCED.sub("", page.read_text())
