"""What the venue hashes behind the levels of a book, and the search for what it did not tell.

Promises  a tail is found only where its SHA-1 is the one told; at most TRIES_MAX are tried
Source    VENUE §4: on the stream `min_order_size` and `neg_risk` are never told, `tick_size` and
          `last_trade_price` only in the dump; the price is often that of the next trade, so it
          cannot be derived from earlier messages. All 7,437 captured books verify so.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import msgspec

from workers.core.books.amounts import INT32_MAX, MICROS, Inexact, micros, three_decimals
from workers.core.stream.frames import Told

TRIES_MAX = 2_100
_HINTS_MAX = 8
_PRICES = ("", *(f"0.{each:03d}" for each in range(1000)))
_TICKS = ("0.01", "0.001")
_RARE_TICKS = ("0.005", "0.0025", "0.0001", "0.1")
_MINIMA = ("5", "15", "1", "10", "20", "50", "0")


class Tail(msgspec.Struct, frozen=True):
    """The four members behind the levels, texts verbatim; the defaults are the usual ones."""

    min_order_size: str = "5"
    tick_size: str = "0.01"
    neg_risk: bool = False
    last_trade_price: str = ""


def tail_text(tail: Tail) -> bytes:
    """The hashed bytes behind the asks, with the brace that ends the book."""
    return (
        f',"min_order_size":"{tail.min_order_size}","tick_size":"{tail.tick_size}",'
        f'"neg_risk":{"true" if tail.neg_risk else "false"},'
        f'"last_trade_price":"{tail.last_trade_price}"}}'
    ).encode()


def digest(prefix: bytes, tail: Tail) -> str:
    """The 40 hex digits of a book.

    Args:
        prefix: its hashed bytes up to the bracket that ends the asks.
        tail: what stands behind them.
    """
    return hashlib.sha1(prefix + tail_text(tail), usedforsecurity=False).hexdigest()


def search(prefix: bytes, told: str, guess: Tail, hints: Iterable[str] = ()) -> Tail | None:
    """The tail with which a book has the hash told, or None.

    Args:
        prefix: its hashed bytes up to the bracket that ends the asks; hashed once.
        told: the 40 hex digits.
        guess: what is known or supposed, tried first.
        hints: texts of last trades' prices that are tried before all others.
    """
    begun = hashlib.sha1(prefix, usedforsecurity=False)
    for tail in islice(_candidates(guess, hints), TRIES_MAX):
        tried = begun.copy()
        tried.update(tail_text(tail))
        if tried.hexdigest() == told:
            return tail
    return None


class Tails:
    """What is known of the tail of one market's books; both outcomes share it.

    `guess` is the tail told or found last.
    """

    def __init__(self, guess: Tail | None = None) -> None:
        self.guess = guess or Tail()
        self._hints: dict[str, None] = {}

    def learn(self, told: Told) -> None:
        """Take over what a book tells."""
        for name in Tail.__struct_fields__:
            value = getattr(told, name)
            if value is not None:
                self.guess = msgspec.structs.replace(self.guess, **{name: value})

    def ticked(self, tick_size: str) -> None:
        """Take a new tick."""
        self.guess = msgspec.structs.replace(self.guess, tick_size=tick_size)

    def traded(self, price: str) -> None:
        """A trade at this price: the venue hashes it, or its complement, before or after it."""
        try:
            value = micros(price, INT32_MAX)
        except Inexact:
            return
        for hint in (three_decimals(value), three_decimals(max(MICROS - value, 0))):
            self._hints.pop(hint, None)
            self._hints = {hint: None, **self._hints}
        self._hints = dict(islice(self._hints.items(), _HINTS_MAX))

    def is_known(self, prefix: bytes, told: str) -> bool:
        """True when a book has the hash told with the tail known."""
        return digest(prefix, self.guess) == told

    def find(self, prefix: bytes, told: str) -> bool:
        """True when a tail is found that explains the hash told; it is the guess from now on."""
        found = search(prefix, told, self.guess, self._hints)
        if found is not None:
            self.guess = found
        return found is not None


def _candidates(guess: Tail, hints: Iterable[str]) -> Iterator[Tail]:
    replace = msgspec.structs.replace
    yield guess
    ticks = tuple(dict.fromkeys((guess.tick_size, *_TICKS)))
    near = tuple(dict.fromkeys((guess.last_trade_price, *hints)))
    yield from _priced(guess, (*ticks, *_RARE_TICKS), near)
    for neg_risk in (guess.neg_risk, not guess.neg_risk):
        other = replace(guess, neg_risk=neg_risk)
        for minimum in _MINIMA:
            yield from _priced(replace(other, min_order_size=minimum), ticks[:2], near[:1])
    yield from chain.from_iterable(_priced(guess, (tick,), _PRICES) for tick in ticks)


def _priced(tail: Tail, ticks: Iterable[str], prices: Iterable[str]) -> Iterator[Tail]:
    for tick in ticks:
        for price in prices:
            yield Tail(tail.min_order_size, tick, tail.neg_risk, price)
