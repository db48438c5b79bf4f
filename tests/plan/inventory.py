"""Compares a plan with an inventory: a small YAML file of what matters in it.

An inventory has `values`, by address the attributes that matter (others may be anything; a JSON document such as a
policy is compared whole), and `counts`, by type how many resources there are. `make expected` writes the values: of a
new resource or attribute an inventory needs the name only, as in `name: null`.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from plan.planned import Document, Plan


def differences(inventory: Mapping[str, Any], plan: Plan) -> list[str]:
    """Where the plan is not what the inventory says: address, attribute, what was expected and what was found."""
    return [*_values(inventory.get("values", {}), plan), *_counts(inventory.get("counts", {}), plan)]


def read(file: Path) -> Any:
    """The content of an inventory file."""
    return yaml.safe_load(file.read_text())


def rewritten(text: str, plan: Plan) -> str:
    """The text of an inventory with what the plan says of the same resources and attributes; its head comment stays."""
    inventory = yaml.safe_load(text)
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True))
    found = {
        "values": {
            address: _found(expected, plan.resources[address])
            for address, expected in inventory.get("values", {}).items()
            if address in plan.resources
        },
        "counts": {kind: len(plan.of_type(kind)) for kind in inventory.get("counts", {})},
    }
    # As JSON it has no object twice, of which YAML would make an anchor and an alias.
    found = json.loads(json.dumps(found))
    return "".join(comment) + yaml.safe_dump(found, sort_keys=False, width=120)


def _values(values: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    for address, expected in values.items():
        if address not in plan.resources:
            yield f"{address}: expected in the plan, and not found"
        else:
            for path, wanted, found in _compare(expected, plan.resources[address]):
                yield f"{address}: {path.lstrip('.')}: expected {json.dumps(wanted)}, found {json.dumps(found)}"


def _counts(counts: Mapping[str, int], plan: Plan) -> Iterator[str]:
    for kind, expected in counts.items():
        found = sorted(plan.of_type(kind))
        if len(found) != expected:
            yield f"{kind}: expected {expected}, found {len(found)}: {', '.join(found)}"


def _compare(expected: Any, found: Any, path: str = "", *, whole: bool = False) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, expected and found of each difference; `whole` says that keys not expected are differences."""
    whole = whole or isinstance(found, Document)
    match expected, found:
        case dict(), dict():
            for key in [*expected, *(found.keys() - expected.keys() if whole else ())]:
                yield from _compare(expected.get(key), found.get(key), f"{path}.{key}", whole=whole)
        # Of a list of names, as of subnets or actions, the order says nothing.
        case [str(), *_], [str(), *_]:
            if sorted(expected) != sorted(found):
                yield path, expected, found
        case list(), list() if len(expected) == len(found):
            for index, (wanted, item) in enumerate(zip(expected, found, strict=True)):
                yield from _compare(wanted, item, f"{path}[{index}]", whole=whole)
        case _ if expected != found:
            yield path, expected, found


def _found(expected: Any, found: Any, *, whole: bool = False) -> Any:
    """What was found of what is expected; what is no difference stays as it is written."""
    whole = whole or isinstance(found, Document)
    if not any(_compare(expected, found, whole=whole)):
        return expected
    match expected, found:
        case dict(), dict():
            keys = {**{key: None for key in expected if key in found or not whole}, **(found if whole else {})}
            return {key: _found(expected.get(key), found.get(key), whole=whole) for key in keys}
        case [*_, dict() as last], [dict(), *_]:
            asked = [*expected, *[last] * (len(found) - len(expected))]
            return [_found(item, other, whole=whole) for item, other in zip(asked, found, strict=False)]
    return found
