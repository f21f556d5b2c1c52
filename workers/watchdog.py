"""watchdog: looks at everything, writes it down, tells a person once.

Reads     supervisord (run/supervisor.sock), spool/heartbeat, spool/universe, spool/<queue>,
          spool/quarantine, the filesystem, /proc of the fleet, the venue's clock (GET /time)
Writes    spool/guard/disk.json, manifests/{health,disk,alerts}/ (latest.json and history),
          metrics/orderbooks.prom, Sentry when SENTRY_DSN is set
Promises  one alert when a condition begins and one when it ends, across restarts; a guard level
          that is fresh and does not flap; never dies of what it reads
Fails     disk full           → looks on, alerts by Sentry, history rows wait in memory
          supervisord away    → judges by heartbeats alone, and says so
          Sentry away         → alerts stand in manifests/alerts all the same
Never     restarts, kills or repairs anything: supervisord restarts, a person repairs
"""

import os
from typing import TYPE_CHECKING, Any

import msgspec

from workers import VERSION
from workers.core.errors import Refused
from workers.core.health import clocks, health, metrics, reports
from workers.core.health.alerts import Finding
from workers.core.health.disk import DiskSeen, Forecast, Sample, forecast, guard_level, recent
from workers.core.health.heartbeats import Guard
from workers.core.health.looks import ClockSeen, Look, Unread
from workers.core.health.reports import DiskManifest, HealthManifest, Usage
from workers.core.instants import utc_text
from workers.core.polling.cadence import Anchor
from workers.core.scrubbing import secrets_of
from workers.edge import fleet, lifecycle
from workers.edge.lifecycle import Bench
from workers.edge.machine import Machine
from workers.edge.rest import Call, RestClient
from workers.edge.spool.bell import Bell
from workers.edge.spool.census import Census, read_state
from workers.edge.spool.journal import Journal, disk_history

if TYPE_CHECKING:
    from workers.edge.alerts import Sentry

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
RPC_LIMIT_S = 2.0
CLOCK_LIMIT_S = 3.0
CLOCK_INTERVAL_S = 60
WALK_INTERVAL_S = 60
#: Collectors believe a guard for GUARD_TTL_NS (edge/spool/follow.py), whatever interval_s is.
GUARD_INTERVAL_S = 10


class Every:
    """Says when something is due again; lost times are not made up."""

    def __init__(self, interval_s: float) -> None:
        self._interval_ns = int(interval_s * NS_PER_S)
        self._due_mono_ns = 0

    def is_due(self, mono_ns: int) -> bool:
        """True once for each interval; the next begins now."""
        if mono_ns < self._due_mono_ns:
            return False
        self._due_mono_ns = mono_ns + self._interval_ns
        return True


class DiskWatch:
    """Room, growth and the guard."""

    def __init__(self, bench: Bench, journal: Journal) -> None:
        self._bench, self._journal = bench, journal
        self._rules = bench.settings.watchdog
        self._machine = Machine(bench.data.root)
        self._walk = Every(WALK_INTERVAL_S)
        self._directories: dict[str, int] = {}
        hours, wall_ns = self._rules.disk_history_hours, bench.world.wall_ns()
        self._history = disk_history(bench.data, wall_ns, hours)
        self.guard = _last_guard(bench)
        self.forecast = Forecast()

    def set_guard(self, wall_ns: int) -> DiskSeen | None:
        """Measure the room and write the guard; None when the filesystem does not answer."""
        try:
            seen = self._machine.room()
        except OSError as error:
            # The old level stands: what cannot be measured must neither stop nor free recording.
            self._journal.problem = str(error)
            return None
        level = guard_level(seen.free_bytes, self.guard, self._rules)
        if level != self.guard:
            self._bench.tell("guard_changed", level=level, free_bytes=seen.free_bytes)
        self.guard = level
        guard = Guard(level=level, at_wall_ns=wall_ns, free_bytes=seen.free_bytes)
        self._journal.guard(guard)
        return seen

    def look(self, wall_ns: int, mono_ns: int) -> DiskManifest:
        """Measure everything and say what was found."""
        seen = self.set_guard(wall_ns)
        if seen is not None:
            if self._walk.is_due(mono_ns):
                self._directories = self._machine.sizes(wall_ns)
                sample = Sample(wall_ns, seen.free_bytes, sum(self._directories.values()))
                hours = self._rules.disk_history_hours
                self._history = recent([*self._history, sample], wall_ns, hours)
                self.forecast = forecast(self._history, self._rules)
            seen = msgspec.structs.replace(seen, directories=self._directories)
        return DiskManifest(
            at_utc=utc_text(wall_ns),
            at_wall_ns=wall_ns,
            guard=self.guard,
            problems=self._machine.problems[:20],
            disk=seen,
            forecast=self.forecast,
        )

    def usage(self, pids: list[int]) -> dict[int, Usage]:
        """Memory and descriptors by pid."""
        return self._machine.usage(pids)


def _last_guard(bench: Bench) -> str:
    """The level before this start: an eased level must not be reached by restarting."""
    try:
        return read_state(bench.data.guard, Guard).level
    except (OSError, ValueError):
        return "ok"


