"""A coverage-guided fuzzer for the decoders or the event parser, run by `make soak` in an environment of its own.

Called with `objects` or `messages`, the folder in which libFuzzer keeps what it found, and libFuzzer's options. Of an
object the first byte chooses the kind and the second one the model.
"""

import importlib
import logging
import pkgutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports():
    from inference import decoders
    from unit.functions import hostile
    from unit.functions.valid_objects import EVENTS, VALID

    # Imported when the first such object comes, which is too late to be watched.
    for module in pkgutil.iter_modules(decoders.__path__):
        importlib.import_module(f"inference.decoders.{module.name}")
    for plugin in ("PngImagePlugin", "JpegImagePlugin", "WebPImagePlugin", "ImageChops"):
        importlib.import_module(f"PIL.{plugin}")

KEYS = sorted(VALID)


def decode(data: bytes) -> None:
    """Decode an object."""
    if len(data) > 2:
        key = KEYS[data[0] % len(KEYS)]
        models = hostile.models(VALID[key][0])
        hostile.decode(key, data[2:], models[data[1] % len(models)], VALID[key][0])


def announce(data: bytes) -> None:
    """Read a message."""
    hostile.announce(data.decode(errors="surrogateescape"))


def seeds(target: str) -> list[bytes]:
    """What the fuzzer begins with."""
    if target == "messages":
        return [event.encode() for event in EVENTS]
    return [
        bytes([KEYS.index(key), model]) + body
        for key, (input_format, bodies) in VALID.items()
        for body in bodies
        for model in range(len(hostile.models(input_format)))
    ]


def main() -> None:
    """Fuzz until the options say that it is enough, or something is found."""
    target, corpus, *options = sys.argv[1:]
    for number, seed in enumerate(seeds(target)):
        Path(corpus, f"seed-{number}").write_bytes(seed)
    warnings.simplefilter("ignore")
    logging.disable()
    call: Callable[[bytes], None] = announce if target == "messages" else decode
    atheris.Setup([sys.argv[0], *options, corpus], call)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
