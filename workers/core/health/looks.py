"""What the watchdog sees in one look at the fleet.

Promises  what could not be read is a value (`Unread`, `problem`), never a hole.
"""

import msgspec

from workers.core.health.heartbeats import Crash, Heartbeat
from workers.core.universe.universe import Universe

#: supervisord's states, and whether a process in it should be writing heartbeats.
RUNNING = "RUNNING"
#: Down and not coming back by itself.
DOWN_STATES = frozenset({"FATAL", "EXITED", "UNKNOWN"})


class ProcessSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A row of supervisord's table; times are its wall clock in seconds."""

    worker: str
    group: str
    state: str
    pid: int = 0
    since_s: int = 0
    now_s: int = 0
    exit_status: int = 0
    reason: str = ""


class FleetSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What supervisord answered; `problem` says why it did not."""

    problem: str = ""
    pid: int | None = None
    processes: list[ProcessSeen] = []

    @property
    def is_reached(self) -> bool:
        """True when the table was read."""
        return not self.problem


class Unread(msgspec.Struct, frozen=True):
    """A file that could not be read as what its place says it is."""

    path: str
    problem: str


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets of one queue; `oldest` is the ready one of the oldest segment, `oldest_s` its age.

    `failed_example` is the first failed one with its reason.
    Without a consumer tickets wait by design, until one is installed.
    """

    name: str
    ready: int = 0
    failed: int = 0
    failed_example: str = ""
    oldest: str = ""
    oldest_s: int | None = None
    has_consumer: bool = False


class Spool(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that lies in spool/ for the watchdog to judge."""

    heartbeats: list[Heartbeat] = []
    crashes: list[Crash] = []
    universe: Universe | None = None
    queues: list[Queue] = []
    quarantined: int = 0
    unread: list[Unread] = []


class ClockSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Our clock against the venue's: offset = theirs − ours, known to ± tolerance.

    `step_ms` is how far our own wall clock jumped since the look before.
    """

    offset_ms: int | None = None
    tolerance_ms: int = 0
    source: str = ""
    problem: str = ""
    measured_wall_ns: int | None = None
    step_ms: int = 0


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at everything, with both clocks of the moment."""

    wall_ns: int
    mono_ns: int
    boot_id: str
    guard: str = "ok"
    fleet: FleetSeen = FleetSeen()
    spool: Spool = Spool()
    clock: ClockSeen = ClockSeen()
    write_problem: str = ""


def silent_ns(heartbeat: Heartbeat, look: Look) -> int:
    """The age of a heartbeat, on the monotonic clock when it was written in this boot."""
    if heartbeat.boot_id == look.boot_id:
        return look.mono_ns - heartbeat.at_mono_ns
    return look.wall_ns - heartbeat.at_wall_ns
