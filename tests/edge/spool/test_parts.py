"""Which segments of a long archive are opened for an hour, and that they are enough."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.tools.archives import HOUR_MS, Fleet, S, market
from workers.core.archive.segments import MANIFEST_SUFFIX, segment_name
from workers.core.coverage.coverage import judge
from workers.core.instants import MS_PER_HOUR
from workers.edge.spool import archive, locks, parts
from workers.edge.spool.directory import DataDir

DAY_MS = 24 * MS_PER_HOUR
ASKED_MS = HOUR_MS + 40 * DAY_MS
KINDS = {"universe": "discovery", "ledger": "collector-00", "books": "collector-00"}


@pytest.fixture
def data(tmp_path: Path):
    """Two collectors: one stopped forty days ago and for good, one that came again."""
    made = Fleet(tmp_path / "var")
    made.publish_universe(HOUR_MS - 10 * S, market(1))
    for shard in (0, 1):
        first = made.collector(HOUR_MS - 5 * S, shard, 2)
        first.ticks(HOUR_MS, HOUR_MS + 5 * S)
        first.stop(HOUR_MS + 10 * S)
    known = (market(number, ASKED_MS, 2 * 3600) for number in range(2, 8))
    made.publish_universe(ASKED_MS - 2 * MS_PER_HOUR, *known)
    again = made.collector(ASKED_MS - MS_PER_HOUR, 0, 2)
    again.ticks(ASKED_MS, ASKED_MS + 10 * S)
    again.ticks(ASKED_MS + MS_PER_HOUR, ASKED_MS + MS_PER_HOUR + 5 * S)
    again.publish(ASKED_MS + 2 * MS_PER_HOUR)
    locks.release_all()
    return made.data


def gathered(data: DataDir, from_ms: int = ASKED_MS) -> archive.Gathered:
    return archive.gather(data, from_ms=from_ms, until_ms=from_ms + MS_PER_HOUR, running={})


def states(found: archive.Gathered, from_ms: int = ASKED_MS) -> Counter[str]:
    """What became of all ticks of the hour, answers left out."""
    total: Counter[str] = Counter()
    for known in found.plans.markets.values():
        span = {"from_ms": from_ms, "until_ms": from_ms + MS_PER_HOUR, "gap_ms": 0}
        seen = found.seen(known.tokens)
        total.update(judge(known, seen, found.lives.listed(), [], [], **span).counts())
    return total


def plant(data: DataDir, kind: str, at_ms: int, worker: str = "") -> Path:
    """A manifest that no one can read: whoever opens it says so."""
    worker = worker or KINDS[kind]
    name = segment_name("planted", kind, worker, started_ms=at_ms, number=1)
    path = data.segment_folder(kind, at_ms) / f"{name}{MANIFEST_SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"{")
    return path


def test_an_hour_opens_no_manifest_of_another_time_whatever_the_age_of_the_archive(data: DataDir):
    before = gathered(data)
    for day in (1, 20, 39, 41, 60):
        for kind in KINDS:
            plant(data, kind, HOUR_MS + day * DAY_MS)

    after = gathered(data)
    assert [] == after.unreadable
    assert before.rests_on == after.rests_on
    assert states(before) == states(after)


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_of_the_hour_that_cannot_be_read_is_named(data: DataDir, kind: str):
    path = plant(data, kind, ASKED_MS + 5 * S)
    assert [data.relative(path)] == [each.partition(": ")[0] for each in gathered(data).unreadable]


def test_the_first_publication_the_last_before_the_hour_and_those_of_it_are_read(data: DataDir):
    found = gathered(data)
    assert HOUR_MS - 10 * S == found.plans.first_ms
    assert 7 == len(found.plans.markets)
    assert 2 == sum("--universe--" in name for name in found.rests_on)


def test_a_collector_that_stopped_long_ago_is_not_taken_for_one_that_never_was(data: DataDir):
    lives = gathered(data).lives.listed()

    assert [HOUR_MS - 5 * S, ASKED_MS - MS_PER_HOUR] == [each.started_ms for each in lives]
    assert [("collector-01", "stopped"), ("collector-00", "crashed")] == [
        (each.worker, each.how_it_ended) for each in lives
    ]


def test_a_collector_is_followed_no_further_than_its_newest_link_can_lie(data: DataDir):
    plant(data, "ledger", HOUR_MS + 2 * DAY_MS, "collector-01")
    plant(data, "ledger", ASKED_MS + 2 * DAY_MS, "collector-01")
    assert [] == gathered(data).unreadable
    link = plant(data, "ledger", HOUR_MS + 2 * MS_PER_HOUR, "collector-01")
    assert [link.name in each for each in gathered(data).unreadable] == [True]


def test_where_nobody_has_a_place_to_write_all_names_tell_who_was_there(data: DataDir):
    before = gathered(data)
    shutil.rmtree(data.open_root)

    assert before.rests_on == gathered(data).rests_on
    assert states(before) == states(gathered(data))


def test_ledgers_are_read_from_one_that_lists_the_markets_to_the_first_behind_the_hour(
    data: DataDir,
):
    found = parts.listed(data, [], (), ASKED_MS - MS_PER_HOUR, ASKED_MS)
    hours = [each.hour_ms for each in found["ledger"] if each.name.worker == "collector-00"]

    assert [HOUR_MS - MS_PER_HOUR, HOUR_MS, ASKED_MS - MS_PER_HOUR, ASKED_MS] == hours


def test_of_what_is_being_written_only_ledgers_of_later_hours_are_opened(data: DataDir):
    found = parts.listed(data, [], (), HOUR_MS, HOUR_MS + MS_PER_HOUR)
    for kind in ("books", "ledger"):
        name = segment_name("planted", kind, "collector-00", started_ms=ASKED_MS, number=1)
        # Whoever opens a directory fails.
        (data.open_folder("collector-00") / f"{name}.jsonl.gz.open").mkdir()
    with pytest.raises(IsADirectoryError):
        parts.listed(data, [], (), HOUR_MS, HOUR_MS + MS_PER_HOUR)
    (data.open_folder("collector-00") / f"{name}.jsonl.gz.open").rmdir()

    again = parts.listed(data, [], (), HOUR_MS, HOUR_MS + MS_PER_HOUR)
    assert {kind: len(each) for kind, each in found.items()} == {
        kind: len(each) for kind, each in again.items()
    }
