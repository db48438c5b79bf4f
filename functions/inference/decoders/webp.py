"""WebP files."""

import io
import warnings

from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile

from inference.decoders.picture import Picture, orientation
from inference.errors import TooLargeError


def open_webp(body: bytes, max_pixels: int) -> Picture:
    """A picture with its pixels still unread; of an animated one, the first frame.

    Raises:
        TooLargeError: it has more than twice as many pixels as are allowed.
        SyntaxError, OSError: it is not a WebP file that Pillow reads.
    """
    # Pillow allocates all pixels up front. Before that, it warns about more pixels than this and refuses more than
    # twice as many.
    Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2
    try:
        with warnings.catch_warnings(action="ignore"):
            image = WebPImageFile(io.BytesIO(body))
    except Image.DecompressionBombError as error:
        raise TooLargeError(
            f"more than {max_pixels} pixels; an image may have at most {max_pixels} (limits.pixels)"
        ) from error
    return Picture(image, orientation(image.info.get("exif"), image.info.get("xmp")))
