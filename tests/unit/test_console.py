"""What people and programs read."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from modelctl import console


def test_off_a_terminal_no_cell_is_folded(capsys: pytest.CaptureFixture[str]) -> None:
    wide = "w" * 2000
    console.table(("file", "prediction"), [("a.png", wide), ("b.png", "[1]")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["file", "prediction"], ["a.png", wide], ["b.png", "[1]"]]


def test_a_name_with_a_line_break_stays_in_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(("file", "prediction"), [("a\nb\t\x1b[31m.png", "[1]"), ("é [x] \u2028.png", "[2]")])
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split("  ")[0] for row in rows] == [r"a\nb\t\x1b[31m.png", r"é [x] \u2028.png"]


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
