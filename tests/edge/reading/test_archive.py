"""Holds edge.reading: the last book before a moment, its state, its proof; nothing made up."""

import hashlib
import json

import msgspec
import pytest

from tests.core.books import raw
from tests.tools.archives import HOUR_MS, Fleet, S, book, market, whole_minute
from workers.core.books.bookhash import Verdict
from workers.core.errors import NeedsAPerson
from workers.core.polling.cadence import Phase
from workers.core.reading.evidence import State
from workers.core.universe.markets import Market
from workers.edge.reading.archive import open_archive
from workers.edge.spool import reader as spool_reader

MS = 1_000_000
SLUG = "btc-updown-5m-1"


@pytest.fixture
def fleet(tmp_path) -> Fleet:
    """An empty data directory."""
    return Fleet(tmp_path / "var")


@pytest.fixture
def whole(tmp_path) -> Fleet:
    """Two markets, one minute, nothing wrong."""
    return whole_minute(tmp_path / "var")


def asked(fleet: Fleet, at, outcome="Up", slug=SLUG, on_damage="raise"):
    """One question to a new reader."""
    return open_archive(fleet.data.root, on_damage).book(slug, outcome, at)


def test_the_last_book_before_the_moment_comes_back_byte_for_byte(whole):
    answer = asked(whole, HOUR_MS + 30_500)

    sent = book(market(1).condition_id, "101", HOUR_MS + 30_000 - 400)
    assert (State.SYNCED, "") == (answer.state, answer.cause)
    assert sent == answer.book.spelling
    assert (HOUR_MS + 30_000, (HOUR_MS + 30_052) * MS) == (answer.due_ms, answer.recv_wall_ns)
    assert 448 * MS == answer.age_ns
    assert (1000, Verdict.VERIFIED) == (answer.interval_ms, answer.hash_verdict)


def test_the_provenance_leads_to_the_row(whole):
    for at in ("open+10s", "open+45s"):
        answer = asked(whole, at, "Down")
        source = answer.provenance
        path = whole.data.root / source.path
        line = spool_reader.read_stream(path).data.split(b"\n")[source.row]

        assert hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256
        assert answer.book.spelling in line
        assert json.loads(line)["request"] == source.request
        assert "102" == answer.book.token_id


@pytest.mark.parametrize(
    ("at", "due_s"),
    [
        ((HOUR_MS + 30_052) * MS, 30),
        ((HOUR_MS + 30_052) * MS - 1, 29),
        ("2026-04-16T08:00:30.052Z", 30),
        ("open+30s", 29),
        ("close", 59),
    ],
)
def test_a_book_counts_from_the_moment_it_was_received(whole, at, due_s):
    assert HOUR_MS + due_s * S == asked(whole, at).due_ms


def test_a_market_is_found_by_every_name_it_has(whole):
    one, condition = "btc-updown-5m-1", market(1).condition_id
    names = [one, condition, f"https://polymarket.com/event/{one}?tid=3"]
    for name in names:
        for at in ("open+30s", HOUR_MS + 30_000):
            assert condition == asked(whole, at, slug=name).condition_id
    for outcome in ("Up", "up", 0, "0", "101"):
        assert "101" == asked(whole, "open+30s", outcome).token_id


@pytest.mark.parametrize(
    ("slug", "outcome", "at"),
    [
        ("eth-updown", "Up", "open+1s"),
        ("0xdead", "Up", HOUR_MS),
        (SLUG, "Sideways", HOUR_MS),
        (SLUG, "Up", "yesterday"),
        (SLUG, "Up", "2999-01-01"),
    ],
)
def test_what_is_not_there_is_refused_with_a_hint(whole, slug, outcome, at):
    with pytest.raises(NeedsAPerson):
        asked(whole, at, outcome, slug)


def test_a_directory_that_is_no_archive_is_refused(tmp_path):
    with pytest.raises(NeedsAPerson, match="no raw"):
        open_archive(tmp_path)


def test_before_the_first_book_nothing_was_due(whole):
    answer = asked(whole, HOUR_MS - 1)

    assert (State.GAP, "not_due", None) == (answer.state, answer.cause, answer.book)


