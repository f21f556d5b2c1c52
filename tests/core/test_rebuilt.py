"""Holds core.stream.rebuilt and core.stream.tails: a book under changes has the venue's own hash."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.told import MARKET, TOKEN, Book
from workers.core.stream import tails
from workers.core.stream.frames import Change, read_frame
from workers.core.stream.rebuilt import NoBook, NoChange, Rebuilt
from workers.core.stream.tails import Tail, Tails, search

STEP = st.tuples(
    st.sampled_from(["BUY", "SELL"]), st.integers(1, 99), st.sampled_from(["0", "1", "2.5", "900"])
)


def _tail(book: Book) -> Tail:
    return Tail(book.minimum, book.tick, book.neg_risk, book.last_trade)


@given(st.lists(STEP, max_size=30))
@example([("BUY", 10, "0"), ("BUY", 48, "0"), ("BUY", 49, "0")])
@example([("SELL", 51, "0"), ("SELL", 52, "0"), ("SELL", 99, "0"), ("SELL", 99, "1")])
def test_every_change_leads_to_the_book_whose_hash_it_tells(steps):
    book = Book()
    rebuilt = Rebuilt(MARKET, TOKEN, book.dump().raw)
    for step in steps:
        change = book.change(*step).changes[0]
        rebuilt.apply(change)

        assert rebuilt.agrees(change)
        assert change.hash == rebuilt.digest(str(book.ms), _tail(book))
        assert book.rest() == rebuilt.raw(str(book.ms), _tail(book), change.hash)
        assert rebuilt.best() == (
            max(book.bids, default=0) * 10_000,
            min(book.asks, default=0) * 10_000,
        )


@given(st.lists(STEP, min_size=1, max_size=5), st.sampled_from([None, 0, 1]))
def test_a_book_of_another_spelling_is_the_same_book(steps, indent):
    book = Book()
    for step in steps:
        book.put(*step)
    whole = json.loads(book.rest())
    other = {"x": {"bids": [], "asks": [1]}, **dict(reversed(whole.items()))}
    rebuilt = Rebuilt(MARKET, TOKEN, json.dumps(other, indent=indent).encode())

    assert book.rest() == rebuilt.raw(str(book.ms), _tail(book), book.hash)


def test_arrays_of_another_member_are_not_the_sides():
    book = Book()
    raw = b'{"x":{"bids":[],"asks":[]},' + book.rest()[1:]

    assert book.rest() == Rebuilt(MARKET, TOKEN, raw).raw(str(book.ms), _tail(book), book.hash)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"[]", b"{}", b'{"bids":[],"asks":{}}', b'{"bids":[{"price":"1"}],"asks":[]}'),
        *(b'{"bids":[{"price":"x","size":"1"}],"asks":[]}', b'{"bids":[', b"\xff"),
        *(b'{"bids":[{"price":"0.1","size":"1"},{"price":"0.2"', b'{"bids":[],"asks":[{"price":'),
        b'{"bids":[{"price":"0.1","size":"-1"}],"asks":[]}',
    ],
)
def test_what_is_no_book_is_refused(raw):
    with pytest.raises(NoBook):
        Rebuilt(MARKET, TOKEN, raw)


@pytest.mark.parametrize(
    ("price", "size", "side"),
    [("x", "1", "BUY"), ("0.5", "", "BUY"), ("0.5", "1e3", "SELL"), ("0.5", "1", "buy"),
     ("-1", "1", "BUY"), ("0.00000001", "1", "BUY"), ("0.5", "١", "BUY"),
     ("0.5", ".", "BUY"), ("0.5", "5.", "BUY"), ("0.5", ".5", "BUY"), ("0.5", "1.2.3", "BUY")],
)  # fmt: skip
def test_what_is_no_change_is_refused_and_changes_nothing(price, size, side):
    book = Book()
    rebuilt = Rebuilt(MARKET, TOKEN, book.rest())
    with pytest.raises(NoChange):
        rebuilt.apply(Change(TOKEN, price, size, side))

    assert book.rest() == rebuilt.raw(str(book.ms), _tail(book), book.hash)


@pytest.mark.parametrize(
    ("bid", "ask", "agrees"),
    [
        *(("0.49", "0.51", True), ("0.490", "0.51", True), (None, "0.51", True)),
        *(("0.48", "0.51", False), ("0.49", "0.52", False), ("", "0.51", False)),
        *(("0.49", "1", False), ("0", "0.51", False), (None, None, True), ("x", "0.51", True)),
    ],
)
def test_best_prices_are_compared_by_value(bid, ask, agrees):
    rebuilt = Rebuilt(MARKET, TOKEN, Book().rest())
    change = Change(TOKEN, "0.1", "5", "BUY", best_bid=bid, best_ask=ask)

    assert agrees == rebuilt.agrees(change)


@pytest.mark.parametrize("bid", ["", "0", "1", "0.0", None])
@pytest.mark.parametrize("ask", ["", "0", "1", "1.0", None])
def test_an_empty_side_is_told_in_several_ways(bid, ask):
    rebuilt = Rebuilt(MARKET, TOKEN, Book(bids={}, asks={}).rest())

    assert rebuilt.agrees(Change(TOKEN, "0.1", "0", "BUY", best_bid=bid, best_ask=ask))
    assert rebuilt.best() == (0, 0)


@given(
    st.sampled_from(["", "0.000", "0.001", "0.585", "0.999"]),
    st.sampled_from(["0.01", "0.001"]),
    st.sampled_from(["0.01", "0.001"]),
)
def test_an_untold_price_and_tick_are_found(last, tick, supposed):
    book = Book(last_trade=last, tick=tick)
    prefix = Rebuilt(MARKET, TOKEN, book.rest()).prefix(str(book.ms))

    assert _tail(book) == search(prefix, book.hash, Tail(tick_size=supposed))


@pytest.mark.parametrize("minimum", ["5", "15", "1"])
@pytest.mark.parametrize("neg_risk", [False, True])
def test_an_untold_minimum_and_kind_are_found_where_the_rest_is_told(minimum, neg_risk):
    book = Book(minimum=minimum, neg_risk=neg_risk)
    known = Tails()
    known.learn(book.dump().told)
    prefix = Rebuilt(MARKET, TOKEN, book.rest()).prefix(str(book.ms))

    assert known.find(prefix, book.hash)
    assert _tail(book) == known.guess
    assert known.is_known(prefix, book.hash)


@pytest.mark.parametrize("tick", ["0.005", "0.0025", "0.0001", "0.1"])
def test_a_rare_tick_is_found_where_the_price_is_known(tick):
    book = Book(tick=tick)
    prefix = Rebuilt(MARKET, TOKEN, book.rest()).prefix(str(book.ms))

    assert _tail(book) == search(prefix, book.hash, Tail(), ["0.500"])


def test_the_search_is_bounded(monkeypatch: pytest.MonkeyPatch):
    book = Book(last_trade="0.999")
    prefix = Rebuilt(MARKET, TOKEN, book.rest()).prefix(str(book.ms))
    monkeypatch.setattr(tails, "TRIES_MAX", 500)

    assert search(prefix, book.hash, Tail()) is None


def test_a_trade_hints_its_price_and_its_complement():
    known = Tails()
    for price in ("0.585", "0.2", "x", "7"):
        known.traded(price)
    hints = list(known._hints)

    assert {"0.585", "0.415", "0.200", "0.800"} <= set(hints)
    assert len(hints) <= 8


def test_every_captured_change_leads_to_its_hash(captures: Path):
    path = captures / "stream" / "price-changes-2025-10-30.jsonl"
    first, *rows = (json.loads(line) for line in path.read_text().splitlines())
    book = first["msg"]
    rebuilt = Rebuilt(book["market"], book["asset_id"], json.dumps(book).encode())
    tail = Tail(last_trade_price=book["last_trade_price"])
    good = 0
    for row in rows:
        change = Change(row["change"].pop("asset_id"), **row["change"])
        rebuilt.apply(change)
        good += rebuilt.agrees(change) and change.hash == rebuilt.digest(row["timestamp"], tail)

    assert (35, 35) == (good, len(rows))


def test_every_captured_book_has_the_hash_it_tells(captures: Path):
    with gzip.open(captures / "stream" / "btc-5m-three-markets-2026-04-16.jsonl.gz") as lines:
        raws = [json.loads(line)["raw"].encode() for line in lines]
    good, known = 0, Tails()
    for raw in raws:
        event = read_frame(raw).events[0]
        prefix = Rebuilt(event.market, event.token_id, raw).prefix(event.timestamp)
        told = event.told.hash
        good += known.is_known(prefix, told) or known.find(prefix, told)

    assert (7437, 7437) == (good, len(raws))


@given(st.lists(STEP, max_size=12), st.lists(STEP, max_size=3))
def test_a_book_that_takes_over_a_side_is_the_book_told(before, after):
    book = Book()
    rebuilt = Rebuilt(MARKET, TOKEN, book.dump().raw)
    for step in before:
        rebuilt.apply(book.change(*step).changes[0])
    for step in after:
        book.change(*step)

    taken = Rebuilt(MARKET, TOKEN, book.rest(), rebuilt)

    alone = Rebuilt(MARKET, TOKEN, book.rest())
    assert alone.levels() == taken.levels()
    assert book.rest() == taken.raw(str(book.ms), _tail(book), book.hash)
    taken.apply(book.change("BUY", 50, "7").changes[0])
    assert book.rest() == taken.raw(str(book.ms), _tail(book), book.hash)
