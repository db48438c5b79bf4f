"""A local stack that refuses chosen calls for a time, in AWS's own words."""

import json
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3

#: Headers that are about one connection, and not about what is asked or answered.
_OF_A_CONNECTION = {"connection", "transfer-encoding", "content-length", "expect"}


@dataclass(frozen=True)
class Refusal:
    """An answer to every call that fits.

    Args:
        call: a regular expression; fits the method, the path with its query and, where there is one, the action's name.
        status: of HTTP.
        code: AWS's name of the error.
        message: AWS's text.
        xml: whether the service answers in XML.
    """

    call: str
    status: int
    code: str
    message: str
    xml: bool = False

    @property
    def body(self) -> bytes:
        if self.xml:
            return f"<Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>".encode()
        return json.dumps({"__type": self.code, "message": self.message}).encode()


@contextmanager
def refusing(stack: Mapping[str, str], services: list[str], rounds: list[list[Refusal]]) -> Iterator[dict[str, str]]:
    """Variables for Terraform by which these services are spoken to through a proxy that refuses calls.

    It refuses what the first of the rounds says, as long as that is in the list.
    """
    pool = urllib3.PoolManager(maxsize=50, ssl_context=ssl.create_default_context(cafile=stack["AWS_CA_BUNDLE"]))

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = f"{self.command} {self.path} {self.headers.get('X-Amz-Target', '')}"
            refusals = rounds[0] if rounds else []
            if refusal := next((refusal for refusal in refusals if re.search(refusal.call, asked)), None):
                self._answer(refusal.status, {"x-amzn-errortype": refusal.code}, refusal.body)
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_A_CONNECTION}
            answer = pool.request(
                self.command,
                stack["AWS_ENDPOINT_URL"] + self.path,
                body=body,
                headers=headers,
                redirect=False,
                decode_content=False,
            )
            self._answer(answer.status, answer.headers, answer.data)

        def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in _OF_A_CONNECTION:
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests' output is pytest's."""

    for method in ("HEAD", "POST", "PUT", "DELETE"):
        setattr(Proxy, f"do_{method}", Proxy.do_GET)
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {f"AWS_ENDPOINT_URL_{service}": f"http://127.0.0.1:{server.server_port}" for service in services}
        finally:
            server.shutdown()
            thread.join()