class Watchdog:
    """One look at everything every interval_s."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._world, self._rules = bench, bench.world, bench.settings.watchdog
        self._journal = Journal(bench.data, bench.recorder, bench.writer.worker)
        self._census = Census(bench.data)
        self._disk = DiskWatch(bench, self._journal)
        self._client = RestClient(
            timeout_s=CLOCK_LIMIT_S, max_body_bytes=65_536, user_agent=f"orderbooks/{VERSION}"
        )
        self._sentry, self._own_findings = _sentry(bench)
        self._bell = Bell(
            bench.data,
            self._journal,
            log=bench.tell,
            sender=self._sentry,
            secrets=secrets_of(os.environ),
        )
        self._anchor = Anchor(self._world.wall_ns(), self._world.mono_ns())
        self._clock = ClockSeen(problem="not asked yet")
        self._usage: dict[int, Usage] = {}
        self._verdict = ""
        self._looks = Every(self._rules.interval_s)
        self._guards = Every(GUARD_INTERVAL_S)
        self._clocks = Every(CLOCK_INTERVAL_S)
        self._histories = Every(self._rules.history_interval_s)
        self._check_ins = Every(self._rules.checkin_interval_s)
        self._counters = {"looks": 0}
        self._last_look_wall_ns: int | None = None

    def step(self) -> int:
        """Look if it is due; comes back each second, so that the heartbeat stays fresh."""
        mono_ns = self._world.mono_ns()
        if self._looks.is_due(mono_ns):
            self._look(self._world.wall_ns(), mono_ns)
        elif self._guards.is_due(mono_ns):
            self._disk.set_guard(self._world.wall_ns())
        if self._sentry is not None and self._check_ins.is_due(mono_ns):
            self._sentry.check_in(self._rules.checkin_interval_s)
        self._journal.tend(wall_ns=self._world.wall_ns(), mono_ns=self._world.mono_ns())
        self._bench.tell_published()
        pause_s = min(1.0, self._rules.interval_s)
        return self._world.mono_ns() + int(pause_s * NS_PER_S)

    def _look(self, wall_ns: int, mono_ns: int) -> None:
        self._journal.begin_look()
        self._guards.is_due(mono_ns)
        disk = self._disk.look(wall_ns, mono_ns)
        look = self._seen(wall_ns, mono_ns)
        found = health.findings(look, self._rules, self._disk.forecast)
        self._bell.ring([*found, *self._own_findings], wall_ns)
        self._write(look, disk)
        self._counters["looks"] += 1
        self._last_look_wall_ns = wall_ns

    def _seen(self, wall_ns: int, mono_ns: int) -> Look:
        bench = self._bench
        spool = self._census.look(wall_ns=wall_ns, mono_ns=mono_ns, boot_id=bench.boot_id)
        if self._bell.problem:
            lost = Unread(bench.data.relative(bench.data.latest("alerts")), self._bell.problem)
            spool = msgspec.structs.replace(spool, unread=[*spool.unread, lost])
            self._bell.problem = ""  # Its file has been replaced since: told once.
        return Look(
            wall_ns=wall_ns,
            mono_ns=mono_ns,
            boot_id=bench.boot_id,
            guard=self._disk.guard,
            fleet=fleet.look(bench.data.socket, RPC_LIMIT_S),
            spool=spool,
            clock=self._clock_seen(wall_ns, mono_ns),
            write_problem=self._journal.problem,
        )

    def _clock_seen(self, wall_ns: int, mono_ns: int) -> ClockSeen:
        step_ms = self._anchor.step_ns(wall_ns, mono_ns) // NS_PER_MS
        self._anchor = Anchor(wall_ns, mono_ns)
        if self._clocks.is_due(mono_ns):
            url = f"{self._bench.settings.venue.clob_url}/time"
            self._clock = clocks.compared(self._client.fetch(Call(method="GET", url=url)))
        return msgspec.structs.replace(self._clock, step_ms=step_ms)

    def _write(self, look: Look, disk: DiskManifest) -> None:
        is_history = self._histories.is_due(look.mono_ns)
        if is_history or not self._usage:
            self._usage = self._disk.usage([each.pid for each in look.fleet.processes])
        look_ms = (self._world.mono_ns() - look.mono_ns) // NS_PER_MS
        told = reports.health_manifest(look, self._bell.active, self._usage, look_ms)
        self._journal.replace("health", told)
        self._journal.replace("disk", disk)
        universe = look.spool.universe
        classes = {each.condition_id: each.series for each in universe.markets} if universe else {}
        beats = look.spool.heartbeats
        self._journal.publish(metrics.page(told, disk, self._bell.active, beats, classes))
        if is_history:
            self._journal.remember("disk", disk, look.wall_ns)
        if is_history or told.verdict != self._verdict:
            self._journal.remember("health", _history_row(told), look.wall_ns)
        self._verdict = told.verdict

    def beat(self) -> dict[str, Any]:
        """The watchdog watches itself as everybody else."""
        return {"last_success_wall_ns": self._last_look_wall_ns, "counters": self._counters}

    def close(self) -> None:
        """Deliver what Sentry has not got yet."""
        self._client.close()
        if self._sentry is not None:
            self._sentry.flush()
            self._bell.settle(self._world.wall_ns())
            self._sentry.close()


def _history_row(told: HealthManifest) -> HealthManifest:
    """Without the markets: their rows and manifests are the better history."""
    return msgspec.structs.replace(told, markets=[])


def _sentry(bench: Bench) -> "tuple[Sentry | None, list[Finding]]":
    """The way to a person, if one is set; a DSN that cannot be used is a finding for ever."""
    dsn = os.environ.get("SENTRY_DSN", "").strip()
    if not dsn:
        return None, []
    # 7 MB of memory that only a watchdog with somebody to tell needs.
    from workers.edge.alerts import Sentry  # noqa: PLC0415

    try:
        secrets = secrets_of(os.environ)
        environment = bench.settings.alerts.environment
        return Sentry(dsn, environment=environment, secrets=secrets), []
    except Refused as error:
        return None, [Finding(alert="sentry_refused", detail=str(error))]


def main(argv: list[str] | None = None) -> int:
    """Run the watchdog until it is asked to stop; returns the exit code."""
    return lifecycle.main("watchdog", Watchdog, argv)


if __name__ == "__main__":
    raise SystemExit(main())
