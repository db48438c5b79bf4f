"""Turns an object's bytes into arrays: by the suffix of its key if that names a format, else by `input.format`.

Each format has a module here, which is imported for the first object of that format.
"""

import importlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import cast

from inference.config import InputConfig
from inference.errors import DecodeError, EmptyInputError, InputError, ServiceError, UnsupportedInputError
from inference.limits import Limits
from inference.runtimes import Specs
from inference.tensors import Instances

Decoder = Callable[[bytes, InputConfig, Specs], Instances]

#: The decoder of a suffix and of a format of the registry, by its module here and its name.
_DECODERS = {
    ".json": "json.decode",
    ".jsonl": "json.decode_lines",
    ".csv": "csv.decode",
    ".npy": "npy.decode_npy",
    ".npz": "npy.decode_npz",
    "json": "json.decode",
    "csv": "csv.decode",
    "npy": "npy.decode",
    "image": "image.decode",
    "text": "text.decode",
    "raw": "text.decode_raw",
}

#: These say only that the model must accept images, or bytes; the content says which kind of image it is.
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def decode(
    key: str,
    body: bytes,
    config: InputConfig,
    specs: Specs,
    preprocess: Callable[[bytes, str], Instances] | None = None,
    *,
    encoding: str = "",
) -> Instances:
    """Turn an object into instances for the model's inputs; `preprocess` is the model's own way of doing so.

    `encoding` is the object's `Content-Encoding`.

    Raises:
        InputError: what is wrong with it.
        ModelError: the model's registry entry does not fit its signature, or its own way failed.
    """
    if preprocess is not None:
        return preprocess(content(key, body, config.limits, encoding), key)
    decoder = _choose(key, config.format)
    body = content(key, body, config.limits, encoding)
    try:
        return decoder(body, config, specs)
    except (InputError, ServiceError, MemoryError, ImportError):
        raise
    except Exception as error:
        # The library is there and memory suffices, so the bytes are at fault: trying again would not help.
        raise DecodeError(f"cannot be decoded: {type(error).__name__}: {error}") from error


def content(key: str, body: bytes, limits: Limits, encoding: str = "") -> bytes:
    """What an object holds: its bytes, decompressed where its `Content-Encoding` or the end of its key says so.

    Raises:
        InputError: it is empty, holds too much, or cannot be decompressed.
    """
    is_gz = key.lower().endswith(".gz")
    if encoding or is_gz:
        from inference.decoders import gzip

        body = gzip.content(body, encoding, limits, is_gz=is_gz)
    if not body:
        raise EmptyInputError("the object is empty")
    return body


def _choose(key: str, input_format: str) -> Decoder:
    """The decoder for a key."""
    suffix = PurePosixPath(key.lower().removesuffix(".gz")).suffix
    if suffix in _IMAGE_SUFFIXES and input_format not in ("image", "raw"):
        raise UnsupportedInputError(f"an image ({suffix}), but this model takes {input_format}")
    module, name = (_DECODERS.get(suffix) or _DECODERS[input_format]).split(".")
    return cast(Decoder, getattr(importlib.import_module(f"{__name__}.{module}"), name))
