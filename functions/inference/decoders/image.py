"""Images as Pillow opens them: PNG, JPEG and WebP."""

import io
import warnings
from typing import Any

import numpy as np

from inference import tensors
from inference.config import InputConfig
from inference.errors import DecodeError, ModelError, TooLargeError, UnsupportedInputError
from inference.limits import Limits
from inference.rows import Rows, are_stacked, fixed_rows, rows_of
from inference.runtimes import Array, Specs, TensorSpec
from inference.tensors import Instances

#: Passes over all pixels of a JPEG, each of which takes its time; cameras and programs write about ten.
_MAX_SCANS = 100


def decode(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """One picture as (height, width, channels), or as (height, width) where the signature has no channels.

    With the layout NCHW it is (channels, height, width).
    """
    mode, size = _mode_and_size(config, specs)
    spec = specs[0]
    image = _open_image(body, config.limits)
    height, width = size or (image.height, image.width)
    scaled = np.dtype(np.float32 if config.scale is not None or config.mean or config.std else np.uint8)
    # The picture as it is, as scaled pixels and as the tensor: the largest of them has to fit.
    pixel = max(_pixel_bytes(image.mode), _pixel_bytes(mode)) + _decoding_bytes(image)
    tensors.check_size(image.width * image.height * pixel)
    tensors.check_size(height * width * len(mode) * max(scaled.itemsize, spec.dtype.itemsize))
    pixels = _pixels(image, mode, size)
    # Free its pixels explicitly, since it is part of a reference cycle, and its decoder: the tensor may take as much
    # memory again.
    image.close()
    del image
    if spec.instance is None or len(spec.instance) == 3:
        pixels = pixels.reshape(*pixels.shape[:2], len(mode))
        pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1)) if config.layout == "NCHW" else pixels
    try:
        return tensors.stack({spec.name: _normalized(pixels, spec, config)}, specs, config)
    except DecodeError as error:
        raise ModelError(f"pixels do not fit once input.scale, mean and std are applied: {error}") from error


def _mode_and_size(config: InputConfig, specs: Specs) -> tuple[str, tuple[int, int] | None]:
    """The mode and the (height, width), None where it stays, of the pictures that a model takes.

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
            "input.format image fits an input of height, width and channels; the model's input "
            f"{spec.name} has {len(instance)} dimensions"
        )
    if len(instance) == 2:
        return instance[0], instance[1], 1
    height, width, channels = (*instance[1:], instance[0]) if config.layout == "NCHW" else instance
    if channels not in (None, 1, 3, 4):
        raise ModelError(
            f"an image has 1, 3 or 4 channels, and with input.layout {config.layout} the model's input {spec.name}, "
            f"{list(instance)}, has {channels}"
        )
    return height, width, channels


def _pixel_bytes(mode: str) -> int:
    """Bytes of a pixel as Pillow has it in memory."""
    return 1 if mode in ("1", "L", "P") else 4


def _decoding_bytes(image: Any) -> int:
    """Bytes of a pixel that the format's own library has in memory beside it, until all are read."""
    if image.format == "WEBP":
        return 4
    # Two bytes per channel until the last scan.
    return 2 * len(image.getbands()) if image.format == "JPEG" and image.info.get("progressive") else 0


def _pixels(image: Any, mode: str, size: tuple[int, int] | None) -> Array:
    """A picture's pixels, 0 to 255, upright, in the mode and (height, width) asked for."""
    from PIL import Image, ImageOps

    # In place, and converted only where it has to be: each copy takes as much memory as the picture.
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode != mode:
        image = image.convert(mode)
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _normalized(pixels: Array, spec: TensorSpec, config: InputConfig) -> Array:
    """(pixel * scale - mean) / std, as far as the registry entry has them.

    Without any of them, an int8 input gets 128 less, since it has no 255: so converters make int8 of uint8.
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


def _open_image(body: bytes, limits: Limits) -> Any:
    """The picture with its pixels still unread, unless it has too many or they have more than 8 bits per channel."""
    image = _image_file(body, limits)
    if image.width * image.height > limits.pixels:
        raise TooLargeError(f"{image.width} x {image.height} pixels; an image may have {limits.pixels} (limits.pixels)")
    if image.mode[0] in "IF":
        raise UnsupportedInputError(f"an image with more than 8 bits per channel (Pillow's mode {image.mode})")
    return image


def _image_file(body: bytes, limits: Limits) -> Any:
    """Pillow's reader of a picture; only its part for the format is imported and can be attacked."""
    file = io.BytesIO(body)
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(file)
    if body.startswith(b"\xff\xd8\xff"):
        if body.count(b"\xff\xda") > _MAX_SCANS:
            raise TooLargeError(f"a JPEG of more than {_MAX_SCANS} scans")
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile(file)
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        from PIL import Image
        from PIL.WebPImagePlugin import WebPImageFile

        # It allocates the pixels at once. Before that, Pillow warns about more pixels than this and refuses more than
        # twice as many.
        Image.MAX_IMAGE_PIXELS = (limits.pixels + 1) // 2
        try:
            with warnings.catch_warnings(action="ignore"):
                return WebPImageFile(file)
        except Image.DecompressionBombError as error:
            most = limits.pixels
            raise TooLargeError(f"more than {most} pixels; an image may have {most} (limits.pixels)") from error
    raise DecodeError("not an image: its content is neither PNG nor JPEG nor WebP")
