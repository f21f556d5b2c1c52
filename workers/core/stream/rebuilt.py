"""One token's book under changes: the levels as the venue spells them, in its order.

Promises  exact: a price is an integer of micros, a level's texts are the venue's own, so the hash
          can be checked; the best prices are known at once
Fails     NoBook when bytes are no book, NoChange when an item is no change; the book stays as it
          was
Source    VENUE §4 and §5.3: bids ascending, asks descending; `size` is the new aggregate, "0"
          removes
"""

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable

import msgspec

from workers.core.books.amounts import INT32_MAX, MICROS, Inexact, micros
from workers.core.errors import Refused
from workers.core.stream.frames import Change
from workers.core.stream.tails import Tail, digest, tail_text

_BIDS, _ASKS = b'"bids":[', b'"asks":['
_DIGITS = "0123456789"
_PRICES_MAX = 5_000
_LEVELS = re.compile(r'(?<=\{)"price":"([0-9.]+)","size":"[0-9]+(?:\.[0-9]+)?"(?=\})', re.ASCII)
_BETWEEN = "},{"


class NoBook(Refused):
    """Bytes that are no book, or not exactly one."""


class NoChange(Refused):
    """An item that is no change of a book: no number, or no side."""


class _Level(msgspec.Struct, frozen=True, gc=False):
    price: str
    size: str


class _Sides(msgspec.Struct, frozen=True):
    bids: list[_Level]
    asks: list[_Level]


_sides = msgspec.json.Decoder(_Sides)


class HalfBook:
    """One side: the level texts by price in micros, the prices in ascending order, the best one.

    `best` is 0 when there is no level.
    """

    __slots__ = ("_best_at", "_ordered", "_text", "best", "prices", "texts")

    def __init__(
        self, text: str, ordered: Callable[[list[int]], Iterable[int]], best_at: int
    ) -> None:
        """`text` is the array between its brackets, `ordered` the venue's order of its prices.

        Raises Inexact when these are not levels as the venue spells them.
        """
        pieces, prices = text[1:-1].split(_BETWEEN) if text else [], _LEVELS.findall(text)
        if not len(prices) == len(pieces) == text.count("{"):
            raise Inexact("bad_number", text)
        told = [*map(_prices.__getitem__, prices)]
        self.texts = dict(zip(told, pieces, strict=True))
        self.prices = sorted(self.texts)
        self._ordered, self._best_at = ordered, best_at
        self.best = self.prices[best_at] if told else 0
        self._text = text if told == [*ordered(self.prices)] else None

    def set(self, price: int, piece: str) -> None:
        """Put a level, spelled without its braces."""
        texts = self.texts
        before = len(texts)
        texts[price] = piece
        if len(texts) != before:
            insort(self.prices, price)
            self.best = self.prices[self._best_at]
        self._text = None

    def remove(self, price: int) -> None:
        """Take a level away, if it is there."""
        if self.texts.pop(price, None) is not None:
            del self.prices[bisect_left(self.prices, price)]
            self.best = self.prices[self._best_at] if self.prices else 0
            self._text = None

    def text(self) -> str:
        """The array between its brackets, in the venue's order."""
        if self._text is None:
            self._text = _joined(map(self.texts.__getitem__, self._ordered(self.prices)))
        return self._text


class _Prices(dict[str, int]):
    """Prices in micros by their texts, which are few: each is parsed once."""

    def __missing__(self, text: str) -> int:
        if len(self) > _PRICES_MAX:
            self.clear()
        value = self[text] = micros(text, INT32_MAX)
        return value


class _Bests(_Prices):
    """Best prices told: an empty side is told as "", "0" or "1", and is 0 here."""

    def __missing__(self, text: str) -> int:
        value = super().__missing__(text or "0")
        self[text] = value = 0 if value == MICROS else value
        return value


_prices, _bests = _Prices(), _Bests()


