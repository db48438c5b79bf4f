"""Whole numbers by the model of digits: a scan is cut into its digits, and each of them says whether it is sure."""

import io

import numpy as np
from PIL import Image

from inference.errors import DecodeError


def preprocess(body, key):
    """A scan is a row of squares: cut apart they are (digits, 8, 8, 1), from 0 to 1, as the model was trained."""
    try:
        scan = Image.open(io.BytesIO(body), formats=["PNG"]).convert("L")
    except Exception as error:
        raise DecodeError("the scan is no PNG") from error
    digits, rest = divmod(scan.width, scan.height)
    if rest or digits > 20:
        raise DecodeError(f"{scan.width} x {scan.height} pixels are no row of up to 20 squares")
    pixels = np.asarray(scan.resize((8 * digits, 8)), np.float32) / 255
    return pixels.reshape(8, digits, 8, 1).swapaxes(0, 1)


def postprocess(outputs):
    """The scores of one square to its prediction."""
    (scores,) = outputs.values()
    return {"digit": int(scores.argmax()), "sure": bool(scores.max() > 0.9)}
