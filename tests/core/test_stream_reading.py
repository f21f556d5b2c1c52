"""Holds core.tables.events: the rows of a frames segment against the market that was told."""

import copy
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.told import MARKET, OTHER, TOKEN, Book
from workers.core.archive.story import ManifestMarket
from workers.core.stream.frames import (
    Event,
    connection_part,
    event_row,
    rest_row,
    row_head,
    snapshot_row,
)
from workers.core.stream.tokens import Tokens
from workers.core.stream.turns import State
from workers.core.tables import stream as stream_tables
from workers.core.tables.columns import Table
from workers.core.tables.events import FramesReader, Voucher
from workers.core.tables.normalizing import BadRow

OWN = ManifestMarket(slug="m", condition_id=MARKET, series="s", tokens={TOKEN: "Up", OTHER: "Down"})
Rows = list[dict[str, object]]
Levels = tuple[dict[int, int], dict[int, int]]


def _short(line: bytes) -> str:
    row = json.loads(line)
    told = row.get("event") or row.get("snapshot") or row.get("book")
    digest = told["hash"] if "hash" in told else told["price_changes"][0]["hash"]
    return f"{row['connection'][-1]}:{row['type']}:{told['timestamp'][-3:]}:{digest[:4]}"


class Hearing:
    """What a streamer writes down of some connections; it knows a book as the streamer does."""

    def __init__(self) -> None:
        self.segments: list[list[bytes]] = [[]]
        self.tokens: dict[int, Tokens] = {}
        self.number = 0

    def __repr__(self) -> str:
        """Connection, sort, venue's time, start of the hash; one line for each of ours."""
        return "\n".join("  ".join(map(_short, lines)) for lines in self.segments)

    def open(self, connection: int) -> None:
        self.tokens[connection] = Tokens()
        self.tokens[connection].watch(MARKET, TOKEN)

    def _head(self, connection: int) -> bytes:
        self.number += 1
        part = connection_part(f"streamer-00.1.{connection}", connection % 2)
        return row_head(self.number, self.number, part, self.number)

    def event(self, connection: int, event: Event) -> None:
        self.segments[-1].append(event_row(self._head(connection), event)[:-1])
        self.tokens[connection].took(event, self.number)

    def rest(self, connection: int, raw: bytes) -> None:
        self.segments[-1].append(
            rest_row(self._head(connection), "streamer-00.1.9", 0, "", raw)[:-1]
        )
        self.tokens[connection][TOKEN].rest(raw, self.number, self.number)

    def cut(self) -> None:
        self.segments.append([])
        for connection, tokens in self.tokens.items():
            token = tokens[TOKEN]
            if token.state is State.SYNCED:
                token.verify(self.number)
            if token.state is State.SYNCED:
                row = snapshot_row(self._head(connection), "opened", "", token.seed())
                self.segments[-1].append(row[:-1])

    def read(self, portion: int = 1_000) -> list["Read"]:
        return [read(lines, portion) for lines in self.segments]


@dataclass
class Read:
    """The rows of one segment."""

    tables: dict[str, Rows]
    bad: list[BadRow]
    lines: list[bytes]

    def steps(self) -> Rows:
        """Snapshots and changes as a reader takes them."""
        rows = [*self.tables["snapshots"], *self.tables["changes"]]
        return sorted(rows, key=lambda row: row["step"])


def read(lines: list[bytes], portion: int = 1_000) -> Read:
    voucher = Voucher(OWN)
    for at in range(0, len(lines), portion):
        voucher.read(lines[at : at + portion])
    reader = FramesReader("segment", OWN, voucher.vouching)
    found: dict[str, list] = {"snapshots": [], "changes": [], "trades": [], "legs": []}
    bad: list[BadRow] = []
    for at in range(0, len(lines) + 1, portion):
        reader.read(lines[at : at + portion])
        if at + portion > len(lines):
            reader.finish()
        rows, refused = reader.taken()
        bad += refused
        for table, some in rows.items():
            found[table] += some
    return Read({name: _named(name, rows) for name, rows in found.items()}, bad, lines)


def _named(name: str, rows: list) -> Rows:
    table: Table = getattr(stream_tables, name.upper())
    return [dict(zip((c.name for c in table.columns), row, strict=True)) for row in rows]


def books_of(read: Read) -> list[tuple[dict[str, object], Levels]]:
    """Each row of a line with the book after it, rebuilt as the schema's page says."""
    found, line, book = [], None, ({}, {})
    for row in read.steps():
        if row["line"] is None:
            continue
        if "bid_price_micros" in row:
            sides = (row["bid_price_micros"], row["bid_size_micros"])
            asks = (row["ask_price_micros"], row["ask_size_micros"])
            book = (dict(zip(*sides, strict=True)), dict(zip(*asks, strict=True)))
        else:
            assert line == row["line"]
            half = book[row["side"] == "SELL"]
            half.pop(row["price_micros"], None)
            if row["size_micros"]:
                half[row["price_micros"]] = row["size_micros"]
        line = row["line"]
        found.append((row, copy.deepcopy(book)))
    return found


