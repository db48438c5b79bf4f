"""What people and programs read."""

import pytest

from modelctl import console


def test_off_a_terminal_no_cell_is_folded(capsys: pytest.CaptureFixture[str]) -> None:
    wide = "w" * 2000
    console.table(("file", "prediction"), [("a.png", wide), ("b.png", "[1]")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["file", "prediction"], ["a.png", wide], ["b.png", "[1]"]]
