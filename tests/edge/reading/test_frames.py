"""Holds edge.reading.frames: a frame is what `books` tells, row by row, of polls and the stream."""

import json

import pytest

from tests.core.told import TOKEN, Book
from tests.edge.reading.test_stream import SLUG, Truth, begun
from tests.tools.archives import HOUR_MS, Fleet, S, market, whole_minute
from tests.tools.streams import MS, Streamer, told_market
from workers.core.books.payloads import Hashed, hash_of
from workers.core.reading.evidence import Answer, State
from workers.core.tables.framed import stem_of
from workers.edge.reading.archive import Reader, open_archive
from workers.edge.spool import locks

pytest.importorskip("pyarrow")


@pytest.fixture
def both(tmp_path) -> Fleet:
    """Polls each second, the stream of ten seconds of them with one contradiction, and gaps."""
    fleet = Fleet(tmp_path / "var")
    streamer, truth, (link,) = begun(fleet)
    collector = fleet.collector(HOUR_MS - 5 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 3 * S)
    for second in range(3, 13):
        at_ms = HOUR_MS + second * S
        for after_ms in (100, 500):
            truth.tell(streamer, [link], at_ms + after_ms)
        collector.tick(at_ms + S, change=polled(truth, lies=second == 9))
    streamer.heard(HOUR_MS + 13 * S + 300)
    streamer.lose(link, HOUR_MS + 14 * S, "reset", HOUR_MS + 13 * S + 300)
    collector.ticks(HOUR_MS + 14 * S, HOUR_MS + 20 * S)
    again = streamer.open(HOUR_MS + 24 * S)
    streamer.hear(again, HOUR_MS + 25 * S, truth.book.dump())
    truth.tell(streamer, [again], HOUR_MS + 26 * S)
    streamer.end(HOUR_MS + 60 * S)
    collector.stop(HOUR_MS + 61 * S)
    locks.release_all()
    return fleet


def polled(truth: Truth, *, lies: bool):
    """An answer of REST with the stream's book, or another one of the same millisecond."""
    kept = dict(truth.book.asks)
    if lies:
        truth.book.asks[98] = "1"
    raw = truth.book.rest()
    truth.book.asks = kept
    return lambda _: b"[" + raw + b"]"


def told(reader: Reader, *asked: object) -> list[dict[str, object]]:
    """What `books` tells, by token, as columns of a frame."""
    answers = [e for e in reader.books(SLUG, *asked) if e.book and e.state != State.LABELLED]
    return [row_of(each) for each in sorted(answers, key=lambda each: each.token_id)]


def row_of(answer: Answer) -> dict[str, object]:
    book, source = answer.book, answer.provenance
    last = source.changes[-1] if source.changes else None
    streamed = answer.source == "stream"
    return {
        "source": answer.source,
        "at_wall_ns": answer.at_ns,
        "state": answer.state.value,
        "cause": answer.cause,
        "proof": answer.proof,
        "token_id": answer.token_id,
        "outcome": answer.outcome,
        "due_ms": answer.due_ms,
        "send_wall_ns": answer.send_wall_ns,
        "recv_wall_ns": answer.recv_wall_ns,
        "venue_ms": book.venue_ms,
        "hash": book.hash,
        "hash_verdict": answer.hash_verdict.value,
        "tick_micros": book.tick_micros,
        "last_trade_price_micros": book.last_trade_price_micros,
        "spread_micros": book.spread_micros,
        "best_bid_size_micros": book.best_bid and book.best_bid.size_micros,
        "bid_price_micros": [*book.bids.price_micros],
        "bid_size_micros": [*book.bids.size_micros],
        "ask_price_micros": [*book.asks.price_micros],
        "ask_size_micros": [*book.asks.size_micros],
        "segment": stem_of(last.path if last else source.path),
        "row": last.last_row if last else source.row,
        "connection": source.connection,
        "base_segment": stem_of(source.path) if streamed else None,
        "base_row": source.row if streamed else None,
    }


@pytest.mark.parametrize(
    "asked", [("open-10s", "close+10s"), ("open+5s", "open+16s", "Up"), ("open+12s", "open+14s")]
)
def test_a_frame_has_the_rows_that_books_tells(both, asked):
    archive = open_archive(both.data.root)
    expected = told(archive, *asked)

    found = archive.frame(SLUG, *asked)

    assert expected == found.select([*expected[0]]).to_pylist()
    assert {"polls", "stream"} == set(found["source"].to_pylist())


