"""The steps that only a machine with a kernel of its own can take: bounds, and cuts of its power.

Promises  a cut comes at a moment that chance chose, some of them while the machine comes up again;
          every state of the forgetful disk is recovered and judged out here, and the machine
          itself goes on with one of them
"""

import hashlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.vps import acknowledged, acts
from tests.vps.acknowledged import LATE_S, NS_PER_S, Excuses, Judged, Sent
from tests.vps.disk import (
    EVERYTHING,
    FLUSH,
    NOTHING,
    SOME,
    Cut,
    Entry,
    entries,
    mounted,
    write_state,
)
from tests.vps.document import Block
from tests.vps.image import ROOT
from tests.vps.outside import Outside
from tests.vps.record import Step
from tests.vps.rehearsal import Rehearsal
from tests.vps.uml import VirtualMachine
from workers.core.archive.segments import DATA_SUFFIX, MANIFEST_SUFFIX
from workers.edge.spool.directory import DataDir

EARLY_EACH = 4
STATES = 20
RESTART = "Restart policy"
LOST = "acknowledged books lost"
AT_THE_END = (NOTHING, EVERYTHING, SOME, SOME, SOME)
RECORD_S = (8.0, 20.0)
RISING_S = (2.0, 30.0)
LOGGED_S = (15.0, 40.0)
SETTLED_NS = 2 * NS_PER_S
"""A file that was seen published may be between its rename and the sync of the directory."""
LOOK_S = 0.05
UNIT = "/sys/fs/cgroup/system.slice/orderbooks.service"
BOUNDS = {
    "memory.max": "MemoryMax=1500M",
    "memory.high": "MemoryHigh=1200M",
    "pids.max": "TasksMax=256",
}
"""What the kernel calls it, and the unit's line."""
HOG_BYTES = 1_700_000_000
CHILDREN = 400


@dataclass(frozen=True)
class Ground:
    """Where things lie out here, and the seed of what chance chooses."""

    repository: Path
    truth: Path
    states: Path
    seed: int
    cuts: int
    sessions: int


class Blackouts(Rehearsal):
    """A rehearsal that keeps account of what its power cuts may have cost."""

    def __init__(
        self, machine: VirtualMachine, there: Outside, blocks: list[Block], ground: Ground
    ) -> None:
        super().__init__(machine, there, blocks, ground.repository)
        self.vm, self.ground = machine, ground
        self.dice = random.Random(ground.seed)
        self.excuses = Excuses()

    def published(self) -> dict[str, str]:
        """As the container's; a data file whose manifest is not there yet is not published."""
        found = super().published()
        return {path: sha256 for path, sha256 in found.items() if _manifest_of(path) in found}

    def cut(self) -> int:
        """Cut the power; when."""
        at_wall_ns = time.time_ns()
        self.vm.kill()
        self.excuses.cut(at_wall_ns)
        return at_wall_ns

    def judged(self, data: DataDir, cut_wall_ns: int) -> Judged:
        """What was sent before a moment, against an archive."""
        sent = acknowledged.sent_before(self.ground.truth, cut_wall_ns)
        return acknowledged.judge(sent, acknowledged.held(data), self.excuses, cut_wall_ns)


def _manifest_of(path: str) -> str:
    return path.removesuffix(MANIFEST_SUFFIX).removesuffix(DATA_SUFFIX) + MANIFEST_SUFFIX


def kernel_says(value: str) -> str:
    """A bound of a unit as the kernel writes it."""
    return str(int(value[:-1]) << 20) if value.endswith("M") else value


def bounds(rehearsal: Blackouts, step: Step) -> None:
    """The unit's limits are the kernel's, and it enforces them."""
    for name, line in BOUNDS.items():
        told = rehearsal.run(step, f"cat {UNIT}/{name}").strip()
        holds = told == kernel_says(line.partition("=")[2])
        step.check(f"{name} of the service is the unit's {line}", told, holds=holds)
    used = rehearsal.run(step, "systemctl show -P MemoryCurrent -P TasksCurrent orderbooks")
    step.check("what it uses is counted", used, holds=used.split()[0].isdigit())
    enter = f"echo $$ > {UNIT}/cgroup.procs"
    # Above MemoryHigh an allocation is slowed down, not refused.
    rehearsal.run(step, "systemctl set-property --runtime orderbooks MemoryHigh=infinity")
    hog = f'{enter}; exec python3 -c "bytes(1) * {HOG_BYTES}"'
    killed = rehearsal.machine.run(f"sh -c '{hog}'")
    step.ran(killed, killed.code)
    rehearsal.run(step, "systemctl set-property --runtime orderbooks MemoryHigh=1200M")
    events = rehearsal.run(step, f"cat {UNIT}/memory.events")
    holds = killed.code == 137 and "oom_kill 1" in events
    step.check("a process beyond MemoryMax is killed", f"exit {killed.code}: {events}", holds=holds)
    fork = f"{enter}; for i in $(seq {CHILDREN}); do sleep 3 > /dev/null 2>&1 & done"
    refused = rehearsal.machine.run(f"sh -c '{fork}'")
    step.ran(refused, refused.code)
    events = rehearsal.run(step, f"cat {UNIT}/pids.events")
    step.check("no process beyond TasksMax", events, holds=not events.strip().endswith("max 0"))
    rehearsal.wait_well(step)


