"""Which target a command speaks to, where the shell or what is left of a stack could lead it astray."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from local_stack.support import eventually
from modelctl.local.layout import Layout
from modelctl.local.stack import LocalStack

MODELCTL = Path(sys.executable).parent / "modelctl"


def modelctl(home: Path, *arguments: str, shell: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "MODELYARD_STACK": str(home), **(shell or {})}
    return subprocess.run([MODELCTL, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", [("status",), ("logs", "digits")])
def test_after_its_server_was_killed_a_command_says_so_and_not_that_nothing_is_deployed(
    own_stack: LocalStack, command: tuple[str, ...]
) -> None:
    own_stack.start()
    os.kill(int(Layout(own_stack.home).pid.read_text()), signal.SIGKILL)
    eventually(lambda: not own_stack.running())
    done = modelctl(own_stack.home, *command)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "the server of the local stack was ended" in done.stderr
    assert "`modelctl up`" in done.stderr
    own_stack.stop()
    assert "nothing is deployed" in modelctl(own_stack.home, *command).stderr


def test_a_shell_that_speaks_to_the_local_stack_does_not_take_it_for_aws(own_stack: LocalStack) -> None:
    own_stack.start()
    shell = json.loads(modelctl(own_stack.home, "env", "--json").stdout)
    done = modelctl(own_stack.home, "status", "--target", "aws", shell=shell)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert 'eval "$(modelctl env --unset)"' in done.stderr
