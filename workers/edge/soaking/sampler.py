"""One look at a fleet for a soak: from outside, with the eyes of a person.

Reads     heartbeats, tickets, the guard and the manifests that workers leave; supervisord's
          socket; /proc of the fleet; the filesystem
Promises  a sample comes whatever is down: what could not be read is said in it
Never     asks the network or a worker, or writes
"""

import time
from pathlib import Path

from workers.core.health.alerts import Active
from workers.core.health.heartbeats import Heartbeat
from workers.core.health.looks import FleetSeen, Queue
from workers.core.health.reports import AlertsManifest, HealthManifest, ProcessHealth, Usage
from workers.core.soak.samples import Sample, WorkerSample
from workers.edge import fleet
from workers.edge.machine import Machine
from workers.edge.spool import state, tickets
from workers.edge.spool.directory import QUEUES, DataDir

ANSWER_LIMIT_S = 2.0
NS_PER_S = 1_000_000_000
#: supervisord itself, among the processes.
SUPERVISORD = "supervisord"


def boot_id() -> str:
    """Another one after each start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Sampler:
    """Looks at one data directory."""

    def __init__(self, data: DataDir, soak: str) -> None:
        self._data, self._soak = data, soak
        self._machine = Machine(data.root)

    def look(self) -> Sample:
        """Everything, now."""
        data, wall_ns = self._data, time.time_ns()
        seen = fleet.look(data.socket, ANSWER_LIMIT_S)
        pids = [seen.pid or 0, *(each.pid for each in seen.processes)]
        health = state.read(data.latest("health"), HealthManifest)
        alerts = state.read(data.latest("alerts"), AlertsManifest)
        return Sample(
            soak=self._soak,
            at_wall_ns=wall_ns,
            at_mono_ns=time.monotonic_ns(),
            boot_id=boot_id(),
            supervisord=seen.pid,
            problem=seen.problem,
            processes=_processes(seen, self._machine.usage(pids)),
            workers=[_worker(each, wall_ns) for each in state.heartbeats(data)],
            queues=[_queue(data, name, wall_ns) for name in QUEUES],
            quarantined=sum(1 for each in data.quarantine.glob("*") if each.suffix != ".why"),
            guard=state.guard(data).level,
            free_bytes=self._free_bytes(),
            directories=self._machine.sizes(wall_ns),
            verdict=health.verdict if health else "unknown",
            alerts=sorted({_said(each) for each in alerts.active if each.is_raised})
            if alerts
            else [],
        )

    def _free_bytes(self) -> int | None:
        try:
            return self._machine.room().free_bytes
        except OSError:
            return None


def _processes(seen: FleetSeen, usage: dict[int, Usage]) -> list[ProcessHealth]:
    found = [
        ProcessHealth(
            worker=each.worker,
            state=each.state,
            pid=each.pid,
            up_s=max(0, each.now_s - each.since_s) if each.pid else 0,
            reason=each.reason,
            **_taken(usage.get(each.pid)),
        )
        for each in seen.processes
    ]
    if seen.pid:
        found.append(
            ProcessHealth(
                worker=SUPERVISORD,
                state="RUNNING",
                pid=seen.pid,
                up_s=0,
                reason="",
                **_taken(usage.get(seen.pid)),
            )
        )
    return found


def _taken(usage: Usage | None) -> dict[str, int | None]:
    return {
        "pss_bytes": usage.pss_bytes if usage else None,
        "fds": usage.fds if usage else None,
    }


def _worker(beat: Heartbeat, wall_ns: int) -> WorkerSample:
    return WorkerSample(
        worker=beat.worker,
        run=beat.run,
        state=beat.state,
        silent_s=max(0, wall_ns - beat.at_wall_ns) // NS_PER_S,
        markets=len(beat.markets),
        counters=beat.counters,
    )


def _queue(data: DataDir, name: str, wall_ns: int) -> Queue:
    found = tickets.counted(data, name, wall_ns)
    oldest_s = None if found.oldest_s is None else int(found.oldest_s)
    return Queue(name=name, ready=found.ready, failed=len(found.failed), oldest_s=oldest_s)


def _said(active: Active) -> str:
    return f"{active.alert} {active.worker}"
