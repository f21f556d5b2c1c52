"""Holds `orderbooks coverage`: what the archive on the disk says, published, open and salvaged."""

import json

import pytest

from tests.tools.archives import HOUR_MS, Fleet, S, market
from workers.edge.spool import archive


def coverage(fleet: Fleet, capsys, *words: str) -> tuple[int, dict]:
    """The exit code and the report for programs."""
    capsys.readouterr()
    code = fleet.orderbooks("coverage", "--json", *words)
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def test_a_whole_archive_is_accounted_for(whole, capsys):
    code, report = coverage(whole, capsys)

    assert (0, 120, {"CAPTURED": 120}) == (code, report["due"], report["totals"])


def test_the_table_for_people_has_the_same_sums(whole, capsys):
    assert 0 == whole.orderbooks("coverage")
    out = capsys.readouterr().out

    assert "100.000%        120  CAPTURED" in out
    assert "120 states, adds up to 120 ticks due" in out
    assert "\x1b" not in out


def test_one_market_and_one_stretch_can_be_asked_for(whole, capsys):
    words = ("--from", "2026-04-16T08:00:10Z", "--to", "2026-04-16T08:00:20Z")

    assert 20 == coverage(whole, capsys, *words)[1]["due"]
    assert 10 == coverage(whole, capsys, *words, "--market", "btc-updown-5m-1")[1]["due"]
    assert 20 == coverage(whole, capsys, *words, "--market", "btc-*")[1]["due"]
    assert 2 == coverage(whole, capsys, "--market", "eth-*")[0]
    assert 2 == coverage(whole, capsys, "--from", "yesterday")[0]


def test_a_killed_collector_costs_its_unflushed_rows_and_its_absence(fleet, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    killed = fleet.collector(HOUR_MS - 5 * S)
    killed.ticks(HOUR_MS, HOUR_MS + 10 * S)
    killed.flush(HOUR_MS + 10 * S)
    killed.ticks(HOUR_MS + 10 * S, HOUR_MS + 12 * S)
    after = fleet.collector(HOUR_MS + 15 * S + 300)
    after.ticks(HOUR_MS + 16 * S, HOUR_MS + 60 * S)
    after.stop(HOUR_MS + 61 * S)

    code, report = coverage(fleet, capsys)

    assert (0, {"CAPTURED": 54, "DOWN(crashed)": 6}) == (code, report["totals"])


def test_a_promised_row_that_was_torn_with_its_segment_is_lost_in_the_crash(fleet, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    killed = fleet.collector(HOUR_MS - 5 * S)
    killed.ticks(HOUR_MS, HOUR_MS + 10 * S)
    killed.flush(HOUR_MS + 10 * S)
    for path in fleet.data.open_folder("collector-00").glob("*--books--*.open"):
        path.write_bytes(path.read_bytes()[:-30])
    after = fleet.collector(HOUR_MS + 10 * S + 10)
    after.ticks(HOUR_MS + 11 * S, HOUR_MS + 60 * S)
    after.stop(HOUR_MS + 61 * S)

    code, report = coverage(fleet, capsys)

    assert 0 == code
    assert 60 == report["due"] == sum(report["totals"].values())
    assert {"CAPTURED", "FAILED(lost_in_crash)", "DOWN(crashed)"} == set(report["totals"])


def test_a_living_collector_is_judged_as_far_as_it_has_written(fleet, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    live = fleet.collector(HOUR_MS - 5 * S)
    live.ticks(HOUR_MS, HOUR_MS + 10 * S)
    live.flush(HOUR_MS + 10 * S)
    live.ticks(HOUR_MS + 10 * S, HOUR_MS + 12 * S)

    alive = archive.gather(
        fleet.data, from_ms=0, until_ms=HOUR_MS + 60 * S, running={"collector-00": live.writer.run}
    )

    assert [HOUR_MS + 9 * S] == [each.last_due_ms for each in alive.lives.listed()]
    assert alive.lives.listed()[0].is_running


def test_rows_that_vanished_without_a_death_are_unexplained(whole, capsys):
    for path in (whole.segments("books")[0], whole.manifests("books")[0]):
        path.unlink()

    code, report = coverage(whole, capsys)

    assert (1, {"CAPTURED": 90, "UNEXPLAINED": 30}) == (code, report["totals"])


def test_a_manifest_without_its_file_captures_nothing(whole, capsys):
    path = whole.segments("books")[0]
    path.unlink()

    code, report = coverage(whole, capsys)

    assert (1, 30) == (code, report["totals"]["UNEXPLAINED"])
    assert any(path.name in each for each in report["unreadable"])


@pytest.mark.parametrize("kind", ["ledger", "universe"])
def test_a_damaged_ledger_or_universe_is_never_read_as_good(whole, capsys, kind):
    path = whole.segments(kind)[-1]
    path.write_bytes(path.read_bytes()[:-40])

    code, report = coverage(whole, capsys)

    assert code != 0
    assert not report or any(path.name in each for each in report["unreadable"])


def test_an_invalid_segment_captures_nothing(whole, capsys):
    name = whole.segments("books")[0].name
    whole.orderbooks("label", name, "--kind", "invalid", "--reason", "clock was wrong")

    code, report = coverage(whole, capsys)

    assert (0, 30) == (code, report["totals"]["FAILED(labelled_invalid)"])


def test_an_acknowledged_gap_is_said_to_be_one(whole, capsys):
    for path in (whole.segments("books")[0], whole.manifests("books")[0]):
        path.unlink()
    stretch = ("--from", "2026-04-16T08:00:00Z", "--to", "2026-04-16T08:00:25Z")
    about = ("--market", "btc-updown-5m-1", "--kind", "acknowledged", "--reason", "deleted by me")
    whole.orderbooks("label", *about, *stretch)

    code, report = coverage(whole, capsys)

    assert 1 == code
    assert {"CAPTURED": 90, "ACKNOWLEDGED": 25, "UNEXPLAINED": 5} == report["totals"]


def test_an_hour_asked_for_alone_knows_who_lived_before_it(fleet, capsys):
    long = market(1, HOUR_MS, 3 * 3600)
    fleet.publish_universe(HOUR_MS - 10 * S, long)
    collector = fleet.collector(HOUR_MS - 5 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 20 * S)
    collector.ticks(HOUR_MS + 3_600 * S, HOUR_MS + 3_610 * S)
    collector.tick(HOUR_MS + 7_200 * S)
    collector.tick(HOUR_MS + 7_230 * S)
    collector.stop(HOUR_MS + 7_231 * S)

    code, report = coverage(
        fleet, capsys, "--from", "2026-04-16T10:00:00Z", "--to", "2026-04-16T10:00:33Z"
    )

    assert (1, 33) == (code, report["due"])
    assert {"CAPTURED": 2, "UNEXPLAINED": 29, "DOWN(stopped)": 2} == report["totals"]


def test_the_rows_of_a_segment_that_was_cut_short_are_lost_and_not_unexplained(whole, capsys):
    path = whole.manifests("books")[0]
    fields = json.loads(path.read_bytes())
    fields["ended"], fields["told"]["captured"] = "cut_short", []
    path.write_text(json.dumps(fields))

    code, report = coverage(whole, capsys)

    assert (0, {"CAPTURED": 90, "FAILED(lost_in_crash)": 30}) == (code, report["totals"])


def test_without_a_universe_there_is_nothing_to_account_for(fleet, capsys):
    assert 2 == fleet.orderbooks("coverage")
    assert "no universe was ever published" in capsys.readouterr().err
