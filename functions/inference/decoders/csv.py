"""CSV: rows of cells, with or without a header.

`input.header` says whether the first row is column names. If it is `auto`, the cells must show which. A first row that
may be either is refused: otherwise a header would get a prediction, or a row would get none.
"""

import csv
import io
import math
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from inference import tensors
from inference.config import InputConfig
from inference.decoders import text
from inference.errors import DecodeError, EmptyInputError, ShapeError, UnsupportedInputError
from inference.rows import are_stacked
from inference.runtimes import Array, Specs, TensorSpec
from inference.tensors import Instances

#: Booleans in CSV, in lower case.
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

#: Cells that mean a missing value, besides those without a letter or digit: pandas reads these so by default.
#: https://pandas.pydata.org/docs/reference/api/pandas.read_csv.html
_MISSING = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL"}
    | {"NaN", "None", "n/a", "nan", "null"}
)

#: Separators that other programs put between cells.
_SEPARATORS = {";": "semicolons", "\t": "tabs"}

#: Floats below it hold every integer.
_EXACT = 2.0**53

# By default a cell may have 131,072 characters. The size of a file is limited elsewhere.
csv.field_size_limit(sys.maxsize)


class _Table(NamedTuple):
    """Rows of cells, all of one length, and how messages name their places."""

    rows: list[list[str]]
    #: The line of the file on which each row begins.
    lines: list[int]
    #: What each column is called.
    titles: list[str]

    def place(self, row: int, column: int) -> str:
        return f"line {self.lines[row]}, {self.titles[column]}"

    def taken(self, columns: list[int], titles: list[str]) -> "_Table":
        """Some of the columns, with other titles."""
        return _Table([[row[column] for column in columns] for row in self.rows], self.lines, titles)