def test_a_frame_tells_the_contradiction_and_the_poll_that_stands_again(both):
    rows = open_archive(both.data.root).frame(SLUG, "open", "close", "Up").to_pylist()

    (doubted,) = [row for row in rows if row["state"] == "SUSPECT"]
    assert ("polls", "the stream told another state") == (doubted["source"], doubted["cause"][:29])
    again = [row for row in rows if row["at_wall_ns"] != row["recv_wall_ns"]]
    assert [("polls", HOUR_MS + 13_300)] == [(e["source"], e["at_wall_ns"] // MS) for e in again]


def test_a_row_of_the_stream_proves_itself_from_its_columns(both):
    rows = open_archive(both.data.root).frame(SLUG, "open", "close", "Up").to_pylist()
    streamed = [row for row in rows if row["source"] == "stream"]

    assert len(streamed) >= 20
    for row in streamed:
        own = {name: row[name] for name in Hashed.__struct_fields__}
        assert row["hash"] == hash_of(Hashed(**own))
        assert (None, "") == (row["due_ms"], row["collector_version"])


def test_a_frame_lacks_what_no_source_has_and_says_so(both):
    found = open_archive(both.data.root).frame(SLUG, "open", "close", "Up")

    gaps = json.loads(found.schema.metadata[b"orderbooks.gaps"])
    missed = json.loads(found.schema.metadata[b"orderbooks.stream_gaps"])
    told = [e for e in missed if e["gap"]["cause"] == "reset"]
    assert [(TOKEN, HOUR_MS + 13_300, HOUR_MS + 25 * S)] == [
        (e["token_id"], e["gap"]["from_wall_ns"] // MS, e["gap"]["until_wall_ns"] // MS)
        for e in told
    ]
    assert gaps
    within = [at // MS - HOUR_MS for at in found["at_wall_ns"].to_pylist()]
    assert not [at for at in within if 20 * S < at < 25 * S]


def test_a_damaged_segment_of_the_stream_raises_or_is_left_out_and_said(both):
    (segment,) = both.segments("frames")
    spoiled = bytearray(segment.read_bytes())
    spoiled[-40] ^= 1
    segment.write_bytes(bytes(spoiled))

    with pytest.raises(Exception, match="sha256"):
        open_archive(both.data.root).frame(SLUG, "open", "close")
    found = open_archive(both.data.root, "label").frame(SLUG, "open", "close")

    assert {"polls"} == set(found["source"].to_pylist())
    assert segment.name in found.schema.metadata[b"orderbooks.findings"].decode()


def test_a_frame_of_polls_alone_has_the_rows_that_books_tells(tmp_path):
    fleet = whole_minute(tmp_path / "var")

    archive = open_archive(fleet.data.root)

    assert told(archive, "open", "close+1s") == [
        {name: row[name] for name in told(archive, "open", "close+1s")[0]}
        for row in archive.frame(SLUG, "open", "close+1s").to_pylist()
    ]


def test_an_hour_of_polls_and_the_streamed_one_behind_it_are_one_frame(tmp_path):
    fleet = Fleet(tmp_path / "var")
    found = told_market(market(1, HOUR_MS - 30 * S))
    fleet.publish_universe(HOUR_MS - 40 * S, found)
    collector = fleet.collector(HOUR_MS - 35 * S)
    collector.ticks(HOUR_MS - 30 * S, HOUR_MS)
    streamer, truth = Streamer(fleet.data, HOUR_MS - 5 * S, found), Truth(Book(ms=HOUR_MS))
    link = streamer.open(HOUR_MS)
    streamer.hear(link, HOUR_MS + 10, truth.book.dump())
    truth.tell(streamer, [link], HOUR_MS + 500)
    collector.ticks(HOUR_MS, HOUR_MS + 5 * S)
    streamer.end(HOUR_MS + 10 * S)
    collector.stop(HOUR_MS + 61 * S)
    locks.release_all()
    archive = open_archive(fleet.data.root)
    expected = told(archive, "open", "close")

    frame = archive.frame(SLUG, "open", "close")

    assert expected == frame.select([*expected[0]]).to_pylist()
    sources = frame["source"].to_pylist()
    assert sources.count("stream") >= 2
    assert sources.index("stream") >= 30
