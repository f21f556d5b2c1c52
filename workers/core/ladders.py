"""One side of a book as a value: exact prices and sizes, the best one last.

Promises  a number is looked up when it is asked for
Source    VENUE §3.1: bids ascend, asks descend, the best is the last of each.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

Numbers = tuple[int, ...]


class Known(Protocol):
    """Prices and sizes of levels by their ids: `core.levels.Levels`, or those of one side."""

    @property
    def prices(self) -> Sequence[int]:
        """In micros."""

    @property
    def sizes(self) -> Sequence[int]:
        """In micros."""


class _Given(msgspec.Struct, frozen=True, gc=False):
    prices: Sequence[int]
    sizes: Sequence[int]


class Ladder(msgspec.Struct, frozen=True, gc=False, eq=False):
    """The levels of one side, in the venue's order."""

    known: Known
    ids: Sequence[int]

    @property
    def price_micros(self) -> Numbers:
        """The price of each."""
        return tuple(map(self.known.prices.__getitem__, self.ids))

    @property
    def size_micros(self) -> Numbers:
        """What stands at each."""
        return tuple(map(self.known.sizes.__getitem__, self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ladder) and self.levels() == other.levels()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.price_micros, self.size_micros))

    def __repr__(self) -> str:
        return f"Ladder({self.levels()})"

    def levels(self) -> list[tuple[int, int]]:
        """(price, size) of each level."""
        return list(zip(self.price_micros, self.size_micros, strict=True))


def ladder_of(prices: Sequence[int], sizes: Sequence[int]) -> Ladder:
    """A side of these prices and sizes, in micros."""
    return Ladder(_Given(prices, sizes), range(len(prices)))
