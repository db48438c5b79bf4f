"""The suffix of a key decides how an object is read, and nothing in an object breaks the function."""

import gzip
import io
import struct
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference import decoders
from inference.config import BatchConfig, InputConfig
from inference.errors import (
    DecodeError,
    EmptyInputError,
    InputError,
    ModelError,
    ShapeError,
    TooLargeError,
    UnsupportedInputError,
)
from inference.limits import MAX_BYTES, Limits
from inference.runtimes import TensorSpec
from inference.tensors import Instances

SCAN = (TensorSpec("scan", (None, 8, 8, 1), np.dtype(np.float32)),)
BYTES = (TensorSpec("scan", (None, 8, 8, 1), np.dtype(np.uint8)),)
PHOTO = (TensorSpec("photo", (None, None, None, 3), np.dtype(np.float32)),)
ROW = (TensorSpec("x", (None, 3), np.dtype(np.float32)),)
FLAT = (TensorSpec("x", (None, 8, 8), np.dtype(np.float32)),)
TEXT = (TensorSpec("text", (None,), np.dtype(object)),)
TWO = (TensorSpec("a", (None,), np.dtype(np.float32)), TensorSpec("b", (None, 1), np.dtype(np.int32)))


def picture(image_format: str = "PNG", size: tuple[int, int] = (8, 8), mode: str = "L", **options: Any) -> bytes:
    """A picture whose pixels all differ; `size` is width and height."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    shape = (size[1], size[0]) if channels == 1 else (size[1], size[0], channels)
    pixels = (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, image_format, **options)
    return file.getvalue()


def npy(array: Any) -> bytes:
    """An .npy file."""
    file = io.BytesIO()
    np.save(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    """An .npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def decode(key: str, body: bytes, specs: Any, input_format: str = "json", **fields: Any) -> Instances:
    """Decode for a model whose registry entry says so."""
    return decoders.decode(key, body, InputConfig(input_format, **fields), specs)


# Which decoder


@pytest.mark.parametrize("input_format", ["json", "csv", "npy", "image", "text", "raw"])
def test_the_suffix_decides_before_the_format(input_format: str) -> None:
    body = b"[[1, 2, 3], [4, 5, 6]]"
    assert decode("wine/a.json", body, ROW, input_format).count == 2
    assert decode("wine/a.CSV", b"1,2,3\n", ROW, input_format).count == 1


def test_a_suffix_that_says_nothing_leaves_it_to_the_format() -> None:
    assert decode("wine/a", b"[1, 2, 3]", ROW, "json").count == 1
    assert decode("wine/a.dat", b"1,2,3\n4,5,6\n", ROW, "csv").count == 2
    assert decode("digits/a.scan", picture(), SCAN, "image").count == 1
    assert decode("wine/a.array", npy(np.zeros((5, 3))), ROW, "npy").count == 5
    assert decode("wine/a", npz(a=np.zeros(2), b=np.zeros((2, 1), int)), TWO, "npy").count == 2
    assert decode("reviews/a.txt", b"good", TEXT, "text").count == 1
    assert decode("voices/a.wav", b"RIFF", TEXT, "raw").count == 1


@pytest.mark.parametrize("input_format", ["json", "csv", "npy", "text"])
def test_an_image_for_a_model_that_takes_none_is_refused(input_format: str) -> None:
    with pytest.raises(UnsupportedInputError) as refused:
        decode("wine/a.png", picture(), ROW, input_format)
    assert str(refused.value) == f"an image (.png), but this model takes {input_format} (input.format)"


@pytest.mark.parametrize(
    ("key", "body", "input_format", "begins"),
    [
        (
            "a.txt",
            b"good",
            "json",
            "read as json, which is the model's input.format (.txt does not name a format): not valid",
        ),
        (
            "a.TXT.gz",
            gzip.compress(b"good"),
            "json",
            "read as json, which is the model's input.format (.txt does not name a",
        ),
        ("a", b"good", "json", "read as json, which is the model's input.format (it has no suffix): not valid JSON: "),
        ("a.pdf", b"%PDF-1.7", "npy", "read as npy, which is the model's input.format (.pdf does not name a format): "),
        (
            "a.tif",
            b"II*\0",
            "image",
            "read as image, which is the model's input.format (.tif does not name a format): ",
        ),
        (
            f"a.{'b' * 99}",
            b"good",
            "json",
            f"read as json, which is the model's input.format (.{'b' * 19} does not name a",
        ),
        (
            "a.csv",
            b"1,2\n",
            "json",
            "read as csv because of its suffix .csv, although the model's input.format is json",
        ),
        ("a.json", b"{", "csv", "read as json because of its suffix .json, although the model's input.format is csv: "),
        ("a.npz", b"PK", "image", "read as npy because of its suffix .npz, although the model's input.format is image"),
        # Nothing to explain: the suffix says what the model reads, or the format does not matter.
        ("a.json", b"{", "json", "not valid JSON: "),
        (
            "a.json",
            b"[1]\n[2]\n",
            "json",
            "not valid JSON: Extra data: line 2 column 1 (char 4); if it has one document",
        ),
        ("a.jsonl", b"{", "json", "line 1: not valid JSON: "),
        ("a.npz", b"PK", "npy", "its zip archive has no end"),
        ("a.txt", b"[[1, 2]]", "json", "x has the shape [1, 2]"),
        ("a.png", b"no picture", "image", "not an image: "),
    ],
)
def test_an_error_says_what_an_object_was_read_as_unless_its_suffix_does(
    key: str, body: bytes, input_format: str, begins: str
) -> None:
    with pytest.raises((DecodeError, ShapeError)) as refused:
        decode(key, body, SCAN if input_format == "image" else ROW, input_format)
    assert str(refused.value).startswith(begins)


def test_a_model_that_reads_bytes_itself_takes_images_as_they_are() -> None:
    body = picture()
    assert decode("digits/a.png", body, TEXT, "raw").tensors["text"].tolist() == [body]


@pytest.mark.parametrize("key", ["a.json", "a.csv", "a.png", "a.npy", "a.json.gz", "a"])
def test_an_empty_object_is_refused(key: str) -> None:
    with pytest.raises(EmptyInputError, match="the object is empty"):
        decode(key, b"", SCAN, "image")


# JSON and CSV


def test_json_lines_have_one_prediction_per_line() -> None:
    instances = decode("wine/a.jsonl", b"[1, 2, 3]\n\n[4, 5, 6]\n", ROW)
    np.testing.assert_array_equal(instances.tensors["x"], [[1, 2, 3], [4, 5, 6]])
    with pytest.raises(ShapeError, match=r"lines\[1\]"):
        decode("wine/a.jsonl", b"[1, 2, 3]\n[4, 5]\n", ROW)
    with pytest.raises(DecodeError, match="line 3: not valid JSON"):
        decode("wine/a.jsonl", b"[1, 2, 3]\n\n[4, 5\n", ROW)


