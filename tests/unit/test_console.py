"""What people and programs read."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import rich.console

from modelctl import cli, console, targets


def test_off_a_terminal_no_cell_is_folded(capsys: pytest.CaptureFixture[str]) -> None:
    wide = "w" * 2000
    console.table(("file", "prediction"), [("a.png", wide), ("b.png", "[1]")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["file", "prediction"], ["a.png", wide], ["b.png", "[1]"]]


def test_a_name_with_a_line_break_stays_in_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(("file", "prediction"), [("a\nb\t\x1b[31m.png", "[1]"), ("é [x] :x: \u2028.png", "[2]")])
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split("  ")[0] for row in rows] == [r"a\nb\t\x1b[31m.png", r"é [x] :x: \u2028.png"]


#: It clears the screen, colours the rest, goes back to the line's beginning, and writes from right to left.
DRIVES = "a\x1b[2J\x9b31m\rb\u202e"
HARMLESS = r"a\x1b[2J\x9b31m\rb\u202e"


@pytest.mark.parametrize(
    ("say", "says"),
    [
        (console.out, "{}\n"),
        (console.note, "{}\n"),
        (console.warning, "warning: {}\n"),
        (console.error, "error: {}\n"),
        (console.agrees, "{} [y/N] \n"),
    ],
)
def test_nothing_that_is_said_drives_the_terminal(
    say: Callable[[str], object], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Keys, causes and log lines are what somebody uploaded. Lines stay lines, and what rich has for markup is none."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    say(f"{DRIVES}\n[red]é[/red] :warning:")
    said = capsys.readouterr()
    assert said.out + said.err == says.format(f"{HARMLESS}\n[red]é[/red] :warning:")
    assert console.harmless("a\tb") == "a\tb"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_step_drives_the_terminal_by_itself_alone(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = rich.console.Console(stderr=True, highlight=False, soft_wrap=True, force_terminal=is_terminal)
    monkeypatch.setattr(console, "_err", plain)
    with console.step(f"{DRIVES} [red]") as update:
        update(DRIVES)
    said = capsys.readouterr().err
    assert f"{HARMLESS} [red]" in said
    for character in ("\x1b[2J", "\x9b", "\u202e"):
        assert character not in said


def test_a_document_has_every_character_and_drives_no_terminal() -> None:
    document = {"key": "".join(map(chr, [*range(0x300), 0x202E, 0xD800, 0x1F600, 0xE0001])), "list": [{"é": DRIVES}]}
    text = console.as_json(document)
    assert json.loads(text) == document
    assert text.replace("\n", "").isprintable()
    assert "é" in text
    assert console.harmless(text) == text
    assert console.as_json({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'


def test_what_a_shell_evaluates_is_printed_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(targets, "exports", lambda: {"AWS_CA_BUNDLE": "/a\u00a0folder/ca.pem"})
    assert cli.main(["env"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "export AWS_CA_BUNDLE='/a\u00a0folder/ca.pem'"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device stands for a full disk, and Linux alone has it")
def test_output_that_no_disk_takes_is_one_clear_line() -> None:
    command: list[str | Path] = [Path(sys.executable).parent / "modelctl", "validate", "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: [Errno 28] No space left on device\n")


@pytest.mark.parametrize(
    ("answer", "agrees"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_only_a_yes_agrees_and_what_is_said_next_begins_a_line(
    answer: str, agrees: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert console.agrees("apply this?") is agrees
    # A terminal shows the line break that was typed; Ctrl-D types none.
    assert capsys.readouterr().err == "apply this? [y/N] " + ("" if answer else "\n")


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 inputs"), (1, "1 input"), (2, "2 inputs"), (2000, "2,000 inputs")]
)
def test_a_number_of_things_is_said_as_people_do(number: int, expected: str) -> None:
    assert console.counted(number, "input") == expected
