"""Holds the streamer to its promises: real processes, the loopback venue, its truth."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.processes.stream_oracle import Archive, Judgement, judge
from tests.rig import ROOT, Rig, market_of, wait_for
from tests.venue import Venue
from tests.venue.events import Tempo
from tests.venue.faults import CHANNEL
from workers.core.heartbeats import Guard, Heartbeat
from workers.core.markets import Market
from workers.core.stream_rows import Closed, Frame, Turned
from workers.edge.spool import state

FAST = {
    "lead_s": 86_400,
    "freeze_after_s": 1.0,
    "confirm_s": 0.3,
    "missing_book_s": 0.5,
    "snapshot_interval_s": 1.0,
    "verify_interval_s": 0.2,
    "stable_after_s": 0.5,
    "backoff_base_s": 0.05,
    "backoff_cap_s": 0.4,
    "ping_interval_s": 0.2,
    "pong_timeout_s": 1.0,
    "rotation_s": 0,
}
LINES = ("btc-5m", "eth-5m", "btc-15m", "btc-1h")


@dataclass
class Run:
    """A streamer that ran, or runs, against a venue."""

    venue: Venue
    rig: Rig
    markets: list[Market]
    stopped_ns: int = 0

    def start(self, **streamer: object) -> None:
        self.start_only(**streamer)
        wait_for(self.is_synced, what="every book")

    def start_only(self, **streamer: object) -> None:
        self.rig.write_config(venue={"ws_url": self.venue.ws_url}, streamer={**FAST, **streamer})
        self.rig.publish_universe(self.markets)
        self.rig.start("streamer", "--shard=0", "--shards=1")

    def beat(self) -> Heartbeat:
        found = state.read(self.rig.data.heartbeat("streamer-00"), Heartbeat)
        return (
            found
            if found is not None
            else Heartbeat(
                worker="",
                pid=0,
                run="",
                version="",
                boot_id="",
                started_wall_ns=0,
                at_wall_ns=0,
                at_mono_ns=0,
            )
        )

    def is_synced(self) -> bool:
        streams = self.beat().streams
        return len(streams) == len(self.markets) and {e.state for e in streams} == {"SYNCED"}

    def has_lost(self, connections: int) -> bool:
        return self.beat().counters.get("closed", 0) >= connections

    def rests(self, seconds: float) -> None:
        """Let the venue go on for so long."""
        until = time.monotonic() + seconds
        wait_for(lambda: time.monotonic() > until)

    def stop(self) -> Archive:
        self.stopped_ns = time.time_ns()
        assert 0 == self.rig.stop(self.rig.processes[-1]), self.rig.log_text()
        return Archive(self.rig)

    def judged(self, archive: Archive, *markets: Market) -> Judgement:
        ids = [token.token_id for each in markets or self.markets for token in each.tokens]
        return judge(archive, self.venue, ids, until_ns=self.stopped_ns)


def orderbooks(run: Run, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workers.tools", *words, "--data", str(run.rig.data.root)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def run_of(folder: Path, markets: int, *, tempo: Tempo | None = None) -> Iterator[Run]:
    tempo = tempo or Tempo(changes_per_s=20)
    with Venue(folder / "venue", lines=LINES, tempo=tempo) as venue:
        (folder / "r").mkdir()
        with Rig(folder / "r", venue.url) as rig:
            lasting = [e for e in venue.open_markets() if e.end_ms > venue.now_ms() + 120_000]
            chosen = [market_of(each) for each in lasting[:markets]]
            assert len(chosen) == markets
            yield Run(venue, rig, chosen)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    yield from run_of(tmp_path, 8)


@pytest.fixture
def hundreds(tmp_path: Path) -> Iterator[Run]:
    yield from run_of(tmp_path, 200, tempo=Tempo(changes_per_s=1))


def test_without_a_fault_every_change_is_archived_and_every_book_proven(run: Run):
    run.start(rotation_s=1.5)
    run.rests(3)
    slug = run.markets[0].slug
    asked = orderbooks(run, "snapshot", slug)
    assert (0, True) == (asked.returncode, f"{slug}: 2 books" in asked.stdout), asked.stderr
    assert 2 == orderbooks(run, "snapshot", "no-such-market").returncode
    shown = json.loads(orderbooks(run, "status", "--json").stdout)["streams"]
    assert {market.slug for market in run.markets} == {each["slug"] for each in shown}
    run.rests(1)

    archive = run.stop()

    assert 2 == orderbooks(run, "snapshot", slug).returncode
    assert {"asked"} == {row.why for row in archive.rows if row.origin == "snapshot"}
    request = next(row.request for row in archive.rows if row.origin == "rest")
    body = orderbooks(run, "response", request)
    assert (0, 16) == (body.returncode, len(json.loads(body.stdout))), body.stderr
    assert 0 == orderbooks(run, "verify").returncode

    found = run.judged(archive)
    assert [] == found.unexplained
    assert set(found.lost) <= {"start", "stop"}
    assert found.archived > 1000
    verdicts = {each for found in archive.verdicts().values() for each in found}
    assert {"verified"} == verdicts
    checks = {name for each in run.beat().streams for name in each.checks}
    assert {"verified", "explained"} >= checks
    closed = [each.cause for each in archive.of(Closed)]
    assert closed.count("rotated") >= 1
    assert {"rotated", "stop"} == set(closed)
    assert {"book"} == {each.reason for each in archive.of(Turned)}


def spoil(run: Run, kind: str, market: Market | None = None, **fields: object) -> int:
    named = {} if market is None else {"market": market.condition_id}
    return run.venue.faults.add(kind, CHANNEL, **named, **fields)


def test_each_fault_of_one_market_is_a_gap_of_that_market_alone(run: Run):
    frozen, dropped, doubled, shuffled, torn, foul, foreign, clean = run.markets
    spoil(run, "missing_book", frozen, count=2)
    spoil(run, "freeze", frozen)
    spoil(run, "stale_book", foul, count=2)
    run.start()
    spoil(run, "duplicate", doubled, probability=0.3)
    spoil(run, "reorder", shuffled, probability=0.1)
    rules = [
        spoil(run, "drop", dropped, probability=0.1),
        spoil(run, "bad_json", torn, probability=0.1),
        spoil(run, "bad_utf8", foul, probability=0.1),
        spoil(run, "foreign", foreign, probability=0.1),
    ]
    run.rests(4)
    for rule in rules:
        # What is lost last shows only in what follows it.
        run.venue.faults.remove(rule)
    run.rests(0.5)

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
            rules = [spoil(run, "deaf"), spoil(run, "freeze")]
        else:
            rules = [spoil(run, kind, count=1)]
        wait_for(partial(run.has_lost, count), what=kind)
        assert told == run.beat().last_error
        for rule in rules:
            run.venue.faults.remove(rule)
        wait_for(run.is_synced, what=f"every book after {kind}")
        run.rests(0.3)

    archive = run.stop()

    found = run.judged(archive)
    assert [] == found.unexplained
    assert {"reset", "closed"} <= found.lost.keys()
    assert found.lost.keys() <= {
        *("start", "stop", "reset", "closed", "silent", "freeze", "checksum", "gap")
    }
    causes = [row.cause for row in archive.of(Closed)]
    assert (2, 1, 1) == tuple(map(causes.count, ("reset", "closed", "silent")))


def test_with_two_legs_the_faults_of_one_lose_nothing(run: Run):
    run.start(legs=2)
    both = {1, 2}
    spoil(run, "drop", connection=1, probability=0.1)
    spoil(run, "duplicate", connection=1, probability=0.1)
    run.rests(1)
    spoil(run, "half_frame", connection=1)
    wait_for(partial(run.has_lost, 1))
    wait_for(lambda: run.beat().counters["connections"] == len(both))
    run.rests(1)

    archive = run.stop()

    found = run.judged(archive)
    assert [] == found.unexplained
    assert 0 == found.hidden
    assert set(found.lost) <= {"start", "stop"}
    assert found.archived > 500
    assert "reset" in {row.cause for row in archive.of(Closed)}


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[Run]:
    yield from run_of(tmp_path, 10, tempo=Tempo(changes_per_s=150))


def test_a_streamer_killed_in_full_flow_loses_one_flush_at_most(hurried: Run):
    run = hurried
    run.start()
    begun = run.beat().counters["frames"], time.monotonic()
    run.rests(2)
    per_s = (run.beat().counters["frames"] - begun[0]) / (time.monotonic() - begun[1])
    assert per_s > 750, f"the venue told only {per_s:.0f} messages a second"
    killed = run.rig.processes[-1]
    killed.kill()
    killed.wait(10)
    killed_ns = time.time_ns()
    before = Archive(run.rig)
    assert killed_ns - max(row.recv_wall_ns for row in before.rows) < 600_000_000

    run.rig.start("streamer", "--shard=0", "--shards=1")
    wait_for(lambda: run.beat().pid != killed.pid and run.is_synced())
    archive = run.stop()

    assert before.keys.keys() <= archive.keys.keys()
    cut = [each for each in run.rig.manifests("frames") if each.ended == "cut_short"]
    assert {market.slug for market in run.markets} == {each.told.market.slug for each in cut}
    found = run.judged(archive)
    assert [] == found.unexplained
    assert set(found.lost) <= {"start", "stop", "down"}
    told = orderbooks(run, "verify")
    assert 0 == told.returncode, told.stdout + told.stderr


def test_one_frozen_market_among_two_hundred_is_found_and_mended_within_fifteen_seconds(
    hundreds: Run,
):
    """With the settings that an operator has: found after 5 s of silence and 1.5 s of patience."""
    run = hundreds
    run.start(freeze_after_s=5.0, confirm_s=1.5, snapshot_interval_s=30.0, missing_book_s=10.0)
    now_ms = run.venue.now_ms()
    frozen = next(each for each in run.markets if each.window.start_ms < now_ms - 5_000)
    run.rests(1)
    spoil(run, "freeze", frozen, connection=1)
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
    spoil(run, "kill_on", killer)
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


def guard(run: Run, level: str) -> None:
    state.write(run.rig.data.guard, Guard(level=level, at_wall_ns=time.time_ns()))


def test_a_pause_of_the_disk_guard_is_a_gap_with_that_cause_and_ends_by_itself(run: Run):
    run.start()
    guard(run, "pause")
    wait_for(lambda: run.beat().counters["connections"] == 0, what="the pause")
    run.rests(0.5)
    guard(run, "ok")
    wait_for(lambda: run.beat().counters["connections"] == 1 and run.is_synced())

    archive = run.stop()

    found = run.judged(archive)
    assert [] == found.unexplained
    assert found.lost["disk_guard"] > 0
    assert {"guard", "stop"} == {each.ended for each in run.rig.manifests("frames")}
