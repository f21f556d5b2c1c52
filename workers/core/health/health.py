"""Health: what one look at the fleet means. Readings in, findings out.

Promises  whatever a heartbeat says, the answer is a list of findings; a worker is judged by
          what its disk shows, not by what it claims; age runs on the clock that cannot jump.
"""

from collections.abc import Iterator

from workers.core.health.alerts import Finding
from workers.core.health.conditions import ALERTS
from workers.core.health.disk import Forecast, fills_soon
from workers.core.health.heartbeats import Heartbeat
from workers.core.health.looks import DOWN_STATES, RUNNING, Look, silent_ns
from workers.core.instants import utc_text
from workers.core.polling.cadence import Phase
from workers.core.settings.settings import Watchdog
from workers.core.universe.shards import shard_of

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
#: How long a crash counts as news; the process has been running again for that time.
CRASH_NEWS_S = 3600
#: Books whose venue hash is wrong: below both it is noise of single answers.
HASH_FAILED_MIN = 3
HASH_FAILED_PERCENT = 1
GUARD_ALERTS = {
    "warn": "disk_low_warn",
    "stop_opening": "disk_low_stop",
    "pause": "disk_low_pause",
}
_CONDITIONS_MAX = 20
#: As the command line of a collector allows (edge/lifecycle.py); the hash tries each shard.
SHARDS_MAX = 100
#: A process this young may still be salvaging; only then does it begin to beat.
_YOUNG_S = 60


def findings(look: Look, rules: Watchdog, told: Forecast) -> list[Finding]:
    """Every condition that this look finds, most of them none."""
    return [
        *_fleet(look, rules),
        *_silent(look, rules),
        *_crashes(look),
        *_said(look),
        *_rows(look, rules),
        *_streams(look, rules),
        *_hashes(look),
        *_disk(look, told),
        *_spool(look, rules),
        *_clock(look, rules),
    ]


def _fleet(look: Look, rules: Watchdog) -> Iterator[Finding]:
    if not look.fleet.is_reached:
        yield Finding(alert="supervisord_unreachable", detail=look.fleet.problem)
    for each in look.fleet.processes:
        if each.state in DOWN_STATES:
            detail = f"{each.state} with exit status {each.exit_status}: {each.reason}"
            yield Finding(alert="worker_fatal", worker=each.worker, detail=detail)
        elif each.state == "BACKOFF":
            yield Finding(
                alert="worker_backoff",
                worker=each.worker,
                detail=each.reason,
                grace_s=rules.backoff_warn_s,
            )


def _silent(look: Look, rules: Watchdog) -> Iterator[Finding]:
    late_ns = int(rules.heartbeat_late_s * NS_PER_S)
    beats = {each.worker: each for each in look.spool.heartbeats}
    for worker in sorted(_expected(look)):
        beat = beats.get(worker)
        if beat is None:
            yield Finding(alert="worker_silent", worker=worker, detail="it never wrote a heartbeat")
        elif silent_ns(beat, look) > late_ns:
            detail = f"no heartbeat from pid {beat.pid} since {utc_text(beat.at_wall_ns)}"
            yield Finding(alert="worker_silent", worker=worker, shard=beat.shard, detail=detail)


def _expected(look: Look) -> set[str]:
    """Who must have a fresh heartbeat: whoever runs, or did not say that it stopped."""
    if not look.fleet.is_reached:
        return {each.worker for each in look.spool.heartbeats if each.state != "stopped"}
    runs = (each for each in look.fleet.processes if each.state == RUNNING)
    known = {each.worker: each for each in look.spool.heartbeats}
    return {
        each.worker
        for each in runs
        if each.now_s - each.since_s > _YOUNG_S
        or (each.worker in known and known[each.worker].pid == each.pid)
    }


def _crashes(look: Look) -> Iterator[Finding]:
    for crash in look.spool.crashes:
        age_ns = look.wall_ns - crash.at_wall_ns
        if 0 <= age_ns < CRASH_NEWS_S * NS_PER_S:
            yield Finding(
                alert="worker_crashed",
                worker=crash.worker,
                subject=crash.kind,
                detail=f"{crash.kind}: {crash.message}",
                evidence=crash.traceback,
            )


def _said(look: Look) -> Iterator[Finding]:
    """The conditions that workers state themselves."""
    for beat in look.spool.heartbeats:
        if beat.state == "stopped":
            continue
        for said in beat.conditions[:_CONDITIONS_MAX]:
            is_known = said.alert in ALERTS
            yield Finding(
                alert=said.alert if is_known else "condition_unknown",
                worker=beat.worker,
                shard=beat.shard,
                subject=said.subject,
                detail=said.detail if is_known else f"{said.alert}: {said.detail}",
            )


