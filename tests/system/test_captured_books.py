"""Real books go through raw → derived → book unchanged: the hash is computed from the ladders again.

Promises  every book of the captures, as the real venue spelled and hashed it, is answered by the
          library, by `orderbooks book` and by the tables with the hash that the venue gave it.
"""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tools.archives import Fleet, S, market
from tests.tools.played import books_in
from tests.venue import recordings
from tests.venue.bookhash import book_hash
from tests.venue.recordings import Recording
from workers.core.reading.evidence import State
from workers.core.tables.columns import BOOKS
from workers.core.universe.markets import Market, Token
from workers.edge import parquet
from workers.edge.reading.archive import open_archive
from workers.edge.reading.leaves import Source
from workers.edge.spool import locks

NAMES = (
    "post-books-six-polls-2026-03-11.jsonl",
    "post-books-2026-05-17.json",
    "get-book-2026-06-23.json",
)
Levels = Iterable[Sequence[int]]
#: What the venue hashes beside the levels, as the archive names it.
FIELDS = (
    *("condition_id", "token_id", "venue_ms", "min_order_size_micros", "tick_micros"),
    *("neg_risk", "last_trade_price_micros"),
)


class Asked(msgspec.Struct, frozen=True):
    """A book of the captures: where to ask for it, and the hash the real venue gave it."""

    slug: str
    token_id: str
    at_ms: int
    raw: bytes
    hash: str


class Captured:
    """An archive of all captures, recorded and normalised by the project's own code."""

    def __init__(self, captures: Path, root: Path) -> None:
        self.fleet = Fleet(root)
        self.books: list[Asked] = []
        for name in NAMES:
            self._record(recordings.load(captures / "rest" / name))
        assert 0 == self.fleet.orderbooks("normalize", "--jobs", "1")

    def _record(self, found: Recording) -> None:
        """Each poll of a capture as one of the collector's, whose answer comes after 52 ms."""
        markets = markets_of(found)
        slugs = {each.condition_id: each.slug for each in markets}
        first_ms = found.books[0].from_ms // S * S
        self.fleet.publish_universe(first_ms - 10 * S, *markets)
        collector = self.fleet.collector(first_ms - 5 * S)
        for due_ms, polled in groupby(found.books, lambda each: each.from_ms // S * S):
            states = [each.state for each in polled]
            body = b"[" + b",".join(each.raw for each in states) + b"]"
            collector.tick(due_ms, change=lambda _, body=body: body)
            self.books += [
                Asked(slugs[each.condition_id], each.token_id, due_ms + 52, each.raw, each.digest)
                for each in states
            ]
        collector.stop(found.books[-1].from_ms + 5 * S)
        locks.release_all()


def markets_of(found: Recording) -> list[Market]:
    """The markets of a capture, due each second from its first poll to its last.

    A market of which one token alone was captured gets another, of which no book ever comes.
    """
    first_ms, last_ms = (found.books[at].from_ms // S * S for at in (0, -1))
    return [
        msgspec.structs.replace(
            market(0, first_ms, (last_ms - first_ms) // S + 1),
            slug=f"captured-{condition_id[2:12]}",
            condition_id=condition_id,
            tokens=tuple(
                Token(token_id=each, outcome=each[:9])
                for each in (*tokens, str(int(condition_id, 16)))[:2]
            ),
        )
        for condition_id, tokens in found.pairs.items()
    ]


@pytest.fixture(scope="module")
def captured(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Captured:
    return Captured(captures, tmp_path_factory.mktemp("c") / "var")


def exact(micros: int) -> str:
    """An amount as the venue spells it: no exponent, no zeros at the end."""
    return f"{(Decimal(micros) / 10**6).normalize():f}"


def hash_of(fields: dict[str, Any], bids: Levels, asks: Levels) -> str:
    """The venue's hash, made of nothing but exact integers; (price, size), the best one last."""
    last = fields["last_trade_price_micros"]
    sides = [[{"price": exact(p), "size": exact(s)} for p, s in side] for side in (bids, asks)]
    return book_hash(
        {
            "market": fields["condition_id"],
            "asset_id": fields["token_id"],
            "timestamp": str(fields["venue_ms"]),
            "bids": sides[0],
            "asks": sides[1],
            "min_order_size": exact(fields["min_order_size_micros"]),
            "tick_size": exact(fields["tick_micros"]),
            "neg_risk": fields["neg_risk"],
            "last_trade_price": "" if last is None else f"{Decimal(last) / 10**6:.3f}",
        }
    )


def test_all_the_captured_books_are_in_the_archive_byte_for_byte(captured):
    stored = sorted(raw for _, _, raw in books_in(captured.fleet))

    assert 60 + 10 + 1 == len(stored)
    assert sorted(each.raw for each in captured.books) == stored


def test_the_hash_of_each_derived_ladder_is_the_venues(captured):
    found = []
    for path in (captured.fleet.data.root / "derived/books").rglob("*.parquet"):
        for row in parquet.opened(path, BOOKS).read().to_pylist():
            bids, asks = (
                zip(row[f"{side}_price_micros"], row[f"{side}_size_micros"], strict=True)
                for side in ("bid", "ask")
            )
            assert row["hash"] == hash_of(row, bids, asks)
            assert ("verified", None) == (row["hash_verdict"], row["texts"])
            found.append((row["token_id"], row["hash"]))

    assert sorted((each.token_id, each.hash) for each in captured.books) == sorted(found)


@pytest.mark.parametrize("source", ["raw", "derived"])
def test_the_library_answers_with_each_book(captured, source: Source):
    archive = open_archive(captured.fleet.data.root, source=source)
    for each in captured.books:
        answer = archive.book(each.slug, each.token_id, each.at_ms)
        book = answer.book
        assert book is not None
        fields = {name: getattr(book, name) for name in FIELDS}
        bids, asks = (
            zip(side.price_micros, side.size_micros, strict=True) for side in (book.bids, book.asks)
        )

        assert (State.SYNCED, 0) == (answer.state, answer.age_ns)
        assert each.hash == book.hash == hash_of(fields, bids, asks)


def test_the_command_answers_with_each_book(captured, capsys):
    for each in captured.books:
        words = ("--at", str(each.at_ms), "--outcome", each.token_id, "--json")
        code = captured.fleet.orderbooks("book", each.slug, *words)
        answer = json.loads(capsys.readouterr().out)
        book = answer["book"]

        assert (0, "SYNCED", "verified") == (code, answer["state"], answer["hash_verdict"])
        assert each.hash == book["hash"] == hash_of(answer | book, book["bids"], book["asks"])
