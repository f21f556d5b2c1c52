"""The universe at rest: its history, the file collectors follow, the copy, the page for people.

Reads     spool/universe/universe.json, manifests/discovery/latest.json
Writes    a row of the `universe` segment, then universe.json, latest.json, universe.md
Promises  the row is synced before universe.json is replaced, so that the history never lacks
          what a collector followed; a file that is gone or broken is put back
Fails     OSError when the disk refuses; the same publication is tried again
"""

import msgspec

from workers.core.universe.pages import universe_row
from workers.core.universe.rounds import Outcome
from workers.core.universe.text import universe_text
from workers.core.universe.universe import Universe, read_universe
from workers.edge import durable
from workers.edge.spool import state
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Recorder, Stream

NS_PER_MS = 1_000_000


class UniverseFiles:
    """What discovery keeps on the disk; changed in place by its one owner."""

    def __init__(self, data: DataDir, recorder: Recorder, worker: str) -> None:
        self.problem = ""
        self.publications = 0
        self._data, self._recorder = data, recorder
        self._stream = Stream(subject=worker, kind="universe")
        self._page = data.latest("discovery").with_name("universe.md")
        self._outcome: Outcome | None = None
        self._is_written = self._is_shown = True

    def recall(self) -> Universe:
        """The last universe that can be read; `problem` says why it is not universe.json."""
        for path in (self._data.universe, self._data.latest("discovery")):
            try:
                return read_universe(path.read_bytes())
            except FileNotFoundError:
                continue
            except msgspec.MsgspecError as error:
                self.problem = self.problem or f"{path.name} cannot be read: {error}"
                self._is_written = False
        return Universe()

    def offer(self, outcome: Outcome, *, wall_ns: int) -> None:
        """Take the outcome of a round, to be published by `publish`."""
        if outcome.changed:
            row = universe_row(outcome.universe, wall_ns)
            due_ms = wall_ns // NS_PER_MS
            self._recorder.append(self._stream, row, due_ms=due_ms, wall_ns=wall_ns)
        is_there = self._data.universe.exists()
        self._is_written = self._is_written and is_there and not outcome.changed
        self._is_shown, self._outcome = False, outcome

    def publish(self, *, wall_ns: int, mono_ns: int) -> None:
        """Put in place what was offered, as far as the disk lets; nothing when all is done."""
        if self._outcome is None or (self._is_written and self._is_shown):
            return
        universe = self._outcome.universe
        if not self._is_written:
            self._recorder.flush_now(wall_ns=wall_ns, mono_ns=mono_ns)
            if self._recorder.trouble:
                return
            state.write(self._data.universe, universe)
            state.write(self._data.latest("discovery"), universe)
            self._is_written = True
            self.publications += 1
        text = universe_text(
            universe,
            pending=self._outcome.pending,
            conditions=self._outcome.conditions,
            now_ms=wall_ns // NS_PER_MS,
        )
        durable.replace_unsynced(self._page, text.encode())
        self._is_shown = True
