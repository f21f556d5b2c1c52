"""The names that recurring markets must have now, computed from the clock alone.

The cross-check of discovery: a name that the venue's listing lacks is looked up by itself.

Promises  names and windows follow from a moment and a pattern; US Eastern time by its rule.
Never     reads a clock or a time zone file: a small VPS image may have no tzdata.
Source    VENUE §2.2 and 454 of 454 captured objects of 2026-03-11: 5m, 15m and 4h names end in
          the Unix second of the window's start; hourly names carry the start's hour in New York;
          daily names the New York day the window ends, noon to noon.
XXX: what the venue calls the second 1 am of the night the clocks go back is not known; both
hours get one name here, and the listing decides.
"""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec

HOUR_MS = 3_600_000
DAY_S = 86_400
PATTERN_WORDS = ("start_unix", "month", "day", "year", "hour12", "ampm")
MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- wall clocks of New York carry no zone here
_WORD = re.compile(r"\{([^{}]*)\}")
_UNIX_SECOND = re.compile("[0-9]{9,11}")


class Window(msgspec.Struct, frozen=True, order=True):
    """The stretch of time a market is about; half open, Unix ms."""

    start_ms: int
    end_ms: int


class Expected(msgspec.Struct, frozen=True):
    """A market that must exist by the clock: its name and its window."""

    slug: str
    window: Window


def eastern_offset_s(at_ms: int) -> int:
    """New York's wall clock minus UTC, in seconds: -18000, in summer -14400.

    Summer runs from the second Sunday of March, 2:00 standard time (07:00 UTC), to the first
    Sunday of November, 2:00 summer time (06:00 UTC): Energy Policy Act of 2005, since 2007.
    """
    year = (_EPOCH + timedelta(milliseconds=at_ms)).year
    begins_ms = _sunday_ms(year, 3, 2) + 7 * HOUR_MS
    ends_ms = _sunday_ms(year, 11, 1) + 6 * HOUR_MS
    return -4 * 3600 if begins_ms <= at_ms < ends_ms else -5 * 3600


def windows(period_s: int, *, now_ms: int, ahead: int) -> tuple[Window, ...]:
    """The window that contains a moment, and the `ahead` ones after it.

    Args:
        period_s: 300, 900, 3600, 14400 lie on the Unix grid; 86400 is noon to noon in New York,
            23 or 25 hours long when the clocks change.
        now_ms: the moment, Unix ms.
        ahead: 0 or more.
    """
    if period_s == DAY_S:
        return _noon_windows(now_ms, ahead)
    period_ms = period_s * 1000
    first_ms = now_ms // period_ms * period_ms
    starts_ms = (first_ms + n * period_ms for n in range(ahead + 1))
    return tuple(Window(start_ms, start_ms + period_ms) for start_ms in starts_ms)


def window_ending(end_ms: int, period_s: int) -> Window:
    """The window of a series that ends at a moment."""
    if period_s != DAY_S:
        return Window(end_ms - period_s * 1000, end_ms)
    return Window(_utc_ms(_eastern(end_ms) - timedelta(days=1)), end_ms)


def slug_of(pattern: str, window: Window) -> str:
    """The name of the market about a window.

    `slug_of("btc-updown-5m-{start_unix}", window) == "btc-updown-5m-1773261600"`

    Args:
        pattern: text with PATTERN_WORDS in braces; a word that is none of them stays as it is.
        window: dates are New York's of its start; of its end when it is a day long.
    """
    daily = window.end_ms - window.start_ms >= 23 * HOUR_MS
    named = _eastern(window.end_ms if daily else window.start_ms)
    words = {
        "start_unix": str(window.start_ms // 1000),
        "month": MONTHS[named.month - 1],
        "day": str(named.day),
        "year": str(named.year),
        "hour12": str(named.hour % 12 or 12),
        "ampm": "am" if named.hour < 12 else "pm",
    }
    return _WORD.sub(lambda found: words.get(found[1], found[0]), pattern)


def start_of(pattern: str, slug: str) -> int | None:
    """The window start that a name carries, Unix ms; None when it carries none."""
    head, mark, tail = pattern.partition("{start_unix}")
    number = slug.removeprefix(head).removesuffix(tail)
    fits = mark != "" and slug == f"{head}{number}{tail}"
    if not fits or _UNIX_SECOND.fullmatch(number) is None:
        return None
    return int(number) * 1000


def expected(pattern: str, period_s: int, *, now_ms: int, ahead: int) -> tuple[Expected, ...]:
    """The markets of one series that must exist: the current window's, and the next ones'."""
    found: dict[str, Expected] = {}
    for window in windows(period_s, now_ms=now_ms, ahead=ahead):
        slug = slug_of(pattern, window)
        # In the night the clocks go back two windows share a name; the first is meant.
        found.setdefault(slug, Expected(slug, window))
    return tuple(found.values())


def _noon_windows(now_ms: int, ahead: int) -> tuple[Window, ...]:
    noon = _eastern(now_ms).replace(hour=12, minute=0, second=0, microsecond=0)
    if now_ms < _utc_ms(noon):
        noon -= timedelta(days=1)
    noons_ms = [_utc_ms(noon + timedelta(days=n)) for n in range(ahead + 2)]
    return tuple(Window(*pair) for pair in pairwise(noons_ms))


def _eastern(at_ms: int) -> datetime:
    """The wall clock in New York, without a zone."""
    return _EPOCH + timedelta(milliseconds=at_ms, seconds=eastern_offset_s(at_ms))


def _utc_ms(wall: datetime) -> int:
    """Unix ms of a New York wall clock, away from the hour of a clock change (noon is)."""
    as_utc_ms = int(wall.replace(tzinfo=UTC).timestamp()) * 1000
    return as_utc_ms - eastern_offset_s(as_utc_ms + 5 * HOUR_MS) * 1000


def _sunday_ms(year: int, month: int, nth: int) -> int:
    """The midnight UTC that begins the n-th Sunday of a month, Unix ms."""
    first = datetime(year, month, 1, tzinfo=UTC)
    days = (6 - first.weekday()) % 7 + 7 * (nth - 1)
    return int((first + timedelta(days=days)).timestamp()) * 1000
