"""One object of Gamma to one market that will be recorded, or to the reason why not.

Promises  any JSON value gives a Market, a Pending or a Refusal, never an exception; two tokens
          map to two outcomes exactly as the venue said it, or not at all.
Never     believes `startDate` to be the window (it is the listing), a window that its series or
          its own name contradicts, or a token id that came as a number.
Source    VENUE §2.2 to §2.5, §9 no. 6 to 11 and 26.

A field that decides nothing (question, tick size, listing time) is left empty when it cannot be
read: no market is lost over an ornament, and the page keeps the bytes.
"""

from collections.abc import Mapping

import msgspec

from workers.core.instants import ms_text, parse_utc
from workers.core.polling.cadence import Phase
from workers.core.settings.settings import Schedule, Series
from workers.core.universe import slugs
from workers.core.universe.gamma import (
    fields_of,
    flag,
    moment,
    moment_text,
    objects,
    plain,
    printable,
    texts,
    tick_text,
)
from workers.core.universe.phases import phases_of, status_at, tier_at
from workers.core.universe.refusals import Pending, Refusal, WrongField
from workers.core.universe.slugs import Expected, Window

OTHER = "other"
KEYSET = "keyset"
SLUG = "slug"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome's token; the id is opaque text of up to 78 digits."""

    token_id: str
    outcome: str


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """A market that is recorded: who it is, its window, and when it is polled how often."""

    slug: str
    question: str
    condition_id: str
    tokens: tuple[Token, Token]
    series: str
    event_slug: str
    listed_at_utc: str | None
    window_start_utc: str
    window_end_utc: str
    tick_size: str | None
    status: str
    source: str
    fetched_at_utc: str
    record_from_utc: str
    record_until_utc: str
    tier: str
    phases: tuple[Phase, ...]

    @property
    def window(self) -> Window:
        """What the market is about, Unix ms."""
        return Window(parse_utc(self.window_start_utc), parse_utc(self.window_end_utc))

    @property
    def record_from_ms(self) -> int:
        """When its first tick may be due."""
        return parse_utc(self.record_from_utc)

    @property
    def record_until_ms(self) -> int:
        """From when on none is due."""
        return parse_utc(self.record_until_utc)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue was asked for: an answer may be something else.

    `series_id` None: any series will do (selected by tag or by name).
    """

    source: str
    series_id: str | None = None
    expected: Expected | None = None


class Rules(msgspec.Struct, frozen=True):
    """The settings that decide about a market."""

    series: tuple[Series, ...]
    schedule: Schedule


Reading = Market | Pending | Refusal


def read_market(raw: object, event: object, *, asked: Asked, rules: Rules, now_ms: int) -> Reading:
    """Judge one market object of Gamma.

    Args:
        raw: the decoded object, numbers with a point as Decimal (`gamma.read_page`).
        event: the event that holds it; None for a bare market, which may name its own.
        asked: the question this is an answer to.
        rules: series and schedule of the settings.
        now_ms: the wall clock, for markets that are over.
    """
    try:
        fields = fields_of(raw)
        return _read(fields, _holder(fields, event), asked, rules, now_ms)
    except WrongField as wrong:
        slug = printable(raw.get("slug"), 200) if isinstance(raw, dict) else ""
        return Refusal(slug, wrong.reason, wrong.detail, ms_text(now_ms))


def read_events(
    events: tuple[object, ...], *, asked: Asked, rules: Rules, now_ms: int
) -> tuple[Reading, ...]:
    """Judge every market of every event of an answer; an event without one yet is pending."""
    pairs = [(raw, event) for event in events for raw in _inside(event)]
    empty = [each for each in events if isinstance(each, dict) and not each.get("markets")]
    judged = [
        read_market(raw, event, asked=asked, rules=rules, now_ms=now_ms) for raw, event in pairs
    ]
    waiting = [Pending(printable(each.get("slug"), 200), "has no market yet") for each in empty]
    return (*judged, *waiting)


def _inside(event: object) -> list[object]:
    """The market objects of an event; what is no event stands for itself, to be refused."""
    inside = event.get("markets") if isinstance(event, dict) else [event]
    if isinstance(inside, list):
        return inside
    return [inside] if inside else []


def tolerance_ms(period_s: int) -> int:
    """How far a window may lie from where its series has it: a tenth, at most a minute."""
    return min(60_000, period_s * 100)


def _read(
    fields: Mapping[str, object],
    event: Mapping[str, object],
    asked: Asked,
    rules: Rules,
    now_ms: int,
) -> Market | Pending:
    slug = plain(fields, "slug", "bad_slug")
    said_ms = moment(fields, "endDate") or moment(event, "endDate")
    series = _series(slug, said_ms, event, asked, rules)
    window = _window(slug, said_ms or _named_end(slug, series), series, fields, event)
    _check_asked(slug, window, asked, event)
    phases = phases_of(window, rules.schedule)
    ids = texts(fields, "clobTokenIds", "token_number")
    ids = ids or texts(fields, "positionIds", "token_number")
    waits_for = _state(fields, window, phases, ids, now_ms)
    if waits_for:
        return Pending(slug, waits_for)
    return Market(
        slug=slug,
        question=printable(fields.get("question")),
        condition_id=plain(fields, "conditionId", "bad_id"),
        tokens=_tokens(fields, ids),
        series=series.name if series else OTHER,
        event_slug=printable(event.get("slug"), 200) or slug,
        listed_at_utc=moment_text(fields, "startDate"),
        window_start_utc=ms_text(window.start_ms),
        window_end_utc=ms_text(window.end_ms),
        tick_size=tick_text(fields.get("orderPriceMinTickSize")),
        status=status_at(window, now_ms),
        source=asked.source,
        fetched_at_utc=ms_text(now_ms),
        record_from_utc=ms_text(phases[0].from_ms),
        record_until_utc=ms_text(phases[-1].until_ms),
        tier=tier_at(phases, now_ms),
        phases=phases,
    )


def _state(
    fields: Mapping[str, object],
    window: Window,
    phases: tuple[Phase, ...],
    ids: tuple[str, ...],
    now_ms: int,
) -> str:
    """What a market still waits for, or ""; a WrongField when there is nothing to wait for."""
    ended = f"window ended {ms_text(window.end_ms)}"
    if flag(fields, "closed"):
        raise WrongField("closed", ended)
    if phases[-1].until_ms <= now_ms:
        raise WrongField("ended", ended)
    trades = flag(fields, "enableOrderBook") and flag(fields, "acceptingOrders")
    if not trades and window.end_ms <= now_ms:
        raise WrongField("not_accepting", ended)
    if not ids:
        return "no token ids yet"
    return "" if trades else "takes no orders yet"


def _holder(fields: Mapping[str, object], event: object) -> Mapping[str, object]:
    own = objects(fields.get("events"))
    return event if isinstance(event, dict) else own[0] if own else {}


def _series(
    slug: str, end_ms: int | None, event: Mapping[str, object], asked: Asked, rules: Rules
) -> Series | None:
    """The recorded series of an event; by name where the event names none."""
    ids = {str(each.get("id")) for each in objects(event.get("series"))}
    for series in rules.series:
        if series.series_id in ids or (not ids and _is_named(slug, end_ms, series)):
            return series
    if asked.series_id is not None:
        raise WrongField("wrong_series", f"asked for {asked.series_id}, found {sorted(ids)[:5]}")
    return None


def _is_named(slug: str, end_ms: int | None, series: Series) -> bool:
    """True when the name is one that the series' pattern makes."""
    if end_ms is None:
        return slugs.start_of(series.slug, slug) is not None
    return slug == slugs.slug_of(series.slug, slugs.window_ending(end_ms, series.period_s))


