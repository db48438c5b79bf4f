"""What starting the command changes: nothing that the programs which it starts would notice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from modelctl import cli
from modelctl.commands import logs, stack

STARTED = "import os; before = dict(os.environ); import modelctl.cli; print(os.environ == before)"


def test_its_imports_leave_the_environment_as_it_is() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", STARTED], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


CLOSED = "from modelctl import __main__, console; __main__._open_streams(); console.table(('a',), [('b',)])"


def test_a_closed_output_is_none() -> None:
    """As `>&-` leaves it; Python then has no stream there at all."""
    shell = ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-P", "-c", CLOSED]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failure_is_a_document_too_where_json_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["remove", "owls", "--registry", str(tmp_path / "none.yaml")]
    says = (
        f"there is no registry {tmp_path}/none.yaml: give the path of one or, to start one, write the lines "
        "`version: 1` and `models:` into that file"
    )
    assert cli.main([*command, "--json"]) == 1
    said = capsys.readouterr()
    assert (json.loads(said.out), said.err) == ({"error": says}, f"error: {says}\n")
    assert cli.main(command) == 1
    assert capsys.readouterr() == ("", f"error: {says}\n")


def test_so_is_an_interruption(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(logs, "deployment", interrupt)
    assert cli.main(["logs", "digits", "--json"]) == cli.INTERRUPTED
    assert json.loads(capsys.readouterr().out) == {"error": "interrupted"}


@pytest.mark.parametrize(
    ("count", "says"),
    [(1, "serves m0"), (3, "serves m0, m1, m2"), (5, "serves m0, m1, m2, m3, m4"), (6, "serves 6 models")],
)
def test_up_names_few_models_and_counts_many(count: int, says: str) -> None:
    assert stack.serves([f"m{number}" for number in range(count)]) == says
