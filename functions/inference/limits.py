"""How large one input may be. A larger one is refused with a result that says so, and is never read whole."""

from dataclasses import dataclass

from inference.runtimes import memory_mb

#: Bytes of one object, and of what a compressed one holds.
MAX_BYTES = 64 * 2**20

#: Bytes of JSON or CSV, whose parsed form takes about eight times the memory of the text.
MAX_TEXT_BYTES = 16 * 2**20

#: Width times height of an image: 150 MB as RGB before it is resized.
MAX_PIXELS = 50_000_000

#: Instances in one input, each of which gets a prediction.
MAX_RECORDS = 10_000


@dataclass(frozen=True)
class Limits:
    """What one input of a model may have: `limits` of its registry entry, or what holds for every model."""

    #: Bytes of the object.
    bytes: int = MAX_BYTES
    #: Bytes of what a compressed object holds.
    decompressed_bytes: int = MAX_BYTES
    #: Width times height of an image.
    pixels: int = MAX_PIXELS
    #: Instances, each of which gets a prediction.
    records: int = MAX_RECORDS


#: Inputs of a queue batch that are in memory at the same time, and the bytes of their objects.
GROUP_INPUTS = 64
GROUP_BYTES = MAX_BYTES


def max_tensor_bytes() -> int:
    """Bytes of one input's tensors: a quarter of the function's memory.

    The rest is for the runtime, the model, the tensors' own sources and what the model makes of them.
    """
    return memory_mb() * 2**20 // 4


def held_tensor_bytes() -> int:
    """Bytes of the tensors of several inputs that wait for one call of the model, which may copy them into one."""
    return max_tensor_bytes() // 2
