"""Converts JSON values to arrays, in the forms of TensorFlow Serving's REST API.

`{"instances": [...]}` is a list of rows; `{"inputs": ...}` contains whole tensors, which are passed as they are. A
model with one input takes bare values, and a model with several inputs takes objects by input name; if the registry
names the columns of a single input, a row may be an object by column name. Strings are text or `{"b64": "..."}`, which
may also be the bytes of one instance of a uint8 or int8 input. If one row does not fit, the whole input is refused,
since it has only one result.
https://www.tensorflow.org/tfx/serving/api_rest#predict_api
"""

import binascii
import functools
import itertools
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from inference.config import InputConfig
from inference.errors import DecodeError, ShapeError, TooLargeError
from inference.limits import max_tensor_bytes
from inference.rows import Rows, are_stacked, rows_of
from inference.runtimes import Array, Specs, TensorSpec

#: How messages name the kinds of array elements.
_KINDS = {"f": "numbers", "i": "integers", "u": "integers", "b": "booleans", "O": "strings"}

#: The kinds of elements that can be converted to each kind without loss.
_ACCEPTED = {"f": "fiu", "i": "iu", "u": "iu", "b": "b", "O": "O"}

#: The same for JSON values; a float may be a whole number.
_ACCEPTED_TYPES: dict[str, set[type]] = {"f": {int, float}, "i": {int, float}, "u": {int, float}, "b": {bool}}

#: How messages name JSON values.
_TYPES = {
    str: "a string",
    bool: "true or false",
    type(None): "null",
    dict: "an object",
    int: "a number",
    float: "a number",
}

#: The most dimensions of an array whose elements numpy can iterate over; an array can have 64.
_MAX_DEPTH = 32

#: The two letters that differ in base64's URL-safe alphabet: https://www.rfc-editor.org/rfc/rfc4648#section-5
_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")

#: A JSON string or, as group 1, a constant that only Python accepts as a number. It is compiled at the first search,
#: after an error, since a cold start has no time for it.
_CONSTANTS = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(NaN|-?Infinity)'


#: Up to this many numbers, summing their squares is faster than checking each.
_FEW = 4096


@dataclass(frozen=True)
class Instances:
    """The instances of one input: an array per input of the signature."""

    tensors: dict[str, Array]
    #: The number of rows of each array, each of which can have a prediction; None: they are whole tensors.
    count: int | None
    #: Whether an instance of one element was bare, without brackets; its prediction is then bare as well.
    bare: bool = False

    @property
    def size(self) -> int:
        """Bytes of the tensors, including the text of strings."""
        texts = (array for array in self.tensors.values() if array.dtype.kind == "O")
        return sum(array.nbytes for array in self.tensors.values()) + sum(len(text) for a in texts for text in a.flat)


def from_request(body: Any, specs: Specs, config: InputConfig) -> Instances:
    """The tensors of `{"instances": [...]}` or `{"inputs": ...}`.

    Raises:
        DecodeError, ShapeError, TooLargeError: what is wrong, and where in the body.
    """
    if not isinstance(body, dict) or ("instances" in body) == ("inputs" in body):
        raise DecodeError('expected a JSON object with either "instances" or "inputs"')
    if "instances" in body:
        return from_rows(body["instances"], specs, "instances", config)
    return _from_columns(body["inputs"], specs, config)


def from_document(document: Any, specs: Specs, config: InputConfig) -> Instances:
    """The tensors of an uploaded JSON document.

    Besides the forms of `from_request`, it may be bare: a value for a model with one input, an object by input name for
    others. It is one instance if it has an instance's rank, and several if its rank is one more or it is a list of such
    objects. An object with a single value for each column, or for each input, is one row.
    """
    if isinstance(document, dict) and set(document) != {"b64"}:
        if "instances" in document or "inputs" in document:
            return from_request(document, specs, config)
        if _is_one_row(document, specs, config):
            return from_rows([document], specs, "the document", config)
        if set(document) == {spec.name for spec in specs}:
            arrays = {
                spec.name: _array(
                    document[spec.name], spec, spec.name, unstacked_shape(spec, config), missing=config.missing
                )
                for spec in specs
            }
            return stack(arrays, specs, config)
        raise DecodeError(
            f'expected "instances", "inputs" or an object with {_names(specs)}; found {_short(sorted(document))}'
            + _columns_hint(specs, config)
        )
    if isinstance(document, list) and document and _is_named(document[0], specs):
        return from_rows(document, specs, "the document", config)
    spec = _only(specs, "a bare value")
    array = _array(document, spec, "the document", unstacked_shape(spec, config), missing=config.missing)
    return stack({spec.name: array}, specs, config)


