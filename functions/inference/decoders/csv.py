"""CSV: rows of cells, with or without a header."""

import contextlib
import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from inference import tensors
from inference.config import InputConfig
from inference.decoders import text
from inference.errors import DecodeError, EmptyInputError, ShapeError, UnsupportedInputError
from inference.rows import are_stacked
from inference.runtimes import Array, Specs, TensorSpec
from inference.tensors import Instances

#: Booleans of CSV, in small letters.
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def decode(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """Rows of what the input takes (finite numbers, booleans, strings), with or without a header.

    A model with several inputs has one column per input. A model with one input gets the columns in the file's order
    or, if its registry entry names them, in that order; a header may then list them in any order, among other columns.
    """
    if not are_stacked(specs):
        raise UnsupportedInputError('rows of CSV fit a signature with a batch; send this one {"inputs": ...} as JSON')
    reader = (row for row in csv.reader(io.StringIO(text.parsable(body), newline=""), strict=True) if row)
    first = next(reader)
    header = _header(first, config, specs)
    rows = [] if header is not None else [first]
    for row in reader:
        text.check_next_row(rows, config)
        rows.append(row)
    if not rows:
        raise EmptyInputError("it has no rows after the header")
    width = len(first)
    for index, row in enumerate(rows):
        if len(row) != width:
            raise ShapeError(f"row {index + 1} has {len(row)} columns, the first one {width}")
    names = config.columns if len(specs) == 1 else tuple(spec.name for spec in specs)
    titles = [f"column {number}" for number in range(1, width + 1)]
    if header is not None and names:
        columns = [_column(header, name) for name in names]
        rows = [[row[column] for column in columns] for row in rows]
        titles = [f"column {name!r}" for name in names]
    elif len(specs) > 1:
        raise DecodeError(f"the model has several inputs: the first row has to name their columns, {', '.join(names)}")
    elif names and width != len(names):
        raise ShapeError(f"the rows have {width} columns; expected {len(names)}")
    if len(specs) == 1:
        cells = {specs[0].name: _cells(rows, specs[0], titles).reshape(_row_shape(len(rows[0]), specs[0]))}
    else:
        cells = {
            spec.name: _cells([[row[column]] for row in rows], spec, [titles[column]]).reshape(_row_shape(1, spec))
            for column, spec in enumerate(specs)
        }
    return tensors.stack(cells, specs, config, in_rows=True)


def _header(first: list[str], config: InputConfig, specs: Specs) -> list[str] | None:
    """The first row, if it is a header: it names columns of the model, or no cell is a value for the input."""
    cells = [cell.strip() for cell in first]
    if len(specs) > 1:
        return cells if {spec.name for spec in specs} <= set(cells) else None
    # A row of numbers may hold a column's name by chance, where that is a number as well, but not all of them.
    known = set(config.columns)
    named = known and (known <= set(cells) or any(cell in known and not _is_number(cell) for cell in cells))
    return cells if named or not any(_is_value(cell, specs[0]) for cell in cells) else None


def _is_value(cell: str, spec: TensorSpec) -> bool:
    if spec.dtype.kind == "b":
        return cell.lower() in _BOOLEANS
    return spec.dtype.kind == "O" or _is_number(cell)


def _column(header: list[str], name: str) -> int:
    if header.count(name) != 1:
        found = "names it more than once" if name in header else "does not name it"
        raise DecodeError(f"the first row must name the column {name!r} exactly once, but {found}")
    return header.index(name)


def _cells(rows: list[list[str]], spec: TensorSpec, titles: Sequence[str]) -> Array:
    """Rows of text as a two-dimensional array of the input's type; `titles` names the columns in messages.

    Integers are read as such, since a float has no more than 53 bits for them; `1.0` is one as well. NaN and infinity
    are refused, as they are in JSON.

    Raises:
        DecodeError: a cell is not a value of the input's type; the message names its row and column.
    """
    if spec.dtype.kind == "O":
        return np.array([[cell.encode() for cell in row] for row in rows], dtype=object)
    if spec.dtype.kind == "b":
        return np.array([[_boolean(cell, index) for cell in row] for index, row in enumerate(rows)])
    # Python reads 2024_01 as a number.
    if any("_" in cell for row in rows for cell in row):
        raise _refused_cell(rows, titles)
    try:
        array = _integers(rows, spec) if spec.dtype.kind in "iu" else np.array(rows, dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise _refused_cell(rows, titles) from error
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _refused_cell(rows, titles)
    return tensors.cast(array, spec, spec.name, lambda place: f"in row {place[0] + 1}, {titles[place[1]]}")


def _integers(rows: list[list[str]], spec: TensorSpec) -> Array:
    numbers = [[_integer(cell) for cell in row] for row in rows]
    if all(isinstance(number, int) for row in numbers for number in row):
        with contextlib.suppress(OverflowError):
            return np.array(numbers, dtype=np.uint64 if spec.dtype.kind == "u" else np.int64)
    # The cast to the signature's type names the first number that does not fit.
    return np.array(numbers, dtype=np.float64)


def _integer(cell: str) -> int | float:
    try:
        return int(cell)
    except ValueError:
        number = float(cell)
        return int(number) if number.is_integer() else number


def _boolean(cell: str, row: int) -> bool:
    value = _BOOLEANS.get(cell.strip().lower())
    if value is None:
        raise DecodeError(f"row {row + 1}: {cell[:40]!r} is not true or false (or 1 or 0)")
    return value


def _refused_cell(rows: list[list[str]], titles: Sequence[str]) -> DecodeError:
    """The error that names the first cell that is not a finite number."""
    for index, row in enumerate(rows):
        for title, cell in zip(titles, row, strict=True):
            if not _is_number(cell) or not math.isfinite(float(cell)):
                kind = "finite number" if _is_number(cell) else "number"
                return DecodeError(f"row {index + 1}, {title}: {cell[:40]!r} is not a {kind}")
    return DecodeError("its rows are not all finite numbers")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _row_shape(width: int, spec: TensorSpec) -> tuple[int, ...]:
    """The shape of rows of `width` columns: an instance's own shape, filled row by row."""
    instance = spec.instance
    if instance is None or any(length is None for length in instance):
        return (-1, width)
    shape = tuple(length for length in instance if length is not None)
    if int(np.prod(shape)) != width:
        raise ShapeError(f"the rows have {width} columns; expected {int(np.prod(shape))}")
    return (-1, *shape)