def decode(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """Rows of what the input takes (finite numbers, booleans, strings), with or without a header.

    A model with several inputs has one column per input. A model with one input gets the columns in the file's order
    or, if its registry entry names them, in that order; a header may then list them in any order, among other columns.
    """
    if not are_stacked(specs):
        raise UnsupportedInputError(
            'CSV needs a signature with a batch dimension; send this model {"inputs": ...} as JSON'
        )
    content = text.parsable(body)
    try:
        table = _read(content, config, specs)
    except (DecodeError, ShapeError) as error:
        raise type(error)(f"{error}{_way_out(content, specs)}") from error
    if len(specs) == 1:
        cells = {specs[0].name: _shaped(table, specs[0], config)}
    else:
        parts = [table.taken([column], [title]) for column, title in enumerate(table.titles)]
        cells = {spec.name: _shaped(part, spec, config) for spec, part in zip(specs, parts, strict=True)}
    return tensors.stack(cells, specs, config, in_rows=True)


def column_names(content: str, config: InputConfig, spec: TensorSpec) -> list[str]:
    """The cells of the first row if they are column names, as far as the file alone shows; otherwise none."""
    found = _numbered_rows(content)
    try:
        line, row = next(found, (1, []))
        cells = [cell.strip() for cell in row]
        is_header = bool(cells) and _is_header(line, cells, (), config, (spec,), alone=next(found, None) is None)
    except DecodeError:
        return []  # Decoding it says why.
    return cells if is_header else []


def _way_out(content: str, specs: Specs) -> str:
    """Advice for a file whose cells are separated as spreadsheets do it in languages with a decimal comma."""
    first = content.lstrip().partition("\n")[0]
    separators = [name for separator, name in _SEPARATORS.items() if separator in first]
    # A text may hold anything.
    if not separators or "," in first or (len(specs) == 1 and specs[0].dtype.kind == "O"):
        return ""
    return f"; its cells seem to be separated by {separators[0]}: save it with commas, and with decimal points"


def _read(content: str, config: InputConfig, specs: Specs) -> _Table:
    """The rows, with the columns of the model in its order.

    Raises:
        DecodeError, EmptyInputError, ShapeError, TooLargeError: what is wrong, and on which line.
    """
    found = _numbered_rows(content)
    begin, first = next(found)
    following = next(found, None)
    cells = [cell.strip() for cell in first]
    names = config.columns if len(specs) == 1 else tuple(spec.name for spec in specs)
    if not names:
        # Checked before the header: each row of a file with semicolons, for example, is a single cell.
        _shape(begin, specs[0], len(first))
    is_header = _is_header(begin, cells, names, config, specs, alone=following is None)
    table = _Table([], [], [f"column {number}" for number in range(1, len(first) + 1)])
    if not is_header:
        table.rows.append(first)
        table.lines.append(begin)
    while following is not None:
        line, row = following
        text.check_next_row(table.rows, config, line)
        if len(row) != len(first):
            raise ShapeError(f"line {line} has {len(row)} columns, but the first row has {len(first)}")
        table.rows.append(row)
        table.lines.append(line)
        following = next(found, None)
    if not table.rows:
        raise EmptyInputError(f"it has no rows after the header in line {begin}")
    if is_header and names:
        columns = [_column(begin, cells, name) for name in names]
        return table.taken(columns, [f"column {name!r}" for name in names])
    if names and len(first) != len(names):
        raise ShapeError(f"line {begin}: the rows have {len(first)} columns; expected {len(names)}")
    return table


def _numbered_rows(content: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of the line on which it begins.

    Raises:
        DecodeError: a row is not CSV.
    """
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise DecodeError(f"line {line}: not valid CSV: {error}") from error


def _is_header(
    line: int, cells: list[str], names: tuple[str, ...], config: InputConfig, specs: Specs, *, alone: bool
) -> bool:
    """Whether the first row holds column names; `alone` means that the file has only this row.

    Raises:
        DecodeError: it lacks the names of the inputs, or it may be either and the registry does not say which.
    """
    if len(specs) > 1:
        if set(names) <= set(cells):
            return True
        raise DecodeError(
            f"line {line}: the model has several inputs, so the first row must name their columns, {', '.join(names)}"
        )
    if config.header != "auto":
        return config.header is True
    found = _looks_like_header(cells, names, specs[0], alone=alone)
    if found is None:
        shown = ", ".join(cells[:5]) + (", ..." if len(cells) > 5 else "")
        raise DecodeError(
            f"line {line}: the first row ({shown[:200]}) may be column names or values: set input.header to true if "
            "the model's files begin with column names, or to false if they do not"
        )
    return found


def _looks_like_header(cells: list[str], names: tuple[str, ...], spec: TensorSpec, *, alone: bool) -> bool | None:
    """Whether cells are column names instead of values; None: they may be either.

    All names of the model's columns are a header, unless they are numbers as well. Any other text is a name only if the
    model does not accept text. Numbers in the only row are values: a header has rows after it.
    """
    texts = spec.dtype.kind == "O"
    values = [_is_value(cell) for cell in cells]
    named = bool(names) and set(names) <= set(cells)
    if named and (texts or not all(values)):
        return True
    # The names that pandas and spreadsheets give to columns without a name.
    numbered = cells == [str(number) for number in range(len(cells))]
    if (named or numbered) and not alone:
        return None
    if texts:
        known = {name.casefold() for name in names or (spec.name,)}
        return False if known.isdisjoint(map(str.casefold, cells)) else None
    if any(cell in names and not value for cell, value in zip(cells, values, strict=True)):
        # The error for that header then says which name is missing.
        return True
    if any(values):
        return False
    missing = [_is_missing(cell) for cell in cells]
    if any(missing):
        return False if all(missing) else None
    return True if any(map(_is_name, cells)) else None


def _is_value(cell: str) -> bool:
    """Whether it is a number or a boolean, even one that the model does not accept."""
    return _is_number(cell) or cell.lower() in _BOOLEANS


def _is_missing(cell: str) -> bool:
    """Whether it means a missing value: "", "?", "-" or "NA", for example."""
    return cell in _MISSING or not any(character.isalnum() or character == "∞" for character in cell)


def _is_name(cell: str) -> bool:
    """Whether it is not a number in another notation, such as 5%, $5, 5 kg or 2024-01-05."""
    return "_" in cell or not next(filter(str.isalnum, cell), "0").isdigit()


def _column(line: int, header: list[str], name: str) -> int:
    if header.count(name) != 1:
        found = "names it more than once" if name in header else "does not name it"
        raise DecodeError(f"line {line}: the first row must name the column {name!r} exactly once, but {found}")
    return header.index(name)


def _shaped(table: _Table, spec: TensorSpec, config: InputConfig) -> Array:
    """The cells, each row in the shape of an instance."""
    shape = _shape(table.lines[0], spec, len(table.titles))
    return _cells(table, spec, missing=config.missing).reshape(-1, *shape)


def _shape(line: int, spec: TensorSpec, width: int) -> tuple[int, ...]:
    try:
        return tensors.columns_shape(spec, width)
    except ShapeError as error:
        raise ShapeError(f"line {line}: {error}") from error


def _cells(table: _Table, spec: TensorSpec, *, missing: bool) -> Array:
    """The cells as a two-dimensional array of the input's type.

    Integers are read as integers, since a float has only 53 bits for them; `1.0` counts as one. NaN and infinity are
    refused, as in JSON. With `missing`, NaN is accepted and means a missing value.

    Raises:
        DecodeError: a cell is not a value of the input's type; the message names its line and column.
    """
    rows = table.rows
    if spec.dtype.kind == "O":
        return np.array([[cell.encode() for cell in row] for row in rows], dtype=object)
    if spec.dtype.kind == "b":
        return np.array(
            [[_boolean(cell, table, at, column) for column, cell in enumerate(row)] for at, row in enumerate(rows)]
        )
    missing = missing and spec.has_nan
    if missing:
        rows = [["nan" if _is_missing(cell.strip()) else cell for cell in row] for row in rows]
        table = table._replace(rows=rows)
    # Python would read 2024_01 as a number.
    if any("_" in cell for row in rows for cell in row):
        raise _refused_cell(table, missing=missing)
    try:
        array = _integers(table, spec) if spec.dtype.kind in "iu" else np.array(rows, dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise _refused_cell(table, missing=missing) from error
    if array.dtype.kind == "f" and not tensors.are_finite(array, missing=missing):
        raise _refused_cell(table, missing=missing)
    return tensors.cast(array, spec, spec.name, lambda place: f"in {table.place(*place)}")


def _integers(table: _Table, spec: TensorSpec) -> Array:
    numbers = [[_integer(cell) for cell in row] for row in table.rows]
    if all(isinstance(number, int) for row in numbers for number in row):
        try:
            return np.array(numbers, dtype=np.uint64 if spec.dtype.kind == "u" else np.int64)
        except OverflowError as error:
            floats = np.array(numbers, dtype=np.float64)  # a number that is too large for one is refused as infinite
            # By its digits: as a float, the number below the lowest int64 equals it.
            limits = np.iinfo(spec.dtype)
            wrong = [[not limits.min <= number <= limits.max for number in row] for row in numbers]
            row, column = divmod(int(np.argmax(wrong)), floats.shape[1])
            raise DecodeError(
                f"{spec.name}: beyond the range of {spec.dtype.name}, {limits.min} to {limits.max}: "
                f"{table.rows[row][column].strip()[:40]} in {table.place(row, column)}"
            ) from error
    # The cast to the signature's type reports the first number that is not whole.
    return np.array(numbers, dtype=np.float64)


def _integer(cell: str) -> int | float:
    try:
        return int(cell)
    except ValueError:
        number = float(cell)
        if not number.is_integer():
            return number
        if abs(number) < _EXACT:
            return int(number)
        from decimal import Decimal

        return int(Decimal(cell))


def _boolean(cell: str, table: _Table, row: int, column: int) -> bool:
    value = _BOOLEANS.get(cell.strip().lower())
    if value is None:
        raise DecodeError(f"{table.place(row, column)}: {cell[:40]!r} is not true or false (or 1 or 0)")
    return value


def _refused_cell(table: _Table, *, missing: bool) -> DecodeError:
    """The error for the first cell that is neither a finite number nor an allowed missing value."""
    for at, row in enumerate(table.rows):
        for column, cell in enumerate(row):
            if not _is_number(cell) or math.isinf(float(cell)) or (math.isnan(float(cell)) and not missing):
                kind = "finite number" if _is_number(cell) else "number"
                return DecodeError(f"{table.place(at, column)}: {cell[:40]!r} is not a {kind}")
    return DecodeError("its rows are not all finite numbers")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
