"""Whole books of the stream as columns of `snapshots`.

Promises  where a tail is given, the columns hash to what was told (`core.books.payloads`): a row
          proves itself; the levels stand in the venue's order
"""

from collections.abc import Sequence

import msgspec

from workers.core.books.amounts import INT32_MAX, Inexact, micros
from workers.core.books.levels import LEVELS_MAX
from workers.core.books.payloads import Hashed, hash_of
from workers.core.books.states import NO_STATE, Bad, State, States
from workers.core.stream.lines import Heard
from workers.core.stream.rebuilt import Rebuilt
from workers.core.stream.tails import Tail, tail_text

Ladders = tuple[list[int], list[int], list[int], list[int]]


class Books:
    """Reads books one after the other; remembers levels, not books."""

    def __init__(self) -> None:
        self._states = States()

    def columns(self, heard: Heard, tail: Tail | None) -> tuple[object, ...]:
        """From `best_bid_micros` to `texts`, but for the verdict; raises Bad.

        Args:
            heard: a line with a book.
            tail: with which it has the hash told; None = as far as the book tells it.
        """
        if len(self._states.levels) > LEVELS_MAX:
            self._states = States()
        state = self._states.read(heard.raw, NO_STATE)
        ladders = self._ladders(state)
        told = _numbers(tail) if tail is not None else _told(state)
        best = (ladders[0][-1] if ladders[0] else None, ladders[2][-1] if ladders[2] else None)
        texts = None if tail is None else _texts(heard, tail, _hashed(state, ladders, told))
        return (*best, *ladders, *told, state.hash, texts)

    def _ladders(self, state: State) -> Ladders:
        levels = self._states.levels
        price, size = levels.prices.__getitem__, levels.sizes.__getitem__
        bids, asks = state.bids.ids, state.asks.ids
        return (
            *(list(map(price, bids)), list(map(size, bids))),
            *(list(map(price, asks)), list(map(size, asks))),
        )


def _numbers(tail: Tail) -> Sequence[object]:
    last = tail.last_trade_price
    try:
        return (
            micros(tail.tick_size, INT32_MAX),
            micros(tail.min_order_size),
            tail.neg_risk,
            micros(last, INT32_MAX) if last else None,
        )
    except Inexact as error:
        raise Bad(error.reason, str(error)) from error


def _told(state: State) -> Sequence[object]:
    tail = state.tail
    return (
        *(tail.tick_micros, tail.min_order_size_micros, tail.neg_risk),
        tail.last_trade_price_micros,
    )


def _hashed(state: State, ladders: Ladders, told: Sequence[object]) -> Hashed:
    return msgspec.convert(
        {
            "condition_id": state.market,
            "token_id": state.token_id,
            "venue_ms": state.venue_ms,
            "bid_price_micros": ladders[0],
            "bid_size_micros": ladders[1],
            "ask_price_micros": ladders[2],
            "ask_size_micros": ladders[3],
            "tick_micros": told[0],
            "min_order_size_micros": told[1],
            "neg_risk": told[2],
            "last_trade_price_micros": told[3],
        },
        Hashed,
    )


def _texts(heard: Heard, tail: Tail, hashed: Hashed) -> str | None:
    """The hashed bytes, where the columns do not give them."""
    if hash_of(hashed) == heard.told.hash:
        return None
    rebuilt = Rebuilt(heard.told.market, heard.told.asset_id, heard.raw)
    return (rebuilt.prefix(heard.timestamp) + tail_text(tail)).decode()
