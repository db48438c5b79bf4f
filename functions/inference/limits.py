"""How large one input may be. A larger one is refused with a result that says so, and is never read whole."""

#: Bytes of one object, and of what a compressed one holds.
MAX_BYTES = 64 * 2**20

#: Bytes of JSON or CSV, whose parsed form takes about eight times the memory of the text.
MAX_TEXT_BYTES = 16 * 2**20

#: Width times height of an image: 150 MB as RGB before it is resized.
MAX_PIXELS = 50_000_000

#: Instances in one input, each of which gets a prediction.
MAX_RECORDS = 10_000

#: Inputs of a queue batch that are in memory at the same time, and the bytes of their objects.
GROUP_INPUTS = 64
GROUP_BYTES = MAX_BYTES
