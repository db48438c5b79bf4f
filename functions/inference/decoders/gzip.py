"""Compressed objects, of any format."""

import gzip
import io
import zlib

from inference.errors import DecodeError, TooLargeError, UnsupportedInputError
from inference.limits import Limits

#: Bytes that are decompressed at a time.
_PART_BYTES = 2**20

_GZIP = ("gzip", "x-gzip")

#: HTTP content codings that are not decoded here. Any other value is not a coding and changes nothing: `aws-chunked` is
#: how an SDK sent the object, and `utf-8` and `base64` are often set by mistake.
#: https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding
_UNREADABLE = ("br", "compress", "dcb", "dcz", "deflate", "exi", "pack200-gzip", "x-compress", "zstd")


def content(body: bytes, encoding: str, limits: Limits, *, is_gz: bool) -> bytes:
    """The content of an object that has a `Content-Encoding`, or whose key ends in `.gz` (`is_gz`).

    An object with both is decompressed a second time only if it is still gzip after the first: most are compressed
    once.

    Raises:
        UnsupportedInputError: it has an encoding other than gzip, or several.
        TooLargeError: it holds more than `limits.decompressed_bytes`.
        DecodeError: it is not a gzip file.
    """
    codings = [coding for part in encoding.split(",") if (coding := part.strip().lower()) in _GZIP + _UNREADABLE]
    if codings and (len(codings) > 1 or codings[0] not in _GZIP):
        raise UnsupportedInputError(
            f"its Content-Encoding is {encoding[:80]}: upload it without one, or compress it with gzip, once"
        )
    if codings:
        try:
            body = decompress(body, limits)
        except DecodeError as error:
            raise DecodeError(f"its Content-Encoding is {encoding[:80]}, but it is {error}") from error
    if is_gz and (not codings or body.startswith(b"\x1f\x8b")):
        body = decompress(body, limits)
    return body


def decompress(body: bytes, limits: Limits) -> bytes:
    """The bytes that a gzip file holds.

    Raises:
        TooLargeError: they are more than `limits.decompressed_bytes`.
        DecodeError: it is not a gzip file.
    """
    most = limits.decompressed_bytes
    parts, total = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            # In parts, since a read allocates its whole size in advance.
            while part := file.read(_PART_BYTES):
                total += len(part)
                if total > most:
                    raise TooLargeError(f"it decompresses to more than {most} bytes (limits.decompressed_bytes)")
                parts.append(part)
    except (EOFError, OSError, zlib.error) as error:
        raise DecodeError(f"not valid gzip: {error}") from error
    return b"".join(parts)
