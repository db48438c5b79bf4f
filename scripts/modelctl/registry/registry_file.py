"""The registry's files: a changed text is checked in a copy next to them, and replaces the file atomically."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

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
    except FileNotFoundError as problem:
        raise UserError(
            f"there is no registry {file}: give the path of one or, to start one, write the lines `version: 1` and "
            "`models:` into that file"
        ) from problem
    except OSError as problem:
        raise UserError(f"the registry {file} cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError:
        raise UserError(f"the registry {file} is not UTF-8 text; save it in that encoding") from None


def holding(registry: Path, model: str) -> Path:
    """The file of a registry that has a model: the registry's own, or one of its folder.

    Raises:
        UserError: none has it, or one of them is not YAML.
    """
    names: list[str] = []
    for file in validation.files(registry):
        models = models_in(read(file))
        if model in models:
            return file
        names += map(str, models)
    if not names:
        raise UserError(f"the registry {registry} has no models")
    raise UserError(f"the registry {registry} has no model {model!r}; {validation.known(model, names)}")


def models_in(text: str) -> dict[str, Any]:
    """The entries that a text has; none if it is not a registry."""
    try:
        return dict((validation.parse(text) or {}).get("models") or {})
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        return {}


def read_or_begin(registry: Path, file: Path) -> str:
    """The text of one of a registry's files, or of a new one in its folder.

    Raises:
        UserError: it is not YAML, or Terraform would not read it there.
    """
    if file == registry or file.exists():
        return read(file)
    return "version: 1\nmodels:\n"


def check_place(registry: Path, file: Path) -> None:
    """Refuse a file that is neither a registry's own nor one of its folder.

    Raises:
        UserError: saying where the file may be.
    """
    inside = validation.folder(registry)
    if file.resolve() == registry.resolve():
        return
    if file.resolve().parent != inside.resolve() or file.suffix != ".yaml" or file.name.startswith("."):
        raise UserError(f"{file} is not a part of the registry {registry}: name a file such as {inside / 'team.yaml'}")


def check(registry: Path, text: str, explain: Callable[[str], str], file: Path | None = None) -> dict[str, Any]:
    """The models of a registry in their normal form, if one file had another text.

    Args:
        registry: the registry.
        text: what a file of it would hold.
        explain: makes the message of the problems that it would then have.
        file: which; None for the registry's own.

    Raises:
        UserError: it would have some.
    """
    with _written_beside(registry, file or registry, text) as (changed, _):
        return _load(changed, registry, explain)


def write(
    registry: Path, change: Callable[[str], str], explain: Callable[[str], str], file: Path | None = None
) -> dict[str, Any]:
    """Change a registry, if Terraform then accepts it, and return the models in their normal form.

    Args:
        registry: the registry.
        change: makes the new text of the old; called again if somebody else changed the file meanwhile.
        explain: makes the message of the problems that it would then have.
        file: the file of the registry to change, which may be a new one in its folder; None for its own.

    Raises:
        UserError: it would have some.
    """
    file = file or registry
    while True:
        # Read again: an import may take a minute, during which somebody, or another import, may have changed it.
        text = read_or_begin(registry, file)
        with _written_beside(registry, file, change(text)) as (changed, part):
            models = _load(changed, registry, explain)
            if file.exists():
                shutil.copymode(file, part)
            if read_or_begin(registry, file) == text:
                file.parent.mkdir(exist_ok=True)
                part.replace(file.resolve())
                return models


def _load(changed: Path, registry: Path, explain: Callable[[str], str]) -> dict[str, Any]:
    try:
        return validation.load(changed)
    except UserError as problem:
        says = str(problem).replace(str(changed), str(registry))
        for copy, original in ((changed, registry), (validation.folder(changed), validation.folder(registry))):
            says = says.replace(str(copy), str(original)).replace(copy.name, original.name)
        raise UserError(explain(says)) from None


@contextmanager
def _written_beside(registry: Path, file: Path, text: str) -> Iterator[tuple[Path, Path]]:
    """A hidden copy next to a registry, with the same relative paths, in which one file has another text.

    Yields the copy and, in it, that file; what was not moved elsewhere is removed.
    """
    folder = validation.folder(registry)
    others = [path for path in validation.files(registry)[1:] if path != file]
    try:
        with tempfile.NamedTemporaryFile(
            dir=registry.parent, prefix=".import-", suffix=registry.suffix, delete=False
        ) as stream:
            stream.write(registry.read_bytes())
    except OSError as problem:
        raise UserError(f"{registry} cannot be written: {problem.strerror}") from problem
    copy = Path(stream.name)
    try:
        if others or file != registry:
            validation.folder(copy).mkdir()
            for other in others:
                shutil.copyfile(other, validation.folder(copy) / other.name)
        part = copy if file == registry else validation.folder(copy) / file.name
        part.write_bytes(text.encode())
        yield copy, part
    except OSError as problem:
        raise UserError(f"a file of {folder} cannot be copied: {problem.strerror}") from problem
    finally:
        copy.unlink(missing_ok=True)
        shutil.rmtree(validation.folder(copy), ignore_errors=True)
