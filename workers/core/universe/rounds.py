"""From one round of discovery to the next universe: what enters, what stays, what is doubted.

Promises  a market once recorded stays, under its first mapping, until its recording is over,
          whatever a later answer says or leaves out; an empty or absurd answer makes the universe
          stale, never smaller, and the next good one mends it; `seq` rises only when the content
          changes.
Never     removes by omission, and never exchanges a token, a condition id or an outcome.
"""

from collections.abc import Iterable

import msgspec

from workers.core.causes import OK
from workers.core.health.heartbeats import Condition
from workers.core.instants import ms_text
from workers.core.universe.crosscheck import Answer, Found, is_not_found
from workers.core.universe.markets import OTHER, Market, Reading
from workers.core.universe.phases import status_at, tier_at
from workers.core.universe.refusals import QUIET, Pending, Refusal
from workers.core.universe.universe import Universe

# A page full of nonsense must not grow the file without bound; the pages keep every byte.
REFUSED_LIMIT = 200


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a round came to; `changed` says whether the universe must be published."""

    universe: Universe
    changed: bool
    entered: tuple[str, ...]
    left: tuple[str, ...]
    pending: tuple[Pending, ...]
    conditions: tuple[Condition, ...]


class _Merge:
    """The markets of a round while answers are folded in; the first mapping of a name wins."""

    def __init__(self, known: Iterable[Market], horizon_ms: int) -> None:
        self.markets = {market.slug: market for market in known}
        self.horizon_ms = horizon_ms
        self.seen: set[str] = set()
        self.pending: dict[str, Pending] = {}
        self.refused: dict[tuple[str, str], Refusal] = {}
        self._owners = {
            key: market.slug for market in self.markets.values() for key in _keys(market)
        }

    def take_all(self, answers: tuple[Answer, ...]) -> None:
        """Fold in every reading of these answers, in their order."""
        for answer in answers:
            for reading in answer.readings:
                self._take(reading)

    def _take(self, reading: Reading) -> None:
        if isinstance(reading, Market):
            self._take_market(reading)
        elif isinstance(reading, Pending):
            self.pending[reading.slug] = reading
        else:
            self._take_refusal(reading)

    def _take_market(self, market: Market) -> None:
        old = self.markets.get(market.slug)
        reason, detail = self._objection(market, old)
        if reason:
            self._take_refusal(Refusal(market.slug, reason, detail, market.fetched_at_utc))
            return
        self.seen.add(market.slug)
        if old is None and market.record_from_ms > self.horizon_ms:
            return
        source = old.source if old else market.source
        self.markets[market.slug] = msgspec.structs.replace(market, source=source)
        self._owners.update(dict.fromkeys(_keys(market), market.slug))

    def _take_refusal(self, refusal: Refusal) -> None:
        old = self.markets.get(refusal.slug)
        if old is not None and refusal.reason in QUIET:
            self.seen.add(refusal.slug)
            if refusal.reason == "closed":
                self.markets[refusal.slug] = msgspec.structs.replace(old, status="closed")
            return
        self.refused.setdefault((refusal.slug, refusal.reason), refusal)

    def _objection(self, market: Market, old: Market | None) -> tuple[str, str]:
        """Why a market contradicts what is already recorded, or ("", "")."""
        if old is not None and old.condition_id != market.condition_id:
            return "mapping_changed", f"condition {old.condition_id} → {market.condition_id}"
        if old is not None and old.tokens != market.tokens:
            before = {each.token_id for each in old.tokens}
            same = before == {each.token_id for each in market.tokens}
            names = {each.outcome for each in old.tokens}
            same = same and names == {each.outcome for each in market.tokens}
            reason = "outcomes_swapped" if same else "mapping_changed"
            return reason, f"{_pairs(old)} → {_pairs(market)}"
        for key in _keys(market):
            owner = self._owners.get(key, market.slug)
            if owner != market.slug:
                return f"{key[0]}_taken", f"{key[1]} is {owner}'s"
        return "", ""


def next_universe(previous: Universe, found: Found, *, horizon_s: int, now_ms: int) -> Outcome:
    """Fold a round of answers into the universe before it.

    Args:
        previous: what was last made, or `Universe()`.
        found: one listing for each series, tag and event selected, failed ones too, and the
            cross-check's look-ups by computed name.
        horizon_s: a market enters when its recording begins within so many seconds.
        now_ms: the wall clock.
    """
    alive = [each for each in previous.markets if each.record_until_ms > now_ms]
    names = {each.name if each.asked.series_id else OTHER for each in found.listings}
    open_slugs = {
        each.slug for each in alive if each.window.end_ms > now_ms and each.series in names
    }
    merge = _Merge(alive, now_ms + horizon_s * 1000)
    merge.take_all(found.listings)
    doubt = _doubt(found.listings, known=len(open_slugs), seen=len(open_slugs & merge.seen))
    merge.take_all(found.lookups)
    merged = _doubted(_merged(previous, merge, doubt, now_ms), doubt, now_ms)
    changed = previous.seq == 0 or _content(previous) != _content(merged)
    if changed:
        merged = msgspec.structs.replace(
            merged, seq=previous.seq + 1, published_at_utc=ms_text(now_ms), published_ms=now_ms
        )
    before, after = {each.slug for each in previous.markets}, set(merge.markets)
    return Outcome(
        universe=merged,
        changed=changed,
        entered=tuple(sorted(after - before)),
        left=tuple(sorted(before - after)),
        pending=tuple(each for slug, each in merge.pending.items() if slug not in after),
        conditions=_conditions(doubt, merged.refused, found),
    )


def _merged(previous: Universe, merge: _Merge, doubt: str, now_ms: int) -> Universe:
    markets = sorted(
        (_as_of(each, now_ms) for each in merge.markets.values()),
        key=lambda each: (each.window_start_utc, each.series, each.slug),
    )
    # In doubt the earlier refusals stay beside the new ones: their page may just be missing.
    before = {(each.slug, each.reason): each for each in previous.refused}
    found = dict(before) if doubt else {}
    for key, refusal in merge.refused.items():
        old = before.get(key)
        found[key] = old if old is not None and old.detail == refusal.detail else refusal
    refused = sorted(found.values(), key=lambda each: (each.reason in QUIET, each.slug))
    return msgspec.structs.replace(
        previous, markets=tuple(markets), refused=tuple(refused[:REFUSED_LIMIT])
    )


def _doubted(merged: Universe, doubt: str, now_ms: int) -> Universe:
    if not doubt:
        return msgspec.structs.replace(
            merged, fetched_at_utc=ms_text(now_ms), stale_since_utc=None, stale_reason=None
        )
    return msgspec.structs.replace(
        merged,
        stale_since_utc=merged.stale_since_utc or ms_text(now_ms),
        stale_reason=merged.stale_reason or doubt,
    )


def _doubt(listings: tuple[Answer, ...], *, known: int, seen: int) -> str:
    """Why a round cannot be believed to be everything the venue lists, or ""."""
    silent = [f"{each.name} {each.cause}" for each in listings if _is_silent(each)]
    if silent:
        return f"not answered: {_some(silent)}"
    for each in listings:
        absurd = _absurdity(each) if each.asked.series_id is not None else ""
        if absurd:
            return f"{each.name} {absurd}"
    # Half of what is open cannot end within a round: the listing has shrunk, not the market.
    return f"lists {seen} of {known} known open markets" if 2 * seen < known else ""


def _is_silent(listing: Answer) -> bool:
    return listing.cause != OK and not is_not_found(listing)


def _absurdity(listing: Answer) -> str:
    """A recurring series always has a current market; without one its listing is absurd."""
    for reading in listing.readings:
        if isinstance(reading, Pending):
            return ""
        if isinstance(reading, Market) and reading.series == listing.name:
            return ""
    others = [each for each in listing.readings if isinstance(each, Market)]
    wrong = [getattr(each, "reason", "") == "wrong_series" for each in listing.readings]
    if others or any(wrong):
        return "lists only markets of other series"
    return "lists no market that can be recorded"


def _conditions(doubt: str, refused: tuple[Refusal, ...], found: Found) -> tuple[Condition, ...]:
    loud = [f"{each.slug} {each.reason}" for each in refused if each.reason not in QUIET]
    tales = [f"{each.slug} {each.detail}" for each in found.disagreements]
    unanswered = all(_is_silent(each) for each in found.listings)
    details = {
        "universe_stale": doubt,
        "mapping_refused": _some(loud),
        "discovery_disagrees": _some(tales),
        "gamma_unreachable": doubt if unanswered else "",
    }
    return tuple(
        Condition(alert=alert, detail=detail) for alert, detail in details.items() if detail
    )


def _some(texts: list[str]) -> str:
    rest = f", and {len(texts) - 5} more" if len(texts) > 5 else ""
    return ", ".join(texts[:5]) + rest


def _as_of(market: Market, now_ms: int) -> Market:
    status = "closed" if market.status == "closed" else status_at(market.window, now_ms)
    return msgspec.structs.replace(market, status=status, tier=tier_at(market.phases, now_ms))


def _content(universe: Universe) -> tuple[object, ...]:
    """What a publication is for: not when it was fetched, what the clock tells, or zombies."""
    markets = tuple(
        msgspec.structs.replace(
            each, fetched_at_utc="", tier="", status="closed" if each.status == "closed" else ""
        )
        for each in universe.markets
    )
    loud = (each for each in universe.refused if each.reason not in QUIET)
    refused = tuple((each.slug, each.reason, each.detail) for each in loud)
    return universe.stale_since_utc is None, markets, refused


def _keys(market: Market) -> tuple[tuple[str, str], ...]:
    tokens = (("token", each.token_id) for each in market.tokens)
    return ("condition", market.condition_id), *tokens


def _pairs(market: Market) -> str:
    return " ".join(f"{each.outcome}={each.token_id}" for each in market.tokens)
