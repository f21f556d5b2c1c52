"""collector: whatever the venue does to one request has a name, and the next tick is captured."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig import Rig, open_market, wait_for
from tests.venue import Venue
from workers.core.archive.ledger import Request, Skipped
from workers.core.archive.story import read_row

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
    ("timeout", "hang", {}),
    ("timeout", "slow_headers", {}),
    ("timeout", "slow_body", {}),
    ("reset", "reset", {"at": "start"}),
    ("reset", "reset", {"at": "middle"}),
    ("truncated", "truncate", {}),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Venue]]:
    """A venue with one market and a collector that records it."""
    folder: Path = tmp_path_factory.mktemp("faults")
    lines = ("btc-1d",)
    with Venue(folder / "venue", seed=3, lines=lines) as venue, Rig(folder, venue.url) as rig:
        rig.publish_universe([open_market(venue)])
        rig.collector()
        wait_for(lambda: requests_of(rig), what="a first request")
        yield rig, venue


def requests_of(rig: Rig) -> list[Request]:
    """The requests in the ledger."""
    return [row for row in rig.ledger() if isinstance(row, Request)]


def after(rig: Rig, number: int) -> list[Request]:
    """The requests since a request number."""
    return [row for row in requests_of(rig) if int(row.id.rpartition(".")[2]) > number]


@pytest.mark.parametrize(("cause", "kind", "params"), FAULTS)
def test_a_fault_has_its_name_and_the_next_tick_is_captured(
    running: tuple[Rig, Venue], cause: str, kind: str, params: dict[str, Any]
) -> None:
    rig, venue = running
    before = int(requests_of(rig)[-1].id.rpartition(".")[2])

    venue.faults.add(kind, route="books", count=1, **params)

    def seen() -> list[Request]:
        rows = after(rig, before)
        failed = [index for index, row in enumerate(rows) if row.cause != "ok"]
        return rows if failed and any(row.cause == "ok" for row in rows[failed[0] :]) else []

    rows = wait_for(seen, what=f"{kind} and a good tick after it")
    assert isinstance(rows, list)
    assert [cause] == [row.cause for row in rows if row.cause != "ok"]


def test_a_failed_answer_is_kept_in_the_ledger(running: tuple[Rig, Venue]) -> None:
    rig, venue = running
    before = int(requests_of(rig)[-1].id.rpartition(".")[2])

    venue.faults.add("status", route="books", count=1, code=503, body="closed for a while")

    def kept() -> list[Request]:
        return [row for row in after(rig, before) if row.cause == "http_503"]

    (row,) = wait_for(kept, what="the 503")  # type: ignore[misc]
    assert (b"closed for a while", "kept") == (row.kept_body(), row.layout)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("foreign", "foreign"), ("duplicate", "duplicate"), ("wrong_market", "wrong_market")],
)
def test_a_book_that_is_not_ours_is_refused_and_kept(
    running: tuple[Rig, Venue], kind: str, reason: str
) -> None:
    rig, venue = running
    before = int(requests_of(rig)[-1].id.rpartition(".")[2])

    venue.faults.add(kind, route="books", count=1)

    def refusals() -> list[str]:
        return [each.reason for row in after(rig, before) for each in row.refused]

    assert reason in wait_for(refusals, what=f"a {kind} book")  # type: ignore[operator]


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
    rule = venue.faults.add(kind, route="books", count=1, **params)

    wait_for(lambda: venue.faults.applied(rule), what=f"the {kind}")

    (odd,) = [row for row in venue.answers() if kind in row.faults and row.request_id][-1:]
    row = wait_for(lambda: [each for each in requests_of(rig) if each.id == odd.request_id])
    assert isinstance(row, list)
    assert ("ok", [], [], odd.sha256) == (
        row[0].cause,
        row[0].missing,
        row[0].refused,
        row[0].sha256,
    )
    assert 2 == len([each for each in books_of(rig) if each.request == odd.request_id])


def test_a_token_id_that_is_a_number_is_refused_and_kept(running: tuple[Rig, Venue]) -> None:
    rig, venue = running
    before = int(requests_of(rig)[-1].id.rpartition(".")[2])

    venue.faults.add("number_tokens", route="books", count=1)

    def refused() -> list[Request]:
        return [row for row in after(rig, before) if row.refused]

    (row,) = wait_for(refused, what="the refusal")  # type: ignore[misc]
    assert {"no_token"} == {each.reason for each in row.refused}
    assert all('"asset_id":' in each.raw for each in row.refused)


def test_an_omitted_token_is_missing_and_the_other_one_is_kept(
    running: tuple[Rig, Venue],
) -> None:
    rig, venue = running
    before = int(requests_of(rig)[-1].id.rpartition(".")[2])

    venue.faults.add("omit", route="books", count=1)

    def missing() -> list[Request]:
        return [row for row in after(rig, before) if row.missing]

    (row,) = wait_for(missing, what="an omitted token")  # type: ignore[misc]
    assert (1, "ok") == (len(row.missing), row.cause)
    wait_for(lambda: [each for each in books_of(rig) if each.request == row.id], what="its row")


def test_a_ghost_book_is_kept_with_a_flag(running: tuple[Rig, Venue]) -> None:
    rig, venue = running

    venue.faults.add("ghost", route="books", count=1, age_ms=60_000)

    wait_for(lambda: [row for row in books_of(rig) if "time_went_back" in row.flags])


@pytest.mark.parametrize("mode", ["extra", "missing", "renamed", "type"])
def test_a_drifted_schema_loses_no_book(running: tuple[Rig, Venue], mode: str) -> None:
    rig, venue = running
    before = int(requests_of(rig)[-1].id.rpartition(".")[2])

    rule = venue.faults.add("drift", route="books", count=1, mode=mode, key="tick_size")

    wait_for(lambda: venue.faults.applied(rule), what="the drift")
    rows = wait_for(lambda: after(rig, before)[2:], what="requests after it")
    assert isinstance(rows, list)
    assert {"ok"} == {row.cause for row in after(rig, before)}
    assert [] == [row.missing for row in after(rig, before) if row.missing]


def test_a_wrong_hash_is_recorded_as_failed(running: tuple[Rig, Venue]) -> None:
    rig, venue = running

    venue.faults.add("bad_hash", route="books", count=1)

    wait_for(lambda: [row for row in books_of(rig) if row.hash == "failed"])


def test_a_hung_answer_costs_its_ticks_and_never_a_burst(running: tuple[Rig, Venue]) -> None:
    rig, venue = running
    skips = len([row for row in rig.ledger() if isinstance(row, Skipped) and row.cause == "late"])

    venue.faults.add("hang", route="books", count=1)

    def late() -> list[Skipped]:
        rows = [row for row in rig.ledger() if isinstance(row, Skipped) and row.cause == "late"]
        return rows[skips:]

    wait_for(late, what="the missed ticks")
    due = [row.due_ms for row in requests_of(rig)]
    assert sorted(set(due)) == due, "a tick was asked twice or out of order"
    sends = [row.send_wall_ns for row in requests_of(rig)]
    assert all(send >= row * 1_000_000 for send, row in zip(sends, due, strict=True))


def books_of(rig: Rig) -> list[Any]:
    """Every books row on the disk."""
    return [read_row(line) for line in [*rig.published_rows("books"), *rig.open_rows("books")]]
