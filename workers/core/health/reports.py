"""What the watchdog tells at rest: the health, disk and alert manifests.

Promises  `latest.json` and the history rows have one shape; the verdict follows from the alerts.
"""

from collections.abc import Iterable

import msgspec

from workers.core.health.alerts import Active
from workers.core.health.disk import DiskSeen, Forecast
from workers.core.health.heartbeats import Condition, Heartbeat, MarketBeat
from workers.core.health.looks import ClockSeen, Look, ProcessSeen, Queue, Unread, silent_ns
from workers.core.instants import utc_text

NS_PER_S = 1_000_000_000


class Usage(msgspec.Struct, frozen=True):
    """What a process takes; None where the system does not tell."""

    pss_bytes: int | None
    fds: int | None


class ProcessHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A process as supervisord and the kernel see it."""

    worker: str
    state: str
    pid: int
    up_s: int
    reason: str
    pss_bytes: int | None = None
    fds: int | None = None


class WorkerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as its heartbeat tells it; `silent_s` is the heartbeat's age."""

    worker: str
    shard: int | None
    shards: int | None
    state: str
    silent_s: int
    pid: int
    run: str
    last_success_wall_ns: int | None
    last_error: str | None
    counters: dict[str, int]
    conditions: list[Condition]


class MarketHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The newest row of one market."""

    slug: str
    worker: str
    tier: str
    last_row_wall_ns: int | None


class SupervisorHealth(msgspec.Struct, frozen=True, kw_only=True):
    """supervisord itself; `problem` says why it did not answer."""

    pid: int | None
    problem: str


class HealthManifest(msgspec.Struct, frozen=True, kw_only=True):
    """manifests/health/latest.json (`orderbooks.health/1`); history rows hold the same."""

    schema: str = "orderbooks.health/1"
    at_utc: str
    at_wall_ns: int
    verdict: str
    reasons: list[str]
    supervisord: SupervisorHealth
    processes: list[ProcessHealth]
    workers: list[WorkerHealth]
    markets: list[MarketHealth]
    queues: list[Queue]
    quarantined: int
    clock: ClockSeen
    guard: str
    unread: list[Unread]
    write_problem: str
    look_ms: int


class AlertsManifest(msgspec.Struct, frozen=True, kw_only=True):
    """manifests/alerts/latest.json (`orderbooks.alerts/1`): every condition that holds now."""

    schema: str = "orderbooks.alerts/1"
    at_utc: str
    at_wall_ns: int
    delivery: str
    active: list[Active]


class DiskManifest(msgspec.Struct, frozen=True, kw_only=True):
    """manifests/disk/latest.json (`orderbooks.disk/1`); history rows hold the same."""

    schema: str = "orderbooks.disk/1"
    at_utc: str
    at_wall_ns: int
    guard: str
    problems: list[str] = []
    disk: DiskSeen | None = None
    forecast: Forecast = Forecast()


def verdict(active: Iterable[Active]) -> tuple[str, list[str]]:
    """`ok`, `degraded` (a warning holds) or `failing` (an error holds), and why."""
    told = [each for each in active if each.is_raised]
    reasons = [f"{each.alert} {each.worker} {each.subject}".strip() for each in told]
    levels = {each.level for each in told}
    if "error" in levels:
        return "failing", reasons
    return ("degraded" if levels else "ok"), reasons


def health_manifest(
    look: Look, active: Iterable[Active], usage: dict[int, Usage], look_ms: int
) -> HealthManifest:
    """The health manifest of one look."""
    said, reasons = verdict(active)
    return HealthManifest(
        at_utc=utc_text(look.wall_ns),
        at_wall_ns=look.wall_ns,
        verdict=said,
        reasons=reasons,
        supervisord=SupervisorHealth(pid=look.fleet.pid, problem=look.fleet.problem),
        processes=[_process(each, usage) for each in look.fleet.processes],
        workers=[_worker(each, look) for each in look.spool.heartbeats],
        markets=[
            _market(beat.worker, market)
            for beat in look.spool.heartbeats
            for market in beat.markets
        ],
        queues=look.spool.queues,
        quarantined=look.spool.quarantined,
        clock=look.clock,
        guard=look.guard,
        unread=look.spool.unread,
        write_problem=look.write_problem,
        look_ms=look_ms,
    )


def _process(seen: ProcessSeen, usage: dict[int, Usage]) -> ProcessHealth:
    taken = usage.get(seen.pid, Usage(None, None))
    return ProcessHealth(
        worker=seen.worker,
        state=seen.state,
        pid=seen.pid,
        up_s=max(0, seen.now_s - seen.since_s) if seen.pid else 0,
        reason=seen.reason,
        pss_bytes=taken.pss_bytes,
        fds=taken.fds,
    )


def _worker(beat: Heartbeat, look: Look) -> WorkerHealth:
    return WorkerHealth(
        worker=beat.worker,
        shard=beat.shard,
        shards=beat.shards,
        state=beat.state,
        silent_s=max(0, silent_ns(beat, look)) // NS_PER_S,
        pid=beat.pid,
        run=beat.run,
        last_success_wall_ns=beat.last_success_wall_ns,
        last_error=beat.last_error,
        counters=beat.counters,
        conditions=beat.conditions,
    )


def _market(worker: str, market: MarketBeat) -> MarketHealth:
    return MarketHealth(
        slug=market.slug,
        worker=worker,
        tier=market.tier,
        last_row_wall_ns=market.last_row_wall_ns,
    )
