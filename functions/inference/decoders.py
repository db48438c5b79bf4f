"""The bytes of an object to arrays: the suffix of its key decides where it says something, else the model's format."""

import csv
import io
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from inference import tensors
from inference.config import InputConfig
from inference.errors import (
    DecodeError,
    EmptyInputError,
    InputError,
    ShapeError,
    TooLargeError,
    UnsupportedInputError,
)
from inference.limits import MAX_BYTES, MAX_PIXELS, MAX_RECORDS, MAX_TEXT_BYTES
from inference.runtimes import Array, TensorSpec, takes_batches
from inference.tensors import Instances, Specs

Decoder = Callable[[bytes, InputConfig, Specs], Instances]

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def decode(key: str, body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """Turn an object into instances for the model's inputs.

    Raises:
        InputError: what is wrong with it.
    """
    if not body:
        raise EmptyInputError("the object is empty")
    decoder, gzipped = _choose(key, config.format)
    try:
        if gzipped:
            body = _decompress(body)
        return decoder(body, config, specs)
    except (InputError, MemoryError, ImportError):
        raise
    except Exception as error:
        # With its library there and memory enough, decoding has no part but the bytes: trying again does not help.
        raise DecodeError(f"cannot be decoded: {type(error).__name__}: {error}") from error


def _choose(key: str, input_format: str) -> tuple[Decoder, bool]:
    """The decoder for a key, and whether its object is gzipped."""
    path = PurePosixPath(key.lower())
    gzipped = path.suffix == ".gz"
    suffix = PurePosixPath(path.stem).suffix if gzipped else path.suffix
    if suffix in _IMAGE_SUFFIXES and input_format != "image":
        raise UnsupportedInputError(f"an image ({suffix}), but this model takes {input_format}")
    decoder = _BY_SUFFIX.get(suffix) or _BY_FORMAT.get(input_format)
    if decoder is None:
        raise UnsupportedInputError(f"no decoder for the suffix {suffix!r} and the input format {input_format!r}")
    return decoder, gzipped


def _decompress(body: bytes) -> bytes:
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    parts, total = [], 0
    while body:
        part = decompressor.decompress(body, MAX_BYTES + 1 - total)
        parts.append(part)
        total += len(part)
        if total > MAX_BYTES:
            raise TooLargeError(f"it decompresses to more than {MAX_BYTES} bytes")
        if not decompressor.eof:
            raise DecodeError("the gzip data ends too early")
        # A gzip file may be several one after another.
        body = decompressor.unused_data
        decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    return b"".join(parts)


def _text(body: bytes) -> str:
    if len(body) > MAX_TEXT_BYTES:
        raise TooLargeError(f"{len(body)} bytes of text; an input may have {MAX_TEXT_BYTES}")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DecodeError(f"not UTF-8 text: {error}") from error
    if not text.strip():
        raise EmptyInputError("it holds nothing but white space")
    return text


def _json(body: bytes, _config: InputConfig, specs: Specs) -> Instances:
    return tensors.from_document(tensors.parse(_text(body)), specs)


def _json_lines(body: bytes, _config: InputConfig, specs: Specs) -> Instances:
    # Not splitlines(): a JSON string may hold other characters that it takes for line ends.
    lines = {number: line for number, line in enumerate(_text(body).split("\n"), start=1) if line.strip()}
    if len(lines) > MAX_RECORDS:
        raise TooLargeError(f"{len(lines)} lines; an input may have {MAX_RECORDS}")
    rows = []
    for number, line in lines.items():
        try:
            rows.append(tensors.parse(line))
        except DecodeError as error:
            raise DecodeError(f"line {number}: {error}") from error
    return tensors.from_rows(rows, specs, "lines")


def _csv(body: bytes, _config: InputConfig, specs: Specs) -> Instances:
    """Rows of finite numbers, or of strings where the input takes strings, with or without a header."""
    _check_batch(specs, "rows of CSV")
    rows = [row for row in csv.reader(io.StringIO(_text(body), newline=""), strict=True) if row]
    header = _header(rows, specs)
    if header is not None:
        rows = rows[1:]
    if not rows:
        raise EmptyInputError("it holds no row beside the header")
    if len(rows) > MAX_RECORDS:
        raise TooLargeError(f"{len(rows)} rows; an input may have {MAX_RECORDS}")
    width = len(rows[0])
    for index, row in enumerate(rows):
        if len(row) != width:
            raise ShapeError(f"row {index + 1} has {len(row)} columns, the first one {width}")
    if len(specs) == 1:
        return tensors.stack({specs[0].name: _cells(rows, specs[0]).reshape(_row_shape(width, specs[0]))}, specs)
    columns = _columns_by_name(header, specs)
    arrays = {
        spec.name: _cells([[row[column]] for row in rows], spec).reshape(_row_shape(1, spec))
        for spec, column in zip(specs, columns, strict=True)
    }
    return tensors.stack(arrays, specs)


def _check_batch(specs: Specs, what: str) -> None:
    if not takes_batches(specs):
        raise UnsupportedInputError(f'{what} fits a signature with a batch; send this one {{"inputs": ...}} as JSON')


def _header(rows: list[list[str]], specs: Specs) -> list[str] | None:
    """The first row, if it names columns: the model's inputs, or anything but numbers where rows are numbers."""
    if not rows:
        return None
    first = [cell.strip() for cell in rows[0]]
    if len(specs) > 1:
        return first if {spec.name for spec in specs} <= set(first) else None
    numeric = specs[0].dtype.kind in "fiu"
    return first if numeric and not any(_is_number(cell) for cell in first) else None


def _columns_by_name(header: list[str] | None, specs: Specs) -> list[int]:
    names = ", ".join(spec.name for spec in specs)
    if header is None:
        raise DecodeError(f"the model has several inputs: the first row has to name their columns, {names}")
    return [header.index(spec.name) for spec in specs]


def _cells(rows: list[list[str]], spec: TensorSpec) -> Array:
    """Rows of text as a two-dimensional array of the kind of elements that the input has.

    Integers are read as such, since a float has no more than 53 bits for them; `1.0` is one as well. NaN and infinity
    are refused, as they are in JSON.
    """
    if spec.dtype.kind == "O":
        return np.array([[cell.encode() for cell in row] for row in rows], dtype=object)
    try:
        if spec.dtype.kind in "iu":
            array = _integers([[_integer(cell) for cell in row] for row in rows], spec)
        else:
            array = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise _refused_cell(rows) from error
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _refused_cell(rows)
    return array


def _integers(rows: list[list[int | float]], spec: TensorSpec) -> Array:
    if not all(isinstance(number, int) for row in rows for number in row):
        # The cast to the signature's type says what it expects.
        return np.array(rows, dtype=np.float64)
    try:
        return np.array(rows, dtype=np.uint64 if spec.dtype.kind == "u" else np.int64)
    except OverflowError as error:
        raise DecodeError(f"a number beyond the range of {spec.dtype.name}") from error


def _integer(cell: str) -> int | float:
    try:
        return int(cell)
    except ValueError:
        number = float(cell)
        return int(number) if number.is_integer() else number


def _refused_cell(rows: list[list[str]]) -> DecodeError:
    """The error that names the first cell that is not a finite number."""
    for index, row in enumerate(rows):
        for column, cell in enumerate(row):
            if not _is_number(cell) or not math.isfinite(float(cell)):
                kind = "finite number" if _is_number(cell) else "number"
                return DecodeError(f"row {index + 1}, column {column + 1}: {cell[:40]!r} is not a {kind}")
    return DecodeError("its rows are not all finite numbers")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _row_shape(width: int, spec: TensorSpec) -> tuple[int, ...]:
    """The shape of rows of `width` columns: an instance's own shape, filled row by row."""
    instance = spec.instance
    if instance is None or any(length is None for length in instance):
        return (-1, width)
    shape = tuple(length for length in instance if length is not None)
    if int(np.prod(shape)) != width:
        raise ShapeError(f"the rows have {width} columns; expected {int(np.prod(shape))}")
    return (-1, *shape)


def _npy(body: bytes, _config: InputConfig, specs: Specs) -> Instances:
    if len(specs) > 1:
        raise DecodeError("an .npy file holds one array and the model has several inputs: use .npz")
    return tensors.stack({specs[0].name: _read_npy(body)}, specs)


def _npz(body: bytes, _config: InputConfig, specs: Specs) -> Instances:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        found = archive.infolist()
        if len(found) == len(specs) == 1:
            members = {specs[0].name: found[0]}
        else:
            members = {info.filename.removesuffix(".npy"): info for info in found}
        missing = [spec.name for spec in specs if spec.name not in members]
        if missing:
            raise DecodeError(f"it lacks the arrays {', '.join(missing)}")
        if sum(members[spec.name].file_size for spec in specs) > MAX_BYTES:
            raise TooLargeError(f"its arrays take more than {MAX_BYTES} bytes")
        return tensors.stack({spec.name: _read_npy(archive.read(members[spec.name])) for spec in specs}, specs)


def _read_npy(body: bytes) -> Array:
    """The array of an .npy file, never a pickle.

    numpy's own reader allocates what the header claims before it reads: a file of 80 bytes can claim a terabyte.
    """
    file = io.BytesIO(body)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read_header(file)
    if dtype.kind not in "fiub":
        raise DecodeError(f"arrays of {dtype} are not taken; expected numbers or booleans")
    data = body[file.tell() :]
    if len(data) != dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise DecodeError(f"the header says {_size(shape)} elements of {dtype}, the file holds {len(data)} bytes")
    array = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape) or "1"


