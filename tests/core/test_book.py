"""Holds core.books.book: exact values, the venue's order, the hash found again."""

import gzip
import json
import re
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.books import raw, sides
from workers.core.books.book import (
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
from workers.core.books.bookhash import Verdict
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


def test_of_two_levels_of_the_best_price_the_last_counts():
    bids = [(480_000, 9), (480_000, 2), (470_000, 5)]
    book = read_book(raw(bids, [(550_000, 1), (550_000, 7), (560_000, 3)]))

    assert (Level(480_000, 2), Level(550_000, 7)) == (book.best_bid, book.best_ask)


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
        (b'"100.5"', b'"%b"' % (b"9" * 5000), "inexact"),
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


def test_a_lone_level_with_another_member_is_refused():
    with pytest.raises(Refused, match="not_a_book"):
        read_book(raw(BIDS[:1], []).replace(b'"price"', b'"prise"'))


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
        assert bids == list(reader.read(sent).bids.levels)
        assert asks == list(reader.read(sent).asks.levels)
        assert sent == json_of(of_values(reader.read(sent)))


def test_a_side_that_stays_as_it_was_is_not_read_again():
    reader = BookReader()
    first, second = (reader.read(raw(bids, ASKS)) for bids in (BIDS, BIDS[1:]))

    assert first.asks is second.asks
    assert (BIDS, BIDS[1:]) == (list(first.bids.levels), list(second.bids.levels))


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "the venue's": bytes,
    "with white space": lambda sent: json.dumps(json.loads(sent), indent=1).encode(),
    "in another order": lambda sent: json.dumps(dict(reversed(json.loads(sent).items()))).encode(),
    "with a new member": lambda sent: sent[:-1] + b',"new":[{"price":"1]"}]}',
    "with a new member in a level": lambda sent: sent.replace(b'"size"', b'"x":"],","size"'),
    "with an escape": lambda sent: sent.replace(b'"size"', b'"si\\u007ae"'),
    "with zeros": lambda sent: re.sub(rb'"(\d+)\.(\d{1,5})"', rb'"00\1.\g<2>0"', sent),
    "with a number for a time": lambda sent: re.sub(rb'(stamp":)"(\d+)"', rb"\1\2", sent),
}
REFUSED: dict[str, Callable[[bytes], bytes]] = {
    "an exponent": lambda sent: sent.replace(b'"size":"', b'"size":"1e'),
    "a sign": lambda sent: sent.replace(b'"price":"', b'"price":"+'),
    "a blank": lambda sent: sent.replace(b'"price":"', b'"price":" '),
    "another member": lambda sent: sent.replace(b'"price"', b'"prise"'),
    "a bare point": lambda sent: re.sub(rb'"size":"\d+(\.\d+)?"', b'"size":"5."', sent),
    "no whole": lambda sent: re.sub(rb'"price":"0', b'"price":"', sent),
    "nothing": lambda sent: re.sub(rb'"size":"[0-9.]+"', b'"size":""', sent),
    "a ten-millionth": lambda sent: re.sub(rb'"size":"[0-9.]+"', b'"size":"0.0000001"', sent),
    "a number": lambda sent: re.sub(rb'"size":"([1-9][0-9.]*)"', rb'"size":\1', sent),
    "a quote": lambda sent: sent.replace(b'"size":"', b'"size":"1","size":"x'),
    "a missing end": lambda sent: sent.replace(b'"}],"', b'"],"'),
}


def by_decimals(sent: bytes) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
    """Time, bids and asks of a book as any script would read them, without a word of ours."""
    told = json.loads(sent)
    bids, asks = (
        [(int(Decimal(x["price"]) * 10**6), int(Decimal(x["size"]) * 10**6)) for x in told[side]]
        for side in ("bids", "asks")
    )
    return int(told["timestamp"]), bids, asks


@given(st.lists(st.tuples(sides(), st.sampled_from([*SPELLINGS, *REFUSED])), min_size=1))
def test_any_spellings_one_after_the_other_are_read_exactly_or_refused(books):
    reader = BookReader()
    for number, ((bids, asks), how) in enumerate(books):
        plain = raw(bids, asks, timestamp_ms=number + 1)
        sent = {**SPELLINGS, **REFUSED}[how](plain)
        if how in REFUSED and sent != plain:
            with pytest.raises(Refused):
                reader.read(sent)
            continue

        book = reader.read(sent)

        assert by_decimals(sent) == (book.venue_ms, list(book.bids.levels), list(book.asks.levels))
        assert (number + 1, bids, asks) == by_decimals(sent)
        assert sent == json_of(book)


def test_a_reader_that_has_read_many_levels_begins_anew_and_reads_on():
    reader = BookReader()
    for first in range(0, 30_000, 1000):
        bids = [(500_000, first + each) for each in range(1000)]
        assert bids == list(reader.read(raw(bids, ASKS)).bids.levels)


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
