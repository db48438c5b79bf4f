"""Which process of a function goes first when its memory runs out on the local stack."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from modelctl.local import memory

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has oom_score_adj")


@pytest.fixture
def function() -> Iterator[int]:
    """The id of a process that waits."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


@pytest.mark.parametrize("inherited", [-500, 0, 200, 1000])
def test_a_process_has_not_asked_to_go_first_by_what_it_inherited(
    inherited: int, function: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions of a desktop start with 100 or 200, and containers that may be evicted with 1000."""
    monkeypatch.setattr(memory, "_oom_score_adj", lambda _: inherited)
    assert memory.first_to_go(function, isolated=False) is None


@pytest.mark.parametrize("inherited", [-500, 0, 200])
def test_a_process_asks_to_go_first_by_more_than_it_inherited(
    inherited: int, function: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_oom_score_adj", lambda pid: 1000 if pid == function else inherited)
    assert memory.first_to_go(function, isolated=False) == function
