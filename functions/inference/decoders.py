"""The bytes of an object to arrays: the suffix of its key decides where it says something, else the model's format."""

import csv
import gzip
import io
import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from inference import tensors
from inference.config import InputConfig
from inference.errors import (
    DecodeError,
    EmptyInputError,
    InputError,
    ModelError,
    ServiceError,
    ShapeError,
    TooLargeError,
    UnsupportedInputError,
)
from inference.limits import Limits, max_text_bytes
from inference.runtimes import Array, TensorSpec, takes_batches
from inference.tensors import Instances, Specs

Decoder = Callable[[bytes, InputConfig, Specs], Instances]

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

#: Booleans of CSV, in small letters.
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

#: Bytes that are decompressed at once.
_PART_BYTES = 2**20

#: Passes over all pixels of a JPEG, each of which takes its time; cameras and programs write about ten.
_MAX_SCANS = 100

#: Bytes of a zip's list of what is in it, 46 and a name for each; read, it takes many times as much.
_MAX_ZIP_DIRECTORY = 2**20


def decode(key: str, body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """Turn an object into instances for the model's inputs.

    Raises:
        InputError: what is wrong with it.
        ModelError: the model's registry entry does not fit its signature.
    """
    decoder = _choose(key, config.format)
    body = content(key, body, config.limits)
    try:
        return decoder(body, config, specs)
    except (InputError, ServiceError, MemoryError, ImportError):
        raise
    except Exception as error:
        # With its library there and memory enough, decoding has no part but the bytes: trying again does not help.
        raise DecodeError(f"cannot be decoded: {type(error).__name__}: {error}") from error


def content(key: str, body: bytes, limits: Limits) -> bytes:
    """What an object holds: its bytes, decompressed where its key ends in `.gz`.

    Raises:
        InputError: it is empty, holds too much, or cannot be decompressed.
    """
    if key.lower().endswith(".gz"):
        body = _decompress(body, limits)
    if not body:
        raise EmptyInputError("the object is empty")
    return body


def _choose(key: str, input_format: str) -> Decoder:
    """The decoder for a key."""
    suffix = PurePosixPath(key.lower().removesuffix(".gz")).suffix
    if suffix in _IMAGE_SUFFIXES and input_format not in ("image", "raw"):
        raise UnsupportedInputError(f"an image ({suffix}), but this model takes {input_format}")
    return _BY_SUFFIX.get(suffix) or _BY_FORMAT[input_format]


def _decompress(body: bytes, limits: Limits) -> bytes:
    most = limits.decompressed_bytes
    parts, total = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            # In parts, since memory for as much as is asked for is taken at once.
            while part := file.read(_PART_BYTES):
                total += len(part)
                if total > most:
                    raise TooLargeError(f"it decompresses to more than {most} bytes (limits.decompressed_bytes)")
                parts.append(part)
    except (EOFError, OSError, zlib.error) as error:
        raise DecodeError(f"not valid gzip: {error}") from error
    return b"".join(parts)


def _parsed_text(body: bytes) -> str:
    most = max_text_bytes()
    if len(body) > most:
        raise TooLargeError(f"{len(body)} bytes; JSON and CSV may have {most}, a 64th of the memory (memory_mb)")
    return _decoded_text(body)


def _decoded_text(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DecodeError(f"not UTF-8 text: {error}") from error
    if not text.strip():
        raise EmptyInputError("it holds nothing but white space")
    return text


def _json(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    return tensors.from_document(tensors.parse(_parsed_text(body)), specs, config.limits)


def _json_lines(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """Every line a document of one instance; empty lines are passed over."""
    rows: list[Any] = []
    # Not splitlines(): a JSON string may hold other characters that it takes for line ends.
    for number, line in enumerate(io.StringIO(_parsed_text(body), newline="\n"), start=1):
        if not line.strip():
            continue
        _check_record(rows, config.limits)
        try:
            rows.append(tensors.parse(line))
        except DecodeError as error:
            raise DecodeError(f"line {number}: {error}") from error
    return tensors.from_rows(rows, specs, "lines", config.limits)


def _check_record(rows: Sequence[Any], limits: Limits) -> None:
    """Refuse one more row, before it is read, than an input may have."""
    if len(rows) >= limits.records:
        raise TooLargeError(f"it has more than {limits.records} rows (limits.records)")


def _csv(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """Rows of what the input takes (finite numbers, booleans, strings), with or without a header.

    A model with several inputs has a column for each. One with one input takes the columns as they stand, or in the
    order of its registry entry where that names them: then a header may have them in any order, and others beside them.
    """
    if not takes_batches(specs):
        raise UnsupportedInputError('rows of CSV fit a signature with a batch; send this one {"inputs": ...} as JSON')
    reader = (row for row in csv.reader(io.StringIO(_parsed_text(body), newline=""), strict=True) if row)
    first = next(reader)
    header = _header(first, config, specs)
    rows = [] if header is not None else [first]
    for row in reader:
        _check_record(rows, config.limits)
        rows.append(row)
    if not rows:
        raise EmptyInputError("it holds no row beside the header")
    width = len(first)
    for index, row in enumerate(rows):
        if len(row) != width:
            raise ShapeError(f"row {index + 1} has {len(row)} columns, the first one {width}")
    names = config.columns if len(specs) == 1 else tuple(spec.name for spec in specs)
    if header is not None and names:
        columns = [_column(header, name) for name in names]
        rows = [[row[column] for column in columns] for row in rows]
    elif len(specs) > 1:
        raise DecodeError(f"the model has several inputs: the first row has to name their columns, {', '.join(names)}")
    elif names and width != len(names):
        raise ShapeError(f"the rows have {width} columns; expected {len(names)}")
    if len(specs) == 1:
        cells = {specs[0].name: _cells(rows, specs[0]).reshape(_row_shape(len(rows[0]), specs[0]))}
    else:
        cells = {
            spec.name: _cells([[row[column]] for row in rows], spec).reshape(_row_shape(1, spec))
            for column, spec in enumerate(specs)
        }
    return tensors.stack(cells, specs, config.limits)


def _header(first: list[str], config: InputConfig, specs: Specs) -> list[str] | None:
    """The first row, if it names columns: the model's own, or anything but numbers (booleans) where rows are those."""
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
        found = "twice" if name in header else "nowhere"
        raise DecodeError(f"the first row names the column {name!r} {found}; it has to name it once")
    return header.index(name)


def _cells(rows: list[list[str]], spec: TensorSpec) -> Array:
    """Rows of text as a two-dimensional array of the kind of elements that the input has.

    Integers are read as such, since a float has no more than 53 bits for them; `1.0` is one as well. NaN and infinity
    are refused, as they are in JSON.
    """
    if spec.dtype.kind == "O":
        return np.array([[cell.encode() for cell in row] for row in rows], dtype=object)
    if spec.dtype.kind == "b":
        return np.array([[_boolean(cell, index) for cell in row] for index, row in enumerate(rows)])
    # Python reads 2024_01 as a number.
    if any("_" in cell for row in rows for cell in row):
        raise _refused_cell(rows)
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


def _boolean(cell: str, row: int) -> bool:
    value = _BOOLEANS.get(cell.strip().lower())
    if value is None:
        raise DecodeError(f"row {row + 1}: {cell[:40]!r} is not true or false (or 1 or 0)")
    return value


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


def _numpy(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """An array or several, as the content says: an .npz file is a zip."""
    return (_npz if body.startswith(b"PK") else _npy)(body, config, specs)


def _npy(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    if len(specs) > 1:
        raise DecodeError("an .npy file holds one array and the model has several inputs: use .npz")
    return tensors.stack({specs[0].name: _read_npy(body)}, specs, config.limits)


def _npz(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    _check_zip_directory(body)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        found = archive.infolist()
        if len(found) == len(specs) == 1:
            members = {specs[0].name: found[0]}
        else:
            members = {info.filename.removesuffix(".npy"): info for info in found}
        missing = [spec.name for spec in specs if spec.name not in members]
        if missing:
            raise DecodeError(f"it lacks the arrays {', '.join(missing)}")
        most = config.limits.decompressed_bytes
        if sum(members[spec.name].file_size for spec in specs) > most:
            raise TooLargeError(f"its arrays take more than {most} bytes (limits.decompressed_bytes)")
        arrays = {spec.name: _read_npy(_read_member(archive, members[spec.name])) for spec in specs}
    return tensors.stack(arrays, specs, config.limits)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a zip's member, of which no more are unpacked than it says that there are."""
    # What numpy writes; the other ways are unpacked a whole piece at a time, which may be of any size.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DecodeError(f"{member.filename[:40]!r} is compressed otherwise than by numpy (stored or deflated)")
    with archive.open(member) as file:
        # Without a length the reader would unpack all at once, and cut it afterwards.
        return file.read(member.file_size + 1)


def _check_zip_directory(body: bytes) -> None:
    """Refuse a zip with a list of contents so long that it was made to fill the memory.

    Its size stands in the zip's last record, or in one before that which only zips beyond 4 GB need.
    https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (4.3.15 and 4.3.16)
    """
    end = body.rfind(b"PK\x05\x06")
    if end < 0:
        raise DecodeError("its zip has no end: the file is cut off")
    size = int.from_bytes(body[end + 12 : end + 16], "little")
    if size > _MAX_ZIP_DIRECTORY or b"PK\x06\x07" in body[max(0, end - 20) : end]:
        raise TooLargeError(f"its zip lists more files than fit into {_MAX_ZIP_DIRECTORY} bytes")


def _read_npy(body: bytes) -> Array:
    """The array of an .npy file, never a pickle.

    numpy's own reader allocates what the header claims before it reads: a file of 80 bytes can claim a terabyte.
    """
    file = io.BytesIO(body)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran_order, dtype = read_header(file)
    except MemoryError as error:
        # It has 10,000 characters at most: what has run out is the depth of Python's parser.
        raise DecodeError("its header is nested too deeply") from error
    if dtype.kind not in "fiub":
        raise DecodeError(f"arrays of {dtype} are not taken; expected numbers or booleans")
    held = len(body) - file.tell()
    if held != dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise DecodeError(f"the header says {_size(shape)} elements of {dtype}, the file holds {held} bytes")
    array = np.frombuffer(body, dtype, offset=file.tell())
    if dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise DecodeError("its booleans are neither 0 nor 1")
    return array.reshape(shape, order="F" if fortran_order else "C")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape) or "1"


def _text(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """The whole text, line ends and all but without a byte-order mark, as one string for a model with one input."""
    return _single(_decoded_text(body).encode(), config, specs, "text")


def _raw(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """The object's bytes for a model that reads them itself, with one input.

    An input of strings gets them as one string, whatever they are (an encoded picture, a serialized `tf.Example`). An
    input of uint8 gets a number for each, which fill an instance in the order of its elements (samples, pixels).
    """
    if len(specs) == 1 and specs[0].dtype == np.uint8:
        tensors.check_size(len(body))
        array = tensors.filled(np.frombuffer(body, np.uint8), specs[0])
        return tensors.stack({specs[0].name: array}, specs, config.limits)
    return _single(body, config, specs, "raw")


def _single(value: bytes, config: InputConfig, specs: Specs, what: str) -> Instances:
    """One string as one instance."""
    if len(specs) > 1 or specs[0].dtype.kind != "O":
        kinds = "strings" if what == "text" else "strings or uint8"
        found = ", ".join(f"{spec.name} ({spec.dtype.name})" for spec in specs)
        raise ModelError(f"input.format {what} fits a model with one input of {kinds}; this one has {found}")
    tensors.check_size(len(value))
    array = tensors.filled(np.array([value], dtype=object), specs[0])
    return tensors.stack({specs[0].name: array}, specs, config.limits)


def _image(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """One picture as (height, width, channels), or as (height, width) where the signature has no channels.

    With the layout NCHW it is (channels, height, width).
    """
    mode, size = _mode_and_size(config, specs)
    spec = specs[0]
    image = _open_image(body, config.limits)
    height, width = size or (image.height, image.width)
    scaled = np.dtype(np.float32 if config.scale is not None or config.mean or config.std else np.uint8)
    # The picture as it is, as scaled pixels and as the tensor: the largest of them has to fit.
    pixel = max(_pixel_bytes(image.mode), _pixel_bytes(mode)) + _decoding_bytes(image)
    tensors.check_size(image.width * image.height * pixel)
    tensors.check_size(height * width * len(mode) * max(scaled.itemsize, spec.dtype.itemsize))
    pixels = _pixels(image, mode, size)
    # Its pixels by hand, since it is part of a cycle, and its decoder: the tensor may take as much memory again.
    image.close()
    del image
    if spec.instance is None or len(spec.instance) == 3:
        pixels = pixels.reshape(*pixels.shape[:2], len(mode))
        pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1)) if config.layout == "NCHW" else pixels
    try:
        return tensors.stack({spec.name: _normalized(pixels, config)}, specs, config.limits)
    except DecodeError as error:
        raise ModelError(f"pixels do not fit as input.scale, mean and std make them: {error}") from error


def _mode_and_size(config: InputConfig, specs: Specs) -> tuple[str, tuple[int, int] | None]:
    """The mode and the (height, width), None where it stays, of the pictures that a model takes.

    Raises:
        ModelError: the registry entry and the signature contradict each other.
    """
    spec = specs[0]
    if len(specs) > 1 or not takes_batches(specs):
        raise ModelError("input.format image fits a signature with one input and a batch")
    height, width, channels = _dimensions(spec, config)
    mode = config.mode or {1: "L", 4: "RGBA"}.get(channels or 3, "RGB")
    takes = f"but the model's input {spec.name} takes"
    if channels not in (None, len(mode)):
        raise ModelError(f"input.mode is {mode}, {takes} {channels} channels")
    if config.size and (height not in (None, config.size[0]) or width not in (None, config.size[1])):
        raise ModelError(f"input.size is {list(config.size)}, {takes} {[height, width]}")
    for name, numbers in (("mean", config.mean), ("std", config.std)):
        if len(numbers) not in (0, len(mode)):
            raise ModelError(f"input.{name} has {len(numbers)} numbers, but a pixel has {len(mode)} channels ({mode})")
    return mode, config.size or ((height, width) if height and width else None)


def _dimensions(spec: TensorSpec, config: InputConfig) -> tuple[int | None, int | None, int | None]:
    """Height, width and channels that a signature asks for; None: any."""
    instance = (None, None, None) if spec.instance is None else spec.instance
    if len(instance) not in (2, 3):
        raise ModelError(
            "input.format image fits an input of height, width and channels; the model's input "
            f"{spec.name} has {len(instance)} dimensions"
        )
    if len(instance) == 2:
        return instance[0], instance[1], 1
    height, width, channels = (*instance[1:], instance[0]) if config.layout == "NCHW" else instance
    if channels not in (None, 1, 3, 4):
        raise ModelError(
            f"an image has 1, 3 or 4 channels, and with input.layout {config.layout} the model's input {spec.name}, "
            f"{list(instance)}, has {channels}"
        )
    return height, width, channels


def _pixel_bytes(mode: str) -> int:
    """Bytes of a pixel as Pillow has it in memory."""
    return 1 if mode in ("1", "L", "P") else 4


def _decoding_bytes(image: Any) -> int:
    """Bytes of a pixel that the format's own library has in memory beside it, until all are read."""
    if image.format == "WEBP":
        return 4
    # Two bytes per channel until the last scan.
    return 2 * len(image.getbands()) if image.format == "JPEG" and image.info.get("progressive") else 0


def _pixels(image: Any, mode: str, size: tuple[int, int] | None) -> Array:
    """A picture's pixels, 0 to 255, upright, in the mode and (height, width) asked for."""
    from PIL import Image, ImageOps

    # In place, and converted only where it has to be: each copy takes as much memory as the picture.
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode != mode:
        image = image.convert(mode)
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _normalized(pixels: Array, config: InputConfig) -> Array:
    """(pixel * scale - mean) / std, as far as the registry entry has them."""
    if config.scale is None and not config.mean and not config.std:
        return pixels
    values = np.multiply(pixels, np.float32(1 if config.scale is None else config.scale), dtype=np.float32)
    channels = (-1, 1, 1) if config.layout == "NCHW" else -1
    if config.mean:
        values -= np.array(config.mean, np.float32).reshape(channels)
    if config.std:
        values /= np.array(config.std, np.float32).reshape(channels)
    return values


def _open_image(body: bytes, limits: Limits) -> Any:
    """The picture, its pixels not yet read, if it has not too many of them and they are of 8 bits per channel."""
    image = _image_file(body, limits)
    if image.width * image.height > limits.pixels:
        raise TooLargeError(f"{image.width} x {image.height} pixels; an image may have {limits.pixels} (limits.pixels)")
    if image.mode[0] in "IF":
        raise UnsupportedInputError(f"an image with more than 8 bits per channel (Pillow's mode {image.mode})")
    return image


def _image_file(body: bytes, limits: Limits) -> Any:
    """Pillow's reader of a picture; only its part for the format is imported and can be attacked."""
    file = io.BytesIO(body)
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(file)
    if body.startswith(b"\xff\xd8\xff"):
        if body.count(b"\xff\xda") > _MAX_SCANS:
            raise TooLargeError(f"a JPEG of more than {_MAX_SCANS} scans")
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile(file)
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        from PIL import Image
        from PIL.WebPImagePlugin import WebPImageFile

        # It allocates the pixels at once, and before that Pillow warns of more than so many and refuses twice as many.
        Image.MAX_IMAGE_PIXELS = (limits.pixels + 1) // 2
        try:
            with warnings.catch_warnings(action="ignore"):
                return WebPImageFile(file)
        except Image.DecompressionBombError as error:
            most = limits.pixels
            raise TooLargeError(f"more than {most} pixels; an image may have {most} (limits.pixels)") from error
    raise DecodeError("not an image: its content is neither PNG nor JPEG nor WebP")


_BY_SUFFIX: dict[str, Decoder] = {".json": _json, ".jsonl": _json_lines, ".csv": _csv, ".npy": _npy, ".npz": _npz}
_BY_FORMAT: dict[str, Decoder] = {
    "json": _json,
    "csv": _csv,
    "npy": _numpy,
    "image": _image,
    "text": _text,
    "raw": _raw,
}
