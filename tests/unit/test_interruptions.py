"""Ctrl-C, a real one, at moments that no other test meets: while Python still imports, and while packages are built."""

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local_stack.support import eventually
from modelctl import interrupts, paths

# What is imported on the way to the first command, from the first to the last.
IMPORTED = ["argparse", "botocore.exceptions", "rich.console", "yaml", "boto3", "modelctl.commands.validate"]


@pytest.mark.parametrize("module", IMPORTED)
def test_ctrl_c_while_python_imports_is_one_line(module: str) -> None:
    # Python tells of every module when it is imported.
    command = [sys.executable, "-X", "importtime", "-m", "modelctl", "validate"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=paths.CHECKOUT, stdout=pipe, stderr=pipe, text=True, process_group=0)
    assert process.stderr
    for line in process.stderr:
        if line.split("|")[-1].strip() == module:
            break
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert [line for line in err.splitlines() if not line.startswith("import time:")] == ["error: interrupted"]
    assert (process.returncode, out) == (130, "")


def test_a_deferred_ctrl_c_is_raised_at_the_end() -> None:
    steps = []

    def work() -> None:
        with interrupts.deferred() as pressed:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                steps.append(pressed())

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == [1, 2]
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_another_thread_gets_no_ctrl_c_and_a_program_that_ignores_it_none_either() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(deferring).result() == 0
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert deferring() == 0
    finally:
        signal.signal(signal.SIGINT, before)


def deferring() -> int:
    before = signal.getsignal(signal.SIGINT)
    with interrupts.deferred() as pressed:
        assert signal.getsignal(signal.SIGINT) is before
        return pressed()


BUILD = """
import sys
from pathlib import Path
from modelctl import paths
paths.PACKAGES = Path(sys.argv[1])
from modelctl.__main__ import main
sys.argv = ["modelctl", "package", "litert"]
sys.exit(main())
"""


def is_installing(scratch: Path) -> bool:
    return any(scratch.glob("*/python/*"))


def is_compiling(scratch: Path) -> bool:
    return any(scratch.glob("*/python/*/__pycache__/*.pyc"))


def test_ctrl_c_while_a_package_is_built_leaves_nothing_by_half_and_the_next_build_works(tmp_path: Path) -> None:
    built, scratch = tmp_path / "packages", tmp_path / "scratch"
    scratch.mkdir()
    # The build that comes after the first one is interrupted as well, further on.
    for under_way in (is_installing, is_compiling):
        process = build(built, scratch)
        wait_until(process, under_way, scratch)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert err.splitlines()[-1] == "error: interrupted"
        assert "Traceback" not in err
        assert list(scratch.iterdir()) == []
        assert not (built / "manifest.json").exists()
        assert not list(built.glob("litert-*"))
        for package in built.glob("*.zip"):
            assert zipfile.ZipFile(package).testzip() is None

    process = build(built, scratch)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "litert" in out
    assert (built / "manifest.json").exists()


def wait_until(process: "subprocess.Popen[str]", under_way: Callable[[Path], bool], scratch: Path) -> None:
    eventually(lambda: process.poll() is not None or under_way(scratch), timeout_s=60)


def build(built: Path, scratch: Path) -> "subprocess.Popen[str]":
    """Start `modelctl package litert` with folders of its own, in a process group as a shell would."""
    pipe, env = subprocess.PIPE, {**os.environ, "TMPDIR": str(scratch)}
    command = [sys.executable, "-c", BUILD, str(built)]
    return subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True, process_group=0)
