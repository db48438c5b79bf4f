"""Compressed objects, of any format."""

import gzip
import io
import zlib

from inference.errors import DecodeError, TooLargeError
from inference.limits import Limits

#: Bytes that are decompressed at once.
_PART_BYTES = 2**20


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
            # In parts, since a read allocates at once as much as it is asked for.
            while part := file.read(_PART_BYTES):
                total += len(part)
                if total > most:
                    raise TooLargeError(f"it decompresses to more than {most} bytes (limits.decompressed_bytes)")
                parts.append(part)
    except (EOFError, OSError, zlib.error) as error:
        raise DecodeError(f"not valid gzip: {error}") from error
    return b"".join(parts)
