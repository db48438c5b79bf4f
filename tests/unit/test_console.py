"""What people and programs read."""

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
