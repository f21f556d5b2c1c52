"""Holds `orderbooks book`, `diff`, `fill` and `markets`: what a person and a program are told."""

import json
import time

import pytest

from tests.core.books import raw
from tests.tools.archives import HOUR_MS, Fleet, S, market

SLUG = "btc-updown-5m-1"


def said(fleet: Fleet, capsys, *words: str) -> tuple[int, dict]:
    """The exit code and the JSON."""
    capsys.readouterr()
    code = fleet.orderbooks(*words, "--json")
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


@pytest.fixture
def two_books(fleet) -> Fleet:
    """A market whose first book has three levels a side, and whose second lacks some."""
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    worker = fleet.collector(HOUR_MS - 5 * S)
    bids = [(460_000, 50_000_000), (470_000, 3_000_000), (480_000, 100_500_000)]
    asks = [(570_000, 9_000_000), (560_000, 10_000_000), (550_000, 7_000_000)]
    for second, levels in enumerate(((bids, asks), (bids[:2], asks[:2]))):
        book = raw(*levels, condition_id=market(1).condition_id, token_id="101")
        worker.tick(HOUR_MS + second * S, change=lambda _, book=book: b"[" + book + b"]")
    worker.stop(HOUR_MS + 3 * S)
    return fleet


def test_a_person_sees_both_sides_with_what_they_add_up_to(two_books, capsys):
    assert 0 == two_books.orderbooks("book", SLUG, "--at", "open+500ms")
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]

    ladder = [line for line in lines if line[:1] in (["ask"], ["bid"])]
    assert [
        ["ask", "0.57", "9", "26"],
        ["ask", "0.56", "10", "17"],
        ["ask", "0.55", "7", "7"],
        ["bid", "0.48", "100.5", "100.5"],
        ["bid", "0.47", "3", "103.5"],
        ["bid", "0.46", "50", "153.5"],
    ] == ladder
    assert "spread 0.07  mid 0.515" in out
    assert "verified" in out
    assert "0.448 s before the moment asked for" in out
    assert ".jsonl.gz:0" in out
    assert "\x1b" not in out


def test_fewer_levels_are_the_best_ones(two_books, capsys):
    two_books.orderbooks("book", SLUG, "--at", "open+500ms", "--levels", "1")
    out = capsys.readouterr().out

    assert "0.55" in out
    assert "0.56" not in out


def test_a_program_gets_exact_integers(two_books, capsys):
    code, found = said(two_books, capsys, "book", SLUG, "--at", "open+500ms")

    assert (0, "orderbooks.book/1", "SYNCED") == (code, found["schema"], found["state"])
    assert [[460_000, 50_000_000], [470_000, 3_000_000], [480_000, 100_500_000]] == (
        found["book"]["bids"]
    )
    assert (448, 1_030_000) == (found["age_ms"], found["book"]["mid_half_micros"])
    assert 64 == len(found["provenance"]["sha256"])


