"""The registry's file: a change of its text is checked beside it, and takes its place in one step."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelctl.errors import UserError
from modelctl.registry import validation


def read(file: Path) -> str:
    """The text of a registry.

    Raises:
        UserError: there is none, or it is not YAML.
    """
    text = _read(file)
    if problem := validation.unreadable(text.removeprefix("\ufeff")):
        raise UserError(validation.format_problem(file, problem))
    return text


def _read(file: Path) -> str:
    if file.exists() and not file.is_file():
        # Reading a pipe would never end.
        raise UserError(f"the registry {file} is not a regular file (a folder or pipe, say)")
    try:
        return file.read_bytes().decode()
    except OSError as problem:
        raise UserError(f"the registry {file} cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError:
        raise UserError(f"the registry {file} is not text in UTF-8; save it in that encoding") from None


def check(file: Path, text: str, explain: Callable[[str], str]) -> dict[str, Any]:
    """The models of a registry in their normal form, with another text.

    Args:
        file: the registry.
        text: what it would hold.
        explain: makes the message of the problems that it would then have.

    Raises:
        UserError: it would have some.
    """
    with _written_beside(file, text) as changed:
        return _load(changed, file, explain)


def write(file: Path, change: Callable[[str], str], explain: Callable[[str], str]) -> dict[str, Any]:
    """Change a registry, if it is then one that Terraform takes; returns the models in their normal form.

    Args:
        file: the registry.
        change: makes the new text of the old; called again if somebody else changed the file meanwhile.
        explain: makes the message of the problems that it would then have.

    Raises:
        UserError: it would have some.
    """
    while True:
        # Read anew: an import may take a minute, in which somebody, or another import, changed it.
        text = read(file)
        with _written_beside(file, change(text)) as changed:
            models = _load(changed, file, explain)
            shutil.copymode(file, changed)
            if _read(file) == text:
                changed.replace(file.resolve())
                return models


def _load(changed: Path, file: Path, explain: Callable[[str], str]) -> dict[str, Any]:
    try:
        return validation.load(changed)
    except UserError as problem:
        raise UserError(explain(str(problem).replace(str(changed), str(file)))) from None


@contextmanager
def _written_beside(file: Path, text: str) -> Iterator[Path]:
    """A hidden file beside another, from which the same relative paths lead; removed unless it was renamed."""
    try:
        with tempfile.NamedTemporaryFile(
            dir=file.parent, prefix=".import-", suffix=file.suffix, delete=False
        ) as stream:
            stream.write(text.encode())
    except OSError as problem:
        raise UserError(f"{file} cannot be written: {problem.strerror}") from problem
    try:
        yield Path(stream.name)
    finally:
        Path(stream.name).unlink(missing_ok=True)
