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
from inference.config import InputConfig
from inference.errors import (
    DecodeError,
    EmptyInputError,
    InputError,
    ShapeError,
    TooLargeError,
    UnsupportedInputError,
)
from inference.limits import MAX_BYTES
from inference.runtimes import TensorSpec
from inference.tensors import Instances

SCAN = (TensorSpec("scan", (None, 8, 8, 1), np.dtype(np.float32)),)
PHOTO = (TensorSpec("photo", (None, None, None, 3), np.dtype(np.float32)),)
ROW = (TensorSpec("x", (None, 3), np.dtype(np.float32)),)
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


@pytest.mark.parametrize("input_format", ["json", "csv", "image"])
def test_the_suffix_decides_before_the_format(input_format: str) -> None:
    body = b"[[1, 2, 3], [4, 5, 6]]"
    assert decode("wine/a.json", body, ROW, input_format).count == 2
    assert decode("wine/a.CSV", b"1,2,3\n", ROW, input_format).count == 1


def test_a_suffix_that_says_nothing_leaves_it_to_the_format() -> None:
    assert decode("wine/a", b"[1, 2, 3]", ROW, "json").count == 1
    assert decode("wine/a.dat", b"1,2,3\n4,5,6\n", ROW, "csv").count == 2
    assert decode("digits/a.scan", picture(), SCAN, "image").count == 1


def test_an_image_for_a_model_that_takes_none_is_refused() -> None:
    with pytest.raises(UnsupportedInputError, match=r"an image \(\.png\), but this model takes csv"):
        decode("wine/a.png", picture(), ROW, "csv")


def test_a_format_without_a_decoder_is_refused() -> None:
    with pytest.raises(UnsupportedInputError, match=r"no decoder for the suffix '\.wav'"):
        decode("voice/a.wav", b"RIFF", ROW, "raw")


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
    text = (TensorSpec("text", (None,), np.dtype(object)),)
    instances = decode("a.jsonl", '"one\u2028line"\n"another"\n'.encode(), text)
    assert instances.tensors["text"].tolist() == ["one\u2028line".encode(), b"another"]


@pytest.mark.parametrize(("key", "body"), [("a.csv", b"1,2,3\n"), ("a.png", b"\x89PNG")])
def test_a_signature_without_a_batch_takes_neither_rows_nor_images(key: str, body: bytes) -> None:
    with pytest.raises(UnsupportedInputError, match='"inputs"'):
        decode(key, body, (TensorSpec("x", (3,), np.dtype(np.float32)),), "image")


@pytest.mark.parametrize("header", ["", "alcohol,malic acid,ash\n", "\ufeffalcohol,malic acid,ash\r\n"])
def test_csv_rows_are_read_with_and_without_a_header(header: str) -> None:
    instances = decode("wine/a.csv", f"{header}1,2,3\n4,5,6.5\n".encode(), ROW)
    np.testing.assert_array_equal(instances.tensors["x"], [[1, 2, 3], [4, 5, 6.5]])


def test_csv_columns_of_several_inputs_go_by_name() -> None:
    instances = decode("a.csv", b"b,id,a\n1,x,0.5\n2,y,1.5\n", TWO)
    np.testing.assert_array_equal(instances.tensors["a"], [0.5, 1.5])
    np.testing.assert_array_equal(instances.tensors["b"], [[1], [2]])
    with pytest.raises(DecodeError, match="the first row has to name their columns, a, b"):
        decode("a.csv", b"1,2\n", TWO)


