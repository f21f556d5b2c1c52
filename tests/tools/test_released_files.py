"""Holds verify, coverage and response over an archive that retention thinned out.

What was let go on a written proof is not damage; the same file missing without one is.
"""

import json

import pytest

from tests.remotes.servers import Local
from tests.tools.archives import HOUR_MS, Fleet, S, market
from tests.tools.offloading import Yard, of_kind
from workers.core.offload.retention import Candidate
from workers.edge.spool import locks

HOUR_AGO, HOUR_ON = "2026-04-16T08:00", "2026-04-16T09:00"


@pytest.fixture
def yard(whole, tmp_path):
    """The whole minute, shipped to a directory."""
    with Local(tmp_path / "far") as remote:
        yard = Yard(whole, remote, tmp_path)
        yard.ship_all()
        yield yard


@pytest.fixture
def hours(tmp_path):
    """One market for three hours, 20 ticks in each; a universe and a load at each hour's begin."""
    fleet = Fleet(tmp_path / "var")
    long = market(1, HOUR_MS, 3 * 3600)
    fleet.publish_universe(HOUR_MS - 10 * S, long)
    collector = fleet.collector(HOUR_MS - 5 * S)
    for hour in range(3):
        from_ms = HOUR_MS + hour * 3600 * S
        if hour:
            collector.publish(from_ms - S)
            collector.load(fleet.publish_universe(from_ms - S, long), from_ms - S // 2)
        collector.ticks(from_ms, from_ms + 20 * S)
    collector.stop(HOUR_MS + 2 * 3600 * S + 20 * S)
    locks.release_all()
    with Local(tmp_path / "far") as remote:
        yard = Yard(fleet, remote, tmp_path)
        yard.ship_all()
        yield yard


def verify(yard: Yard, capsys, *words: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = yard.orderbooks("verify", "--jobs", "1", "--json", *words)
    return code, json.loads(capsys.readouterr().out)


def coverage(yard: Yard, capsys, *words: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = yard.orderbooks("coverage", "--json", *words)
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("kinds", "count"), [(("books",), 4), (("ledger",), 5), (("books", "ledger", "universe"), 10)]
)
def test_what_retention_let_go_is_offloaded_and_no_damage(yard, capsys, kinds, count):
    before = verify(yard, capsys)
    listed = yard.let_go(of_kind(*kinds))
    assert not any((yard.data.root / row.path).exists() for row in listed.files)

    code, report = verify(yard, capsys)

    assert (0, 0) == (before[0], code), report["problems"]
    assert count == report["offloaded"] == len(listed.files)
    assert listed.bytes == report["offloaded_bytes"]
    assert before[1]["segments"]["books"] == report["segments"]["books"]


def test_the_page_for_people_says_how_to_check_them(yard, capsys):
    yard.let_go(of_kind("books"))
    capsys.readouterr()

    assert 0 == yard.orderbooks("verify", "--jobs", "1")
    out = capsys.readouterr().out

    assert "offloaded 4 segments" in out
    assert "orderbooks offload verify" in out


def test_the_same_file_missing_without_a_retention_row_is_damage(yard, capsys):
    yard.let_go(of_kind("ledger"))
    path = yard.fleet.segments("books")[0]
    path.unlink()

    code, report = verify(yard, capsys)

    assert 1 == code
    assert any(
        path.name.removesuffix(".jsonl.gz") in each["path"] and "No such file" in each["detail"]
        for each in report["problems"]
    )


def test_a_manifest_that_speaks_of_other_content_than_was_proven_is_damage(yard, capsys):
    listed = yard.let_go(of_kind("books"))
    path = yard.fleet.manifests("books")[0]
    was = json.loads(path.read_bytes())["sha256"]
    assert was in {row.sha256 for row in listed.files}
    path.write_bytes(path.read_bytes().replace(was.encode(), b"0" * 64))

    code, report = verify(yard, capsys)

    assert 1 == code
    assert any("retention let go of a file with sha256" in p["detail"] for p in report["problems"])


def test_a_row_that_vanished_beside_offloaded_ones_is_still_missed(yard, capsys):
    """Only the requests of the files that were let go count as present."""
    books = yard.fleet.segments("books")
    keep = {path.name.removesuffix(".jsonl.gz") for path in books[1:]}
    yard.let_go(lambda each: each.name in keep)
    for path in (books[0], yard.fleet.manifests("books")[0]):
        path.unlink()

    code, report = verify(yard, capsys)

    assert 1 == code
    said = " ".join(each["detail"] for each in report["problems"])
    assert "promised by the ledger, in no books segment" in said


def test_coverage_of_offloaded_books_is_known_from_their_manifests(yard, capsys):
    yard.let_go(of_kind("books"))

    code, report = coverage(yard, capsys)

    assert (0, {"CAPTURED": 120}) == (code, report["totals"])
    assert [] == report["unreadable"]


def test_a_books_file_missing_without_a_retention_row_captures_nothing(yard, capsys):
    yard.let_go(of_kind("ledger"))
    yard.fleet.segments("books")[0].unlink()

    code, report = coverage(yard, capsys, "--from", HOUR_AGO, "--to", HOUR_ON)

    assert 1 == code
    assert report["unreadable"]
    assert 90 == report["totals"]["CAPTURED"]


def of_first_hour(each: Candidate) -> bool:
    """The collector's ledgers of its start and of the first hour."""
    return "collector-00--ledger" in each.name and each.ended_ms <= HOUR_MS + 3600 * S


def test_without_from_hours_whose_ledgers_were_let_go_are_left_out_and_said(hours, capsys):
    hours.let_go(of_first_hour)

    code, report = coverage(hours, capsys, "--to", "2026-04-16T10:00:20")

    assert report["is_cut"]
    assert "2026-04-16T09:59:59.501Z" == report["from_utc"], "the next load that lies here"
    assert (0, {"CAPTURED": 20}) == (code, report["totals"])


def test_asked_for_they_are_offloaded_and_never_unexplained(hours, capsys):
    whole = coverage(hours, capsys, "--from", HOUR_AGO, "--to", "2026-04-16T08:59")
    assert (1, {"CAPTURED": 20, "UNEXPLAINED": 3520}) == (whole[0], whole[1]["totals"])

    hours.let_go(of_first_hour)
    code, report = coverage(hours, capsys, "--from", HOUR_AGO, "--to", "2026-04-16T08:59")

    assert (2, {"CAPTURED": 20, "OFFLOADED": 3520}) == (code, report["totals"])
    assert report["due"] == sum(report["totals"].values())


def test_the_hour_behind_an_offloaded_one_is_judged_as_before(hours, capsys):
    words = ("--from", "2026-04-16T10:00", "--to", "2026-04-16T10:00:20")
    whole = coverage(hours, capsys, *words)
    assert (0, {"CAPTURED": 20}) == (whole[0], whole[1]["totals"])

    hours.let_go(of_first_hour)

    assert whole == coverage(hours, capsys, *words)


def test_a_ledger_missing_without_a_retention_row_is_damage_as_before(hours, capsys):
    hours.let_go(lambda each: "--books--" in each.name)
    path = next(
        p for p in hours.fleet.segments("ledger") if "collector" in p.name and "hour=08" in str(p)
    )
    path.unlink()

    code, report = coverage(hours, capsys, "--from", HOUR_AGO, "--to", "2026-04-16T08:59")

    assert 1 == code
    assert any(path.name in each for each in report["unreadable"])


def test_without_the_publications_of_its_time_a_tick_is_not_said_to_be_due(hours, capsys):
    until = ("--to", "2026-04-16T10:00:20")
    behind = coverage(hours, capsys, "--from", "2026-04-16T08:59:59", *until)[1]["totals"]
    first = hours.fleet.segments("universe")[0].name
    hours.let_go(lambda each: f"{each.name}.jsonl.gz" == first)

    _, report = coverage(hours, capsys, "--from", HOUR_AGO, *until)

    assert report["is_cut"]
    assert "2026-04-16T08:59:59.000Z" == report["from_utc"]
    assert not report["unreadable"]
    assert behind == report["totals"]


def test_a_response_in_an_offloaded_hour_says_where_it_is(yard, capsys):
    request = f"collector-00.{HOUR_MS - 5 * S}.3"
    assert 0 == yard.orderbooks("response", request)
    yard.let_go(of_kind("books"))
    capsys.readouterr()

    assert 2 == yard.orderbooks("response", request)
    err = capsys.readouterr().err

    assert "was offloaded" in err
    assert "orderbooks restore --to DIR --day 2026-04-16 --hour 08" in err


def test_what_was_let_go_can_be_labelled(yard, capsys):
    yard.let_go(of_kind("books"))
    path = yard.data.relative(yard.fleet.segments("books")[0])

    assert 0 == yard.orderbooks("label", path, "--kind", "invalid", "--reason", "clock was wrong")
    assert 30 == coverage(yard, capsys)[1]["totals"]["FAILED(labelled_invalid)"]


def test_brought_home_by_hand_a_file_counts_as_here_again(yard, capsys):
    listed = yard.let_go(of_kind("books"))
    for row in listed.files:
        (yard.data.root / row.path).write_bytes(yard.remote.read(row.path))

    code, report = verify(yard, capsys)

    assert (0, 0) == (code, report["offloaded"])
