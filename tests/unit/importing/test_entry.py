"""What `modelctl import` writes into a registry: one entry, and every other byte stays."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from modelctl.errors import UserError
from modelctl.importing.entry import insert

FIELDS: dict[str, Any] = {"artifact": "models/faces/artifact", "version": "1", "runtime": "litert"}


@pytest.mark.parametrize(
    ("before", "entry", "after"),
    [
        pytest.param(
            "version: 1\nmodels:\n  a:\n    runtime: litert\n",
            "  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n    runtime: litert\n",
            "",
            id="models last",
        ),
        pytest.param(
            "models:\n  a:\n    runtime: litert  # why\n",
            "  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n    runtime: litert\n",
            "\n# Of all models.\ndefaults:\n  timeout_s: 60\nversion: 1\n",
            id="models not last",
        ),
        pytest.param(
            "models:\n  a: {runtime: litert}\n\n  # The other.\n  b: {runtime: litert}\n",
            "\n  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n    runtime: litert\n",
            "# end\n",
            id="models apart from each other",
        ),
        pytest.param(
            "models:\n  a:\n    runtime: litert\n    # retries: 7\n\n  # b: {}\n",
            "  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n    runtime: litert\n",
            "\n# About all.\n",
            id="comments that belong to the block",
        ),
        pytest.param(
            "models:\n     a:\n        runtime: litert\n",
            "     faces:\n        artifact: models/faces/artifact\n        version: \"1\"\n        runtime: litert\n",
            "",
            id="another indentation",
        ),
        pytest.param(
            "models:\r\n  a:\r\n    runtime: litert\r\n",
            "  faces:\r\n    artifact: models/faces/artifact\r\n    version: \"1\"\r\n    runtime: litert\r\n",
            "version: 1\r\n",
            id="lines of Windows",
        ),
        pytest.param(
            "models:\n  a:\n    runtime: litert",
            "\n  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n    runtime: litert\n",
            "",
            id="no newline at the end",
        ),
        pytest.param(
            "version: 1\nmodels:  # none yet\n",
            "  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n    runtime: litert\n",
            "defaults: {}\n",
            id="no models",
        ),
        pytest.param(
            "version: 1\nmodels:",
            "\n  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n    runtime: litert\n",
            "",
            id="no models and no newline",
        ),
        pytest.param(
            "\ufeff---\n\"models\":\n  a:\n    description: |\n      models:\n        b: no\n",
            "  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n    runtime: litert\n",
            "version: 1\n...\n",
            id="a text that looks like models",
        ),
        pytest.param(
            "models:\n  a: &a\n    env: &env {X: \"1\"}\n    runtime: &r litert\n  b:\n    runtime: *r\n",
            "  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n    runtime: litert\n",
            "version: 1\n",
            id="the last value is an alias",
        ),
        pytest.param(
            "models:\n  a:\n    tags: {team: vision,\n      of: us}  # both\n",
            "  faces:\n    artifact: models/faces/artifact\n    version: \"1\"\n    runtime: litert\n",
            "version: 1\n",
            id="a value on several lines",
        ),
    ],
)  # fmt: skip
def test_the_entry_stands_at_the_end_of_the_models_as_the_others_are_written(
    before: str, entry: str, after: str
) -> None:
    assert insert(before + after, "faces", FIELDS) == before + entry + after


def test_braces_without_models_make_place_for_the_first() -> None:
    assert insert("models: {}  # none\nversion: 1\n", "faces", FIELDS).startswith("models:  # none\n  faces:\n")


def test_values_are_written_so_that_they_are_read_as_they_were() -> None:
    fields = {
        "artifact": "models/on/artifact",
        "version": "1",
        "signature": "yes",
        "input": {"format": "image", "size": [8, 8], "mode": "L"},
        "output": {"labels": "a: #b"},
    }
    text = insert("models:\n", "on", fields)
    assert yaml.safe_load(text) == {"models": {"on": fields}}
    assert "input: {format: image, size: [8, 8], mode: L}\n" in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version: 1\n", "has no `models:`"),
        ("- models\n", "has no `models:`"),
        ("", "has no `models:`"),
        ("models: {a: {runtime: litert}}\n", "is written on one line"),
        ("models:\n  - a\n", "write it as a block"),
        ("models: [\n", "not valid YAML"),
        ("models:\n  b: |+\n   x", "write this below `models:` yourself\n  faces:\n"),
    ],
)
def test_a_text_that_cannot_be_added_to_is_refused(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        insert(text, "faces", FIELDS)


NAMES = st.from_regex(r"[a-z][a-z0-9-]{4,9}", fullmatch=True)
COMMENTS = st.lists(st.sampled_from(["", "# a", "  # b", "    # c", "\t# d"]), max_size=3)
VALUES = st.sampled_from(
    [
        " litert",
        ' "a: b" # c',
        " {a: 1, b: [x]}",
        " |\n      text\n      # no comment",
        " >-\n      a\n\n      b",
        " 'it''s'",
    ]
)


@st.composite
def registries(draw: st.DrawFn) -> str:
    """Registries in many ways of writing, with comments and empty lines anywhere."""

    def comments() -> list[str]:
        return [line for line in draw(COMMENTS) if "\t" not in line]

    lines = [*comments(), "version: 1", *comments(), "models:", *comments()]
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        lines.append(f"  {name}:")
        lines += [f"    field{number}:{draw(VALUES)}" for number in range(draw(st.integers(1, 3)))]
        lines += comments()
    if draw(st.booleans()):
        lines += ["defaults: {timeout_s: 60}", *comments()]
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    text = "\n".join(lines).replace("\n", newline)
    # A text over several lines would have another end with a newline behind it.
    return text + (newline if "\n" in lines[-1] or draw(st.booleans()) else "")


@given(registries())
@settings(deadline=None, max_examples=300)
def test_whatever_the_file_looks_like_only_the_entry_is_added(text: str) -> None:
    changed = insert(text, "faces", FIELDS)
    read = yaml.safe_load(text)
    assert yaml.safe_load(changed) == {**read, "models": {**(read["models"] or {}), "faces": FIELDS}}
    added = len(changed) - len(text)
    assert any(
        changed[at : at + added].strip().startswith("faces:") and changed[:at] + changed[at + added :] == text
        for at in range(len(text) + 1)
    )
