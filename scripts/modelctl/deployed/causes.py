"""Which errors share a cause: those whose messages differ only in what is specific to one input."""

import re
from collections.abc import Sequence

#: Quoted text, but not apostrophes; ids, digests and numbers.
_PARTICULARS = re.compile(
    r"""(?<!\w)'[^']*'(?!\w)|"[^"]*"|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{8,}\b"""
    r"""|[0-9]+(?:[.,][0-9]+)*"""
)


def common(message: str, keys: Sequence[str]) -> str:
    """A message without what is specific to the inputs with these keys."""
    for key in sorted(keys, key=len, reverse=True):
        message = message.replace(key, "…")
    return _PARTICULARS.sub("…", message)
