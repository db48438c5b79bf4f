"""The commands that the docs show for the local stack work, typed one after the other."""

import os
import subprocess
from pathlib import Path

import pytest

from e2e.conftest import MODELCTL, Platform, wait_until_empty
from modelctl import paths
from unit.pages import BLOCKS, Block

#: The stack is there already, and other tests need it; what follows a log never ends; and a plan has a test of its own.
NOT_TYPED = ("modelctl up", "modelctl down", "--follow", "terraform plan")


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.mark == "runs on the local stack"], ids=str)
def test_commands_of_the_docs_succeed(block: Block, platform: Platform, tmp_path: Path) -> None:
    for folder in ("models", "terraform"):
        (tmp_path / folder).symlink_to(paths.CHECKOUT / folder)
    typed = [line for line in block.text.splitlines() if not any(words in line for words in NOT_TYPED)]
    search = f"{MODELCTL.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", "\n".join(typed)],
        cwd=tmp_path,
        env={**os.environ, "PATH": search, "MODELYARD_STACK": str(platform.home)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # `aws s3 cp` does not wait for the result, and other tests count what is served.
    wait_until_empty(platform.client("sqs"), platform.queues("digits"))
