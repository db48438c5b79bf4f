"""What functions can reach from their own networks: only S3, as through its gateway endpoint.

A function's sandbox creates a socket in its own network and hands it over. Nothing else can be reached from there.
"""

import asyncio
import ssl
from collections.abc import Callable
from socket import socket
from typing import Any
from urllib.parse import parse_qs

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.utils import wrap_app
from ministack import app
from ministack.core.router import detect_service


class S3Endpoint:
    """Serves the emulator's S3 on sockets of functions, in the event loop of the emulator.

    Args:
        config: the configuration of the emulator's server.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._certificate: ssl.SSLContext | None = config.create_ssl_context()
        self._context = WorkerContext(None)
        self._app = wrap_app(_s3_only, config.wsgi_max_body_size, "asgi")
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on, serve in this event loop."""
        self._loop = loop

    def serve(self, listener: socket) -> Callable[[], None]:
        """Serve on a listening socket; may be called in any thread, and returns a function that stops it."""
        loop = self._loop
        if loop is None:
            raise RuntimeError("the emulator does not serve yet")
        listener.setblocking(False)
        server = asyncio.run_coroutine_threadsafe(self._start(listener), loop).result()
        return lambda: _in_loop(loop, server.close)

    async def _start(self, listener: socket) -> asyncio.Server:
        return await asyncio.start_server(self._connected, sock=listener, ssl=self._certificate)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        await TCPServer(self._app, loop, self._config, self._context, {}, reader, writer)


def _in_loop(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(work)


async def _s3_only(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and _is_for_s3(scope):
        await app.app(scope, receive, send)
    elif scope["type"] == "http":
        text = b"a function reaches S3 and no other service"
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": text})
    else:
        await send({"type": "websocket.close", "code": 1008})


def _is_for_s3(scope: Any) -> bool:
    """Whether the emulator treats a request as one for S3. The paths of its own pages begin as no bucket name can."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    # By other host names, the emulator would find functions and gateways.
    here = headers.get("host", "").partition(":")[0] == "127.0.0.1"
    inner = scope["path"].startswith("/_")
    return here and not inner and detect_service(scope["method"], scope["path"], headers, query) == "s3"
