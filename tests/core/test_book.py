"""Holds core.book: exact values, the venue's order, the hash found again."""

import gzip
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.books import raw, sides
from workers.core.book import (
    Book,
    BookReader,
    Level,
    changed,
    changes_between,
    hash_verdict,
    json_of,
    of_values,
    read_book,
)
from workers.core.bookhash import Verdict
from workers.core.errors import Refused

TAIL = {"min_order_size": "5", "tick_size": "0.01", "neg_risk": False, "last_trade_price": ""}
BIDS, ASKS = [(470_000, 3_000_000), (480_000, 100_500_000)], [(560_000, 1), (550_000, 7_000_000)]


@pytest.fixture(scope="module")
def captured(captures) -> list[bytes]:
    """Every captured REST book, as bytes."""
    batch = msgspec.json.decode(
        (captures / "rest/post-books-2026-05-17.json").read_bytes(), type=list[msgspec.Raw]
    )
    lines = (captures / "rest/post-books-six-polls-2026-03-11.jsonl").read_bytes().splitlines()
    polls = [book for line in lines for book in _books_in(json.loads(line))]
    single = (captures / "rest/get-book-2026-06-23.json").read_bytes().strip()
    return [*map(bytes, batch), *polls, single]


def _books_in(value: object) -> list[bytes]:
    if isinstance(value, dict) and "asset_id" in value and "bids" in value:
        return [msgspec.json.encode(value)]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for item in inner for each in _books_in(item)]


def test_every_captured_book_has_its_hash_from_its_values_alone(captured):
    books = [read_book(each) for each in captured]

    assert 71 == len(books)
    assert {Verdict.VERIFIED} == {hash_verdict(of_values(each)) for each in books}
    assert {Verdict.VERIFIED} == {hash_verdict(each) for each in books}


def test_captured_frames_read_one_after_the_other_are_the_same_as_read_alone(captures):
    readers: dict[str, BookReader] = {}
    path = captures / "stream/btc-5m-three-markets-2026-04-16.jsonl.gz"
    for line in gzip.decompress(path.read_bytes()).splitlines()[:1500]:
        frame = json.loads(json.loads(line)["raw"])
        # A REST book of the same levels: a frame has another order and lacks hashed members.
        fields = {key: frame[key] for key in ("market", "asset_id", "timestamp", "hash")}
        fields |= {"bids": frame["bids"], "asks": frame["asks"], **TAIL}
        book = json.dumps(fields, separators=(",", ":")).encode()
        reader = readers.setdefault(frame["asset_id"], BookReader())

        assert read_book(book) == reader.read(book)
        assert book == json_of(of_values(reader.read(book)))


def test_best_mid_and_spread_are_exact():
    book = read_book(raw(BIDS, ASKS))

    assert (Level(480_000, 100_500_000), Level(550_000, 7_000_000)) == (
        book.best_bid,
        book.best_ask,
    )
    assert (1_030_000, 70_000) == (book.mid_half_micros, book.spread_micros)
    assert 480_000 == book.last_trade_price_micros
    assert [550_000, 560_000] == [each.price_micros for each in book.side("ask")]
    assert [480_000, 470_000] == [each.price_micros for each in book.side("bid")]


def test_an_empty_side_has_no_mid():
    book = read_book(raw([], ASKS, last=""))

    assert (None, None, None) == (book.best_bid, book.mid_half_micros, book.spread_micros)
    assert book.last_trade_price_micros is None
    assert Verdict.VERIFIED == hash_verdict(of_values(book))


def test_a_crossed_book_is_a_book():
    assert -80_000 == read_book(raw([(550_000, 1)], [(470_000, 1)])).spread_micros


def test_the_best_price_is_found_where_the_venue_forgot_its_order():
    book = read_book(raw(BIDS[::-1], ASKS[::-1]))

    assert (480_000, 550_000) == (
        book.best_bid and book.best_bid.price_micros,
        book.best_ask and book.best_ask.price_micros,
    )
    assert Verdict.VERIFIED == hash_verdict(of_values(book))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"0.48"', b'"0.4800001"', "inexact"),
        (b'"0.48"', b'"4.8e-1"', "bad_number"),
        (b'"0.48"', b'"-0.48"', "bad_number"),
        (b'"0.48"', b"0.48", "not_a_book"),
        (b'"0.48"', b'"99999.0"', "inexact"),
        (b'"100.5"', b'"9999999999999999999"', "inexact"),
        (b'"bids"', b'"bid"', "not_a_book"),
        (b'"timestamp":"', b'"timestamp":"x', "bad_number"),
        (b"}", b"", "not_a_book"),
        (b'"tick_size":"0.001"', b'"tick_size":"0.0000001"', "inexact"),
    ],
)
def test_what_is_not_exact_is_refused_with_its_reason(old, new, reason):
    spoiled = raw(BIDS, ASKS).replace(old, new)

    with pytest.raises(Refused, match=reason):
        read_book(spoiled)


def test_other_spellings_of_a_book_are_the_same_book():
    sent = raw(BIDS, ASKS)
    spaced = json.dumps(json.loads(sent), indent=1).encode()
    zeros = sent.replace(b'"0.48"', b'"0.480"')

    assert of_values(read_book(spaced)) == of_values(read_book(sent))
    assert read_book(zeros).bids == read_book(sent).bids
    assert json_of(read_book(zeros)) == zeros
    assert Verdict.FAILED == hash_verdict(read_book(zeros))


@given(st.lists(sides(), min_size=1, max_size=8))
def test_a_reader_of_many_books_reads_each_as_if_it_were_the_first(books):
    reader = BookReader()
    for number, (bids, asks) in enumerate(books):
        sent = raw(bids, asks, timestamp_ms=number + 1)

        assert read_book(sent) == reader.read(sent)
        assert bids == reader.read(sent).bids.levels()
        assert asks == reader.read(sent).asks.levels()
        assert sent == json_of(of_values(reader.read(sent)))


def test_a_refused_book_leaves_the_reader_as_it_was():
    reader = BookReader()
    good = raw(BIDS, ASKS)
    reader.read(good)
    with pytest.raises(Refused):
        reader.read(good.replace(b'"3"', b'"3.0000001"'))

    assert read_book(good) == reader.read(good)
    assert read_book(raw(BIDS[1:], ASKS)) == reader.read(raw(BIDS[1:], ASKS))


@given(sides(), sides())
def test_the_changes_of_two_books_make_the_second_of_the_first(first, second):
    before, after = read_book(raw(*first)), read_book(raw(*second, timestamp_ms=7))

    changes = changes_between(before, after)

    assert of_values(after) == changed(before, changes, after)
    assert Verdict.VERIFIED == hash_verdict(changed(before, changes, after))
    assert bool(changes) == (before.bids != after.bids or before.asks != after.asks)


def test_a_change_left_out_breaks_the_hash():
    before, after = read_book(raw(BIDS, ASKS)), read_book(raw(BIDS[:1], ASKS[:1]))
    changes = changes_between(before, after)

    assert [("ask", 550_000, 7_000_000, 0), ("bid", 480_000, 100_500_000, 0)] == [
        (each.side, each.price_micros, each.before_micros, each.after_micros) for each in changes
    ]
    assert Verdict.FAILED == hash_verdict(changed(before, changes[1:], after))


def test_a_book_without_the_later_members_is_read():
    frame = {"market": "0x1", "asset_id": "1", "timestamp": "5", "bids": [], "asks": []}
    book = read_book(json.dumps(frame).encode())

    assert isinstance(book, Book)
    assert (None, None, None) == (book.tick_micros, book.neg_risk, book.min_order_size_micros)
