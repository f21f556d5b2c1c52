"""Holds the streamer to its promises: real processes, the loopback venue, its truth."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.processes.stream_rig import Run, running, two_hundred
from tests.rig import wait_for
from workers.core.health.heartbeats import Guard
from workers.core.stream.rows import Closed, Frame, Turned
from workers.core.universe.markets import Market
from workers.edge.spool import state
from workers.edge.streaming.legs import OURS

ENDS = {"half_frame": "reset", "storm": "reset", "close": "closed", "deaf": "silent"}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with running(tmp_path, 8) as run:
        yield run


def test_without_a_fault_every_change_is_archived_and_every_book_proven(run: Run):
    run.start(rotation_s=1.5, snapshot_interval_s=2.5)
    slug = run.markets[0].slug
    code, told = run.orderbooks("snapshot", slug)
    # Of each connection, and while another takes over there are two.
    assert code == 0
    assert told.startswith((f"{slug}: 2 books", f"{slug}: 4 books")), told
    assert 2 == run.orderbooks("snapshot", "no-such-market")[0]
    shown = json.loads(run.orderbooks("status", "--json")[1])["streams"]
    assert {market.slug for market in run.markets} == {each["slug"] for each in shown}
    run.hears(500)
    wait_for(lambda: "rotated" in run.ends())

    archive = run.stop()

    assert 2 == run.orderbooks("snapshot", slug)[0]
    # A segment that the hour has begun opens with books, too.
    whys = {row.why for row in archive.rows if row.origin == "snapshot"}
    assert {"asked"} == whys - {"opened"}
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
    # REST is asked on the schedule only when the first books are missed by then.
    run.start(missing_book_s=3.0, snapshot_interval_s=4.0, confirm_s=0.5)
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
    wait_for(lambda: has_noticed(run, dropped), what="what was dropped")
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
    assert causes[dropped.condition_id] <= {"gap", "checksum", "freeze"}
    assert set() == causes[doubled.condition_id] | causes[clean.condition_id]
    reasons = {row.reason for row in archive.of(Frame)}
    assert {"bad_json", "bad_utf8", "foreign"} <= reasons
    turned = {row.reason for row in archive.of(Turned) if row.condition_id == frozen.condition_id}
    assert "missing_book" in turned


def has_noticed(run: Run, market: Market) -> bool:
    """True when a change of the market was missed by what came after it."""
    return not run.stream(market).resyncs.keys().isdisjoint({"gap", "checksum"})


def test_each_end_of_a_connection_is_a_gap_with_its_cause(run: Run):
    # What is deaf is silent after these seconds, and nobody else is so late.
    run.start(pong_timeout_s=5.0)
    for kind, told in ENDS.items():
        had = run.ends().count(told)
        if kind == "deaf":
            rules = [run.spoil("deaf"), run.spoil("freeze")]
        else:
            rules = [run.spoil(kind, count=1)]
        wait_for(lambda told=told, had=had: run.ends().count(told) > had, what=kind)
        wait_for(partial(run.has_lost, sum(each not in OURS for each in run.ends())))
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
    others = {"start", "stop", "silent", "checksum", "gap"}
    assert found.lost.keys() <= {"reset", "closed", "disk_guard", *others}
    causes = [row.cause for row in archive.of(Closed)]
    assert (2, 1) == tuple(map(causes.count, ("reset", "closed")))
    # The rule is taken away when the first one is told: the next may be deaf by then.
    lost = [each for each in causes if each not in OURS]
    assert {"reset", "closed", "silent"} == {*lost}
    assert (lost[-1], len(lost)) == (run.beat().last_error, run.beat().counters["closed"])
    assert {"guard", "stop"} <= {each.ended for each in run.rig.manifests("frames")}


def guard(run: Run, level: str) -> None:
    state.write(run.rig.data.guard, Guard(level=level, at_wall_ns=time.time_ns()))


def has_told_books(run: Run) -> set[int]:
    """The connections that were told the books: what follows is told them as well."""
    return {row.connection for row in run.venue.channel_truth.sent() if row.kind == "dump"}


def test_with_two_legs_the_faults_of_one_lose_nothing(run: Run):
    run.start(legs=2)
    both = {1, 2}
    wait_for(lambda: both <= has_told_books(run), what="every book on both")
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
    with two_hundred(tmp_path) as run:
        yield run


def test_one_frozen_market_among_two_hundred_is_found_by_its_silence_and_the_others_lose_nothing(
    hundreds: Run,
):
    """With the settings that an operator has, but no REST on a schedule, and time for the books."""
    run = hundreds
    run.start(freeze_after_s=5.0, confirm_s=1.5, snapshot_interval_s=3600.0)
    frozen = run.markets[0]
    run.spoil("freeze", frozen, connection=1)

    wait_for(partial(run.has_thawed, frozen), what="the frozen market")
    wait_for(lambda: "freeze" in run.ends(), what="the other connection")
    archive = run.stop()

    found = run.judged(archive, frozen)
    assert [] == found.unexplained
    assert found.lost["freeze"] > 0
    others = run.judged(archive, *[each for each in run.markets if each is not frozen])
    assert [] == others.unexplained
    assert set(others.lost) <= {"start", "stop"}


def test_a_market_that_kills_its_connection_is_isolated_and_the_others_go_on(run: Run):
    killer = run.markets[3]
    run.spoil("kill_on", killer)
    # A death is early for longer than a busy venue takes to kill.
    run.start_only(stable_after_s=3.0)

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
