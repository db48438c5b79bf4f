"""PNG files: every checksum is verified, and Pillow gets only the chunks that make up the pixels.

https://www.w3.org/TR/png-3/
"""

import io
import struct
import zlib
from collections.abc import Iterator

from PIL.PngImagePlugin import PngImageFile

from inference.decoders.picture import Picture, orientation
from inference.errors import DecodeError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: The number of samples of a transparent colour, by colour type: grey; red, green and blue.
_SAMPLES = {0: 1, 2: 3}
_PALETTE = 3

#: For 16 bits per channel: Pillow's name for the high bytes, and the one that gives the low bytes.
_LOW_BYTES = {"L;16B": "L;16", "RGB;16B": "RGB;16L"}

#: The keywords of texts in which ImageMagick and Adobe's programs store metadata.
_RAW_EXIF, _XMP = b"Raw profile type exif", b"XML:com.adobe.xmp"

#: The most bytes of one of them that are read.
_MAX_TEXT = 2**20


class _Png(PngImageFile):
    """A PNG of 8 bits per channel; Pillow reads no chunk after the pixels."""

    def load_end(self) -> None:
        """Skip the rest of the file."""

    def read_from(self, body: bytes, start: int, *, low: bool) -> None:
        """Set where the pixels are; for 16 bits per channel, `low` selects the low bytes."""
        (tile,) = self.tile
        rawmode = str(tile.args)
        if self.mode == "I;16":
            self._mode, rawmode = "L", "L;16B"
        self.tile = [tile._replace(offset=start, args=_LOW_BYTES[rawmode] if low else rawmode)]
        # Without a copy of the pixels.
        self.fp = io.BytesIO(body)
        if self.png is not None:
            self.png.fp = self.fp


def open_png(body: bytes) -> Picture:
    """A picture with its pixels still unread; of an animated one, the picture that other programs show.

    Raises:
        DecodeError: it is damaged or cut off.
        SyntaxError, ValueError: it is not a PNG that Pillow reads.
    """
    kept: dict[bytes, bytes] = {}
    texts: dict[bytes, bytes] = {}
    exif, pixels = None, 0
    for name, start, end in _chunks(body):
        if name == b"IDAT":
            pixels = pixels or start
        elif name in (b"IHDR", b"PLTE", b"tRNS") and not pixels:
            kept.setdefault(name, body[start - 8 : end + 4])
        elif name == b"eXIf":
            exif = body[start:end]
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            keyword = body[start : min(end, start + 80)].partition(b"\0")[0]
            if keyword in (_RAW_EXIF, _XMP) and keyword not in texts:
                texts[keyword] = _text(name, body[start + len(keyword) + 1 : end])
    if not pixels:
        raise DecodeError("cannot be decoded: the PNG is cut off before its pixels")
    header = kept.get(b"IHDR", b"")
    palette = kept.get(b"PLTE", b"") + kept.get(b"tRNS", b"") if header[17:18] == bytes((_PALETTE,)) else b""
    head = _SIGNATURE + header + palette + body[pixels - 8 : pixels]

    def image(*, low: bool = False) -> _Png:
        opened = _Png(io.BytesIO(head))
        opened.read_from(body, pixels, low=low)
        return opened

    picture = Picture(image(), orientation(exif or _raw_exif(texts.get(_RAW_EXIF, b"")), texts.get(_XMP)))
    depth, samples = header[16], _SAMPLES.get(header[17])
    if samples and b"tRNS" in kept:
        colour = _transparent(kept[b"tRNS"][8:-4], samples)
        if depth == 16:
            picture.low_bytes, picture.transparent = image(low=True), colour
        else:
            # The number of bits per sample.
            most = 2**depth - 1
            colour = tuple((sample & most) * (255 // most) for sample in colour)
            picture.image.info["transparency"] = colour if samples > 1 else colour[0]
    return picture


def _chunks(body: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG up to its end: the name of each, and where its data start and end.

    Raises:
        DecodeError: a chunk is cut off or has a wrong checksum.
    """
    view, end, name = memoryview(body), len(_SIGNATURE) - 4, b""
    while end + 16 <= len(body) and name != b"IEND":
        start = end + 12
        name, end = body[start - 4 : start], start + int.from_bytes(view[start - 8 : start - 4], "big")
        if end + 4 > len(body):
            raise DecodeError(f"cannot be decoded: the PNG is cut off in its chunk {_quoted(name)}")
        if zlib.crc32(view[start - 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise DecodeError(
                f"cannot be decoded: the PNG is damaged: the checksum of its chunk {_quoted(name)} is wrong"
            )
        yield name, start, end


def _quoted(name: bytes) -> str:
    return name.decode("ascii", "backslashreplace")


def _transparent(data: bytes, samples: int) -> tuple[int, ...]:
    if len(data) < 2 * samples:
        raise DecodeError("cannot be decoded: the PNG's chunk tRNS is too short")
    return struct.unpack_from(f">{samples}H", data)


def _text(name: bytes, data: bytes) -> bytes:
    """The text after the keyword of a chunk; empty if it is broken."""
    packed = name == b"zTXt" or (name == b"iTXt" and data[:1] == b"\1")
    if name == b"zTXt":
        data = data[1:]
    elif name == b"iTXt":
        # After two flags, the language and the translated keyword.
        data = data[2:].partition(b"\0")[2].partition(b"\0")[2]
    try:
        return zlib.decompressobj().decompress(data, _MAX_TEXT) if packed else data[:_MAX_TEXT]
    except zlib.error:
        return b""


def _raw_exif(text: bytes) -> bytes:
    """EXIF data from a text that has them in hex, after lines with their name and length."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("latin-1"))
    except ValueError:
        return b""
