"""A stretch of time as a person asks for it: a UTC day, or from one moment to another."""

import re

import msgspec

from workers.core.errors import NeedsAPerson
from workers.core.instants import MS_PER_DAY, MS_PER_HOUR, moment_ms, ms_text, parse_utc

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Stretch(msgspec.Struct, frozen=True):
    """from_ms ≤ due < until_ms, Unix ms."""

    from_ms: int
    until_ms: int

    @property
    def hours(self) -> range:
        """The beginnings of the UTC hours it touches."""
        return range(self.from_ms // MS_PER_HOUR * MS_PER_HOUR, self.until_ms, MS_PER_HOUR)

    @property
    def texts(self) -> tuple[str, str]:
        """Both ends as a person types them: a midnight is its date."""
        return _text(self.from_ms), _text(self.until_ms)


def _text(at_ms: int) -> str:
    return ms_text(at_ms)[:10] if at_ms % MS_PER_DAY == 0 else ms_text(at_ms)


def stretch_of_day(text: str) -> Stretch:
    """A UTC day.

    Raises:
        NeedsAPerson: it is none.
    """
    try:
        from_ms = parse_utc(text) if _DAY.fullmatch(text) else None
    except ValueError:
        from_ms = None
    if from_ms is None:
        raise NeedsAPerson(
            f"read the day {text!r}: it is none", hint='such as "2026-11-21", in UTC'
        )
    return Stretch(from_ms, from_ms + MS_PER_DAY)


def stretch_between(from_text: str | None, to_text: str | None, now_ms: int) -> Stretch:
    """From one moment to another, or to now.

    Raises:
        NeedsAPerson: there is no beginning, or the end is not behind it.
    """
    if from_text is None:
        raise NeedsAPerson("tell which time: no DAY and no --from", hint="a day: 2026-11-21")
    found = Stretch(moment_ms(from_text, now_ms), moment_ms(to_text, now_ms) if to_text else now_ms)
    if found.until_ms <= found.from_ms:
        raise NeedsAPerson(
            f"look from {found.texts[0]} to {found.texts[1]}: the end is not behind the beginning"
        )
    return found