def test_now_is_the_last_known_state_at_the_wall_clock_and_its_age_is_told(fleet, capsys):
    start_ms = (time.time_ns() // 1_000_000_000 - 5) * S
    fleet.publish_universe(start_ms - 10 * S, market(1, start_ms, 3600))
    collector = fleet.collector(start_ms - 5 * S)
    collector.ticks(start_ms, start_ms + 3 * S)
    collector.flush(start_ms + 3 * S)
    fill = ("fill", SLUG, "--side", "buy", "--size", "7", "--at", "now")

    before_ns = time.time_ns()
    _, found = said(fleet, capsys, "book", SLUG, "--at", "now")
    _, earlier = said(fleet, capsys, "book", SLUG, "--at", "now-4s500ms")
    _, filled = said(fleet, capsys, *fill)
    _, between = said(fleet, capsys, "diff", SLUG, "--at", "open+500ms", "--and", "now")

    last_ns = (start_ms + 2 * S + 52) * 1_000_000
    assert before_ns <= found["at_ns"] <= time.time_ns()
    assert last_ns == found["recv_wall_ns"] == filled["evidence"]["recv_wall_ns"]
    assert (found["at_ns"] - last_ns) // 1_000_000 == found["age_ms"]
    assert earlier["at_ns"] < found["at_ns"]
    assert last_ns == between["after"]["recv_wall_ns"]
    assert 2 == fleet.orderbooks("book", SLUG, "--at", "now+1s")


def test_any_other_state_is_exit_1(whole, capsys):
    code, found = said(whole, capsys, "book", SLUG, "--at", "close+1m")

    assert (1, "GAP", "not_due") == (code, found["state"], found["cause"])


def test_damage_labels_and_on_demand_stops(whole, capsys):
    path = next(each for each in whole.segments("books") if SLUG in each.name)
    path.write_bytes(path.read_bytes()[:-20])

    code, found = said(whole, capsys, "book", SLUG, "--at", "open+10s")
    assert (1, "LABELLED") == (code, found["state"])
    assert path.name in found["cause"]
    assert 2 == whole.orderbooks("book", SLUG, "--at", "open+10s", "--on-damage", "raise")
    assert path.name in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("book", "nothing-like-it", "--at", "open"),
        ("book", SLUG, "--at", "soon"),
        ("book", SLUG, "--at", "open", "--outcome", "Sideways"),
        ("diff", SLUG),
        ("diff", SLUG, "--at", "open-1m", "--and", "open+5s"),
        ("diff", SLUG, "--around", "close+10m"),
        ("fill", SLUG, "--side", "buy", "--size", "1e3", "--at", "open+1s"),
        ("fill", SLUG, "--side", "buy", "--size", "1", "--at", "open-1s"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_hint(whole, capsys, words):
    assert 2 == whole.orderbooks(*words)
    assert "orderbooks: " in capsys.readouterr().err


def test_a_diff_shows_each_level_and_that_the_hash_agrees(two_books, capsys):
    code, found = said(two_books, capsys, "diff", SLUG, "--around", "open+500ms")

    assert (0, True) == (code, found["hash_agrees"])
    assert [("ask", 550_000, 7_000_000, 0), ("bid", 480_000, 100_500_000, 0)] == [
        tuple(each.values()) for each in found["changes"]
    ]
    assert 0 == two_books.orderbooks("diff", SLUG, "--at", "open+500ms", "--and", "open+1500ms")
    out = capsys.readouterr().out
    assert "2 levels changed" in out
    assert "agrees" in out


def test_a_diff_of_a_book_whose_hash_was_wrong_differs(fleet, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    worker = fleet.collector(HOUR_MS - 5 * S)
    worker.tick(HOUR_MS)
    worker.tick(HOUR_MS + S, change=lambda body: body.replace(b'"100.5"', b'"100.6"'))
    worker.stop(HOUR_MS + 3 * S)

    code, found = said(fleet, capsys, "diff", SLUG, "--around", "open+500ms")

    assert (1, False) == (code, found["hash_agrees"])


def test_a_fill_is_told_level_by_level(two_books, capsys):
    words = ("--side", "buy", "--size", "9", "--at", "open+500ms")
    code, found = said(two_books, capsys, "fill", SLUG, *words)

    assert (0, 9_000_000, 0) == (code, found["filled_micros"], found["unfilled_micros"])
    assert [[550_000, 7_000_000], [560_000, 2_000_000]] == found["steps"]
    assert ("0.552222", "0.002222", "0.037222") == (
        found["vwap_text"],
        found["slippage_best_text"],
        found["slippage_mid_text"],
    )
    two_books.orderbooks("fill", SLUG, *words)
    out = capsys.readouterr().out
    assert "filled 9, not filled 0" in out
    assert "evidence 0.448 s old" in out


def test_a_fill_stops_at_its_limit_and_says_what_is_left(two_books, capsys):
    words = ("--side", "sell", "--size", "200", "--limit", "0.47", "--at", "open+500ms")
    code, found = said(two_books, capsys, "fill", SLUG, *words)

    assert (1, 103_500_000, 96_500_000) == (
        code,
        found["filled_micros"],
        found["unfilled_micros"],
    )


def test_the_markets_of_the_archive_are_listed(whole, capsys):
    assert 0 == whole.orderbooks("markets")
    assert [SLUG, "btc-updown-5m-2"] == [
        line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]
    ]
    code, found = said(whole, capsys, "markets", "--market", "*-2")
    assert (0, [("btc-updown-5m-2", 60, 60)]) == (
        code,
        [(each["slug"], each["due"], each["captured"]) for each in found["markets"]],
    )
