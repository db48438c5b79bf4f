"""JSON values to arrays, in the forms of TensorFlow Serving's REST API.

`{"instances": [...]}` is a list of rows, one prediction each; `{"inputs": ...}` gives whole tensors. A model with one
input takes bare values, one with several takes objects by input name. Strings are text or `{"b64": "..."}`.
https://www.tensorflow.org/tfx/serving/api_rest#predict_api
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.errors import DecodeError, EmptyInputError, ShapeError, TooLargeError
from inference.limits import MAX_RECORDS, max_tensor_bytes
from inference.runtimes import Array, TensorSpec, takes_batches

Specs = tuple[TensorSpec, ...]

#: How messages name the kinds of array elements.
_KINDS = {"f": "numbers", "i": "integers", "u": "integers", "b": "booleans", "O": "strings"}

#: Which kinds of elements become which without loss.
_ACCEPTED = {"f": "fiu", "i": "iu", "u": "iu", "b": "b", "O": "O"}


@dataclass(frozen=True)
class Instances:
    """What one input asks: an array per input of the signature, with one row for each of `count` predictions.

    Where the signature takes no batch the arrays are whole tensors, and `count` is 1.
    """

    tensors: dict[str, Array]
    count: int

    @property
    def size(self) -> int:
        """Bytes of the tensors."""
        return sum(array.nbytes for array in self.tensors.values())


def from_request(body: Any, specs: Specs) -> Instances:
    """The tensors of `{"instances": [...]}` or `{"inputs": ...}`.

    Raises:
        DecodeError, ShapeError, EmptyInputError, TooLargeError: what is wrong, and where in the body.
    """
    if not isinstance(body, dict) or ("instances" in body) == ("inputs" in body):
        raise DecodeError('expected a JSON object with either "instances" or "inputs"')
    if "instances" in body:
        return from_rows(body["instances"], specs, "instances")
    return _from_columns(body["inputs"], specs)


def from_document(document: Any, specs: Specs) -> Instances:
    """The tensors of an uploaded JSON document.

    Beside the forms of `from_request` it may be bare: a value for a model with one input, an object by input name for
    others; one instance if it has an instance's rank, several if it has one more.
    """
    if isinstance(document, dict):
        if "instances" in document or "inputs" in document:
            return from_request(document, specs)
        if set(document) == {spec.name for spec in specs} and takes_batches(specs):
            return from_rows([document], specs, "the document")
        found = _short(sorted(document))
        raise DecodeError(f'expected "instances", "inputs" or an object with {_names(specs)}; found {found}')
    spec = _only(specs, "a bare value")
    return stack({spec.name: _array(document, spec, "the document")}, specs)


def from_rows(rows: Any, specs: Specs, where: str) -> Instances:
    """The tensors of a list of instances."""
    if not isinstance(rows, list):
        raise DecodeError(f'"{where}" has to be a list')
    if not takes_batches(specs):
        raise DecodeError('the signature takes no batch: send whole tensors as {"inputs": ...}')
    if len(rows) > MAX_RECORDS:
        raise TooLargeError(f"{len(rows)} instances; an input may have {MAX_RECORDS}")
    if not rows:
        raise EmptyInputError(f'"{where}" is an empty list')
    named = isinstance(rows[0], dict) and (set(rows[0]) != {"b64"} or specs[0].name == "b64")
    if len(specs) > 1 or named:
        columns = {spec.name: _column(rows, spec, specs, where) for spec in specs}
    else:
        columns = {specs[0].name: rows}
    return _checked({spec.name: _row_array(columns[spec.name], spec, where) for spec in specs}, specs)


def _from_columns(inputs: Any, specs: Specs) -> Instances:
    if len(specs) == 1 and not (isinstance(inputs, dict) and set(inputs) == {specs[0].name}):
        inputs = {specs[0].name: inputs}
    names = {spec.name for spec in specs}
    if not isinstance(inputs, dict) or set(inputs) != names:
        found = _short(sorted(inputs)) if isinstance(inputs, dict) else "no object"
        raise DecodeError(f'"inputs" needs {_names(specs)}; found {found}')
    return _checked({spec.name: _array(inputs[spec.name], spec, f"inputs.{spec.name}") for spec in specs}, specs)


def stack(arrays: dict[str, Array], specs: Specs) -> Instances:
    """Instances from one array per input, each of one instance's rank or, for several instances, one more."""
    if takes_batches(specs) and all(
        spec.instance is not None and arrays[spec.name].ndim == len(spec.instance) for spec in specs
    ):
        arrays = {name: array[np.newaxis] for name, array in arrays.items()}
    check_size(sum(arrays[spec.name].size * spec.dtype.itemsize for spec in specs))
    return _checked({spec.name: cast(arrays[spec.name], spec, spec.name) for spec in specs}, specs)


def check_size(size: int) -> None:
    """Refuse tensors of this many bytes, before they are made, if they are too large for the function's memory.

    Raises:
        TooLargeError: they are.
    """
    limit = max_tensor_bytes()
    if size > limit:
        raise TooLargeError(f"its tensors take {size} bytes; an input's may take {limit}, a quarter of the memory")


