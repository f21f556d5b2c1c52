"""The table of gaps: what coverage says of an hour, from evidence that its manifest names."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.derived_rows import rows_of
from tests.remotes.servers import Local
from tests.tools.archives import HOUR_MS, Fleet, S, market, whole_minute
from tests.tools.offloading import Yard, of_kind
from workers.core.errors import Refused
from workers.core.instants import MS_PER_HOUR
from workers.core.tables.manifests import TableManifest
from workers.edge.derived import gaps, shelf
from workers.edge.derived.accounts import Away
from workers.edge.derived.closing import Closing
from workers.edge.derived.shelf import Batch
from workers.edge.derived.shift import Told
from workers.edge.offload import ledger
from workers.edge.spool import locks
from workers.edge.spool.directory import DataDir

SPAN = ("--from", "2026-04-16T08:00", "--to", "2026-04-16T09:00")
NOW_MS = HOUR_MS + 3 * MS_PER_HOUR


@pytest.fixture
def fleet(tmp_path: Path):
    """One market for a minute: four ticks failed, then a crash, five seconds of nobody, a stop."""
    yield gappy(tmp_path / "var")
    locks.release_all()


def gappy(root: Path) -> Fleet:
    made = Fleet(root)
    made.publish_universe(HOUR_MS - 10 * S, market(1), market(2, HOUR_MS + 30 * S, 20))
    first = made.collector(HOUR_MS - 5 * S)
    first.ticks(HOUR_MS, HOUR_MS + 10 * S)
    for second in range(10, 14):
        first.tick(HOUR_MS + second * S, cause="http_503", status=503)
    first.ticks(HOUR_MS + 14 * S, HOUR_MS + 20 * S)
    first.flush(HOUR_MS + 20 * S)
    after = made.collector(HOUR_MS + 25 * S)
    after.ticks(HOUR_MS + 26 * S, HOUR_MS + 55 * S)
    after.stop(HOUR_MS + 55 * S)
    locks.release_all()
    return made


def batch(data: DataDir, wall_ns: int = 1) -> Batch:
    return Batch(data, {"orderbooks": "0"}, wall_ns)


def standing(data: DataDir, hour_ms: int = HOUR_MS) -> TableManifest:
    (found,) = shelf.standing(data, "gaps", hour_ms)
    return found


def rows(data: DataDir, hour_ms: int = HOUR_MS) -> list[dict[str, object]]:
    return rows_of(data.root / standing(data, hour_ms).path, "gaps")


def settled(data: DataDir) -> None:
    """As if every segment was derived."""
    for path in data.queue("normalize").glob("*.ready"):
        path.rename(path.with_suffix(".done"))


def closed(closing: Closing, data: DataDir, now_ms: int = NOW_MS) -> tuple[list[int], Told]:
    """What a worker does: look, do the job, learn."""
    told = Told()
    due = closing.look(now_ms=now_ms, grace_ms=0)
    closing.work(due, ledger.Gone(data))(batch(data), told)
    closing.settle(due, told)
    return due, told


def test_its_rows_are_the_gaps_of_coverage_and_its_sums_are_what_was_due(fleet: Fleet, capsys):
    gaps.anew(batch(fleet.data), HOUR_MS, ledger.Gone(fleet.data))
    fleet.orderbooks("coverage", "--json", "--gaps", "0", *SPAN)
    report = json.loads(capsys.readouterr().out)
    told = {
        (each["condition_id"], gap["length_s"], tuple(sorted(gap["states"].items())))
        for each in report["markets"]
        for gap in each["gaps"]
    }

    found = rows(fleet.data)
    assert told == {
        (
            each["condition_id"],
            each["length_ms"] / 1000,
            tuple(zip(each["states"], each["ticks"], strict=True)),
        )
        for each in found
    }
    states = {state for each in found for state in each["states"]}
    assert {"FAILED(http_503)", "DOWN(crashed)", "DOWN(starting)", "DOWN(stopped)"} == states
    assert {"btc-updown-5m-1"} == {each["slug"] for each in found}
    assert {"due": report["due"], **report["totals"]} == standing(fleet.data).checks
    assert 80 == report["due"]


def test_an_hour_without_a_gap_has_a_table_that_says_so(tmp_path: Path):
    data = whole_minute(tmp_path).data
    gaps.anew(batch(data), HOUR_MS, {})

    assert [] == rows(data)
    assert {"due": 120, "CAPTURED": 120} == standing(data).checks


def test_the_same_evidence_gives_the_same_bytes_and_is_not_written_twice(tmp_path: Path):
    one, other = (gappy(tmp_path / name).data for name in ("a", "b"))
    (first,) = gaps.anew(batch(one), HOUR_MS, {})
    (second,) = gaps.anew(batch(other, 2), HOUR_MS, {})

    assert (first.name, first.sha256) == (second.name, second.sha256)
    assert [] == gaps.renewed(batch(one), HOUR_MS, {})
    assert [] == gaps.anew(batch(one), HOUR_MS, {})
    locks.release_all()


def test_its_sources_are_the_published_segments_it_rests_on(fleet: Fleet):
    (made,) = gaps.anew(batch(fleet.data), HOUR_MS, {})
    kinds = [each.name.split("--")[1] for each in made.sources]

    assert {"books", "ledger", "universe"} == set(kinds)
    assert not any("discovery--ledger" in each.name for each in made.sources)
    for each in made.sources:
        (path,) = fleet.data.root.rglob(f"{each.name}.jsonl.gz")
        assert each.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_label_renews_the_table_and_the_gap_says_that_it_is_acknowledged(fleet: Fleet):
    (before,) = gaps.renewed(batch(fleet.data), HOUR_MS, {})
    span = ("--from", "2026-04-16T08:00:00Z", "--to", "2026-04-16T08:00:15Z")
    words = ("--kind", "acknowledged", "--reason", "known", "--by", "me", "--market", "*")
    assert 0 == fleet.orderbooks("label", *words, *span)

    (after,) = gaps.renewed(batch(fleet.data), HOUR_MS, {})

    assert [before.name] == after.replaces
    assert not (fleet.data.root / before.path).exists()
    (label,) = (each.name for each in after.sources if each not in before.sources)
    assert label.startswith("labels/coverage--every-market--")
    assert [True, False, False] == [each["acknowledged"] for each in rows(fleet.data)]
    assert 4 == after.checks["ACKNOWLEDGED"]
    assert [] == gaps.renewed(batch(fleet.data), HOUR_MS, {})


def test_a_segment_that_comes_late_renews_the_table(fleet: Fleet):
    data = fleet.data
    late = [each for each in fleet.manifests("books") if "updown-5m-2--" in each.name]
    away = data.root / "away"
    away.mkdir()
    hidden = [path for each in late for path in each.parent.glob(f"{each.name.split('.')[0]}.*")]
    for path in hidden:
        path.rename(away / path.name)
    settled(data)
    closing = Closing(data)
    closed(closing, data)
    assert 20 == standing(data).checks["UNEXPLAINED"]
    assert ([], []) == (closed(closing, data)[0], closed(Closing(data), data)[1].made)
    for path in hidden:
        (away / path.name).rename(path)

    restarted = Closing(data)
    closed(restarted, data)
    assert "UNEXPLAINED" not in standing(data).checks
    closing.changed(HOUR_MS)
    assert HOUR_MS in closed(closing, data)[0]
    assert [] == closed(closing, data)[1].made


@pytest.mark.parametrize("kind", ["books", "ledger"])
def test_no_gap_is_claimed_from_damage_and_what_stands_is_left(fleet: Fleet, kind: str):
    (before,) = gaps.anew(batch(fleet.data), HOUR_MS, {})
    path = fleet.segments(kind)[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(Refused, match=path.name):
        gaps.anew(batch(fleet.data), HOUR_MS, {})

    assert before == standing(fleet.data)
    assert [] == list((fleet.data.root / "derived").rglob("*.tmp"))


def test_damage_of_one_hour_holds_up_no_other_and_is_tried_again_with_the_next(fleet: Fleet):
    data = fleet.data
    settled(data)
    path = fleet.segments("ledger")[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    closing = Closing(data)
    _, told = closed(closing, data)
    assert path.name in told.problem
    assert ([HOUR_MS], True) == (told.refused, closing.has_refused)
    assert [HOUR_MS - MS_PER_HOUR] == [hour_ms for hour_ms, _ in shelf.hours(data, "gaps")]
    assert [] == closed(closing, data)[0]
    path.write_bytes(whole)

    due, told = closed(closing, data, NOW_MS + MS_PER_HOUR)
    assert HOUR_MS in due
    assert ("", False) == (told.problem, closing.has_refused)
    assert 80 == standing(data).checks["due"]


def invalid(fleet: Fleet, path: Path) -> None:
    said = ("--kind", "invalid", "--reason", "disk fault", "--by", "me")
    assert 0 == fleet.orderbooks("label", path.name.partition(".")[0], *said)


@pytest.mark.parametrize(
    ("kind", "state"), [("books", "FAILED(labelled_invalid)"), ("ledger", "DOWN(stopped)")]
)
def test_a_label_on_what_is_damaged_settles_the_hour(fleet: Fleet, kind: str, state: str):
    data = fleet.data
    # Its ledger is the one behind the hour.
    behind = fleet.collector(HOUR_MS + MS_PER_HOUR + 5 * S)
    behind.stop(HOUR_MS + MS_PER_HOUR + 10 * S)
    locks.release_all()
    settled(data)
    path = fleet.segments(kind)[-1]
    path.write_bytes(path.read_bytes()[:-9])
    closing = Closing(data)
    assert path.name in closed(closing, data)[1].problem
    assert [] == closing.look(now_ms=NOW_MS, grace_ms=0)
    invalid(fleet, path)

    _, told = closed(closing, data)
    assert ("", False) == (told.problem, closing.has_refused)
    assert 80 == standing(data).checks["due"]
    assert state in standing(data).checks
    assert path.name.partition(".")[0] in {each.name for each in standing(data).sources}
    assert [] == closed(Closing(data), data)[1].made


def test_a_label_on_another_segment_leaves_the_hour_refused(fleet: Fleet):
    data = fleet.data
    settled(data)
    path, other = fleet.segments("ledger")[-1], fleet.segments("books")[0]
    path.write_bytes(path.read_bytes()[:-9])
    closing = Closing(data)
    closed(closing, data)
    invalid(fleet, other)

    _, told = closed(closing, data)
    assert path.name in told.problem
    assert closing.has_refused


def test_an_hour_whose_ledgers_are_on_the_remote_alone_keeps_its_table(tmp_path: Path):
    fleet = whole_minute(tmp_path / "var")
    data = fleet.data
    gaps.anew(batch(data), HOUR_MS, {})
    before = standing(data)
    with Local(tmp_path / "far") as remote:
        yard = Yard(fleet, remote, tmp_path)
        yard.ship_all()
        yard.let_go(of_kind("ledger"))
    with pytest.raises(Away, match="offloaded"):
        gaps.anew(batch(data), HOUR_MS, ledger.Gone(data))
    settled(data)
    closing = Closing(data)
    closing.look(now_ms=NOW_MS, grace_ms=0)
    closing.changed(HOUR_MS)
    _, told = closed(closing, data)

    assert ("", []) == (told.problem, told.made)
    assert before == standing(data)


def test_an_hour_is_closed_when_nothing_can_change_it_any_more(fleet: Fleet):
    data = fleet.data
    closing = Closing(data)
    assert HOUR_MS not in closing.look(now_ms=NOW_MS, grace_ms=0), "tickets wait"
    settled(data)
    assert HOUR_MS in closing.look(now_ms=NOW_MS, grace_ms=0)
    assert HOUR_MS not in Closing(data).look(now_ms=HOUR_MS + MS_PER_HOUR - 1, grace_ms=0)
    assert HOUR_MS not in Closing(data).look(now_ms=HOUR_MS + MS_PER_HOUR, grace_ms=1)
    behind = "collector-00--ledger--collector-00--20260416T090000000Z-0001.jsonl.gz.open"
    other = "discovery--ledger--discovery--20260416T090000000Z-0001.jsonl.gz.open"
    (data.open_folder("discovery") / other).touch()
    assert HOUR_MS in closing.look(now_ms=NOW_MS, grace_ms=0), "it says nothing of ticks"
    (data.open_folder("collector-00") / behind).touch()
    assert HOUR_MS not in closing.look(now_ms=NOW_MS, grace_ms=0), "it has the last answers"


def test_nobody_there_while_a_market_was_due_is_a_gap_and_sleep_is_none(tmp_path: Path):
    fleet = Fleet(tmp_path)
    fleet.publish_universe(HOUR_MS - 10 * S, market(1, HOUR_MS, 2 * 3600))
    collector = fleet.collector(HOUR_MS - 5 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 10 * S)
    collector.stop(HOUR_MS + 10 * S)
    locks.release_all()
    settled(fleet.data)
    closing = Closing(fleet.data)
    due, told = closed(closing, fleet.data, HOUR_MS + 100 * MS_PER_HOUR)

    assert 101 == len(due)
    assert 3 == len(told.made)
    assert [("DOWN(stopped)", 3600)] == [
        (state, count)
        for each in rows(fleet.data, HOUR_MS + MS_PER_HOUR)
        for state, count in zip(each["states"], each["ticks"], strict=True)
    ]
    assert [] == closed(closing, fleet.data, HOUR_MS + 100 * MS_PER_HOUR)[0]
    assert [] == closed(Closing(fleet.data), fleet.data, HOUR_MS + 100 * MS_PER_HOUR)[1].made


def test_rows_of_a_gap_that_crosses_the_hour_join_to_the_gap_of_coverage(tmp_path: Path, capsys):
    fleet = Fleet(tmp_path)
    fleet.publish_universe(HOUR_MS - 10 * S, market(1, HOUR_MS, 2 * 3600))
    collector = fleet.collector(HOUR_MS - 5 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 10 * S)
    collector.stop(HOUR_MS + 10 * S)
    locks.release_all()
    for hour_ms in (HOUR_MS, HOUR_MS + MS_PER_HOUR):
        gaps.anew(batch(fleet.data), hour_ms, {})
    fleet.orderbooks("coverage", "--json", "--from", "2026-04-16T08:00", "--to", "2026-04-16T10:00")
    (whole,) = json.loads(capsys.readouterr().out)["markets"][0]["gaps"]

    (first,), (second,) = rows(fleet.data), rows(fleet.data, HOUR_MS + MS_PER_HOUR)
    assert second["from_due_ms"] == first["from_due_ms"] + first["length_ms"]
    assert whole["length_s"] * 1000 == first["length_ms"] + second["length_ms"]
    assert sum(whole["states"].values()) == sum(first["ticks"]) + sum(second["ticks"])


def test_an_archive_that_knows_no_universe_has_no_gaps(tmp_path: Path):
    fleet = Fleet(tmp_path)
    assert [] == Closing(fleet.data).look(now_ms=NOW_MS, grace_ms=0)
    shutil.rmtree(fleet.data.root / "manifests")

    assert [] == Closing(fleet.data).look(now_ms=NOW_MS, grace_ms=0)