def test_after_the_last_tick_the_last_book_is_an_old_one(whole):
    answer = asked(whole, "close+1m")

    assert (State.GAP, "not_due") == (answer.state, answer.cause)
    assert HOUR_MS + 59 * S == answer.due_ms
    assert answer.age_ns > 60 * S * MS


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        ({"cause": "http_503", "status": 503}, "FAILED(http_503)"),
        ({"change": lambda body: b"[]"}, "VENUE_ABSENT"),
        ({"change": lambda body: b"<html>"}, "FAILED(bad_json)"),
    ],
)
def test_a_missed_tick_is_a_gap_with_its_cause(fleet, spoil, cause):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.ticks(HOUR_MS, HOUR_MS + 10 * S)
    worker.tick(HOUR_MS + 10 * S, **spoil)
    worker.tick(HOUR_MS + 11 * S, **spoil)
    worker.ticks(HOUR_MS + 12 * S, HOUR_MS + 60 * S)
    worker.stop(HOUR_MS + 61 * S)

    before, within, after = (asked(fleet, HOUR_MS + ms) for ms in (9_990, 11_500, 12_052))

    assert State.SYNCED == before.state == after.state
    assert (State.GAP, cause) == (within.state, within.cause)
    assert HOUR_MS + 9 * S == within.due_ms
    assert (HOUR_MS + 10 * S, HOUR_MS + 11 * S) == (
        within.gap.from_due_ms,
        within.gap.until_due_ms,
    )


def test_a_token_that_is_left_out_is_a_gap_of_that_token_alone(fleet):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.ticks(HOUR_MS, HOUR_MS + 10 * S)
    worker.tick(HOUR_MS + 10 * S, change=lambda body: b"[" + body[1:-1].split(b',{"mar')[0] + b"]")
    worker.stop(HOUR_MS + 61 * S)

    up, down = (asked(fleet, HOUR_MS + 10_500, each) for each in ("Up", "Down"))

    assert {(State.SYNCED, ""), (State.GAP, "VENUE_ABSENT")} == {
        (each.state, each.cause) for each in (up, down)
    }


def test_a_killed_collector_leaves_a_gap_that_says_so(fleet):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    killed = fleet.collector(HOUR_MS - 5 * S)
    killed.ticks(HOUR_MS, HOUR_MS + 10 * S)
    killed.flush(HOUR_MS + 10 * S)
    after = fleet.collector(HOUR_MS + 15 * S + 300)
    after.ticks(HOUR_MS + 16 * S, HOUR_MS + 60 * S)
    after.stop(HOUR_MS + 61 * S)

    answer = asked(fleet, HOUR_MS + 15_900)

    assert (State.GAP, "DOWN(crashed)") == (answer.state, answer.cause)
    assert (HOUR_MS + 9 * S, HOUR_MS + 10 * S) == (answer.due_ms, answer.gap.from_due_ms)


def test_a_segment_that_is_being_written_is_read_to_its_last_whole_row(fleet):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.ticks(HOUR_MS, HOUR_MS + 10 * S)
    worker.flush(HOUR_MS + 10 * S)
    answer = asked(fleet, HOUR_MS + 9_500)

    assert (State.SYNCED, HOUR_MS + 9 * S) == (answer.state, answer.due_ms)
    assert answer.provenance.sha256 is None
    assert answer.provenance.path.endswith(".open")


def test_one_reader_sees_what_is_written_and_published_after_it_was_opened(fleet):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    worker = fleet.collector(HOUR_MS - 5 * S)
    archive = open_archive(fleet.data.root)
    for number in range(4):
        worker.tick(HOUR_MS + number * S)
        if number % 2:
            worker.publish(HOUR_MS + number * S + 500, "size")
        else:
            worker.flush(HOUR_MS + number * S + 500)

        answer = archive.book(SLUG, "Up", HOUR_MS + number * S + 900)

        assert (State.SYNCED, HOUR_MS + number * S) == (answer.state, answer.due_ms)
        assert (number % 2 == 1) == (answer.provenance.sha256 is not None)


