"""Holds core.tables.reprints: rows of tables are a line again, and nothing is known where it is broken."""

import json

import pytest

from workers.core.stream.covers import Covered, TokenCovers
from workers.core.tables.reprints import line_of, printed, without


def changed(step: int, at_ns: int, line: int | None, verdict: str = "verified") -> dict:
    """A row of `changes`."""
    return {
        "step": step,
        "recv_wall_ns": at_ns,
        "recv_mono_ns": at_ns,
        "line": line,
        "row": step,
        "hash_verdict": verdict,
        "condition_id": "0xa",
        "token_id": "1",
        "venue_ms": at_ns,
        "connection": "w.1.1",
        "leg": 0,
        "seq": step,
        "side": "BUY",
        "hash": f"h{step}",
        "price_micros": 480_000,
        "size_micros": 7_500_000,
        "texts": None,
        "best_bid_micros": None,
        "best_ask_micros": 0,
    }


@pytest.mark.parametrize(
    ("beside", "later", "lost"),
    [
        ((5, "failed"), (8, 2), [(5, 7)]),
        ((5, "unproven"), (8, 2), [(5, 7)]),
        ((5, "failed"), (8, 1), []),
        ((5, "verified"), (8, 2), []),
        ((9, "failed"), (8, 1), [(9, None)]),
    ],
)
def test_a_line_is_lost_from_what_nobody_vouched_for_to_the_next_line(beside, later, lost):
    # What stands beside comes out at the segment's end, whenever it was received.
    rows = [
        changed(1, 1, 1),
        changed(2, later[0], later[1]),
        changed(3, beside[0], None, beside[1]),
    ]

    found = line_of("w", rows)

    assert (lost, 1) == (found.lost, found.begins_ns)
    assert [1, 2] == [row for row, _ in found.rows]


def test_items_of_one_event_are_one_row_with_the_venues_texts():
    odd = changed(2, 4, 1) | {"row": 1, "texts": "0.480 7.50"}

    ((number, row),) = line_of("w", [changed(1, 4, 1), odd]).rows

    told = json.loads(row.raw)
    assert (1, "w.tables", "w.1.1") == (number, row.connection, row.shown_by)
    assert [("0.48", "7.5"), ("0.480", "7.50")] == [
        (each["price"], each["size"]) for each in told["price_changes"]
    ]
    assert [("h1", "0"), ("h2", "0")] == [(e["hash"], e["best_ask"]) for e in told["price_changes"]]


def test_covers_are_cut_where_a_streamer_has_lost_what_it_held():
    covered = [
        Covered(1, 50, "w.1.1", 0, "reset", 50),
        Covered(40, 90, "w.1.2", 1, "stop", 90),
        Covered(1, 90, "other.1.1", 0, "stop", 90),
    ]

    found = without(TokenCovers(covered), "w", [(10, 44), (80, None)], "offloaded")

    assert [
        ("other.1.1", 1, 90, "stop"),
        ("w.1.1", 1, 9, "offloaded"),
        ("w.1.1", 45, 50, "reset"),
        ("w.1.2", 45, 79, "offloaded"),
    ] == sorted((e.connection, e.from_wall_ns, e.until_wall_ns, e.ended) for e in found.covered)
    begun = without(TokenCovers(covered[1:2], 1, 90), "w", [(40, 44)], "offloaded")
    assert [(1, 45, "offloaded")] == [
        (e.from_wall_ns, e.until_wall_ns, e.cause) for e in begun.gaps()
    ]
    assert [("w.tables", 1, 90)] == [
        (e.connection, e.from_wall_ns, e.until_wall_ns)
        for e in printed(TokenCovers(covered), ["w"]).covered
    ]
