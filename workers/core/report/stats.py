"""Figures of one outcome's book over a stretch of time, weighted by how long each state held.

A state holds from its receipt to the token's next one, on the monotonic clock, and only when

* no due tick of the market lies between the two ticks: time with a missed tick counts nowhere;
* they are at most two intervals apart, the age up to which a reader calls a book SYNCED;
* both clocks tell the same time between them, else one was stepped or the machine started anew.

The last state before a gap therefore counts for no time at all, and nothing is bridged.

Promises  sums are exact integers and averages exact fractions; they are rounded where they are
          shown (`rounded`). The one figure that is rounded before it is summed is the imbalance of
          one state: to a millionth, towards zero
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec

from workers.core.books.amounts import MICROS
from workers.core.coverage.plans import DueTicks
from workers.core.polling.grid import CLOCK_STEP_NS
from workers.core.reading.evidence import FRESH_INTERVALS

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
Levels = tuple[tuple[int, int], ...]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One observed state: when, and its (price, size) levels in micros, the best one last."""

    due_ms: int
    recv_wall_ns: int
    recv_mono_ns: int
    tick_micros: int | None
    bids: Levels
    asks: Levels

    @property
    def book(self) -> tuple[Levels, Levels]:
        """What a change changes."""
        return self.bids, self.asks


class Place(msgspec.Struct, frozen=True):
    """Where a moment stands among the due ticks: `rank` of them are not after it."""

    rank: int
    is_due: bool
    interval_ms: int | None


#: Sums over the states of one token, by column of `token_stats`; `*_x_ns` are weighted by the time
#: each state held, sizes in micros of a share, notionals in micros of a price times those.
Sums = Counter[str]
#: Time at each spread: ns by (spread in micros, tick in micros).
Spreads = Counter[tuple[int, int | None]]


def place_of(ticks: DueTicks, due_ms: int) -> Place:
    """Where a row's tick stands; a tick that was asked for and not due has a place too."""
    place = Place(0, is_due=False, interval_ms=None)
    for stretch in ticks.stretches:
        if stretch.first_ms > due_ms:
            break
        behind_ms = due_ms - stretch.first_ms
        nth = behind_ms // stretch.interval_ms
        is_due = behind_ms % stretch.interval_ms == 0 and nth < stretch.count
        rank = stretch.base + min(stretch.count, nth + 1)
        place = Place(rank, is_due=is_due, interval_ms=stretch.interval_ms)
    return place


def missed_between(one: Place, later: Place) -> int:
    """How many due ticks lie strictly between two rows' ticks."""
    return later.rank - int(later.is_due) - one.rank


def held_ns(ticks: DueTicks, one: Seen, later: Seen) -> int:
    """How long a state held, of two consecutive ones of a token; 0 where that is not known."""
    mono_ns = later.recv_mono_ns - one.recv_mono_ns
    wall_ns = later.recv_wall_ns - one.recv_wall_ns
    if mono_ns <= 0 or abs(mono_ns - wall_ns) >= CLOCK_STEP_NS:
        return 0
    here, there = place_of(ticks, one.due_ms), place_of(ticks, later.due_ms)
    intervals = [each.interval_ms for each in (here, there) if each.interval_ms is not None]
    if missed_between(here, there) > 0 or not intervals:
        return 0
    return mono_ns if mono_ns <= FRESH_INTERVALS * max(intervals) * NS_PER_MS else 0


def imbalance_micros(bid_size: int, ask_size: int) -> int:
    """(bid − ask) / (bid + ask) of the best sizes, in millionths, cut towards zero."""
    both = bid_size + ask_size
    cut = abs(bid_size - ask_size) * MICROS // both if both else 0
    return cut if bid_size > ask_size else -cut


def summed(ticks: DueTicks, states: Sequence[Seen]) -> tuple[Sums, Spreads]:
    """Everything of one token; `states` in the order they were received."""
    sums, spreads = Sums(rows=len(states)), Spreads()
    due = {each.due_ms for each in states if place_of(ticks, each.due_ms).is_due}
    sums["captured"] = len(due)
    for one, later in pairwise(states):
        sums["changes"] += one.book != later.book
        _weigh(sums, spreads, one, held_ns(ticks, one, later))
    return sums, spreads


def _weigh(sums: Sums, spreads: Spreads, state: Seen, ns: int) -> None:
    bid, ask = _best(state.bids), _best(state.asks)
    sums["held_ns"] += ns
    sums["best_bid_size_x_ns"] += bid[1] * ns
    sums["best_ask_size_x_ns"] += ask[1] * ns
    sums["best_bid_notional_x_ns"] += bid[0] * bid[1] * ns
    sums["best_ask_notional_x_ns"] += ask[0] * ask[1] * ns
    sums["bid_size_x_ns"] += sum(size for _, size in state.bids) * ns
    sums["ask_size_x_ns"] += sum(size for _, size in state.asks) * ns
    sums["bid_notional_x_ns"] += sum(price * size for price, size in state.bids) * ns
    sums["ask_notional_x_ns"] += sum(price * size for price, size in state.asks) * ns
    if ns and state.bids and state.asks:
        sums["two_sided_ns"] += ns
        sums["spread_x_ns"] += (ask[0] - bid[0]) * ns
        sums["imbalance_x_ns"] += imbalance_micros(bid[1], ask[1]) * ns
        spreads[ask[0] - bid[0], state.tick_micros] += ns


def _best(levels: Levels) -> tuple[int, int]:
    return levels[-1] if levels else (0, 0)


def mean(total: int, weight: int, unit: int = 1) -> Fraction | None:
    """`total / weight` in units of `unit`, exactly; None when nothing was weighed."""
    return Fraction(total, weight * unit) if weight else None


def rounded(value: Fraction | None, digits: int) -> str | None:
    """A fraction as decimal text, half to even; None stays None."""
    if value is None:
        return None
    scaled = round(value * 10**digits)
    whole, part = divmod(abs(scaled), 10**digits)
    fraction = f".{part:0{digits}d}" if digits else ""
    return f"{'-' if scaled < 0 else ''}{whole}{fraction}"


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The nearest-rank percentile of sorted numbers: one that was measured, never one between."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
