"""One side of a book: its levels as ids, and what is wrong with them, told from what changed.

Promises  the ids are those of the whole text, however much of it was taken from the side before
"""

from array import array
from collections.abc import Callable, Sequence
from itertools import islice
from operator import gt, lt

import msgspec

from workers.core.books.levels import BETWEEN, Levels

#: Below this many bytes a longer common beginning is not looked for.
_WORTH_BYTES = 96
Order = Callable[[int, int], bool]
#: The venue's order: the best level of either side is its last.
ASCENDING: Order = lt
DESCENDING: Order = gt


class Side(msgspec.Struct, frozen=True, gc=False):
    """The levels of one side at one moment; `kept` of them are those of the side before."""

    text: bytes
    ids: "array[int]"
    is_ordered: bool
    kept: int = 0

    def kept_of(self, before: "Side") -> int:
        """How many first levels are those of the side it was read after."""
        return len(self.ids) if self is before else min(self.kept, len(before.ids))


EMPTY = Side(b"", array("i"), is_ordered=True)


def side_of(levels: Levels, text: bytes, before: Side, order: Order) -> Side:
    """The side whose array has these bytes between its brackets.

    Args:
        levels: gives the ids.
        text: the venue's bytes.
        before: the same side of the token's row before, or EMPTY.
        order: how prices go on: ASCENDING for bids, DESCENDING for asks.

    Raises:
        NotPlain, Inexact: as Levels says.
    """
    if text == before.text:
        return before
    cut = _common(text, before.text)
    if cut == 0:
        return whole_side(levels, text, levels.ids(text), order)
    kept = text.count(b"{", 0, cut)
    if not text.endswith(b'"}'):
        levels.ids(text)
    ids = before.ids[:kept] + levels.of_pieces(text[cut + len(BETWEEN) : -2].split(BETWEEN))
    is_ordered = before.is_ordered and _is_ordered(levels, ids[kept - 1 :], order)
    if not before.is_ordered:
        is_ordered = _is_ordered(levels, ids, order)
    return Side(text, ids, is_ordered, kept)


def whole_side(levels: Levels, text: bytes, ids: "array[int]", order: Order) -> Side:
    """A side of which nothing is known from before."""
    return Side(text, ids, _is_ordered(levels, ids, order))


def _is_ordered(levels: Levels, ids: Sequence[int], order: Order) -> bool:
    prices = list(map(levels.prices.__getitem__, ids))
    return all(map(order, prices, islice(prices, 1, None)))


def _common(text: bytes, other: bytes) -> int:
    """Where the last level ends, in bytes before `BETWEEN`, that both texts begin with; or 0.

    The best level is last and most changes are near it, so that half of a side or more is as it
    was (tests/bench/normalize.py): found by halving, with memcmp.
    """
    low, high = 0, min(len(text), len(other))
    while high - low > _WORTH_BYTES:
        middle = (low + high) // 2
        if text[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return max(0, text.rfind(BETWEEN, 0, low)) if low else 0