def test_a_line_of_json_lines_ends_at_its_newline_only() -> None:
    instances = decode("a.jsonl", '"one\u2028line"\n"another"\n'.encode(), TEXT)
    assert instances.tensors["text"].tolist() == ["one\u2028line".encode(), b"another"]


@pytest.mark.parametrize("header", ["2024_01,2024_02,2024_03", "1_000,2_000,3_000"])
def test_names_that_python_would_read_as_numbers_are_a_header(header: str) -> None:
    assert decode("wine/a.csv", f"{header}\n1,2,3\n".encode(), ROW).tensors["x"].tolist() == [[1, 2, 3]]


def test_a_single_value_takes_no_rows() -> None:
    with pytest.raises(UnsupportedInputError, match='"inputs"'):
        decode("a.csv", b"1,2,3\n", (TensorSpec("x", (), np.dtype(np.float32)),))


def test_a_batch_of_fixed_length_takes_as_many_rows() -> None:
    specs = (TensorSpec("x", (2, 3), np.dtype(np.float32)),)
    assert decode("a.csv", b"1,2,3\n4,5,6\n", specs).count == 2
    assert decode("a.jsonl", b"[1,2,3]\n[4,5,6]\n", specs).count == 2
    for key, body in {"a.csv": b"1,2,3\n", "a.jsonl": b"[1,2,3]\n"}.items():
        with pytest.raises(
            ShapeError,
            match=r"x has the shape \[1, 3\]; expected \[2, 3\]; if its rows are independent, set batch.rows",
        ):
            decode(key, body, specs)
        assert decode(key, body, specs, batch=BatchConfig(rows=2)).count == 1


@pytest.mark.parametrize("header", ["", "alcohol,malic acid,ash\n", "\ufeffalcohol,malic acid,ash\r\n"])
def test_csv_rows_are_read_with_and_without_a_header(header: str) -> None:
    instances = decode("wine/a.csv", f"{header}1,2,3\n4,5,6.5\n".encode(), ROW)
    np.testing.assert_array_equal(instances.tensors["x"], [[1, 2, 3], [4, 5, 6.5]])


def test_csv_columns_of_several_inputs_go_by_name() -> None:
    instances = decode("a.csv", b"b,id,a\n1,x,0.5\n2,y,1.5\n", TWO)
    np.testing.assert_array_equal(instances.tensors["a"], [0.5, 1.5])
    np.testing.assert_array_equal(instances.tensors["b"], [[1], [2]])
    with pytest.raises(DecodeError, match="the first row must name their columns, a, b"):
        decode("a.csv", b"1,2\n", TWO)


def test_a_csv_row_fills_an_instance_row_by_row() -> None:
    cells = ",".join(str(value) for value in range(64))
    scan = decode("digits/a.csv", cells.encode(), SCAN).tensors["scan"]
    np.testing.assert_array_equal(scan[0, :, :, 0], np.arange(64).reshape(8, 8))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("1,2\n", ShapeError, "the rows have 2 columns; expected 3"),
        ("1,2,3\n4,5\n", ShapeError, "line 2 has 2 columns, but the first row has 3"),
        ("1,2,3\n4,x,6\n", DecodeError, "line 2, column 2: 'x' is not a number"),
        ("1,x,3\n", DecodeError, "line 1, column 2: 'x' is not a number"),
        ("1,,3\n", DecodeError, "line 1, column 2: '' is not a number"),
        ("1,2024_01,3\n", DecodeError, "line 1, column 2: '2024_01' is not a number"),
        ("a,b,c\n", EmptyInputError, "no rows after the header"),
        (" \n", EmptyInputError, "white space"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused_with_its_place(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        decode("wine/a.csv", text.encode(), ROW)


@pytest.mark.parametrize(
    ("cell", "dtype", "value"),
    [
        ("9007199254740993", np.int64, 9007199254740993),
        ("-9223372036854775808", np.int64, -(2**63)),
        ("18446744073709551615", np.uint64, 2**64 - 1),
        ("9007199254740993.0", np.int64, 9007199254740993),
        ("-9.223372036854775807e18", np.int64, -(2**63) + 1),
        (" 7 ", np.int32, 7),
        ("1.0", np.int32, 1),
        ("1e3", np.int32, 1000),
    ],
)
def test_integers_in_csv_are_exact(cell: str, dtype: Any, value: int) -> None:
    specs = (TensorSpec("n", (None, 2), np.dtype(dtype)),)
    assert decode("a.csv", f"{cell},5\n".encode(), specs).tensors["n"].tolist() == [[value, 5]]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1.5", r"expected integers \(int32\), found 1\.5 in line 1, column 1"),
        ("2147483648", "beyond the range of int32, .*: 2147483648 in line 1, column 1"),
        ("9" * 30, r"beyond the range of int32, .*: 9{30} in line 1, column 1"),
        ("9" * 400, "line 1, column 1: '9+' is not a finite number"),
        ("nan", "line 1, column 1: 'nan' is not a finite number"),
        ("x", "line 1, column 1: 'x' is not a number"),
        ("1_0", "line 1, column 1: '1_0' is not a number"),
    ],
)
def test_what_is_no_integer_in_csv_is_refused(cell: str, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode("a.csv", f"{cell},5\n".encode(), (TensorSpec("n", (None, 2), np.dtype(np.int32)),))


@pytest.mark.parametrize(
    ("cell", "dtype", "limits"),
    [
        ("-9223372036854775809", np.int64, "-9223372036854775808 to 9223372036854775807"),
        ("-9223372036854775809.0", np.int64, "-9223372036854775808 to 9223372036854775807"),
        ("9223372036854775808", np.int64, "-9223372036854775808 to 9223372036854775807"),
        ("-1", np.uint64, "0 to 18446744073709551615"),
        ("18446744073709551616", np.uint64, "0 to 18446744073709551615"),
        ("-1", np.uint8, "0 to 255"),
    ],
)
def test_an_integer_of_csv_just_beyond_its_range_is_refused(cell: str, dtype: Any, limits: str) -> None:
    specs = (TensorSpec("n", (None, 2), np.dtype(dtype)),)
    with pytest.raises(
        DecodeError, match=rf"n: beyond the range of {np.dtype(dtype).name}, {limits}: {cell} in line 2, column 2$"
    ):
        decode("a.csv", f"5,5\n5,{cell}\n".encode(), specs)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[1, 2]", r"lines\[1000\] has the shape \[2\]; expected \[3\]"),
        (b'[1, "2", 3]', r"lines\[1000\]: expected numbers \(float32\), found a string"),
        (b"null", r"lines\[1000\]: expected numbers \(float32\), found null"),
        (b"[1, 2, 1e39]", r"lines\[1000\]: beyond the range of float32: 1e\+39 at \[2\]"),
        (b"[1, 2, 1e999]", r"lines\[1000\]: NaN, infinity or a number beyond the range"),
        (b"[1, 2, NaN]", r"line 1001: not valid JSON: NaN is not a JSON number"),
        (b"[1, 2", r"line 1001: not valid JSON"),
    ],
)
def test_one_bad_line_of_many_is_named_by_its_number(line: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode("a.jsonl", b"[1, 2, 3]\n" * 1000 + line, ROW)


@pytest.mark.parametrize(
    ("cell", "dtype", "message"),
    [
        ("x", np.float32, "line 1002, column 'ash': 'x' is not a number"),
        ("", np.int8, "line 1002, column 'ash': '' is not a number"),
        ("nan", np.float32, "line 1002, column 'ash': 'nan' is not a finite number"),
        ("1e39", np.float32, r"beyond the range of float32: 1e\+39 in line 1002, column 'ash'"),
        ("128", np.int8, "beyond the range of int8, -128 to 127: 128 in line 1002, column 'ash'"),
        ("1.5", np.int8, r"expected integers \(int8\), found 1\.5 in line 1002, column 'ash'"),
    ],
)
def test_one_bad_cell_of_csv_is_named_by_its_row_and_column(cell: str, dtype: Any, message: str) -> None:
    """GIVEN columns in another order than the model's THEN the name is the header's."""
    body = ("ash,alcohol\n" + "1,2\n" * 1000 + f"{cell},2\n").encode()
    with pytest.raises(DecodeError, match=message):
        decode("a.csv", body, (TensorSpec("x", (None, 2), np.dtype(dtype)),), "csv", columns=("alcohol", "ash"))
    several = (TensorSpec("alcohol", (None,), np.dtype(np.int8)), TensorSpec("ash", (None,), np.dtype(dtype)))
    with pytest.raises(DecodeError, match=message):
        decode("a.csv", body, several)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (1.5, np.int8, r"x: expected integers \(int8\), found 1\.5 at \[1000\]\[1\]"),
        (128, np.int8, r"x: beyond the range of int8, -128 to 127: 128\.0 at \[1000\]\[1\]"),
        (1e39, np.float32, r"x: beyond the range of float32: 1e\+39 at \[1000\]\[1\]"),
    ],
)
def test_one_bad_element_of_an_array_is_named_by_its_place(value: float, dtype: Any, message: str) -> None:
    array = np.zeros((1001, 3))
    array[1000, 1] = value
    with pytest.raises(DecodeError, match=message):
        decode("a.npy", npy(array), (TensorSpec("x", (None, 3), np.dtype(dtype)),))


