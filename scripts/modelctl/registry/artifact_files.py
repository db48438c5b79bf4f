"""The files of an artifact, and its dangling links: Terraform ignores such links."""

import os
from collections.abc import Iterator
from pathlib import Path


def below(folder: Path) -> dict[str, Path]:
    """The files of a folder by their paths in it, links followed; hidden ones are not part of an artifact."""
    return {path.relative_to(folder).as_posix(): path for path in _walk(folder) if path.is_file()}


def dangling(artifact: Path) -> Iterator[str]:
    """What is wrong with each link of an artifact that leads nowhere."""
    for path in _walk(artifact):
        if not path.exists():
            target = path.readlink()
            annexed = ".git/annex/" in target.as_posix()
            way_out = "fetch it with `git annex get`" if annexed else "put the file itself in its place, or remove it"
            yield f"{path.relative_to(artifact).as_posix()} is a link to {target}, which does not exist: {way_out}"


def _walk(folder: Path) -> Iterator[Path]:
    """Everything below a folder but folders, in order; a folder that is linked into itself only once."""
    passed = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        real = os.path.realpath(parent)
        if real in passed:
            folders.clear()
            continue
        passed.add(real)
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))
