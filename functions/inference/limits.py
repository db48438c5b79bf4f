"""How large an input may be. A larger one is never read whole; it is refused with a result that says so."""

from dataclasses import dataclass, field

from inference.runtimes import memory_mb

#: The most bytes of one object, and of a compressed object's content, if there is memory for it.
MAX_BYTES = 64 * 2**20

#: The most pixels of an image, width times height: 200 MB of colours in Pillow before it is resized.
MAX_PIXELS = 50_000_000

#: The most instances in one input, each of which gets a prediction.
MAX_RECORDS = 10_000

#: The most inputs of a queue batch that are in memory at the same time.
GROUP_INPUTS = 64


def group_bytes() -> int:
    """The most bytes of all objects that are in memory at the same time."""
    return min(MAX_BYTES, _memory() // 8)


def max_text_bytes() -> int:
    """The most bytes of JSON or CSV, whose parsed form may need 24 times the memory of the text (`[{},{},…`)."""
    return _memory() // 64


def max_tensor_bytes() -> int:
    """The most bytes of one input's tensors: a quarter of the function's memory.

    The rest is for the runtime, the model, what the tensors are made from and what the model computes from them.
    """
    return _memory() // 4


def held_tensor_bytes() -> int:
    """The most bytes of the tensors of inputs that wait for one call of the model, which may copy them into one."""
    return max_tensor_bytes() // 2


def max_values() -> int:
    """The most numbers of one prediction, each of which is a Python object of 32 bytes until it is written as JSON."""
    return _memory() // 256


def max_result_bytes() -> int:
    """The most bytes of JSON of one input's predictions, which are in memory twice while they are written."""
    return _memory() // 16


def _memory() -> int:
    return memory_mb() * 2**20


@dataclass(frozen=True)
class Limits:
    """How large one input of a model may be: `limits` of its registry entry, or the limits of every model."""

    #: Bytes of the object.
    bytes: int = field(default_factory=group_bytes)
    #: Bytes of a compressed object's content.
    decompressed_bytes: int = field(default_factory=group_bytes)
    #: Width times height of an image.
    pixels: int = MAX_PIXELS
    #: Instances, each of which gets a prediction.
    records: int = MAX_RECORDS
