"""The server of a local stack: `python -m modelctl.local.server HOME ENVIRONMENT`, started by `stack.py`.

It listens on a free port of the loopback interface, writes its address below HOME, and serves until it is ended. If the
system has namespaces, the server runs in its own: whatever ends the server then also ends every function.
"""

import asyncio
import fcntl
import json
import math
import os
import select
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from modelctl.local import sandbox
from modelctl.local.layout import ACCOUNT, MAX_ENVIRONMENTS, REGION, Layout, write_secret

_OPERATOR = "modelyard-operator"
_IN_VAIN = "the process that started this server has ended"


def main() -> int:
    """Serve the stack in HOME, with ENVIRONMENT as the Python environment of its functions."""
    layout = Layout(Path(sys.argv[1]))
    environment = Path(sys.argv[2])
    os.umask(0o022)
    # Held as long as a process of the server lives; `LocalStack.running` checks it.
    lock = os.open(layout.home, os.O_RDONLY)
    _take(lock)
    layout.pid.write_text(str(os.getpid()), encoding="utf-8")
    if not _can(_isolate):
        _serve(layout, environment, isolated=False, networks=False)
    networks = _can(_make_a_network)
    sandbox.isolate()

    def serve() -> NoReturn:
        sandbox.mount_proc()
        _serve(layout, environment, isolated=True, networks=networks)

    return sandbox.fork_and_wait(serve)


def _take(lock: int) -> None:
    """Lock `lock`, waiting if another server is about to end. Exit if nobody waits for this one any more."""
    while not _started_in_vain():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return
    sys.exit(_IN_VAIN)


def _can(work: Callable[[], int]) -> bool:
    """Try something in a separate process: some systems refuse isolation only half-way."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(work())
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _isolate() -> int:
    sandbox.isolate()
    return sandbox.fork_and_wait(_try_proc)


def _make_a_network() -> int:
    sandbox.isolate(network=True)
    sandbox.listen()
    return 0


def _try_proc() -> NoReturn:
    try:
        sandbox.mount_proc()
    except OSError:
        os._exit(1)
    os._exit(0)


def _serve(layout: Layout, environment: Path, *, isolated: bool, networks: bool) -> NoReturn:
    """Run the emulator in this process; its functions are isolated, in their own networks, if the system can."""
    # The system chooses and binds a port in one step, and the emulator gets the socket, so no other program takes it.
    try:
        listener = socket.create_server(("127.0.0.1", 0))
    except OSError as problem:
        sys.exit(
            f"no port on 127.0.0.1 is free ({os.strerror(problem.errno or 0)}): "
            "stop what listens on them, then run the command again"
        )
    port = listener.getsockname()[1]
    _configure(layout, port)
    # Not at the top of the file: ministack reads the environment when it is imported.
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack import app

    from modelctl.local import patches
    from modelctl.local.execution import Host
    from modelctl.local.network import S3Endpoint

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=_end).start())
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.certfile, config.keyfile = str(layout.certificate), str(layout.certificate_key)
    # If the server closes a connection, the client may have sent requests whose answers it never gets: the provider
    # repeats them, and finds that what they create already exists. So only clients close connections, even after 1,000
    # requests or a pause.
    config.keep_alive_max_requests = sys.maxsize
    config.keep_alive_timeout = math.inf
    config.loglevel = "WARNING"
    # An unusable certificate must end the server before anybody uses its address.
    config.create_ssl_context()
    s3 = S3Endpoint(config) if networks else None
    patches.install(Host(layout, os.environ["AWS_ENDPOINT_URL"], environment, isolated, s3))
    if _started_in_vain():
        sys.exit(_IN_VAIN)
    write_secret(layout.operator_key, _operator())
    write_secret(layout.address, {"port": port, "instance": uuid.uuid4().hex, "isolated": isolated})

    async def until_ended() -> None:
        if s3:
            s3.serve_in(asyncio.get_running_loop())
        # With our own trigger, hypercorn does not handle SIGTERM.
        await serve(app.app, config, shutdown_trigger=asyncio.Event().wait)

    asyncio.run(until_ended())
    sys.exit(0)


def _started_in_vain() -> bool:
    """Whether the process that started this one is gone, and the next one may be starting another server."""
    starter = select.poll()
    starter.register(sys.stdin.fileno(), select.POLLIN)
    return bool(starter.poll(0))


def _operator() -> dict[str, str]:
    """Create the IAM user that everybody works as, and its key: the root user would bypass every denial."""
    from ministack.services import iam

    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    iam._create_user({"UserName": _OPERATOR})
    iam._put_user_policy({"UserName": _OPERATOR, "PolicyName": "everything", "PolicyDocument": policy})
    iam._create_access_key({"UserName": _OPERATOR})
    (key,) = (key for key in iam._access_keys.values() if key["UserName"] == _OPERATOR)
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


def _end() -> NoReturn:
    """End the functions, which without a namespace nothing else does, and then the server."""
    from ministack.core import lambda_runtime

    lambda_runtime.reset()
    os._exit(0)


def _configure(layout: Layout, port: int) -> None:
    """Replace this process's environment by what the emulator may know."""
    root = json.loads(layout.root_key.read_text(encoding="utf-8"))
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    os.environ.clear()
    os.environ.update(
        kept
        | {
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": root["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": root["secret_access_key"],
            "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}",
            "GATEWAY_PORT": str(port),
            "LAMBDA_ACCOUNT_CONCURRENCY": str(MAX_ENVIRONMENTS),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(layout.certificate),
            "MINISTACK_SSL_KEY": str(layout.certificate_key),
            "TMPDIR": str(layout.temporary),
            "STATE_DIR": str(layout.temporary / "state"),
            "S3_DATA_DIR": str(layout.temporary / "s3"),
            # The emulator would listen on further ports for these, and clean up containers in the user's Docker.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{layout.temporary}/no-docker",
        }
    )


if __name__ == "__main__":
    sys.exit(main())
