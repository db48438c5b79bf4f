"""What users see: progress, notes and errors on standard error, results on standard output.

Much of it quotes keys, inputs and log lines, which uploaders control. None of their control characters reaches a
terminal: everything that is printed here is `harmless`, and JSON documents escape control characters by themselves.
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
# Characters between two columns of a table, and the fewest that are left for a column that is cut.
_GAP, _LEAST = 2, 20


def note(text: str) -> None:
    """Print a note."""
    _err.print(harmless(text), markup=False)


def warning(text: str) -> None:
    """Print a warning, which must not be overlooked."""
    _err.print(f"warning: {harmless(text)}", style="bold yellow", markup=False)


def agrees(question: str) -> bool:
    """Ask the user; any answer but yes means no."""
    _err.print(f"{harmless(question)} [y/N] ", markup=False, end="")
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-D or Ctrl-C: the next text begins a new line
            note("")
    return answer.strip().lower() in ("y", "yes")


def error(text: str) -> None:
    """Print why a command failed."""
    _err.print(f"error: {harmless(text)}", style="red", markup=False)


@contextmanager
def step(text: str) -> Iterator[Callable[[str], None]]:
    """Show that something is in progress, and how long it took.

    On a terminal, this is a spinner; elsewhere, a line at the start and one at the end. Yields a function that reports
    the progress: a terminal shows it immediately; elsewhere it is printed every ten seconds, so that a log stays
    readable.
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
        right: the columns that are right-aligned.
        cut: the column that is cut with an ellipsis if its row is wider than the terminal; others are wrapped.
        style: the style of a row, on a terminal.
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
            # It may be megabytes, which rich would measure.
            shown[index] = shown[index][: width + 1]
    for row, shown in zip(rows, cells, strict=True):
        grid.add_row(*map(escape, shown), style=style(row))
    if not console.is_terminal:
        # Programs read these lines, and a wrapped cell would break them.
        console.width = console.measure(grid, options=console.options.update(width=_UNBOUNDED)).maximum
    console.print(grid)
    sys.stdout.flush()


def start_over() -> None:
    """Clear a terminal before the next output; elsewhere, print an empty line in between."""
    terminal = Console()
    if terminal.is_terminal:
        terminal.clear()
    else:
        out("")


def counted(number: int, thing: str) -> str:
    """A number with its noun: `1 input`, `2,000 inputs`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return Console().is_terminal


def in_one_line(text: str) -> str:
    """A text with line breaks and other control characters, which a file name may contain, escaped as in Python."""
    return _escaped(text, lambda character: repr(character)[1:-1])


def _escaped(text: str, written: Callable[[str], str]) -> str:
    if text.isprintable():  # a document may have megabytes
        return text
    return "".join(character if character.isprintable() else written(character) for character in text)


def harmless(text: str) -> str:
    """A text that keeps its lines and tabs, with other control characters escaped as in Python."""
    return "\n".join("\t".join(map(in_one_line, line.split("\t"))) for line in text.split("\n"))


def as_json(document: Any, *, indent: int | None = 2) -> str:
    """A readable JSON document, in which control characters are escaped."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return "\n".join(_escaped(line, lambda character: json.dumps(character)[1:-1]) for line in text.split("\n"))


def out(text: str) -> None:
    """Print a result to standard output."""
    print(harmless(text), flush=True)


def out_as_it_is(text: str) -> None:
    """Print what a shell evaluates, without changing any character."""
    print(text, flush=True)
