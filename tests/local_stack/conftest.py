"""One local stack for all tests of it, and one of its own for the tests that end it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.support import Cloud
from modelctl.local.stack import LocalStack


@pytest.fixture(scope="session")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    stack = LocalStack(tmp_path_factory.mktemp("local-stack") / "home")
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def cloud(local_stack: LocalStack) -> Cloud:
    return Cloud(local_stack.environment())


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[LocalStack]:
    stack = LocalStack(tmp_path / "home")
    yield stack
    stack.stop()
