"""Holds edge.reading on the stream: the true book at any instant, or the gap and its cause."""

import json
import random

import pytest

from tests.core.told import TOKEN, Book
from tests.tools.archives import HOUR_MS, Fleet, S
from tests.tools.streams import MS, Streamer, streamed, tell_of_others
from workers.core.books.bookhash import Verdict, verdict
from workers.core.reading.evidence import Damaged, State
from workers.edge.reading.archive import open_archive
from workers.edge.spool import locks
from workers.edge.spool import reader as spool_reader

SLUG = "btc-updown-5m-1"


@pytest.fixture
def fleet(tmp_path) -> Fleet:
    """An empty data directory."""
    return Fleet(tmp_path / "var")


class Truth:
    """What a book was after each message: (received ms, its bytes at REST)."""

    def __init__(self, book: Book, seed: int = 1) -> None:
        self.book, self.dice = book, random.Random(seed)
        self.states: list[tuple[int, bytes]] = []

    def tell(self, streamer: Streamer, links, at_ms: int, *, books: float = 0.1) -> None:
        """The next event, on each of these connections, one ms after the other."""
        self.book.ms = at_ms - 20
        kind, price = self.dice.random(), self.dice.choice(range(1, 50))
        if kind < books:
            self.book.last_trade = f"0.{price:02d}0"
            event = self.book.later()
        elif kind < 0.5:
            size = self.dice.choice(("0", "5", "7.25"))
            event = self.book.change("BUY", price, size, after_ms=0)
        else:
            event = self.book.change("SELL", price + 50, "12.5", after_ms=0)
        for lag, link in enumerate(links):
            streamer.hear(link, at_ms + lag, event)
        self.states.append((at_ms, self.book.rest()))

    def at(self, at_ms: int) -> bytes:
        return [raw for received, raw in self.states if received <= at_ms][-1]


def begun(fleet: Fleet, legs: int = 1):
    """A streamer whose connections know the first book."""
    streamer, book, _ = streamed(fleet)
    truth = Truth(book)
    links = [streamer.open(HOUR_MS - 2 * S, leg) for leg in range(legs)]
    for link in links:
        streamer.hear(link, HOUR_MS, book.dump())
    truth.states.append((HOUR_MS, book.rest()))
    return streamer, truth, links


def minute(fleet: Fleet, legs: int = 1) -> Truth:
    """A change about every 100 ms for a minute; published twice."""
    streamer, truth, links = begun(fleet, legs)
    for at_ms in range(HOUR_MS + 100, HOUR_MS + 60 * S, 100):
        truth.tell(streamer, links, at_ms)
        if at_ms % S == 0:
            streamer.heard(at_ms + 10)
        if at_ms == HOUR_MS + 30 * S:
            streamer.seal(at_ms + 50)
    streamer.end(HOUR_MS + 60 * S)
    locks.release_all()
    return truth


