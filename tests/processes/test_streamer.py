"""Holds the streamer to its promises: real processes, the loopback venue, its truth."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.processes.stream_rig import Run, running
from tests.rig import wait_for
from workers.core.health.heartbeats import Guard
from workers.core.stream.rows import Closed, Frame, Turned
from workers.edge.spool import state


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with running(tmp_path, 8) as run:
        yield run


def test_without_a_fault_every_change_is_archived_and_every_book_proven(run: Run):
    run.start(rotation_s=1.5, snapshot_interval_s=2.5)
    slug = run.markets[0].slug
    code, told = run.orderbooks("snapshot", slug)
    assert (0, True) == (code, f"{slug}: 2 books" in told), told
    assert 2 == run.orderbooks("snapshot", "no-such-market")[0]
    shown = json.loads(run.orderbooks("status", "--json")[1])["streams"]
    assert {market.slug for market in run.markets} == {each["slug"] for each in shown}
    run.hears(500)
    wait_for(lambda: "rotated" in {e.cause for e in run.rig.ledger() if isinstance(e, Closed)})

    archive = run.stop()

    assert 2 == run.orderbooks("snapshot", slug)[0]
    assert {"asked"} == {row.why for row in archive.rows if row.origin == "snapshot"}
    request = next(row.request for row in archive.rows if row.origin == "rest")
    books = {row.position for row in archive.rows if row.request == request}
    code, told = run.orderbooks("response", request)
    assert (0, len(books)) == (code, len(json.loads(told)))
    assert 0 == run.orderbooks("verify")[0]

    found = run.judged(archive)
    assert [] == found.unexplained
    assert set(found.lost) <= {"start", "stop"}
    assert found.archived > 1000
    assert {"verified"} == {each for found in archive.verdicts.values() for each in found}
    checks = {name for each in run.beat().streams for name in each.checks}
    assert {"verified", "explained"} >= checks
    closed = [each.cause for each in archive.of(Closed)]
    assert {"rotated", "stop"} == set(closed)
    assert {"book"} == {each.reason for each in archive.of(Turned)}


def test_each_fault_of_one_market_is_a_gap_of_that_market_alone(run: Run):
    frozen, dropped, doubled, shuffled, torn, foul, foreign, clean = run.markets
    run.spoil("missing_book", frozen, count=2)
    run.spoil("freeze", frozen)
    run.spoil("stale_book", foul, count=2)
    run.start()
    run.spoil("duplicate", doubled, probability=0.3)
    run.spoil("reorder", shuffled, probability=0.1)
    rules = [
        run.spoil("drop", dropped, probability=0.1),
        run.spoil("bad_json", torn, probability=0.1),
        run.spoil("bad_utf8", foul, probability=0.1),
        run.spoil("foreign", foreign, probability=0.1),
    ]
    for rule in rules:
        wait_for(lambda rule=rule: run.venue.faults.applied(rule) >= 3, what="its use")
    wait_for(lambda: run.beat().counters["freezes"], what="a freeze")
    for rule in rules:
        # What is lost last shows only in what follows it.
        run.venue.faults.remove(rule)
    run.hears(200)

    archive = run.stop()

    causes = {}
    for market in run.markets:
        found = run.judged(archive, market)
        assert [] == found.unexplained, market.slug
        causes[market.condition_id] = found.lost.keys() - {"start", "stop"}
    assert {"freeze"} == causes[frozen.condition_id]
    assert causes[dropped.condition_id] <= {"gap", "checksum", "freeze"} != set()
    assert set() == causes[doubled.condition_id] | causes[clean.condition_id]
    reasons = {row.reason for row in archive.of(Frame)}
    assert {"bad_json", "bad_utf8", "foreign"} <= reasons
    turned = {row.reason for row in archive.of(Turned) if row.condition_id == frozen.condition_id}
    assert "missing_book" in turned


def test_each_end_of_a_connection_is_a_gap_with_its_cause(run: Run):
    run.start()
    for count, (kind, told) in enumerate(
        (("half_frame", "reset"), ("storm", "reset"), ("close", "closed"), ("deaf", "silent")), 1
    ):
        if kind == "deaf":
            rules = [run.spoil("deaf"), run.spoil("freeze")]
        else:
            rules = [run.spoil(kind, count=1)]
        wait_for(partial(run.has_lost, count), what=kind)
        assert told == run.beat().last_error
        for rule in rules:
            run.venue.faults.remove(rule)
        wait_for(run.is_synced, what=f"every book after {kind}")
        # A connection that began while the rule stood says nothing: its end is not the next one's.
        run.hears(50)
    guard(run, "pause")
    wait_for(lambda: run.beat().counters["connections"] == 0, what="the pause")
    run.rests(0.3)
    guard(run, "ok")
    wait_for(lambda: run.beat().counters["connections"] == 1 and run.is_synced())

    archive = run.stop()

    found = run.judged(archive)
    assert [] == found.unexplained
    # A connection may be back before anything is told: what is lost then is nothing.
    assert "disk_guard" in found.lost
    assert found.lost.keys() & {"reset", "closed"}
    others = {"start", "stop", "silent", "freeze", "checksum", "gap"}
    assert found.lost.keys() <= {"reset", "closed", "disk_guard", *others}
    causes = [row.cause for row in archive.of(Closed)]
    assert (2, 1) == tuple(map(causes.count, ("reset", "closed")))
    # The rule is taken away when the first one is told: the next may be deaf by then.
    assert "silent" in causes
    assert {"guard", "stop"} == {each.ended for each in run.rig.manifests("frames")}


def guard(run: Run, level: str) -> None:
    state.write(run.rig.data.guard, Guard(level=level, at_wall_ns=time.time_ns()))


def test_with_two_legs_the_faults_of_one_lose_nothing(run: Run):
    run.start(legs=2)
    both = {1, 2}
    run.spoil("drop", connection=1, probability=0.1)
    run.spoil("duplicate", connection=1, probability=0.1)
    run.hears(200)
    run.spoil("half_frame", connection=1)
    wait_for(partial(run.has_lost, 1))
    wait_for(lambda: run.beat().counters["connections"] == len(both))
    run.hears(200)

    archive = run.stop()

    found = run.judged(archive)
    assert [] == found.unexplained
    assert {} == found.hidden
    assert set(found.lost) <= {"start", "stop"}
    assert found.archived > 500
    assert "reset" in {row.cause for row in archive.of(Closed)}


@pytest.fixture
def hundreds(tmp_path: Path) -> Iterator[Run]:
    with running(tmp_path, 200, changes_per_s=1, lines=("btc-5m", "btc-1d")) as run:
        yield run


def test_one_frozen_market_among_two_hundred_is_found_and_mended_within_fifteen_seconds(
    hundreds: Run,
):
    """With the settings that an operator has: found after 5 s of silence and 1.5 s of patience."""
    run = hundreds
    run.start(freeze_after_s=5.0, confirm_s=1.5, snapshot_interval_s=30.0, missing_book_s=10.0)
    frozen = run.markets[0]
    run.spoil("freeze", frozen, connection=1)
    frozen_ns = time.time_ns()

    def is_mended() -> bool:
        (seen,) = [e for e in run.beat().streams if e.condition_id == frozen.condition_id]
        return run.beat().counters["freezes"] > 0 and seen.state == "SYNCED"

    wait_for(is_mended, limit_s=20, what="the frozen market")
    archive = run.stop()

    took_s = (max(row.at_wall_ns for row in archive.of(Turned)) - frozen_ns) / 1e9
    assert took_s < 15
    found = run.judged(archive, frozen)
    assert [] == found.unexplained
    assert found.lost["freeze"] > 0
    others = run.judged(archive, *[each for each in run.markets[::20] if each is not frozen])
    assert [] == others.unexplained
    assert set(others.lost) <= {"start", "stop"}


def test_a_market_that_kills_its_connection_is_isolated_and_the_others_go_on(run: Run):
    killer = run.markets[3]
    run.spoil("kill_on", killer)
    run.start_only()

    def is_isolated() -> bool:
        streams = run.beat().streams
        poor = [each for each in streams if each.is_isolated]
        good = [each for each in streams if each.state == "SYNCED"]
        return [killer.slug] == [each.slug for each in poor] and 7 == len(good)

    wait_for(is_isolated, what="the isolated market")
    archive = run.stop()

    others = [each for each in run.markets if each is not killer]
    assert [] == run.judged(archive, *others).unexplained
    assert ["market_isolated"] == [each.alert for each in run.beat().conditions]
