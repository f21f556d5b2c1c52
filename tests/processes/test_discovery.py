"""Promises of discovery: the universe is whole, current, and never smaller or remapped by an answer."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.processes.finder import Finder
from workers.core.health.heartbeats import Guard
from workers.core.universe.universe import Universe
from workers.edge.spool import reader, state


@pytest.fixture
def finder(tmp_path: Path) -> Iterator[Finder]:
    found = Finder(tmp_path)
    yield found
    found.end()


def truth(finder: Finder) -> dict[str, tuple[str, tuple[str, str]]]:
    """The venue's own condition and tokens by slug."""
    return {each.slug: (each.condition_id, each.token_ids) for each in finder.venue.markets()}


def mapping(universe: Universe) -> dict[str, tuple[str, tuple[str, str]]]:
    return {
        each.slug: (each.condition_id, (each.tokens[0].token_id, each.tokens[1].token_id))
        for each in universe.markets
    }


def test_the_first_round_publishes_what_the_venue_lists_around_now(finder: Finder) -> None:
    universe = finder.round()

    assert 1 == universe.seq
    assert 4 == len(universe.markets)
    assert mapping(universe).items() <= truth(finder).items()
    assert {"btc-5m"} == {each.series for each in universe.markets}
    assert ["open", "listed", "listed", "listed"] == [each.status for each in universe.markets]
    assert {} == finder.conditions()


def test_a_publication_is_a_file_a_copy_a_page_and_a_row_of_history(finder: Finder) -> None:
    universe = finder.round()

    (row,) = [msgspec.json.decode(line) for line in finder.rows("universe")]
    assert universe == msgspec.convert(row["universe"], Universe)
    assert "universe" == row["kind"]
    latest = finder.data.latest("discovery")
    assert finder.data.universe.read_bytes() == latest.read_bytes()
    page = latest.with_name("universe.md").read_text()
    assert all(each.slug in page for each in universe.markets)
    assert 1 == len(finder.events("universe_published"))


def test_the_row_of_a_publication_is_on_the_disk_before_its_file(finder: Finder) -> None:
    """A directory in the way of universe.json stands for a death between the two."""
    finder.data.universe.mkdir()

    with pytest.raises(IsADirectoryError):
        finder.round()
    history = [row for each in open_rows(finder, "universe") if (row := decoded(each))]
    finder.data.universe.rmdir()
    finder.discovery.step()

    assert [1] == [row["universe"]["seq"] for row in history]
    assert 1 == finder.universe().seq
    assert 1 == len(finder.rows("universe"))


def test_without_its_row_a_publication_waits(finder: Finder) -> None:
    first = finder.round()
    finder.stop()
    finder.start()
    finder.world.skip(300)
    folder = finder.data.open_folder("discovery")
    folder.rename(folder.with_name("elsewhere"))

    with pytest.raises(FileNotFoundError):
        finder.round()

    assert first == finder.universe()


def open_rows(finder: Finder, kind: str) -> list[bytes]:
    """The rows that stand in the file now, without asking for a flush."""
    (stream,) = reader.open_streams(finder.data, kinds=frozenset({kind}))
    return stream.rows.splitlines()


def test_every_answer_is_kept_byte_for_byte_beside_its_ledger_row(finder: Finder) -> None:
    finder.venue.faults.add("drift", "events", mode="extra", count=1)
    finder.round()
    finder.round()

    rows = {row["request"]: line for line in finder.rows("pages") if (row := decoded(line))}
    ledger = {row.id: row for row in finder.requests()}
    answers = finder.venue.answers()
    assert len(answers) == len(rows) == len(ledger) == 2
    for answer in answers:
        line = rows[answer.request_id]
        body = bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["body"])
        assert answer.sha256 == hashlib.sha256(body).hexdigest() == ledger[answer.request_id].sha256
        assert ("pages", "ok", 200) == (
            ledger[answer.request_id].layout,
            ledger[answer.request_id].cause,
            ledger[answer.request_id].status,
        )


