"""JSON values become arrays as in TensorFlow Serving's REST API."""

import base64
import tracemalloc
from typing import Any

import numpy as np
import pytest

from inference import tensors
from inference.config import InputConfig
from inference.errors import DecodeError, ShapeError, TooLargeError
from inference.limits import MAX_RECORDS, Limits
from inference.runtimes import TensorSpec


def spec(name: str, shape: tuple[int | None, ...], dtype: Any = np.float32) -> TensorSpec:
    """One input of a signature."""
    return TensorSpec(name, shape, np.dtype(dtype))


ROW = (spec("x", (None, 3)),)
TWO = (spec("a", (None, 2)), spec("b", (None,), np.int32))
TEXT = (spec("text", (None,), object),)
WHOLE = (spec("x", (4,)),)


def nested(depth: int) -> Any:
    """A number in this many nested lists."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_instances_are_rows() -> None:
    instances = tensors.from_request({"instances": [[1, 2, 3], [4, 5, 6.5]]}, ROW, InputConfig("json"))
    assert instances.count == 2
    assert instances.tensors["x"].dtype == np.float32
    np.testing.assert_array_equal(instances.tensors["x"], [[1, 2, 3], [4, 5, 6.5]])


def test_an_instance_may_name_the_single_input() -> None:
    named = tensors.from_request({"instances": [{"x": [1, 2, 3]}]}, ROW, InputConfig("json"))
    np.testing.assert_array_equal(named.tensors["x"], [[1, 2, 3]])


def test_instances_of_several_inputs_are_objects() -> None:
    instances = tensors.from_request(
        {"instances": [{"a": [1, 2], "b": 3}, {"a": [4, 5], "b": 6}]}, TWO, InputConfig("json")
    )
    np.testing.assert_array_equal(instances.tensors["a"], [[1, 2], [4, 5]])
    np.testing.assert_array_equal(instances.tensors["b"], [3, 6])
    assert instances.tensors["b"].dtype == np.int32


def test_inputs_are_whole_tensors() -> None:
    assert tensors.from_request({"inputs": [[1, 2, 3]]}, ROW, InputConfig("json")).count == 1
    assert tensors.from_request({"inputs": {"x": [[1, 2, 3], [4, 5, 6]]}}, ROW, InputConfig("json")).count == 2
    assert tensors.from_request({"inputs": {"a": [[1, 2]], "b": [3]}}, TWO, InputConfig("json")).count == 1


def test_a_first_dimension_of_another_length_is_a_whole_tensors_or_as_many_instances() -> None:
    assert tensors.from_request({"inputs": [1, 2, 3, 4]}, WHOLE, InputConfig("json")).count is None
    assert tensors.from_request({"instances": [1, 2, 3, 4]}, WHOLE, InputConfig("json")).count == 4
    with pytest.raises(ShapeError, match=r"x has the shape \[3\]; expected \[4\]; if its rows are independent, set"):
        tensors.from_request({"instances": [1, 2, 3]}, WHOLE, InputConfig("json"))


def test_a_single_value_takes_no_instances() -> None:
    single = (spec("x", (), np.float32),)
    assert tensors.from_request({"inputs": 3}, single, InputConfig("json")).count is None
    with pytest.raises(DecodeError, match="has no batch dimension"):
        tensors.from_request({"instances": [3]}, single, InputConfig("json"))


def test_strings_are_text_or_base64() -> None:
    encoded = base64.b64encode(b"\xff\x00").decode()
    instances = tensors.from_request({"instances": ["grüß", {"b64": encoded}]}, TEXT, InputConfig("json"))
    assert instances.tensors["text"].tolist() == ["grüß".encode(), b"\xff\x00"]


@pytest.mark.parametrize(
    ("encoded", "content"),
    [
        ("", b""),
        ("YQ==", b"a"),
        ("YQ", b"a"),
        ("YWI", b"ab"),
        ("YWFh\nYWFh", b"aaaaaa"),
        ("YWFh\r\nYWE=\r\n", b"aaaaa"),
        (" Y\tQ = = ", b"a"),
        ("+/8=", b"\xfb\xff"),
        ("-_8=", b"\xfb\xff"),
        ("_w", b"\xff"),
    ],
)
def test_base64_may_lack_padding_have_line_breaks_and_be_url_safe(encoded: str, content: bytes) -> None:
    instances = tensors.from_request({"instances": [{"b64": encoded}]}, TEXT, InputConfig("json"))
    assert instances.tensors["text"].tolist() == [content]


@pytest.mark.parametrize("encoded", ["Y", "YQ=", "Y=Q=", "=", "YQ==YQ==", "YQ.", "YQ\0=", "Y\u00a0Q", "Yé==", "\ud800"])
def test_what_is_not_base64_is_refused_with_its_place(encoded: str) -> None:
    with pytest.raises(DecodeError, match=r"instances\[1\]: not valid base64: "):
        tensors.from_request({"instances": ["text", {"b64": encoded}]}, TEXT, InputConfig("json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [({"b64": "!"}, "not valid base64"), ({"b64": 1}, "expected strings"), ("\ud800", "half a surrogate pair")],
)
def test_what_is_no_string_is_refused(text: Any, message: str) -> None:
    for body in ({"instances": [text]}, {"inputs": [text]}):
        with pytest.raises(DecodeError, match=message):
            tensors.from_request(body, TEXT, InputConfig("json"))


def test_base64_gives_the_bytes_of_an_instance_of_uint8() -> None:
    specs = (spec("scan", (None, 2, 2, 1), np.uint8),)
    scans = [{"b64": base64.b64encode(bytes(range(first, first + 4))).decode()} for first in (0, 252)]
    expected = [[[[0], [1]], [[2], [3]]], [[[252], [253]], [[254], [255]]]]
    for body in (
        {"instances": scans},
        {"instances": [{"scan": scan} for scan in scans]},
        {"inputs": scans},
        {"inputs": {"scan": scans}},
    ):
        assert tensors.from_request(body, specs, InputConfig("json")).tensors["scan"].tolist() == expected
    assert tensors.from_document(scans[1], specs, InputConfig("json")).tensors["scan"].tolist() == expected[1:]
    with pytest.raises(ShapeError, match=r"3 elements do not fill scan, whose shape is \[2, 2, 1\]"):
        tensors.from_request({"instances": [scans[0], {"b64": "AAAA"}]}, specs, InputConfig("json"))
    with pytest.raises(DecodeError, match=r"inputs\.x\[0\]: expected numbers \(float32\), found an object"):
        tensors.from_request({"inputs": {"x": scans}}, ROW, InputConfig("json"))


@pytest.mark.parametrize(("shape", "text"), [((None,), r"\[\]"), ((None, 2, 2), r"\[2, 2\]"), ((None, None, 3), None)])
def test_no_bytes_fill_only_a_shape_without_elements(shape: tuple[int | None, ...], text: str | None) -> None:
    specs = (spec("scan", shape, np.uint8),)
    for body in ({"instances": [{"b64": ""}]}, {"inputs": [{"b64": ""}]}):
        if text is None:
            assert tensors.from_request(body, specs, InputConfig("json")).tensors["scan"].shape == (1, 0, 3)
            continue
        with pytest.raises(ShapeError, match=rf"\[0\]: 0 elements do not fill scan, whose shape is {text}"):
            tensors.from_request(body, specs, InputConfig("json"))


@pytest.mark.parametrize(
    ("document", "count"),
    [
        ([1, 2, 3], 1),
        ([[1, 2, 3], [4, 5, 6]], 2),
        ({"x": [1, 2, 3]}, 1),
        ([{"x": [1, 2, 3]}, {"x": [4, 5, 6]}], 2),
        ({"instances": [[1, 2, 3]]}, 1),
    ],
    ids=["one instance", "several instances", "an object by input name", "several of them", "a request"],
)
def test_an_uploaded_document_may_be_bare(document: Any, count: int) -> None:
    assert tensors.from_document(document, ROW, InputConfig("json")).count == count


def test_a_bare_list_of_objects_has_the_columns_of_several_inputs() -> None:
    """As pandas writes them: `to_json(orient="records")`."""
    records = [{"a": [1, 2], "b": 3}, {"a": [4, 5], "b": 6}]
    instances = tensors.from_document(records, TWO, InputConfig("json"))
    assert {name: array.tolist() for name, array in instances.tensors.items()} == {"a": [[1, 2], [4, 5]], "b": [3, 6]}
    with pytest.raises(DecodeError, match=r'the document\[1\]: expected an object with "a", "b"; found \'a\''):
        tensors.from_document([records[0], {"a": [1, 2]}], TWO, InputConfig("json"))


COLUMNS = InputConfig("json", columns=("age", "city", "height"))
RECORDS = [{"age": 41, "city": 2, "height": 1.5}, {"height": 1.75, "city": 3, "age": 17}]


@pytest.mark.parametrize("shape", [(None, 3), (None, 3, 1), (None, None)])
def test_rows_may_be_objects_by_column_name(shape: tuple[int | None, ...]) -> None:
    """As pandas writes them: `to_json(orient="records")`."""
    specs = (spec("x", shape),)
    for instances in (
        tensors.from_document(RECORDS, specs, COLUMNS),
        tensors.from_request({"instances": RECORDS}, specs, COLUMNS),
        tensors.from_rows(RECORDS, specs, "lines", COLUMNS),
    ):
        assert instances.count == 2
        assert instances.tensors["x"].reshape(2, 3).tolist() == [[41, 2, 1.5], [17, 3, 1.75]]
        assert instances.tensors["x"].shape[1:] == (3, 1)[: len(shape) - 1]
    one = tensors.from_document(RECORDS[1], specs, COLUMNS)
    assert one.count == 1
    assert one.tensors["x"].ravel().tolist() == [17, 3, 1.75]


def test_objects_by_column_name_keep_every_type() -> None:
    texts = tensors.from_document(
        [{"b": "grüß", "a": {"b64": "/wA="}}], (spec("x", (None, 2), object),), InputConfig("json", columns=("a", "b"))
    )
    assert texts.tensors["x"].tolist() == [[b"\xff\x00", "grüß".encode()]]
    numbers = tensors.from_document(
        [{"b": 2**63 - 1, "a": 1.0}], (spec("x", (None, 2), np.int64),), InputConfig("json", columns=("a", "b"))
    )
    assert numbers.tensors["x"].tolist() == [[1, 2**63 - 1]]


def test_an_object_by_the_inputs_name_is_no_record() -> None:
    config = InputConfig("json", columns=("x", "y", "z"))
    for document in ([{"x": [1, 2, 3]}], {"x": [1, 2, 3]}, {"instances": [{"x": [1, 2, 3]}]}):
        assert tensors.from_document(document, ROW, config).tensors["x"].tolist() == [[1, 2, 3]]
    assert tensors.from_document({"z": 3, "x": 1, "y": 2}, ROW, config).tensors["x"].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"age": 1, "city": 2, "name": 3, "height": 4}, r"'age', 'city', 'height', 'name' \('name' is unknown\)"),
        ({"age": 1, "city": 2}, r"'age', 'city' \('height' is missing\)"),
        ({"Age": 1, "city": 2, "height": 3}, r"'Age', 'city', 'height' \('Age' is unknown\)"),
        ([1, 2, 3], "a value that is not an object"),
        (None, "a value that is not an object"),
    ],
)
def test_a_row_with_other_columns_is_refused_by_their_name(row: Any, message: str) -> None:
    expected = r"instances\[500\]: expected an object with the columns 'age', 'city', 'height'; found "
    with pytest.raises(DecodeError, match=expected + message):
        tensors.from_request({"instances": RECORDS[:1] * 500 + [row]}, ROW, COLUMNS)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Bonn", r"the column 'city': lines\[700\]: expected numbers \(float32\), found a string"),
        (None, r"the column 'city': lines\[700\]: expected numbers \(float32\), found null"),
        (True, r"the column 'city': lines\[700\]: expected numbers \(float32\), found true or false"),
        ([1, 2], r"the column 'city': lines\[700\] has the shape \[2\]; expected \[\]"),
        (1e39, r"the column 'city': lines\[700\]: beyond the range of float32: 1e\+39"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_row_and_column(value: Any, message: str) -> None:
    rows = [*RECORDS[:1] * 700, RECORDS[0] | {"city": value}]
    with pytest.raises((DecodeError, ShapeError), match=message):
        tensors.from_rows(rows, ROW, "lines", COLUMNS)


def test_a_row_without_declared_columns_says_how_to_declare_them() -> None:
    for document in (RECORDS, RECORDS[0]):
        with pytest.raises(DecodeError, match=r"'height'.*; for objects by column name, name .* in input\.columns"):
            tensors.from_document(document, ROW, InputConfig("json"))


def test_an_object_with_a_single_value_for_each_input_is_one_row() -> None:
    specs = (spec("age", (None, 1)), spec("city", (None, 1), object), spec("sure", (None,), np.bool_))
    row = {"city": "Bonn", "age": 41, "sure": True}
    expected = {"age": [[41]], "city": [[b"Bonn"]], "sure": [True]}
    for document in (row, [row], {"instances": [row]}):
        instances = tensors.from_document(document, specs, InputConfig("json"))
        assert instances.count == 1
        assert {name: array.tolist() for name, array in instances.tensors.items()} == expected


def test_a_float_that_is_absent_is_nan_where_it_may_be_missing() -> None:
    specs = (spec("age", (None, 1)), spec("city", (None, 1), object))
    missing = InputConfig("json", missing=True)
    rows = [{"city": "Bonn"}, {"age": None, "city": "Köln"}, {"age": 41, "city": "Ulm"}]
    instances = tensors.from_document(rows, specs, missing)
    np.testing.assert_array_equal(instances.tensors["age"], [[np.nan], [np.nan], [41]])
    np.testing.assert_array_equal(tensors.from_document(rows[0], specs, missing).tensors["age"], [[np.nan]])
    with pytest.raises(DecodeError, match=r"instances\[1\]: .*; found 'age' \('city' is missing\)"):
        tensors.from_request({"instances": [rows[0], {"age": 1}]}, specs, missing)
    for columns in ((), ("age",)):
        # An empty value is not a row.
        config = InputConfig("json", missing=True, columns=columns)
        with pytest.raises(DecodeError, match=r"instances\[0\]: .*; found none \('age' is missing\)"):
            tensors.from_request({"instances": [{}]}, specs[:1], config)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ([[1, 2, 3]], DecodeError, 'either "instances" or "inputs"'),
        ({}, DecodeError, 'either "instances" or "inputs"'),
        ({"instances": [[1, 2, 3]], "inputs": [[1, 2, 3]]}, DecodeError, 'either "instances" or "inputs"'),
        ({"instances": {"x": 1}}, DecodeError, "must be a list"),
        ({"inputs": []}, ShapeError, r"shape \[0\]; expected \[any, 3\]"),
        ({"instances": [[1, 2, 3], [4, 5]]}, ShapeError, r"instances\[1\] has the shape \[2\]; expected \[3\]"),
        # As many values as three rows have.
        ({"instances": [[1, 2, 3], [4, 5], [6, 7, 8, 9]]}, ShapeError, r"instances\[1\] has the shape \[2\]"),
        ({"inputs": [[1, 2, 3], [4, 5], [6, 7, 8, 9]]}, ShapeError, r"inputs\.x\[1\] has the shape \[2\]"),
        ({"instances": [[1, 2, 3], [4, [5], 6]]}, ShapeError, r"instances\[1\].*differ in length or depth"),
        ({"instances": [1, 2, 3]}, ShapeError, r"instances\[0\] has the shape \[\]; expected \[3\]"),
        ({"instances": [["a", "b", "c"]]}, DecodeError, "expected numbers"),
        ({"instances": [[1, None, 3]]}, DecodeError, "expected numbers"),
        ({"instances": [[True, False, True]]}, DecodeError, "expected numbers"),
        ({"instances": [{"y": [1, 2, 3]}]}, DecodeError, "expected an object with \"x\"; found 'y'"),
        ({"instances": [[1e39, 2, 3]]}, DecodeError, "beyond the range of float32"),
        ({"instances": [[float("nan"), 2, 3]]}, DecodeError, "NaN"),
        ({"instances": [[float("inf"), 2, 3]]}, DecodeError, "infinity"),
        ({"instances": [[10**400, 2, 3]]}, DecodeError, r"expected numbers \(float32\), found one outside its range"),
        ({"instances": [["1", 2, 3]]}, DecodeError, "expected numbers .float32., found a string"),
        ({"instances": [[True, 2, 3]]}, DecodeError, "found true or false"),
        ({"instances": [[None, 2, 3]]}, DecodeError, "found null"),
        ({"instances": [[{}, 2, 3]]}, DecodeError, "found an object"),
        ({"instances": nested(900)}, ShapeError, "lists nested more than 32 deep"),
        ({"inputs": nested(900)}, ShapeError, "lists nested more than 32 deep"),
    ],
)
def test_what_does_not_fit_the_signature_is_refused_with_its_place(
    body: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tensors.from_request(body, ROW, InputConfig("json"))


#: What a row can be instead of three numbers, and what its error says.
BAD_ROWS: dict[str, tuple[Any, str]] = {
    "another type": ("abc", "expected integers .uint8., found a string"),
    "a string among numbers": ([1, "2", 3], "expected integers .uint8., found a string"),
    "a boolean": ([1, True, 3], "expected integers .uint8., found true or false"),
    "null": (None, "expected integers .uint8., found null"),
    "null among numbers": ([1, None, 3], "expected integers .uint8., found null"),
    "too short": ([1, 2], r"has the shape \[2\]; expected \[3\]"),
    "deeper": ([1, [2], 3], "the lists in it differ in length or depth"),
    "no whole number": ([1, 2.5, 3], r"expected integers .uint8., found 2\.5 at \[1\]"),
    "out of range": ([1, 2, 256], r"beyond the range of uint8, 0 to 255: 256 at \[2\]"),
    "negative": ([-1, 2, 3], r"beyond the range of uint8, 0 to 255: -1 at \[0\]"),
    "not finite": ([1, float("inf"), 3], "NaN, infinity or a number beyond the range"),
}


@pytest.mark.parametrize("bad", range(0, 1001, 500))
@pytest.mark.parametrize(("row", "message"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_one_bad_row_of_many_is_named_in_every_form(row: Any, message: str, bad: int) -> None:
    specs = (spec("x", (None, 3), np.uint8),)
    rows: list[Any] = [[1, 2, 3]] * 1001
    rows[bad] = row
    for body, place in (
        ({"instances": rows}, "instances"),
        ({"instances": [{"x": row} for row in rows]}, "instances"),
        ({"inputs": rows}, r"inputs\.x"),
        ({"inputs": {"x": rows}}, r"inputs\.x"),
        (rows, "the document"),
        ([{"x": row} for row in rows], "the document"),
    ):
        with pytest.raises((DecodeError, ShapeError), match=rf"{place}\[{bad}\]:? {message}"):
            tensors.from_document(body, specs, InputConfig("json"))


def test_rows_of_any_length_have_to_be_equally_long() -> None:
    for shape in ((None, None), None):
        specs = (TensorSpec("x", shape, np.dtype(np.float32)),)
        rows = [[1, 2, 3]] * 1000 + [[1, 2]] + [[1, 2, 3]] * 1000
        for form, place in (("instances", "instances"), ("inputs", r"inputs\.x")):
            with pytest.raises(ShapeError, match=rf"{place}\[1000\] has the shape \[2\], but {place}\[0\] has \[3\]"):
                tensors.from_request({form: rows}, specs, InputConfig("json"))


def test_a_bad_row_of_one_of_several_inputs_is_named() -> None:
    rows = [{"a": [1, 2], "b": 3}] * 1000
    for row, message in (
        ({"a": [1, 2]}, 'expected an object with "a", "b"; found \'a\''),
        ([1, 2, 3], "found a value that is not an object"),
        ({"a": [1, 2], "b": "3"}, "expected integers .int32., found a string"),
    ):
        with pytest.raises(DecodeError, match=rf"instances\[1000\]: .*{message}"):
            tensors.from_request({"instances": [*rows, row]}, TWO, InputConfig("json"))


def test_bytes_that_do_not_fill_an_instance_are_named_by_their_row() -> None:
    specs = (spec("scan", (None, 2, 2), np.uint8),)
    with pytest.raises(ShapeError, match=r"instances\[1000\]: 3 elements do not fill scan"):
        tensors.from_request(
            {"instances": [{"b64": "AAAAAA=="}] * 1000 + [{"b64": "AAAA"}]}, specs, InputConfig("json")
        )


def test_the_bad_one_of_a_million_values_is_found_as_fast_as_they_are_read() -> None:
    """GIVEN values whose search one by one takes seconds WHEN the last one is bad THEN it is found by halving."""
    specs = (spec("x", (None,)),)
    converted = []

    def counted(value: Any, *arguments: Any) -> Any:
        converted.append(len(value) if isinstance(value, list) else 1)
        return convert(value, *arguments)

    convert = tensors._converted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensors, "_converted", counted)
        with pytest.raises(DecodeError, match=r"inputs\.x\[99999\]: .*found a string"):
            tensors.from_request({"inputs": [*range(99_999), "x"]}, specs, InputConfig("json"))
    assert sum(converted) <= 2 * 100_000 + 10
    assert len(converted) < 25


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (np.int64, [2**53 + 1, 1.0]),
        (np.int64, [-(2**63), 2**63 - 1]),
        (np.uint64, [2**64 - 1, 1]),
        (np.uint64, [2**63 + 1, 1.0]),
    ],
)
def test_integers_of_64_bits_keep_all_of_them(dtype: Any, values: list[float]) -> None:
    specs = (spec("n", (None, 2), dtype),)
    assert tensors.from_request({"instances": [values]}, specs, InputConfig("json")).tensors["n"].tolist() == [values]


@pytest.mark.parametrize(
    ("number", "dtype"), [(-1, np.uint64), (2**64, np.uint64), (-(2**63) - 1, np.int64), (2**64, np.int64)]
)
def test_an_integer_beyond_those_of_64_bits_is_refused(number: int, dtype: Any) -> None:
    message = rf"expected integers \({np.dtype(dtype).name}\), found one outside its range"
    with pytest.raises(DecodeError, match=message):
        tensors.from_request({"inputs": [number, 1]}, (spec("n", (2,), dtype),), InputConfig("json"))


@pytest.mark.parametrize(
    ("value", "message"),
    [(1.5, "expected integers"), (2**31, "beyond the range of int32"), (2**70, "expected integers"), ("1", "integers")],
)
def test_integers_are_exact(value: Any, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        tensors.from_request({"instances": [{"a": [1, 2], "b": value}]}, TWO, InputConfig("json"))


def test_an_integer_of_any_length_is_a_number() -> None:
    instances = tensors.from_request({"instances": [[2**70, -(2**80), 3]]}, ROW, InputConfig("json"))
    assert instances.tensors["x"].tolist() == [[2.0**70, -(2.0**80), 3]]


def test_one_long_text_among_numbers_takes_no_memory() -> None:
    """GIVEN numpy, which makes all elements as long as the longest WHEN one is a text THEN it is refused before."""
    tracemalloc.start()
    with pytest.raises(DecodeError, match="found a string"):
        tensors.from_request({"instances": [[1, 2, 3]] * 5_000 + [[1, 2, "x" * 10_000]]}, ROW, InputConfig("json"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_float_beyond_the_largest_integer_does_not_wrap_around() -> None:
    with pytest.raises(DecodeError, match="beyond the range of int64"):
        tensors.from_request({"instances": [2.0**63]}, (spec("n", (None,), np.int64),), InputConfig("json"))


def test_inputs_need_not_have_equally_many_rows() -> None:
    instances = tensors.from_request({"inputs": {"a": [[1, 2], [3, 4]], "b": [1]}}, TWO, InputConfig("json"))
    assert instances.count is None
    assert {name: array.shape for name, array in instances.tensors.items()} == {"a": (2, 2), "b": (1,)}


def test_a_batch_of_one_takes_arrays_with_equally_many_rows() -> None:
    single = (spec("a", (1, 2), np.float32), spec("b", (1,), np.float32))
    arrays = {"a": np.zeros((3, 2), np.float32), "b": np.zeros(3, np.float32)}
    assert tensors.stack(arrays, single, InputConfig("npy")).count == 3
    with pytest.raises(ShapeError, match=r"differ in their number of rows: \{'a': 3, 'b': 2\}"):
        tensors.stack(arrays | {"b": np.zeros(2, np.float32)}, single, InputConfig("npy"))


def test_a_missing_input_is_named() -> None:
    with pytest.raises(DecodeError, match=r'instances\[0\]: expected an object with "a", "b"; found \'a\''):
        tensors.from_request({"instances": [{"a": [1, 2]}]}, TWO, InputConfig("json"))


def test_the_number_of_records_is_bounded() -> None:
    with pytest.raises(TooLargeError, match=rf"an input may have at most {MAX_RECORDS} \(limits\.records\)"):
        tensors.from_request({"instances": [[1, 2, 3]] * (MAX_RECORDS + 1)}, ROW, InputConfig("json"))
    for body in ({"instances": [[1, 2, 3]] * 3}, {"inputs": [[1, 2, 3]] * 3}):
        assert tensors.from_request(body, ROW, InputConfig("json", limits=Limits(records=3))).count == 3
        with pytest.raises(TooLargeError, match=r"3 instances; an input may have at most 2 \(limits\.records\)"):
            tensors.from_request(body, ROW, InputConfig("json", limits=Limits(records=2)))


def test_a_tensor_too_large_for_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"instances": [[1, 2, 3]] * 10_000}
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1")
    assert tensors.from_request(body, ROW, InputConfig("json")).size == 120_000
    wide = (spec("x", (None, 3), np.float64),)
    message = r"its tensors take 300000 bytes, but may take at most 262144, a quarter of the memory \(memory_mb\)"
    with pytest.raises(TooLargeError, match=message):
        tensors.from_request(
            {"instances": [[1, 2, 3]] * 12_500}, wide, InputConfig("json", limits=Limits(records=20_000))
        )


@pytest.mark.parametrize(
    "text", ["", "{", "[NaN]", "[Infinity]", "[-Infinity]", "[" * 100_000, "[" + "9" * 5000 + "]", "\x00"]
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="not valid JSON"):
        tensors.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[NaN]", "NaN is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        ('["NaN", "\\"NaN", 1,\n NaN, Infinity]', r"NaN is not a JSON number: line 2 column 2 \(char 21\)"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "9" * 5000 + "]", "an integer of thousands of digits"),
        ('{"instances": [1], "instances": [2]}', "an object contains 'instances' twice"),
        ('[{"a": {"b": 1, "b": 1}}]', "an object contains 'b' twice"),
    ],
)
def test_what_only_python_takes_for_json_is_refused_with_its_reason(text: str, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        tensors.parse(text)


def test_a_number_beyond_a_floats_range_is_refused() -> None:
    for document in ("[1e400, 2, 3]", '{"inputs": [[1, 2, -1e400]]}'):
        with pytest.raises(DecodeError, match="NaN, infinity or a number beyond the range"):
            tensors.from_document(tensors.parse(document), ROW, InputConfig("json"))
