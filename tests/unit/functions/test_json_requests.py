"""JSON values become arrays as in TensorFlow Serving's REST API."""

import base64
from typing import Any

import numpy as np
import pytest

from inference import tensors
from inference.errors import DecodeError, EmptyInputError, ShapeError, TooLargeError
from inference.limits import MAX_RECORDS
from inference.runtimes import TensorSpec


def spec(name: str, shape: tuple[int | None, ...], dtype: Any = np.float32) -> TensorSpec:
    """One input of a signature."""
    return TensorSpec(name, shape, np.dtype(dtype))


ROW = (spec("x", (None, 3)),)
TWO = (spec("a", (None, 2)), spec("b", (None,), np.int32))
TEXT = (spec("text", (None,), object),)
WHOLE = (spec("x", (4,)),)


def test_instances_are_rows() -> None:
    instances = tensors.from_request({"instances": [[1, 2, 3], [4, 5, 6.5]]}, ROW)
    assert instances.count == 2
    assert instances.tensors["x"].dtype == np.float32
    np.testing.assert_array_equal(instances.tensors["x"], [[1, 2, 3], [4, 5, 6.5]])


def test_an_instance_may_name_the_single_input() -> None:
    named = tensors.from_request({"instances": [{"x": [1, 2, 3]}]}, ROW)
    np.testing.assert_array_equal(named.tensors["x"], [[1, 2, 3]])


def test_instances_of_several_inputs_are_objects() -> None:
    instances = tensors.from_request({"instances": [{"a": [1, 2], "b": 3}, {"a": [4, 5], "b": 6}]}, TWO)
    np.testing.assert_array_equal(instances.tensors["a"], [[1, 2], [4, 5]])
    np.testing.assert_array_equal(instances.tensors["b"], [3, 6])
    assert instances.tensors["b"].dtype == np.int32


def test_inputs_are_whole_tensors() -> None:
    assert tensors.from_request({"inputs": [[1, 2, 3]]}, ROW).count == 1
    assert tensors.from_request({"inputs": {"x": [[1, 2, 3], [4, 5, 6]]}}, ROW).count == 2
    assert tensors.from_request({"inputs": {"a": [[1, 2]], "b": [3]}}, TWO).count == 1


def test_a_signature_without_a_batch_takes_whole_tensors_only() -> None:
    assert tensors.from_request({"inputs": [1, 2, 3, 4]}, WHOLE).count == 1
    with pytest.raises(DecodeError, match="takes no batch"):
        tensors.from_request({"instances": [[1, 2, 3, 4]]}, WHOLE)


def test_strings_are_text_or_base64() -> None:
    encoded = base64.b64encode(b"\xff\x00").decode()
    instances = tensors.from_request({"instances": ["grüß", {"b64": encoded}]}, TEXT)
    assert instances.tensors["text"].tolist() == ["grüß".encode(), b"\xff\x00"]


@pytest.mark.parametrize(
    ("document", "count"),
    [([1, 2, 3], 1), ([[1, 2, 3], [4, 5, 6]], 2), ({"x": [1, 2, 3]}, 1), ({"instances": [[1, 2, 3]]}, 1)],
    ids=["one instance", "several instances", "an object by input name", "a request"],
)
def test_an_uploaded_document_may_be_bare(document: Any, count: int) -> None:
    assert tensors.from_document(document, ROW).count == count


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ([[1, 2, 3]], DecodeError, 'either "instances" or "inputs"'),
        ({}, DecodeError, 'either "instances" or "inputs"'),
        ({"instances": [[1, 2, 3]], "inputs": [[1, 2, 3]]}, DecodeError, 'either "instances" or "inputs"'),
        ({"instances": {"x": 1}}, DecodeError, "has to be a list"),
        ({"instances": []}, EmptyInputError, "empty list"),
        ({"inputs": []}, ShapeError, r"shape \[0\]; expected \[any, 3\]"),
        ({"instances": [[1, 2, 3], [4, 5]]}, ShapeError, r"instances\[1\] has the shape \[2\]; expected \[3\]"),
        ({"instances": [[1, 2, 3], [4, [5], 6]]}, ShapeError, r"instances\[1\].*differ in length or depth"),
        ({"instances": [1, 2, 3]}, ShapeError, r"instances\[0\] has the shape \[\]; expected \[3\]"),
        ({"instances": [["a", "b", "c"]]}, DecodeError, "expected numbers"),
        ({"instances": [[1, None, 3]]}, DecodeError, "expected numbers"),
        ({"instances": [[True, False, True]]}, DecodeError, "expected numbers"),
        ({"instances": [{"y": [1, 2, 3]}]}, DecodeError, "expected an object with \"x\"; found 'y'"),
        ({"instances": [[1e39, 2, 3]]}, DecodeError, "beyond the range of float32"),
        ({"instances": [[float("nan"), 2, 3]]}, DecodeError, "NaN"),
        ({"instances": [[float("inf"), 2, 3]]}, DecodeError, "infinity"),
        ({"instances": [[10**400, 2, 3]]}, DecodeError, "expected numbers"),
    ],
)
def test_what_does_not_fit_the_signature_is_refused_with_its_place(
    body: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tensors.from_request(body, ROW)


@pytest.mark.parametrize(
    ("value", "message"),
    [(1.5, "expected integers"), (2**31, "beyond the range of int32"), (2**70, "expected integers"), ("1", "integers")],
)
def test_integers_are_exact(value: Any, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        tensors.from_request({"instances": [{"a": [1, 2], "b": value}]}, TWO)


def test_a_float_beyond_the_largest_integer_does_not_wrap_around() -> None:
    with pytest.raises(DecodeError, match="beyond the range of int64"):
        tensors.from_request({"instances": [2.0**63]}, (spec("n", (None,), np.int64),))


def test_inputs_must_have_equally_many_rows() -> None:
    with pytest.raises(ShapeError, match="differ in their number of rows"):
        tensors.from_request({"inputs": {"a": [[1, 2], [3, 4]], "b": [1]}}, TWO)


def test_a_missing_input_is_named() -> None:
    with pytest.raises(DecodeError, match=r'instances\[0\]: expected an object with "a", "b"; found \'a\''):
        tensors.from_request({"instances": [{"a": [1, 2]}]}, TWO)


def test_the_number_of_records_is_bounded() -> None:
    with pytest.raises(TooLargeError, match=f"an input may have {MAX_RECORDS}"):
        tensors.from_request({"instances": [[1, 2, 3]] * (MAX_RECORDS + 1)}, ROW)


@pytest.mark.parametrize(
    "text", ["", "{", "[NaN]", "[Infinity]", "[-Infinity]", "[" * 100_000, "[" + "9" * 5000 + "]", "\x00"]
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="not valid JSON"):
        tensors.parse(text)
