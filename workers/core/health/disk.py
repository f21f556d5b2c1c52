"""The disk: how hard the guard must be, and when the disk will be full.

Promises  a level is left only 5 % above its threshold, so that it cannot flap; a forecast is
          made only from enough history, and says from how much.
"""

from collections.abc import Sequence

import msgspec

from workers.core.health.heartbeats import GUARD_LEVELS
from workers.core.settings.settings import Watchdog

NS_PER_S = 1_000_000_000
HOUR_S = 3600
LEVELS = tuple(GUARD_LEVELS)
EASE_PERCENT = 105
#: Less history than this is noise: a rotation alone moves some megabytes.
FORECAST_MIN_SPAN_S = 600
#: `disk_fills` needs this much, and warns this far ahead: time for a person to buy a disk.
FILLS_MIN_SPAN_S = HOUR_S
FILLS_HOURS = 48


class Sample(msgspec.Struct, frozen=True):
    """One point of the disk history: free bytes of the filesystem, bytes of the data directory."""

    at_wall_ns: int
    free_bytes: int
    data_bytes: int


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Growth of the data directory and the hours until the guard pauses; None = not known.

    `hours_left` follows the faster of two: our own growth, or the shrinking of free space (others
    write too). `span_s` is the history it rests on.
    """

    growth_bytes_per_hour: int | None = None
    hours_left: float | None = None
    span_s: int = 0


class DiskSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Room on the filesystem of the data directory, and who uses it."""

    free_bytes: int
    total_bytes: int
    free_inodes: int
    total_inodes: int
    directories: dict[str, int] = {}


def guard_level(free_bytes: int, previous: str, rules: Watchdog) -> str:
    """The guard level for this much free space, coming from `previous`.

    Harder at once; milder only when free space is 5 % above what the milder level asks for.
    """
    level = _level(free_bytes, rules, percent=100)
    if previous not in LEVELS or LEVELS.index(level) >= LEVELS.index(previous):
        return level
    eased = _level(free_bytes, rules, percent=EASE_PERCENT)
    return min(previous, eased, key=LEVELS.index)


def _level(free_bytes: int, rules: Watchdog, *, percent: int) -> str:
    thresholds = {
        "pause": rules.disk_pause_free_bytes,
        "stop_opening": rules.disk_stop_opening_free_bytes,
        "warn": rules.disk_warn_free_bytes,
    }
    below = (each for each in thresholds if free_bytes * 100 < thresholds[each] * percent)
    return next(below, "ok")


def forecast(history: Sequence[Sample], rules: Watchdog) -> Forecast:
    """What the history says of the future; samples oldest first."""
    if not history:
        return Forecast()
    first, last = history[0], history[-1]
    span_s = max(0, last.at_wall_ns - first.at_wall_ns) // NS_PER_S
    if span_s < FORECAST_MIN_SPAN_S:
        return Forecast(span_s=span_s)
    growth = (last.data_bytes - first.data_bytes) * HOUR_S // span_s
    fastest = max(growth, (first.free_bytes - last.free_bytes) * HOUR_S // span_s)
    room = max(0, last.free_bytes - rules.disk_pause_free_bytes)
    hours_left = round(room / fastest, 1) if fastest > 0 else None
    return Forecast(growth_bytes_per_hour=growth, hours_left=hours_left, span_s=span_s)


def fills_soon(told: Forecast) -> bool:
    """True when the forecast rests on enough history and the end is near."""
    is_near = told.hours_left is not None and told.hours_left < FILLS_HOURS
    return is_near and told.span_s >= FILLS_MIN_SPAN_S


def recent(history: Sequence[Sample], wall_ns: int, hours: int) -> list[Sample]:
    """The samples of the last hours, oldest first; none from the future (the clock was set)."""
    since_wall_ns = wall_ns - hours * HOUR_S * NS_PER_S
    kept = [each for each in history if since_wall_ns <= each.at_wall_ns <= wall_ns]
    return sorted(kept, key=lambda each: each.at_wall_ns)
