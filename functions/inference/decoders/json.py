"""JSON documents and JSON lines."""

import io
from typing import Any

from inference import tensors
from inference.config import InputConfig
from inference.decoders import text
from inference.errors import DecodeError
from inference.runtimes import Specs
from inference.tensors import Instances


def decode(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """One document, in the forms of `tensors.from_document`."""
    try:
        document = tensors.parse(text.parsable(body), missing=config.missing)
    except DecodeError as error:
        if getattr(error.__cause__, "msg", "") != "Extra data":
            raise
        raise DecodeError(f"{error}; if it has one document per line, end its key with .jsonl") from error
    return tensors.from_document(document, specs, config)


def decode_lines(body: bytes, config: InputConfig, specs: Specs) -> Instances:
    """One document per line, each with one instance; empty lines are skipped."""
    rows: list[Any] = []
    # Not splitlines(): a JSON string may contain other characters that it treats as line ends.
    for number, line in enumerate(io.StringIO(text.parsable(body), newline="\n"), start=1):
        if not line.strip():
            continue
        text.check_next_row(rows, config, number)
        try:
            rows.append(tensors.parse(line, missing=config.missing))
        except DecodeError as error:
            raise DecodeError(f"line {number}: {error}") from error
    return tensors.from_rows(rows, specs, "lines", config)
