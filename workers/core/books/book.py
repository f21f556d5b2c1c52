"""One order book as a value: exact integers, the venue's order, and its hash computed again.

Prices and sizes are micros (millionths): "0.480" is 480_000. The mid of 0.48 and 0.55 is no whole
number of micros in general, so `mid_half_micros` is twice the mid, exactly.

Promises  what is not exact in micros is refused, never rounded; `json_of` gives the bytes the
          venue hashed, from the bytes it sent or from the values alone
Never     judges a price: a crossed or an empty book is a book (VENUE §9 no. 18)
"""

from collections.abc import Iterable, Iterator

import msgspec

from workers.core.books import bookhash, payloads
from workers.core.books.bookhash import Verdict
from workers.core.books.ladders import Ladder, ladder_of, ladder_of_pairs
from workers.core.books.levels import LEVELS_MAX, Inexact, NotPlain, Pairs
from workers.core.books.states import NO_STATE, Bad, Cut, States, Tail
from workers.core.errors import Refused

BID, ASK = "bid", "ask"
#: Tokens whose last sides a reader keeps: some 10 kB each.
_TOKENS_MAX = 500


_NOTHING = (b"", ladder_of((), (), max), b"", ladder_of((), (), min))


class Level(msgspec.Struct, frozen=True):
    """One price and what stands there."""

    price_micros: int
    size_micros: int


