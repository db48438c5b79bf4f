"""Valid objects of every kind, and messages: what fuzz tests begin with."""

import gzip
import io
import json
import struct
import zipfile
from typing import Any

import numpy as np
from PIL import Image

from unit.functions.s3_events import eventbridge, notification


def npy(array: Any) -> bytes:
    """An .npy file."""
    file = io.BytesIO()
    np.save(file, np.asarray(array), allow_pickle=False)
    return file.getvalue()


def npy_header(text: str, data: bytes = b"") -> bytes:
    """An .npy file whose header says what it likes."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin-1") + data


def picture(image_format: str, mode: str = "RGB", size: tuple[int, int] = (9, 7), **options: Any) -> bytes:
    """A picture that is not of one colour."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(7).integers(0, 2 if mode == "1" else 256, (size[1], size[0], channels), np.uint8)
    image = Image.fromarray(pixels.squeeze(), "L" if channels == 1 else mode)
    file = io.BytesIO()
    image.convert(mode).save(file, image_format, **options)
    return file.getvalue()


def moving(image_format: str) -> bytes:
    """A picture of three frames."""
    frames = [Image.new("RGB", (9, 7), (50 * number, 7, 0)) for number in range(3)]
    return picture(image_format, save_all=True, append_images=frames)


def archive(compression: int = zipfile.ZIP_DEFLATED, **arrays: Any) -> bytes:
    """An .npz file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as members:
        for name, array in arrays.items():
            members.writestr(f"{name}.npy", npy(array))
    return file.getvalue()


JSON = (
    b"[1, 2.5, -3e2]",
    b'{"instances": [[1, 2, 3], [4, 5, 6]]}',
    b'{"inputs": {"a": [0.5, 1.5], "b": [[1], [2]]}}',
    b'{"instances": [{"a": 1, "b": [7]}, {"a": 2, "b": [8]}]}',
    b'["one", {"b64": "dHdv"}, "\\u00fc\\ud83d\\ude00"]',
    b"[[true, false], [false, true]]",
)
CSV = (b"1,2,3\n4,5,6.5\r\n", b"b,id,a\n1,x,0.5\n2,y,1.5\n", b'"o,ne"\n"tw""o"\n', b"7,-8\n1e3,9\n")
PNG = (
    *(picture("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
    picture("PNG", optimize=True),
    picture("PNG", transparency=(1, 2, 3), dpi=(72, 72)),
    moving("PNG"),
)
JPEG = (
    *(picture("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    picture("JPEG", progressive=True),
    picture(
        "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    ),
)
WEBP = (picture("WEBP"), picture("WEBP", lossless=True), picture("WEBP", "RGBA"), moving("WEBP"))
NPY = (
    *(npy(np.arange(6, dtype=kind).reshape(2, 3)) for kind in ("<f4", ">f8", "<i2", "u1", "<f2", ">u8", "<f16")),
    npy(np.array([[True, False]])),
    npy(np.asfortranarray([[1.0, 2, 3], [4, 5, 6]])),
)
NPZ = (
    archive(x=[[1.0, 2, 3]]),
    archive(a=[0.5, 1.5], b=[[1], [2]]),
    *(archive(compression, x=[1.0, 2, 3]) for compression in (zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)),
)
#: By key: the input format of the model, and valid objects for one of the models.
VALID: dict[str, tuple[str, tuple[bytes, ...]]] = {
    "a.json": ("json", JSON),
    "a.jsonl": ("json", (b"[1, 2, 3]\n\n[4, 5, 6]\n", b'"one"\n"two"\n', b'{"a": 1, "b": [2]}\n')),
    "a.csv": ("csv", CSV),
    "a.npy": ("json", NPY),
    "a.npz": ("json", NPZ),
    "a.png": ("image", (*PNG, *JPEG, *WEBP)),
    "a.array": ("npy", (NPY[0], NPZ[0])),
    "a.txt": ("text", (b"one\r\ntwo\n", b"\xef\xbb\xbf" + "\u00fc \U0001f600".encode())),
    "a.bin": ("raw", (bytes(range(64)), b"RIFF")),
    "a.json.gz": ("json", tuple(gzip.compress(body) for body in JSON)),
    "a.npy.gz": ("json", (gzip.compress(NPY[0][:60]) + gzip.compress(NPY[0][60:]),)),
}

EVENTS = (
    notification("digits/a+b.png"),
    eventbridge("digits/ü.png"),
    json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inputs"}),
)