@pytest.mark.parametrize("header", ["", "open,full\n"])
def test_booleans_in_csv_are_words_or_one_and_zero(header: str) -> None:
    specs = (TensorSpec("flag", (None, 2), np.dtype(np.bool_)),)
    flags = decode("a.csv", f"{header}true, False\n0,1\n".encode(), specs).tensors["flag"]
    assert flags.tolist() == [[True, False], [False, True]]
    with pytest.raises(DecodeError, match="line 2, column 1: 'yes' is not true or false"):
        decode("a.csv", b"true,true\nyes,false\n", specs)


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-Infinity", "1e400"])
def test_csv_has_no_number_that_json_does_not_have(cell: str) -> None:
    with pytest.raises(DecodeError, match=f"line 2, column 2: '{cell}' is not a finite number"):
        decode("wine/a.csv", f"1,2,3\n4,{cell},6\n".encode(), ROW)


NAMES = ("alcohol", "malic acid", "ash")


def by_name(text: str, **fields: Any) -> Any:
    """The rows that a model whose columns have names gets of a CSV file."""
    return decode("wine/a.csv", text.encode(), ROW, "csv", columns=NAMES, **fields).tensors["x"].tolist()


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3\n4,5,6\n",
        "alcohol,malic acid,ash\n1,2,3\n4,5,6\n",
        "ash, alcohol ,malic acid\n3,1,2\n6,4,5\n",
        'id,ash,"alcohol",note,malic acid\na,3,1,x,2\nb,6,4,,5\n',
    ],
    ids=["no header", "the model's order", "another order", "others beside them"],
)
def test_columns_of_csv_go_by_the_registrys_names_where_there_is_a_header(text: str) -> None:
    assert by_name(text) == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("alcohol,ash,colour\n1,2,3\n", DecodeError, "the column 'malic acid' exactly once, but does not name it"),
        ("a,b,c\n1,2,3\n", DecodeError, "the column 'alcohol' exactly once, but does not name it"),
        ("alcohol,malic acid\n1,2\n", DecodeError, "the column 'ash' exactly once, but does not name it"),
        ("alcohol,ash,malic acid,ash\n1,2,3,4\n", DecodeError, "the column 'ash' exactly once, but names it more"),
        ("1,2,3,4\n", ShapeError, "the rows have 4 columns; expected 3"),
        ("alcohol,malic acid,ash\n", EmptyInputError, "no rows after the header"),
    ],
)
def test_a_csv_without_the_registrys_columns_is_refused_with_the_missing_ones_name(
    text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        by_name(text)


MAY_BE_EITHER = "may be column names or values: set input.header to true if .*, or to false if they do not"


def test_a_first_row_of_numbers_that_are_names_may_be_either() -> None:
    def rows(text: str, **fields: Any) -> Any:
        return decode("a.csv", text.encode(), ROW, "csv", columns=("0", "1", "2"), **fields).tensors["x"].tolist()

    assert rows("0,1,1\n2,0,1\n") == [[0, 1, 1], [2, 0, 1]]
    for first in ("2,0,1", "0,1,2", "1,2,0,3"):
        with pytest.raises(DecodeError, match=rf"line 1: the first row \({first.replace(',', ', ')}\) {MAY_BE_EITHER}"):
            rows(f"{first}\n{first.replace(first[0], '7', 1)}\n")
    assert rows("2,0,1\n7,8,9\n", header=True) == [[8, 9, 7]]
    assert rows("2,0,1\n7,8,9\n", header=False) == [[2, 0, 1], [7, 8, 9]]


@pytest.mark.parametrize(
    ("first", "dtype"),
    [
        # Column numbers, as pandas writes them for a table without names.
        ("0,1,2", np.float32),
        ("0,1,2", np.int64),
        ("0,1,2", object),
        # Numbers in other notations.
        ("5%,7%,9%", np.float32),
        ("5 kg,7 kg,9 kg", np.int32),
        ("$5,-$7,$9", np.float32),
        ("2024-01-05,2024-01-06,2024-01-07", np.float32),
        # Text among missing values.
        ("alcohol,,ash", np.float32),
        ("NA,unknown,NA", np.float32),
    ],
)
def test_a_first_row_that_may_be_either_is_refused_unless_the_registry_decides(first: str, dtype: Any) -> None:
    specs = (TensorSpec("x", (None, 3), np.dtype(dtype)),)
    body = f"\n{first}\n7,8,9\n".encode()
    with pytest.raises(DecodeError, match=f"line 2: the first row .* {MAY_BE_EITHER}"):
        decode("a.csv", body, specs)
    rows = decode("a.csv", body, specs, header=True).tensors["x"]
    assert rows.tolist() == [[b"7", b"8", b"9"] if dtype is object else [7, 8, 9]]
    if first == "0,1,2":
        assert decode("a.csv", body, specs, header=False).count == 2
    else:
        with pytest.raises(DecodeError, match=r"line 2, column 1: '.*' is not a number"):
            decode("a.csv", body, specs, header=False)


@pytest.mark.parametrize("first", [",,", "NA,NA,NA", "N/A,,-", "?,?,?", "nan,NaN,NULL", "true,false,true", "1,,2"])
@pytest.mark.parametrize("columns", [(), ("alcohol", "malic acid", "ash")])
def test_a_first_row_of_missing_values_is_not_dropped(first: str, columns: tuple[str, ...]) -> None:
    with pytest.raises(DecodeError, match=r"line 1, column .: '.*' is not a (finite )?number"):
        decode("a.csv", f"{first}\n1,2,3\n".encode(), ROW, columns=columns)


@pytest.mark.parametrize(("dtype", "first"), [(np.bool_, "2"), (np.bool_, "1.5"), (np.float32, "N/A"), (np.int32, "-")])
def test_a_first_cell_that_the_model_does_not_take_is_not_dropped(dtype: Any, first: str) -> None:
    specs = (TensorSpec("x", (None, 1), np.dtype(dtype)),)
    with pytest.raises(DecodeError, match=f"line 1, column 1: '{first}' is not "):
        decode("a.csv", f"{first}\n1\n1\n".encode(), specs)


def test_numbers_that_are_alone_are_values() -> None:
    assert decode("a.csv", b"0,1,2\n", ROW).tensors["x"].tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("first", ["alcohol,ash", "Alcohol,_ash", "1stFlrSF,flags", "température,酸度", "Na,Mg"])
def test_names_are_a_header_whatever_the_model_calls_its_columns(first: str) -> None:
    specs = (TensorSpec("x", (None, 2), np.dtype(np.float32)),)
    assert decode("a.csv", f"{first}\n0,1\n".encode(), specs).tensors["x"].tolist() == [[0, 1]]


@pytest.mark.parametrize("name", ["text", "Text", " TEXT "])
def test_a_text_that_is_the_inputs_name_may_be_either(name: str) -> None:
    body = f"{name}\ngood\nbad\n".encode()
    with pytest.raises(DecodeError, match=rf"line 1: the first row \({name.strip()}\) {MAY_BE_EITHER}"):
        decode("a.csv", body, TEXT)
    assert decode("a.csv", body, TEXT, header=True).tensors["text"].tolist() == [b"good", b"bad"]
    assert decode("a.csv", body, TEXT, header=False).tensors["text"].tolist() == [name.encode(), b"good", b"bad"]
    assert decode("a.csv", b"good\ntext\n", TEXT).tensors["text"].tolist() == [b"good", b"text"]
    assert decode("a.csv", b"text\ngood\n", TEXT, columns=("text",)).tensors["text"].tolist() == [b"good"]


@pytest.mark.parametrize("first", ["first,Smith", "First,Last", "last,middle"])
def test_texts_that_are_only_some_of_the_names_may_be_either(first: str) -> None:
    specs = (TensorSpec("x", (None, 2), np.dtype(object)),)
    with pytest.raises(DecodeError, match=f"line 1: the first row .* {MAY_BE_EITHER}"):
        decode("a.csv", f"{first}\nAda,Lovelace\n".encode(), specs, columns=("first", "last"))


def test_a_header_that_the_registry_promises_is_one() -> None:
    assert by_name("ash,alcohol,malic acid\n3,1,2\n", header=True) == [[1, 2, 3]]
    assert decode("a.csv", b"x,y,z\n1,2,3\n", ROW, header=True).count == 1
    with pytest.raises(DecodeError, match="line 1: the first row must name the column 'alcohol' exactly once"):
        by_name("1,2,3\n4,5,6\n", header=True)
    with pytest.raises(EmptyInputError, match="it has no rows after the header in line 1"):
        decode("a.csv", b"1,2,3\n", ROW, header=True)
    with pytest.raises(DecodeError, match="line 1, column 1: 'ash' is not a number"):
        by_name("ash,alcohol,malic acid\n3,1,2\n", header=False)


def test_a_cell_may_be_as_long_as_an_input() -> None:
    long = "a" * 131_073
    assert decode("a.csv", f"{long}\nb\n".encode(), TEXT).tensors["text"].tolist() == [long.encode(), b"b"]
    with pytest.raises(DecodeError, match=r"line 2, column 1: 'a{40}' is not a number"):
        decode("a.csv", f"1\n{long}\n".encode(), (TensorSpec("x", (None, 1), np.dtype(np.float32)),))


@pytest.mark.parametrize(
    ("body", "specs", "error", "message"),
    [
        (b'a,b,"two\nlines"\n\r\n1,2,x\n3,4,"y"z\n', TWO, DecodeError, "line 5: not valid CSV: "),
        (b'a,b\n1,2\n"open,3\n4,5\n', TWO, DecodeError, "line 3: not valid CSV: unexpected end of data"),
        (b"\n\na,c\n1,2\n", TWO, DecodeError, "line 3: the model has several inputs, so the first row must name"),
        (b'"a","b","b"\n1,2,3\n', TWO, DecodeError, "line 1: .* the column 'b' exactly once, but names it more"),
        (b'a,b,"two\nlines"\n1,2,x\n3,4.5,y\n', TWO, DecodeError, "found 4.5 in line 4, column 'b'"),
        (b'1,"2\r\n",3\r\n\r\n4,x,6\r\n', ROW, DecodeError, "line 4, column 2: 'x' is not a number"),
        (b"1,2,3\r4,5,6\r7,8\r", ROW, ShapeError, "line 3 has 2 columns, but the first row has 3"),
        (b"\n1;2;3\n4;5;6\n", ROW, ShapeError, "line 2: the rows have 1 columns; expected 3; .* semicolons: save it"),
        (b"a\tb\n1\t2\n", TWO, DecodeError, "line 1: the model has several inputs.*; .* tabs: save it with commas"),
        (b"1;2,3\n", ROW, ShapeError, "line 1: the rows have 2 columns; expected 3$"),
        (b"1,2,3\n4,\xff,6\n", ROW, DecodeError, "line 2: not UTF-8 text: .*; save it as UTF-8$"),
        ("1,2,3\n".encode("utf-16"), ROW, DecodeError, "line 1: not UTF-8 text: .*; it is UTF-16: save it as UTF-8$"),
        (gzip.compress(b"1,2,3\n"), ROW, DecodeError, r"line 1: not UTF-8 text: .*; it is gzip: end its key with \.gz"),
        (b"PK\3\4\xff", ROW, DecodeError, "line 1: not UTF-8 text: .*; it is a ZIP archive, like an Excel workbook"),
    ],
)
def test_every_error_of_csv_names_its_line(body: bytes, specs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        decode("a.csv", body, specs)


@pytest.mark.parametrize(("key", "row"), [("a.csv", b"1,2,3\n"), ("a.jsonl", b"[1,2,3]\n")])
def test_the_row_that_is_too_many_is_named_by_its_line(key: str, row: bytes) -> None:
    with pytest.raises(TooLargeError, match=r"more than 2 rows \(limits\.records\): line 4 is one too many"):
        decode(key, row + b"\n" + row * 2, ROW, limits=Limits(records=2))


# Missing values


@pytest.mark.parametrize("cell", ["", " ", "NA", "N/A", "NaN", "-nan", "null", "?", "-"])
def test_cells_without_a_value_are_nan_where_values_may_be_missing(cell: str) -> None:
    for first in ("", "alcohol,malic acid,ash\n"):
        body = f"{first}{cell},{cell},{cell}\n1,{cell},3\n".encode()
        rows = decode("a.csv", body, ROW, missing=True).tensors["x"]
        np.testing.assert_array_equal(rows, np.array([[np.nan] * 3, [1, np.nan, 3]], np.float32))


def test_what_is_not_missing_has_to_be_a_finite_number() -> None:
    for cell, kind in (
        ("x", "number"),
        ("inf", "finite number"),
        ("1e400", "finite number"),
        ("1_0", "number"),
        ("∞", "number"),
    ):
        with pytest.raises(DecodeError, match=f"line 2, column 2: '{cell}' is not a {kind}"):
            decode("a.csv", f",2,3\n,{cell},6\n".encode(), ROW, missing=True)


def test_only_floats_can_be_missing() -> None:
    body = b"a,b\n,1\n2,\n"
    with pytest.raises(DecodeError, match="line 3, column 'b': '' is not a number"):
        decode("a.csv", body, TWO, missing=True)
    with pytest.raises(DecodeError, match=r"lines\[1\]: expected integers \(int32\), found null"):
        decode("a.jsonl", b'{"a": null, "b": 1}\n{"a": 2, "b": null}\n', TWO, missing=True)


@pytest.mark.parametrize("value", [b"null", b"NaN"])
def test_null_and_nan_of_json_are_nan_where_values_may_be_missing(value: bytes) -> None:
    bodies = {
        "a.json": b"[[1, %s, 3], [4, 5, 6]]",
        "b.json": b'{"instances": [{"x": [1, %s, 3]}, [4, 5, 6]]}'.replace(b"[4, 5, 6]", b'{"x": [4, 5, 6]}'),
        "c.json": b'{"inputs": [[1, %s, 3], [4, 5, 6]]}',
        "d.jsonl": b"[1, %s, 3]\n[4, 5, 6]\n",
        "e.json": b'[{"c": 3, "a": 1, "b": %s}, {"a": 4, "b": 5, "c": 6}]',
        "f.json": b'[{"c": 3, "a": 1}, {"a": 4, "b": 5, "c": 6}]',
    }
    for key, body in bodies.items():
        body = body.replace(b"%s", value)
        rows = decode(key, body, ROW, missing=True, columns=("a", "b", "c")).tensors["x"]
        np.testing.assert_array_equal(rows, np.array([[1, np.nan, 3], [4, 5, 6]], np.float32))
        with pytest.raises(DecodeError, match=r"null|NaN is not a JSON number|'b' is missing"):
            decode(key, body, ROW, columns=("a", "b", "c"))


def test_infinity_is_never_a_missing_value() -> None:
    with pytest.raises(DecodeError, match=r"-Infinity is not a JSON number: line 1 column 7"):
        decode("a.json", b"[NaN, -Infinity, 3]", ROW, missing=True)
    with pytest.raises(DecodeError, match="NaN, infinity or a number beyond the range"):
        decode("a.json", b"[NaN, 1e999, 3]", ROW, missing=True)


def test_without_a_header_there_are_as_many_columns_as_have_names() -> None:
    specs = (TensorSpec("x", (None, None), np.dtype(np.float32)),)
    assert decode("a.csv", b"1,2,3\n", specs, "csv", columns=NAMES).tensors["x"].tolist() == [[1, 2, 3]]
    with pytest.raises(ShapeError, match="the rows have 2 columns; expected 3"):
        decode("a.csv", b"1,2\n", specs, "csv", columns=NAMES)


def test_columns_of_strings_go_by_name() -> None:
    specs = (TensorSpec("x", (None, 2), np.dtype(object)),)
    for text in ("first,last\nAda,Lovelace\n", "last,first\nLovelace,Ada\n", "Ada,Lovelace\n"):
        rows = decode("a.csv", text.encode(), specs, "csv", columns=("first", "last")).tensors["x"]
        assert rows.tolist() == [[b"Ada", b"Lovelace"]]


def test_text_in_another_encoding_is_refused() -> None:
    with pytest.raises(DecodeError, match="not UTF-8"):
        decode("wine/a.json", "[1, 2, 3] ü".encode("latin-1"), ROW)


# Text and bytes


@pytest.mark.parametrize("shape", [(None,), (None, 1), (1,), (None, None), ()])
def test_a_text_is_one_string_whatever_lies_around_it_in_the_signature(shape: tuple[int | None, ...]) -> None:
    specs = (TensorSpec("text", shape, np.dtype(object)),)
    for key in ("reviews/a.txt", "reviews/a"):
        instances = decode(key, "\ufeffgrüß\nGott\n".encode(), specs, "text")
        assert instances.count == (1 if shape else None)
        assert instances.tensors["text"].ravel().tolist() == ["grüß\nGott\n".encode()]
        assert instances.tensors["text"].ndim == len(shape)
    assert decode("a.txt.gz", gzip.compress(b"good"), specs, "text").tensors["text"].ravel().tolist() == [b"good"]


def test_a_text_is_utf_8_and_has_letters() -> None:
    with pytest.raises(DecodeError, match="not UTF-8"):
        decode("a.txt", "grüß".encode("latin-1"), TEXT, "text")
    with pytest.raises(EmptyInputError, match="white space"):
        decode("a.txt", b" \n", TEXT, "text")


def test_raw_bytes_are_one_string() -> None:
    assert decode("voices/a.wav", b"RIFF\xff\x00", TEXT, "raw").tensors["text"].tolist() == [b"RIFF\xff\x00"]
    assert decode("voices/a.wav.gz", gzip.compress(b"RIFF"), TEXT, "raw").tensors["text"].tolist() == [b"RIFF"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((None, None), (1, 12)),
        ((None, 3, 4, 1), (1, 3, 4, 1)),
        ((None, None, 4), (1, 3, 4)),
        ((1, 12), (1, 12)),
        ((12,), (12,)),
    ],
)
def test_raw_bytes_fill_an_instance_of_uint8(shape: tuple[int | None, ...], expected: tuple[int, ...]) -> None:
    specs = (TensorSpec("samples", shape, np.dtype(np.uint8)),)
    samples = decode("voices/a.pcm", bytes(range(12)), specs, "raw").tensors["samples"]
    assert samples.shape == expected
    assert samples.ravel().tolist() == list(range(12))


@pytest.mark.parametrize(
    ("specs", "input_format", "error", "message"),
    [
        (
            ROW,
            "text",
            ModelError,
            r"text needs a model with one input of strings; this one has x \(float32\)",
        ),
        (ROW, "raw", ModelError, r"one input of strings, uint8 or int8; this one has x \(float32\)"),
        (TWO, "raw", ModelError, r"this one has a \(float32\), b \(int32\)"),
        ((TensorSpec("x", (None, 2), np.dtype(object)),), "text", ShapeError, r"1 elements do not fill x, .* \[2\]"),
        ((TensorSpec("x", (None, 3), np.dtype(np.uint8)),), "raw", ShapeError, r"4 elements do not fill x, .* \[3\]"),
        ((TensorSpec("x", (None, None, None), np.dtype(np.uint8)),), "raw", ShapeError, r"\[any, any\]"),
    ],
)
def test_a_signature_that_takes_no_text_or_bytes_is_named(
    specs: Any, input_format: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        decode("a.bin", b"abcd", specs, input_format)


# Arrays


def test_an_array_is_one_instance_or_several() -> None:
    assert decode("a.npy", npy([1.0, 2.0, 3.0]), ROW).count == 1
    assert decode("a.npy", npy(np.zeros((5, 3))), ROW).count == 5
    columns_first = npy(np.asfortranarray([[1, 2, 3], [4, 5, 6]]))
    np.testing.assert_array_equal(decode("a.npy", columns_first, ROW).tensors["x"], [[1, 2, 3], [4, 5, 6]])


def test_arrays_of_several_inputs_go_by_name() -> None:
    instances = decode("a.npz", npz(a=np.array([0.5, 1.5]), b=np.array([[1], [2]])), TWO)
    np.testing.assert_array_equal(instances.tensors["b"], [[1], [2]])
    with pytest.raises(DecodeError, match="lacks the arrays b"):
        decode("a.npz", npz(a=np.array([0.5])), TWO)


def test_a_pickle_is_never_loaded() -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("the pickle was loaded",))

    for key, body in (("a.npy", npy(np.array([Bomb()], dtype=object))), ("a.npz", npz(x=np.array([Bomb()], object)))):
        with pytest.raises(DecodeError):
            decode(key, body, ROW)


def test_a_header_that_claims_a_terabyte_is_refused_before_anything_is_allocated() -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3), }"
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + b"\x00" * 24
    with pytest.raises(DecodeError, match="the header promises 1000000000000 x 3 elements"):
        decode("a.npy", body, ROW)


