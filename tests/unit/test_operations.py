"""The operator's session of docs/operations.md could be played today."""

import re

import pytest

from modelctl import paths

_, PAGE = (paths.DOCS / "operations.md").read_text().split("\n## A night on call\n")
COMMANDS = re.findall(r"^\$ modelctl (.+)$", PAGE, re.MULTILINE)
#: What each command prints above columns or before what it says.
HEADINGS = {
    "status": ("model", "live", "inputs", "call ms", "result s", "cold", "dead"),
    "dead": ("key", "version", "tries", "sent"),
    "redrive": ("key", "version", "tries", "sent"),
    "backfill": ("key", "version", "uploaded", "why"),
    "explain": ("key", "model", "way", "uploaded", "state", "next"),
}


def test_the_session_finds_out_decides_repairs_and_makes_sure() -> None:
    names = [command.split()[0] for command in COMMANDS]
    assert names[0] == names[-1] == "status"
    assert list(dict.fromkeys(names)) == ["status", "dead", "explain", "apply", "redrive", "backfill"]
    assert [text for text in re.findall(r"^\$ (\S+)", PAGE, re.MULTILINE) if text != "modelctl"] == []


@pytest.mark.parametrize("name", HEADINGS)
def test_the_headings_are_those_of_the_command(name: str) -> None:
    shown = "".join(re.findall(rf"\$ modelctl {name} .*\n((?:(?!```).*\n)*)", PAGE))
    source = (paths.CHECKOUT / "scripts" / "modelctl" / "commands" / f"{name}.py").read_text()
    for heading in HEADINGS[name]:
        assert re.search(rf"(^|\s){heading}(\s|$)", shown, re.MULTILINE), heading
        assert re.search(rf'"\s*{heading}"', source), heading