def _image(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """One picture as (height, width, channels), or (height, width) where the signature has no channels."""
    _check_batch(specs, "an image")
    if len(specs) > 1:
        raise DecodeError("an image fits a model with one input")
    spec = specs[0]
    instance = (None, None, None) if spec.instance is None else spec.instance
    if len(instance) not in (2, 3):
        raise ShapeError(
            f"an image fits an input of height, width and channels; this one has {len(instance)} dimensions"
        )
    channels = instance[2] if len(instance) == 3 else 1
    mode = config.mode or {1: "L", 4: "RGBA"}.get(channels or 3, "RGB")
    size = config.size or ((instance[0], instance[1]) if instance[0] and instance[1] else None)
    image = _open_image(body)
    height, width = size or (image.height, image.width)
    scaled = np.dtype(np.uint8 if config.scale is None else np.float32)
    # The picture as it is, as scaled pixels and as the tensor: the largest of them has to fit.
    tensors.check_size(image.width * image.height * len(image.getbands()))
    tensors.check_size(height * width * len(mode) * max(scaled.itemsize, spec.dtype.itemsize))
    pixels = _pixels(image, mode, size)
    if len(instance) == 3 and pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    array = pixels if config.scale is None else np.multiply(pixels, np.float32(config.scale), dtype=np.float32)
    return tensors.stack({spec.name: array}, specs)


def _pixels(image: Any, mode: str, size: tuple[int, int] | None) -> Array:
    """A picture's pixels, 0 to 255, upright, in the mode and (height, width) asked for."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image).convert(mode)
    if size is not None and upright.size != (size[1], size[0]):
        upright = upright.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(upright)


def _open_image(body: bytes) -> Any:
    """The picture, its pixels not yet read, if it has not too many of them and they are of 8 bits per channel."""
    image = _image_file(body)
    if image.width * image.height > MAX_PIXELS:
        raise TooLargeError(f"{image.width} x {image.height} pixels; an image may have {MAX_PIXELS}")
    if image.mode[0] in "IF":
        raise UnsupportedInputError(f"an image with more than 8 bits per channel (Pillow's mode {image.mode})")
    return image


def _image_file(body: bytes) -> Any:
    """Pillow's reader of a picture; only its part for the format is imported and can be attacked."""
    file = io.BytesIO(body)
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(file)
    if body.startswith(b"\xff\xd8\xff"):
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile(file)
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        from PIL.WebPImagePlugin import WebPImageFile

        return WebPImageFile(file)
    raise DecodeError("not an image: its content is neither PNG nor JPEG nor WebP")


_BY_SUFFIX: dict[str, Decoder] = {".json": _json, ".jsonl": _json_lines, ".csv": _csv, ".npy": _npy, ".npz": _npz}
_BY_FORMAT: dict[str, Decoder] = {"json": _json, "csv": _csv, "image": _image}
