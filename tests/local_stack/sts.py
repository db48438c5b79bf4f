"""STS of another account, as far as Terraform asks it: whose credentials are these?"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


def identity(account: str) -> str:
    """The body of the answer."""
    content = f"<Arn>arn:aws:iam::{account}:user/ann</Arn><UserId>A</UserId><Account>{account}</Account>"
    return f"<Response><GetCallerIdentityResult>{content}</GetCallerIdentityResult></Response>"


@contextmanager
def of_account(account: str) -> Iterator[dict[str, str]]:
    """What makes Terraform believe that its credentials are of this account."""
    answer = identity(account).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Nothing: the tests' output is pytest's."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield {"AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{server.server_port}"}
        finally:
            server.shutdown()
            thread.join()