def levels_of(book: Book) -> Levels:
    halves = (book.bids, book.asks)
    return tuple(
        {price * 10_000: round(float(size) * 1e6) for price, size in half.items()}
        for half in halves
    )


PRICE = st.integers(1, 99)
SIZE = st.sampled_from(["0", "1", "2", "900"])
KIND = st.sampled_from(["change", "change", "book"])


def acts(wait: st.SearchStrategy[int]) -> st.SearchStrategy[list[tuple]]:
    act = st.tuples(KIND, st.sampled_from(["BUY", "SELL"]), PRICE, SIZE, wait)
    return st.lists(act, min_size=4, max_size=25)


class Market:
    """Events of one token, and the book after each."""

    def __init__(self, first: Event, book: Book) -> None:
        self.events, self.after = [first], [copy.deepcopy(book)]

    @property
    def books(self) -> dict[str, Levels]:
        return {book.hash: levels_of(book) for book in self.after}


def told_by(acts: list[tuple]) -> Market:
    book = Book()
    found = Market(book.dump(), book)
    for at, (kind, side, price, size, wait) in enumerate(acts):
        if kind == "change":
            # Nothing, told twice in a millisecond, would be one event.
            told = ("0", 1) if size == "0" else (f"{size}.{at:03d}1", wait)
            found.events.append(book.change(side, price, told[0], after_ms=told[1]))
        else:
            book.put("BUY", price, f"7.{at:03d}1", after_ms=wait)
            book.last_trade = f"0.{at:03d}"
            found.events.append(book.later())
        found.after.append(copy.deepcopy(book))
    return found


@st.composite
def hearings(draw: Callable, *, losses: bool) -> tuple[Market, Hearing, list[bool]]:
    """Two connections with their own lags, cuts, and losses of one leg at a time, or of both."""
    are_apart = losses or draw(st.booleans())
    market = told_by(draw(acts(st.just(1) if are_apart else st.integers(0, 1))))
    last = len(market.events) - 1
    hearing = Hearing()
    places = {1: 0, 2: 0}
    lost = {
        leg: draw(st.sets(st.integers(1, last), max_size=3)) if losses else set() for leg in places
    }
    for leg in places:
        hearing.open(leg)
        hearing.event(leg, market.events[0])
    while min(places.values()) < last:
        leg = draw(st.sampled_from([each for each, at in places.items() if at < last]))
        places[leg] += 1
        if places[leg] not in lost[leg]:
            hearing.event(leg, market.events[places[leg]])
        # What one leg lost and another brings behind a cut is in neither segment; which of two
        # seeds of one millisecond is the later one nobody knows.
        is_cut_anywhere = are_apart and not losses
        if draw(st.integers(0, 9)) == 0 and (places[1] == places[2] or is_cut_anywhere):
            hearing.cut()
        if draw(st.integers(0, 9)) == 0:
            hearing.rest(leg, market.after[places[leg]].rest())
    shown = [not all(at in each for each in lost.values()) for at in range(last + 1)]
    return market, hearing, shown


def _name(row: dict[str, object]) -> str:
    return str(row["hash"])


def _told(event: Event) -> str:
    return event.changes[0].hash if event.changes else event.told.hash


@settings(max_examples=150, deadline=None)
@given(hearings(losses=False), st.sampled_from([1, 3, 1_000]))
def test_without_a_loss_every_event_is_on_the_line_once_and_every_book_is_the_markets(
    told, portion
):
    market, hearing, _ = told
    segments, books = hearing.read(portion), list(market.books.values())
    found, times = Counter(), Counter(book.ms for book in market.after)
    for each in segments:
        assert not each.bad
        for row, book in books_of(each):
            # A seed of the millisecond of a book it stands on has no hash that was checked.
            assert row["hash"] or row["kind"] == "seed"
            assert book == market.books[row["hash"]] if row["hash"] else book in books
            assert row["hash_verdict"] != "failed"
            is_alone = row["line"] and times[row["venue_ms"]] == 1
            assert row["hash_verdict"] in {"verified", "explained"} or not is_alone
            if row.get("kind", "book") == "book":
                found[_name(row)] += 1
        assert {1, None} >= {row["line"] for row in each.steps()}
        assert [0] * len(each.tables["legs"]) == [row["missing"] for row in each.tables["legs"]]
    assert Counter(_told(event) for event in market.events[1:]) == found


@settings(max_examples=150, deadline=None)
@given(hearings(losses=True))
def test_with_losses_a_line_is_true_wherever_it_is_verified_and_nothing_shown_is_left_out(told):
    market, hearing, shown = told
    segments = hearing.read()
    found = set()
    for each in segments:
        for row, book in books_of(each):
            if row["hash_verdict"] in {"verified", "explained"}:
                assert book == market.books[row["hash"]]
        names = [_name(row) for row in each.steps() if row.get("kind", "book") == "book"]
        assert len(names) == len(set(names))
        found |= set(names)
    told_names = {_told(e) for e, is_shown in zip(market.events, shown, strict=True) if is_shown}
    assert told_names - {_told(market.events[0])} <= found | {_told(market.events[0])}