def _rows(look: Look, rules: Watchdog) -> Iterator[Finding]:
    if look.guard in {"stop_opening", "pause"}:
        return
    late_ms = int(rules.row_late_s * 1000)
    for beat in _alive(look, rules):
        if not beat.worker.startswith("collector-"):
            continue
        since_wall_ns = max(beat.last_success_wall_ns or 0, beat.started_wall_ns)
        due_ms = first_due_ms(look, beat, after_ms=since_wall_ns // NS_PER_MS)
        if due_ms is not None and look.wall_ns // NS_PER_MS - due_ms > late_ms:
            detail = f"no book since {utc_text(since_wall_ns)}; last error: {beat.last_error}"
            yield Finding(alert="rows_late", worker=beat.worker, shard=beat.shard, detail=detail)


def _alive(look: Look, rules: Watchdog) -> Iterator[Heartbeat]:
    """The sharded workers that beat: who is silent or gone is told as that."""
    for beat in look.spool.heartbeats:
        is_fresh = silent_ns(beat, look) <= rules.heartbeat_late_s * NS_PER_S
        if 1 <= (beat.shards or 0) <= SHARDS_MAX and beat.state != "stopped" and is_fresh:
            yield beat


def _streams(look: Look, rules: Watchdog) -> Iterator[Finding]:
    for beat in _alive(look, rules):
        poor = [each for each in beat.streams if each.state != "SYNCED" and not each.is_isolated]
        if poor:
            shown = poor[0]
            detail = (
                f"{len(poor)} of {len(beat.streams)} markets, such as {shown.slug}: "
                f"{shown.state} {shown.reason}".rstrip()
            )
            yield Finding(alert="stream_stale", worker=beat.worker, shard=beat.shard, detail=detail)


def first_due_ms(look: Look, beat: Heartbeat, *, after_ms: int) -> int | None:
    """The first tick after a moment that a phase running now makes due for a collector, or None."""
    universe = look.spool.universe
    if universe is None or beat.shards is None:
        return None
    now_ms = look.wall_ns // NS_PER_MS
    phases = [
        phase
        for market in universe.markets
        if shard_of(market.condition_id, beat.shards) == beat.shard
        for phase in market.phases
        if phase.from_ms <= now_ms < phase.until_ms
    ]
    start_ms = max(after_ms, universe.published_ms)
    return min((_first_point_ms(phase, start_ms) for phase in phases), default=None)


def _first_point_ms(phase: Phase, after_ms: int) -> int:
    from_ms = max(after_ms + 1, phase.from_ms)
    return -(-from_ms // phase.interval_ms) * phase.interval_ms


def _hashes(look: Look) -> Iterator[Finding]:
    for beat in look.spool.heartbeats:
        failed = sum(market.hash_failed for market in beat.markets)
        verified = sum(market.verified for market in beat.markets)
        many = (
            failed >= HASH_FAILED_MIN and failed * 100 > (failed + verified) * HASH_FAILED_PERCENT
        )
        if many and beat.state != "stopped":
            detail = f"{failed} of {failed + verified} books of the markets recorded now"
            yield Finding(alert="hash_failed", worker=beat.worker, shard=beat.shard, detail=detail)


def _disk(look: Look, told: Forecast) -> Iterator[Finding]:
    if look.guard in GUARD_ALERTS:
        yield Finding(alert=GUARD_ALERTS[look.guard], detail=f"the guard says {look.guard}")
    if look.write_problem:
        yield Finding(alert="disk_full", detail=look.write_problem)
    if fills_soon(told):
        detail = f"{told.hours_left} hours left at {told.growth_bytes_per_hour} bytes an hour"
        yield Finding(alert="disk_fills", detail=detail)


def _spool(look: Look, rules: Watchdog) -> Iterator[Finding]:
    for queue in look.spool.queues:
        if queue.has_consumer and (queue.oldest_s or 0) > rules.backlog_warn_s:
            detail = f"{queue.ready} tickets wait, the oldest for {queue.oldest_s} s"
            yield Finding(alert="backlog_old", subject=queue.name, detail=detail)
        if queue.failed:
            detail = f"{queue.failed} tickets, such as {queue.failed_example}"
            yield Finding(alert="tickets_failed", subject=queue.name, detail=detail)
    if look.spool.quarantined >= rules.quarantine_warn_files:
        detail = f"{look.spool.quarantined} files in spool/quarantine"
        yield Finding(alert="quarantine_grew", detail=detail)
    if look.spool.unread:
        names = ", ".join(f"{each.path}: {each.problem}" for each in look.spool.unread[:3])
        detail = f"{len(look.spool.unread)} files, such as {names}"
        yield Finding(alert="state_unreadable", detail=detail)


def _clock(look: Look, rules: Watchdog) -> Iterator[Finding]:
    clock = look.clock
    if clock.offset_ms is not None:
        sure_ms = abs(clock.offset_ms) - clock.tolerance_ms
        if sure_ms > rules.clock_warn_ms:
            detail = f"{clock.source} − ours = {clock.offset_ms} ± {clock.tolerance_ms} ms"
            yield Finding(alert="clock_offset", detail=detail)
    if abs(clock.step_ms) > rules.clock_warn_ms:
        yield Finding(alert="clock_stepped", detail=f"by {clock.step_ms} ms")
