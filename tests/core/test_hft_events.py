"""Holds the events of hftbacktest: applied one after the other they give every book again."""

import ast
import struct
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from workers.core.books.book import Book
from workers.core.books.ladders import Ladder, ladder_of
from workers.core.reading.evidence import Provenance, Trade
from workers.core.reading.hft_events import (
    BUY,
    CLEAR,
    DEPTH,
    EXCHANGE,
    LOCAL,
    RECORD_BYTES,
    SELL,
    SNAPSHOT,
    TRADE,
    HftEvents,
    npy_head,
)

MS = 1_000_000
amounts = st.integers(1, 10**12)
ladders = st.dictionaries(st.integers(1, 999), amounts, max_size=6)
books = st.tuples(st.integers(0, 50), ladders, ladders)
#: A book (venue ms, bids, asks), or None for a gap.
stories = st.lists(st.one_of(books, st.none()), max_size=12)


def ladder(levels: dict[int, int]) -> Ladder:
    ranked = sorted(levels.items())
    prices, sizes = [each[0] * 1000 for each in ranked], [each[1] for each in ranked]
    return ladder_of(prices, sizes, max)


def book(venue_ms: int, bids: dict[int, int], asks: dict[int, int]) -> Book:
    return Book(
        condition_id="0x1",
        token_id="1",
        venue_ms=venue_ms,
        hash="",
        bids=ladder(bids),
        asks=ladder(asks),
    )


def records(data: bytes) -> Iterable[tuple[int, int, int, float, float]]:
    for ev, exch, local, px, qty, *_ in struct.iter_unpack("<QqqddQqd", data):
        yield ev, exch, local, px, qty


class Reader:
    """A book kept by the events, as a program does that has never seen ours."""

    def __init__(self) -> None:
        self.sides: dict[int, dict[float, float]] = {BUY: {}, SELL: {}}
        self.exch = self.local = 0

    def read(self, data: bytes) -> None:
        for ev, exch, local, px, qty in records(data):
            assert EXCHANGE | LOCAL == ev & (EXCHANGE | LOCAL)
            assert exch >= self.exch
            assert local >= self.local
            self.exch, self.local = exch, local
            kind, side = ev & 0xFF, ev & (BUY | SELL)
            assert kind in (DEPTH, CLEAR, SNAPSHOT)
            if kind == CLEAR:
                self.sides = {BUY: {}, SELL: {}}
            elif qty == 0:
                assert kind == DEPTH
                del self.sides[side][px]
            else:
                self.sides[side][px] = qty


@given(stories)
def test_any_story_of_books_and_gaps_is_read_back(story):
    events, reader = HftEvents(), Reader()
    for at, each in enumerate(story, 1):
        local_ns = at * 10 * MS
        reader.read(events.gap(local_ns) if each is None else events.book(book(*each), local_ns))

        _, bids, asks = each or (0, {}, {})
        assert {price / 1000: size / MS for price, size in bids.items()} == reader.sides[BUY]
        assert {price / 1000: size / MS for price, size in asks.items()} == reader.sides[SELL]


@given(stories)
def test_every_event_is_counted(story):
    events = HftEvents()
    data = b"".join(
        events.gap(at * MS) if each is None else events.book(book(*each), at * MS)
        for at, each in enumerate(story, 1)
    )

    assert events.counts.events * RECORD_BYTES == len(data)
    assert events.counts.books == len([each for each in story if each])


def test_a_snapshot_begins_with_a_clear():
    events = HftEvents()
    first = [each[0] & 0xFF for each in records(events.book(book(1, {480: 5}, {520: 1}), 10))]

    assert [CLEAR, SNAPSHOT, SNAPSHOT] == first


def test_a_book_that_did_not_change_gives_nothing():
    events = HftEvents()
    events.book(book(1, {480: 5}, {}), 10)

    assert b"" == events.book(book(1, {480: 5}, {}), 20)
    assert 1 == events.counts.unchanged


def test_times_that_go_back_are_held_and_counted():
    events = HftEvents()
    events.book(book(5, {480: 5}, {}), 100 * MS)
    ((_, exch, local, _, _),) = records(events.book(book(3, {480: 6}, {}), 90 * MS))

    assert (5 * MS, 100 * MS, 1) == (exch, local, events.counts.held_back)


def test_a_book_that_came_before_its_own_time_is_counted_and_left_as_it_is():
    events = HftEvents()
    data = events.book(book(200, {}, {}), 100 * MS)

    assert [(200 * MS, 100 * MS)] == [each[1:3] for each in records(data)]
    assert 1 == events.counts.early


def test_the_head_is_what_numpy_reads():
    head = npy_head(12)
    (size,) = struct.unpack_from("<H", head, 8)

    assert b"\x93NUMPY\x01\x00" == head[:8]
    assert 0 == len(head) % 64
    assert len(head) == size + 10
    told = ast.literal_eval(head[10:].decode())
    assert ((12,), False) == (told["shape"], told["fortran_order"])
    assert 8 * len(told["descr"]) == RECORD_BYTES


def test_a_trade_tells_its_side_and_both_times_and_leaves_the_book_alone():
    events, source = HftEvents(), Provenance(path="p", row=1, sha256=None)
    events.book(book(5, {480: 10}, {}), 7 * MS)
    found = []
    for side in ("BUY", "SELL", ""):
        told = Trade(
            token_id="1",
            venue_ms=9,
            recv_wall_ns=12 * MS,
            side=side,
            price_micros=480_000,
            size_micros=5_500_000,
            provenance=source,
        )
        found += records(events.trade(told))

    assert [(BUY, 9 * MS, 12 * MS), (SELL, 9 * MS, 12 * MS), (0, 9 * MS, 12 * MS)] == [
        (ev ^ (EXCHANGE | LOCAL | TRADE), exch, local) for ev, exch, local, _, _ in found
    ]
    assert {(0.48, 5.5)} == {(px, qty) for *_, px, qty in found}
    assert b"" == events.book(book(5, {480: 10}, {}), 13 * MS)
    assert 3 == events.counts.trades