def decoded(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(line)
    return found


def test_an_answer_that_is_no_page_is_kept_in_the_ledger_bounded(finder: Finder) -> None:
    finder.venue.faults.add("html", "events", code=200, count=1)
    finder.venue.faults.add("garbage", "events", count=1, after_requests=1)

    finder.round()
    finder.round()

    kept = {row.cause: row for row in finder.requests() if row.layout == "kept"}
    assert {"html", "bad_json"} == kept.keys()
    assert b"<" == kept["html"].kept_body()[:1]
    assert 100 == kept["html"].body_kept_bytes < kept["html"].body_bytes


def test_nothing_is_written_when_nothing_changed(finder: Finder) -> None:
    finder.round()
    before = finder.data.universe.stat()

    universe = finder.round()

    assert (before.st_ino, before.st_mtime_ns) == (
        finder.data.universe.stat().st_ino,
        finder.data.universe.stat().st_mtime_ns,
    )
    assert (1, 1) == (universe.seq, len(finder.rows("universe")))


def test_markets_come_and_go_with_their_windows(finder: Finder) -> None:
    first = finder.round()
    finder.world.skip(300)

    second = finder.round()

    gone = {each.slug for each in first.markets} - {each.slug for each in second.markets}
    assert {first.markets[0].slug} == gone
    assert (2, 4) == (second.seq, len(second.markets))


READ_ALL_THE_SAME: list[tuple[str, dict[str, Any]]] = [
    ("arrays", {}),
    ("position_ids", {}),
    ("no_series", {}),
    ("odd_times", {"mode": "offset"}),
    ("odd_times", {"mode": "space"}),
    ("odd_times", {"mode": "fraction"}),
    ("odd_times", {"mode": "missing"}),
    ("drift", {"mode": "extra"}),
    ("drift", {"mode": "missing", "key": "orderPriceMinTickSize"}),
]


@pytest.mark.parametrize(("kind", "params"), READ_ALL_THE_SAME)
def test_what_the_venue_words_otherwise_is_read_all_the_same(
    finder: Finder, kind: str, params: dict[str, Any]
) -> None:
    finder.venue.faults.add(kind, "events", **params)

    universe = finder.round()

    assert (4, ()) == (len(universe.markets), universe.refused)
    assert mapping(universe).items() <= truth(finder).items()


def test_a_page_from_ten_minutes_ago_brings_nothing_back_and_loses_nothing(finder: Finder) -> None:
    first = finder.round()
    finder.venue.faults.add("stale_page", "events", age_s=600)

    second = finder.round()

    assert mapping(first) == mapping(second)
    assert {"ended"} >= {each.reason for each in second.refused}
    assert (first.seq, {}) == (second.seq, finder.conditions())


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("number_tokens", {}, "token_number"),
    ("three_outcomes", {}, "not_two_outcomes"),
    ("odd_times", {"mode": "nonsense"}, "bad_time"),
    ("drift", {"mode": "type", "key": "clobTokenIds"}, "not_two_outcomes"),
    ("drift", {"mode": "missing", "key": "conditionId"}, "bad_id"),
    ("drift", {"mode": "renamed", "key": "outcomes"}, "not_two_outcomes"),
]


@pytest.mark.parametrize(("kind", "params", "reason"), REFUSED)
def test_what_cannot_be_believed_is_refused_with_its_reason_and_read_when_it_mends(
    finder: Finder, kind: str, params: dict[str, Any], reason: str
) -> None:
    slug = finder.venue.open_markets()[0].slug
    finder.venue.faults.add(kind, "any", slugs=[slug], **params)

    spoilt = finder.round()
    finder.venue.faults.clear()
    mended = finder.round()

    assert [(slug, reason)] == [(each.slug, each.reason) for each in spoilt.refused]
    assert slug not in mapping(spoilt)
    assert ((), 4) == (mended.refused, len(mended.markets))
    assert [reason] == [each["reason"] for each in finder.events("mapping_refused")]
    assert {} == finder.conditions()