def test_a_row_of_the_hour_before_is_found_across_the_hour(fleet):
    long = market(1, HOUR_MS, 3 * 3600)
    fleet.publish_universe(HOUR_MS - 10 * S, long)
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.ticks(HOUR_MS + 3_590 * S, HOUR_MS + 3_600 * S)
    worker.stop(HOUR_MS + 3_600 * S)

    edge, later = (asked(fleet, HOUR_MS + s * S) for s in (3_600, 3 * 3_600 - 1))

    assert HOUR_MS + 3_599 * S == edge.due_ms == later.due_ms
    assert (State.GAP, "DOWN(stopped)") == (later.state, later.cause)


def test_books_come_in_order_with_the_gaps_between_them(fleet):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.ticks(HOUR_MS, HOUR_MS + 10 * S)
    for second in range(10, 13):
        worker.tick(HOUR_MS + second * S, cause="timeout", status=None)
    worker.ticks(HOUR_MS + 13 * S, HOUR_MS + 60 * S)
    worker.stop(HOUR_MS + 61 * S)

    found = list(open_archive(fleet.data.root).books(SLUG, "open", "close+10s", "Up"))

    assert 58 == len(found)
    assert sorted(each.at_ns for each in found) == [each.at_ns for each in found]
    gap = found[10]
    assert (State.GAP, "FAILED(timeout)", None) == (gap.state, gap.cause, gap.book)
    assert (HOUR_MS + 10 * S, HOUR_MS + 12 * S, 3000) == (
        gap.gap.from_due_ms,
        gap.gap.until_due_ms,
        gap.gap.length_ms,
    )
    assert {State.SYNCED} == {each.state for each in [*found[:10], *found[11:]]}


def test_books_and_gaps_go_on_across_the_hours(fleet):
    long = market(1, HOUR_MS, 3 * 3600)
    fleet.publish_universe(HOUR_MS - 10 * S, long)
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.ticks(HOUR_MS + 3_590 * S, HOUR_MS + 3_610 * S)
    worker.stop(HOUR_MS + 3_610 * S)

    found = list(open_archive(fleet.data.root).books(SLUG, "open", "close+1h", "Up"))

    books = [each.due_ms for each in found if each.book is not None]
    gaps = [(each.gap.from_due_ms, each.gap.until_due_ms) for each in found if each.gap]
    assert list(range(HOUR_MS + 3_590 * S, HOUR_MS + 3_610 * S, S)) == books
    assert [
        (HOUR_MS, HOUR_MS + 3_589 * S),
        (HOUR_MS + 3_610 * S, HOUR_MS + 7_199 * S),
        (HOUR_MS + 7_200 * S, HOUR_MS + 10_799 * S),
    ] == gaps


def test_a_row_that_came_after_the_hour_of_its_tick_is_there(fleet):
    phase = Phase("hot", HOUR_MS + 3_590 * S, HOUR_MS + 3_610 * S, 20)
    long = msgspec.structs.replace(market(1, HOUR_MS, 2 * 3600), phases=(phase,))
    fleet.publish_universe(HOUR_MS - 10 * S, long)
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.tick(HOUR_MS + 3_600 * S - 20)
    worker.tick(HOUR_MS + 3_601 * S)
    worker.stop(HOUR_MS + 3_602 * S)
    archive = open_archive(fleet.data.root)

    late = archive.book(SLUG, "Up", HOUR_MS + 3_600 * S + 500)
    books = [each for each in archive.books(SLUG, "open+1h", "close", "Up") if each.book]

    assert HOUR_MS + 3_600 * S - 20 == late.due_ms
    assert [late.due_ms, HOUR_MS + 3_601 * S] == [each.due_ms for each in books]


def test_both_outcomes_come_unless_one_is_asked_for(whole):
    archive = open_archive(whole.data.root)

    assert 120 == len(list(archive.books(SLUG, "open", "close+1s")))
    assert 20 == len(list(archive.books(SLUG, "open+10s", "open+20s")))
    assert {"102"} == {each.token_id for each in archive.books(SLUG, "open", "close", "Down")}


