"""collector: whatever the venue does to one request has a name, and the next tick is captured."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes.test_collector import STEP_MS, books, lasting, patient, skipped_ticks
from tests.rig import Rig, wait_for
from tests.venue import Venue
from workers.core.archive.ledger import Request
from workers.core.archive.story import AnyRow

FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    ("http_429", "status", {"code": 429, "retry_after": "0"}),
    ("http_500", "status", {"code": 500}),
    ("http_502", "status", {"code": 502}),
    ("http_503", "status", {"code": 503}),
    ("http_425", "status", {"code": 425}),
    ("http_400", "status", {"code": 400}),
    ("http_404", "status", {"code": 404}),
    ("html", "html", {"code": 200}),
    ("http_403", "html", {"code": 403}),
    ("redirect", "redirect", {}),
    ("bad_json", "garbage", {}),
    ("bad_json", "empty_200", {}),
    ("schema", "wrong_type", {}),
    ("bad_utf8", "bad_utf8", {}),
    ("bad_json", "nan", {}),
    ("too_large", "gzip_bomb", {"mib": 40}),
    ("bad_encoding", "bad_gzip", {}),
    ("too_large", "huge_body", {"mib": 20}),
    ("reset", "reset", {"at": "start"}),
    ("reset", "reset", {"at": "middle"}),
    ("truncated", "truncate", {}),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Venue]]:
    """A venue with one market and a collector that records it, however slow its answers are."""
    yield from recorded(tmp_path_factory.mktemp("faults"), patient)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Venue]]:
    """The same with a collector that waits no second for an answer."""
    yield from recorded(tmp_path_factory.mktemp("hasty"), Rig.write_config)


def recorded(folder: Path, configure: Callable[[Rig], None]) -> Iterator[tuple[Rig, Venue]]:
    lines = ("btc-1d",)
    with Venue(folder / "venue", seed=3, lines=lines) as venue, Rig(folder, venue.url) as rig:
        configure(rig)
        rig.publish_universe(lasting(venue)[:1])
        rig.collector()
        wait_for(lambda: requests_of(rig), what="a first request")
        yield rig, venue


def requests_of(rig: Rig) -> list[Request]:
    """The requests in the ledger."""
    return [row for row in rig.ledger() if isinstance(row, Request)]


def spoiled(running: tuple[Rig, Venue], kind: str, **params: Any) -> Request:
    """The ledger's row of a request whose answer the venue has just spoilt."""
    rig, venue = running
    rule = venue.faults.add(kind, route="books", count=1, **params)
    wait_for(lambda: venue.faults.applied(rule), what=f"the {kind}")
    newest = [row for row in venue.answers(limit_s=60) if kind in row.faults][-1].request_id
    found = wait_for(lambda: [row for row in requests_of(rig) if row.id == newest])
    return found[0]  # type: ignore[index,no-any-return]


def after(rig: Rig, row: Request) -> list[Request]:
    """The requests that were sent after one."""
    return [each for each in requests_of(rig) if each.send_mono_ns > row.send_mono_ns]


def books_of(rig: Rig, row: Request) -> list[AnyRow]:
    """The books rows of one request: they are on the disk before its ledger row."""
    return [each for each in books(rig) if each.request == row.id]


@pytest.mark.parametrize(("cause", "kind", "params"), FAULTS)
def test_a_fault_has_its_name_and_the_next_tick_is_captured(
    running: tuple[Rig, Venue], cause: str, kind: str, params: dict[str, Any]
) -> None:
    row = spoiled(running, kind, **params)

    assert cause == row.cause
    wait_for(lambda: after(running[0], row), what="the next request")
    assert "ok" == after(running[0], row)[0].cause


@pytest.mark.parametrize("kind", ["hang", "slow_headers", "slow_body"])
def test_an_answer_that_does_not_end_is_given_up_and_a_later_tick_is_captured(
    hasty: tuple[Rig, Venue], kind: str
) -> None:
    row = spoiled(hasty, kind)

    assert "timeout" == row.cause
    wait_for(lambda: [each for each in after(hasty[0], row) if each.cause == "ok"])


def test_a_failed_answer_is_kept_in_the_ledger(running: tuple[Rig, Venue]) -> None:
    row = spoiled(running, "status", code=503, body="closed for a while")

    assert (b"closed for a while", "kept") == (row.kept_body(), row.layout)


@pytest.mark.parametrize("kind", ["foreign", "duplicate", "wrong_market"])
def test_a_book_that_is_not_ours_is_refused_and_kept(running: tuple[Rig, Venue], kind: str) -> None:
    assert kind in {each.reason for each in spoiled(running, kind).refused}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("reorder", {}),
        ("empty_sides", {}),
        ("odd_times", {"timestamp": "yesterday"}),
        ("delay", {"seconds": 0.15}),
    ],
)
def test_an_odd_answer_is_kept_like_any_other(
    running: tuple[Rig, Venue], kind: str, params: dict[str, Any]
) -> None:
    rig, venue = running

    row = spoiled(running, kind, **params)

    (odd,) = [each for each in venue.answers() if each.request_id == row.id]
    assert ("ok", [], [], odd.sha256) == (row.cause, row.missing, row.refused, row.sha256)
    assert 2 == len(books_of(rig, row))


def test_a_token_id_that_is_a_number_is_refused_and_kept(running: tuple[Rig, Venue]) -> None:
    row = spoiled(running, "number_tokens")

    assert {"no_token"} == {each.reason for each in row.refused}
    assert all('"asset_id":' in each.raw for each in row.refused)


def test_an_omitted_token_is_missing_and_the_other_one_is_kept(
    running: tuple[Rig, Venue],
) -> None:
    row = spoiled(running, "omit")

    assert (1, "ok") == (len(row.missing), row.cause)
    assert 1 == len(books_of(running[0], row))


def test_a_ghost_book_is_kept_with_a_flag(running: tuple[Rig, Venue]) -> None:
    row = spoiled(running, "ghost", age_ms=60_000)

    assert "time_went_back" in [flag for each in books_of(running[0], row) for flag in each.flags]


@pytest.mark.parametrize("mode", ["extra", "missing", "renamed", "type"])
def test_a_drifted_schema_loses_no_book(running: tuple[Rig, Venue], mode: str) -> None:
    row = spoiled(running, "drift", mode=mode, key="tick_size")

    assert ("ok", [], 2) == (row.cause, row.missing, len(books_of(running[0], row)))


def test_a_wrong_hash_is_recorded_as_failed(running: tuple[Rig, Venue]) -> None:
    row = spoiled(running, "bad_hash")

    assert "failed" in [each.hash for each in books_of(running[0], row)]


def test_a_hung_answer_costs_its_ticks_and_never_a_burst(hasty: tuple[Rig, Venue]) -> None:
    rig, _ = hasty

    row = spoiled(hasty, "hang")

    wait_for(lambda: after(rig, row), what="the next request")
    missed = {*range(row.due_ms + STEP_MS, after(rig, row)[0].due_ms, STEP_MS)}
    assert missed <= skipped_ticks(rig, "late") | skipped_ticks(rig, "backoff")
    assert missed & skipped_ticks(rig, "late")
    asked = requests_of(rig)
    due = [each.due_ms for each in asked]
    assert sorted(set(due)) == due, "a tick was asked twice or out of order"
    assert all(each.send_wall_ns >= each.due_ms * 1_000_000 for each in asked)
