"""Holds `orderbooks replay`: every row, in its own bytes, in time order, with the gaps between."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.tools import played
from tests.tools.archives import HOUR_MS, Fleet, S, market, whole_minute

SLUG = "btc-updown-5m-1"


@pytest.fixture(scope="module")
def moving(tmp_path_factory) -> Fleet:
    return played.moving(tmp_path_factory.mktemp("m") / "var")


def lines(capfdbinary, fleet: Fleet, *words: str, code: int = 0) -> list[bytes]:
    """What a replay prints; the exit code is held."""
    capfdbinary.readouterr()
    assert code == fleet.orderbooks("replay", *words)
    return capfdbinary.readouterr().out.split(b"\n")[:-1]


def scenes(printed: list[bytes], kind: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in printed]
    return [each for each in found if each["kind"] == kind]


def verbatim(printed: list[bytes]) -> Iterator[bytes]:
    """The bytes of each book as they were printed."""
    for line in printed:
        if line.startswith(b'{"kind":"book"'):
            yield line[line.index(b'"book":{') + 7 : -1]


def test_every_row_is_printed_in_the_bytes_of_the_venue(moving, capfdbinary):
    printed = lines(capfdbinary, moving, SLUG)
    books = scenes(printed, "book")
    stored = {(path, row): raw for path, row, raw in played.books_in(moving)}
    places = [(each["provenance"]["path"], each["provenance"]["row"]) for each in books]

    assert len(stored) == len(books) == 2 * 55
    assert [stored[place] for place in places] == list(verbatim(printed))
    assert {"verified"} == {each["hash_verdict"] for each in books}
    assert {"SYNCED"} == {each["state"] for each in books}


def test_lines_come_in_time_order_between_a_head_and_a_count(moving, capfdbinary):
    printed = lines(capfdbinary, moving, SLUG)
    head, end = json.loads(printed[0]), json.loads(printed[-1])
    times = [json.loads(line)["at_ns"] for line in printed[1:-1]]

    assert sorted(times) == times
    assert ("orderbooks.replay/1", [SLUG]) == (head["schema"], head["markets"])
    assert {"kind": "end", "book": 110, "gap": 2, "silence": 2, "event": 0, "damage": 0} == end


def test_a_gap_is_a_line_with_its_cause_and_no_book_lies_in_it(moving, capfdbinary):
    printed = lines(capfdbinary, moving, SLUG)
    gaps, from_ms = scenes(printed, "gap"), HOUR_MS + played.MISSED.start * S
    until_ms = HOUR_MS + played.MISSED.stop * S

    assert {"Up", "Down"} == {each["outcome"] for each in gaps}
    for gap in gaps:
        assert from_ms * 1_000_000 == gap["at_ns"]
        assert (from_ms, until_ms - S) == (gap["gap"]["from_due_ms"], gap["gap"]["until_due_ms"])
        assert {"FAILED(http_503)": 5} == gap["gap"]["states"]
        assert "book" not in gap
    dues = {each["due_ms"] for each in scenes(printed, "book")}
    assert not dues & set(range(from_ms, until_ms, S))


def test_when_nothing_is_due_any_more_a_line_says_so(moving, capfdbinary):
    silent = scenes(lines(capfdbinary, moving, SLUG), "silence")

    assert {HOUR_MS + 59 * S + 52 + 2 * S} == {each["at_ns"] // 1_000_000 for each in silent}
    assert {"not_due"} == {each["cause"] for each in silent}


def test_the_derived_tables_play_the_same_past(moving, capfdbinary):
    raw = lines(capfdbinary, moving, SLUG)
    assert 0 == moving.orderbooks("normalize")
    derived = lines(capfdbinary, moving, SLUG, "--source", "derived")
    same = ("at_ns", "kind", "token_id", "state", "cause", "due_ms", "hash_verdict")
    facts = [
        sorted([str(json.loads(line).get(each)) for each in same] for line in printed)
        for printed in (raw, derived)
    ]

    assert list(verbatim(raw)) == list(verbatim(derived))
    assert facts[0] == facts[1]
    source = scenes(derived, "book")[0]["provenance"]
    assert source["derived"].startswith("derived/books/")
    assert scenes(raw, "book")[0]["provenance"]["sha256"] == source["sha256"]


def test_a_segment_that_no_table_holds_is_said_to_be_missing(whole, capfdbinary):
    printed = lines(capfdbinary, whole, SLUG, "--source", "derived", code=1)

    (said,) = scenes(printed, "damage")
    names = [each.name.removesuffix(".jsonl.gz") for each in whole.segments("books")]
    assert [] == scenes(printed, "book")
    assert 2 == said["cause"].count("in no table: orderbooks normalize")
    assert all(each in said["cause"] for each in names if SLUG in each)
    assert 2 == whole.orderbooks("replay", SLUG, "--source", "derived", "--on-damage", "raise")


def test_a_table_with_a_flipped_bit_is_damage_and_no_row_of_it_is_played(whole, capfdbinary):
    assert 0 == whole.orderbooks("normalize")
    path = next((whole.data.root / "derived/books").rglob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    printed = lines(capfdbinary, whole, SLUG, "--source", "derived", code=1)
    assert whole.data.relative(path) in scenes(printed, "damage")[0]["cause"]
    assert [] == scenes(printed, "book")
    assert 2 == whole.orderbooks("replay", SLUG, "--source", "derived", "--on-damage", "raise")


def test_a_damaged_segment_is_a_line_and_an_exit_code(whole, capfdbinary):
    path = next(each for each in whole.segments("books") if SLUG in each.name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    printed = lines(capfdbinary, whole, SLUG, code=1)
    assert whole.data.relative(path) in scenes(printed, "damage")[0]["cause"]
    assert 2 == whole.orderbooks("replay", SLUG, "--on-damage", "raise")


def test_patterns_and_all_markets_come_as_one_stream(whole, capfdbinary):
    span = ("--from", str(HOUR_MS), "--to", str(HOUR_MS + 10 * S))
    for words in ((), ("btc-*",), (SLUG, "btc-updown-5m-2")):
        books = scenes(lines(capfdbinary, whole, *words, *span), "book")
        assert {SLUG: 20, "btc-updown-5m-2": 20} == {
            slug: [each["slug"] for each in books].count(slug) for slug in (SLUG, "btc-updown-5m-2")
        }
        assert sorted(books, key=lambda each: each["at_ns"]) == books


def test_a_time_across_the_hour_is_played_without_a_seam(tmp_path, capfdbinary):
    fleet = Fleet(tmp_path / "var")
    start_ms = HOUR_MS + 3_600_000 - 5 * S
    fleet.publish_universe(start_ms - 10 * S, market(1, start_ms, 10))
    collector = fleet.collector(start_ms - 5 * S)
    collector.ticks(start_ms, start_ms + 10 * S)
    collector.stop(start_ms + 11 * S)

    dues = [each["due_ms"] for each in scenes(lines(capfdbinary, fleet, SLUG), "book")]

    assert sorted(2 * [*range(start_ms, start_ms + 10 * S, S)]) == dues


def test_a_row_that_came_after_its_hour_is_played_from_the_tables_too(tmp_path, capfdbinary):
    fleet = Fleet(tmp_path / "var")
    start_ms = HOUR_MS + 3_600_000 - 3 * S
    fleet.publish_universe(start_ms - 10 * S, market(1, start_ms, 3))
    collector = fleet.collector(start_ms - 5 * S)
    for due_ms in range(start_ms, start_ms + 3 * S, S):
        played.late_tick(collector, due_ms, 1500)
    collector.stop(start_ms + 5 * S)
    assert 0 == fleet.orderbooks("normalize")

    raw = scenes(lines(capfdbinary, fleet, SLUG), "book")
    derived = scenes(lines(capfdbinary, fleet, SLUG, "--source", "derived"), "book")

    assert 6 == len(raw)
    assert [each["at_ns"] for each in raw] == [each["at_ns"] for each in derived]
    assert raw[-1]["at_ns"] // 1_000_000 > HOUR_MS + 3_600_000


def test_of_a_market_that_is_still_being_recorded_nothing_of_the_future_is_told(
    tmp_path, capfdbinary
):
    fleet = Fleet(tmp_path / "var")
    start_ms = (time.time_ns() // 1_000_000_000 - 5) * S
    fleet.publish_universe(start_ms - 10 * S, market(1, start_ms, 3600))
    collector = fleet.collector(start_ms - 5 * S)
    collector.ticks(start_ms, start_ms + 3 * S)
    collector.flush(start_ms + 3 * S)

    printed = lines(capfdbinary, fleet, SLUG)

    assert 6 == len(scenes(printed, "book"))
    told = [json.loads(line) for line in printed[1:-1]]
    assert max(each["at_ns"] for each in told) <= time.time_ns()
    assert all(
        each["gap"]["until_due_ms"] <= time.time_ns() // 10**6 for each in told if "gap" in each
    )


def test_as_the_venue_only_changes_are_told_and_a_gap_is_an_empty_line(moving, capfdbinary):
    told = lines(capfdbinary, moving, SLUG, "--as", "venue")
    seen: dict[str, bytes] = {}
    changed = []
    for _, _, raw in played.books_in(moving):
        token = json.loads(raw)["asset_id"]
        if seen.get(token) != raw:
            seen[token] = raw
            changed.append(raw[:-1] + b',"event_type":"book"}')

    # The unchanged seconds are left out; every book after the gap differs from the one before.
    assert 2 * (60 - len(played.MISSED) - len(played.UNCHANGED)) == len(changed)
    assert changed == [each for each in told if each]
    first = [each for each in told if each].index(changed[2 * played.MISSED.start])
    assert [b"", b""] == told[first : first + 2]


def test_a_book_that_a_person_called_invalid_is_not_told_as_the_venue(tmp_path, capfdbinary):
    fleet = whole_minute(tmp_path / "var")
    name = next(each.name for each in fleet.segments("books") if SLUG in each.name)
    fleet.orderbooks("label", name, "--kind", "invalid", "--reason", "wrong clock")

    rows = scenes(lines(capfdbinary, fleet, SLUG, code=1), "book")
    told = lines(capfdbinary, fleet, SLUG, "--as", "venue", code=1)

    assert 60 == sum(each["state"] == "LABELLED" for each in rows)
    assert 60 == len([each for each in told if each])


@pytest.mark.parametrize(
    "words",
    [
        ("nothing-such",),
        ("nothing-*", "--from", "2026-04-16T08:00", "--to", "2026-04-16T09:00"),
        (),
        ("btc-*", "--from", "open", "--to", "close"),
        (SLUG, "--from", "close", "--to", "open"),
        (SLUG, "--speed", "fast"),
        (SLUG, "--speed", "0"),
        (SLUG, "--speed", "-1"),
        (SLUG, "--from", "yesterday"),
        (SLUG, "--serve", "65535"),
        (SLUG, "--serve", "-1"),
    ],
)
def test_what_cannot_be_played_is_refused(whole, words):
    assert 2 == whole.orderbooks("replay", *words)
