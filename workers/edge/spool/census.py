"""A stranger's look at spool/: heartbeats, crashes, the universe, queues, quarantine.

Reads     spool/heartbeat, spool/universe, spool/<queue>, spool/quarantine, latest manifests
Promises  never blocks and never fails for what lies there (a pipe, a link, a device, a directory
          named like a file, a gigabyte, binary, deep nesting): it is named in `unread`; an
          unchanged directory is not listed again
Never     writes
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from workers.core.archive.manifests import read_ticket
from workers.core.archive.segments import parse_name
from workers.core.health.heartbeats import Crash, Heartbeat
from workers.core.health.looks import Queue, Spool, Unread
from workers.core.universe.universe import Universe, read_universe
from workers.edge import durable
from workers.edge.spool.directory import QUEUES, DataDir
from workers.edge.spool.state import STATE_MAX_BYTES, UNIVERSE_MAX_BYTES
from workers.edge.spool.tickets import FAILED, READY

Shape = TypeVar("Shape")
NS_PER_S = 1_000_000_000
#: Entries of the heartbeat directory that are looked at; a fleet has about ten.
STATE_MAX_FILES = 500
UNREAD_MAX = 50
#: A heartbeat that claims to come from later than this was not written by a worker of ours.
_FUTURE_NS = 5 * NS_PER_S
_WALL_MAX_NS = 1 << 63
#: Changes within this time of a listing may share its mtime; such a listing is not kept.
_SETTLED_NS = 2 * NS_PER_S
_WORKER = re.compile(r"[a-z]+(-\d\d)?", re.ASCII)


def read_state(path: Path, shape: type[Shape]) -> Shape:
    """A JSON file as `shape`.

    Raises:
        OSError, ValueError: see durable.read_regular, or it is not of this shape.
    """
    try:
        return msgspec.json.decode(durable.read_regular(path, STATE_MAX_BYTES), type=shape)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error


class Census:
    """The spool as the watchdog sees it; keeps what did not change since the last look."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._unread: list[Unread] = []
        self._listings: dict[Path, tuple[int, Queue | int]] = {}
        self._universe: tuple[tuple[int, int], Universe | None] = ((0, 0), None)

    def look(self, *, wall_ns: int, mono_ns: int, boot_id: str) -> Spool:
        """Everything that lies there now."""
        self._unread = []
        beats = self._states(Heartbeat, ".json", lambda beat: beat.worker)
        crashes = self._states(Crash, ".crash.json", lambda crash: crash.worker)
        return Spool(
            heartbeats=[each for each in beats if self._is_past(each, wall_ns, mono_ns, boot_id)],
            crashes=list(crashes),
            universe=self._read_universe(),
            queues=[self._queue(name, wall_ns) for name in QUEUES],
            quarantined=self._quarantined(wall_ns),
            unread=self._unread,
        )

    def _doubt(self, path: Path, problem: object) -> None:
        if len(self._unread) < UNREAD_MAX:
            self._unread.append(Unread(self._data.relative(path), str(problem)[:200]))

    def _names(self, folder: Path) -> list[str]:
        """Names in a directory, drafts left out, sorted; a missing one is doubted."""
        try:
            with os.scandir(folder) as entries:
                return sorted(each.name for each in entries if not each.name.startswith("."))
        except OSError as error:
            self._doubt(folder, error)
            return []

    def _states(
        self, shape: type[Shape], suffix: str, worker_of: Callable[[Shape], str]
    ) -> Iterator[Shape]:
        folder = self._data.heartbeats
        names = [each for each in self._names(folder) if each.endswith(suffix)]
        for name in names[:STATE_MAX_FILES]:
            is_crash = name.endswith(".crash.json")
            if is_crash != (suffix == ".crash.json"):
                continue
            try:
                value = read_state(folder / name, shape)
                _check_name(name.removesuffix(suffix), worker_of(value))
                yield value
            except (OSError, ValueError) as error:
                self._doubt(folder / name, error)

    def _is_past(self, beat: Heartbeat, wall_ns: int, mono_ns: int, boot_id: str) -> bool:
        same_boot = beat.boot_id == boot_id
        ahead_ns = beat.at_mono_ns - mono_ns if same_boot else beat.at_wall_ns - wall_ns
        times = (beat.at_wall_ns, beat.started_wall_ns, beat.last_success_wall_ns or 0)
        problem = ""
        if any(not 0 <= each < _WALL_MAX_NS for each in times):
            problem = "a time that no clock shows"
        elif ahead_ns > _FUTURE_NS:
            problem = f"from {ahead_ns // NS_PER_S} s ahead"
        if problem:
            self._doubt(self._data.heartbeat(beat.worker), problem)
        return not problem

    def _read_universe(self) -> Universe | None:
        path = self._data.universe
        try:
            found = path.lstat()
            mark = (found.st_ino, found.st_mtime_ns)
            if mark != self._universe[0]:
                self._universe = (
                    mark,
                    read_universe(durable.read_regular(path, UNIVERSE_MAX_BYTES)),
                )
        except FileNotFoundError:
            self._universe = ((0, 0), None)
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            self._universe = ((0, 0), None)
            self._doubt(path, error)
        return self._universe[1]

    def _queue(self, name: str, wall_ns: int) -> Queue:
        folder = self._data.queue(name)
        listed = self._listed(folder, wall_ns, lambda names: _counted(name, names))
        queue = listed if isinstance(listed, Queue) else Queue(name=name)
        oldest_s = self._ticket_age_s(folder, queue.oldest, wall_ns)
        return msgspec.structs.replace(
            queue,
            oldest_s=oldest_s,
            failed_example=self._reason(folder, queue.failed_example),
            has_consumer=os.path.lexists(folder / ".lock"),
        )

    def _reason(self, folder: Path, name: str) -> str:
        if not name:
            return ""
        try:
            ticket = read_ticket(durable.read_regular(folder / name, STATE_MAX_BYTES))
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            return f"{name}: {error}"
        return f"{name.removesuffix(FAILED)}: {ticket.reason or 'no reason given'}"

    def _ticket_age_s(self, folder: Path, name: str, wall_ns: int) -> int | None:
        try:
            mtime_ns = (folder / name).lstat().st_mtime_ns if name else None
        except OSError:
            return None  # Taken by its consumer since the listing: not the oldest any more.
        return None if mtime_ns is None else max(0, wall_ns - mtime_ns) // NS_PER_S

    def _quarantined(self, wall_ns: int) -> int:
        listed = self._listed(
            self._data.quarantine,
            wall_ns,
            lambda names: sum(not each.endswith(".why") for each in names),
        )
        return listed if isinstance(listed, int) else 0

    def _listed(
        self, folder: Path, wall_ns: int, make: Callable[[list[str]], Queue | int]
    ) -> Queue | int:
        """What `make` says of the names in a directory, remembered while its mtime stands.

        A queue without a consumer grows by thousands of tickets a day; listing it at every look
        would cost more than recording does.
        """
        mtime_ns = _mtime_ns(folder)
        kept = self._listings.get(folder)
        if kept is not None and kept[0] == mtime_ns:
            return kept[1]
        made = make(self._names(folder))
        if wall_ns - mtime_ns > _SETTLED_NS:
            self._listings[folder] = (mtime_ns, made)
        return made


def _check_name(name: str, worker: str) -> None:
    if not _WORKER.fullmatch(name):
        raise ValueError("not the name of a worker")
    if worker != name:
        raise ValueError(f"speaks for another worker: {worker[:50]!r}")


def _mtime_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0  # Listing it says why.


def _counted(name: str, names: list[str]) -> Queue:
    ready = [each for each in names if each.endswith(READY)]
    return Queue(
        name=name,
        ready=len(ready),
        failed=sum(each.endswith(FAILED) for each in names),
        failed_example=next((each for each in names if each.endswith(FAILED)), ""),
        oldest=min(ready, key=_started, default=""),
    )


def _started(ticket: str) -> str:
    """When the ticket's segment was begun; names that are not ours sort last."""
    found = parse_name(ticket.removesuffix(READY))
    return found.started if found else "~"
