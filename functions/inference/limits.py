"""How large one input may be. A larger one is refused with a result that says so, and is never read whole."""

from dataclasses import dataclass, field

from inference.runtimes import memory_mb

#: Bytes of one object, and of what a compressed one holds, where there is memory for it.
MAX_BYTES = 64 * 2**20

#: Width times height of an image: 200 MB as Pillow holds colours before it is resized.
MAX_PIXELS = 50_000_000

#: Instances in one input, each of which gets a prediction.
MAX_RECORDS = 10_000

#: Inputs of a queue batch that are in memory at the same time.
GROUP_INPUTS = 64


def group_bytes() -> int:
    """Bytes of the objects of several inputs that are in memory at the same time."""
    return min(MAX_BYTES, _memory() // 8)


def max_text_bytes() -> int:
    """Bytes of JSON or CSV, whose parsed form may take 24 times the memory of the text (`[{},{},…`)."""
    return _memory() // 64


def max_tensor_bytes() -> int:
    """Bytes of one input's tensors: a quarter of the function's memory.

    The rest is for the runtime, the model, the tensors' own sources and what the model makes of them.
    """
    return _memory() // 4


def held_tensor_bytes() -> int:
    """Bytes of the tensors of several inputs that wait for one call of the model, which may copy them into one."""
    return max_tensor_bytes() // 2


def max_values() -> int:
    """Numbers of one prediction, which are Python's objects of 32 bytes each until they are JSON."""
    return _memory() // 256


def max_result_bytes() -> int:
    """Bytes of JSON of one input's predictions, which are in memory twice while they are written."""
    return _memory() // 16


def _memory() -> int:
    return memory_mb() * 2**20


@dataclass(frozen=True)
class Limits:
    """What one input of a model may have: `limits` of its registry entry, or what holds for every model."""

    #: Bytes of the object.
    bytes: int = field(default_factory=group_bytes)
    #: Bytes of what a compressed object holds.
    decompressed_bytes: int = field(default_factory=group_bytes)
    #: Width times height of an image.
    pixels: int = MAX_PIXELS
    #: Instances, each of which gets a prediction.
    records: int = MAX_RECORDS
