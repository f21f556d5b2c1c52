"""Dates as the venue writes them: ISO in UTC, and slugs and titles in New York time.

Promises: no time zone database is read; the rule is the United States' since 2007
          (second Sunday of March 02:00 to first Sunday of November 02:00).
"""

from datetime import UTC, datetime, timedelta

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def at(ms: int) -> datetime:
    """Aware UTC datetime of Unix ms."""
    return datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)


def iso(ms: int) -> str:
    """RFC 3339 without fraction: "2026-06-24T07:55:00Z"."""
    return at(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_micros(ms: int) -> str:
    """RFC 3339 with the odd number of digits Gamma shows: "…:09.15Z" for 150 ms."""
    fraction = f"{ms % 1000:03d}{ms % 997:03d}".rstrip("0")
    return f"{iso(ms)[:-1]}.{fraction}Z" if fraction else iso(ms)


def closed_time(ms: int) -> str:
    """Gamma's odd closedTime: "2026-06-08 00:00:16+00"."""
    return at(ms).strftime("%Y-%m-%d %H:%M:%S+00")


def parse_iso(text: str) -> int:
    """Unix ms of an RFC 3339 text.

    Raises:
        ValueError: not such a text.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def eastern(ms: int) -> datetime:
    """Naive New York wall time of Unix ms."""
    hours = 4 if _is_summer(ms) else 5
    return at(ms).replace(tzinfo=None) - timedelta(hours=hours)


def clock_text(moment: datetime) -> str:
    """The hour as in the titles: 9:05PM."""
    return f"{moment.hour % 12 or 12}:{moment.minute:02d}{'AM' if moment.hour < 12 else 'PM'}"


def noon_eastern(ms: int) -> int:
    """Unix ms of 12:00 in New York on the (New York) day of `ms`."""
    local = eastern(ms)
    noon = local.replace(hour=12, minute=0, second=0, microsecond=0)
    guess = ms + int((noon - local).total_seconds() * 1000)
    return guess + int((noon - eastern(guess)).total_seconds() * 1000)


def _is_summer(ms: int) -> bool:
    year = at(ms).year
    begin = _sunday(year, 3, 2) + timedelta(hours=7)
    end = _sunday(year, 11, 1) + timedelta(hours=6)
    return begin <= at(ms).replace(tzinfo=None) < end


def _sunday(year: int, month: int, number: int) -> datetime:
    first = datetime(year, month, 1, tzinfo=UTC).replace(tzinfo=None)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))
