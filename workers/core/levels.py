"""Levels of books as numbers: every distinct price-and-size text is read once, then known by id.

Promises  a text is parsed exactly once, strictly; equal texts have equal ids; which ids break a
          sanity check is known before a book is looked at.
Source    two polls of a book share most of its levels (88 of 99, VENUE), so their bytes are looked
          up in a dictionary instead of parsed as JSON
"""

import re
from array import array
from collections.abc import Sequence
from operator import add

from workers.core.amounts import INT32_MAX, INT64_MAX, MICROS, Inexact, micros, shortest

BETWEEN = b'"},{"price":"'
_HEAD, _END = b'{"price":"', b'"}'
_DECIMAL = re.compile(rb"[0-9]+(?:\.[0-9]+)?")
#: A canonical decimal of at most six decimals and ten digits before them: nearly every text.
_CANONICAL = re.compile(rb"(0|[1-9][0-9]{0,9})(?:\.([0-9]{0,5}[1-9]))?")
_SIZE = b'","size":"'
_TENS = (1_000_000, 100_000, 10_000, 1000, 100, 10, 1)
#: Distinct levels that are held at once: about 200 bytes each.
LEVELS_MAX = 20_000


class NotPlain(ValueError):
    """Bytes that are not spelled as the venue spells levels; a JSON parser may still read them."""


class Levels(dict[bytes, int]):
    """Ids of levels by their bytes; `prices` and `sizes` are the columns that ids point into."""

    def __init__(self) -> None:
        super().__init__()
        # Lists: an array makes a number anew each time it is asked for one.
        self.prices: list[int] = []
        self.sizes: list[int] = []
        self.odd: set[int] = set()
        self.empty: set[int] = set()
        self.outside: set[int] = set()
        self._off: dict[int, set[int]] = {}
        self._known_prices: dict[bytes, tuple[int, bool]] = {}
        self._known_sizes: dict[bytes, tuple[int, bool]] = {}

    def __missing__(self, text: bytes) -> int:
        # Nearly always a price seen before, and often a size: what one outcome bids, the other
        # asks.
        price_text, _, size_text = text.partition(_SIZE)
        price, size = self._known_prices.get(price_text), self._known_sizes.get(size_text)
        if price is None:
            price = self._known_prices[price_text] = _number(price_text, INT32_MAX)
        if size is None:
            size = self._known_sizes[size_text] = _number(size_text, INT64_MAX)
        return self._keep(text, price, size)

    def named(self, price: str, size: str) -> int:
        """The id of a level whose texts a JSON parser gave; Inexact when they are no numbers."""
        try:
            return self[f'{price}","size":"{size}'.encode()]
        except NotPlain as error:
            raise Inexact("bad_number", f"{price} {size}") from error

    def ids(self, text: bytes) -> "array[int]":
        """The ids of an array's bytes between its brackets; NotPlain when spelled otherwise."""
        if not text:
            return array("i")
        if not (text.startswith(_HEAD) and text.endswith(_END)):
            raise NotPlain(text[:80])
        return self.of_pieces(text[10:-2])

    def of_pieces(self, text: bytes) -> "array[int]":
        """The ids of levels joined by BETWEEN."""
        # By way of a list: an array asks an iterator for each number with a call.
        return array("i", list(map(self.__getitem__, text.split(BETWEEN))))

    def off_tick(self, tick_micros: int) -> set[int]:
        """The ids whose price is no multiple of a tick; kept up to date."""
        known = self._off.get(tick_micros)
        if known is None:
            known = {at for at, price in enumerate(self.prices) if price % tick_micros}
            self._off[tick_micros] = known
        return known

    def _keep(self, text: bytes, price_told: tuple[int, bool], size_told: tuple[int, bool]) -> int:
        (price, is_price_odd), (size, is_size_odd) = price_told, size_told
        new = len(self.prices)
        self.prices.append(price)
        self.sizes.append(size)
        if is_price_odd or is_size_odd:
            self.odd.add(new)
        if not size:
            self.empty.add(new)
        if not 0 < price < MICROS:
            self.outside.add(new)
        for tick, off in self._off.items():
            if price % tick:
                off.add(new)
        self[text] = new
        return new

    def are_mirrors(self, some: Sequence[int], others: Sequence[int], start: int = 0) -> bool:
        """True when bid p of one side is ask 1 - p of the other, with the same size, in order.

        The levels before `start` are known to be so.
        """
        if len(some) != len(others):
            return False
        some, others = some[start:], others[start:]
        size, price = self.sizes.__getitem__, self.prices.__getitem__
        if list(map(size, some)) != list(map(size, others)):
            return False
        return {MICROS}.issuperset(map(add, map(price, some), map(price, others)))


def _number(text: bytes, at_most: int) -> tuple[int, bool]:
    """Micros, and whether the text is another than the venue's own spelling of them."""
    found = _CANONICAL.fullmatch(text)
    if found is None:
        if not _DECIMAL.fullmatch(text):
            raise NotPlain(text[:80])
        value = micros(text.decode(), at_most)
        return value, shortest(value) != text.decode()
    whole, fraction = found.groups()
    value = int(whole) * MICROS
    if fraction:
        value += int(fraction) * _TENS[len(fraction)]
    return (value, False) if value <= at_most else (micros(text.decode(), at_most), False)


__all__ = ["BETWEEN", "LEVELS_MAX", "Inexact", "Levels", "NotPlain"]
