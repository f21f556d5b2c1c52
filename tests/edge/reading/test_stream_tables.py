"""Holds the stream from derived tables: the same answers as from raw, where raw is not here."""

import json
import random

import pytest

from tests.core.told import MARKET, TOKEN, event
from tests.edge.derived.older import aged
from tests.edge.derived.raw import batch
from tests.edge.reading.retired import release
from tests.edge.reading.test_stream import SLUG, begun, minute
from tests.tools.archives import HOUR_MS, Fleet, S
from workers.core.books.book import hash_verdict
from workers.core.books.bookhash import Verdict
from workers.core.instants import MS_PER_HOUR
from workers.core.instants import NS_PER_MS as MS
from workers.core.reading.evidence import Answer, Damaged, State
from workers.edge.derived import pruning
from workers.edge.reading.archive import Reader, open_archive
from workers.edge.spool import locks

LAST_MS = HOUR_MS + 60 * S


def told(kind: str, at_ms: int, **members: str) -> bytes:
    """An event that changes no book."""
    named = {"market": MARKET, "asset_id": TOKEN, **members, "timestamp": str(at_ms)}
    return event(named | {"event_type": kind}).raw


@pytest.fixture(scope="module")
def streamed(tmp_path_factory) -> Fleet:
    """A minute of two legs: trades, a tick, a number spelled otherwise, a lost change, a gap."""
    fleet = Fleet(tmp_path_factory.mktemp("streamed") / "var")
    streamer, truth, links = begun(fleet, legs=2)
    for at_ms in range(HOUR_MS + 100, HOUR_MS + 20 * S, 100):
        truth.tell(streamer, links, at_ms)
        if at_ms % S == 0:
            trade = told("last_trade_price", at_ms, price="0.48", size=f"{at_ms // S % 7}.5")
            for link in links:
                streamer.hear(link, at_ms + 30, trade)
            streamer.heard(at_ms + 40)
        if at_ms == HOUR_MS + 10 * S:
            streamer.seal(at_ms + 50)
        if at_ms == HOUR_MS + 15 * S:
            odd = truth.book.change("BUY", 3, "7.50", after_ms=1)
            for link in links:
                streamer.hear(link, at_ms + 60, odd)
    streamer.heard(HOUR_MS + 20 * S + 10)
    truth.book.change("SELL", 77, "3.5")
    truth.tell(streamer, links, HOUR_MS + 21 * S, books=0)
    streamer.heard(HOUR_MS + 22 * S)
    for link in [*links]:
        streamer.lose(link, HOUR_MS + 25 * S, "reset", HOUR_MS + 24 * S)
    link = streamer.open(HOUR_MS + 29 * S)
    streamer.hear(link, HOUR_MS + 30 * S, truth.book.dump())
    for at_ms in range(HOUR_MS + 30_100, HOUR_MS + 40 * S, 100):
        truth.tell(streamer, [link], at_ms)
    tick = {"old_tick_size": "0.01", "new_tick_size": "0.001"}
    streamer.hear(link, HOUR_MS + 41 * S, told("tick_size_change", HOUR_MS + 41 * S, **tick))
    truth.book.tick = "0.001"
    streamer.hear(link, HOUR_MS + 42 * S, truth.book.dump())
    streamer.end(HOUR_MS + 50 * S)
    locks.release_all()
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()
    return fleet


@pytest.fixture(scope="module")
def readers(streamed) -> tuple[Reader, Reader]:
    """The archive read from raw, and from tables alone."""
    return open_archive(streamed.data.root), open_archive(streamed.data.root, source="derived")


def known(answer: Answer) -> dict[str, object]:
    """What an answer says of the market: nothing of where it was read."""
    names = ("at_ns", "state", "cause", "recv_wall_ns", "hash_verdict", "source")
    where = answer.provenance
    return {
        **{name: getattr(answer, name) for name in names},
        "book": answer.book,
        "gap": answer.stream_gap,
        "is_proven": answer.proof in {"verified", "explained"},
        "where": where and (where.path, where.row, where.sha256, where.connection, where.changes),
    }


def test_every_instant_has_the_same_book_from_raw_and_from_tables(readers):
    raw, derived = readers
    dice = random.Random(3)
    instants = [dice.randrange(HOUR_MS, LAST_MS) for _ in range(60)]
    instants += [HOUR_MS + 10 * S + 55, HOUR_MS + 15 * S + 65, HOUR_MS + 42 * S]
    states = set()
    for at_ms in instants:
        one, other = (each.book(SLUG, "Up", at_ms) for each in (raw, derived))

        assert known(one) == known(other), at_ms - HOUR_MS
        states.add((one.source, one.state))
        if other.source == "stream":
            assert other.hash_verdict in {Verdict.ABSENT, hash_verdict(other.book)}
            assert ("", True) == (
                one.provenance.derived,
                other.provenance.derived.startswith("derived/snapshots/"),
            )

    assert {("stream", State.SYNCED), ("polls", State.GAP)} <= states


