"""Makes S3 fail occasionally if a test requests it: the file `Layout.faults` says which calls fail, and how.

It contains a JSON list of objects with the fields of `Fault`. Without the file, no call fails.
"""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ministack import app

from modelctl.local.layout import Layout
from modelctl.local.patches.patching import replace

Asgi = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


def install(layout: Layout) -> None:
    """Patch the entry point of all requests."""
    replace(app, "app", lambda original: _failing(original, _Switch(layout.faults)))


@dataclass
class Fault:
    """Which calls fail, and how."""

    #: Regular expressions for the whole HTTP method, and for the whole path: `/<bucket>/<key>`, decoded.
    method: str
    path: str
    #: One in this many of these calls fails.
    every: int
    #: The answer: HTTP status, and S3's code for the error.
    status: int
    code: str
    #: Whether a failing call is carried out anyway, as if its answer was lost.
    done: bool = False
    #: The number of calls so far.
    calls: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Count a call if it is one of these, and return whether it fails."""
        if not re.fullmatch(self.method, method) or not re.fullmatch(self.path, path):
            return False
        self.calls += 1
        return self.calls % self.every == 0


class _Switch:
    """The current content of the file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_at: int | None = None
        self._faults: list[Fault] = []

    def fault(self, method: str, path: str) -> Fault | None:
        """The first fault that makes a call fail."""
        try:
            changed_at = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if changed_at != self._read_at:
            self._faults = [Fault(**fields) for fields in json.loads(self._file.read_bytes())]
            self._read_at = changed_at
        return next((fault for fault in self._faults if fault.strikes(method, path)), None)


def _failing(original: Asgi, switch: _Switch) -> Asgi:
    async def entry(scope: Any, receive: Any, send: Any) -> None:
        fault = switch.fault(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if fault is None:
            await original(scope, receive, send)
            return
        if fault.done:
            await original(scope, receive, _to_nobody)
        else:
            while (await receive()).get("more_body"):
                pass
        body = f"<Error><Code>{fault.code}</Code><Message>A test asked for this.</Message></Error>".encode()
        headers = [(b"content-type", b"application/xml"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": fault.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return entry


async def _to_nobody(_: Any) -> None:
    """Discard a part of an answer that is not sent."""
