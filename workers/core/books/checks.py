"""Sanity checks of books: what is odd about a state, as flags; nothing is dropped for it.

Promises  a flag says what was seen in the row itself (`core.tables.columns.FLAGS`); a book without
          flags has passed every check there is
"""

from collections.abc import Iterator
from typing import Protocol

from workers.core.books.levels import Levels
from workers.core.books.sides import Side


class Sides(Protocol):
    """The two sides of a book."""

    @property
    def bids(self) -> Side:
        """Who buys."""

    @property
    def asks(self) -> Side:
        """Who sells."""


def sanity(levels: Levels, bids: Side, asks: Side, tick_micros: int | None) -> Iterator[str]:
    """The flags of one book, in the order of FLAGS."""
    if not bids.ids:
        yield "empty_bid"
    if not asks.ids:
        yield "empty_ask"
    if bids.ids and asks.ids and levels.prices[bids.ids[-1]] >= levels.prices[asks.ids[-1]]:
        yield "crossed"
    if levels.outside and _any(levels.outside, bids, asks):
        yield "price_out_of_range"
    if tick_micros and (off := levels.off_tick(tick_micros)) and _any(off, bids, asks):
        yield "off_tick"
    if not (bids.is_ordered and asks.is_ordered):
        yield "unsorted"
    if levels.empty and _any(levels.empty, bids, asks):
        yield "zero_size"


def _any(these: set[int], bids: Side, asks: Side) -> bool:
    return not (these.isdisjoint(bids.ids) and these.isdisjoint(asks.ids))


def has_odd_text(levels: Levels, bids: Side, asks: Side) -> bool:
    """True when a number of a level is not spelled canonically."""
    return bool(levels.odd) and _any(levels.odd, bids, asks)


def are_mirrored(
    levels: Levels, states: tuple["Sides", "Sides"], befores: tuple["Sides", "Sides"]
) -> bool:
    """True when two books of one answer are the two sides of one market.

    Args:
        levels: of the ids.
        states: the two.
        befores: those before them, if they were mirrors; else two that are empty.
    """
    (one, two), (old, older) = states, befores
    return levels.are_mirrors(
        one.bids.ids, two.asks.ids, min(one.bids.kept_of(old.bids), two.asks.kept_of(older.asks))
    ) and levels.are_mirrors(
        one.asks.ids, two.bids.ids, min(one.asks.kept_of(old.asks), two.bids.kept_of(older.bids))
    )