REMAPPED: list[tuple[str, dict[str, Any], str]] = [
    ("swapped", {"mode": "outcomes"}, "outcomes_swapped"),
    ("swapped", {"mode": "tokens"}, "mapping_changed"),
    ("ids_changed", {}, "mapping_changed"),
    ("number_tokens", {}, "token_number"),
]


@pytest.mark.parametrize(("kind", "params", "reason"), REMAPPED)
def test_a_mapping_once_recorded_stays_whatever_the_venue_says_later(
    finder: Finder, kind: str, params: dict[str, Any], reason: str
) -> None:
    first = finder.round()
    slug = first.markets[0].slug
    finder.venue.faults.add(kind, "any", slugs=[slug], **params)

    second = finder.round()
    page = finder.data.latest("discovery").with_name("universe.md").read_text()

    assert mapping(first) == mapping(second)
    assert [(slug, reason)] == [(each.slug, each.reason) for each in second.refused]
    assert slug in finder.conditions()["mapping_refused"]
    assert f"| {slug} | {reason}: " in page


def test_a_market_with_the_tokens_of_another_never_enters(finder: Finder) -> None:
    finder.venue.faults.add("swapped", "any", mode="tokens")

    universe = finder.round()

    owned = [token for _, tokens in mapping(universe).values() for token in tokens]
    assert len(owned) == len(set(owned))


def test_a_market_being_hydrated_waits_without_a_refusal(finder: Finder) -> None:
    slug = finder.venue.open_markets()[0].slug
    finder.venue.faults.add("hydration", "any", slugs=[slug])

    waiting = finder.round()
    page = finder.data.latest("discovery").with_name("universe.md").read_text()
    finder.venue.faults.clear()
    complete = finder.round()

    assert (3, ()) == (len(waiting.markets), waiting.refused)
    assert f"* {slug}: no token ids yet" in page
    assert 4 == len(complete.markets)


ABSURD: list[tuple[str, dict[str, Any]]] = [
    ("empty_page", {}),
    ("empty_array", {}),
    ("cursor_loop", {}),
    ("status", {"code": 500}),
    ("status", {"code": 422}),
    ("html", {"code": 200}),
    ("html", {"code": 403}),
    ("garbage", {}),
    ("empty_200", {}),
    ("bad_utf8", {}),
    ("redirect", {}),
    ("gzip_bomb", {"mib": 9}),
    ("bad_gzip", {}),
    ("truncate", {"keep": 0.5}),
    ("reset", {"at": "middle"}),
]


@pytest.mark.parametrize(("kind", "params"), ABSURD)
def test_an_absurd_answer_never_empties_the_universe_and_the_next_good_one_mends_it(
    finder: Finder, kind: str, params: dict[str, Any]
) -> None:
    first = finder.round()
    finder.venue.faults.add(kind, "any", **params)

    stale = finder.round()
    told = finder.conditions()
    finder.venue.faults.clear()
    finder.world.skip(120)
    mended = finder.round()

    assert mapping(first).items() <= mapping(stale).items()
    assert stale.stale_since_utc is not None
    assert stale.fetched_at_utc == first.fetched_at_utc
    assert "universe_stale" in told
    assert (None, True) == (mended.stale_since_utc, mended.seq > stale.seq)
    assert {} == finder.conditions()
    assert 1 == len(finder.events("universe_kept"))


def test_a_single_passing_failure_is_not_even_stale(finder: Finder) -> None:
    finder.venue.faults.add("status", "events", code=503, count=1)

    universe = finder.round()

    assert (4, None) == (len(universe.markets), universe.stale_since_utc)
    assert ["http_503", "ok"] == [row.cause for row in finder.requests()]
    assert 1 == len(finder.events("requests_recovered"))


def test_a_listing_with_holes_is_mended_by_computed_names_and_said(finder: Finder) -> None:
    finder.venue.faults.add("empty_page", "events")

    universe = finder.round()

    assert ["slug"] * 3 == [each.source for each in universe.markets]
    assert mapping(universe).items() <= truth(finder).items()
    assert {"universe_stale", "discovery_disagrees"} == finder.conditions().keys()
    assert universe.markets[0].slug in finder.conditions()["discovery_disagrees"]


