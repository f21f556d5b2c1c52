"""Series, windows and markets of the loopback venue: pure values made from a seed.

Promises: the same (seed, series, start) is the same market for ever: ids, tokens, times, winner.
          A window of a scaled series starts at a multiple of its length on the real UTC clock.
Fails:    ValueError for a scale that does not divide a window into whole seconds.
Source:   slugs, series ids, tags and times of VENUE section 2.2 and 2.3.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tests.venue import dates
from tests.venue.dates import DAY_MS, HOUR_MS

Kind = Literal["regular", "zombie"]
Shape = Literal["unix", "hourly", "daily"]
OUTCOMES = ("Up", "Down")
LEAST_WINDOWS_AHEAD = 12


@dataclass(frozen=True, slots=True)
class Series:
    """One recurring series. `lead_ms`: how long before its start a window is listed."""

    name: str
    series_id: str
    slug: str
    title: str
    recurrence: str
    prefix: str
    asset: str
    shape: Shape
    window_ms: int
    lead_ms: int
    scale: int
    tag: tuple[str, str] | None

    def starts(self, from_ms: int, until_ms: int) -> Iterator[int]:
        """Window starts in [from_ms, until_ms), rising."""
        if self.shape == "daily":
            start_ms = dates.noon_eastern(from_ms - DAY_MS)
        else:
            start_ms = from_ms // self.window_ms * self.window_ms
        while start_ms < until_ms:
            if start_ms >= from_ms:
                yield start_ms
            start_ms = self.end(start_ms)

    def end(self, start_ms: int) -> int:
        """End of the window that starts at `start_ms`."""
        if self.shape == "daily":
            return dates.noon_eastern(start_ms + DAY_MS)
        return start_ms + self.window_ms

    def slug_at(self, start_ms: int) -> str:
        """The market's slug, which is also its event's."""
        if self.shape == "unix":
            return f"{self.prefix}-{start_ms // 1000}"
        local = dates.eastern(start_ms if self.shape == "hourly" else self.end(start_ms))
        day = f"{dates.MONTHS[local.month - 1].lower()}-{local.day}-{local.year}"
        if self.shape == "daily":
            return f"{self.prefix}-on-{day}"
        return f"{self.prefix}-{day}-{local.hour % 12 or 12}{'am' if local.hour < 12 else 'pm'}-et"

    def title_at(self, start_ms: int) -> str:
        """The question, as the venue words it."""
        begin, end = dates.eastern(start_ms), dates.eastern(self.end(start_ms))
        day = f"{dates.MONTHS[begin.month - 1]} {begin.day}"
        if self.shape == "daily":
            return f"{self.asset} Up or Down on {dates.MONTHS[end.month - 1]} {end.day}?"
        if self.shape == "hourly":
            hour = f"{begin.hour % 12 or 12}{'AM' if begin.hour < 12 else 'PM'}"
            return f"{self.asset} Up or Down - {day}, {hour} ET"
        span = f"{dates.clock_text(begin)}-{dates.clock_text(end)}"
        return f"{self.asset} Up or Down - {day}, {span} ET"


@dataclass(frozen=True, slots=True)
class Market:
    """One market and its whole life, in Unix ms of the venue's clock.

    `token_ids` and `outcomes` are index-aligned; a book exists in [book_from_ms, closed_ms).
    """

    number: int
    series: Series
    slug: str
    title: str
    condition_id: str
    token_ids: tuple[str, str]
    outcomes: tuple[str, str]
    listed_ms: int
    book_from_ms: int
    start_ms: int
    end_ms: int
    closed_ms: int
    winner: int
    kind: Kind = "regular"

    def is_closed(self, now_ms: int) -> bool:
        """Settled; a zombie never is."""
        return self.kind == "regular" and now_ms >= self.closed_ms


SERIES_NAMES = ("btc-5m", "btc-15m", "btc-4h", "btc-1h", "btc-1d", "eth-5m")


def series(name: str, *, scale: int = 1) -> Series:
    """The series of that name; only the ones with Unix slugs are scaled.

    Raises:
        ValueError: unknown name, or `scale` does not divide its window into whole seconds.
    """
    if name == "btc-5m":
        return _unix(name, ("10684", "btc-up-or-down-5m", "5m"), 300, scale, ("102892", "5M"))
    if name == "btc-15m":
        return _unix(name, ("10192", "btc-up-or-down-15m", "15m"), 900, scale, ("102467", "15M"))
    if name == "btc-4h":
        return _unix(name, ("10331", "btc-up-or-down-4h", "daily"), 14_400, scale, None)
    if name == "eth-5m":
        return _unix(name, ("10683", "eth-up-or-down-5m", "5m"), 300, scale, ("102892", "5M"))
    if name == "btc-1h":
        return Series(
            name, "10114", "btc-up-or-down-hourly", "BTC Up or Down Hourly", "hourly",
            "bitcoin-up-or-down", "Bitcoin", "hourly", HOUR_MS, 48 * HOUR_MS, 1, None,
        )  # fmt: skip
    if name in ("btc-1d", "btc-daily"):
        return Series(
            "btc-1d", "41", "btc-up-or-down-daily", "BTC Up or Down Daily", "daily",
            "bitcoin-up-or-down", "Bitcoin", "daily", DAY_MS, DAY_MS, 1, None,
        )  # fmt: skip
    raise ValueError(f"choosing a series: found {name!r}, need one of {', '.join(SERIES_NAMES)}")


def market(line: Series, start_ms: int, *, seed: int) -> Market:
    """The market of one window."""
    slug = line.slug_at(start_ms)
    dice = random.Random(f"{seed}:{slug}:life")
    listed_ms = start_ms - line.lead_ms + round(dice.uniform(0, 60_000) / line.scale)
    end_ms = line.end(start_ms)
    # closedTime - endDate of 584 markets: min 15 s, median 20 s, max 316 s (VENUE 2.4).
    lag_s = 15 + min(dice.expovariate(1 / 7), 70)
    return Market(
        number=2_000_000 + int(_digest(seed, slug, "number")[:6], 16),
        series=line,
        slug=slug,
        title=line.title_at(start_ms),
        condition_id="0x" + _digest(seed, slug, "condition"),
        token_ids=(_token(seed, slug, 0), _token(seed, slug, 1)),
        outcomes=OUTCOMES,
        listed_ms=listed_ms,
        book_from_ms=listed_ms + round(dice.uniform(10_000, 300_000) / line.scale),
        start_ms=start_ms,
        end_ms=end_ms,
        closed_ms=end_ms + max(1_000, round(lag_s * 1000 / line.scale)),
        winner=dice.randrange(2),
    )


def zombie(line: Series, index: int, *, seed: int) -> Market:
    """A market of December 2025 that nobody ever closed (13 such in March 2026, VENUE 2.4)."""
    start_ms = 1_766_162_100_000 + index * 300_000
    slug = f"{line.prefix}-{start_ms // 1000}"
    return Market(
        number=964_335 + index,
        series=line,
        slug=slug,
        title=f"{line.asset} Up or Down - December 19, 11:35AM-11:40AM ET",
        condition_id="0x" + _digest(seed, slug, "condition"),
        token_ids=(_token(seed, slug, 0), _token(seed, slug, 1)),
        outcomes=OUTCOMES,
        listed_ms=start_ms - DAY_MS,
        book_from_ms=start_ms - DAY_MS,
        start_ms=start_ms,
        end_ms=start_ms + 300_000,
        closed_ms=start_ms + 300_000,
        winner=0,
        kind="zombie",
    )


def _unix(
    name: str, ids: tuple[str, str, str], window_s: int, scale: int, tag: tuple[str, str] | None
) -> Series:
    if scale < 1 or window_s % scale:
        raise ValueError(f"scaling series {name}: found {window_s} s / {scale}, need whole seconds")
    coin, length = name.split("-")
    window_ms = window_s * 1000 // scale
    lead_ms = max(round(23.9 * HOUR_MS / scale), LEAST_WINDOWS_AHEAD * window_ms)
    asset = {"btc": "Bitcoin", "eth": "Ethereum"}[coin]
    title = f"{coin.upper()} Up or Down {length}"
    return Series(
        name, ids[0], ids[1], title, ids[2], f"{coin}-updown-{length}", asset,
        "unix", window_ms, lead_ms, scale, tag,
    )  # fmt: skip


def _digest(seed: int, slug: str, what: str) -> str:
    return hashlib.sha256(f"{seed}:{slug}:{what}".encode()).hexdigest()


def _token(seed: int, slug: str, index: int) -> str:
    return str(int(_digest(seed, slug, f"token{index}"), 16))
