"""Which deployed model takes a key, by which prefix and suffix; or why none does, and which one was closest."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from inference import keys
from modelctl.deployed.deployment import Model
from modelctl.registry import validation
from modelctl.terraform import plans

#: How similar two folders must be, from 0 to 1, for one to count as a misspelling of the other.
_ALIKE = 0.7


@dataclass(frozen=True)
class Taken:
    """The route by which a model takes a key."""

    model: Model
    prefix: str
    #: None: the model takes every suffix.
    suffix: str | None

    @property
    def why(self) -> str:
        """What the key has in common with the route."""
        ends = "" if self.suffix is None else f" and ends with {self.suffix}"
        return f"the key begins with {self.prefix}{ends}"


@dataclass(frozen=True)
class NotTaken:
    """Why no model takes a key."""

    why: str
    #: The model with the closest route, if any was close.
    nearest: Model | None = None
    #: A key under which that model would take the object.
    instead: str | None = None


class Routes:
    """The routes of all models of a deployment.

    This relies on two guarantees of the registry: a prefix is a sequence of whole folders, so only the folders of a key
    need to be looked up; and no key matches two models.
    """

    def __init__(self, models: Iterable[Model]) -> None:
        self._by_prefix: dict[str, list[Model]] = {}
        for model in models:
            for prefix in model.prefixes:
                self._by_prefix.setdefault(prefix, []).append(model)

    def find(self, key: str) -> Taken | NotTaken:
        """The route that takes a key, or why none does."""
        return self._taken(key) or self._not_taken(key)

    def _taken(self, key: str) -> Taken | None:
        for prefix, model in self._above(key):
            for suffix in model.suffixes or (None,):
                if keys.is_routed(key, (prefix,), () if suffix is None else (suffix,)):
                    return Taken(model, prefix, suffix)
        return None

    def _above(self, key: str) -> Iterator[tuple[str, Model]]:
        """The prefixes that a key is under, longest first, each with the models that have it."""
        for folder in _folders(key):
            for model in self._by_prefix.get(folder, ()):
                yield folder, model

    def _not_taken(self, key: str) -> NotTaken:
        for prefix, model in self._above(key):
            return _wrong_suffix(key, prefix, model)
        # The whole route may be right, but not the start of the key.
        for place in (index + 1 for index, character in enumerate(key) if character == "/"):
            if taken := self._taken(key[place:]):
                return NotTaken(
                    f"a prefix must be at the start of the key, but {taken.prefix} of {taken.model.name} comes after "
                    f"{key[:place]!r}",
                    taken.model,
                    key[place:],
                )
        if near := self._misspelt(key):
            folder, prefix = near
            case = "; S3 distinguishes upper and lower case" if folder.lower() == prefix.lower() else ""
            model = self._by_prefix[prefix][0]
            instead = prefix + key[len(folder) :]
            if model.takes(instead):
                return NotTaken(f"the key begins with {folder}, but {model.name} takes {prefix}{case}", model, instead)
            only = f"only with {' or '.join(model.suffixes)}"
            return NotTaken(f"the key begins with {folder}, but {model.name} takes {prefix}, {only}{case}", model)
        begins = f"no model has a prefix like {key.partition('/')[0]}/" if "/" in key else "the key is not in a folder"
        return NotTaken(f"{begins}; the prefixes are {plans.some(sorted(self._by_prefix))}")

    def _misspelt(self, key: str) -> tuple[str, str] | None:
        """A folder of the key, and the prefix with as many folders that it may be a misspelling of."""
        for folder in _folders(key):
            alike = [prefix for prefix in self._by_prefix if prefix.count("/") == folder.count("/")]
            near = validation.meant(folder, alike)
            for prefix in [near] if near else difflib.get_close_matches(folder, alike, n=1, cutoff=_ALIKE):
                return folder, prefix
        return None


def _folders(key: str) -> list[str]:
    """The folders that a key is in, innermost first: `a/b/`, then `a/` for `a/b/c.png`."""
    return [key[: index + 1] for index in range(len(key) - 1, -1, -1) if key[index] == "/"]


def _wrong_suffix(key: str, prefix: str, model: Model) -> NotTaken:
    takes = f"{model.name} takes {prefix} only with {' or '.join(model.suffixes)}"
    if key.endswith("/"):
        return NotTaken(f"{takes}, but the key ends with a slash, like a folder in the console", model)
    for suffix in model.suffixes:
        end = key[-len(suffix) :]
        if end.lower() == suffix.lower():
            return NotTaken(
                f"{takes}, but the key ends with {end}; S3 distinguishes upper and lower case",
                model,
                key[: -len(suffix)] + suffix,
            )
    name = key.rpartition("/")[2]
    dot = name.rfind(".")
    return NotTaken(
        f"{takes}, but the key ends with {name[dot:]}" if dot >= 0 else f"{takes}, but the key has no suffix", model
    )