def from_rows(instances: Any, specs: Specs, where: str, config: InputConfig) -> Instances:
    """The tensors of a list of instances."""
    if not isinstance(instances, list):
        raise DecodeError(f'"{where}" must be a list')
    if not are_stacked(specs):
        raise DecodeError('the signature has no batch dimension: send whole tensors as {"inputs": ...}')
    check_records(len(instances), config)
    if not instances:
        return Instances({}, 0)
    if _is_record(instances[0], specs, config):
        array = _record_array(instances, specs[0], where, config)
        return _checked({specs[0].name: array}, specs, config, in_rows=True)
    if len(specs) > 1 or _is_named(instances[0], specs):
        columns = _columns(instances, specs, where, config)
    else:
        columns = {specs[0].name: instances}
    bare = {spec.name: _is_bare(columns[spec.name][0], spec) for spec in specs}
    arrays = {
        spec.name: _row_array(columns[spec.name], spec, where, bare=bare[spec.name], missing=config.missing)
        for spec in specs
    }
    return _checked(arrays, specs, config, in_rows=True, bare=False not in bare.values())


def _is_named(row: Any, specs: Specs) -> bool:
    """Whether an instance is an object by input name."""
    return isinstance(row, dict) and (set(row) != {"b64"} or specs[0].name == "b64")


def _is_record(row: Any, specs: Specs, config: InputConfig) -> bool:
    """Whether a row of a single input is an object by column name."""
    if len(specs) > 1 or not config.columns or not _is_named(row, specs):
        return False
    name = specs[0].name
    return set(row) != {name} or (len(config.columns) > 1 and not isinstance(row[name], list))


def _is_one_row(document: dict[str, Any], specs: Specs, config: InputConfig) -> bool:
    """Whether an object is one row: by column name, or with a single value for each input."""
    if _is_record(document, specs, config):
        return True
    absent = {spec.name for spec in specs} - document.keys()
    return (
        are_stacked(specs)
        and all(map(_is_single, specs))
        and 0 < len(document) == len(specs) - len(absent)
        and (config.missing or not absent)
        and not any(isinstance(value, list) for value in document.values())
    )


def _is_single(spec: TensorSpec) -> bool:
    """Whether an instance has one element: a column of a table, for example."""
    return spec.instance is not None and set(spec.instance) <= {1}


def _is_bare(instance: Any, spec: TensorSpec) -> bool:
    """Whether an instance of one element, `[1]` or `[[1]]`, was given as the bare element."""
    if isinstance(instance, list) or not spec.instance or not _is_single(spec):
        return False
    return spec.dtype.kind == "O" or not isinstance(instance, dict)


def _from_columns(inputs: Any, specs: Specs, config: InputConfig) -> Instances:
    if len(specs) == 1 and not (isinstance(inputs, dict) and set(inputs) == {specs[0].name}):
        inputs = {specs[0].name: inputs}
    names = {spec.name for spec in specs}
    if not isinstance(inputs, dict) or set(inputs) != names:
        found = _short(sorted(inputs)) if isinstance(inputs, dict) else "a value that is not an object"
        raise DecodeError(f'"inputs" needs {_names(specs)}; found {found}')
    arrays = {
        spec.name: _array(inputs[spec.name], spec, f"inputs.{spec.name}", spec.shape, missing=config.missing)
        for spec in specs
    }
    return _checked(arrays, specs, config, as_is=True)


