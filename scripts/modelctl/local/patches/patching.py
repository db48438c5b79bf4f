"""Replaces parts of ministack in a way that notices if they change."""

from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any

MINISTACK = "1.5.33"


class PatchError(Exception):
    """A patch does not fit the installed ministack."""


def check_version() -> None:
    """Refuse a ministack that the patches were not written for."""
    installed = version("ministack")
    if installed != MINISTACK:
        raise PatchError(
            f"ministack {installed} is installed, but the patches were written for {MINISTACK}: install the locked "
            "version, or look through each patch and its test and raise MINISTACK in patches/patching.py"
        )


def replace(module: ModuleType, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace a module's function by `make(original)`."""
    if not callable(getattr(module, name, None)):
        raise PatchError(f"{module.__name__} has no function {name}: its patch has nothing to replace")
    setattr(module, name, make(getattr(module, name)))


def replace_entry(
    module: ModuleType, table: str, key: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Replace a function that a module finds through a table by `make(original)`."""
    entries = getattr(module, table, {})
    if not callable(entries.get(key)):
        raise PatchError(f"{module.__name__} has no {table}[{key!r}]: its patch has nothing to replace")
    entries[key] = make(entries[key])
