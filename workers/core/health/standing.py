"""How the fleet stands, for a person: each worker and market, judged from what they left in files.

Promises  the same files give the same picture; "not known" is said, never guessed.
"""

from collections.abc import Iterable, Mapping

import msgspec

from workers.core.health.alerts import Active
from workers.core.health.heartbeats import Crash, Heartbeat
from workers.core.health.looks import FleetSeen, Queue
from workers.core.polling.cadence import NS_PER_S
from workers.core.universe.universe import Universe

#: What a person starts; stopped, it is as it should be.
OPTIONAL = "streamer-"


class WorkerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One worker; `process` is supervisord's word, or what its pid tells.

    `is_late`: no heartbeat for longer than the watchdog allows, or none ever.
    """

    worker: str
    process: str
    pid: int | None
    up_s: float | None
    beat_s: float | None
    is_late: bool
    success_s: float | None
    last_error: str | None
    counters: dict[str, int]
    conditions: list[str]
    crashed_s: float | None = None

    @property
    def is_well(self) -> bool:
        """True for a process at work whose heartbeat is fresh, and for one nobody asked for."""
        if self.process in ("STOPPED", "stopped") and self.worker.startswith(OPTIONAL):
            return True
        at_work = self.process in ("RUNNING", "STARTING", "alive")
        return at_work and not self.is_late


class MarketStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One market as its collector counts since its start; ticks are of tokens."""

    slug: str
    worker: str
    tier: str
    row_s: float | None
    update_s: float | None
    due: int
    captured: int
    failed: dict[str, int]
    verified: int
    hash_failed: int
    hash_absent: int


class StreamStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One market as its streamer counts since its start; `checks` are verdicts on hashes."""

    slug: str
    worker: str
    connection: str
    state: str
    reason: str
    is_isolated: bool
    last_seq: int
    row_s: float | None
    update_s: float | None
    snapshots: int
    changes: int
    applied: int
    invalid: int
    duplicates: int
    resyncs: dict[str, int]
    checks: dict[str, int]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `status` shows."""

    at_utc: str
    supervisord: str
    workers: list[WorkerStanding]
    markets: list[MarketStanding]
    streams: list[StreamStanding]
    universe_seq: int | None
    universe_s: float | None
    universe_markets: int
    stale: str | None
    guard: str
    free_bytes: int | None
    hours_left: float | None
    alerts: list[str]
    queues: list[Queue]
    quarantined: int

    def wrongs(self) -> list[str]:
        """What a person should know first; empty when all is well."""
        found = [] if self.workers else ["no worker has ever run here: `orderbooks up`"]
        found += [_ill(each) for each in self.workers if not each.is_well]
        found += [f"the universe is stale: {self.stale}"] if self.stale else []
        found += [] if self.universe_seq is not None else ["no universe was published yet"]
        found += [f"disk guard: {self.guard}"] if self.guard != "ok" else []
        return found + self.alerts


def worker_standings(
    heartbeats: Iterable[Heartbeat],
    fleet: FleetSeen,
    crashes: Iterable[Crash],
    alive: Mapping[str, object],
    wall_ns: int,
    *,
    late_s: float,
) -> list[WorkerStanding]:
    """One line for each worker that supervisord knows or that ever beat.

    Args:
        heartbeats: the last of each worker.
        fleet: supervisord's table, or its problem.
        crashes: the last unexpected deaths.
        alive: the workers whose process is there, judged by pid and boot.
        wall_ns: now.
        late_s: `watchdog.heartbeat_late_s`.
    """
    beats = {each.worker: each for each in heartbeats}
    table = {each.worker: each for each in fleet.processes}
    died = {each.worker: each for each in crashes}
    found = []
    for worker in sorted(beats.keys() | table.keys()):
        beat, process = beats.get(worker), table.get(worker)
        gone = "stopped" if beat is not None and beat.state == "stopped" else "gone"
        state = "alive" if worker in alive else gone
        pid = process.pid if process else beat.pid if beat and worker in alive else None
        beat_s = _ago_s(wall_ns, beat.at_wall_ns) if beat else None
        found.append(
            WorkerStanding(
                worker=worker,
                process=process.state if process else state,
                pid=pid or None,
                up_s=_ago_s(wall_ns, beat.started_wall_ns) if beat and pid else None,
                beat_s=beat_s,
                is_late=beat_s is None or beat_s > late_s,
                success_s=_ago_s(wall_ns, beat.last_success_wall_ns) if beat else None,
                last_error=beat.last_error if beat else None,
                counters=beat.counters if beat else {},
                conditions=[f"{each.alert}: {each.detail}" for each in beat.conditions]
                if beat
                else [],
                crashed_s=_ago_s(wall_ns, died[worker].at_wall_ns) if worker in died else None,
            )
        )
    return found


def _ill(worker: WorkerStanding) -> str:
    silent = f", no heartbeat for {worker.beat_s:.0f} s" if worker.is_late and worker.beat_s else ""
    return f"{worker.worker} is {worker.process}{silent}"


def market_standings(heartbeats: Iterable[Heartbeat], wall_ns: int) -> list[MarketStanding]:
    """Every market that a collector counts."""
    return [
        MarketStanding(
            slug=market.slug,
            worker=beat.worker,
            tier=market.tier,
            row_s=_ago_s(wall_ns, market.last_row_wall_ns),
            update_s=_ago_s(wall_ns, (market.last_update_ms or 0) * 1_000_000 or None),
            due=market.due,
            captured=market.captured,
            failed=market.failed,
            verified=market.verified,
            hash_failed=market.hash_failed,
            hash_absent=market.hash_absent,
        )
        for beat in heartbeats
        for market in beat.markets
    ]


def stream_standings(heartbeats: Iterable[Heartbeat], wall_ns: int) -> list[StreamStanding]:
    """Every market that a streamer carries."""
    return [
        StreamStanding(
            slug=stream.slug,
            worker=beat.worker,
            connection=stream.connection.rpartition(".")[2],
            state=stream.state,
            reason=stream.reason,
            is_isolated=stream.is_isolated,
            last_seq=stream.last_seq,
            row_s=_ago_s(wall_ns, stream.last_row_wall_ns),
            update_s=_ago_s(wall_ns, (stream.last_update_ms or 0) * 1_000_000 or None),
            snapshots=stream.snapshots,
            changes=stream.changes,
            applied=stream.applied,
            invalid=stream.invalid,
            duplicates=stream.duplicates,
            resyncs=stream.resyncs,
            checks=stream.checks,
        )
        for beat in heartbeats
        if beat.state != "stopped"
        for stream in beat.streams
    ]


def alert_lines(active: Iterable[Active]) -> list[str]:
    """The conditions that a person was told of, hardest first."""
    raised = [each for each in active if each.is_raised]
    ordered = sorted(raised, key=lambda each: (each.level != "error", each.since_wall_ns))
    return [
        f"{each.alert} ({each.worker}{f' {each.subject}' if each.subject else ''}): {each.detail}"
        for each in ordered
    ]


def universe_age_s(universe: Universe | None, wall_ns: int) -> float | None:
    """Seconds since the newest publication."""
    return None if universe is None else _ago_s(wall_ns, universe.published_ms * 1_000_000)


def _ago_s(wall_ns: int, then_wall_ns: int | None) -> float | None:
    return None if then_wall_ns is None else max(0.0, (wall_ns - then_wall_ns) / NS_PER_S)
