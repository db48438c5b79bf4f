"""Starts the processes of an import, which contain TensorFlow's logs, memory and crashes."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

from modelctl.errors import UserError


def ask(what: str, do: str, *, way_out: str = "", **request: Any) -> dict[str, Any]:
    """Have one request of `child` answered.

    Args:
        what: what is being done, for the message if it fails.
        do: the name of a function of `child`.
        way_out: what to do if a signal ends the process, instead of the last line of its output.
        request: the function's request.

    Raises:
        UserError: it failed; the message says why as far as the process said it.
    """
    done = subprocess.run(
        # UTF-8 also for what libraries read. -P: a file in the user's folder must not replace a library of the same
        # name.
        [sys.executable, "-X", "utf8", "-P", "-m", "modelctl.importing.child"],
        # The function's variables, since limits, libraries and hooks also read them.
        env={**os.environ, **request.get("environment", {})},
        input=json.dumps({"do": do, **request}),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout)
        if "error" in answer:
            raise UserError(answer["error"])
        return answer
    said = done.stderr.strip().splitlines()
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        memory = "; a system that is out of memory kills processes this way" if name == "SIGKILL" else ""
        then = way_out or f"its last output: {' / '.join(said[-3:])}"
        raise UserError(f"{what}: the process was ended by {name}{memory}; {then}")
    raise UserError(f"{what} failed: {said[-1] if said else 'the process said nothing'}")
