"""Points in time as users write them."""

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from modelctl import times

NOW = datetime(2026, 11, 28, 7, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", NOW),
        ("90s", datetime(2026, 11, 28, 6, 58, 30, tzinfo=UTC)),
        ("30m", datetime(2026, 11, 28, 6, 30, tzinfo=UTC)),
        ("2h", datetime(2026, 11, 28, 5, 0, tzinfo=UTC)),
        (" 3D ", datetime(2026, 11, 25, 7, 0, tzinfo=UTC)),
        ("1w", datetime(2026, 11, 21, 7, 0, tzinfo=UTC)),
        ("2026-11-27", datetime(2026, 11, 27, tzinfo=UTC)),
        ("2026-11-27T18:30", datetime(2026, 11, 27, 18, 30, tzinfo=UTC)),
        ("2026-11-27 18:30:05Z", datetime(2026, 11, 27, 18, 30, 5, tzinfo=UTC)),
        ("2026-11-27T18:30:05.250+02:00", datetime(2026, 11, 27, 16, 30, 5, 250_000, tzinfo=UTC)),
        ("2026-11-28T07:00:00Z", NOW),
    ],
)
def test_a_point_in_time_is_how_long_ago_or_iso_8601_in_utc(text: str, expected: datetime) -> None:
    found = times.since(text, NOW)
    assert found == expected
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2 hours", "yesterday", "2026-13-01", "٣h", "9" * 30 + "d"])
def test_anything_else_is_refused_with_the_forms_that_are_accepted(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        times.since(text, NOW)
    assert str(refused.value) == f"{text!r} is not a point in time: expected {times.FORMS}"


def test_the_future_is_refused_with_the_present() -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        times.since("2026-11-28T08:00+00:30", NOW)
    assert str(refused.value) == "'2026-11-28T08:00+00:30' is in the future: it is now 2026-11-28 07:00:00 UTC"


def test_a_point_in_time_is_shown_in_utc_to_people_and_programs() -> None:
    when = datetime.fromisoformat("2026-11-27T18:30:05.250700+02:00")
    assert times.shown(when) == "2026-11-27 16:30:05 UTC"
    assert times.iso(when) == "2026-11-27T16:30:05.250Z"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-3, "0 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172_800, "2 days")],
)
def test_a_duration_is_said_in_its_largest_unit(seconds: int, expected: str) -> None:
    assert times.ago(NOW - timedelta(seconds=seconds), NOW) == expected
