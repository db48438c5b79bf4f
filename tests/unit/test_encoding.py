"""Text is read and written as UTF-8, whatever the locale says."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelctl import paths

SOURCES = [file for folder in ("scripts", "functions") for file in (paths.CHECKOUT / folder).rglob("*.py")]
READS_TEXT = {"read_text", "write_text"}
#: By name, the mode of a call that names none.
OPENS = {"open": "r", "fdopen": "r", "TemporaryFile": "w+b", "NamedTemporaryFile": "w+b", "SpooledTemporaryFile": "w+b"}
MODES = {mode + kind for mode in ("r", "w", "x", "a", "r+", "w+", "x+", "a+") for kind in ("", "b", "t")}
#: Methods and functions of this name that open no text.
OTHERS = {"os.open", "self.open", "archive.open"}


def text_without_an_encoding(source: str) -> Iterator[int]:
    """The lines of calls that use the locale's encoding.

    ruff's PLW1514 knows a `Path` only where it is made, and no subprocess.
    """
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func).rpartition(".")[2]
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        modes = [value.value for value in (*call.args, given.get("mode")) if isinstance(value, ast.Constant)]
        opens_text = name in OPENS and "b" not in next((mode for mode in modes if mode in MODES), OPENS[name])
        text = {"text", "universal_newlines"} & given.keys() or name in READS_TEXT or opens_text
        if text and "encoding" not in given and ast.unparse(call.func) not in OTHERS:
            yield call.lineno


@pytest.mark.parametrize(
    ("call", "found"),
    [
        *(("file.read_text()", True), ("file.read_text(encoding='utf-8')", False), ("file.write_text('b')", True)),
        *(("file.open()", True), ("file.open('rb')", False), ("open(name, 'w')", True), ("os.open(name, 0)", False)),
        *(("file.open(mode='r', newline='')", True), ("tempfile.TemporaryFile()", False), ("os.fdopen(1, 'w')", True)),
        *(("tempfile.NamedTemporaryFile('w', suffix='.b')", True), ("subprocess.run(command, text=True)", True)),
        *(("subprocess.Popen(command, encoding='utf-8')", False), ("file.read_bytes()", False)),
        *(("zipfile.ZipFile(name, 'w')", False), ("archive.open(member)", False)),
    ],
)
def test_calls_that_use_the_locales_encoding_are_found(call: str, found: bool) -> None:
    assert list(text_without_an_encoding(call)) == [1] * found


def test_every_text_has_its_encoding() -> None:
    assert len(SOURCES) > 100
    found = [
        f"{file}:{line}" for file in SOURCES for line in text_without_an_encoding(file.read_text(encoding="utf-8"))
    ]
    assert found == [], "give an `encoding`; for a subprocess it takes the place of text=True"


REGISTRY = """\
version: 1
models:
  wine:
    description: Weinprüfung, 26 °C
    artifact: models/würzig 🍷
    version: "1"
    runtime: tensorflow
"""


@pytest.mark.parametrize("command", [[Path(sys.executable).with_name("modelctl")], [sys.executable, "-m", "modelctl"]])
def test_a_registry_and_its_files_names_are_utf8_where_the_locale_is_not(
    tmp_path: Path, command: list[str | Path]
) -> None:
    path = tmp_path / "weinprüfung.yaml"
    path.write_text(REGISTRY, encoding="utf-8")
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [*command, "validate", "--json", path],
        env=os.environ | ascii_locale,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    said = '"models/würzig 🍷" does not exist; the path is relative to the registry\'s folder'
    assert [(problem["message"], problem["line"]) for problem in document["problems"]] == [(said, 5)]
    assert document["registry"] == str(path)
