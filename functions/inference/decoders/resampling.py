"""Keras's algorithm for resizing a picture, which Pillow lacks."""

from typing import Any

import numpy as np

from inference.runtimes import Array

#: Pixels of the picture that are in memory as numbers at a time.
_BAND = 2**20


def bilinear(image: Any, height: int, width: int) -> Array:
    """A picture resized, as (height, width, channels) or (height, width) of float32, not rounded.

    Each pixel is interpolated between the four around its centre, however much smaller the picture becomes: bilinear,
    without antialiasing, with half-pixel centres. This is `tf.image.resize(pixels, (height, width))`, operation by
    operation in float32, so that the results are the same.
    https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/kernels/image/resize_bilinear_op.cc
    """
    above, below, down = _neighbours(image.height, height)
    left, right, across = _neighbours(image.width, width)
    channels = () if image.mode == "L" else (len(image.getbands()),)
    across, down = across.reshape(-1, *[1] * len(channels)), down.reshape(-1, 1, *[1] * len(channels))
    values = np.empty((height, width, *channels), np.float32)
    # Pillow returns pixels as a copy, so only this many rows at a time.
    rows = max(1, _BAND * height // (image.width * image.height))
    for start in range(0, height, rows):
        band = slice(start, start + rows)
        first, last = int(above[start]), int(below[band][-1]) + 1
        pixels = np.asarray(image.crop((0, first, image.width, last)))
        upper, lower = pixels[above[band] - first], pixels[below[band] - first]
        top = _between(upper.take(left, 1), upper.take(right, 1), across)
        bottom = _between(lower.take(left, 1), lower.take(right, 1), across)
        values[band] = _between(top, bottom, down[band])
    return values


def _neighbours(length: int, wanted: int) -> tuple[Array, Array, Array]:
    """For each pixel of a line, the two original pixels that it is between, and its distance from the first."""
    scale = np.float32(length) / np.float32(wanted)
    centres = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    floor = np.floor(centres)
    first = np.maximum(floor.astype(np.intp), 0)
    second = np.minimum(np.ceil(centres).astype(np.intp), length - 1)
    return first, second, centres - floor


def _between(first: Array, second: Array, share: Array) -> Array:
    start, values = first.astype(np.float32), second.astype(np.float32)
    values -= start
    values *= share
    values += start
    return values
