"""JPEG files."""

import io
import itertools
import re
from collections.abc import Iterator

from PIL.JpegImagePlugin import JpegImageFile

from inference.decoders.picture import EXIF, Picture, orientation
from inference.errors import TooLargeError

#: The most scans, each of which is a pass over all pixels; cameras and programs write about ten.
_MAX_SCANS = 100

_XMP = b"http://ns.adobe.com/xap/1.0/\0"

#: A marker that begins a segment, or the end of the picture. https://www.w3.org/Graphics/JPEG/itu-t81.pdf (B.1.1.3)
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_END, _SCAN, _FIRST_APPLICATION, _EXIF, _LAST_APPLICATION, _COMMENT = 0xD9, 0xDA, 0xE0, 0xE1, 0xEF, 0xFE


def open_jpeg(body: bytes) -> Picture:
    """A picture with its pixels still unread.

    Raises:
        TooLargeError: it has too many scans.
        SyntaxError, OSError: it is not a JPEG that Pillow reads.
    """
    segments = _segments(body)
    head, exif, xmp = [body[:2]], b"", b""
    for marker, start, end in segments:
        if not (_FIRST_APPLICATION <= marker <= _LAST_APPLICATION or marker == _COMMENT):
            head.append(body[start:end])
        elif marker == _EXIF and body.startswith(EXIF, start + 4):
            # Data beyond 64 KB continue in other segments, but the orientation is in the first one.
            exif = exif or body[start + 4 : end]
        elif marker == _EXIF and body.startswith(_XMP, start + 4):
            xmp = xmp or body[start + 4 : end]
        if marker == _SCAN:
            break
    # Counting the bytes is fast. A high count may be of scans, or of bytes in metadata or after the picture's end.
    if body.count(bytes((0xFF, _SCAN))) > _MAX_SCANS:
        others = (None for marker, _, _ in segments if marker == _SCAN)
        if len(list(itertools.islice(others, _MAX_SCANS))) == _MAX_SCANS:
            raise TooLargeError(f"a JPEG with more than {_MAX_SCANS} scans")
    image = JpegImageFile(io.BytesIO(b"".join(head)))
    # The decoder gets the file from its beginning, without a copy, and skips its metadata.
    image.fp = io.BytesIO(body)
    return Picture(image, orientation(exif, xmp))


def _segments(body: bytes) -> Iterator[tuple[int, int, int]]:
    """The segments of a picture, up to its end: the marker of each, where it starts, and where it ends.

    Bytes between segments, such as the pixels after a scan's header, are skipped, as in libjpeg.
    """
    end = 2
    while (found := _MARKER.search(body, end)) and body[found.start() + 1] != _END:
        start = found.start()
        end = start + 2 + max(2, int.from_bytes(body[start + 2 : start + 4], "big"))
        yield body[start + 1], start, end