@pytest.mark.parametrize("legs", [1, 2])
def test_the_book_of_any_instant_is_the_venues_and_proven(fleet, legs):
    truth = minute(fleet, legs)
    archive = open_archive(fleet.data.root)
    dice = random.Random(2)
    for at_ms in [dice.randrange(HOUR_MS + 5, HOUR_MS + 59 * S) // 5 * 5 for _ in range(60)]:
        answer = archive.book(SLUG, "Up", at_ms)

        assert (State.SYNCED, "stream") == (answer.state, answer.source), (at_ms, answer.cause)
        assert truth.at(at_ms) == answer.book.spelling
        assert Verdict.VERIFIED == answer.hash_verdict == verdict(answer.book.spelling)
        assert answer.proof in {"verified", "explained"}
        assert 0 <= answer.age_ns <= 110 * MS


def test_the_provenance_is_enough_to_rebuild_the_book(fleet):
    minute(fleet)
    answer = open_archive(fleet.data.root).book(SLUG, "Up", HOUR_MS + 42_042)
    source = answer.provenance
    lines = spool_reader.read_stream(fleet.data.root / source.path).data.split(b"\n")
    base = json.loads(lines[source.row])
    (applied,) = source.changes
    levels = {side: {e["price"]: e["size"] for e in whole(base)[side]} for side in ("bids", "asks")}
    for line in lines[applied.first_row : applied.last_row + 1]:
        for item in json.loads(line)["event"].get("price_changes", ()):
            side = levels["bids" if item["side"] == "BUY" else "asks"]
            side.pop(item["price"], None)
            if item["size"] != "0":
                side[item["price"]] = item["size"]

    told = json.loads(answer.book.spelling)
    assert applied.path == source.path
    assert source.sha256 is not None
    for name, own in levels.items():
        assert own == {each["price"]: each["size"] for each in told[name]}


def whole(row) -> dict:
    """The whole book of a row."""
    return row.get("snapshot") or row.get("book") or row["event"]


def test_every_state_comes_once_and_in_order(fleet):
    truth = minute(fleet, legs=2)

    found = [
        each
        for each in open_archive(fleet.data.root).books(SLUG, HOUR_MS, HOUR_MS + 60 * S, "Up")
        if each.source == "stream"
    ]

    spelled = [each.book.spelling for each in found if each.book]
    distinct = [raw for at, raw in enumerate(spelled) if not at or raw != spelled[at - 1]]
    expected = [raw for _, raw in truth.states]
    expected = [raw for at, raw in enumerate(expected) if not at or raw != expected[at - 1]]
    assert expected == distinct
    assert {State.SYNCED} == {each.state for each in found if each.book}
    assert sorted(each.at_ns for each in found) == [each.at_ns for each in found]


def test_changes_and_trades_are_told_once_with_their_rows(fleet):
    streamer, truth, links = begun(fleet, legs=2)
    for at_ms in range(HOUR_MS + 100, HOUR_MS + 5 * S, 100):
        truth.tell(streamer, links, at_ms)
    trade = json.dumps(
        {
            "market": "0xabc",
            "asset_id": TOKEN,
            "price": "0.48",
            "size": "5.5",
            "side": "BUY",
            "timestamp": str(HOUR_MS + 5 * S),
            "event_type": "last_trade_price",
        }
    ).encode()
    for lag, link in enumerate(links):
        streamer.hear(link, HOUR_MS + 5 * S + lag, trade)
    streamer.end(HOUR_MS + 60 * S)
    locks.release_all()
    archive = open_archive(fleet.data.root)

    changes = list(archive.changes(SLUG, "open", "close", "Up"))
    trades = list(archive.trades(SLUG, "open", "close"))

    told = [raw for at, (_, raw) in enumerate(truth.states)]
    assert 30 < len(changes) <= len(told)
    assert {each.token_id for each in changes} == {TOKEN}
    assert all(json.loads(raw) for raw in told)
    assert [480_000] == [each.price_micros for each in trades]
    assert [5_500_000] == [each.size_micros for each in trades]
    for each in (*changes[:5], *trades):
        path = fleet.data.root / each.provenance.path
        line = json.loads(spool_reader.read_stream(path).data.split(b"\n")[each.provenance.row])
        assert line["recv_wall_ns"] == each.recv_wall_ns


def test_a_lost_connection_is_a_gap_with_its_cause_and_nothing_is_carried_across(fleet):
    streamer, truth, (link,) = begun(fleet)
    for at_ms in range(HOUR_MS + 100, HOUR_MS + 5 * S, 100):
        truth.tell(streamer, [link], at_ms)
    streamer.heard(HOUR_MS + 5 * S)
    streamer.lose(link, HOUR_MS + 6 * S, "reset", HOUR_MS + 5 * S)
    truth.tell(streamer, [], HOUR_MS + 7 * S)
    again = streamer.open(HOUR_MS + 8 * S)
    streamer.hear(again, HOUR_MS + 9 * S, truth.book.dump())
    streamer.end(HOUR_MS + 60 * S)
    locks.release_all()
    archive = open_archive(fleet.data.root)

    before, within, after = (archive.book(SLUG, "Up", HOUR_MS + ms) for ms in (5_000, 7_500, 9_000))

    assert State.SYNCED == before.state == after.state
    assert truth.at(HOUR_MS + 5 * S) == before.book.spelling
    assert (State.GAP, "polls", None) == (within.state, within.source, within.book)
    assert within.cause.endswith("stream: reset")
    assert (HOUR_MS + 5 * S, HOUR_MS + 9 * S) == (
        within.stream_gap.from_wall_ns // MS,
        within.stream_gap.until_wall_ns // MS,
    )
    assert truth.book.rest() == after.book.spelling
    gaps = [e for e in archive.books(SLUG, "open", "close", "Up") if e.stream_gap]
    assert ["stream: reset"] == [each.cause for each in gaps]


def test_a_change_that_was_lost_is_a_gap_from_the_last_proof_on(fleet):
    streamer, truth, (link,) = begun(fleet)
    for at_ms in range(HOUR_MS + 100, HOUR_MS + 5 * S, 100):
        truth.tell(streamer, [link], at_ms)
    streamer.heard(HOUR_MS + 5 * S)
    truth.book.change("SELL", 77, "3.5")
    streamer.hear(link, HOUR_MS + 6 * S, truth.book.change("SELL", 78, "4"))
    streamer.heard(HOUR_MS + 7 * S)
    streamer.end(HOUR_MS + 60 * S)
    locks.release_all()
    archive = open_archive(fleet.data.root)

    known, unknown = (archive.book(SLUG, "Up", HOUR_MS + ms) for ms in (4_870, 6_500))

    assert (State.SYNCED, "stream") == (known.state, known.source)
    assert (State.GAP, None) == (unknown.state, unknown.book)
    assert "checksum" == unknown.stream_gap.cause


@pytest.mark.parametrize("legs", [1, 2])
@pytest.mark.parametrize("event", ["book", "change"])
def test_an_hour_does_not_begin_with_the_book_of_a_leg_that_had_lost_a_change(fleet, legs, event):
    streamer, truth, links = begun(fleet, legs)
    ends_ms = HOUR_MS + 3600 * S
    truth.tell(streamer, links, ends_ms - 800, books=0.0)
    streamer.heard(ends_ms - 700)
    truth.tell(streamer, links[1:], ends_ms - 400, books=0.0)
    truth.tell(streamer, links, ends_ms - 200, books=0.0)
    # The first row of an hour: the books known are written before it, and checked for that.
    truth.tell(streamer, links, ends_ms, books=float(event == "book"))
    truth.tell(streamer, links, ends_ms + 200, books=1.0)
    streamer.end(ends_ms + 60 * S)
    locks.release_all()
    archive = open_archive(fleet.data.root)

    found = list(archive.books(SLUG, ends_ms, ends_ms + S, "Up"))
    answer = archive.book(SLUG, "Up", ends_ms + 50)

    right = [raw for at_ms, raw in truth.states if at_ms >= ends_ms]
    is_known = legs == 2 or event == "book"
    assert right[0 if is_known else 1 :] == list(
        dict.fromkeys(e.book.spelling for e in found if e.book and e.at_ns >= ends_ms * MS)
    )
    assert {State.SYNCED} == {each.state for each in found if each.book}
    assert (State.SYNCED if is_known else State.GAP) == answer.state
    assert is_known or "checksum" == answer.stream_gap.cause


def test_a_killed_streamer_covers_up_to_its_last_word(fleet):
    streamer, truth, (link,) = begun(fleet)
    for at_ms in range(HOUR_MS + 100, HOUR_MS + 5 * S, 100):
        truth.tell(streamer, [link], at_ms)
    streamer.heard(HOUR_MS + 5 * S)
    truth.tell(streamer, [link], HOUR_MS + 5_500)
    locks.release_all()
    archive = open_archive(fleet.data.root)

    answer, behind = (archive.book(SLUG, "Up", HOUR_MS + ms) for ms in (5_000, 5_600))

    assert (State.SYNCED, "stream") == (answer.state, answer.source)
    assert answer.provenance.sha256 is None
    assert truth.at(HOUR_MS + 5_000) == answer.book.spelling
    assert (State.GAP, "down") == (behind.state, behind.stream_gap.cause)


def test_where_both_have_a_book_the_stream_answers_and_a_contradiction_is_said(fleet):
    streamer, truth, (link,) = begun(fleet)
    collector = fleet.collector(HOUR_MS - 5 * S)
    for second in range(1, 20):
        truth.tell(streamer, [link], HOUR_MS + second * S)
        polled = truth.book.rest()
        if second == 12:
            # What REST says of this very millisecond is another book, with a right hash.
            kept = dict(truth.book.asks)
            truth.book.asks[98] = "1"
            polled = truth.book.rest()
            truth.book.asks = kept
        collector.tick(HOUR_MS + second * S, change=lambda _, raw=polled: b"[" + raw + b"]")
    streamer.heard(HOUR_MS + 20 * S)
    streamer.lose(link, HOUR_MS + 20 * S, "reset", HOUR_MS + 20 * S)
    collector.ticks(HOUR_MS + 21 * S, HOUR_MS + 25 * S)
    streamer.end(HOUR_MS + 60 * S)
    collector.stop(HOUR_MS + 61 * S)
    locks.release_all()
    archive = open_archive(fleet.data.root)

    good, bad = (archive.book(SLUG, "Up", HOUR_MS + s * S + 500) for s in (10, 12))
    found = list(archive.books(SLUG, "open", "open+25s", "Up"))

    assert (State.SYNCED, "stream") == (good.state, good.source)
    assert (State.SUSPECT, "stream") == (bad.state, bad.source)
    assert "polls differ" in bad.cause
    polls = [each for each in found if each.source == "polls" and each.book]
    assert [State.SUSPECT] == [e.state for e in polls if e.at_ns < (HOUR_MS + 20 * S) * MS]


def test_damage_of_a_segment_is_never_read_as_good(fleet):
    truth = minute(fleet)
    (first, _) = fleet.segments("frames")
    spoiled = bytearray(first.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    first.write_bytes(bytes(spoiled))

    with pytest.raises(Damaged):
        open_archive(fleet.data.root).book(SLUG, "Up", HOUR_MS + 20 * S)
    answer = open_archive(fleet.data.root, "label").book(SLUG, "Up", HOUR_MS + 20 * S)
    later = open_archive(fleet.data.root).book(SLUG, "Up", HOUR_MS + 40 * S)

    assert State.LABELLED == answer.state
    assert (State.SYNCED, truth.at(HOUR_MS + 40 * S)) == (later.state, later.book.spelling)


def test_a_segment_of_which_nothing_can_be_read_is_a_gap_that_says_so(fleet):
    minute(fleet)
    (first, _) = fleet.segments("frames")
    first.write_bytes(b"no gzip" * 9)

    told = [*open_archive(fleet.data.root, "label").books(SLUG, "open", "close", "Up")]

    gaps = [each.stream_gap for each in told if each.stream_gap]
    assert ["unread"] == [each.cause for each in gaps]
    assert 30 == gaps[0].until_wall_ns // (S * MS) - HOUR_MS // S


def test_a_byte_that_flips_in_an_open_segment_fails_the_hash(fleet):
    streamer, truth, (link,) = begun(fleet)
    truth.tell(streamer, [link], HOUR_MS + 1 * S)
    event = truth.book.change("SELL", 77, "3.5")
    streamer.hear(link, HOUR_MS + 2 * S, event.raw.replace(b'"3.5"', b'"8.5"'))
    streamer.tape.write_out()
    streamer.flush(HOUR_MS + 3 * S)
    tell_of_others(link, HOUR_MS + 3 * S)
    link.write_heard((HOUR_MS + 3 * S) * MS)
    streamer.flush(HOUR_MS + 3 * S)
    locks.release_all()

    answer = open_archive(fleet.data.root).book(SLUG, "Up", HOUR_MS + 2_500)

    assert State.SYNCED != answer.state


def test_the_coverage_of_the_stream_adds_up_by_cause_and_leg(fleet):
    streamer, truth, links = begun(fleet, legs=2)
    for at_ms in range(HOUR_MS + 1_000, HOUR_MS + 10 * S, 1_000):
        truth.tell(streamer, links, at_ms)
    streamer.heard(HOUR_MS + 10 * S)
    streamer.lose(links[0], HOUR_MS + 11 * S, "reset", HOUR_MS + 10 * S)
    streamer.lose(links[1], HOUR_MS + 13 * S, "silent", HOUR_MS + 12 * S)
    again = streamer.open(HOUR_MS + 15 * S, 1)
    streamer.hear(again, HOUR_MS + 16 * S, truth.book.dump())
    streamer.end(HOUR_MS + 20 * S)
    locks.release_all()

    (found,) = open_archive(fleet.data.root).stream_coverage(HOUR_MS, HOUR_MS + 60 * S)

    own = [each for each in found.gaps if each.token_id == TOKEN]
    assert [("silent", 12, 16)] == [
        (
            e.gap.cause,
            *((ns // MS - HOUR_MS) // S for ns in (e.gap.from_wall_ns, e.gap.until_wall_ns)),
        )
        for e in own
    ]
    # The other token never had a book.
    assert {"silent": 4 * S * MS, "starting": 20 * S * MS} == found.stretch.missed_ns
    assert (16 * S * MS, {0: 10 * S * MS, 1: 16 * S * MS}) == (
        found.stretch.covered_ns,
        found.stretch.legs_ns,
    )
    assert 3 == found.connections


def test_an_instant_reads_the_one_segment_it_lies_in(fleet, monkeypatch):
    minute(fleet)
    archive = open_archive(fleet.data.root)
    read = []
    published = archive.vault.published
    monkeypatch.setattr(
        archive.vault, "published", lambda manifest: read.append(manifest) or published(manifest)
    )

    archive.book(SLUG, "Up", HOUR_MS + 40 * S)

    assert [HOUR_MS + 30 * S + 100] == [
        each.told.first_wall_ns // MS for each in read if each.kind == "frames"
    ]


@pytest.mark.parametrize("source", ["raw", "derived"])
def test_a_trade_that_the_second_leg_shows_in_the_next_hour_is_told_once(fleet, source):
    streamer, _, links = begun(fleet, legs=2)
    ends_ms = HOUR_MS + 3600 * S
    for nth, (at_ms, link) in enumerate([(ends_ms - 10, links[0]), (ends_ms + 10, links[1])]):
        if nth:
            streamer.seal(ends_ms)
        told = {"market": "0xabc", "asset_id": TOKEN, "price": "0.48", "size": "5.5", "side": "BUY"}
        trade = {**told, "timestamp": str(ends_ms - 50), "event_type": "last_trade_price"}
        streamer.hear(link, at_ms, json.dumps(trade).encode())
    streamer.end(ends_ms + 60 * S)
    locks.release_all()
    if source == "derived":
        assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
        locks.release_all()
    archive = open_archive(fleet.data.root, source=source)

    for from_ms, count in ((HOUR_MS, 1), (ends_ms, 0)):
        trades = list(archive.trades(SLUG, from_ms, ends_ms + 60 * S))
        assert [ends_ms - 10] * count == [each.recv_wall_ns // MS for each in trades]