def power_cuts(rehearsal: Blackouts, step: Step) -> None:
    """The power is cut, again and again."""
    for number in range(1, rehearsal.ground.cuts + 1):
        _one_cut(rehearsal, step, number)


def _one_cut(rehearsal: Blackouts, step: Step, number: int) -> None:
    files = rehearsal.published()
    time.sleep(rehearsal.dice.uniform(*RECORD_S))
    at_wall_ns = rehearsal.cut()
    if number % EARLY_EACH == 0:
        _cut_while_rising(rehearsal, step)
    booted_s = rehearsal.machine.boot()
    rehearsal.wait_well(step)
    rehearsal.run(step, "orderbooks verify")
    now, judged = rehearsal.published(), rehearsal.judged(rehearsal.data, at_wall_ns)
    changed = [path for path, sha256 in files.items() if now.get(path) != sha256]
    _told(step, f"cut {number}, up again in {booted_s:.0f} s", judged)
    found = f"{len(files)} published before, {len(now)} now; changed: {changed or 'none'}"
    step.check(f"cut {number}: published files stay", found, holds=bool(files) and not changed)


def _cut_while_rising(rehearsal: Blackouts, step: Step) -> None:
    """The power comes back, and goes again before the fleet is whole."""
    rehearsal.vm.power_on()
    waited_s = rehearsal.dice.uniform(*RISING_S)
    time.sleep(waited_s)
    rehearsal.cut()
    step.check("and again while it came up", f"after {waited_s:.1f} s", holds=True)


def _told(step: Step, what: str, judged: Judged) -> None:
    found = (
        f"{judged.sent} books sent before, {judged.late} came too late, {judged.excused} lost "
        f"within the promise (the oldest of this cut {judged.age_s:.1f} s old), "
        f"{len(judged.lost)} beyond it {judged.lost[:3] or ''}"
    )
    step.check(f"{what}: nothing acknowledged is lost", found, holds=not judged.lost)


class _Watch:
    """How long the log of the disk was at every moment."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._looks: list[tuple[int, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            # The moment first: what the log has a little later was not all there by then.
            wall_ns = time.time_ns()
            self._looks.append((wall_ns, self._log.stat().st_size))

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def moment(self, log_bytes: int) -> int:
        """The last moment at which the log was surely not longer than that."""
        return max(wall_ns for wall_ns, size in self._looks if size <= log_bytes)

    def length(self, from_wall_ns: int) -> int:
        """How long the log was at the first look after a moment."""
        return next(size for wall_ns, size in self._looks if wall_ns >= from_wall_ns)


def forgetful_disk(rehearsal: Blackouts, step: Step) -> None:
    """The power is cut under a disk whose cache forgets what was not flushed."""
    for number in range(1, rehearsal.ground.sessions + 1):
        _one_session(rehearsal, step, number)


@dataclass(frozen=True)
class _Session:
    """A life of the machine on the logged disk, up to its cut."""

    entries: tuple[Entry, ...]
    files: dict[str, str]
    settled: int
    """From this entry on `files` are on the disk."""
    sent: list[Sent]
    cut_wall_ns: int
    watch: _Watch

    def moment(self, cut: Cut) -> int:
        """A moment at which the disk was not further than this cut."""
        return self.watch.moment(self.entries[cut.before - 1].end)


def _one_session(rehearsal: Blackouts, step: Step, number: int) -> None:
    session = _lived(rehearsal, step)
    flushes = sum(bool(each.flags & FLUSH) for each in session.entries)
    cuts, wrong = _cuts(rehearsal.dice, session), []
    for cut in cuts:
        at_wall_ns = session.moment(cut)
        wrong += [f"{cut}: {each}" for each in _wrong(rehearsal, session, cut, at_wall_ns)]
    told = f"{len(wrong)} wrong in {len(cuts)} states; {len(session.entries)} writes and flushes, {flushes} of them flushes {wrong[:3] or ''}"
    step.check(f"session {number}: no state is bad", told, holds=flushes > 0 and not wrong)
    early = Cut(session.settled, EVERYTHING)
    seen = [each for each in _wrong(rehearsal, session, early, session.cut_wall_ns) if LOST in each]
    step.check(
        "control: an older state is seen to lack books", seen or "not seen", holds=bool(seen)
    )
    disk = rehearsal.vm.disk
    rest = Cut(len(session.entries), SOME, number)
    write_state(disk.raw, disk.base, disk.log, session.entries, rest)
    booted_s = rehearsal.vm.boot()
    rehearsal.survived(step, session.files)
    judged = rehearsal.judged(rehearsal.data, session.cut_wall_ns)
    _told(step, f"session {number}, up again in {booted_s:.0f} s on what was left", judged)


def _lived(rehearsal: Blackouts, step: Step) -> _Session:
    watch = _Watch(rehearsal.vm.disk.log)
    try:
        rehearsal.wait_well(step)
        files, settled_wall_ns = rehearsal.published(), time.time_ns() + SETTLED_NS
        time.sleep(rehearsal.dice.uniform(*LOGGED_S))
        cut_wall_ns = rehearsal.cut()
    finally:
        watch.end()
    found, length = tuple(entries(rehearsal.vm.disk.log)), watch.length(settled_wall_ns)
    return _Session(
        found,
        files,
        next(at for at, each in enumerate(found, 1) if each.end > length),
        acknowledged.sent_before(rehearsal.ground.truth, cut_wall_ns),
        cut_wall_ns,
        watch,
    )


def _cuts(dice: random.Random, session: _Session) -> list[Cut]:
    """Some at the very end, the others anywhere after the published files were looked at."""
    first, last = session.settled, len(session.entries)
    kept = [dice.choice(AT_THE_END) for _ in range(STATES - len(AT_THE_END))]
    return [
        *(Cut(last, each, seed) for seed, each in enumerate(AT_THE_END)),
        *(Cut(dice.randint(first, last), each, seed) for seed, each in enumerate(kept, 9)),
    ]


def _wrong(rehearsal: Blackouts, session: _Session, cut: Cut, at_wall_ns: int) -> list[str]:
    """What is wrong with a state of a cut at a moment, after what each worker's start does."""
    disk, image = rehearsal.vm.disk, rehearsal.ground.states / "state"
    write_state(image, disk.base, disk.log, session.entries, cut)
    try:
        with mounted(image, rehearsal.ground.states / "mount") as place:
            return _wrong_in(rehearsal, session, at_wall_ns, place)
    except (subprocess.CalledProcessError, OSError, ValueError) as error:
        return [f"{type(error).__name__}: {error}"]
    finally:
        image.unlink()


