"""The usual mistakes in YAML are said in words, with the place to look at."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelctl.errors import UserError
from modelctl.registry import registry_file, validation

#: What each mistake is added to: six lines, the fields of the model indented by 4.
REGISTRY = """\
version: 1
models:
  digits:
    artifact: models/digits
    version: "1"
    runtime: litert
"""


def said(text: str) -> str:
    problem = validation.unreadable(text)
    assert problem is not None
    assert problem.path == ""
    return f"{problem.line}:{problem.column} {problem.message}"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("    ,retries: 3", "7:5 expected `name: value` here, as in the lines above"),
        # Characters that YAML takes for something else.
        ("\tretries: 3", "7:1 a tab; use spaces"),
        ("    retries:\t3", "7:13 a tab; use spaces"),
        ("    description: %d", "7:18 text cannot begin with % here; put it in quotes"),
        ("    description: @team", "7:18 text cannot begin with @ here; put it in quotes"),
        ("    description: `a`", "7:18 text cannot begin with ` here; put it in quotes"),
        ("    route: {suffixes: [*.png]}", "7:24 text cannot begin with * here; put it in quotes"),
        ("    description: & more", "7:18 text cannot begin with & here; put it in quotes"),
        ("    description: |x", "7:18 text cannot begin with | here; put it in quotes"),
        ("    description: > 5", "7:18 text cannot begin with > here; put it in quotes"),
        ("    description: ? what", "7:18 text cannot begin with ? here; put it in quotes"),
        (
            "    description: - a",
            "7:18 text cannot begin with - here; put it in quotes, or begin the list in a line of its own",
        ),
        ("    description: a\x07b", "7:19 the character U+0007, which YAML does not allow; remove it"),
        ("    retries\uff1a 3", "7:5 \uff1a (U+FF1A) is not a colon in YAML; use :"),
        (
            "    retries:\xa03",
            "7:5 the character U+00A0 looks like a space or is invisible, but is text in YAML; remove it",
        ),
        # Colons.
        ("    description: reads: digits", "7:23 quote text that contains ': '"),
        ("    description: see http://a b: c", "7:32 quote text that contains ': '"),
        ("    description: digits:", "7:24 quote text that ends with ':'"),
        (
            "    description: “reads: it”",
            "7:24 quote text that contains ': '; “ (U+201C) is not a quote in YAML; use \" or '",
        ),
        ("    retries:3", "7:13 a space is missing after retries:"),
        ("    route:{suffixes: [.png]}", "7:11 a space is missing after route:"),
        ("    retries 3", "7:5 this line has no colon; expected `name: value`"),
        ("    retries = 3", "7:5 this line has no colon; expected `retries: 3`"),
        (f"    {'x' * 1025}: 3", "7:5 a name may have at most 1,024 characters"),
        ("    description: |\n    text", "8:5 text below | or > must be indented further than its name"),
        # Indentation.
        ("   retries: 3", "7:4 indented by 3 spaces, the lines above by 2 or 4"),
        ("     retries: 3", "7:6 indented by 5 spaces, the lines above by 4"),
        (" retries: 3", "7:2 indented by 1 space, the lines above by 0 or 2"),
        ("   wine: {}", "7:4 indented by 3 spaces, the lines above by 2 or 4"),
        ("    # a comment\n\n   retries: 3", "9:4 indented by 3 spaces, the lines above by 2 or 4"),
        ("    smoke:\n      - file: a.png\n       label: a", "9:8 indented by 7 spaces, the lines above by 6 or 8"),
        # Lists.
        ("    smoke:\n      - file: a\n      file: b", "9:7 an entry of a list begins with `- `, as in line 8"),
        ("    smoke:\n    - a\n    b", "9:5 an entry of a list begins with `- `, as in line 8"),
        ("    smoke:\n      - a\n      -b: c\n      - d", "9:8 a space is missing after -"),
        (
            "    route:\n      suffixes: [.png]\n      - .json",
            "9:7 an entry of a list, where a name was expected as in the lines above",
        ),
        # Quotes.
        ('    description: "digits\n    retries: 3', '7:18 the quote " that begins here is not closed'),
        ("    description: 'it\n    retries: 3", "7:18 the quote ' that begins here is not closed"),
        (
            '    description: "digits\n    retries: 3\n    signature: "a"',
            '7:18 the quote " that begins here is closed only in line 9; is one missing above?',
        ),
        (
            "    description: 'it's digits'",
            "7:22 there is text after the closing quote; write '' for an apostrophe inside quotes",
        ),
        (
            '    description: "a" b',
            r"7:22 there is text after the closing quote; write \" for a quote inside quotes",
        ),
        (
            '    hooks: "C:\\models"',
            r"7:15 in double quotes, \ begins an escape such as \n, and this is not one; write \\ or use single quotes",
        ),
        # Brackets.
        ("    route: {suffixes: [.png}\n    retries: 3", "7:28 the [ in column 23 is not closed before this }"),
        ("    route: {suffixes: [.png]\n    retries: 3", "7:12 the { that begins here is not closed"),
        ("    route: {suffixes: [", "7:23 the [ that begins here is not closed"),
        (
            "    route: {suffixes: [.png]}}",
            "7:30 this } has no opening bracket; remove it, or add the missing bracket",
        ),
        ("    route: {suffixes: [, .png]}", "7:24 a value is missing before ,"),
        (
            "    smoke: [{file: a} {file: b}]",
            "7:23 a comma is missing before this, or the [ in column 12 is not closed",
        ),
        (
            "    input: {format: image size: [8, 8]}",
            "7:31 quote text that contains ': ', or write a comma before the name",
        ),
        ("    input: [8, 8] 8", "7:19 there is text after the closing ]; put all of it in quotes"),
        # Documents and aliases.
        ("---\nversion: 1", "7:1 a second document begins here; the registry is one document"),
        ("...\nversion: 1", "7:1 the document ends here; remove this line, since the registry is one document"),
        (
            "<<<<<<< HEAD\n    retries: 3\n=======\n    retries: 4\n>>>>>>> other",
            "7:1 an unresolved merge conflict; keep one of its sides and remove the conflict markers",
        ),
        (
            "    env: *common",
            "7:10 the alias *common is not defined, since no &common comes before it; put text that begins with * "
            "in quotes",
        ),
    ],
)
def test_a_mistake_is_said_in_words_at_its_place(line: str, says: str) -> None:
    place, _, words = says.partition(" ")
    for text in (f"{REGISTRY}{line}\n", f"{REGISTRY}{line}"):
        assert said(text) == f"{place} is not valid YAML: {words}"
    # Whatever ends the lines.
    assert said(f"{REGISTRY}{line}\n".replace("\n", "\r\n")) == f"{place} is not valid YAML: {words}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version:1\nmodels: {}\n", "1:9 a space is missing after version:"),
        ("version 1\nmodels: {}\n", "1:1 this line has no colon; expected `name: value`"),
        (" version: 1\nmodels: {}\n", "2:1 indented by 0 spaces, the lines above by 1"),
        ("version: 1\n models: {}\n", "2:2 indented by 1 space, the lines above by 0"),
        ('{"version": 1, "models": {"a": {}}', "1:1 the { that begins here is not closed"),
    ],
)
def test_a_mistake_at_the_top_of_the_file_is_said_in_words(text: str, says: str) -> None:
    place, _, words = says.partition(" ")
    assert said(text) == f"{place} is not valid YAML: {words}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{REGISTRY}    description: !important\n", "7:18 the tag !important; put text that begins with ! in quotes"),
        (f"{REGISTRY}    tags: !!set {{a}}\n", "7:11 the tag !!set; put text that begins with ! in quotes"),
        (
            f"{REGISTRY}    description: {{{{ name }}}}\n",
            "7:19 a name that is a list or a map; put text that begins with [ or { in quotes",
        ),
        (f"{REGISTRY}    null: 1\n", "7:5 a name that is null; put it in quotes"),
        (f"{REGISTRY}    input: {{scale: .nan}}\n", "7:20 not a number (.nan), which no field takes"),
        (
            f"{REGISTRY}    env: &env {{A: *env}}\n",
            "7:10 the value that begins here contains an alias of itself; write the alias elsewhere",
        ),
        (
            f"x: &x {{retries: 3}}\n{REGISTRY}    <<: [*x]\n",
            "8:5 `<<` with a list, since it merges one map, as in `<<: *name`",
        ),
        (f"{REGISTRY}    <<: 3\n", "7:5 `<<` with a single value, since it merges one map, as in `<<: *name`"),
        (f"# ours\n%YAML 1.2\n---\n{REGISTRY}", "2:1 %YAML 1.2, since Terraform knows only 1.1; remove this line"),
    ],
)
def test_yaml_that_terraform_does_not_read_is_said_in_words(text: str, says: str, tmp_path: Path) -> None:
    place, _, words = says.partition(" ")
    assert said(text) == f"{place} is not YAML that Terraform reads: {words}"
    # So does the module.
    (tmp_path / "registry.yaml").write_text(text)
    (problem,) = validation.validate(tmp_path / "registry.yaml")
    assert f"{problem.line}:{problem.column} {problem.message}" == said(text)


def test_aliases_that_stand_for_more_than_terraform_can_hold_are_refused_before_it_tries(tmp_path: Path) -> None:
    lines = ["x0: &x0 [a, b]", *(f"x{level}: &x{level} [*x{level - 1}, *x{level - 1}]" for level in range(1, 90))]
    (tmp_path / "registry.yaml").write_text("\n".join([*lines, REGISTRY]))
    says = (
        "has more than 500,000 values once each alias (*name) is replaced by what it stands for; use fewer aliases "
        "within the values of other aliases"
    )
    assert validation.validate(tmp_path / "registry.yaml") == [validation.Problem("", says, 1, 1)]
    with pytest.raises(UserError) as refused:
        registry_file.read(tmp_path / "registry.yaml")
    assert str(refused.value) == f"{tmp_path}/registry.yaml:1:1: {says}"
    # Many models that share one map are another matter.
    shared = "".join(f"  m{number}: {{<<: *x, artifact: a}}\n" for number in range(1000))
    assert (
        validation.unreadable(f"x: &x {{{', '.join(f'f{field}: 1' for field in range(60))}}}\nmodels:\n{shared}")
        is None
    )


@pytest.mark.parametrize(
    ("line", "path", "says"),
    [
        (
            "    version: “1”",
            "models.digits.version",
            '"“1”" is not valid: must consist of letters, digits and . _ + -, and begin with a letter or digit; put a '
            "date in quotes; “ (U+201C) is not a quote in YAML; use \" or '",
        ),
        (
            "    \u200bretries: 3",
            "models.digits",
            'unknown field "\u200bretries" (did you mean "retries"?); the character U+200B looks like a space or is '
            "invisible, but is text in YAML; remove it",
        ),
        (
            "    input: {format:image}",
            "models.digits.input",
            'unknown field "format:image" (did you mean "format"?); after a colon comes a space',
        ),
        (
            "    input:\n      format:image",
            "models.digits.input",
            'must be a map, not "format:image"; after a colon comes a space',
        ),
        (
            "    smoke:\n      -a.png\n      -b.png",
            "models.digits.smoke",
            'must be a list, not "-a.png -b.png"; after a - comes a space',
        ),
    ],
)
def test_what_is_valid_yaml_and_easily_overlooked_is_said_behind_the_problem(
    line: str, path: str, says: str, tmp_path: Path
) -> None:
    text = REGISTRY.replace('    version: "1"\n', "") if "version" in line else REGISTRY
    (tmp_path / "registry.yaml").write_text(f"{text}{line}\n", encoding="utf-8")
    problems = validation.validate(tmp_path / "registry.yaml")
    assert [problem.message for problem in problems if problem.path == path] == [says]


MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, len(REGISTRY)), st.integers(0, 3), st.text("\t\n :-#'\"{}[]&*!|>%@`?,.\\ax\x07\xa0“", max_size=3)
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(mutations=MUTATIONS)
def test_no_mistake_is_too_odd_for_words_and_a_place_in_the_file(mutations: list[tuple[int, int, str]]) -> None:
    text = REGISTRY
    for start, length, new in mutations:
        text = text[:start] + new + text[start + length :]
    problem = validation.unreadable(text)
    if problem:
        lines = [*text.split("\n"), ""]
        assert problem.line in range(1, len(lines) + 1)
        # The end of a line is a place, too.
        assert problem.column in range(1, len(lines[problem.line - 1]) + 2)
        assert not re.search("expected <|but (found|got) |while ", problem.message), "said as the parser does"
