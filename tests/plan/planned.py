"""A plan as Terraform shows it, made readable: what is known under its own name, policies as structures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNKNOWN = "(known after apply)"


class Document(dict[str, Any]):
    """A JSON document, such as a policy, that an attribute holds as text."""


@dataclass(frozen=True)
class Plan:
    """What will be there: values by address of a resource, and outputs.

    An id or ARN that AWS chose for a resource that is there already reads as a reference to it, `${<address>.arn}`, and
    the text of a JSON object is a Document.
    """

    resources: Mapping[str, Any]
    types: Mapping[str, str]
    outputs: Mapping[str, Any]

    @classmethod
    def read(cls, document: str) -> "Plan":
        """Read what `terraform show -json` prints of a plan."""
        shown = json.loads(document)
        changes = [change for change in shown["resource_changes"] if change["mode"] == "managed"]
        names = dict(_names(changes))
        values = {
            change["address"]: _known(change["change"]["after"], change["change"]["after_unknown"])
            for change in changes
            if change["change"]["after"] is not None
        }
        return cls(
            resources={address: _named(value, names) for address, value in values.items()},
            types={change["address"]: change["type"] for change in changes},
            outputs={
                name: _named(_known(change["after"], change["after_unknown"]), names)
                for name, change in shown["output_changes"].items()
            },
        )

    def of_type(self, kind: str) -> dict[str, Any]:
        """The resources of a type by address."""
        return {address: value for address, value in self.resources.items() if self.types[address] == kind}


def _names(changes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """References by the ids and ARNs that they stand for; ARNs first, since they contain the ids."""
    there = [(change["address"], change["change"]["before"] or {}) for change in changes]
    for attribute in ("arn", "id"):
        for address, values in there:
            # A resource without an ARN has an id made from another's, and an id that is a name reads as such.
            if values.get("arn") and values["id"] != values.get("name"):
                yield values[attribute], f"${{{address}.{attribute}}}"


def _named(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case str() if value.startswith("{"):
            return Document(_named(json.loads(value), names))
        case str():
            for name, reference in names.items():
                value = value.replace(name, reference)
            return value
        case dict():
            return {key: _named(item, names) for key, item in value.items()}
        case list():
            return [_named(item, names) for item in value]
    return value


def _known(after: Any, unknown: Any) -> Any:
    """The planned value, with UNKNOWN where nobody knows it yet."""
    match unknown:
        case True:
            return UNKNOWN
        case dict():
            return {**(after or {}), **{key: _known((after or {}).get(key), item) for key, item in unknown.items()}}
        case list() if unknown:
            return [_known(item, hidden) for item, hidden in zip(after or [None] * len(unknown), unknown, strict=True)]
    return after