def test_all_books_changes_trades_and_ticks_are_the_same_from_tables(readers):
    for ask in ("books", "changes", "trades", "facts"):
        one, other = (list(getattr(each, ask)(SLUG, HOUR_MS, LAST_MS)) for each in readers)
        assert len(one) == len(other) > 1, ask
    books = [[known(e) for e in each.books(SLUG, HOUR_MS, LAST_MS, "Up")] for each in readers]
    assert books[0] == books[1]
    for ask in ("changes", "trades"):
        pairs = zip(*(getattr(each, ask)(SLUG, HOUR_MS, LAST_MS) for each in readers), strict=True)
        for one, other in pairs:
            assert place(one) == place(other)
            assert plain(one) == plain(other)
    facts = [list(each.facts(SLUG, HOUR_MS, LAST_MS)) for each in readers]
    assert [json.loads(each.raw) for each in facts[0]] == [json.loads(e.raw) for e in facts[1]]
    assert {"last_trade_price", "tick_size_change"} == {each.type for each in facts[1]}


def place(value: object) -> tuple[object, ...]:
    """Where a change or a trade stands in raw."""
    source = value.provenance
    return source.path, source.row, source.sha256, source.connection


def plain(value: object) -> list[object]:
    """A change or a trade without where it was read, and without bytes."""
    return [getattr(value, e) for e in value.__struct_fields__ if e not in {"provenance", "event"}]


def test_an_archive_whose_raw_was_let_go_answers_from_its_tables(streamed, readers):
    raw = readers[0]
    asked = [HOUR_MS + ms for ms in (5_000, 15_000, 35_000)]
    expected = [known(raw.book(SLUG, "Up", each)) for each in asked]
    covered = raw.stream_coverage(HOUR_MS, LAST_MS)
    ledgers = [e for e in streamed.segments("ledger") if "streamer" in e.name]
    for nth, path in enumerate([*streamed.segments("frames"), *ledgers]):
        release(streamed, path, HOUR_MS + (100 + 10 * nth) * S)
    locks.release_all()

    archive = open_archive(streamed.data.root)

    assert expected == [known(archive.book(SLUG, "Up", each)) for each in asked]
    assert covered == archive.stream_coverage(HOUR_MS, LAST_MS)


def test_a_segment_that_is_in_no_table_is_damage_for_who_wants_tables(tmp_path):
    fleet = Fleet(tmp_path / "var")
    streamer, truth, links = begun(fleet)
    truth.tell(streamer, links, HOUR_MS + S)
    streamer.end(HOUR_MS + 2 * S)
    locks.release_all()

    with pytest.raises(Damaged, match="in no table"):
        open_archive(fleet.data.root, source="derived").book(SLUG, "Up", HOUR_MS + S)


def test_from_tables_a_pruned_hour_is_a_gap_and_from_raw_it_is_what_it_was(tmp_path):
    fleet = Fleet(tmp_path / "var")
    streamer, truth, links = begun(fleet)
    for at_ms in range(HOUR_MS + 100, HOUR_MS + 30 * S, 500):
        truth.tell(streamer, links, at_ms, books=0)
    streamer.end(HOUR_MS + 31 * S)
    locks.release_all()
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    asked = [HOUR_MS + ms for ms in (5_000, 15_000, 25_000)]
    before = [known(open_archive(fleet.data.root).book(SLUG, "Up", each)) for each in asked]
    assert {"stream"} == {each["source"] for each in before}

    pruning.prune(batch(fleet.data), HOUR_MS, frozenset())
    locks.release_all()

    archive = open_archive(fleet.data.root)
    assert before == [known(archive.book(SLUG, "Up", each)) for each in asked]
    with pytest.raises(Damaged, match="were pruned: raw has them"):
        open_archive(fleet.data.root, source="derived").book(SLUG, "Up", asked[0])
    tables = open_archive(fleet.data.root, "label", source="derived")
    for each in asked:
        answer = tables.book(SLUG, "Up", each)
        assert (State.SYNCED, "stream") != (answer.state, answer.source)


