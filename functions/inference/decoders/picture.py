"""A picture as stored in its file, before it is made to fit a model; Pillow reads only the pixels.

Pillow would parse all metadata of a file, and refuse a picture with intact pixels because of a long text or broken EXIF
data. So it gets only what makes up the pixels; the orientation is read here.
"""

import re
import struct
from dataclasses import dataclass
from typing import Any

#: The start of EXIF data in a JPEG; some programs write it twice, or in other formats.
EXIF = b"Exif\0\0"

_ORIENTATION = 0x0112

#: The format of an EXIF value by the type of its field. It should be a short, but other integers occur.
_INTEGERS = {3: "H", 4: "I", 8: "h", 9: "i"}

_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


@dataclass
class Picture:
    """A picture whose pixels are still unread."""

    #: Pillow's image, with 8 bits per channel; a transparent colour or palette is in its `info`.
    image: Any
    #: The orientation, 1 to 8 as in EXIF data.
    orientation: int = 1
    #: For 16 bits per channel with a transparent colour: an image of the low bytes, and that colour.
    low_bytes: Any = None
    transparent: tuple[int, ...] = ()

    @property
    def has_alpha(self) -> bool:
        """Whether the file says anything about transparency."""
        return bool(self.image.mode in ("LA", "RGBA") or "transparency" in self.image.info or self.transparent)

    def upright(self, *, alpha: bool) -> Any:
        """Read the pixels, and turn the picture upright.

        Args:
            alpha: whether transparency, if there is any, becomes a channel; otherwise transparent pixels have their
                stored colour.
        """
        image = self.image
        image.load()
        if alpha and self.transparent:
            image = self._with_alpha()
        elif alpha and self.has_alpha:
            image = converted(image, "RGBA")
        else:
            # Otherwise Pillow would convert the transparent colour as well.
            image.info.pop("transparency", None)
        if self.orientation == 1:
            return image
        from PIL import Image

        turn = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_270,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90,
        }[self.orientation]
        return _instead(image, image.transpose(turn))

    def _with_alpha(self) -> Any:
        """The pixels with an alpha channel, which is 0 where all 16 bits of each channel are those of the colour."""
        from PIL import ImageChops

        opaque = None
        for channel, sample in enumerate(self.transparent):
            for image, byte in ((self.image, sample >> 8), (self.low_bytes, sample & 255)):
                differs = image.getchannel(channel).point([0 if value == byte else 255 for value in range(256)])
                opaque = differs if opaque is None else ImageChops.lighter(opaque, differs)
        self.low_bytes.close()
        image = converted(self.image, "RGBA")
        image.putalpha(opaque)
        return image


def converted(image: Any, mode: str) -> Any:
    """An image in another mode; the original is freed."""
    return image if image.mode == mode else _instead(image, image.convert(mode))


def _instead(old: Any, new: Any) -> Any:
    # Free its pixels explicitly, since it is part of a reference cycle.
    old.close()
    return new


def orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """The orientation of a picture, 1 to 8; 1 if its metadata do not give it or are broken."""
    turned = _from_exif(exif or b"")
    if turned not in range(1, 9):
        found = _XMP_ORIENTATION.search(xmp or b"")
        turned = int(found[1]) if found else 1
    return turned


def _from_exif(exif: bytes) -> int:
    """The orientation in the first directory of EXIF data, which has the form of a TIFF file; 0 if there is none."""
    data = exif.removeprefix(EXIF).removeprefix(EXIF)
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    try:
        if order is not None:
            (start,) = struct.unpack_from(f"{order}I", data, 4)
            (count,) = struct.unpack_from(f"{order}H", data, start)
            for index in range(count):
                tag, kind, number, value = struct.unpack_from(f"{order}HHI4s", data, start + 2 + 12 * index)
                if tag == _ORIENTATION and kind in _INTEGERS and number == 1:
                    return int(struct.unpack_from(order + _INTEGERS[kind], value)[0])
    except struct.error:
        pass  # It is cut off.
    return 0
