"""Following files that another process replaces whole: the universe and the disk guard.

Reads     spool/universe/universe.json, spool/guard/disk.json; one stat each when nothing changed
Promises  a file that cannot be read or believed never replaces what was read before
"""

from pathlib import Path

import msgspec

from workers.core.health.heartbeats import Guard
from workers.core.universe.universe import Universe, read_universe
from workers.edge import durable
from workers.edge.spool import state
from workers.edge.spool.directory import DataDir

#: A guard older than this has no watchdog behind it; ENOSPC handling is then the only brake.
GUARD_TTL_NS = 120_000_000_000


class Changes:
    """Notices that a file was replaced: by inode and time, which a rename always changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def bytes_if_new(self) -> bytes | None:
        """The file's bytes the first time each version is met, else None."""
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns)
            if seen == self._seen:
                return None
            data = durable.read_regular(self._path, state.UNIVERSE_MAX_BYTES)
        except (OSError, ValueError):
            return None
        self._seen = seen
        return data


class UniverseFollower:
    """The universe as one collector last read it."""

    def __init__(self, data: DataDir) -> None:
        self._changes = Changes(data.universe)
        self.problem = ""

    def newer(self) -> Universe | None:
        """A universe that was not returned before, or None."""
        data = self._changes.bytes_if_new()
        if data is None:
            return None
        try:
            universe = read_universe(data)
        except msgspec.MsgspecError as error:
            self.problem = f"universe.json cannot be read: {error}"
            return None
        self.problem = ""
        return universe


class GuardFollower:
    """The disk guard as one collector last read it."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._changes = Changes(data.guard)
        self._guard = Guard()

    def level(self, wall_ns: int) -> str:
        """The level in force; a guard that nobody refreshes is "ok"."""
        if self._changes.bytes_if_new() is not None:
            self._guard = state.guard(self._data)
        is_fresh = abs(wall_ns - self._guard.at_wall_ns) < GUARD_TTL_NS
        return self._guard.level if is_fresh else "ok"