def stack(arrays: dict[str, Array], specs: Specs, config: InputConfig, *, in_rows: bool = False) -> Instances:
    """Instances from one array per input. Each has one instance's rank or, for several instances, one more.

    `in_rows`: they come from a format that consists of rows.
    """
    if are_stacked(specs) and all(
        spec.instance is not None and arrays[spec.name].ndim == len(spec.instance) for spec in specs
    ):
        arrays = {name: array[np.newaxis] for name, array in arrays.items()}
    check_size(sum(arrays[spec.name].size * spec.dtype.itemsize for spec in specs))
    cast_arrays = {spec.name: cast(arrays[spec.name], spec, spec.name) for spec in specs}
    return _checked(cast_arrays, specs, config, in_rows=in_rows)


def check_size(size: int) -> None:
    """Refuse tensors that are too large for the function's memory, before they are created.

    Raises:
        TooLargeError: they are.
    """
    limit = max_tensor_bytes()
    if size > limit:
        raise TooLargeError(
            f"its tensors take {size} bytes, but may take at most {limit}, a quarter of the memory (memory_mb)"
        )


def check_records(count: int, config: InputConfig, way_out: str = "") -> None:
    """Refuse an input with too many instances, before they are created.

    Raises:
        TooLargeError: they are.
    """
    most = config.max_records
    if count > most:
        raise TooLargeError(f"{count} instances; an input may have at most {most} (limits.records){way_out}")


def unstacked_shape(spec: TensorSpec, config: InputConfig) -> tuple[int | None, ...] | None:
    """The shape of a single value: an instance's or, if the first dimension is not a batch, the whole tensor's."""
    return spec.shape if rows_of((spec,), config.batch.rows) in (Rows.NONE, Rows.FIXED) else spec.instance


