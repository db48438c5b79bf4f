"""Points in time as users write them and as commands show them, all in UTC."""

import argparse
import re
from datetime import UTC, datetime, timedelta

#: How a point in time is written; for the help of options that take one.
FORMS = "a time span before now, such as 90s, 30m, 2h, 3d or 1w, or a UTC time, such as 2026-11-27 or 2026-11-27T18:30"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def present() -> datetime:
    """The time now; tests of commands set it."""
    return datetime.now(UTC)


def since(text: str, now: datetime | None = None) -> datetime:
    """The point in the past that a user means, for an option such as `--since`.

    Args:
        text: how long ago (`2h`), or a date or time in ISO 8601, which is UTC unless it names another offset.
        now: until when it may be; None: the present.

    Raises:
        argparse.ArgumentTypeError: it is not a point in time, or is in the future.
    """
    now = now or present()
    ago = re.fullmatch(r"([0-9]+)\s*([smhdw])", text.strip().lower(), re.ASCII)
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text.strip())
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a point in time: expected {FORMS}") from None
    if found > now:
        raise argparse.ArgumentTypeError(f"{text!r} is in the future: it is now {shown(now)}")
    return found


def shown(when: datetime) -> str:
    """A point in time for people, to the second."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(when: datetime) -> str:
    """A point in time for programs, as S3's events write it: to the millisecond."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ago(when: datetime, now: datetime | None = None) -> str:
    """How long ago a point in time is, in its largest unit: `45 s`, `7 min`, `3 h` or `2 days`."""
    seconds = max(0, int(((now or present()) - when).total_seconds()))
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
