"""Holds core.books.strips and core.books.level_runs: books read many at a time are those read one by one."""

import json
from array import array

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.books import raw, sides
from tests.core.test_book import ASKS, BIDS, REFUSED, SPELLINGS
from workers.core.books.amounts import shortest
from workers.core.books.book import BookReader
from workers.core.books.ladders import ladder_of
from workers.core.books.level_runs import LevelRuns
from workers.core.books.strips import Strip
from workers.core.errors import Refused

#: Amounts that are plain, and some that are not: prices from 1, sizes of nine digits and more.
texts = st.integers(0, 10**18).map(shortest)
digits = st.text("0123456789", min_size=1, max_size=9)
spelled = st.tuples(digits, digits).map(".".join) | digits | texts
levels = st.lists(st.tuples(spelled, spelled), max_size=6)


def placed(books: list[bytes], row: bytes = b"%b\n") -> tuple[bytes, list[tuple[int, int]]]:
    """Rows of books, and where each book stands."""
    rows, spots = b"", []
    head = row.index(b"%b")
    for each in books:
        spots.append((len(rows) + head, len(rows) + head + len(each)))
        rows += row % each
    return rows, spots


def test_captured_books_are_taken_plainly_and_are_those_read_one_by_one(captures):
    batch = json.loads((captures / "rest/post-books-2026-05-17.json").read_bytes())
    rows, spots = placed([msgspec.json.encode(each) for each in batch], b'{"book":%b}\n')
    strip = Strip(rows)

    assert len(spots) == 10
    for start, end in spots:
        assert BookReader().read(rows[start:end]) == strip.book(start, end)


@given(st.lists(st.tuples(sides(), st.sampled_from([*SPELLINGS, *REFUSED])), min_size=1))
def test_a_strip_tells_the_same_book_or_leaves_it_to_the_reader(books):
    plain = [raw(bids, asks, timestamp_ms=at + 1) for at, ((bids, asks), _) in enumerate(books)]
    sent = [{**SPELLINGS, **REFUSED}[how](plain[at]) for at, (_, how) in enumerate(books)]
    rows, spots = placed([each for each in sent if b"\n" not in each])
    strip = Strip(rows)
    for start, end in spots:
        try:
            read = BookReader().read(rows[start:end])
        except Refused:
            assert strip.book(start, end) is None
        else:
            assert strip.book(start, end) in (read, None)


@given(levels, levels)
def test_any_numbers_are_exact_or_left_to_the_reader(bids, asks):
    sides = (
        ",".join(f'{{"price":"{price}","size":"{size}"}}' for price, size in side)
        for side in (bids, asks)
    )
    empty = raw([], []).decode()
    sent = empty.replace('"bids":[]', f'"bids":[{next(sides)}]')
    sent = sent.replace('"asks":[]', f'"asks":[{next(sides)}]')
    book = Strip(sent.encode()).book(0, len(sent))

    assert book is None or BookReader().read(sent.encode()) == book


@given(st.integers(1, 999_999), st.integers(0, 10**14 - 1))
def test_what_the_venue_sends_is_plain(price, size):
    sent = raw([(price, size)], [])
    book = Strip(sent).book(0, len(sent))

    assert book is not None
    assert [((price, size),), ()] == [book.bids.levels, book.asks.levels]


def test_a_book_with_any_byte_changed_lost_or_added_is_the_readers_or_none():
    sent = raw(BIDS, ASKS)
    wrong = [
        sent[:at] + put + sent[at + taken :]
        for at in range(len(sent))
        for put in (b"", b'"', b"0", b"x", b",", b".", b"{", b"}", b"]")
        for taken in (0, 1)
    ]
    rows, spots = placed(wrong)
    strip = Strip(rows)
    for start, end in spots:
        book = strip.book(start, end)
        if book is not None:
            assert BookReader().read(rows[start:end]) == book


@pytest.mark.parametrize("cut", range(1, 90))
def test_a_book_that_is_cut_is_none(cut):
    sent = raw(BIDS, ASKS)

    assert Strip(sent).book(0, len(sent) - cut) is None
    assert Strip(sent[:-cut]).book(0, len(sent) - cut) is None


def test_rows_are_read_on_over_many_megabytes_and_back():
    sides = [(each * 1000, each) for each in range(1, 999)]
    rows, spots = placed([raw(sides, ASKS, timestamp_ms=at + 1) for at in range(60)], b"[%b]\n")
    strip = Strip(rows)

    assert len(rows) > 2 << 20
    for start, end in [*spots, *reversed(spots)]:
        book = strip.book(start, end)
        assert book is not None
        assert tuple(sides) == book.bids.levels
    assert list(range(60, 0, -1)) == [_stamp(strip, spot) for spot in reversed(spots)]


def _stamp(strip: Strip, spot: tuple[int, int]) -> int:
    book = strip.book(*spot)
    assert book is not None
    return book.venue_ms


@pytest.mark.parametrize("prices", [(1, 3, 2), (3, 3, 1), (2, 1, 1), (5,), ()])
def test_the_best_price_is_found_wherever_it_stands(prices):
    pairs = [(price, at) for at, price in enumerate(prices, 1)]
    text = b"[" + raw(pairs, []).partition(b'"bids":[')[2] + bytes(64)
    runs = LevelRuns(text)
    run = runs.run(1)
    for better in (max, min):
        told = ladder_of(prices, range(1, len(prices) + 1), better)
        found = ladder_of((), (), max) if run is None else runs.ladder(run, better)

        assert (told, array("q", prices)) == (found, found.price_micros)
