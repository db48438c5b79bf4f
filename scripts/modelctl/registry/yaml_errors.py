"""What is wrong with YAML, in words: the parser says which token surprised it, this says what the writer did.

Places are lines and columns that count from 1, as editors show them. What no case here covers is said as the parser
says it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import yaml

#: Line and column, and what is wrong there.
Said = tuple[tuple[int, int], str]

# What ends a line for the parser, which counts them so.
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

_CONFLICT = re.compile(r"(<{7}|={7}|>{7})( |$)")

# A name and its colon at the beginning of a line, with no space after the colon. The scheme of a URL is not a name.
_NO_SPACE = re.compile(r"\s*(?:- +)*(?P<name>[^\s:#'\"{}\[\],]+):(?=[^\s:/])")

# What word processors and chats make of quotes and colons.
_QUOTES, _COLONS = "“”„‟‘’‚‛«»‹›", "：﹕∶"  # noqa: RUF001 - these are meant


def explain(text: str, error: yaml.YAMLError) -> Said:
    """Why a text is not YAML: the place to look at, and what to do there.

    Args:
        text: without a byte-order mark.
        error: what the parser raised.
    """
    if isinstance(error, yaml.reader.ReaderError):
        before = _LINE_END.split(text[: error.position])
        character = f"U+{ord(text[error.position]):04X}"
        return (len(before), len(before[-1]) + 1), f"the character {character}, which YAML does not allow; remove it"
    if not isinstance(error, yaml.MarkedYAMLError):
        return (1, 1), str(error)
    fault = _Fault.of(text, error)
    for find in _CAUSES:
        if found := find(fault):
            (line, column), says = found
            return (line + 1, column + 1), says
    begun = f" that begins in line {fault.begun[0] + 1}" if error.context and error.context_mark else ""
    reason = ", ".join(part for part in (f"{fault.context}{begun}", fault.problem) if part)
    return (fault.line + 1, fault.column + 1), reason


def lookalike(text: str) -> str | None:
    """What is wrong with the first character of a text that looks like a quote, a colon or a space and is none."""
    for character in text:
        code = f"U+{ord(character):04X}"
        if character in _QUOTES:
            return f"{character} ({code}) is not a quote in YAML; use \" or '"
        if character in _COLONS:
            return f"{character} ({code}) is not a colon in YAML; use :"
        if character != " " and unicodedata.category(character) in ("Cf", "Zl", "Zp", "Zs"):
            return f"the character {code} looks like a space or is invisible, but is text in YAML; remove it"
    return None


@dataclass(frozen=True)
class _Fault:
    """Where the parser stopped; lines and columns count from 0.

    Args:
        text: all of it.
        lines: the same, without their ends.
        problem: what the parser says of the place where it stopped.
        context: what it says of what it was reading then, or nothing.
        line: where it stopped.
        column: where it stopped.
        begun: where that which it was reading begins.
    """

    text: str
    lines: list[str]
    problem: str
    context: str
    line: int
    column: int
    begun: tuple[int, int]

    @classmethod
    def of(cls, text: str, error: yaml.MarkedYAMLError) -> "_Fault":
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        begun = (error.context_mark.line, error.context_mark.column) if error.context_mark else (line, column)
        lines = [*_LINE_END.split(text), ""]
        return cls(text, lines, error.problem or "", error.context or "", line, column, begun)

    @property
    def found(self) -> str:
        """The token that surprised the parser, as it names it: `}`, `<scalar>`; empty if it names none."""
        named = re.search(r"but (?:found|got) '(.+)'$", self.problem)
        return named[1] if named else ""

    @property
    def in_block(self) -> bool:
        """Whether it was reading lines, and neither brackets nor a single value."""
        return self.context.startswith("while parsing a block") or self.problem.startswith(
            "expected '<document start>'"
        )

    @property
    def before(self) -> str:
        """What its line holds before the place where the parser stopped."""
        return self.lines[self.line][: self.column]

    def above(self, line: int) -> int | None:
        """The last line before another one that is neither blank nor a comment."""
        return next((index for index in range(line - 1, -1, -1) if _is_content(self.lines[index])), None)

    def last_quoted(self) -> yaml.ScalarToken | None:
        """The last string in quotes before the place where the parser stopped."""
        last = None
        for token in self._tokens():
            if isinstance(token, yaml.ScalarToken) and token.style in ("'", '"'):
                last = token
        return last

    def open_bracket(self) -> tuple[int, int] | None:
        """The innermost bracket that is open where the parser stopped."""
        opened: list[tuple[int, int]] = []
        for token in self._tokens():
            if isinstance(token, yaml.FlowMappingStartToken | yaml.FlowSequenceStartToken):
                opened.append((token.start_mark.line, token.start_mark.column))
            elif isinstance(token, yaml.FlowMappingEndToken | yaml.FlowSequenceEndToken) and opened:
                opened.pop()
        return opened[-1] if opened else None

    def _tokens(self) -> Iterator[yaml.Token]:
        """The tokens before the place where the parser stopped."""
        try:
            for token in yaml.scan(self.text, yaml.SafeLoader):
                if (token.start_mark.line, token.start_mark.column) >= (self.line, self.column):
                    return
                yield token
        except yaml.YAMLError:
            return


_Found = tuple[tuple[int, int], str] | None


def _conflict(fault: _Fault) -> _Found:
    for index, line in enumerate(fault.lines):
        if _CONFLICT.match(line):
            return (index, 0), "an unresolved merge conflict; keep one of its sides and remove the conflict markers"
    return None


def _tab(fault: _Fault) -> _Found:
    if fault.problem.startswith(r"found character '\t'"):
        return (fault.line, fault.column), "a tab; use spaces"
    return None


def _first_character(fault: _Fault) -> _Found:
    """Text that begins with a character that means something to YAML."""
    place, also = (fault.line, fault.column), ""
    if re.match("while (scanning an? (alias|anchor|block scalar|directive|tag)|parsing a tag)", fault.context):
        place = fault.begun
    elif fault.problem in ("sequence entries are not allowed here", "mapping keys are not allowed here"):
        also = ", or begin the list in a line of its own" if fault.lines[fault.line][fault.column] == "-" else ""
    elif not re.match("found character '[^\\\\]' that cannot start any token", fault.problem):
        return None
    character = fault.lines[place[0]][place[1]]
    return place, f"text cannot begin with {character} here; put it in quotes{also}"


def _quotes(fault: _Fault) -> _Found:
    """A quote that is not closed, or a backslash."""
    if not re.match("while scanning a (double-)?quoted scalar", fault.context):
        return None
    if "escape" in fault.problem:
        return (fault.line, fault.before.rindex("\\")), (
            r"in double quotes, \ begins an escape such as \n, and this is not one; write \\ or use single quotes"
        )
    line, column = fault.begun
    return fault.begun, f"the quote {fault.lines[line][column]} that begins here is not closed"


def _after_quotes(fault: _Fault) -> _Found:
    """Text that goes on behind a closing quote or bracket."""
    before = fault.before.rstrip()
    if not fault.in_block or fault.found in ("", "}", "]") or not before.strip():
        return None
    if before[-1] in "]}":
        return (fault.line, fault.column), f"there is text after the closing {before[-1]}; put all of it in quotes"
    quoted = fault.last_quoted() if before[-1] in "'\"" else None
    if quoted is None:
        return None
    line, column = quoted.start_mark.line, quoted.start_mark.column
    if line < fault.line:
        return (line, column), (
            f"the quote {quoted.style} that begins here is closed only in line {fault.line + 1}; is one missing above?"
        )
    way_out = "write '' for an apostrophe" if quoted.style == "'" else r"write \" for a quote"
    return (fault.line, fault.column), f"there is text after the closing quote; {way_out} inside quotes"


def _space_after_colon(fault: _Fault) -> _Found:
    lines = [fault.begun[0], fault.line]
    if fault.problem == "mapping values are not allowed here":
        # The text of the line above went on here.
        lines = [line for line in (fault.above(fault.line),) if line is not None]
    for line in lines:
        if found := _NO_SPACE.match(fault.lines[line]):
            return (line, found.end()), f"a space is missing after {found['name']}:"
        if re.match(r"\s*-[^\s-]", fault.lines[line]) and (fault.found == "?" or "expected ':'" in fault.problem):
            return (line, fault.lines[line].index("-") + 1), "a space is missing after -"
    return None


def _no_colon(fault: _Fault) -> _Found:
    """A line that has no name and value, where each line must."""
    if fault.problem == "could not find expected ':'":
        line = fault.begun[0]
    elif fault.problem == "mapping values are not allowed here" and (above := fault.above(fault.line)) is not None:
        line = above
        if re.search(r":(\s|$)", fault.lines[line]):
            return None
    else:
        return None
    written = fault.lines[line]
    indent = _indent(written)
    above = fault.above(line)
    said = "this line has no colon; expected `name: value`"
    if len(written) > 1024:
        said = "a name may have at most 1,024 characters"
    elif above is not None and re.search(r"(^|\s)[|>][+-]?\d*\s*(#.*)?$", fault.lines[above]):
        said = "text below | or > must be indented further than its name"
    elif above is not None and re.match(r"\s*- ", fault.lines[above]) and _indent(fault.lines[above]) == indent:
        said = f"an entry of a list begins with `- `, as in line {above + 1}"
    elif strange := lookalike(written):
        said = strange
    elif match := re.match(r"\s*([^\s=]+)\s*=\s*(.*)", written):
        said = f"this line has no colon; expected `{match[1]}: {match[2]}`"
    return (line, indent), said


def _colon_in_text(fault: _Fault) -> _Found:
    if fault.problem != "mapping values are not allowed here" or not re.search(r":\s", fault.before):
        return None
    at_end = not fault.lines[fault.line][fault.column + 1 :].strip()
    what = "ends with ':'" if at_end else "contains ': '"
    strange = lookalike(fault.before)
    return (fault.line, fault.column), f"quote text that {what}" + (f"; {strange}" if strange else "")


def _list_entry(fault: _Fault) -> _Found:
    if fault.found == "?" and fault.context == "while parsing a block collection":
        return (fault.line, fault.column), f"an entry of a list begins with `- `, as in line {fault.begun[0] + 1}"
    if fault.found == "-" and fault.context == "while parsing a block mapping":
        return (fault.line, fault.column), "an entry of a list, where a name was expected as in the lines above"
    return None


def _indentation(fault: _Fault) -> _Found:
    """A line that is further to the left or right than its neighbours."""
    indent = _indent(fault.lines[fault.line])
    if fault.problem != "mapping values are not allowed here" and not (
        fault.found.startswith("<block") or (fault.found in ("<scalar>", "?") and fault.column == indent)
    ):
        return None
    levels = set(_levels(fault.lines[: fault.line]))
    if not levels or indent in levels:
        return None
    below, beyond = (
        max((level for level in levels if level < indent), default=None),
        min((level for level in levels if level > indent), default=None),
    )
    allowed = " or ".join(str(level) for level in (below, beyond) if level is not None)
    spaces = "space" if indent == 1 else "spaces"
    return (fault.line, indent), f"indented by {indent} {spaces}, the lines above by {allowed}"


def _brackets(fault: _Fault) -> _Found:
    place, found = (fault.line, fault.column), fault.found
    if fault.context.startswith("while parsing a flow"):
        line, column = fault.open_bracket() or fault.begun
        bracket = fault.lines[line][column]
        if found == "<stream end>" or line < fault.line:
            return (line, column), f"the {bracket} that begins here is not closed"
        if found in ("}", "]") and found != {"[": "]", "{": "}"}[bracket]:
            return place, f"the {bracket} in column {column + 1} is not closed before this {found}"
        if "node content" in fault.problem:
            return place, f"a value is missing before {found}"
        if found == ":":
            return place, "quote text that contains ': ', or write a comma before the name"
        return place, f"a comma is missing before this, or the {bracket} in column {column + 1} is not closed"
    if found in ("}", "]"):
        return place, f"this {found} has no opening bracket; remove it, or add the missing bracket"
    return None


def _no_name(fault: _Fault) -> _Found:
    if fault.in_block:
        return (fault.line, fault.column), "expected `name: value` here, as in the lines above"
    return None


def _documents(fault: _Fault) -> _Found:
    if fault.problem == "but found another document":
        return (fault.line, fault.column), "a second document begins here; the registry is one document"
    if fault.problem.startswith("expected '<document start>'"):
        ended = [index for index, line in enumerate(fault.lines[: fault.line]) if re.match(r"\.\.\.(\s|$)", line)]
        if ended:
            return (ended[-1], 0), "the document ends here; remove this line, since the registry is one document"
    return None


def _alias(fault: _Fault) -> _Found:
    if named := re.fullmatch("found undefined alias '(.+)'", fault.problem):
        return (fault.line, fault.column), (
            f"the alias *{named[1]} is not defined, since no &{named[1]} comes before it; put text that "
            "begins with * in quotes"
        )
    return None


#: From the surest to the most general.
_CAUSES: tuple[Callable[[_Fault], _Found], ...] = (
    *(_conflict, _tab, _first_character, _quotes, _alias, _documents, _space_after_colon, _no_colon, _after_quotes),
    *(_colon_in_text, _list_entry, _brackets, _indentation, _no_name),
)


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _levels(lines: list[str]) -> Iterator[int]:
    """How far the maps and lists are indented that are open at the end of some lines, the innermost first."""
    least: int | None = None
    for line in reversed(lines):
        if not _is_content(line) or line.startswith("---"):
            continue
        # A dash and what follows it are two levels.
        dashes = re.match(r" *(?:- +)*", line)
        columns = {_indent(line), *([dashes.end()] if dashes else [])}
        for column in sorted(columns, reverse=True):
            if least is None or column < least:
                least = column
                yield column
