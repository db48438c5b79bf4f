"""Images: PNG, JPEG and WebP, made to fit a model."""

import numpy as np

from inference import tensors
from inference.config import InputConfig
from inference.decoders.picture import Picture, converted
from inference.errors import DecodeError, ModelError, TooLargeError
from inference.limits import Limits
from inference.rows import Rows, are_stacked, fixed_rows, rows_of
from inference.runtimes import Array, Specs, TensorSpec
from inference.tensors import Instances

#: Images that the function does not read, by their first bytes, and by the brand in their header.
_OTHER_KINDS = {b"GIF8": "a GIF", b"II*\0": "a TIFF", b"MM\0*": "a TIFF"}
_BRANDS = {b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIF", b"avif": "an AVIF"}


def decode(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """One picture as (height, width, channels), or as (height, width) if the signature has no channels.

    With the layout NCHW it is (channels, height, width).
    """
    mode, size = _mode_and_size(config, specs)
    spec = specs[0]
    picture = _open(body, config.limits)
    image = picture.image
    height, width = size or (image.height, image.width)
    is_scaled = bool(config.scale is not None or config.mean or config.std)
    is_float = is_scaled or config.resample == "keras"
    alpha = picture.has_alpha and (mode == "RGBA" or config.background is not None)
    # The original picture, the scaled pixels and the tensor: the largest of them must fit.
    pixel = max(_pixel_bytes(image.mode), _pixel_bytes("RGBA" if alpha else mode)) + _decoding_bytes(picture, alpha)
    tensors.check_size(image.width * image.height * pixel)
    tensors.check_size(height * width * len(mode) * max(4 if is_float else 1, spec.dtype.itemsize))
    pixels = _pixels(picture, mode, size, config)
    # Free its decoder as well: the tensor may need as much memory again.
    del image, picture
    if pixels.dtype.kind == "f" and not is_scaled and spec.stored.kind in "iu":
        pixels = np.rint(pixels).astype(np.uint8)
    if spec.instance is None or len(spec.instance) == 3:
        pixels = pixels.reshape(*pixels.shape[:2], len(mode))
        pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1)) if config.layout == "NCHW" else pixels
    try:
        return tensors.stack({spec.name: _normalized(pixels, spec, config)}, specs, config)
    except DecodeError as error:
        raise ModelError(f"pixels are out of range once input.scale, mean and std are applied: {error}") from error


def _mode_and_size(config: InputConfig, specs: Specs) -> tuple[str, tuple[int, int] | None]:
    """The mode and the (height, width) of the pictures that a model accepts; None: as in the file.

    Raises:
        ModelError: the registry entry and the signature contradict each other.
    """
    independent = rows_of(specs, config.batch.rows) is Rows.INDEPENDENT
    if len(specs) != 1 or not are_stacked(specs) or not (independent or fixed_rows(specs) in (None, 1)):
        raise ModelError(
            "input.format image needs a signature with one input that takes one image per call; for a batch of another "
            "fixed length, set batch.rows if its images are independent"
        )
    spec = specs[0]
    height, width, channels = _dimensions(spec, config)
    mode = config.mode or {1: "L", 4: "RGBA"}.get(channels or 3, "RGB")
    takes = f"but the model's input {spec.name} takes"
    if channels not in (None, len(mode)):
        raise ModelError(f"input.mode is {mode}, {takes} {channels} channels")
    if config.background is not None and mode == "RGBA":
        raise ModelError(
            "input.background is set, but the model takes RGBA, where transparency is a channel: leave it out"
        )
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
            "input.format image needs an input of height, width and channels, but the model's input "
            f"{spec.name} has {len(instance)} dimensions"
        )
    if len(instance) == 2:
        return instance[0], instance[1], 1
    height, width, channels = (*instance[1:], instance[0]) if config.layout == "NCHW" else instance
    if channels not in (None, 1, 3, 4):
        raise ModelError(
            f"an image has 1, 3 or 4 channels, but with input.layout {config.layout} the model's input {spec.name}, "
            f"{list(instance)}, has {channels}"
        )
    return height, width, channels


def _pixel_bytes(mode: str) -> int:
    """Bytes per pixel of Pillow's representation in memory."""
    return 1 if mode in ("1", "L", "P") else 4


def _decoding_bytes(picture: Picture, alpha: bool) -> int:
    """Additional bytes per pixel until all are read, or until they have an alpha channel."""
    image = picture.image
    if picture.transparent and alpha:
        return 2 * _pixel_bytes(image.mode)
    if image.format == "WEBP":
        return 4
    # libjpeg keeps two bytes per channel until the last scan.
    return 2 * len(image.getbands()) if image.format == "JPEG" and image.info.get("progressive") else 0


def _pixels(picture: Picture, mode: str, size: tuple[int, int] | None, config: InputConfig) -> Array:
    """A picture's pixels, 0 to 255, upright, in the requested mode and (height, width)."""
    # Each copy takes as much memory as the picture, so the previous one is freed.
    image = picture.upright(alpha=mode == "RGBA" or config.background is not None)
    if config.background is not None and image.mode == "RGBA":
        from PIL import Image

        canvas = Image.new("RGB", image.size, config.background)
        canvas.paste(image, mask=image)
        image.close()
        image = canvas
    image = converted(image, mode)
    if size is None or (image.height, image.width) == size:
        pixels = np.asarray(image)
    elif config.resample == "keras":
        from inference.decoders.resampling import bilinear

        pixels = bilinear(image, *size)
    else:
        from PIL import Image

        pixels = np.asarray(image.resize((size[1], size[0]), Image.Resampling[config.resample.upper()]))
    image.close()
    return pixels


def _normalized(pixels: Array, spec: TensorSpec, config: InputConfig) -> Array:
    """(pixel * scale - mean) / std, with those that the registry entry has.

    Without any of them, 128 is subtracted for an int8 input, which cannot hold 255: converters map uint8 to int8 this
    way.
    https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
    """
    if config.scale is None and not config.mean and not config.std:
        return (pixels ^ 0x80).view(np.int8) if spec.stored == np.int8 else pixels
    values = np.multiply(pixels, np.float32(1 if config.scale is None else config.scale), dtype=np.float32)
    channels = (-1, 1, 1) if config.layout == "NCHW" else -1
    if config.mean:
        values -= np.array(config.mean, np.float32).reshape(channels)
    if config.std:
        values /= np.array(config.std, np.float32).reshape(channels)
    return values


def _open(body: bytes, limits: Limits) -> Picture:
    """A picture with its pixels still unread, unless there are too many; only the code for its format is imported."""
    picture: Picture
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        from inference.decoders.png import open_png

        picture = open_png(body)
    elif body.startswith(b"\xff\xd8\xff"):
        from inference.decoders.jpeg import open_jpeg

        picture = open_jpeg(body)
    elif body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        from inference.decoders.webp import open_webp

        picture = open_webp(body, limits.pixels)
    else:
        kind = _other_kind(body)
        raise DecodeError(
            f"{kind}, which is not PNG, JPEG or WebP: convert it to one of these and upload it again"
            if kind
            else "not an image: its content is not PNG, JPEG or WebP"
        )
    width, height = picture.image.size
    if width * height > limits.pixels:
        raise TooLargeError(f"{width} x {height} pixels; an image may have at most {limits.pixels} (limits.pixels)")
    return picture


def _other_kind(body: bytes) -> str | None:
    """The format of a picture that the function does not read, if recognized; phones and scanners make such files."""
    if body[4:8] == b"ftyp":
        return _BRANDS.get(body[8:12])
    return next((kind for begin, kind in _OTHER_KINDS.items() if body.startswith(begin)), None)
