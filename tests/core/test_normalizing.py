"""Raw rows become exact columns: real books first, then any books, then damage."""

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.core.archive.story import ManifestMarket
from workers.core.books.bookhash import verdict
from workers.core.books.payloads import Hashed, hash_of
from workers.core.books.states import NO_STATE, Bad, States
from workers.core.tables.chunks import Chunk
from workers.core.tables.columns import BAD_REASONS, FLAGS
from workers.core.tables.normalizing import BooksReader

MARKET, TOKENS = "0xabc", {"11": "Up", "22": "Down"}
ENVELOPE = {
    "due_ms": 1_776_326_400_000,
    "recv_wall_ns": 1_776_326_400_050_000_000,
    "recv_mono_ns": 50,
    "send_wall_ns": 1_776_326_400_000_000_000,
    "collector_version": "0.1.0",
    "flags": [],
}


def rendered(book: dict[str, object]) -> bytes:
    """The venue's bytes of a book, with the right hash."""
    blank = json.dumps({**book, "hash": ""}, separators=(",", ":")).encode()
    digest = hashlib.sha1(blank, usedforsecurity=False).hexdigest()
    return blank.replace(b'"hash":""', f'"hash":"{digest}"'.encode(), 1)


def book_of(bids: list[tuple[str, str]], asks: list[tuple[str, str]], **more: object):
    """A book with these levels."""
    return {
        "market": MARKET,
        "asset_id": "11",
        "timestamp": "1776326399600",
        "hash": "",
        "bids": [{"price": price, "size": size} for price, size in bids],
        "asks": [{"price": price, "size": size} for price, size in asks],
        "min_order_size": "5",
        "tick_size": "0.01",
        "neg_risk": False,
        "last_trade_price": "0.480",
        **more,
    }


def line_of(raw: bytes, **members: object) -> bytes:
    """A row around a book."""
    head = {**ENVELOPE, "token_id": "11", "hash": "verified", **members}
    return msgspec.json.encode(head)[:-1] + b',"book":' + raw + b"}"


def read(*lines: bytes) -> tuple[Chunk, list[str], BooksReader]:
    """The chunk, the reasons of bad rows, and the reader."""
    market = ManifestMarket(slug="s", condition_id=MARKET, series="x", tokens=TOKENS)
    reader = BooksReader("segment", market)
    bad = reader.read(list(lines))
    return reader.chunk(), [each.reason for each in bad], reader


def flags(chunk: Chunk, at: int = 0) -> tuple[str, ...]:
    return chunk.flag_sets[chunk.flags[at]]


def hashed(chunk: Chunk, at: int) -> Hashed:
    """One row's columns, as a reader of the table has them."""
    levels, tail = chunk.levels, chunk.tails[chunk.tail[at]]
    bids = chunk.bid_ids[chunk.bid_ends[at] : chunk.bid_ends[at + 1]]
    asks = chunk.ask_ids[chunk.ask_ends[at] : chunk.ask_ends[at + 1]]
    return Hashed(
        condition_id=MARKET,
        token_id=chunk.tokens[chunk.token[at]],
        venue_ms=chunk.venue_ms[at],
        bid_price_micros=[levels.prices[each] for each in bids],
        bid_size_micros=[levels.sizes[each] for each in bids],
        ask_price_micros=[levels.prices[each] for each in asks],
        ask_size_micros=[levels.sizes[each] for each in asks],
        min_order_size_micros=tail.min_order_size_micros or 0,
        tick_micros=tail.tick_micros or 0,
        neg_risk=bool(tail.neg_risk),
        last_trade_price_micros=tail.last_trade_price_micros,
        texts=chunk.texts.get(at),
    )


def captured_books(captures: Path) -> Iterator[bytes]:
    rest = captures / "rest"
    yield (rest / "get-book-2026-06-23.json").read_bytes()
    for raw in msgspec.json.decode(
        (rest / "post-books-2026-05-17.json").read_bytes(), type=list[msgspec.Raw]
    ):
        yield bytes(raw)
    for line in (rest / "post-books-six-polls-2026-03-11.jsonl").read_bytes().splitlines():
        yield from books_in(msgspec.json.decode(line, type=dict[str, msgspec.Raw]).values())


