"""One side of a book as a value: exact prices and sizes, the best one last.

Source    VENUE §3.1: bids ascend, asks descend, the best is the last of each.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

import msgspec

#: Price and size, in micros.
Pair = tuple[int, int]
#: What the best price of a side is: `max` of bids, `min` of asks.
Better = Callable[["array[int]"], int]
_price, _size = itemgetter(0), itemgetter(1)


class Ladder(msgspec.Struct, frozen=True, gc=False):
    """The levels of one side as two columns, in the venue's order; not to be written to.

    `best_at` is where the best price stands, of two levels with it the later one; -1 when there is
    no level.
    """

    price_micros: "array[int]"
    size_micros: "array[int]"
    best_at: int

    @property
    def levels(self) -> tuple[Pair, ...]:
        """Price and size of each."""
        return tuple(zip(self.price_micros, self.size_micros, strict=True))

    def __len__(self) -> int:
        return len(self.price_micros)


def ladder_of(prices: Iterable[int], sizes: Iterable[int], better: Better) -> Ladder:
    """A side of these prices and sizes, in micros."""
    columns = array("q", prices), array("q", sizes)
    return Ladder(*columns, best_at(columns[0], better))


def ladder_of_pairs(pairs: Sequence[Pair], better: Better) -> Ladder:
    """A side of these levels, in micros."""
    return ladder_of(list(map(_price, pairs)), list(map(_size, pairs)), better)


def best_at(prices: "array[int]", better: Better) -> int:
    """Where the best price stands last; -1 when there is none."""
    at = len(prices) - 1
    best = better(prices) if prices else 0
    while at >= 0 and prices[at] != best:
        at -= 1
    return at
