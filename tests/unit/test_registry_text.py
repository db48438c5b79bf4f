"""What `modelctl import` writes into a registry: one entry, or fields of one, and every other byte stays."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from modelctl.errors import UserError
from modelctl.registry.registry_text import change, comment, insert, remove, rename

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
        ("models:\n  b: |+\n   x", "add this below `models:` yourself\n  faces:\n"),
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


# --- fields of an entry -----------------------------------------------------------------------------------------------

ROWS: dict[str, dict[str, Any]] = {"batch": {"rows": 64}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "models:\n  a:\n    runtime: onnx  # why\n    # of a\n\n  # of b\n  b:\n    runtime: onnx\n",
            "models:\n  a:\n    runtime: onnx  # why\n    # of a\n    batch: {rows: 64}\n\n  # of b\n  b:\n"
            "    runtime: onnx\n",
            id="no section",
        ),
        pytest.param(
            "models:\n    b: {}\n    a:\n          runtime: onnx",
            "models:\n    b: {}\n    a:\n          runtime: onnx\n          batch: {rows: 64}\n",
            id="another indentation and no newline at the end",
        ),
        pytest.param(
            "models:\r\n  a:\r\n    runtime: onnx\r\n",
            "models:\r\n  a:\r\n    runtime: onnx\r\n    batch: {rows: 64}\r\n",
            id="lines of Windows",
        ),
        pytest.param(
            "models:\n  a: {runtime: onnx}  # c\n",
            "models:\n  a: {runtime: onnx, batch: {rows: 64}}  # c\n",
            id="an entry on one line",
        ),
        pytest.param(
            "models: {a: {runtime: onnx}, b: {}}\n",
            "models: {a: {runtime: onnx, batch: {rows: 64}}, b: {}}\n",
            id="all models on one line",
        ),
        pytest.param(
            "models:\n  a:\n    batch: {window_s: 1}  # w\n    runtime: onnx\n",
            "models:\n  a:\n    batch: {window_s: 1, rows: 64}  # w\n    runtime: onnx\n",
            id="a section on one line",
        ),
        pytest.param(
            "models:\n  a:\n    batch: {window_s: 1,  # w\n      size: 3, }\n",
            "models:\n  a:\n    batch: {window_s: 1,  # w\n      size: 3, rows: 64, }\n",
            id="a section in braces on several lines",
        ),
        pytest.param(
            "models:\n  a:\n    batch:  # w\n      window_s: 1  # b\n      # more\n    runtime: onnx\n",
            "models:\n  a:\n    batch:  # w\n      window_s: 1  # b\n      # more\n      rows: 64\n    runtime: onnx\n",
            id="a section as a block",
        ),
        pytest.param(
            "models:\n  a:\n    batch: {rows: 0, window_s: 1}\n",
            "models:\n  a:\n    batch: {rows: 64, window_s: 1}\n",
            id="the field, on one line",
        ),
        pytest.param(
            "models:\n  a:\n    batch:\n      rows: null  # old\n      window_s: 1\n",
            "models:\n  a:\n    batch:\n      rows: 64  # old\n      window_s: 1\n",
            id="the field, in a block",
        ),
        pytest.param(
            "models:\n  a:\n    batch:\n      rows:\n    runtime: onnx\n",
            "models:\n  a:\n    batch:\n      rows: 64\n    runtime: onnx\n",
            id="the field without a value",
        ),
        pytest.param(
            "models:\n  a:\n    batch:  # none\n    runtime: onnx\n",
            "models:\n  a:\n    batch: {rows: 64}  # none\n    runtime: onnx\n",
            id="the section without a value",
        ),
        pytest.param("models:\n  a:\n    batch: {}\n", "models:\n  a:\n    batch: {rows: 64}\n", id="an empty section"),
        pytest.param(
            "models:\n  a: &a\n    batch: {rows: &n 1}\n  b:\n    batch: {rows: 2}\n",
            "models:\n  a: &a\n    batch: {rows: 64}\n  b:\n    batch: {rows: 2}\n",
            id="an anchor that nothing names",
        ),
    ],
)
def test_a_field_is_set_where_it_belongs_and_nothing_else_changes(before: str, after: str) -> None:
    assert change(before, "a", ROWS) == after
    assert yaml.safe_load(after)["models"]["a"]["batch"]["rows"] == 64
    assert change(after, "a", ROWS) == after


def test_several_fields_are_set_at_once() -> None:
    sections = {"batch": {"rows": 0}, "limits": {"records": 500}}
    text = change("models:\n  a:\n    limits: {bytes: 9}\n", "a", sections)
    assert text == "models:\n  a:\n    limits: {bytes: 9, records: 500}\n    batch: {rows: 0}\n"


@pytest.mark.parametrize(
    "text",
    [
        "models:\n  a:\n    batch: &b {size: 3}\n  b:\n    batch: *b\n",
        "models:\n  b:\n    batch: &b {size: 3}\n  a:\n    batch: *b\n",
        "models:\n  b: &b {batch: {size: 1}}\n  a: *b\n",
        "models:\n  a:\n    <<: {batch: {size: 1}}\n    runtime: onnx\n",
        "models:\n  a:\n    batch: {rows: &n 1}\n  b:\n    batch: {rows: *n}\n",
        "models:\n  b: {}\n",
    ],
)
def test_an_entry_that_cannot_be_changed_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(
        UserError,
        match=r"cannot change the registry as it is written: set this in models\.a yourself\n  batch\.rows: 64$",
    ):
        change(text, "a", ROWS)


@given(registries(), st.sampled_from([1, 0, 10_000]))
@settings(deadline=None, max_examples=300)
def test_whatever_the_file_looks_like_only_the_field_is_set(text: str, rows: int) -> None:
    read = yaml.safe_load(text)
    for name, entry in (read["models"] or {}).items():
        changed = change(text, name, {"batch": {"rows": rows}})
        expected = {**read, "models": {**read["models"], name: {**entry, "batch": {"rows": rows}}}}
        assert yaml.safe_load(changed) == expected
        assert [
            line for line in changed.splitlines() if line.strip() != f"batch: {{rows: {rows}}}"
        ] == text.splitlines()
        assert change(changed, name, {"batch": {"rows": rows + 1}}) == changed.replace(
            f"rows: {rows}}}", f"rows: {rows + 1}}}"
        )


# --- removal and renaming ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "models:\n  # First.\n  a:  # one\n    runtime: onnx  # why\n    # of a\n  # Second.\n  b: {}\n",
            "models:\n  # First.\n  # Second.\n  b: {}\n",
            id="comments inside go and others stay",
        ),
        pytest.param("models:\n  b: {}\n  a:\n    runtime: onnx", "models:\n  b: {}\n", id="the last, without newline"),
        pytest.param(
            "models:\n  b: {}\n\n  a:\n    runtime: onnx\n\n# end\nversion: 1\n",
            "models:\n  b: {}\n\n# end\nversion: 1\n",
            id="the last, apart from what follows",
        ),
        pytest.param("models:\n  b: {}\n\n  a: {}\n", "models:\n  b: {}\n", id="apart, at the end of the file"),
        pytest.param(
            "models:\n  b: {}\n\n  a: {}\n\n  c: {}\n",
            "models:\n  b: {}\n\n  c: {}\n",
            id="models apart from each other",
        ),
        pytest.param(
            "models:\r\n  a:\r\n    runtime: onnx\r\n  b: {}\r\n", "models:\r\n  b: {}\r\n", id="lines of Windows"
        ),
        pytest.param(
            "\ufeffmodels:\n  a:\n    description: |\n      b:\n        c\n\n  b: {}\n",
            "\ufeffmodels:\n  b: {}\n",
            id="a byte order mark and a text that looks like a model",
        ),
        pytest.param("models: {a: {x: [1, 2]}, b: {}}  # c\n", "models: {b: {}}  # c\n", id="the first on one line"),
        pytest.param("models: {b: {}, a: {x: 1}, }\n", "models: {b: {}, }\n", id="the last on one line"),
        pytest.param("models: {b: {}, a: {},\n  c: {}}\n", "models: {b: {}, c: {}}\n", id="in braces on several lines"),
        pytest.param("models: {a: {}, }  # c\n", "models: { }  # c\n", id="the only one on one line"),
        pytest.param("models:\n  a: {}\nversion: 1\n", "models:\nversion: 1\n", id="the only one"),
        pytest.param(
            "x: &x {retries: 3}\nmodels:\n  a:\n    <<: *x\n    env: &env {}\n    tags: *env\n  b:\n    <<: *x\n",
            "x: &x {retries: 3}\nmodels:\n  b:\n    <<: *x\n",
            id="aliases of what stays, and of itself",
        ),
        pytest.param(
            "models:\n  a: {tags: &t {}}\n  c: {tags: &t {}}\n  b: {tags: *t}\n",
            "models:\n  c: {tags: &t {}}\n  b: {tags: *t}\n",
            id="an anchor that is given anew",
        ),
        pytest.param("models:\n  'a':\n    x: 1\n  \"b\": {}\n", 'models:\n  "b": {}\n', id="a name in quotes"),
        pytest.param("models:\n  ? a\n  : {x: 1}\n  ? b\n  : {}\n", "models:\n  ? b\n  : {}\n", id="an explicit key"),
    ],
)
def test_a_model_is_removed_with_its_lines_and_nothing_else(before: str, after: str) -> None:
    assert remove(before, "a") == after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "models:\n  a: &a\n    runtime: onnx\n  b:\n    <<: *a\n  c: *a\n",
            r"models\.a cannot be removed: line 5 takes its value from it \(\*a, anchored in line 2\) and line 6 takes",
        ),
        (
            "models:\n  a: {env: &e {}}\ndefaults:\n  env: *e\n",
            r"line 4 takes its value from it \(\*e, anchored in line 2\)",
        ),
        ("models:\n  digits: {}\n  wine: {}\n", "the registry has no model 'a'; it has: digits, wine$"),
        ("models:\n  aa: {}\n", r"the registry has no model 'a'; did you mean 'aa'\?"),
        ("models:\n", "the registry has no models"),
        ("- a\n", "the registry has no models"),
        ("models: [\n", "not valid YAML"),
        (
            "m: &m {a: {}}\nmodels: *m\n",
            r"modelctl cannot change the registry as it is written: change models\.a yourself",
        ),
        (
            "x: &x {a: {}}\nmodels:\n  <<: *x\n  b: {}\n",
            r"modelctl cannot change the registry as it is written: change models\.a yourself",
        ),
        (
            "models: &m\n  a: {}\n  b: {}\nother: *m\n",
            r"modelctl cannot change the registry as it is written: remove models\.a yourself",
        ),
    ],
)
def test_a_model_that_cannot_be_removed_is_refused(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        remove(text, "a")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("models:\n  a:  # one\n    x: a\n  b: {a: a}\n", "models:\n  new:  # one\n    x: a\n  b: {a: a}\n"),
        ("\ufeffmodels:\r\n  'a': {}\r\n", "\ufeffmodels:\r\n  new: {}\r\n"),
        ("models: {b: {}, a: {}}", "models: {b: {}, new: {}}"),
        ("models:\n  a: &a {x: 1}\n  b: *a\n", "models:\n  new: &a {x: 1}\n  b: *a\n"),
    ],
)
def test_a_model_is_renamed_where_it_stands_and_nothing_else_changes(before: str, after: str) -> None:
    assert rename(before, "a", "new") == after


def test_a_name_that_yaml_would_read_as_something_else_is_written_in_quotes() -> None:
    assert rename("models:\n  a: {}\n", "a", "on") == 'models:\n  "on": {}\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models:\n  a: {}\n  new: {}\n", "there is a model 'new' already"),
        ("models:\n  wine: {}\n", "the registry has no model 'a'; it has: wine"),
        (
            "models:\n  &k a: {}\nother: *k\n",
            r"modelctl cannot change the registry as it is written: rename models\.a yourself",
        ),
    ],
)
def test_a_model_that_cannot_be_renamed_is_refused(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        rename(text, "a", "new")


@given(registries())
@settings(deadline=None, max_examples=300)
def test_whatever_the_file_looks_like_only_the_model_goes_or_changes_its_name(text: str) -> None:
    read = yaml.safe_load(text)
    for name, entry in (read["models"] or {}).items():
        changed = yaml.safe_load(remove(text, name))
        assert {**changed, "models": changed["models"] or {}} == {
            **read,
            "models": {model: other for model, other in read["models"].items() if model != name},
        }
        # Comments that are not inside an entry, and everything about the others, stay as they are.
        lines = text.splitlines()
        kept = [line for line in lines if line.startswith(("#", "  #")) or (line and not line.startswith(" "))]
        assert [line for line in remove(text, name).splitlines() if line in kept] == kept
        renamed = rename(text, name, "faces")
        assert renamed == text.replace(f"\n  {name}:", "\n  faces:")
        assert yaml.safe_load(renamed)["models"]["faces"] == entry


def test_an_entry_begins_with_its_comment() -> None:
    assert insert("models:\n", "faces", FIELDS, "why: so").startswith(
        "models:\n  faces:\n    # why: so\n    artifact: "
    )


@pytest.mark.parametrize(
    ("before", "says", "after"),
    [
        ("  a:\n    runtime: onnx\n", "why: so", "  a:\n    # why: so\n    runtime: onnx\n"),
        (
            "  a:  # b\n\n      runtime: onnx\n  b: {}\n",
            "why: so",
            "  a:  # b\n      # why: so\n\n      runtime: onnx\n  b: {}\n",
        ),
        ("  a:\r\n    runtime: onnx\r\n", "why: so", "  a:\r\n    # why: so\r\n    runtime: onnx\r\n"),
        (
            "  a:\n    # why: no\n    # other\n    runtime: onnx\n",
            "why: so",
            "  a:\n    # why: so\n    # other\n    runtime: onnx\n",
        ),
        ("  a:\n    runtime: onnx\n    # why: no\n    version: x\n", None, "  a:\n    runtime: onnx\n    version: x\n"),
        ("  a:\n    runtime: onnx\n  # why: no\n  b: {}\n", None, "  a:\n    runtime: onnx\n  # why: no\n  b: {}\n"),
        ("  a: {runtime: onnx}  # why: no\n", None, "  a: {runtime: onnx}  # why: no\n"),
    ],
)
def test_a_comment_of_a_kind_takes_the_place_of_those_that_are_there(before: str, says: str | None, after: str) -> None:
    assert comment(f"models:\n{before}", "a", "why", says) == f"models:\n{after}"


def test_an_entry_on_one_line_has_no_place_for_a_comment() -> None:
    with pytest.raises(UserError, match=r"models\.a is written on one line: write it as a block"):
        comment("models:\n  a: {runtime: onnx}\n", "a", "why", "why: so")