def books_in(values) -> Iterator[bytes]:
    """Objects with an asset_id, wherever in these values."""
    for value in values:
        raw = bytes(value).strip()
        if raw.startswith(b"["):
            yield from books_in(msgspec.json.decode(raw, type=list[msgspec.Raw]))
        elif raw.startswith(b"{") and b'"asset_id"' in raw and b'"bids"' in raw:
            inside = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            if "asset_id" in inside:
                yield raw
            else:
                yield from books_in(inside.values())


def test_every_captured_book_hashes_to_the_venues_own_hash_from_its_columns(captures: Path):
    raws = list(captured_books(captures))
    assert len(raws) >= 71
    states = States()
    for raw in raws:
        state = states.read(raw, NO_STATE)
        levels, tail = states.levels, state.tail
        columns = Hashed(
            condition_id=state.market,
            token_id=state.token_id,
            venue_ms=state.venue_ms,
            bid_price_micros=[levels.prices[each] for each in state.bids.ids],
            bid_size_micros=[levels.sizes[each] for each in state.bids.ids],
            ask_price_micros=[levels.prices[each] for each in state.asks.ids],
            ask_size_micros=[levels.sizes[each] for each in state.asks.ids],
            min_order_size_micros=tail.min_order_size_micros or 0,
            tick_micros=tail.tick_micros or 0,
            neg_risk=bool(tail.neg_risk),
            last_trade_price_micros=tail.last_trade_price_micros,
        )

        assert "verified" == state.verdict
        # Without `texts`: the numbers alone give the venue's bytes back.
        assert state.hash == hash_of(columns) == json.loads(raw)["hash"]


ticks = st.integers(1, 999).map(lambda each: f"{each / 1000:.3f}".rstrip("0"))
sizes = st.one_of(
    st.integers(1, 10**7).map(str),
    st.decimals("0.01", "99999", places=2).map(lambda each: f"{each.normalize():f}"),
)
sides = st.lists(st.tuples(ticks, sizes), max_size=12, unique_by=lambda level: level[0])


@st.composite
def evolving(draw) -> list[dict[str, object]]:
    """Books of one token, each a few levels from the one before."""
    bids, asks = draw(sides), draw(sides)
    books = []
    for number in range(draw(st.integers(1, 6))):
        change = draw(sides)
        side = bids if draw(st.booleans()) else asks
        known = dict(side) | dict(change)
        side[:] = list(known.items())[: draw(st.integers(0, 14))]
        ascending = sorted(bids, key=lambda level: Decimal(level[0]))
        descending = sorted(asks, key=lambda level: -Decimal(level[0]))
        books.append(book_of(ascending, descending, timestamp=str(1_776_326_400_000 + number)))
    return books


@settings(max_examples=150, deadline=None)
@given(evolving())
def test_any_sequence_of_books_has_its_levels_and_its_hash_in_the_columns(books):
    chunk, bad, reader = read(*(line_of(rendered(book)) for book in books))

    assert [] == bad
    assert len(books) == chunk.rows == reader.found.rows
    for at, book in enumerate(books):
        columns = hashed(chunk, at)
        for side in ("bid", "ask"):
            prices = getattr(columns, f"{side}_price_micros")
            assert [Decimal(each["price"]) * 1_000_000 for each in book[f"{side}s"]] == list(prices)
            told = getattr(columns, f"{side}_size_micros")
            assert [Decimal(each["size"]) * 1_000_000 for each in book[f"{side}s"]] == list(told)
        assert chunk.hashes[at] == hash_of(columns)
        assert "unsorted" not in flags(chunk, at)


@settings(max_examples=200, deadline=None)
@given(evolving(), st.data())
def test_a_flipped_bit_is_a_bad_row_or_a_failed_hash_and_never_a_verified_book(books, data):
    line = bytearray(line_of(rendered(books[-1])))
    start = line.index(b'"book":') + len(b'"book":')
    at = data.draw(st.integers(start, len(line) - 2))
    line[at] ^= 1 << data.draw(st.integers(0, 7))
    chunk, bad, _ = read(bytes(line))

    if not bad:
        assert "verified" != chunk.verdicts[chunk.verdict[0]]
        assert "verdict_differs" in flags(chunk)
    assert set(bad) <= BAD_REASONS.keys()


