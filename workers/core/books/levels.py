"""Levels of books as numbers: every distinct price-and-size text is read once, then known.

Promises  a text is parsed exactly once, strictly; equal texts have equal ids; which ids break a
          sanity check is known before a book is looked at.
Source    two polls of a book share most of its levels (88 of 99, VENUE), so their bytes are looked
          up in a dictionary instead of parsed as JSON
"""

from array import array
from collections.abc import Sequence
from operator import add

from workers.core.books.amounts import INT32_MAX, INT64_MAX, MICROS, Inexact, micros, shortest

BETWEEN = b'"},{"price":"'
_HEAD, _END = b'{"price":"', b'"}'
_SIZE = b'","size":"'
#: Digits before the point of nearly every text.
_WHOLE_MAX = 10
_TENS = (1_000_000, 100_000, 10_000, 1000, 100, 10, 1)
#: Distinct levels that are held at once: about 200 bytes each.
LEVELS_MAX = 20_000


class NotPlain(ValueError):
    """Bytes that are not spelled as the venue spells levels; a JSON parser may still read them."""


class _Numbers(dict[bytes, int]):
    """Micros by their text; texts in `odd` are spelled otherwise than the venue spells them."""

    def __init__(self, at_most: int) -> None:
        super().__init__()
        self._at_most = at_most
        self.odd: set[bytes] = set()

    def __missing__(self, text: bytes) -> int:
        value, is_odd = _number(text, self._at_most)
        if is_odd:
            self.odd.add(text)
        self[text] = value
        return value


class Pairs(dict[bytes, tuple[int, int]]):
    """Price and size in micros of levels by their bytes: for who needs no ids and no checks."""

    def __init__(self) -> None:
        super().__init__()
        # Nearly always a price seen before, and often a size: what one outcome bids, the other
        # asks.
        self._price, self._size = _Numbers(INT32_MAX), _Numbers(INT64_MAX)

    def __missing__(self, text: bytes) -> tuple[int, int]:
        price, _, size = text.partition(_SIZE)
        self[text] = pair = self._price[price], self._size[size]
        return pair

    def of(self, text: bytes) -> tuple[tuple[int, int], ...]:
        """The levels of an array's bytes between its brackets; NotPlain when spelled otherwise."""
        return tuple(map(self.__getitem__, pieces(text)))


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
        self._price, self._size = _Numbers(INT32_MAX), _Numbers(INT64_MAX)

    def __missing__(self, text: bytes) -> int:
        price, _, size = text.partition(_SIZE)
        new = self._keep(text, self._price[price], self._size[size])
        if price in self._price.odd or size in self._size.odd:
            self.odd.add(new)
        return new

    def named(self, price: str, size: str) -> int:
        """The id of a level whose texts a JSON parser gave; Inexact when they are no numbers."""
        try:
            return self[f'{price}","size":"{size}'.encode()]
        except NotPlain as error:
            raise Inexact("bad_number", f"{price} {size}") from error

    def ids(self, text: bytes) -> "array[int]":
        """The ids of an array's bytes between its brackets; NotPlain when spelled otherwise."""
        return self.of_pieces(pieces(text))

    def of_pieces(self, texts: list[bytes]) -> "array[int]":
        """The ids of levels."""
        # By way of a list: an array asks an iterator for each number with a call.
        return array("i", list(map(self.__getitem__, texts)))

    def off_tick(self, tick_micros: int) -> set[int]:
        """The ids whose price is no multiple of a tick; kept up to date."""
        known = self._off.get(tick_micros)
        if known is None:
            known = {at for at, price in enumerate(self.prices) if price % tick_micros}
            self._off[tick_micros] = known
        return known

    def _keep(self, text: bytes, price: int, size: int) -> int:
        new = len(self.prices)
        self.prices.append(price)
        self.sizes.append(size)
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


def pieces(text: bytes) -> list[bytes]:
    """The levels of an array's bytes between its brackets; NotPlain when spelled otherwise."""
    if not text:
        return []
    if not (text.startswith(_HEAD) and text.endswith(_END)):
        raise NotPlain(text[:80])
    return text[10:-2].split(BETWEEN)


def _number(text: bytes, at_most: int) -> tuple[int, bool]:
    """Micros, and whether the text is another than the venue's own spelling of them."""
    whole, point, fraction = text.partition(b".")
    digits = whole + fraction
    if not (digits.isdigit() and whole and (fraction or not point)):
        raise NotPlain(text[:80])
    if len(whole) > _WHOLE_MAX or len(fraction) > 6:
        value = micros(text.decode(), at_most)
        return value, shortest(value) != text.decode()
    value = int(digits) * _TENS[len(fraction)]
    if value > at_most:
        raise Inexact("inexact", text.decode())
    return value, fraction.endswith(b"0") or (whole.startswith(b"0") and whole != b"0")


__all__ = ["BETWEEN", "LEVELS_MAX", "Inexact", "Levels", "NotPlain", "Pairs"]
