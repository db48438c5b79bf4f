"""Text, and bytes that the model reads itself; also what JSON and CSV share as text in rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from inference import tensors
from inference.config import InputConfig
from inference.errors import DecodeError, EmptyInputError, ModelError, TooLargeError
from inference.limits import max_text_bytes
from inference.runtimes import Specs
from inference.tensors import Instances

_UTF_16 = "it is UTF-16: save it as UTF-8"

#: Advice for a file that is not UTF-8, by its first bytes.
_OTHER_KINDS = {
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
    b"\x1f\x8b": "it is gzip: end its key with .gz, or upload it with the Content-Encoding gzip",
    b"PK\3\4": "it is a ZIP archive, like an Excel workbook (.xlsx): save its table as CSV in UTF-8",
}


def decode(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """The whole text, line ends and all but without a byte-order mark, as one string for a model with one input."""
    return _single(_decoded(body).encode(), config, specs, "text")


def decode_raw(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """The object's bytes for a model that reads them itself, with one input.

    An input of strings gets them as one string, whatever they are (an encoded picture, a serialized `tf.Example`). For
    an input of uint8 or int8, each byte is an element, and they fill an instance in order (samples, pixels); if it is
    quantized, they are the stored integers.
    """
    if len(specs) == 1 and specs[0].holds_bytes:
        tensors.check_size(len(body))
        elements = np.frombuffer(body, specs[0].stored)
        array = tensors.filled(elements, specs[0], tensors.unstacked_shape(specs[0], config))
        return tensors.stack({specs[0].name: array}, specs, config)
    return _single(body, config, specs, "raw")


def _single(value: bytes, config: InputConfig, specs: Specs, what: str) -> Instances:
    """A single string as one instance."""
    if len(specs) != 1 or specs[0].dtype.kind != "O":
        kinds = "strings" if what == "text" else "strings, uint8 or int8"
        found = ", ".join(f"{spec.name} ({spec.dtype.name})" for spec in specs)
        raise ModelError(f"input.format {what} needs a model with one input of {kinds}; this one has {found}")
    tensors.check_size(len(value))
    array = tensors.filled(np.array([value], dtype=object), specs[0], tensors.unstacked_shape(specs[0], config))
    return tensors.stack({specs[0].name: array}, specs, config)


def parsable(body: bytes) -> str:
    """The text of JSON or CSV.

    Raises:
        TooLargeError: its parsed form may not fit into memory.
        DecodeError, EmptyInputError: it is not UTF-8, or blank.
    """
    most = max_text_bytes()
    if len(body) > most:
        raise TooLargeError(
            f"{len(body)} bytes; JSON and CSV may have at most {most}, a 64th of the memory (memory_mb)"
        )
    return _decoded(body)


def check_next_row(rows: Sequence[Any], config: InputConfig, line: int) -> None:
    """Refuse the next row, which is on this line, if there are already as many as an input may have.

    Raises:
        TooLargeError: there are.
    """
    if len(rows) >= config.max_records:
        raise TooLargeError(f"it has more than {config.max_records} rows (limits.records): line {line} is one too many")


def _decoded(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        way_out = next((way for begin, way in _OTHER_KINDS.items() if body.startswith(begin)), "save it as UTF-8")
        raise DecodeError(f"line {line}: not UTF-8 text: {error}; {way_out}") from error
    if not text.strip():
        raise EmptyInputError("it contains only white space")
    return text