def cast(array: Array, spec: TensorSpec, where: str) -> Array:
    """The array in the signature's type, where that loses nothing but precision.

    Raises:
        DecodeError: the elements are of another kind, or beyond the type's range.
    """
    kind, target = array.dtype.kind, spec.dtype.kind
    if kind == "f" and target in "iu" and np.isfinite(array).all() and np.array_equal(array, np.rint(array)):
        kind = "i"
    if array.size and kind not in _ACCEPTED.get(target, ""):
        raise DecodeError(f"{where}: expected {_KINDS.get(target, spec.dtype.name)} ({spec.dtype.name})")
    if target in "iu" and array.size:
        limits = np.iinfo(spec.dtype)
        # As Python's integers: 2.0**63 compares equal to the largest int64.
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise DecodeError(f"{where}: beyond the range of {spec.dtype.name}, {limits.min} to {limits.max}")
    with np.errstate(over="ignore"):
        result = array.astype(spec.dtype, copy=False)
    if target == "f" and not np.isfinite(result).all() and np.isfinite(array).all():
        raise DecodeError(f"{where}: beyond the range of {spec.dtype.name}")
    return result


def parse(text: str) -> Any:
    """The value of a JSON document.

    Raises:
        DecodeError: it is not JSON (NaN and Infinity are not) or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise DecodeError("not valid JSON for a model: nested too deeply") from error
    except ValueError as error:
        raise DecodeError(f"not valid JSON: {error}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _column(rows: Sequence[Any], spec: TensorSpec, specs: Specs, where: str) -> list[Any]:
    names = {spec.name for spec in specs}
    column = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or set(row) != names:
            found = _short(sorted(row)) if isinstance(row, dict) else "no object"
            raise DecodeError(f"{where}[{index}]: expected an object with {_names(specs)}; found {found}")
        column.append(row[spec.name])
    return column


def _row_array(rows: list[Any], spec: TensorSpec, where: str) -> Array:
    """One array of all rows; if they do not make one, the error names the first row that differs."""
    try:
        array = _array(rows, spec, where)
        if _fits(array.shape, spec):
            return array
    except (DecodeError, ShapeError):
        array = None
    for index, row in enumerate(rows):
        shape = _array(row, spec, f"{where}[{index}]").shape
        if not _fits((1, *shape), spec):
            raise ShapeError(f"{where}[{index}] has the shape {_text(shape)}; expected {_text(spec.instance)}")
    if array is None:
        raise ShapeError(f"{where}: the instances differ in shape; one call takes instances of one shape")
    return array


def _array(value: Any, spec: TensorSpec, where: str) -> Array:
    if spec.dtype.kind == "O":
        value = _bytes(value, where)
    try:
        array = np.array(value, dtype=object) if spec.dtype.kind == "O" else np.array(value)
    except (ValueError, OverflowError) as error:
        raise ShapeError(f"{where}: the lists in it differ in length or depth") from error
    if array.dtype.kind == "O" and any(isinstance(element, list) for element in array.flat):
        raise ShapeError(f"{where}: the lists in it differ in length or depth")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DecodeError(f"{where}: NaN, infinity or a number beyond the range of JSON's readers")
    check_size(array.size * spec.dtype.itemsize)
    return cast(array, spec, where)


def _bytes(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_bytes(element, where) for element in value]
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise DecodeError(f"{where}: not valid base64: {error}") from error
    raise DecodeError(f'{where}: expected strings or {{"b64": "..."}}')


def _checked(tensors: dict[str, Array], specs: Specs) -> Instances:
    """Instances whose tensors all have the signature's shapes and equally many rows."""
    for spec in specs:
        shape = tensors[spec.name].shape
        if not _fits(shape, spec):
            raise ShapeError(f"{spec.name} has the shape {_text(shape)}; expected {_text(spec.shape)}")
    if not takes_batches(specs):
        return Instances(tensors, 1)
    counts = {spec.name: len(tensors[spec.name]) for spec in specs}
    count = min(counts.values())
    if count != max(counts.values()):
        raise ShapeError(f"the inputs differ in their number of rows: {counts}")
    if count == 0:
        raise EmptyInputError("it holds no instance")
    if count > MAX_RECORDS:
        raise TooLargeError(f"{count} instances; an input may have {MAX_RECORDS}")
    return Instances(tensors, count)


def _fits(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    """Whether a tensor has the signature's shape; the batch may have any length, since the model is called in parts."""
    if spec.shape is None:
        return len(shape) > 0
    expected = (None, *spec.shape[1:]) if spec.shape[:1] == (1,) else spec.shape
    return len(shape) == len(expected) and all(
        length is None or length == found for length, found in zip(expected, shape, strict=True)
    )


def _only(specs: Specs, what: str) -> TensorSpec:
    if len(specs) > 1:
        raise DecodeError(f"{what} fits a model with one input; this one has {_names(specs)}")
    return specs[0]


def _names(specs: Specs) -> str:
    return ", ".join(f'"{spec.name}"' for spec in specs)


def _text(shape: tuple[int | None, ...] | None) -> str:
    if shape is None:
        return "any"
    return "[" + ", ".join("any" if length is None else str(length) for length in shape) + "]"


def _short(names: list[str]) -> str:
    """The first names of an input, which may have any number of any length."""
    text = ", ".join(repr(name[:40]) for name in names[:5]) or "none"
    return text if len(names) <= 5 else f"{text} and {len(names) - 5} more"