def filled(elements: Array, spec: TensorSpec, shape: tuple[int | None, ...] | None) -> Array:
    """A flat sequence of elements, reshaped; an open dimension gets the length that fits all of them.

    Raises:
        ShapeError: they do not fill it.
    """
    if shape is None:
        return elements
    known = math.prod(length for length in shape if length is not None)
    lengths = [elements.size // max(1, known) if length is None else length for length in shape]
    if math.prod(lengths) != elements.size:
        raise ShapeError(f"{elements.size} elements do not fill {spec.name}, whose shape is {_text(shape)}")
    return elements.reshape(lengths)


def columns_shape(spec: TensorSpec, width: int) -> tuple[int, ...]:
    """The shape of an instance that a row of this many columns fills in order.

    Raises:
        ShapeError: it does not.
    """
    instance = spec.instance
    if instance is None or any(length is None for length in instance):
        return (width,)
    shape = tuple(length for length in instance if length is not None)
    if math.prod(shape) != width:
        raise ShapeError(f"the rows have {width} columns; expected {math.prod(shape)}")
    return shape


def _at(place: tuple[int, ...]) -> str:
    return "at " + "".join(f"[{index}]" for index in place)


def is_surely_within(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether the sum of floats' squares proves that they are finite and in the range of a type; False: not proven.

    For the few numbers of most inputs, this takes a quarter of the time of checking each.
    """
    return array.size <= _FEW and float(np.vdot(array, array)) <= _squares(dtype)


def are_finite(array: Array, *, missing: bool) -> bool:
    """Whether floats are finite or, with `missing`, NaN."""
    return bool((~np.isinf(array) if missing else np.isfinite(array)).all())


@functools.cache
def _squares(dtype: np.dtype[Any]) -> float:
    """The square of the largest number of a type, as far as float64 can represent it."""
    return float(np.finfo(dtype).max) ** 2 if dtype.itemsize < 8 else sys.float_info.max


def cast(array: Array, spec: TensorSpec, where: str, name: Callable[[tuple[int, ...]], str] = _at) -> Array:
    """The array in the signature's type, if that loses nothing but precision.

    For a quantized tensor, an array in the type of the file contains the stored integers; any other array contains the
    numbers that these represent. `name` is how messages name an element's position.

    Raises:
        DecodeError: the elements are of another kind, or out of the type's range.
    """
    if spec.quantization and array.dtype == spec.quantization.dtype:
        return spec.quantization.real(array)
    kind, target = array.dtype.kind, spec.dtype.kind
    if kind == target == "f" and is_surely_within(array, spec.dtype):
        return array.astype(spec.dtype, copy=False)
    if kind == "f" and target in "iu":
        whole = np.isfinite(array) & (array == np.rint(array))
        if not whole.all():
            raise DecodeError(f"{where}: expected {_kind(spec)}, found {_first(array, ~whole, name)}")
    elif array.size and kind not in _ACCEPTED.get(target, ""):
        raise DecodeError(f"{where}: expected {_kind(spec)}")
    if target in "iu" and array.size:
        limits = np.iinfo(spec.dtype)
        # Compared as Python integers: 2.0**63 equals the largest int64 as a float.
        extremes = (int(array.min()), int(array.max()))
        if extremes[0] < limits.min or extremes[1] > limits.max:
            extreme = array.min() if extremes[0] < limits.min else array.max()
            wrong = (array == extreme) | (array < limits.min) | (array > limits.max)
            raise DecodeError(
                f"{where}: beyond the range of {spec.dtype.name}, {limits.min} to {limits.max}: "
                f"{_first(array, wrong, name)}"
            )
    with np.errstate(over="ignore"):
        result = array.astype(spec.dtype, copy=False)
    if target == "f" and not np.isfinite(result).all():
        overflown = np.isfinite(array) & ~np.isfinite(result)
        if overflown.any():
            raise DecodeError(f"{where}: beyond the range of {spec.dtype.name}: {_first(array, overflown, name)}")
    return result


def _first(array: Array, wrong: Array, name: Callable[[tuple[int, ...]], str]) -> str:
    """The first of an array's wrong elements, and its position."""
    place = tuple(int(index) for index in np.unravel_index(int(wrong.argmax()), wrong.shape))
    return f"{array[place]} {name(place)}" if place else str(array[place])


def parse(text: str, *, missing: bool = False) -> Any:
    """The value of a JSON document; with `missing`, NaN is accepted, as Python writes missing values.

    Raises:
        DecodeError: it is not JSON (NaN and Infinity are not) or nested too deeply.
    """
    try:
        return (_DECODER_WITH_NAN if missing else _DECODER).decode(text)
    except _ConstantError as error:
        place = next(found for found in re.finditer(_CONSTANTS, text) if found[1] == str(error)).start()
        raise DecodeError(
            f"not valid JSON: {json.JSONDecodeError(f'{error} is not a JSON number', text, place)}"
        ) from error
    except RecursionError as error:
        raise DecodeError("not valid JSON for a model: nested too deeply") from error
    except json.JSONDecodeError as error:
        raise DecodeError(f"not valid JSON: {error}") from error
    except ValueError as error:
        # Python's guard against numbers that take hours to parse.
        raise DecodeError("not valid JSON for a model: an integer of thousands of digits") from error


class _ConstantError(Exception):
    """The name of a constant that is not JSON: NaN or an infinity."""


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def _nan_or_refused(name: str) -> float:
    return math.nan if name == "NaN" else _refuse_constant(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise DecodeError(f"not valid JSON for a model: an object contains {twice[:40]!r} twice")
    return members


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)
_DECODER_WITH_NAN = json.JSONDecoder(parse_constant=_nan_or_refused, object_pairs_hook=_unique)


def _check_names(
    rows: Sequence[Any], names: Set[str], optional: Set[str], where: str, expected: str, way_out: str = ""
) -> None:
    """Refuse rows that are not objects with these names; optional names may be absent."""
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != names:
            if isinstance(row, dict) and row and names - optional <= row.keys() <= names:
                continue
            found = "a value that is not an object"
            if isinstance(row, dict):
                unknown, absent = row.keys() - names, names - optional - row.keys() or names
                difference = f"{min(unknown)[:40]!r} is unknown" if unknown else f"{min(absent)!r} is missing"
                found = f"{_short(sorted(row))} ({difference})"
            raise DecodeError(f"{where}[{index}]: expected {expected}; found {found}{way_out}")


def _columns(rows: Sequence[Any], specs: Specs, where: str, config: InputConfig) -> dict[str, list[Any]]:
    """The values for each input of rows that are objects by input name."""
    names = {spec.name for spec in specs}
    optional = {spec.name for spec in specs if config.missing and spec.has_nan and _is_single(spec)}
    _check_names(rows, names, optional, where, f"an object with {_names(specs)}", _columns_hint(specs, config))
    return {spec.name: [row.get(spec.name) for row in rows] for spec in specs}


def _columns_hint(specs: Specs, config: InputConfig) -> str:
    if len(specs) > 1 or config.columns:
        return ""
    return "; for objects by column name, name the model's columns in input.columns"


def _record_array(rows: Sequence[Any], spec: TensorSpec, where: str, config: InputConfig) -> Array:
    """One array from rows that are objects by column name; the error names the first wrong row and column."""
    names, missing = config.columns, config.missing
    known = frozenset(names)
    optional = known if missing and spec.has_nan else frozenset[str]()
    _check_names(rows, known, optional, where, f"an object with the columns {_short(list(names))}")
    values = [[row.get(name) for name in names] for row in rows]
    try:
        flat = replace(spec, shape=(None, len(names)))
        array = _row_array(values, flat, where, bare=False, missing=missing)
    except (DecodeError, ShapeError):
        for name, *column in zip(names, *values, strict=True):
            try:
                _row_array(column, replace(spec, shape=(None,)), where, bare=False, missing=missing)
            except (DecodeError, ShapeError) as error:
                raise type(error)(f"the column {name!r}: {error}") from error
        raise
    return array.reshape(-1, *columns_shape(spec, len(names)))


def _row_array(rows: list[Any], spec: TensorSpec, where: str, *, bare: bool, missing: bool) -> Array:
    """One array from all rows; if they do not form one, the error names the first row that differs."""
    array = _array(rows, spec, where, spec.instance, instances=not bare, missing=missing)
    if bare:
        array = array.reshape(-1, *(spec.instance or ()))
    if not _fits(array.shape, spec, any_rows=True):
        raise ShapeError(f"{where}[0] has the shape {_text(array.shape[1:])}; expected {_text(spec.instance)}")
    return array


def _array(
    value: Any,
    spec: TensorSpec,
    where: str,
    alone: tuple[int | None, ...] | None,
    *,
    missing: bool,
    instances: bool = False,
) -> Array:
    """One array from a value; if it does not form one, the error names its first wrong element.

    `alone` is the shape of a `{"b64": ...}` that is the whole value; in a list, it has an instance's shape. With
    `instances`, each element must have an instance's shape; with `missing`, floats may be null or NaN.
    """
    try:
        return _converted(value, spec, where, alone if isinstance(value, dict) else spec.instance, missing)
    except (DecodeError, ShapeError):
        if isinstance(value, list):
            _refuse_first_wrong(value, spec, where, instances=instances, missing=missing)
        raise


def _refuse_first_wrong(rows: list[Any], spec: TensorSpec, where: str, *, instances: bool, missing: bool) -> None:
    """For rows that do not form one array, raise the error of the first row that is wrong by itself, if any."""

    def shape_of(index: int) -> tuple[int, ...]:
        name = f"{where}[{index}]"
        shape: tuple[int, ...] = _converted(rows[index], spec, name, spec.instance, missing).shape
        # Elements of an input that is not a list of instances may still be rows, which their rank shows.
        if (instances or len(shape) == len(spec.instance or ())) and not _matches(shape, spec.instance):
            raise ShapeError(f"{name} has the shape {_text(shape)}; expected {_text(spec.instance)}")
        return shape

    def are_right(part: list[Any]) -> bool:
        try:
            return bool(_converted(part, spec, where, spec.instance, missing).shape[1:] == first)
        except (DecodeError, ShapeError):
            return False

    first = shape_of(0)
    # All rows before `right` are right, and one before `end` is wrong. Bisecting takes no longer than converting all.
    right, end = 0, len(rows)
    while end - right > 1:
        middle = (right + end) // 2
        if are_right(rows[right:middle]):
            right = middle
        else:
            end = middle
    shape = shape_of(right)
    if shape != first:
        raise ShapeError(f"{where}[{right}] has the shape {_text(shape)}, but {where}[0] has {_text(first)}")


def _converted(
    value: Any, spec: TensorSpec, where: str, encoded: tuple[int | None, ...] | None, missing: bool
) -> Array:
    """One array from a value; the bytes of each `{"b64": ...}` in it have the shape `encoded`."""
    lengths, elements, kinds = _flattened(value, where)
    missing = missing and spec.has_nan
    if missing and type(None) in kinds:
        elements = [math.nan if element is None else element for element in elements]
        kinds = kinds - {type(None)} | {float}
    if spec.dtype.kind == "O":
        elements = [_bytes(element, where) for element in elements]
    elif spec.holds_bytes and kinds == {dict}:
        elements = [_filled_bytes(element, spec, where, encoded) for element in elements]
    elif not kinds <= _ACCEPTED_TYPES.get(spec.dtype.kind, set()):
        # Done before numpy: in its array, every text would be as long as the longest one.
        (wrong, *_) = kinds - _ACCEPTED_TYPES.get(spec.dtype.kind, set())
        raise DecodeError(f"{where}: expected {_kind(spec)}, found {_TYPES[wrong]}")
    elif spec.dtype.kind in "iu" and float in kinds:
        elements = list(map(_whole, elements))
        kinds = set(map(type, elements))
    # By default numpy converts integers to floats, which have 53 bits, if one of them has 64 bits.
    dtype = np.uint64 if spec.dtype == np.uint64 and kinds == {int} else object if spec.dtype.kind == "O" else None
    try:
        array = np.array(elements, dtype)
        if array.dtype.kind == "O" and spec.dtype.kind == "f":
            # An integer of more than 64 bits, which a float can represent.
            array = array.astype(np.float64)
    except OverflowError as error:
        raise DecodeError(f"{where}: expected {_kind(spec)}, found one outside its range") from error
    except ValueError as error:
        # Elements in base64 are arrays themselves, perhaps of different shapes.
        raise ShapeError(f"{where}: the lists in it differ in length or depth") from error
    if lengths is None:
        raise ShapeError(f"{where}: the lists in it differ in length or depth")
    array = array.reshape(lengths + array.shape[1:])
    if array.dtype.kind == "O" and spec.dtype.kind in "iu":
        # An integer of more than 64 bits.
        raise DecodeError(f"{where}: expected {_kind(spec)}, found one outside its range")
    if array.dtype.kind == "f" and not is_surely_within(array, array.dtype) and not are_finite(array, missing=missing):
        raise DecodeError(f"{where}: NaN, infinity or a number beyond the range of JSON readers")
    check_size(array.size * spec.dtype.itemsize)
    return cast(array, spec, where)


def _flattened(value: Any, where: str) -> tuple[tuple[int, ...] | None, list[Any], set[type]]:
    """The lengths of nested lists, their values, and the types of the values; level by level, at the speed of C.

    All lists are equally deep; the lengths are None if they differ within a level.
    """
    lengths: list[int] = []
    level, ragged = [value], False
    while (types := set(map(type, level))) == {list}:
        if len(lengths) == _MAX_DEPTH:
            raise ShapeError(f"{where}: lists nested more than {_MAX_DEPTH} deep")
        lengths.append(len(level[0]))
        ragged = ragged or len(set(map(len, level))) > 1
        level = list(itertools.chain.from_iterable(level))
    if list in types:
        raise ShapeError(f"{where}: the lists in it differ in length or depth")
    return None if ragged else tuple(lengths), level, types


def _whole(number: float) -> float:
    """An integer in place of a float with the same value: among floats, other integers would be rounded to 53 bits."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _bytes(value: Any, where: str) -> bytes:
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
            return _from_base64(value["b64"])
    except UnicodeEncodeError as error:
        raise DecodeError(f"{where}: a string contains half a surrogate pair, which UTF-8 cannot encode") from error
    except (binascii.Error, ValueError) as error:
        raise DecodeError(f"{where}: not valid base64: {error}") from error
    raise DecodeError(f'{where}: expected strings or {{"b64": "..."}}')


def _filled_bytes(value: Any, spec: TensorSpec, where: str, shape: tuple[int | None, ...] | None) -> Array:
    try:
        return filled(np.frombuffer(_bytes(value, where), spec.stored), spec, shape)
    except ShapeError as error:
        raise ShapeError(f"{where}: {error}") from error


def _from_base64(text: str) -> bytes:
    """The bytes of base64, with or without padding and white space, in the standard or the URL-safe alphabet.

    TensorFlow Serving accepts the same (absl::Base64Unescape), except for the URL-safe alphabet.

    Raises:
        ValueError: it is not base64.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        plain = text.encode().translate(_STANDARD_ALPHABET, b" \t\n\v\f\r")
        padding = b"" if plain.endswith(b"=") else b"=" * (-len(plain) % 4)
        return binascii.a2b_base64(plain + padding, strict_mode=True)


def _checked(
    tensors: dict[str, Array],
    specs: Specs,
    config: InputConfig,
    *,
    in_rows: bool = False,
    as_is: bool = False,
    bare: bool = False,
) -> Instances:
    """Instances, after a check that all tensors have the signature's shapes, with their number of rows.

    Args:
        tensors: an array per input.
        specs: the signature's inputs.
        config: says whether the first dimension is a batch.
        in_rows: the input is a list of rows.
        as_is: the input is whole tensors, which are passed as they are.
        bare: instances of one element were bare, without brackets.
    """
    kind = rows_of(specs, config.batch.rows)
    any_rows = kind is Rows.INDEPENDENT or (kind is Rows.SINGLE and not as_is)
    for spec in specs:
        shape = tensors[spec.name].shape
        if not _fits(shape, spec, any_rows=any_rows):
            way_out = ""
            if _fits(shape, spec, any_rows=True):
                way_out = (
                    '; send several rows as {"instances": [...]}: the model is then called once per row'
                    if kind is Rows.SINGLE
                    else "; if its rows are independent, set batch.rows, and it may have any number of them"
                )
            raise ShapeError(f"{spec.name} has the shape {_text(shape)}; expected {_text(spec.shape)}{way_out}")
    shapes = {name: array.shape for name, array in tensors.items()}
    if kind is Rows.NONE or (kind is Rows.FIXED and not in_rows) or () in shapes.values():
        return Instances(tensors, None)
    counts = {name: shape[0] for name, shape in shapes.items()}
    no_batch = "; if the first dimension is not a batch of instances, set batch.rows to 0" if kind is Rows.OPEN else ""
    check_records(max(counts.values()), config, no_batch)
    if len(set(counts.values())) == 1:
        return Instances(tensors, counts[specs[0].name], bare)
    if not all(_fits(shapes[spec.name], spec) for spec in specs):
        raise ShapeError(f"the inputs differ in their number of rows: {counts}")
    return Instances(tensors, None)


def _fits(shape: tuple[int, ...], spec: TensorSpec, *, any_rows: bool = False) -> bool:
    """Whether a tensor has the signature's shape; `any_rows`: the first dimension may have any length."""
    if not spec.shape or not shape:
        return spec.shape is None or shape == spec.shape
    return (any_rows or spec.shape[0] in (None, shape[0])) and _matches(shape[1:], spec.instance)


def _matches(shape: tuple[int, ...], expected: tuple[int | None, ...] | None) -> bool:
    """Whether a shape is the expected one, in which None is any length; None as a whole is any shape."""
    return expected in (None, shape) or (
        len(shape) == len(expected)
        and all(length is None or length == found for length, found in zip(expected, shape, strict=True))
    )


def _only(specs: Specs, what: str) -> TensorSpec:
    if len(specs) != 1:
        raise DecodeError(f"{what} needs a model with one input; this one has {_names(specs)}")
    return specs[0]


def _kind(spec: TensorSpec) -> str:
    return f"{_KINDS.get(spec.dtype.kind, spec.dtype.name)} ({spec.dtype.name})"


def _names(specs: Specs) -> str:
    return ", ".join(f'"{spec.name}"' for spec in specs) or "no inputs"


def _text(shape: tuple[int | None, ...] | None) -> str:
    if shape is None:
        return "any"
    return "[" + ", ".join("any" if length is None else str(length) for length in shape) + "]"


def _short(names: list[str]) -> str:
    """The first of an input's names, shortened: there may be any number of them, of any length."""
    text = ", ".join(repr(name[:40]) for name in names[:5]) or "none"
    return text if len(names) <= 5 else f"{text} and {len(names) - 5} more"
