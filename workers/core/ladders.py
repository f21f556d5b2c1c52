"""One side of a book as a value: exact prices and sizes, the best one last.

Source    VENUE §3.1: bids ascend, asks descend, the best is the last of each.
"""

from collections.abc import Sequence

import msgspec

Numbers = tuple[int, ...]
#: Price and size, in micros.
Pair = tuple[int, int]


class Ladder(msgspec.Struct, frozen=True, gc=False):
    """The levels of one side, in the venue's order."""

    levels: tuple[Pair, ...]

    @property
    def price_micros(self) -> Numbers:
        """The price of each."""
        return tuple([price for price, _ in self.levels])

    @property
    def size_micros(self) -> Numbers:
        """What stands at each."""
        return tuple([size for _, size in self.levels])

    def __len__(self) -> int:
        return len(self.levels)


def ladder_of(prices: Sequence[int], sizes: Sequence[int]) -> Ladder:
    """A side of these prices and sizes, in micros."""
    return Ladder(tuple(zip(prices, sizes, strict=True)))