def test_a_book_that_is_none_is_a_doubt_and_not_a_failure(fleet):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.tick(HOUR_MS, change=lambda body: body.replace(b'"100.5"', b'"0.12345678"'))
    worker.tick(HOUR_MS + S, change=lambda body: body.replace(b'"size":"7"', b'"size":7'))
    worker.stop(HOUR_MS + 61 * S)

    inexact, odd = (asked(fleet, HOUR_MS + ms) for ms in (500, 1_500))

    assert (State.SUSPECT, None) == (inexact.state, inexact.book)
    assert "inexact" in inexact.cause
    assert (State.SUSPECT, Verdict.ABSENT) == (odd.state, odd.hash_verdict)


def test_a_wrong_hash_and_a_time_that_went_back_are_suspect(fleet):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.tick(HOUR_MS, change=lambda body: body.replace(b'"100.5"', b'"100.6"'))
    worker.tick(HOUR_MS + 2 * S)
    old = raw([], [(1000, 1)], condition_id=market(1).condition_id, token_id="101", timestamp_ms=5)
    worker.tick(HOUR_MS + 3 * S, change=lambda body: b"[" + old + b"]")
    worker.stop(HOUR_MS + 61 * S)

    wrong, back = (asked(fleet, HOUR_MS + ms) for ms in (500, 3_500))

    assert (State.SUSPECT, "hash failed") == (wrong.state, wrong.cause)
    assert (State.SUSPECT, "time_went_back") == (back.state, back.cause)
    assert 100_600_000 == wrong.book.best_bid.size_micros


def test_a_part_without_publications_says_that_it_cannot_judge(whole):
    for path in [*whole.segments("universe"), *whole.manifests("universe"), whole.data.universe]:
        path.unlink()

    answer = asked(whole, HOUR_MS + 30_500)

    assert (State.SUSPECT, "no publication says when it was due") == (answer.state, answer.cause)
    assert HOUR_MS + 30 * S == answer.due_ms


def test_the_captured_books_come_back_unchanged(fleet, captures):
    path = captures / "rest/post-books-2026-05-17.json"
    sent = [bytes(each) for each in msgspec.json.decode(path.read_bytes(), type=list[msgspec.Raw])]
    markets = _markets_of(sent)
    fleet.publish_universe(HOUR_MS - 10 * S, *markets)
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.tick(HOUR_MS, change=lambda body: b"[" + b",".join(sent) + b"]")
    worker.stop(HOUR_MS + S)

    archive = open_archive(fleet.data.root)
    for each in sent:
        ids = json.loads(each)
        answer = archive.book(ids["market"], ids["asset_id"], HOUR_MS + 500)

        assert (State.SYNCED, Verdict.VERIFIED) == (answer.state, answer.hash_verdict)
        assert each == answer.book.spelling


def _markets_of(sent: list[bytes]) -> list[Market]:
    """The markets whose tokens these books are of; one that has a single book gets another."""
    tokens: dict[str, list[str]] = {}
    for each in sent:
        ids = json.loads(each)
        tokens.setdefault(ids["market"], []).append(ids["asset_id"])
    return [
        msgspec.structs.replace(
            market(number),
            condition_id=condition_id,
            tokens=tuple(
                msgspec.structs.replace(token, token_id=token_id)
                for token, token_id in zip(
                    market(number).tokens, [*owned, f"{number}99"][:2], strict=True
                )
            ),
        )
        for number, (condition_id, owned) in enumerate(tokens.items())
    ]


def test_markets_and_coverage_are_the_archives(whole):
    archive = open_archive(whole.data.root)
    span = (HOUR_MS, HOUR_MS + 60 * S)

    assert [SLUG, "btc-updown-5m-2"] == [each.slug for each in archive.markets(*span)]
    assert [60, 60] == [each.counts()["CAPTURED"] for each in archive.coverage(*span)]
    assert [60] == [each.due for each in archive.coverage(*span, "*-2")]
    assert [("101", "Up"), ("102", "Down")] == list(archive.market(SLUG, "open").tokens)
