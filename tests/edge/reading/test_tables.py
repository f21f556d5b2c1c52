"""Holds edge.reading on derived tables: the same answers as raw, and frames of either."""

import hashlib
import json
import re

import pytest

from tests.edge.reading.retired import release
from tests.tools.archives import HOUR_MS, Fleet, S, market, whole_minute
from workers.core.books.book import hash_verdict, of_values
from workers.core.books.bookhash import Verdict
from workers.core.reading.evidence import Damaged, Offloaded, State
from workers.edge.reading.archive import open_archive
from workers.edge.spool import locks

SLUG = "btc-updown-5m-1"
AT = HOUR_MS + 45_500


@pytest.fixture
def whole(tmp_path) -> Fleet:
    """Two markets, one minute, nothing wrong, and its derived tables."""
    fleet = whole_minute(tmp_path / "var")
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()
    return fleet


def tables(fleet: Fleet) -> list:
    """The files of the table books."""
    return sorted((fleet.data.root / "derived/books").glob("*/*/*/*.parquet"))


def released(fleet: Fleet) -> None:
    """Let both segments of the market go."""
    for path in [each for each in fleet.segments("books") if SLUG in each.name]:
        release(fleet, path)
    locks.release_all()


def test_a_table_answers_where_the_raw_file_was_let_go(whole):
    raw = open_archive(whole.data.root).book(SLUG, "Up", AT)
    released(whole)

    answer = open_archive(whole.data.root).book(SLUG, "Up", AT)

    assert (State.SYNCED, Verdict.VERIFIED) == (answer.state, hash_verdict(answer.book))
    assert of_values(raw.book) == of_values(answer.book)
    assert raw.recv_wall_ns == answer.recv_wall_ns
    assert (raw.provenance.path, raw.provenance.row, raw.provenance.sha256) == (
        answer.provenance.path,
        answer.provenance.row,
        answer.provenance.sha256,
    )
    assert ("", True) == (raw.provenance.derived, answer.provenance.derived.endswith(".parquet"))


def test_all_books_come_from_the_table_as_they_came_from_raw(whole):
    raw = list(open_archive(whole.data.root).books(SLUG, "open", "close+1s"))
    released(whole)

    found = list(open_archive(whole.data.root).books(SLUG, "open", "close+1s"))

    assert [(each.token_id, each.due_ms, of_values(each.book)) for each in raw] == [
        (each.token_id, each.due_ms, of_values(each.book)) for each in found
    ]
    assert {State.SYNCED} == {each.state for each in found}


def numbered(body: bytes) -> bytes:
    """An answer whose books carry their timestamps as JSON numbers, hashed as such."""
    books = json.loads(re.sub(rb'"timestamp":"(\d+)"', rb'"timestamp":\1', body))
    sent = []
    for each in books:
        blank = json.dumps({**each, "hash": ""}, separators=(",", ":"))
        digest = hashlib.sha1(blank.encode(), usedforsecurity=False).hexdigest()
        sent.append(blank.replace('"hash":""', f'"hash":"{digest}"', 1))
    return f"[{','.join(sent)}]".encode()


def test_a_timestamp_that_is_a_number_comes_back_from_raw_and_from_the_table(tmp_path):
    fleet = Fleet(tmp_path / "var")
    fleet.publish_universe(HOUR_MS - 60 * S, market(1))
    worker = fleet.collector(HOUR_MS - 30 * S)
    worker.tick(HOUR_MS, change=numbered)
    worker.stop(HOUR_MS + 60 * S)
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    raw = open_archive(fleet.data.root).book(SLUG, "Up", HOUR_MS + 500)
    released(fleet)

    derived = open_archive(fleet.data.root).book(SLUG, "Up", HOUR_MS + 500)

    assert (State.SYNCED, State.SYNCED) == (raw.state, derived.state)
    assert b'"timestamp":%d,' % raw.book.venue_ms in raw.book.spelling
    assert raw.book == derived.book
    assert Verdict.VERIFIED == hash_verdict(derived.book)


def test_a_table_made_of_other_bytes_is_not_believed(whole):
    for path in (whole.data.root / "derived/books").glob("*/*/*/*.manifest.json"):
        fields = json.loads(path.read_bytes())
        for each in fields["sources"]:
            each["sha256"] = "0" * 64
        path.write_text(json.dumps(fields))
    released(whole)

    with pytest.raises(Offloaded):
        open_archive(whole.data.root).book(SLUG, "Up", AT)


@pytest.mark.parametrize("at", [100, -200, 20_000])
def test_a_damaged_table_is_said(whole, at):
    released(whole)
    for path in tables(whole):
        spoiled = bytearray(path.read_bytes())
        spoiled[at % len(spoiled)] ^= 1
        path.write_bytes(bytes(spoiled))

    with pytest.raises(Damaged, match="sha256"):
        open_archive(whole.data.root).book(SLUG, "Up", AT)
    assert State.LABELLED == open_archive(whole.data.root, "label").book(SLUG, "Up", AT).state


def test_a_missing_table_is_said(whole):
    released(whole)
    for path in tables(whole):
        path.unlink()

    with pytest.raises(Damaged):
        open_archive(whole.data.root).book(SLUG, "Up", AT)


def test_a_frame_has_the_same_rows_from_tables_and_from_raw(whole):
    derived = open_archive(whole.data.root).frame(SLUG, "open", "close+1s")
    for path in [*tables(whole), *(whole.data.root / "derived").glob("*/*/*/*/*.manifest.json")]:
        path.unlink()

    raw = open_archive(whole.data.root).frame(SLUG, "open", "close+1s")

    assert 120 == len(raw)
    assert derived.equals(raw)
    assert [] == json.loads(raw.schema.metadata[b"orderbooks.gaps"])
    assert {1_030_000} >= {raw["mid_half_micros"].to_pylist()[-1]} or len(raw) == 120


def test_a_frame_can_be_of_one_outcome_and_a_stretch(whole):
    frame = open_archive(whole.data.root).frame(SLUG, "open+10s", "open+20s", "Down")

    assert 10 == len(frame)
    assert {"Down"} == set(frame["outcome"].to_pylist())


def test_a_frame_says_what_it_lacks(whole):
    path = next(each for each in whole.segments("books") if SLUG in each.name)
    for each in (whole.data.root / "derived").glob("*/*/*/*/*.manifest.json"):
        each.unlink()
    path.write_bytes(path.read_bytes()[:-30])

    with pytest.raises(Damaged):
        open_archive(whole.data.root).frame(SLUG, "open", "close")
    frame = open_archive(whole.data.root, "label").frame(SLUG, "open", "close+1s")

    said = json.loads(frame.schema.metadata[b"orderbooks.findings"])
    assert any(path.name in each for each in said)
    assert len(frame) == 60


def test_changes_and_trades_are_none_before_there_is_a_stream(whole):
    archive = open_archive(whole.data.root)

    assert [] == list(archive.changes(SLUG, "open", "close"))
    assert [] == list(archive.trades(SLUG, "open", "close"))


def test_a_frame_of_polars_is_the_same_table(whole):
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(open_archive(whole.data.root).frame(SLUG, "open", "close+1s", "Up"))

    assert 60 == frame.height
    assert 550_000 == frame["best_ask_micros"].max()
    assert HOUR_MS + 59 * S == frame["due_ms"].max()
