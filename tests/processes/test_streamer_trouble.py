"""Holds the streamer to its promises when its machine fails it: death, no room, no time."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import DISK_BYTES, is_mounted
from tests.processes.stream_oracle import Archive, keys_of, verdicts_of
from tests.processes.stream_rig import Run, running
from tests.rig import halt, wait_for
from workers.core.stream.frames import FrameRow, read_frame_row
from workers.core.stream.rows import Closed, Frame, Heard, Repeated, Stalled
from workers.edge.spool import reader

NS_PER_S = 1_000_000_000


def _fill(place: Path) -> None:
    """Take all the room that is left; bounded by the size of the small disk."""
    assert is_mounted(place)
    with (place / "ballast").open("ab", buffering=0) as file:
        for _ in range(2 * DISK_BYTES // 4096):
            try:
                file.write(bytes(4096))
            except OSError:
                return


@pytest.fixture
def cramped(tmp_path: Path, small_disk: Path) -> Iterator[Run]:
    with running(tmp_path, 4, changes_per_s=60, disk=small_disk / "r") as run:
        yield run


def test_a_full_disk_costs_nothing_until_the_buffer_is_full_and_then_a_gap(cramped: Run):
    run, disk = cramped, cramped.rig.folder.parent
    # More than one listening takes, so that a backlog alone is no overflow.
    run.start(inbox_bytes=600_000, message_max_bytes=131_072)

    _fill(disk)
    wait_for(lambda: run.rig.log_text().count("disk_refused"), what="a refusal")
    (disk / "ballast").unlink()
    wait_for(lambda: run.rig.log_text().count("disk_recovered"), what="the room")
    run.hears(100)
    assert 0 == run.beat().counters["closed"]

    _fill(disk)
    wait_for(lambda: "overflow" in run.rig.log_text(), limit_s=120, what="the overflow")
    run.rests(0.5)
    (disk / "ballast").unlink()
    wait_for(lambda: 1 == run.beat().counters["closed"], what="a heartbeat after it")
    wait_for(lambda: run.beat().counters["connections"] and run.is_synced(), what="every book")
    run.hears(100)

    archive = run.stop()

    (closed,) = [each for each in archive.of(Closed) if each.cause != "stop"]
    assert ("overflow", True) == (closed.cause, "No space left" in closed.detail)
    found = run.judged(archive)
    assert [] == found.unexplained
    assert found.lost["overflow"] > 0
    assert set(found.lost) <= {"start", "stop", "overflow"}
    assert 0 == run.orderbooks("verify")[0]


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[Run]:
    with running(tmp_path, 10, changes_per_s=60) as run:
        yield run


def test_a_streamer_killed_in_full_flow_loses_one_flush_at_most(hurried: Run):
    """How fast the flow is depends on the machine: tests.stream_campaign counts it."""
    run = hurried
    run.start()
    run.hears(1_000)
    killed = run.rig.processes[-1]
    killed.kill()
    killed.wait(10)
    before = Archive(run.rig)
    # Nothing stands in the ledger of which it does not say that the rows before it are whole.
    last = before.ledger[-1]
    assert isinstance(last, Heard)
    # What is of no market stands in the ledger.
    others = len(before.of(Frame)) + sum(each.times for each in before.of(Repeated))
    assert last.events == len(before.events) + others
    # A step that is longer than the flush interval ends with a flush, and then with a heartbeat.
    assert len(before.rows) >= run.beat().counters["rows"] > 0

    run.start_again()
    wait_for(lambda: run.beat().pid != killed.pid and run.is_synced())
    archive = run.stop()

    assert before.keys.keys() <= archive.keys.keys()
    cut = [each for each in run.rig.manifests("frames") if each.ended == "cut_short"]
    assert {market.slug for market in run.markets} == {each.told.market.slug for each in cut}
    found = run.judged(archive)
    assert [] == found.unexplained
    assert set(found.lost) <= {"start", "stop", "down"}
    code, told = run.orderbooks("verify")
    assert 0 == code, told


@pytest.fixture
def lagging(tmp_path: Path) -> Iterator[Run]:
    with running(tmp_path, 4, changes_per_s=60) as run:
        yield run


def test_what_a_lagging_connection_had_not_brought_when_it_was_cut_lies_in_the_gap(lagging: Run):
    run = lagging
    run.start()
    slow = run.spoil("slow", bytes_per_s=20_000)
    run.rests(1.5)
    run.spoil("storm", count=1)
    wait_for(lambda: run.has_lost(1), what="the cut")
    run.venue.faults.remove(slow)
    wait_for(run.is_synced, what="every book")
    run.hears(100)

    archive = run.stop()

    closed = next(each for each in archive.of(Closed) if each.cause == "reset")
    assert closed.heard_wall_ns - closed.told_ms * 1_000_000 > NS_PER_S // 2
    found = run.judged(archive)
    assert ([], {}) == (found.unexplained, found.hidden)
    assert found.lost.get("reset", 0) > 0, found.lost


@pytest.fixture(scope="module")
def halting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Archive, int, int]]:
    """A streamer of small segments that was stopped for a while, and when."""
    with running(tmp_path_factory.mktemp("halting"), 2, changes_per_s=60) as run:
        run.start_only(segments={"max_segment_bytes": 65_536})
        wait_for(run.is_synced)
        process = run.rig.processes[-1]
        halt(process)
        from_ns = time.time_ns()
        run.rests(2)
        until_ns = time.time_ns()
        process.send_signal(signal.SIGCONT)
        subjects = {market.slug for market in run.markets}

        def are_cut() -> bool:
            cut = [e.subject for e in run.rig.manifests("frames") if e.ended == "size"]
            return all(cut.count(each) >= 2 for each in subjects)

        wait_for(are_cut, what="two segments of each market")
        yield run, run.stop(), from_ns, until_ns


def test_what_was_heard_late_lies_inside_a_stall_that_the_ledger_tells(
    halting: tuple[Run, Archive, int, int],
):
    run, archive, from_ns, until_ns = halting
    spans = [(row.at_wall_ns - row.for_ns, row.at_wall_ns) for row in archive.of(Stalled)]
    (span,) = [each for each in spans if each[0] < until_ns and each[1] > from_ns]
    assert span[0] <= from_ns
    assert span[1] >= until_ns

    told = [(row, json.loads(row.raw)) for row in archive.rows if row.origin == "event"]
    late = [
        row.recv_wall_ns
        for row, event in told
        if from_ns < int(event["timestamp"]) * 1_000_000 < until_ns - NS_PER_S
    ]
    assert late
    assert all(span[0] <= each <= span[1] for each in late)
    found = run.judged(archive)
    assert [] == found.unexplained
    assert set(found.lost) <= {"start", "stop"}


def test_every_segment_that_size_has_cut_begins_with_the_books_and_can_be_read_alone(
    halting: tuple[Run, Archive, int, int],
):
    run = halting[0]
    begun = Counter[str]()
    for manifest in run.rig.manifests("frames"):
        lines = reader.read_stream(run.rig.data.root / manifest.path).data.splitlines()
        rows = [read_frame_row(line) for line in lines]
        begun[manifest.subject] += 1
        if begun[manifest.subject] == 1:
            continue
        assert {("snapshot", "opened")} == {(row.origin, row.why) for row in rows[:2]}
        assert hashed(rows) == verdicts_of(rows).keys()
        verdicts = {each for found in verdicts_of(rows).values() for each in found}
        # The last one may hold no more than the books it begins with.
        assert verdicts == {"verified"} or (not verdicts and manifest.ended != "size")
    assert begun.keys() == {market.slug for market in run.markets}
    assert min(begun.values()) >= 2


def hashed(rows: list[FrameRow]) -> set[tuple[str, ...]]:
    """What of these rows tells the hash of a book."""
    events = [json.loads(row.raw) for row in rows if row.origin == "event"]
    keys = {key for event in events for key in keys_of(event)}
    return {key for key in keys if key[0] in ("price_change", "book")}