def test_a_name_that_nobody_knows_is_an_answer_and_no_failure(finder: Finder) -> None:
    finder.venue.faults.add("empty_page", "events")
    finder.venue.faults.add("status", "slug", code=404)

    finder.round()

    assert ["ok", "http_404", "http_404", "http_404"] == [e.cause for e in finder.requests()]
    assert "is neither listed nor found" in finder.conditions()["discovery_disagrees"]
    assert [] == finder.events("requests_failed")


def test_a_dead_venue_is_asked_less_and_less_and_found_again(finder: Finder) -> None:
    first = finder.round()
    finder.venue.stop()

    rounds = [finder.round() for _ in range(6)]
    asked = [row.cause for row in finder.requests()][1:]
    told = finder.conditions()
    finder.venue.start()
    finder.world.skip(300)
    found = finder.round()

    assert all(mapping(first) == mapping(each) for each in rounds)
    assert "gamma_unreachable" in told
    assert not {"ok", "http_404"} & set(asked)
    # Three tries in the first round, two until the breaker opens, then one at most each round.
    assert len(asked) <= 3 + 2 + 5
    assert found.stale_since_utc is None
    assert {} == finder.conditions()


def test_a_restart_goes_on_with_the_markets_and_the_sequence_it_had(finder: Finder) -> None:
    first = finder.round()
    finder.stop()
    finder.venue.faults.add("empty_page", "any")
    finder.start()

    second = finder.round()

    assert mapping(first) == mapping(second)
    assert (2, True) == (second.seq, second.stale_since_utc is not None)


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b'{"schema": "other"}', b"\xff\xff"])
def test_a_broken_universe_is_mended_from_its_copy(finder: Finder, damage: bytes) -> None:
    finder.round()
    finder.world.skip(300)
    before = finder.round()
    finder.stop()
    finder.data.universe.write_bytes(damage)
    finder.venue.faults.add("empty_page", "any")
    finder.start()

    mended = finder.round()

    assert mapping(before) == mapping(mended)
    assert (2, 3) == (before.seq, mended.seq)
    assert "cannot be read" in finder.events("universe_kept")[0]["reason"]


def test_a_broken_universe_is_put_back_even_when_nothing_changed(finder: Finder) -> None:
    first = finder.round()
    finder.stop()
    finder.data.universe.write_bytes(b"{")
    finder.start()

    assert (mapping(first), first.seq) == (mapping(finder.round()), finder.universe().seq)


def test_a_universe_that_somebody_deleted_is_put_back(finder: Finder) -> None:
    first = finder.round()
    finder.data.universe.unlink()

    assert mapping(first) == mapping(finder.round())


def test_a_paused_disk_gets_no_pages_and_the_round_comes_when_it_is_over(finder: Finder) -> None:
    finder.round()
    guard = Guard(level="pause", at_wall_ns=finder.world.wall_ns())
    state.write(finder.data.guard, guard)

    for _ in range(60):
        finder.world.wait_until(finder.discovery.step())
    asked = len(finder.requests())
    state.write(finder.data.guard, msgspec.structs.replace(guard, level="ok"))
    finder.round()

    assert 1 == asked
    assert (["pause", "ok"], 2) == (
        [each["level"] for each in finder.events("guard_obeyed")],
        len(finder.requests()),
    )


def test_no_step_rests_longer_than_the_heartbeat_needs(tmp_path: Path) -> None:
    finder = Finder(tmp_path, interval_s=600)
    try:
        finder.round()
        for _ in range(5):
            assert finder.discovery.step() - finder.world.mono_ns() <= 1_000_000_000
    finally:
        finder.end()


def test_a_long_listing_is_read_page_by_page(tmp_path: Path) -> None:
    finder = Finder(tmp_path, page_limit=2, horizon_s=3600)
    try:
        universe = finder.round()

        assert 13 == len(universe.markets)
        assert 7 == len(finder.requests())
        assert {} == finder.conditions()
    finally:
        finder.end()