@settings(max_examples=100, deadline=None)
@given(evolving(), st.integers(1, 400))
def test_a_cut_row_is_a_bad_row(books, cut):
    line = line_of(rendered(books[-1]))
    _, bad, _ = read(line[: -min(cut, len(line) - 1)])

    assert 1 == len(bad)


@pytest.mark.parametrize(
    ("flag", "bids", "asks"),
    [
        ("empty_bid", [], [("0.5", "1")]),
        ("empty_ask", [("0.5", "1")], []),
        ("crossed", [("0.5", "1")], [("0.5", "1")]),
        ("price_out_of_range", [("0.5", "1")], [("1", "1"), ("0.6", "1")]),
        ("off_tick", [("0.505", "1")], [("0.6", "1")]),
        ("unsorted", [("0.5", "1"), ("0.4", "1")], [("0.6", "1")]),
        ("unsorted", [("0.5", "1")], [("0.6", "1"), ("0.6", "2")]),
        ("zero_size", [("0.5", "0")], [("0.6", "1")]),
    ],
)
def test_an_odd_book_is_kept_and_flagged(flag: str, bids, asks):
    good = book_of([("0.4", "1")], [("0.7", "1"), ("0.6", "1")])
    chunk, bad, reader = read(line_of(rendered(good)), line_of(rendered(book_of(bids, asks))))

    assert [] == bad
    assert () == flags(chunk, 0)
    assert (flag,) == flags(chunk, 1)
    assert {flag: 1} == reader.found.flags
    assert flag in FLAGS


def test_both_outcomes_of_one_answer_must_mirror_each_other():
    up = book_of([("0.4", "5")], [("0.6", "7"), ("0.5", "3")])
    down = book_of([("0.4", "7"), ("0.5", "3")], [("0.6", "5")], asset_id="22")
    other = book_of([("0.4", "7"), ("0.5", "4")], [("0.6", "5")], asset_id="22")
    chunk, _, reader = read(
        line_of(rendered(up)),
        line_of(rendered(down), token_id="22"),
        line_of(rendered(up), recv_mono_ns=60),
        line_of(rendered(other), recv_mono_ns=60, token_id="22"),
    )

    assert 2 == reader.found.mirrored
    assert [(), (), ("mirror_broken",), ("mirror_broken",)] == [flags(chunk, at) for at in range(4)]


def mirrored(book: dict[str, object]) -> dict[str, object]:
    """The other outcome's book."""
    sides = {
        name: [
            {"price": f"{1 - Decimal(each['price']):f}".rstrip("0"), "size": each["size"]}
            for each in book[other]
        ]
        for name, other in (("bids", "asks"), ("asks", "bids"))
    }
    return {**book, **sides, "asset_id": "22"}


@settings(max_examples=150, deadline=None)
@given(evolving(), st.data())
def test_whatever_was_compared_before_a_pair_that_is_no_mirror_is_told(books, data):
    lines, broken = [], []
    for number, book in enumerate(books):
        other = mirrored(book)
        spoiled = data.draw(st.sampled_from([*other["bids"], *other["asks"], None]))
        if spoiled is not None:
            spoiled["size"] = "0.000001"
        broken += [spoiled is not None] * 2
        lines.append(line_of(rendered(book), recv_mono_ns=number))
        lines.append(line_of(rendered(other), recv_mono_ns=number, token_id="22"))
    _, _, whole = read(*lines)
    cut = data.draw(st.integers(0, len(lines)))
    reader = BooksReader("segment", whole.market)
    assert [] == reader.read(lines[:cut]) == reader.read(lines[cut:])
    chunk = reader.chunk()

    told = ["mirror_broken" in flags(chunk, at) for at in range(chunk.rows)]
    assert broken == told
    assert len(books) == reader.found.mirrored
    assert whole.found == reader.found


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("not_json", b"{"),
        ("not_json", line_of(b'{"a":"\xff"}')),
        ("not_a_row", b"{}"),
        ("not_a_row", line_of(b"{}", due_ms="x")),
        ("not_a_book", line_of(b"{}")),
        ("not_a_book", line_of(b"[1]")),
        ("not_a_book", line_of(rendered({**book_of([], []), "bids": [{"price": 1, "size": "1"}]}))),
        ("bad_number", line_of(rendered(book_of([("1e-2", "1")], [])))),
        ("bad_number", line_of(rendered(book_of([], [], timestamp="x")))),
        ("inexact", line_of(rendered(book_of([("0.0000001", "1")], [])))),
        ("inexact", line_of(rendered(book_of([("0.5", "99999999999999")], [])))),
        ("inexact", line_of(rendered(book_of([], [])), recv_wall_ns=1 << 63)),
        ("inexact", line_of(rendered(book_of([], [], timestamp=1 << 63)))),
        ("inexact", line_of(rendered(book_of([], [], timestamp="9" * 5000)))),
        ("bad_number", line_of(rendered(book_of([], [], timestamp=-1)))),
        ("bad_number", line_of(rendered(book_of([], [], timestamp="\u00b2")))),
        ("bad_number", line_of(rendered(book_of([], [], timestamp="-1")))),
        ("not_a_book", line_of(rendered(book_of([], [], timestamp=1.5)))),
        ("wrong_token", line_of(rendered(book_of([], [], asset_id="22")))),
        ("wrong_market", line_of(rendered(book_of([], [], market="0xdef")))),
    ],
)
def test_a_bad_row_is_kept_with_its_reason_and_the_others_go_on(reason: str, line: bytes):
    good = line_of(rendered(book_of([("0.4", "1")], [])))
    chunk, bad, reader = read(good, line, good)

    assert [reason] == bad
    assert [0, 2] == list(chunk.row)
    assert {reason: 1} == reader.found.bad
    assert reason in BAD_REASONS