def _wrong_in(rehearsal: Blackouts, session: _Session, at_wall_ns: int, place: Path) -> list[str]:
    wrong = []
    for words in (("tests.vps.recover", place), ("workers.tools", "verify", "--data", place)):
        done = subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            wrong.append(
                f"{words[0]}: exit {done.returncode}: {(done.stdout + done.stderr)[-500:]}"
            )
    for path, sha256 in session.files.items():
        found = place / path
        if not found.is_file() or hashlib.sha256(found.read_bytes()).hexdigest() != sha256:
            wrong.append(f"a published file changed: {path}")
    excuses = Excuses([*rehearsal.excuses.spans])
    excuses.cut(at_wall_ns)
    sent = [each for each in session.sent if each.at_wall_ns < at_wall_ns]
    judged = acknowledged.judge(sent, acknowledged.held(DataDir(place)), excuses, at_wall_ns)
    return wrong + ([f"{LOST}: {judged.lost[:3]}"] if judged.lost else [])


def network_cut(rehearsal: Blackouts, step: Step) -> None:
    """The container's step; what was sent into the cut cable is excused."""
    began_ns = time.time_ns()
    acts.cut(rehearsal, step)
    rehearsal.excuses.spans.append((began_ns, began_ns + int((acts.CUT_S + LATE_S) * NS_PER_S)))


PLAN: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("boot", "a clean Debian 12 with a kernel and a systemd of its own", acts.boot),
    ("doc: Install", "the commands as written; then the table of owners and modes", acts.install),
    ("doc: Settings", "the venue, Sentry and the remote outside; credentials", acts.settings),
    ("doc: Start", "active, enabled, every worker running, rows flowing", acts.start),
    ("bounds", "MemoryMax and TasksMax of the unit, enforced by the kernel (cgroup 2)", bounds),
    ("doc: Restart policy", "a restart publishes what a cut could harm", acts.section(RESTART)),
    (
        "forgetful disk",
        f"cuts, and {STATES} states of each of what the disk's cache may have lost",
        forgetful_disk,
    ),
    (
        "power cuts",
        "SIGKILL of the whole machine at moments of chance; each fourth time twice",
        power_cuts,
    ),
    ("network cut", f"the cable pulled for {acts.CUT_S} s", network_cut),
    ("reboot", "systemctl reboot", acts.reboot),
    ("stop", f"within {acts.STOP_LIMIT_S} s, everything sealed, 0 UNEXPLAINED", acts.stop),
)
