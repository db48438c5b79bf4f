"""Reads whole numbers with the digits model: cuts a scan into digits, and says of each whether it is sure."""

import io

import numpy as np
from PIL import Image

from inference.errors import DecodeError


def preprocess(body, key):
    """Cut a scan, a row of squares, into (digits, 8, 8, 1), from 0 to 1: what the model was trained with."""
    try:
        scan = Image.open(io.BytesIO(body), formats=["PNG"]).convert("L")
    except Exception as error:
        raise DecodeError("the scan is not a PNG") from error
    digits, rest = divmod(scan.width, scan.height)
    if rest or digits > 20:
        raise DecodeError(f"{scan.width} x {scan.height} pixels are not a row of up to 20 squares")
    pixels = np.asarray(scan.resize((8 * digits, 8)), np.float32) / 255
    return pixels.reshape(8, digits, 8, 1).swapaxes(0, 1)


def postprocess(outputs):
    """Turn the scores of one square into its prediction."""
    (scores,) = outputs.values()
    return {"digit": int(scores.argmax()), "sure": bool(scores.max() > 0.9)}
