"""What people see: progress, notes and errors on standard error, results on standard output.

Much of it quotes keys, inputs and log lines, and so comes from whoever may upload. No control character of theirs
reaches a terminal: everything that is printed here is `harmless`, and a document of JSON escapes them by itself.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

# Progress never goes to standard output, so that `--json` prints one document there and nothing else.
_err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)

_LOG_EVERY_S = 10
_UNBOUNDED = 1_000_000_000
# Columns of a terminal between two of a table, and that are left to a column that is cut.
_GAP, _LEAST = 2, 20


def note(text: str) -> None:
    """Say something in passing."""
    _err.print(harmless(text), markup=False)


def warning(text: str) -> None:
    """Say what could be overlooked and should not be."""
    _err.print(f"warning: {harmless(text)}", style="bold yellow", markup=False)


def agrees(question: str) -> bool:
    """Ask the user; anything but a yes is a no."""
    _err.print(f"{harmless(question)} [y/N] ", markup=False, end="")
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-D or Ctrl-C: what is said next begins a line
            note("")
    return answer.strip().lower() in ("y", "yes")


def error(text: str) -> None:
    """Say why a command failed."""
    _err.print(f"error: {harmless(text)}", style="red", markup=False)


@contextmanager
def step(text: str) -> Iterator[Callable[[str], None]]:
    """Show that something is under way, and how long it took.

    A spinner on a terminal; elsewhere a line at the start and one at the end. Yields a function that takes word of how
    far it is: shown at once on a terminal, elsewhere every ten seconds, so that a log stays readable.
    """
    started = said = time.monotonic()
    if _err.is_terminal:
        with _err.status(Text(harmless(text))) as status:
            yield lambda detail: status.update(Text(harmless(f"{text}: {detail}")))
    else:

        def update(detail: str) -> None:
            nonlocal said
            if time.monotonic() - said >= _LOG_EVERY_S:
                said = time.monotonic()
                note(f"{text}: {detail}")

        note(f"{text} ...")
        yield update
    note(f"{text}: done in {time.monotonic() - started:.1f} s")


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    cut: str = "",
    style: Callable[[Sequence[str]], str] = lambda row: "",
) -> None:
    """Print rows under column headings to standard output.

    Args:
        columns: the headings.
        rows: a cell per column.
        right: the columns that are aligned right.
        cut: the column that ends with an ellipsis where its row is wider than a terminal; others are folded.
        style: of a row, on a terminal.
    """
    console = Console(highlight=False, emoji=False)
    grid = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    cells = [[in_one_line(cell) for cell in row] for row in rows]
    if cut and console.is_terminal:
        index = columns.index(cut)
        others = [other for other in range(len(columns)) if other != index]
        taken = sum(max(cell_len(row[other]) for row in [columns, *cells]) + _GAP for other in others)
        width = max(console.width - taken, _LEAST)
        grid.columns[index].overflow, grid.columns[index].no_wrap = "ellipsis", True
        grid.columns[index].max_width = width
        for shown in cells:
            # It may have megabytes, which rich would measure.
            shown[index] = shown[index][: width + 1]
    for row, shown in zip(rows, cells, strict=True):
        grid.add_row(*map(escape, shown), style=style(row))
    if not console.is_terminal:
        # There is no width to fit, and a folded cell would break whatever reads the lines.
        console.width = console.measure(grid, options=console.options.update(width=_UNBOUNDED)).maximum
    console.print(grid)
    sys.stdout.flush()


def start_over() -> None:
    """Empty a terminal for what is shown next; elsewhere, leave an empty line between the two."""
    terminal = Console()
    if terminal.is_terminal:
        terminal.clear()
    else:
        out("")


def counted(number: int, thing: str) -> str:
    """How many there are of a thing: `1 input`, `2,000 inputs`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def is_terminal() -> bool:
    """Whether people read standard output as it is printed."""
    return Console().is_terminal


def in_one_line(text: str) -> str:
    """A text with its line breaks and other control characters, which a file's name may have, as Python writes them."""
    return _escaped(text, lambda character: repr(character)[1:-1])


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():  # a document may have megabytes
        return text
    return "".join(character if character.isprintable() else escape(character) for character in text)


def harmless(text: str) -> str:
    """A text whose lines and tabs are kept, with its other control characters as Python writes them."""
    return "\n".join("\t".join(map(in_one_line, line.split("\t"))) for line in text.split("\n"))


def as_json(document: Any, *, indent: int | None = 2) -> str:
    """A JSON document that people can read as well, in which control characters are escaped as JSON does it."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return "\n".join(_escaped(line, lambda character: json.dumps(character)[1:-1]) for line in text.split("\n"))


def out(text: str) -> None:
    """Print a result to standard output."""
    print(harmless(text), flush=True)


def out_as_it_is(text: str) -> None:
    """Print what a shell evaluates, whatever characters it has."""
    print(text, flush=True)