def test_a_csv_row_fills_an_instance_row_by_row() -> None:
    cells = ",".join(str(value) for value in range(64))
    scan = decode("digits/a.csv", cells.encode(), SCAN).tensors["scan"]
    np.testing.assert_array_equal(scan[0, :, :, 0], np.arange(64).reshape(8, 8))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("1,2\n", ShapeError, "the rows have 2 columns; expected 3"),
        ("1,2,3\n4,5\n", ShapeError, "row 2 has 2 columns, the first one 3"),
        ("1,2,3\n4,x,6\n", DecodeError, "row 2, column 2: 'x' is not a number"),
        ("1,x,3\n", DecodeError, "row 1, column 2: 'x' is not a number"),
        ("1,,3\n", DecodeError, "row 1, column 2: '' is not a number"),
        ("a,b,c\n", EmptyInputError, "no row beside the header"),
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
        ("1.5", "expected integers"),
        ("2147483648", "beyond the range of int32"),
        ("9" * 30, "beyond the range of int32"),
        ("nan", "row 1, column 1: 'nan' is not a finite number"),
        ("x", "row 1, column 1: 'x' is not a number"),
    ],
)
def test_what_is_no_integer_in_csv_is_refused(cell: str, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode("a.csv", f"{cell},5\n".encode(), (TensorSpec("n", (None, 2), np.dtype(np.int32)),))


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-Infinity", "1e400"])
def test_csv_has_no_number_that_json_does_not_have(cell: str) -> None:
    with pytest.raises(DecodeError, match=f"row 2, column 2: '{cell}' is not a finite number"):
        decode("wine/a.csv", f"1,2,3\n4,{cell},6\n".encode(), ROW)


def test_text_in_another_encoding_is_refused() -> None:
    with pytest.raises(DecodeError, match="not UTF-8"):
        decode("wine/a.json", "[1, 2, 3] ü".encode("latin-1"), ROW)


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
    with pytest.raises(DecodeError, match="the header says 1000000000000 x 3 elements"):
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


def test_whole_pixels_fit_an_integer_input() -> None:
    specs = (TensorSpec("scan", (None, 8, 8, 1), np.dtype(np.uint8)),)
    assert decode("a.png", picture(), specs, "image").tensors["scan"].dtype == np.uint8
    with pytest.raises(DecodeError, match="expected integers"):
        decode("a.png", picture(), specs, "image", scale=0.0625)


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
        (b"just text\n", DecodeError, "neither PNG nor JPEG nor WebP"),
        (picture(size=(64, 64))[:100], DecodeError, "cannot be decoded"),
        (picture("JPEG", (64, 64))[:300], DecodeError, "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n", DecodeError, "cannot be decoded"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", DecodeError, "cannot be decoded"),
        (png_header(60_000, 60_000), TooLargeError, "60000 x 60000 pixels"),
        (png_header(0, 0), DecodeError, "cannot be decoded"),
    ],
    ids=["text", "cut PNG", "cut JPEG", "signature only", "WebP without content", "absurd size", "no pixels"],
)
def test_what_is_no_image_is_refused(body: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        decode("digits/a.png", body, SCAN, "image")


def test_more_than_eight_bits_per_channel_are_refused_rather_than_clipped() -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(file, "PNG")
    with pytest.raises(UnsupportedInputError, match="more than 8 bits"):
        decode("a.png", file.getvalue(), SCAN, "image")


# Memory


@pytest.fixture
def small_function(monkeypatch: pytest.MonkeyPatch) -> str:
    """A function with 4 MB of memory; gives what a refusal says about it."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "4")
    return "bytes; an input's may take 1048576, a quarter of the memory"


@pytest.mark.parametrize(
    ("key", "body", "size"),
    [
        ("a.npy.gz", gzip.compress(npy(np.zeros((100_000, 3), np.uint8))), 1_200_000),
        ("a.npz", npz(x=np.zeros((100_000, 3), np.uint8)), 1_200_000),
        ("a.json", b"[" + b",".join([b"[1,2,3]"] * 100_000) + b"]", 1_200_000),
    ],
    ids=["npy", "npz", "json"],
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
        (png_header(600, 600), {"size": (8, 8)}, 600 * 600 * 3),
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
    monkeypatch.setitem(sys.modules, "PIL.PngImagePlugin", None)
    with pytest.raises(ImportError):
        decode("a.png", picture(), SCAN, "image")


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


@pytest.mark.parametrize("body", [b"[1, 2, 3]", gzip.compress(b"[1, 2, 3]")[:-9]], ids=["not gzip", "cut"])
def test_what_is_no_gzip_data_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode("a.json.gz", body, ROW)


@pytest.mark.parametrize("key", ["a.json", "a.jsonl", "a.csv", "a.npy", "a.npz", "a.png", "a.json.gz", "a"])
def test_arbitrary_bytes_are_always_the_inputs_fault(key: str) -> None:
    generator = np.random.default_rng(7)
    beginnings = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\x1f\x8b\x08\x00"]
    for beginning in beginnings:
        for length in (1, 17, 300):
            with pytest.raises(InputError):
                decode(key, beginning + generator.bytes(length), SCAN, "image")
