"""Points in time as text and back: UTC only, exact integers, no clock is read here.

Never  guesses a zone: text without one is UTC because every venue field that lacks it is UTC
       (VENUE §2.3, 1,038 captured objects).
"""

import re
from datetime import UTC, datetime, timedelta

from workers.core.errors import NeedsAPerson

NS_PER_MS = 1_000_000
MS_PER_HOUR = 3_600_000
MS_PER_DAY = 24 * MS_PER_HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# One pattern for RFC 3339 and the venue's odd forms: "2026-07-24 08:20:22+00" (closedTime),
# fractions of 1 to 9 digits, and "+00:00:00" (umaEndDate).
_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?)?"
    r"(?:Z|([+-])(\d\d)(?::?(\d\d)(?::(\d\d))?)?)?",
    re.ASCII,
)
_SPAN = re.compile(r"(?:now-)?(\d+)([smhd])", re.ASCII)
_SPAN_MS = {"s": 1000, "m": 60_000, "h": MS_PER_HOUR, "d": MS_PER_DAY}


def _moment(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def utc_text(wall_ns: int) -> str:
    """RFC 3339 with microseconds: `utc_text(0) == "1970-01-01T00:00:00.000000Z"`."""
    moment = _moment(wall_ns // 1_000_000_000 * 1000)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ns // 1000 % 1_000_000:06d}Z"


def ms_text(ms: int) -> str:
    """RFC 3339 with milliseconds, for times that are exact milliseconds."""
    return f"{_moment(ms):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def compact_text(ms: int) -> str:
    """For file names: `20261121T023001123Z`; sorts by time."""
    return f"{_moment(ms):%Y%m%dT%H%M%S}{ms % 1000:03d}Z"


def hour_parts(ms: int) -> tuple[str, str]:
    """The UTC date and hour a moment belongs to: `("2026-11-21", "02")`."""
    moment = _moment(ms)
    return f"{moment:%Y-%m-%d}", f"{moment:%H}"


def parse_utc(text: str) -> int:
    """Unix milliseconds of a venue timestamp; fractions below a millisecond are cut.

    Args:
        text: RFC 3339 or one of the venue's odd forms (module source); a bare date is midnight.

    Raises:
        ValueError: not such a text, or no such moment.
    """
    found = _STAMP.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"not a UTC timestamp: {text!r}")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    millis = int((found[7] or "").ljust(3, "0")[:3])
    offset_s = 0
    if found[8]:
        offset_s = int(found[9]) * 3600 + int(found[10] or 0) * 60 + int(found[11] or 0)
        offset_s = -offset_s if found[8] == "-" else offset_s
    return (int(moment.timestamp()) - offset_s) * 1000 + millis


def moment_ms(text: str, now_ms: int) -> int:
    """A moment as a person types it: RFC 3339 in UTC, `now`, or a span back from now (`6h`).

    Raises:
        NeedsAPerson: it is neither.
    """
    if text == "now":
        return now_ms
    span = _SPAN.fullmatch(text)
    if span:
        return now_ms - int(span[1]) * _SPAN_MS[span[2]]
    try:
        return parse_utc(f"{text}:00" if re.fullmatch(r".*T\d\d:\d\d", text) else text)
    except ValueError as error:
        raise NeedsAPerson(
            f"read the time {text!r}: {error}", hint='such as "2026-11-21T14:00", "90m", "6h", "2d"'
        ) from error
