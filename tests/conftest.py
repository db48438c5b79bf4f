"""What all tests share: Ctrl-C works, and with `make expected` files that say what is expected are rewritten."""

import os
import signal

import pytest

# ONNX Runtime, which some tests call without the function's code, must not report that to its makers.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# A shell starts what runs in the background with Ctrl-C ignored, and tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

OPTION = "--rewrite-expected"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, action="store_true", help="run the tests that compare with a file, and rewrite the file")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption(OPTION):
        items[:] = [item for item in items if "rewriting" in getattr(item, "fixturenames", ())]


@pytest.fixture(scope="session")
def rewriting(request: pytest.FixtureRequest) -> bool:
    """Whether the test is to write what it found into the file that it compares with."""
    return bool(request.config.getoption(OPTION))
