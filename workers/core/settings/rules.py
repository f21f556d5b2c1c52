"""settings_rules: what settings must agree on with each other.

A bound of one setting stands beside it in `core.settings.settings`; a relation of two stands here,
as a row of ORDERS where it can, and docs/SETTINGS.md lists it.  The answer is a list of conflicts,
never an exception: whoever read the file knows the lines and reports all of them at once.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from workers.core.settings.settings import Settings
from workers.core.universe.slugs import PATTERN_WORDS

_UNIT_MS: Final = {"s": 1000.0, "ms": 1.0}
_BRACED: Final = re.compile(r"\{([^{}]*)\}")
_LITERAL: Final = re.compile(r"[a-z0-9-]*")
_PLAIN: Final = re.compile(r"(http|ws)://(?!(localhost|127(\.[0-9]{1,3}){3})([:/]|$))")
_NEEDED: Final = "{start_unix}, or {year} {month} {day}, and {hour12}{ampm} below a day"
HOUR_S: Final = 3600
DAY_S: Final = 86_400


class Conflict(Struct, frozen=True):
    """Settings that are each allowed, but not together.

    `paths` names them as `section.key` or `selection.series[0].slug`; the first is the one to
    point at.
    """

    paths: tuple[str, ...]
    message: str


class Order(Struct, frozen=True):
    """A pair of numeric settings of which one bounds the other; units follow the names."""

    low: str
    high: str
    strictly: bool
    reason: str

    @property
    def relation(self) -> str:
        """How the pair relates, in words."""
        return "below" if self.strictly else "at most"


def _below(low: str, high: str, reason: str) -> Order:
    return Order(low=low, high=high, strictly=True, reason=reason)


def _at_most(low: str, high: str, reason: str) -> Order:
    return Order(low=low, high=high, strictly=False, reason=reason)


ORDERS: Final = (
    _below(
        "collector.late_tolerance_ms",
        "schedule.hot_interval_ms",
        "or a tick is still on time when the next one is due",
    ),
    _below(
        "collector.request_timeout_s",
        "schedule.warm_interval_ms",
        "or one slow answer costs a warm market two ticks",
    ),
    _at_most(
        "schedule.hot_lead_s",
        "schedule.warm_lead_s",
        "a market becomes warm before it becomes hot",
    ),
    _at_most(
        "schedule.hot_tail_s",
        "schedule.warm_tail_s",
        "a market stays warm after it was hot",
    ),
    _below(
        "schedule.warm_lead_s",
        "discovery.horizon_s",
        "or a market is found after its recording should have begun",
    ),
    _at_most(
        "schedule.warm_tail_s",
        "discovery.lookback_s",
        "or a market leaves the listing while it is still recorded",
    ),
    _at_most(
        "discovery.request_timeout_s",
        "discovery.interval_s",
        "or one request outlasts the look it belongs to",
    ),
    _at_most("collector.backoff_base_s", "collector.backoff_cap_s", "the cap bounds every pause"),
    _at_most(
        "collector.kept_body_bytes",
        "collector.max_body_bytes",
        "more than a whole body cannot be kept",
    ),
    _at_most(
        "segments.flush_interval_s",
        "segments.sync_interval_s",
        "a sync can only keep what was flushed",
    ),
    _at_most(
        "watchdog.interval_s",
        "watchdog.history_interval_s",
        "history is written by a look",
    ),
    _at_most("watchdog.interval_s", "watchdog.checkin_interval_s", "a look sends the check-in"),
    _below(
        "collector.request_timeout_s",
        "watchdog.heartbeat_late_s",
        "or a worker that waits for the venue counts as stuck",
    ),
    _below(
        "discovery.request_timeout_s",
        "watchdog.heartbeat_late_s",
        "or a worker that waits for the venue counts as stuck",
    ),
    _below(
        "streamer.request_timeout_s",
        "watchdog.heartbeat_late_s",
        "or a streamer that stops while it waits for the venue counts as stuck",
    ),
    _below(
        "streamer.ping_interval_s",
        "streamer.pong_timeout_s",
        "or a connection is dead before it was asked",
    ),
    _at_most("streamer.backoff_base_s", "streamer.backoff_cap_s", "the cap bounds every pause"),
    _at_most(
        "streamer.chunk_tokens",
        "streamer.connection_tokens",
        "one message cannot name more than the connection carries",
    ),
    _at_most(
        "streamer.message_max_bytes",
        "streamer.inbox_bytes",
        "or the longest message never fits",
    ),
    _below(
        "schedule.warm_interval_ms",
        "watchdog.row_late_s",
        "or a collector counts as blind between two warm ticks",
    ),
    _below(
        "offload.interval_s",
        "watchdog.backlog_warn_s",
        "or files count as stuck while they wait for their batch",
    ),
    _below(
        "watchdog.disk_pause_free_bytes",
        "watchdog.disk_stop_opening_free_bytes",
        "the levels are passed one after the other as the disk fills",
    ),
    _below(
        "watchdog.disk_stop_opening_free_bytes",
        "watchdog.disk_warn_free_bytes",
        "the levels are passed one after the other as the disk fills",
    ),
)


def conflicts(settings: Settings) -> tuple[Conflict, ...]:
    """Everything in the settings that contradicts something else in them; () when nothing does."""
    found = [_judged(order, settings) for order in ORDERS]
    return (
        *(each for each in found if each is not None),
        *_places(settings),
        *_rhythm(settings),
        *_selection(settings),
    )


def value_at(settings: Settings, path: str) -> float:
    """The number a `section.key` path names."""
    section, _, key = path.partition(".")
    number: float = getattr(getattr(settings, section), key)
    return number


def _judged(order: Order, settings: Settings) -> Conflict | None:
    low, high = value_at(settings, order.low), value_at(settings, order.high)
    low_base, high_base = low * _scale(order.low), high * _scale(order.high)
    if low_base < high_base or (low_base == high_base and not order.strictly):
        return None
    message = f"{_text(low)} must be {order.relation} {order.high} ({_text(high)}): {order.reason}"
    return Conflict((order.low, order.high), message)


def _scale(path: str) -> float:
    """Milliseconds in the unit a name ends with; 1 for what is no time."""
    return _UNIT_MS.get(path.rpartition("_")[2], 1.0)


def _text(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _places(settings: Settings) -> Iterator[Conflict]:
    if settings.data_dir.startswith("~") or "$" in settings.data_dir:
        yield Conflict(("data_dir",), "~ and $ are not expanded here; write the path out")
    if "\0" in settings.data_dir:
        yield Conflict(("data_dir",), "a path has no NUL byte in it")
    remote = settings.offload.remote
    if remote.startswith((".", "/")) and "$" in remote:
        yield Conflict(("offload.remote",), "$ is not expanded here; write the path out")
    for key in ("gamma_url", "clob_url", "ws_url"):
        plain = _PLAIN.match(getattr(settings.venue, key))
        if plain:
            here = "this machine only (127.0.0.1, localhost)"
            message = f"plain {plain[1]} is for {here}; use {plain[1]}s"
            yield Conflict((f"venue.{key}",), message)


def _rhythm(settings: Settings) -> Iterator[Conflict]:
    schedule, collector = settings.schedule, settings.collector
    pair = ("schedule.warm_interval_ms", "schedule.hot_interval_ms")
    if schedule.warm_interval_ms % schedule.hot_interval_ms:
        yield Conflict(
            pair,
            f"{schedule.warm_interval_ms} must be a multiple of {pair[1]} "
            f"({schedule.hot_interval_ms}): a warm tick rides along in a hot request",
        )
    needed = -(-10_000 // schedule.hot_interval_ms)
    if needed > collector.requests_per_10s:
        yield Conflict(
            ("collector.requests_per_10s", "schedule.hot_interval_ms"),
            f"{collector.requests_per_10s} must be at least {needed}: one request per hot tick "
            f"of schedule.hot_interval_ms ({schedule.hot_interval_ms})",
        )


def _selection(settings: Settings) -> Iterator[Conflict]:
    chosen = settings.selection
    if not (chosen.series or chosen.tags or chosen.slugs):
        yield Conflict(("selection",), "selects nothing; name a series, a tag or a slug")
    yield from _repeated("selection.tags[{}]", chosen.tags)
    yield from _repeated("selection.slugs[{}]", chosen.slugs)
    for key in ("name", "series_id", "slug"):
        values = [getattr(each, key) for each in chosen.series]
        yield from _repeated(f"selection.series[{{}}].{key}", values)
    for at, series in enumerate(chosen.series):
        path = f"selection.series[{at}].slug"
        message = slug_fault(series.slug)
        if message:
            yield Conflict((path,), message)
        elif not tells_windows_apart(series.slug, series.period_s):
            message = f"gives two windows of {series.period_s} s one slug; it needs {_NEEDED}"
            yield Conflict((path, f"selection.series[{at}].period_s"), message)


def _repeated(path: str, values: Iterable[str]) -> Iterator[Conflict]:
    first: dict[str, int] = {}
    for at, value in enumerate(values):
        if value in first:
            message = f"{value} stands in {path.format(first[value])} already"
            yield Conflict((path.format(at),), message)
        first.setdefault(value, at)


def slug_fault(pattern: str) -> str | None:
    """What is wrong with a slug pattern by itself; None when nothing is."""
    known = ", ".join(f"{{{word}}}" for word in PATTERN_WORDS)
    for word in _BRACED.findall(pattern):
        if word not in PATTERN_WORDS:
            return f"unknown placeholder {{{word}}}; known are {known}"
    rest = _BRACED.sub("", pattern)
    if "{" in rest or "}" in rest:
        return f"a brace without its partner; placeholders are {known}"
    if not _LITERAL.fullmatch(rest):
        return "a slug is made of a to z, 0 to 9, - and placeholders"
    return None


def tells_windows_apart(pattern: str, period_s: int) -> bool:
    """True when no two windows of a series can get one slug.

    The hourly slug without its year found the market of the year before (VENUE §9, pitfall 26).
    """
    words = set(_BRACED.findall(pattern))
    if "start_unix" in words:
        return True
    if not {"year", "month", "day"} <= words:
        return False
    return period_s >= DAY_S or (period_s >= HOUR_S and {"hour12", "ampm"} <= words)