# Images


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_an_image_is_read_by_its_content(image_format: str) -> None:
    instances = decode("digits/a.png", picture(image_format), SCAN, "image")
    assert instances.count == 1
    assert instances.tensors["scan"].shape == (1, 8, 8, 1)


def test_pixels_are_scaled() -> None:
    scan = decode("digits/a.png", picture(), SCAN, "image", scale=0.0625).tensors["scan"]
    np.testing.assert_allclose(scan[0, :, :, 0], np.arange(64).reshape(8, 8) * 0.0625)


def test_pixels_are_normalized_per_channel() -> None:
    """The preprocessing of torchvision's models: (pixel / 255 - mean) / std, channels first."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pixels = np.asarray(Image.open(io.BytesIO(picture(size=(8, 8), mode="RGB"))), np.float64)
    expected = ((pixels / 255 - mean) / std).astype(np.float32)
    config = {"scale": 1 / 255, "mean": mean, "std": std}

    last = decode("a.png", picture(mode="RGB"), PHOTO, "image", **config).tensors["photo"]
    np.testing.assert_allclose(last, expected[np.newaxis], rtol=1e-5, atol=1e-6)
    first_specs = (TensorSpec("photo", (None, 3, None, None), np.dtype(np.float32)),)
    first = decode("a.png", picture(mode="RGB"), first_specs, "image", layout="NCHW", **config).tensors["photo"]
    np.testing.assert_array_equal(first, last.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("fields", "expected"), [({"mean": (1.0,)}, -1), ({"std": (0.5,)}, 0), ({"mean": (-4.0,), "std": (2.0,)}, 2)]
)
@pytest.mark.parametrize("specs", [SCAN, FLAT])
def test_a_mean_or_a_deviation_alone_will_do(specs: Any, fields: dict[str, Any], expected: float) -> None:
    values = decode("a.png", picture(), specs, "image", **fields).tensors[specs[0].name]
    assert values.ravel()[0] == expected


@pytest.mark.parametrize(("image_format", "key"), [("PNG", "a.png.gz"), ("JPEG", "a.jpg.gz"), ("WEBP", "a.webp.gz")])
def test_an_image_may_be_gzipped(image_format: str, key: str) -> None:
    assert decode(key, gzip.compress(picture(image_format)), SCAN, "image").tensors["scan"].shape == (1, 8, 8, 1)


def test_channels_first_is_what_the_layout_says() -> None:
    first = (TensorSpec("photo", (None, 3, 16, 24), np.dtype(np.float32)),)
    body = picture("JPEG", (30, 20), "RGB")
    assert decode("a.jpg", body, first, "image", layout="NCHW").tensors["photo"].shape == (1, 3, 16, 24)
    grey = (TensorSpec("scan", (1, 1, 8, 8), np.dtype(np.float32)),)
    assert decode("a.png", picture(), grey, "image", layout="NCHW").tensors["scan"].shape == (1, 1, 8, 8)


def test_a_registry_entry_that_does_not_fit_the_signature_is_not_the_inputs_fault() -> None:
    first = (TensorSpec("photo", (None, 3, 16, 24), np.dtype(np.float32)),)
    with pytest.raises(ModelError, match=r"with input\.layout NHWC the model's input photo, \[3, 16, 24\], has 24"):
        decode("a.png", picture(), first, "image")
    with pytest.raises(ModelError, match=r"input\.mean has 3 numbers, but a pixel has 1 channels \(L\)"):
        decode("a.png", picture(), SCAN, "image", mean=(1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("specs", "fields", "message"),
    [
        (SCAN, {"mode": "RGB"}, r"input\.mode is RGB, but the model's input scan takes 1 channels"),
        (FLAT, {"mode": "RGB"}, r"input\.mode is RGB, but the model's input x takes 1 channels"),
        (BYTES, {"scale": 1 / 255}, r"once input\.scale, mean and std are applied: scan: expected integers \(uint8\)"),
        (SCAN, {"size": (8, 9)}, r"input\.size is \[8, 9\], but the model's input scan takes \[8, 8\]"),
        (ROW, {}, "the model's input x has 1 dimensions"),
        (TWO, {}, "one input that takes one image per call"),
        ((TensorSpec("scan", (8, 8, 1), np.dtype(np.float32)),), {}, "one input that takes one image per call"),
    ],
)
def test_neither_is_a_format_image_that_the_signature_cannot_take(
    specs: Any, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        decode("a.png", picture(), specs, "image", **fields)


def test_an_image_gets_the_size_and_mode_of_the_registry() -> None:
    photo = decode("a.jpg", picture("JPEG", (30, 20), "L"), PHOTO, "image", size=(16, 24), mode="RGB").tensors["photo"]
    assert photo.shape == (1, 16, 24, 3)


def test_an_image_gets_the_size_and_channels_of_the_signature() -> None:
    assert decode("a.png", picture(size=(30, 20), mode="RGB"), SCAN, "image").tensors["scan"].shape == (1, 8, 8, 1)
    assert decode("a.png", picture(size=(30, 20)), PHOTO, "image").tensors["photo"].shape == (1, 20, 30, 3)


def test_a_photo_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    turned = picture("JPEG", (30, 20), "RGB", exif=exif)
    assert decode("a.jpg", turned, PHOTO, "image").tensors["photo"].shape == (1, 30, 20, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_each_orientation_is_undone(orientation: int, image_format: str) -> None:
    """https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf (4.6.4): where the first row and column are."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif} | ({"lossless": True} if image_format == "WEBP" else {})
    body = picture(image_format, (6, 4), "RGB", **options)
    stored = np.asarray(Image.open(io.BytesIO(body)))
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    np.testing.assert_array_equal(decode("a", body, PHOTO, "image").tensors["photo"][0], upright)