def test_an_hour_that_was_pruned_is_a_gap_between_hours_that_were_not(tmp_path):
    fleet = Fleet(tmp_path / "var")
    streamer, truth, links = begun(fleet)
    for at_ms in range(HOUR_MS + 100, HOUR_MS + MS_PER_HOUR + 10 * S, 30 * S):
        truth.tell(streamer, links, at_ms, books=0)
        streamer.heard(at_ms + 10)
    streamer.end(HOUR_MS + MS_PER_HOUR + 11 * S)
    locks.release_all()
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()
    pruning.prune(batch(fleet.data), HOUR_MS + MS_PER_HOUR, frozenset())
    for nth, path in enumerate(fleet.segments("frames")):
        release(fleet, path, HOUR_MS + 2 * MS_PER_HOUR + 10 * nth * S)
    locks.release_all()

    archive = open_archive(fleet.data.root, "label")
    until_ms = HOUR_MS + MS_PER_HOUR + 11 * S
    found = [*archive.books(SLUG, HOUR_MS + 3_000_000, until_ms, "Up")]

    assert {"stream"} == {each.source for each in found if each.state is State.SYNCED}
    assert max(e.at_ns for e in found if e.state is State.SYNCED) <= (HOUR_MS + MS_PER_HOUR) * MS
    assert ["pruned"] == [each.stream_gap.cause for each in found if each.stream_gap]


def test_nothing_is_carried_across_a_segment_that_was_let_go_before_it_was_derived(tmp_path):
    fleet = Fleet(tmp_path / "var")
    streamer, truth, links = begun(fleet)
    for at_ms in range(HOUR_MS + 100, HOUR_MS + 30 * S, 500):
        truth.tell(streamer, links, at_ms, books=0)
        if at_ms % (10 * S) == 9_600:
            streamer.heard(at_ms + 10)
            streamer.seal(at_ms + 100)
    streamer.end(HOUR_MS + 31 * S)
    locks.release_all()
    second = fleet.segments("frames")[1]
    release(fleet, second)
    locks.release_all()
    archive = open_archive(fleet.data.root)

    for at_ms, source in ((9_000, "stream"), (15_000, "polls"), (25_000, "stream")):
        answer = archive.book(SLUG, "Up", HOUR_MS + at_ms)
        assert source == answer.source
    found = [e for e in archive.books(SLUG, HOUR_MS, LAST_MS, "Up") if e.source == "stream"]
    spelled = {raw for _, raw in truth.states}
    assert all(each.book.spelling in spelled for each in found if each.book)
    assert ["stream: offloaded"] == [each.cause for each in found if each.stream_gap]
    assert {State.SYNCED, State.GAP} == {each.state for each in found}


def test_the_seed_of_a_connection_that_was_behind_is_nothing_to_stand_on(tmp_path):
    fleet = Fleet(tmp_path / "var")
    streamer, truth, links = begun(fleet, legs=2)
    truth.tell(streamer, links, HOUR_MS + 1 * S, books=0)
    streamer.heard(HOUR_MS + 1_100)
    for second in (2, 3):
        truth.tell(streamer, links[1:], HOUR_MS + second * S, books=0)
    streamer.seal(HOUR_MS + 3_500)
    for second in (4, 5):
        truth.tell(streamer, links[1:], HOUR_MS + second * S, books=0)
    streamer.heard(HOUR_MS + 5_500)
    streamer.end(HOUR_MS + 6 * S)
    locks.release_all()
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()

    for source in ("raw", "derived"):
        archive = open_archive(fleet.data.root, source=source)
        for at_ms in (HOUR_MS + 3_200, HOUR_MS + 4_200):
            answer = archive.book(SLUG, "Up", at_ms)
            assert (State.SYNCED, truth.at(at_ms)) == (answer.state, answer.book.spelling), source


def test_a_damaged_table_is_said(streamed):
    (path,) = (streamed.data.root / "derived/changes").glob("*/*/*/*.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    try:
        with pytest.raises(Damaged, match="sha256"):
            open_archive(streamed.data.root, source="derived").book(SLUG, "Up", HOUR_MS + 5 * S)
    finally:
        path.write_bytes(whole)


def test_tables_of_an_earlier_version_answer_too(tmp_path):
    fleet = Fleet(tmp_path / "var")
    truth = minute(fleet)
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()
    aged(fleet.data, "changes", "texts", "position")
    aged(fleet.data, "turns", "told_ms")

    answer = open_archive(fleet.data.root, source="derived").book(SLUG, "Up", HOUR_MS + 20_050)

    assert (State.SYNCED, "stream") == (answer.state, answer.source)
    assert truth.at(HOUR_MS + 20_050) == answer.book.spelling
