"""An `up` that adds a model, broken off at many points and in every way, is healed by the next one."""

import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

from e2e.test_modelctl import SCAN
from e2e.test_up import (
    Checkout,
    assert_serves,
    broken_off,
    has_changed,
    kill_modelctl,
    kill_terraform,
    press_ctrl_c,
    press_ctrl_c_twice,
    results,
)
from modelctl.local.stack import LocalStack, ensure_lambda_environment
from modelctl.packaging import packages

#: How many changes an apply makes that adds a model.
CHANGES = 16
WAYS = (kill_terraform, press_ctrl_c, press_ctrl_c_twice, kill_modelctl)
# Each takes one and a half minutes, most of it waiting: `make soak` has time for some of them, each time for others.
POINTS = [(changes, way) for changes in range(CHANGES) for way in WAYS]
random.shuffle(POINTS)
DEADLINE = time.monotonic() + float(os.environ.get("MODELYARD_SOAK_S", "inf"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """One model that has served an input."""
    packages.build()
    ensure_lambda_environment()
    checkout = Checkout(tmp_path_factory.mktemp("broken-off"))
    checkout.names(seven=512)
    try:
        up = checkout.up()
        assert up.status == 0, up.err
        assert checkout.run("predict", "seven", SCAN).status == 0
        yield checkout
    finally:
        LocalStack(checkout.home).stop()


@pytest.mark.parametrize(("changes", "way"), POINTS)
def test_the_next_up_heals_it(served: Checkout, changes: int, way: Callable[[int, int], None]) -> None:
    if time.monotonic() > DEADLINE:
        pytest.skip("the time of `make soak` is up")
    before = results(served.env)
    served.names(seven=512, added=512)
    broken_off(served, has_changed(changes), way)

    healed = served.up()

    assert healed.status == 0, healed.err
    assert results(served.env) == before
    assert_serves(served, "seven", "added")
    served.names(seven=512)
    removed = served.up()
    assert removed.status == 0, removed.err