class Rebuilt:
    """A token's book; begins as the book that `raw` tells. Raises NoBook.

    A side that `before` tells with the same text is taken over from it, for most books repeat one:
    `before` goes, or is read only from then on.
    """

    __slots__ = ("_asks", "_bids", "_names")

    def __init__(
        self, market: str, token_id: str, raw: bytes, before: "Rebuilt | None" = None
    ) -> None:
        names = (msgspec.json.encode(each).decode() for each in (market, token_id))
        self._names = '{{"market":{},"asset_id":{},"timestamp":"'.format(*names)
        known = () if before is None else before.sides()
        self._bids, self._asks = read_sides(raw, known)

    def sides(self) -> tuple[HalfBook, HalfBook]:
        """The bids and the asks."""
        return self._bids, self._asks

    def apply(self, change: Change) -> None:
        """Set or remove one level. Raises NoChange."""
        text, size, side = change.price, change.size, change.side
        try:
            price = _prices[text]
        except Inexact as error:
            raise NoChange(str(error)) from error
        half = self._bids if side == "BUY" else self._asks if side == "SELL" else None
        rest = size.strip(_DIGITS)
        is_size = size and (not rest or (rest == "." and size[0] != "." != size[-1]))
        if half is None or not is_size:
            raise NoChange(f"{side[:20]!r} {size[:40]!r}")
        if size[0] == "0" and not size.strip("0."):
            half.remove(price)
        else:
            half.set(price, f'"price":"{text}","size":"{size}"')

    def best(self) -> tuple[int, int]:
        """The best bid and the best ask in micros; 0 = that side is empty."""
        return self._bids.best, self._asks.best

    def agrees(self, change: Change) -> bool:
        """True when the best prices that a change tells are those of this book.

        A price that is not told, or not a number, says nothing.
        """
        bid, ask = change.best_bid, change.best_ask
        try:
            return (bid is None or _bests[bid] == self._bids.best) and (
                ask is None or _bests[ask] == self._asks.best
            )
        except Inexact:
            return True

    def levels(self) -> tuple[dict[int, str], dict[int, str]]:
        """Texts of the bids and of the asks by price in micros; not to be written to."""
        return self._bids.texts, self._asks.texts

    def prefix(self, timestamp: str) -> bytes:
        """The hashed bytes up to the bracket that ends the asks."""
        return self._prefix(timestamp, "")

    def digest(self, timestamp: str, tail: Tail) -> str:
        """The hash of this book at that time, as the venue makes it."""
        return digest(self._prefix(timestamp, ""), tail)

    def raw(self, timestamp: str, tail: Tail, told: str) -> bytes:
        """The book in the venue's spelling of a REST book, with the hash `told`."""
        return self._prefix(timestamp, told) + tail_text(tail)

    def _prefix(self, timestamp: str, told: str) -> bytes:
        return (
            f'{self._names}{timestamp}","hash":"{told}","bids":[{self._bids.text()}],'
            f'"asks":[{self._asks.text()}]'
        ).encode()


def read_sides(raw: bytes, known: tuple[HalfBook, ...] = ()) -> tuple[HalfBook, HalfBook]:
    """The bids and the asks of a book's bytes, of `known` what it repeats; raises NoBook."""
    try:
        return _halves(_between(raw, _BIDS), _between(raw, _ASKS), known)
    except (Inexact, UnicodeDecodeError):
        pass  # not spelled as the venue does; a JSON parser may still read it
    try:
        sides = _sides.decode(raw)
        return _halves(_spelled(sides.bids), _spelled(sides.asks), ())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Inexact) as error:
        raise NoBook(str(error)[:200]) from error


def _halves(bids: str, asks: str, known: tuple[HalfBook, ...]) -> tuple[HalfBook, HalfBook]:
    for_bids, for_asks = known or (None, None)
    return (
        for_bids if for_bids and for_bids.text() == bids else HalfBook(bids, iter, -1),
        for_asks if for_asks and for_asks.text() == asks else HalfBook(asks, reversed, 0),
    )


def _between(raw: bytes, key: bytes) -> str:
    start = raw.find(key) + len(key)
    end = raw.find(b"]", start)
    if start < len(key) or end < 0 or raw.find(key, end) >= 0:
        raise Inexact("bad_number", "no such array, or two of them")
    # No level has a bracket, so what stands between them is the array, or no level at all.
    return raw[start:end].decode()


def _spelled(levels: list[_Level]) -> str:
    return _joined(f'"price":"{each.price}","size":"{each.size}"' for each in levels)


def _joined(pieces: Iterable[str]) -> str:
    joined = _BETWEEN.join(pieces)
    return f"{{{joined}}}" if joined else ""
