"""Adds, changes, renames or removes entries in the text of a registry; every other byte stays, including comments."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from modelctl.errors import UserError
from modelctl.registry import validation

Event = Any  # of YAML; to its type, a parsed one may have no marks


def insert(text: str, name: str, fields: Mapping[str, Any], comment: str | None = None) -> str:
    """The text with one more model at the end of its block `models:`, indented and ended as the others are.

    `comment` is a line above the fields.

    Raises:
        UserError: the text is not a registry to which a line can be added.
    """
    try:
        before, after, layout = _split(text)
        document = validation.parse(text)
        entry = render(name, fields, layout, comment)
        changed = before + entry + after
        expected = {**document, "models": {**(document["models"] or {}), name: fields}}
        if validation.parse(changed) == expected:
            return changed
    except yaml.YAMLError:
        raise UserError("the registry is not valid YAML: `modelctl validate` shows the line") from None
    raise UserError(f"modelctl cannot add to the registry as it is written: add this below `models:` yourself\n{entry}")


def change(text: str, name: str, sections: Mapping[str, Mapping[str, Any]]) -> str:
    """The text with fields of a model's entry set, by section: {"batch": {"rows": 16}}.

    Raises:
        UserError: the text is not a registry in which the entry can be changed; the message shows the lines to write.
    """
    fields = [(section, field, value) for section, inner in sections.items() for field, value in inner.items()]
    try:
        document = validation.parse(text)
        entry = dict(document["models"][name])
        for section, inner in sections.items():
            entry[section] = {**(entry.get(section) or {}), **inner}
        changed = text
        for section, field, value in fields:
            changed = _set(changed, name, section, field, _value(value))
        if validation.parse(changed) == {**document, "models": {**document["models"], name: entry}}:
            return changed
    except (yaml.YAMLError, KeyError, UserError):
        pass  # the error below says what to write
    lines = "\n".join(f"  {section}.{field}: {_value(value)}" for section, field, value in fields)
    raise UserError(
        f"modelctl cannot change the registry as it is written: set this in models.{name} yourself\n{lines}"
    )


def comment(text: str, name: str, mark: str, says: str | None) -> str:
    """The text with one comment of its kind above the fields of a model's entry, in place of those that are there.

    Args:
        text: of the registry.
        name: of the model.
        mark: what comments of this kind begin with.
        says: the comment, which begins with it too; None: none remains.

    Raises:
        UserError: the entry is not a block.
    """
    document = _with_model(text, name)
    _, models = _models(text)
    key, value = _entry(models, name)
    if not isinstance(value[0], yaml.MappingStartEvent) or value[0].flow_style or _is_empty(value):
        if says is None:
            return text
        raise UserError(f"models.{name} is written on one line: write it as a block, so that a comment can be added")
    newline = "\r\n" if "\r\n" in text else "\n"
    start = text.find("\n", key.end_mark.index) + 1
    end = max(event.end_mark.index for event in value if _is_content(event))
    lines = text[start:end].splitlines(keepends=True)
    kept = "".join(line for line in lines if not line.lstrip().startswith(f"# {mark}"))
    added = f"{' ' * value[1].start_mark.column}# {says}{newline}" if says else ""
    changed = text[:start] + added + kept + text[end:]
    if _holds(changed, document):
        return changed
    raise UserError(
        f"modelctl cannot change the registry as it is written: write this into models.{name} yourself: # {says}"
    )


def remove(text: str, name: str) -> str:
    """The text without a model: its lines go, the comments inside included; what is above and below them stays.

    Raises:
        UserError: the entry cannot be removed; the message says which line keeps it.
    """
    document = _with_model(text, name)
    remaining = {model: entry for model, entry in document["models"].items() if model != name}
    _, models = _models(text)
    key, value = _entry(models, name)
    if lines := list(_lines_that_need(text, key, value)):
        raise UserError(
            f"models.{name} cannot be removed: {' and '.join(lines)}. Write the value there instead, then run the "
            "command again"
        )
    changed = _without(text, models, key)
    if _holds(changed, {**document, "models": remaining}):
        return changed
    raise UserError(f"modelctl cannot change the registry as it is written: remove models.{name} yourself")


def rename(text: str, name: str, new: str) -> str:
    """The text with another name of a model.

    Raises:
        UserError: there is a model of the new name, or the entry cannot be renamed.
    """
    document = _with_model(text, name)
    if new in document["models"]:
        raise UserError(f"there is a model {new!r} already")
    _, models = _models(text)
    key, _ = _entry(models, name)
    changed = text[: key.start_mark.index] + _value(new) + text[key.end_mark.index :]
    renamed = {new if model == name else model: entry for model, entry in document["models"].items()}
    if _holds(changed, {**document, "models": renamed}):
        return changed
    raise UserError(f"modelctl cannot change the registry as it is written: rename models.{name} yourself")


@dataclass(frozen=True)
class Layout:
    """How a file writes its models.

    Args:
        indent: spaces before a model's name.
        step: how many more are before its fields.
        newline: what ends a line.
        blank: whether an empty line stands between models.
    """

    indent: int = 2
    step: int = 2
    newline: str = "\n"
    blank: bool = False


def render(name: str, fields: Mapping[str, Any], layout: Layout, comment: str | None = None) -> str:
    """The lines of an entry."""
    lines = [f"# {comment}"] if comment else []
    lines += [f"{field}: {_value(value)}" for field, value in fields.items()]
    lines = [
        f"{' ' * layout.indent}{_value(name)}:",
        *(f"{' ' * (layout.indent + layout.step)}{line}" for line in lines),
    ]
    return (layout.newline if layout.blank else "") + "".join(line + layout.newline for line in lines)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]+", value) and yaml.safe_load(value) == value:
        return value
    # JSON is YAML, and a string in quotes is a string whatever it holds.
    return "L" if value == "L" else json.dumps(value, ensure_ascii=False)


def _split(text: str) -> tuple[str, str, Layout]:
    """The text before the new entry, the text after it, and the layout to use."""
    newline = "\r\n" if "\r\n" in text else "\n"
    key, value = _models(text)
    first, last = value[0], value[-1]
    column = key.start_mark.column
    if _is_empty(value):
        before, after = text[: first.start_mark.index].rstrip(" "), text[last.end_mark.index :]
        line, after = re.fullmatch(r"([^\n]*\n?)(.*)", after, re.DOTALL).groups()  # type: ignore[union-attr]
        before += line
        layout = Layout(column + 2, 2, newline)
    elif isinstance(first, yaml.MappingStartEvent) and not first.flow_style:
        keys = list(_entries(value))
        indent = keys[0][0].start_mark.column
        ends = [event.end_mark.index for event in value if _is_content(event)]
        before, after = _after_line(text, max(ends), indent)
        blank = len(keys) > 1 and bool(re.search(r"\n[ ]*\r?\n", text[ends[0] : keys[-1][0].start_mark.index]))
        layout = Layout(indent, _step(keys, indent) or indent - column, newline, blank=blank)
    else:
        raise UserError("`models:` is written on one line; write it as a block, so that a model can be added")
    if not before.endswith("\n"):
        before += newline
    return before, after, layout


def _with_model(text: str, name: str) -> Any:
    """The value of a registry's text.

    Raises:
        UserError: it has no such model, or is not valid YAML.
    """
    try:
        document = validation.parse(text)
    except yaml.YAMLError:
        raise UserError("the registry is not valid YAML: `modelctl validate` shows the line") from None
    models = document.get("models") if isinstance(document, dict) else None
    if not isinstance(models, dict) or not models:
        raise UserError("the registry has no models")
    if name not in models:
        known = validation.known(name, map(str, models))
        raise UserError(f"the registry has no model {name!r}; {known}")
    return document


def _holds(text: str, document: Any) -> bool:
    """Whether a text has this value, whose models may be none."""
    try:
        found = validation.parse(text)
    except yaml.YAMLError:
        return False
    return isinstance(found, dict) and {**found, "models": found.get("models") or {}} == document


def _entry(models: list[Event], name: str) -> tuple[Event, list[Event]]:
    """The key of a model, and the events of its entry.

    Raises:
        UserError: the models are written elsewhere.
    """
    entries = _entries(models) if isinstance(models[0], yaml.MappingStartEvent) else iter(())
    for key, value in entries:
        if isinstance(key, yaml.ScalarEvent) and key.value == name:
            return key, value
    raise UserError(f"modelctl cannot change the registry as it is written: change models.{name} yourself")


def _lines_that_need(text: str, key: Event, value: list[Event]) -> Iterator[str]:
    """The lines outside of an entry that take their value from an anchor in it."""
    start, end = key.start_mark.index, value[-1].end_mark.index
    anchors: dict[str, int] = {}
    events: Iterator[Event] = yaml.parse(text, yaml.SafeLoader)
    for event in events:
        inside, line = start <= event.start_mark.index < end, event.start_mark.line + 1
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if not inside and anchor in anchors:
                yield f"line {line} takes its value from it (*{anchor}, anchored in line {anchors[anchor]})"
        elif anchor and inside:
            anchors[anchor] = line
        elif anchor:
            # From here on, the anchor means this.
            anchors.pop(anchor, None)


def _without(text: str, models: list[Event], key: Event) -> str:
    """The text without the entry of this key."""
    entries = list(_entries(models))
    index = next(index for index, (other, _) in enumerate(entries) if other is key)
    _, value = entries[index]
    start, end = key.start_mark.index, max(event.end_mark.index for event in (key, *value) if _is_content(event))
    if models[0].flow_style:
        # With the comma after it or, for the last entry, before it.
        if index + 1 < len(entries):
            end = entries[index + 1][0].start_mark.index
        elif index:
            start = entries[index - 1][1][-1].end_mark.index
        else:
            end += len(re.match(r"\s*,|", text[end:])[0])  # type: ignore[index]  # it matches nothing, too
        return text[:start] + text[end:]
    start = text.rfind("\n", 0, start) + 1
    # What is further to the right is about the entry.
    above, below = text[:start], _after_line(text, end, key.start_mark.column + 1)[1]
    blank = re.compile(r"(?:[ ]*\r?\n)+")
    apart = re.search(r"\n[ ]*\r?\n\Z", above)
    if apart and (following := blank.match(below)):
        below = below[following.end() :]
    if apart and not below:
        above = above[: apart.start() + 1]
    return above + below


def _set(text: str, name: str, section: str, field: str, value: str) -> str:
    """The text with one field of an entry set."""
    newline = "\r\n" if "\r\n" in text else "\n"
    _, models = _models(text)
    entry = _of(models, name)
    inside = _of(entry, section)
    if not inside:
        return _added(text, entry, f"{section}: {{{field}: {value}}}", newline)
    if _is_empty(inside):
        return _replaced(text, inside, f"{{{field}: {value}}}")
    if found := _of(inside, field):
        return _replaced(text, found, value)
    return _added(text, inside, f"{field}: {value}", newline)


def _of(mapping: list[Event], name: str) -> list[Event]:
    """The events of a key's value; none if the mapping lacks it.

    Raises:
        UserError: it is not a mapping of its own.
    """
    if not isinstance(mapping[0], yaml.MappingStartEvent):
        raise UserError(f"the mapping that holds {name} is written elsewhere")
    values = (value for key, value in _entries(mapping) if isinstance(key, yaml.ScalarEvent) and key.value == name)
    return next(values, [])


def _added(text: str, mapping: list[Event], line: str, newline: str) -> str:
    """The text with one more key at the end of a mapping that has some."""
    end = max(event.end_mark.index for event in mapping[:-1] if _is_content(event))
    if mapping[0].flow_style:
        return f"{text[:end]}, {line}{text[end:]}"
    column = mapping[1].start_mark.column
    before, after = _after_line(text, end, column)
    ended = "" if before.endswith("\n") else newline
    return f"{before}{ended}{' ' * column}{line}{newline}{after}"


def _replaced(text: str, value: list[Event], new: str) -> str:
    """The text with another value of a key."""
    start, end = value[0].start_mark.index, value[-1].end_mark.index
    return text[:start] + ("" if text[start - 1].isspace() else " ") + new + text[end:]


def _models(text: str) -> tuple[Event, list[Event]]:
    """The key `models` and all events of its value.

    Events and not nodes, since a node that an alias stands for says where the anchor is.
    """
    around = (yaml.StreamStartEvent, yaml.DocumentStartEvent)
    events = (event for event in yaml.parse(text, yaml.SafeLoader) if not isinstance(event, around))
    start = next(events)
    if isinstance(start, yaml.MappingStartEvent) and not start.flow_style:
        while not isinstance((key := next(events)), yaml.MappingEndEvent):
            list(_subtree(key, events))
            value = list(_subtree(next(events), events))
            if isinstance(key, yaml.ScalarEvent) and key.value == "models":
                return key, value
    raise UserError("the registry has no `models:`; add that line at its end and run the command again")


def _subtree(event: Event, events: Iterator[Event]) -> Iterator[Event]:
    """The events of one value, of which `event` is the first."""
    depth = 0
    while True:
        yield event
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth == 0:
            return
        event = next(events)


def _entries(mapping: list[Event]) -> Iterator[tuple[Event, list[Event]]]:
    """The keys of a mapping, each with the events of its value."""
    events = iter(mapping[1:-1])
    for key in events:
        yield key, list(_subtree(next(events), events))


def _is_empty(value: list[Event]) -> bool:
    if len(value) == 1:
        return isinstance(value[0], yaml.ScalarEvent) and value[0].value in ("", "~", "null")
    return isinstance(value[0], yaml.MappingStartEvent) and len(value) == 2


def _is_content(event: Event) -> bool:
    """Whether an event ends where its characters do: a block ends, for the parser, after the comments behind it."""
    return bool(event.end_mark.index > event.start_mark.index) or not isinstance(event, yaml.CollectionEndEvent)


def _after_line(text: str, end: int, indent: int) -> tuple[str, str]:
    """The text up to the end of the line, and of comments below it that are indented as the block is; and the rest."""
    if text[end - 1] != "\n":
        end = (text.find("\n", end) + 1) or len(text)
    comments = re.compile(rf"(?:[ ]*\r?\n)*[ ]{{{indent},}}#[^\n]*(?:\n|\Z)")
    while belonging := comments.match(text, end):
        end = belonging.end()
    return text[:end], text[end:]


def _step(keys: list[tuple[Event, list[Event]]], indent: int) -> int | None:
    """By how many spaces the fields of a model are indented, if one is written as a block."""
    for _, value in reversed(keys):
        if isinstance(value[0], yaml.MappingStartEvent) and not value[0].flow_style:
            column: int = value[1].start_mark.column
            return column - indent
    return None