def _named_end(slug: str, series: Series | None) -> int:
    """The end of a window whose fields say none, from a name that carries its start."""
    named_ms = slugs.start_of(series.slug, slug) if series else None
    if series is None or named_ms is None:
        raise WrongField("no_end", "endDate is absent")
    return named_ms + series.period_s * 1000


def _window(
    slug: str,
    end_ms: int,
    series: Series | None,
    fields: Mapping[str, object],
    event: Mapping[str, object],
) -> Window:
    start_ms = moment(fields, "eventStartTime") or moment(event, "startTime")
    if series is None:
        # A market of no series is about the time it is open: here the listing may be the start.
        # Captured 2026-05-17: a market that starts hours after its endDate.
        if start_ms is None or start_ms >= end_ms:
            start_ms = moment(fields, "startDate")
    else:
        named_ms = slugs.start_of(series.slug, slug)
        ideal = slugs.window_ending(end_ms, series.period_s)
        start_ms = start_ms or named_ms or ideal.start_ms
        _check_window(start_ms, named_ms, ideal, tolerance_ms(series.period_s))
    if start_ms is None:
        raise WrongField("no_start", "eventStartTime, startTime and startDate are absent")
    if start_ms >= end_ms:
        raise WrongField("window_length", f"starts {ms_text(start_ms)}, ends {ms_text(end_ms)}")
    return Window(start_ms, end_ms)


def _check_window(start_ms: int, named_ms: int | None, ideal: Window, slack_ms: int) -> None:
    if named_ms is not None and abs(named_ms - start_ms) > slack_ms:
        said = f"the name says {ms_text(named_ms)}, the fields {ms_text(start_ms)}"
        raise WrongField("wrong_window", said)
    if abs(ideal.start_ms - start_ms) > slack_ms:
        length_s = (ideal.end_ms - start_ms) // 1000
        need_s = (ideal.end_ms - ideal.start_ms) // 1000
        raise WrongField("window_length", f"{length_s} s, its series has {need_s} s")


def _check_asked(slug: str, window: Window, asked: Asked, event: Mapping[str, object]) -> None:
    """An hourly name without its year answers with last year's market (VENUE §9 no. 26)."""
    expected = asked.expected
    if expected is None:
        return
    length_s = (expected.window.end_ms - expected.window.start_ms) // 1000
    away_ms = abs(window.end_ms - expected.window.end_ms)
    if expected.slug not in (slug, event.get("slug")) or away_ms > tolerance_ms(length_s):
        said = f"ends {ms_text(window.end_ms)}, need {ms_text(expected.window.end_ms)}"
        raise WrongField("wrong_window", f"asked for {expected.slug}: {said}")


def _tokens(fields: Mapping[str, object], ids: tuple[str, ...]) -> tuple[Token, Token]:
    names = texts(fields, "outcomes", "bad_list")
    if len(ids) != 2 or len(names) != 2:
        raise WrongField("not_two_outcomes", f"{len(names)} outcomes, {len(ids)} token ids")
    for each in ids:
        plain({"token id": each}, "token id", "bad_token")
    first, second = (printable(name, 100) for name in names)
    if ids[0] == ids[1] or first == second or not first or not second:
        raise WrongField("duplicate_token", f"outcomes {first!r} and {second!r}")
    return Token(token_id=ids[0], outcome=first), Token(token_id=ids[1], outcome=second)
