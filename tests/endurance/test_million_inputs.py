"""A million inputs and their results, as `modelctl backfill` checks them."""

from unit.test_backfilling import assert_streamed


def test_a_million_inputs_are_looked_at_two_pages_at_a_time() -> None:
    assert_streamed(1_000_000)