def test_whole_pixels_fit_an_integer_input() -> None:
    assert decode("a.png", picture(), BYTES, "image").tensors["scan"].dtype == np.uint8


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    chunks = b"\x89PNG\r\n\x1a\n"
    for name, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", b""),
        (b"IEND", b""),
    ):
        chunks += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return chunks


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"just text\n", DecodeError, "not an image: its content is not PNG, JPEG or WebP$"),
        (picture("GIF"), DecodeError, "a GIF, which is not PNG, JPEG or WebP: convert it"),
        (picture("TIFF"), DecodeError, "a TIFF, which is not PNG, JPEG or WebP: convert it"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", DecodeError, "a HEIC, which is not PNG, JPEG or WebP"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", DecodeError, "not an image"),
        (picture(size=(64, 64))[:100], DecodeError, "cannot be decoded"),
        (picture("JPEG", (64, 64))[:300], DecodeError, "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n", DecodeError, "cannot be decoded"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", DecodeError, "cannot be decoded"),
        (
            png_header(60_000, 60_000),
            TooLargeError,
            r"60000 x 60000 pixels; an image may have at most 50000000 \(limits\.pixels\)",
        ),
        (png_header(0, 0), DecodeError, "cannot be decoded"),
    ],
    ids=[
        *("text", "GIF", "TIFF", "HEIC", "film"),
        *("cut PNG", "cut JPEG", "signature only", "WebP without content", "absurd size", "no pixels"),
    ],
)
def test_what_is_no_image_is_refused(body: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        decode("digits/a.png", body, SCAN, "image")


# Memory


@pytest.fixture
def small_function(monkeypatch: pytest.MonkeyPatch) -> str:
    """A function with 4 MB of memory; gives what a refusal says about it."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "4")
    return "bytes, but may take at most 1048576, a quarter of the memory"


@pytest.mark.parametrize(
    ("key", "body", "size"),
    [
        ("a.npy.gz", gzip.compress(npy(np.zeros((100_000, 3), np.uint8))), 1_200_000),
        ("a.npz", npz(x=np.zeros((100_000, 3), np.uint8)), 1_200_000),
    ],
    ids=["npy", "npz"],
)
def test_a_tensor_too_large_for_the_memory_is_refused_before_it_is_made(
    key: str, body: bytes, size: int, small_function: str
) -> None:
    with pytest.raises(TooLargeError, match=f"{size} {small_function}"):
        decode(key, body, ROW)


@pytest.mark.parametrize(
    ("body", "fields", "size"),
    [
        (picture(size=(400, 400), mode="RGB"), {}, 400 * 400 * 3 * 4),
        (picture(size=(8, 8), mode="RGB"), {"size": (300, 300)}, 300 * 300 * 3 * 4),
        # Pillow has colours in four bytes.
        (png_header(600, 600), {"size": (8, 8)}, 600 * 600 * 4),
    ],
    ids=["its own size", "the size of the registry", "before it is made smaller"],
)
def test_an_image_too_large_for_the_memory_is_refused_before_its_pixels_are_read(
    body: bytes, fields: dict[str, Any], size: int, small_function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _image: pytest.fail("its pixels were read"))
    with pytest.raises(TooLargeError, match=f"{size} {small_function}"):
        decode("a.png", body, PHOTO, "image", **fields)


def test_what_fits_the_memory_is_taken(small_function: str) -> None:
    assert decode("a.npy", npy(np.zeros((5_000, 3))), ROW).count == 5_000
    assert decode("a.png", picture(size=(250, 250), mode="RGB"), PHOTO, "image", scale=0.5).count == 1


def test_a_missing_library_is_not_the_inputs_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "inference.decoders.png", raising=False)
    monkeypatch.setitem(sys.modules, "PIL.PngImagePlugin", None)
    with pytest.raises(ImportError):
        decode("a.png", picture(), SCAN, "image")


# Limits of the registry


@pytest.mark.parametrize(
    ("key", "body", "limits", "message"),
    [
        ("a.jsonl", b"[1,2,3]\n" * 3, {"records": 2}, r"more than 2 rows \(limits\.records\)"),
        ("a.csv", b"1,2,3\n" * 3, {"records": 2}, r"more than 2 rows \(limits\.records\)"),
        ("a.json", b"[[1,2,3],[1,2,3],[1,2,3]]", {"records": 2}, r"3 instances; .* 2 \(limits\.records\)"),
        ("a.npy", npy(np.zeros((3, 3))), {"records": 2}, r"3 instances; .* 2 \(limits\.records\)"),
        ("a.json.gz", gzip.compress(b"[1,2,3]"), {"decompressed_bytes": 6}, r"6 bytes \(limits\.decompressed_bytes\)"),
        ("a.npz", npz(x=np.zeros(3)), {"decompressed_bytes": 100}, r"100 bytes \(limits\.decompressed_bytes\)"),
        ("a.png", picture(size=(10, 10)), {"pixels": 99}, r"10 x 10 pixels; .* 99 \(limits\.pixels\)"),
        ("a.webp", picture("WEBP", (10, 10)), {"pixels": 98}, r"more than 98 pixels; .* 98 \(limits\.pixels\)"),
    ],
)
def test_a_limit_of_the_model_is_named_where_it_is_reached(
    key: str, body: bytes, limits: dict[str, int], message: str
) -> None:
    (name, value), specs = *limits.items(), SCAN if "pixels" in limits else ROW
    with pytest.raises(TooLargeError, match=message):
        decode(key, body, specs, "image", limits=Limits(**limits))
    assert decode(key, body, specs, "image", limits=Limits(**{name: 2 * value})).count


def test_a_header_is_no_record() -> None:
    assert decode("a.csv", b"a,b,c\n" + b"1,2,3\n" * 2, ROW, limits=Limits(records=2)).count == 2


def test_text_that_would_fill_the_memory_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1")
    for key in ("a.json", "a.jsonl", "a.csv"):
        with pytest.raises(
            TooLargeError, match=r"16385 bytes; JSON and CSV may have at most 16384, a 64th of the memory"
        ):
            decode(key, b"[" * 16_385, ROW)


def test_an_npz_that_is_cut_off_is_said_to_be() -> None:
    whole = npz(x=np.zeros((100, 3)))
    for length in (4, len(whole) // 2, len(whole) - 23):
        with pytest.raises(DecodeError, match="its zip archive has no end: the file is cut off"):
            decode("a.npz", whole[:length], ROW)


def test_a_zip_that_lists_a_million_files_is_refused_before_they_are_read() -> None:
    entry = b"PK\x01\x02" + bytes(42)
    listed = entry * 100_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 34_464, 34_464, len(listed), 0, 0)
    with pytest.raises(TooLargeError, match="its zip archive lists more files than fit"):
        decode("a.npz", listed + end, ROW)
    # In a zip beyond 4 GB, the record before the end has the size, whatever the end says.
    with pytest.raises(TooLargeError, match="its zip archive lists more files than fit"):
        decode("a.npz", listed + b"PK\x06\x07" + bytes(16) + end.replace(b"\xa0\x86", b"\x00\x00"), ROW)


# Compression


@pytest.mark.parametrize(
    ("key", "body"),
    [("a.json.gz", b"[1, 2, 3]"), ("a.csv.gz", b"1,2,3\n"), ("a.npy.gz", npy([1.0, 2.0, 3.0])), ("a.gz", b"[1, 2, 3]")],
)
def test_each_format_may_be_gzipped(key: str, body: bytes) -> None:
    np.testing.assert_array_equal(decode(key, gzip.compress(body), ROW).tensors["x"], [[1, 2, 3]])


def test_a_gzip_file_may_have_several_members() -> None:
    body = gzip.compress(b"1,2,3\n") + gzip.compress(b"4,5,6\n")
    assert decode("a.csv.gz", body, ROW).count == 2


def test_a_decompression_bomb_is_refused_at_the_limit() -> None:
    bomb = gzip.compress(b" " * (MAX_BYTES + 1))
    assert len(bomb) < 100_000
    with pytest.raises(TooLargeError, match="decompresses to more than"):
        decode("a.json.gz", bomb, ROW)


@pytest.mark.parametrize(
    "body",
    [b"[1, 2, 3]", gzip.compress(b"[1, 2, 3]")[:-9], gzip.compress(b"[1, 2, 3]") + b"more"],
    ids=["not gzip", "cut", "more behind it"],
)
def test_what_is_no_gzip_data_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not valid gzip: "):
        decode("a.json.gz", body, ROW)


ONCE = gzip.compress(b"[1, 2, 3]")


def encoded(key: str, body: bytes, encoding: str, **fields: Any) -> Instances:
    """Decode an object with a Content-Encoding."""
    return decoders.decode(key, body, InputConfig("json", **fields), ROW, encoding=encoding)


@pytest.mark.parametrize(
    ("key", "encoding", "body"),
    [
        ("a.json", "gzip", ONCE),
        ("a.json", "X-Gzip", ONCE),
        ("a", "aws-chunked, gzip", ONCE),
        ("a.json", "gzip,aws-chunked", ONCE),
        ("a.json", "identity", b"[1, 2, 3]"),
        ("a.json", "aws-chunked", b"[1, 2, 3]"),
        ("a.json", "utf-8", b"[1, 2, 3]"),
        ("a.json.gz", "aws-chunked", ONCE),
        # Many tools set both for an object that is compressed once.
        ("a.json.gz", "gzip", ONCE),
        ("a.json.gz", "gzip", gzip.compress(ONCE)),
    ],
)
def test_a_content_encoding_of_gzip_is_undone(key: str, encoding: str, body: bytes) -> None:
    np.testing.assert_array_equal(encoded(key, body, encoding).tensors["x"], [[1, 2, 3]])


@pytest.mark.parametrize("encoding", ["br", "deflate", "ZSTD", "compress", "gzip, br", "gzip, gzip", "aws-chunked,br"])
def test_another_content_encoding_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(UnsupportedInputError, match=f"its Content-Encoding is {encoding}: upload it without one"):
        encoded("a.json", ONCE, encoding)


def test_what_a_content_encoding_hides_is_bounded_and_has_to_be_gzip() -> None:
    with pytest.raises(DecodeError, match="its Content-Encoding is gzip, but it is not valid gzip: Not a gzipped file"):
        encoded("a.json", b"[1, 2, 3]", "gzip")
    with pytest.raises(EmptyInputError, match="the object is empty"):
        encoded("a.json", gzip.compress(b""), "gzip")
    limits = Limits(decompressed_bytes=9)
    assert encoded("a.json", ONCE, "gzip", limits=limits).count == 1
    for key, body in (("a.json", gzip.compress(b"[1, 2, 3 ]")), ("a.json.gz", gzip.compress(ONCE))):
        with pytest.raises(TooLargeError, match=r"decompresses to more than 9 bytes \(limits\.decompressed_bytes\)"):
            encoded(key, body, "gzip", limits=limits)


@pytest.mark.parametrize("key", ["a.json", "a.jsonl", "a.csv", "a.npy", "a.npz", "a.png", "a.json.gz", "a.png.gz", "a"])
def test_arbitrary_bytes_are_always_the_inputs_fault(key: str) -> None:
    generator = np.random.default_rng(7)
    beginnings = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\x1f\x8b\x08\x00"]
    for beginning in beginnings:
        for length in (1, 17, 300):
            with pytest.raises(InputError):
                decode(key, beginning + generator.bytes(length), SCAN, "image")
