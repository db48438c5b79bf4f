"""Decodes an object's bytes into arrays, by the suffix of its key if that names a format, otherwise by `input.format`.

Each format has a module here, which is imported for the first object of that format.
"""

import importlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import cast

from inference.config import InputConfig
from inference.errors import (
    DecodeError,
    EmptyInputError,
    InputError,
    ServiceError,
    ShapeError,
    UnsupportedInputError,
)
from inference.limits import Limits
from inference.runtimes import Specs
from inference.tensors import Instances

Decoder = Callable[[bytes, InputConfig, Specs], Instances]

#: The decoder for each suffix and each format of the registry: its module here and its name.
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

#: These say only that the model must accept images, or bytes; the content shows which kind of image it is.
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

#: The most characters of a suffix in a message: what follows the last dot of a key may be a sentence.
_LONGEST_SUFFIX = 20


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
    except (DecodeError, ShapeError, UnsupportedInputError) as error:
        raise type(error)(f"{_reason(key, config.format, error)}{error}") from error
    except (InputError, ServiceError, MemoryError, ImportError):
        raise
    except Exception as error:
        # The library is present and there is enough memory, so the bytes are at fault and a retry would not help.
        reason = _reason(key, config.format, error)
        raise DecodeError(f"{reason}cannot be decoded: {type(error).__name__}: {error}") from error


def content(key: str, body: bytes, limits: Limits, encoding: str = "") -> bytes:
    """An object's content: its bytes, decompressed if its `Content-Encoding` or the end of its key says so.

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


def selects(key: str) -> bool:
    """Whether the suffix of a key selects its decoder, whatever `input.format` is."""
    return _suffix(key) in _DECODERS


def _choose(key: str, input_format: str) -> Decoder:
    """The decoder for a key."""
    suffix = _suffix(key)
    if suffix in _IMAGE_SUFFIXES and input_format not in ("image", "raw"):
        raise UnsupportedInputError(f"an image ({suffix}), but this model takes {input_format} (input.format)")
    module, name = (_DECODERS.get(suffix) or _DECODERS[input_format]).split(".")
    return cast(Decoder, getattr(importlib.import_module(f"{__name__}.{module}"), name))


def _suffix(key: str) -> str:
    return PurePosixPath(key.lower().removesuffix(".gz")).suffix


def _reason(key: str, input_format: str, error: Exception) -> str:
    """How the format was chosen, for the start of an error; empty if the suffix and the registry entry agree.

    A shape depends on the format only if the suffix selected another one than the registry entry names.
    """
    suffix = _suffix(key)
    named = _DECODERS.get(suffix, "").partition(".")[0]
    if named and named != input_format:
        return f"read as {named} because of its suffix {suffix}, although the model's input.format is {input_format}: "
    if named or suffix in _IMAGE_SUFFIXES or isinstance(error, ShapeError):
        return ""
    says_nothing = f"{suffix[:_LONGEST_SUFFIX]} does not name a format" if suffix else "it has no suffix"
    return f"read as {input_format}, which is the model's input.format ({says_nothing}): "
