"""What `modelctl predict` says of predictions."""

import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from modelctl import cli
from modelctl.commands import predict as command
from modelctl.deployed.predictions import predict
from modelctl.errors import UserError
from unit.deployed import deployment, model

TIMING = {"fetch": 1.0, "decode": 1.5, "predict": 1.0, "cold_start": False}


@pytest.mark.parametrize(
    ("predictions", "cells"),
    [
        ([{"label": "7", "score": 0.98, "top": [["7", 0.98]]}], [("a.png", "7", "0.980")]),
        ([{"label": "price", "score": 21.75}], [("a.png", "price", "21.750")]),
        (
            [{"label": None, "score": None, "top": []}, {"label": "owl", "score": 0.5, "top": [["owl", 0.5]]}],
            [("a.png, row 1", "none", ""), ("a.png, row 2", "owl", "0.500")],
        ),
        # What a model's own code gives need not be a label and its score, though it be called so.
        (
            [{"label": 7}, {"label": ["é"], "score": None}],
            [("a.png, row 1", '{"label": 7}', ""), ("a.png, row 2", '{"label": ["é"], "score": null}', "")],
        ),
        ([[0.5], "sharp"], [("a.png, row 1", "[0.5]", ""), ("a.png, row 2", '"sharp"', "")]),
        ([], [("a.png", "no rows", "")]),
    ],
)
def test_predictions_are_labels_with_scores_or_shown_as_they_are_in_a_row_each(
    predictions: list[Any], cells: list[tuple[str, str, str]]
) -> None:
    result = {"predictions": predictions, "timing_ms": TIMING}
    assert list(command.rows(Path("a.png"), result)) == [(*row, "3.5", "no") for row in cells]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Results by the name of a file, which `modelctl predict` then gets without a deployment."""
    results: dict[str, Any] = {}
    monkeypatch.setattr(command, "deployment", Mock())
    monkeypatch.setattr(command, "predict", lambda deployed, model, files, timeout: [results[f.name] for f in files])
    return results


def test_off_a_terminal_every_row_is_there_and_whole(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["a.csv"] = {"predictions": [[number] * 500 for number in range(1000)], "timing_ms": TIMING}
    assert cli.main(["predict", "wine", "a.csv"]) == 0
    said = capsys.readouterr()
    header, *rows = said.out.splitlines()
    assert header.split() == ["file", "prediction", "score", "ms", "in", "function", "cold", "start"]
    assert [row.rstrip() for row in rows] == [
        f"a.csv, row {number + 1}".ljust(17) + json.dumps([number] * 500).ljust(2500) + " " * 9 + "           3.5  no"
        for number in range(1000)
    ]
    assert said.err == ""


def test_a_terminal_gets_a_hundred_rows_per_file_each_cut_to_its_width(
    answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    answers["a.csv"] = {"predictions": [[number] * 500 for number in range(1100)], "timing_ms": TIMING}
    answers["b.csv"] = {"predictions": [{"label": "owl", "score": 0.5}], "timing_ms": TIMING}
    assert cli.main(["predict", "wine", "a.csv", "b.csv"]) == 0
    said = capsys.readouterr()
    _, *rows = re.sub(r"\x1b\[[0-9;]*m", "", said.out).splitlines()
    assert [row.split("  ")[0] for row in rows] == [f"a.csv, row {number}" for number in range(1, 101)] + ["b.csv"]
    assert {len(row) for row in rows} == {80}
    # Of 80 columns, the others take 14, 5, 14 and 10, and the gaps between them 8.
    cells = ("a.csv, row 100", "[99, 99, 99, 99, 99, 99, 99,…", " " * 5, "3.5".rjust(14), "no".ljust(10))
    assert rows[99] == "  ".join(cells)
    assert said.err == "1,000 more rows are not shown: `--output FILE` writes all of them\n"


def test_a_row_of_a_table_is_one_line_however_long(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["a.csv"] = {"predictions": [[1.5] * 220_000], "timing_ms": TIMING}
    assert cli.main(["predict", "wine", "a.csv"]) == 0
    _, row = capsys.readouterr().out.splitlines()
    assert json.dumps([1.5] * 220_000) in row


def test_output_is_written_although_nobody_reads_the_table(
    answers: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers["a.csv"] = {"predictions": [1], "timing_ms": TIMING}
    monkeypatch.setattr(command, "_show", Mock(side_effect=BrokenPipeError))
    file = tmp_path / "results.json"
    called = cli.parser().parse_args(["predict", "wine", "a.csv", "--output", str(file)])
    with pytest.raises(BrokenPipeError):
        command.run(called)
    assert json.loads(file.read_bytes()) == answers["a.csv"]


@pytest.mark.parametrize("files", [["a.csv"], ["a.csv", "b.csv"]])
def test_output_is_what_json_prints(
    files: list[str], answers: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers["a.csv"] = {"predictions": [{"label": "é", "score": 1.0}], "timing_ms": TIMING}
    answers["b.csv"] = {"error": {"type": "ShapeError", "message": "no"}, "timing_ms": TIMING}
    file = tmp_path / "results.json"
    status = cli.main(["predict", "wine", *files, "--json", "--output", str(file)])
    assert status == len(files) - 1
    said = capsys.readouterr()
    assert said.out.encode() == file.read_bytes()
    expected = [answers[name] for name in files]
    assert json.loads(said.out) == (expected if len(files) > 1 else expected[0])
    assert said.err == f"results written to {file}\n"
    assert list(tmp_path.iterdir()) == [file]


def test_output_never_replaces_a_file_and_says_so_before_anything_is_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "deployment", Mock(side_effect=AssertionError))
    (tmp_path / "a.csv").write_text("1,2,3\n")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name, says in (
        ("a.csv", "exists and is never overwritten: name another file, or remove it"),
        ("dangling", "exists and is never overwritten: name another file, or remove it"),
    ):
        # What a shell makes of `--output *.csv`.
        assert cli.main(["predict", "wine", "--output", str(tmp_path / name), "b.csv"]) == 1
        assert capsys.readouterr().err == f"error: --output: {tmp_path / name} {says}\n"
    assert (tmp_path / "a.csv").read_text() == "1,2,3\n"
    assert cli.main(["predict", "wine", "a.csv", "--output", str(tmp_path / "none" / "a.json")]) == 1
    assert (
        capsys.readouterr().err
        == f"error: --output: the folder {tmp_path / 'none'} does not exist: create it, or name another file\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device stands for a full disk, and Linux alone has it")
def test_output_that_no_disk_takes_leaves_no_file(
    answers: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers["a.csv"] = {"predictions": [1], "timing_ms": TIMING}
    (tmp_path / "results.json.partial").symlink_to("/dev/full")
    assert cli.main(["predict", "wine", "a.csv", "--json", "--output", str(tmp_path / "results.json")]) == 1
    says = (
        f"--output: {tmp_path}/results.json cannot be written: No space left on device; the results are in "
        "the results bucket"
    )
    said = capsys.readouterr()
    assert (json.loads(said.out), said.err) == ({"error": says}, f"error: {says}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_named_twice_is_told_from_two_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    scan, other, link = tmp_path / "a.png", tmp_path / "other" / "a.png", tmp_path / "link"
    scan.touch()
    other.touch()
    link.symlink_to(tmp_path)
    for files, said in (
        ([scan, scan], r"a\.png is given twice: give each file once"),
        ([scan, link / "a.png"], r"link/a\.png is given twice: give each file once"),
        ([scan, other], r"two of the files would both be uploaded as digits/a\.png: give them different names"),
    ):
        with pytest.raises(UserError, match=said):
            predict(deployment(Mock()), model("digits/", suffixes=(".png",)), files, timeout_s=1)


def test_an_input_that_was_given_up_is_shown_with_what_to_do(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"type": "CrashError", "message": "exited with status 3"}
    answers["a.csv"] = {"provisional": True, "error": error, "timing_ms": TIMING}
    answers["b.csv"] = {"error": {"type": "DecodeError", "message": "no table"}, "timing_ms": TIMING}
    assert cli.main(["predict", "wine", "a.csv", "b.csv"]) == 1
    said = capsys.readouterr()
    assert "a.csv  given up: CrashError: exited with status 3" in said.out
    assert "b.csv  DecodeError: no table" in said.out
    assert "1 of 2 inputs were given up, and their messages are dead letters" in said.err
    assert "`modelctl redrive wine`" in said.err