@pytest.mark.parametrize(
    "book",
    [
        book_of([("0.50", "1")], []),
        book_of([("00.5", "1")], []),
        book_of([("0.5", "01")], []),
        book_of([("0.5", "1.0")], []),
        book_of([], [], last_trade_price="0.48"),
        book_of([], [], min_order_size="5.0"),
        book_of([], [], timestamp="01776326399600"),
        book_of([("0.5", "1")], [], timestamp=1_776_326_399_600),
    ],
)
def test_numbers_that_are_spelled_otherwise_keep_their_text(book):
    chunk, bad, _ = read(line_of(rendered(book)))

    assert [] == bad
    assert "verified" == chunk.verdicts[chunk.verdict[0]]
    assert chunk.hashes[0] == hash_of(hashed(chunk, 0))
    assert 1_776_326_399_600 == chunk.venue_ms[0]


@pytest.mark.parametrize("timestamp", [1_776_326_399_600, "1776326399600"])
def test_a_wrong_hash_is_told_alike_by_both_who_compute_it(timestamp):
    spoiled = rendered(book_of([("0.5", "1")], [], timestamp=timestamp)).replace(b"0.5", b"0.6")

    assert verdict(spoiled) == States().read(spoiled, NO_STATE).verdict == "failed"


def test_another_spelling_of_the_same_book_is_read_with_the_same_verdict():
    book = json.loads(rendered(book_of([("0.4", "1")], [("0.6", "2")])))
    spelled = [
        json.dumps(book).encode(),
        json.dumps(dict(reversed(book.items())), separators=(",", ":")).encode(),
        json.dumps({**book, "new": {"key": [1]}}, separators=(",", ":")).encode(),
        rendered(book).replace(b'"timestamp"', b'"new":"1","timestamp"'),
    ]
    for raw in spelled:
        state = States().read(raw, NO_STATE)
        assert ("verified", verdict(raw)) == (state.verdict, "verified")


def test_a_book_that_lacks_a_hashed_member_is_kept_as_absent():
    book = book_of([("0.4", "1")], [])
    del book["last_trade_price"]
    chunk, bad, _ = read(line_of(json.dumps(book).encode(), hash="absent"))

    assert [] == bad
    assert "absent" == chunk.verdicts[chunk.verdict[0]]


def test_a_row_with_a_line_feed_inside_its_book_is_read_from_its_text():
    raw = json.dumps(json.loads(rendered(book_of([("0.4", "1")], []))), indent=1)
    head = {**ENVELOPE, "token_id": "11", "hash": "verified", "book_text": raw}
    chunk, bad, _ = read(msgspec.json.encode(head))

    assert [] == bad
    assert "verified" == chunk.verdicts[chunk.verdict[0]]


def test_a_refusal_names_what_is_wrong():
    with pytest.raises(Bad, match="inexact"):
        States().read(rendered(book_of([("0.12345678", "1")], [])), NO_STATE)