class Book(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One book; `spelling` is the venue's bytes where they are at hand, else the values' own."""

    condition_id: str
    token_id: str
    venue_ms: int
    hash: str
    bids: Ladder
    asks: Ladder
    tick_micros: int | None = None
    min_order_size_micros: int | None = None
    neg_risk: bool | None = None
    last_trade_price_micros: int | None = None
    spelling: bytes = b""

    @property
    def best_bid(self) -> Level | None:
        """The highest bid: the venue's last one."""
        return _best(self.bids)

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask: the venue's last one."""
        return _best(self.asks)

    @property
    def mid_half_micros(self) -> int | None:
        """Twice the mid, or None when a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else bid.price_micros + ask.price_micros

    @property
    def spread_micros(self) -> int | None:
        """Best ask minus best bid: negative when crossed; None when a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else ask.price_micros - bid.price_micros

    def side(self, side: str) -> list[Level]:
        """The levels of "bid" or "ask", the best one first."""
        ladder = self.bids if side == BID else self.asks
        ranked = sorted(ladder.levels, key=lambda each: each[0], reverse=side == BID)
        return [Level(*each) for each in ranked]


def _best(ladder: Ladder) -> Level | None:
    at = ladder.best_at
    return None if at < 0 else Level(ladder.price_micros[at], ladder.size_micros[at])


def read_book(raw: bytes) -> Book:
    """A book from the venue's bytes.

    Raises:
        Refused: not a book, or an amount that is not exact in micros.
    """
    return BookReader().read(raw)


class BookReader:
    """Reads books one after the other: a level is parsed once, a side once while it stays."""

    def __init__(self) -> None:
        self._states, self._pairs = States(), Pairs()
        self._before: dict[str, tuple[bytes, Ladder, bytes, Ladder]] = {}

    def read(self, raw: bytes) -> Book:
        """The next book; raises Refused as `read_book` does."""
        known = max(len(self._pairs), len(self._states.levels))
        if known > LEVELS_MAX or len(self._before) > _TOKENS_MAX:
            self.__init__()  # type: ignore[misc] # what is known is looked up anew
        try:
            cut = self._states.cut(raw)
            return self._plain(raw, cut) if cut else self._parsed(raw)
        except (NotPlain, Inexact):
            return self._parsed(raw)

    def _plain(self, raw: bytes, cut: Cut) -> Book:
        bids_text, bids, asks_text, asks = self._before.get(cut.token_id, _NOTHING)
        if cut.bids != bids_text:
            bids = ladder_of_pairs(self._pairs.of(cut.bids), max)
        if cut.asks != asks_text:
            asks = ladder_of_pairs(self._pairs.of(cut.asks), min)
        self._before[cut.token_id] = cut.bids, bids, cut.asks, asks
        timestamp, told = cut.stamp.groups()
        head = cut.market, cut.token_id, int(timestamp), told.decode()
        return book_of_parts(raw, head, (bids, asks), cut.tail)

    def _parsed(self, raw: bytes) -> Book:
        """A book that is not spelled as the venue spells them, or is none."""
        try:
            state = self._states.read(raw, NO_STATE)
        except Bad as error:
            raise Refused(str(error)) from error
        levels = self._states.levels
        price, size = levels.prices.__getitem__, levels.sizes.__getitem__
        bids = ladder_of(map(price, state.bids.ids), map(size, state.bids.ids), max)
        asks = ladder_of(map(price, state.asks.ids), map(size, state.asks.ids), min)
        head = state.market, state.token_id, state.venue_ms, state.hash
        return book_of_parts(raw, head, (bids, asks), state.tail)


def book_of_parts(
    raw: bytes, head: tuple[str, str, int, str], sides: tuple[Ladder, Ladder], tail: Tail
) -> Book:
    """A book from its bytes, its first four members, its sides, and what stands behind them."""
    return Book(
        condition_id=head[0],
        token_id=head[1],
        venue_ms=head[2],
        hash=head[3],
        bids=sides[0],
        asks=sides[1],
        tick_micros=tail.tick_micros,
        min_order_size_micros=tail.min_order_size_micros,
        neg_risk=tail.neg_risk,
        last_trade_price_micros=tail.last_trade_price_micros,
        spelling=raw,
    )


def json_of(book: Book) -> bytes:
    """The book as the venue spells it: the bytes that were sent, or the same from the values."""
    if book.spelling:
        return book.spelling
    hashed = payloads.Hashed(
        condition_id=book.condition_id,
        token_id=book.token_id,
        venue_ms=book.venue_ms,
        bid_price_micros=book.bids.price_micros,
        bid_size_micros=book.bids.size_micros,
        ask_price_micros=book.asks.price_micros,
        ask_size_micros=book.asks.size_micros,
        min_order_size_micros=book.min_order_size_micros or 0,
        tick_micros=book.tick_micros or 0,
        neg_risk=bool(book.neg_risk),
        last_trade_price_micros=book.last_trade_price_micros,
    )
    return with_hash(payloads.payload(hashed), book.hash)


def with_hash(hashed: bytes, digest: str) -> bytes:
    """The bytes the venue hashed, with the hash at its place."""
    return hashed.replace(b'"hash":""', b'"hash":"%b"' % digest.encode(), 1)


def hash_verdict(book: Book) -> Verdict:
    """Compute the venue's hash again and compare."""
    return bookhash.verdict(json_of(book))


def of_values(book: Book) -> Book:
    """The book without the venue's bytes: what is left must give the same hash."""
    return msgspec.structs.replace(book, spelling=b"")


class LevelChange(msgspec.Struct, frozen=True):
    """One price whose size differs; a size of 0 means nothing stands there."""

    side: str
    price_micros: int
    before_micros: int
    after_micros: int


def changes_between(before: Book, after: Book) -> list[LevelChange]:
    """What changed, level by level: asks from the highest, then bids from the highest."""
    return [
        *_side_changes(ASK, before.asks, after.asks),
        *_side_changes(BID, before.bids, after.bids),
    ]


def _side_changes(side: str, before: Ladder, after: Ladder) -> Iterator[LevelChange]:
    old, new = dict(before.levels), dict(after.levels)
    for price in sorted(old.keys() | new.keys(), reverse=True):
        was, now = old.get(price, 0), new.get(price, 0)
        if was != now:
            yield LevelChange(side, price, was, now)


def changed(before: Book, changes: Iterable[LevelChange], like: Book) -> Book:
    """`before` after the changes, with the other members of `like`.

    If these are all the changes there were, its hash is the one that `like` carries.
    """
    sides = {BID: dict(before.bids.levels), ASK: dict(before.asks.levels)}
    for each in changes:
        if each.after_micros:
            sides[each.side][each.price_micros] = each.after_micros
        else:
            sides[each.side].pop(each.price_micros, None)
    bids = sorted(sides[BID].items())
    asks = sorted(sides[ASK].items(), reverse=True)
    return msgspec.structs.replace(
        like, bids=ladder_of_pairs(bids, max), asks=ladder_of_pairs(asks, min), spelling=b""
    )
