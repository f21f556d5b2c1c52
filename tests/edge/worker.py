"""A stand-in worker for the lifecycle tests, run as a process of its own.

    python -m tests.edge.worker --config FILE [--shard N --shards M]

MODE in the environment says how it behaves; the pauses before an exit are cut short.
"""

import os
import sys
from typing import Any

from workers.core.errors import NeedsAPerson, Temporary
from workers.edge import lifecycle
from workers.edge.lifecycle import Bench
from workers.edge.spool.recorder import Stream

MODE = os.environ.get("MODE", "")
PAUSE_S = 0.05


class StandIn:
    """Writes one health row in every step."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self.steps = bench, 0
        self._stream = Stream(subject=bench.writer.worker, kind="health")
        if MODE == "bug at start":
            raise RuntimeError("planted at the start")

    def step(self) -> int:
        """One row; or what MODE says."""
        self.steps += 1
        world, recorder = self._bench.world, self._bench.recorder
        if self.steps == 3:
            _misbehave()
        row = f'{{"at_wall_ns":{world.wall_ns()},"id":"{self._bench.writer.run}-{self.steps}"}}\n'
        due_ms = world.wall_ns() // 1_000_000
        recorder.append(self._stream, row.encode(), due_ms=due_ms, wall_ns=world.wall_ns())
        recorder.flush_now(wall_ns=world.wall_ns(), mono_ns=world.mono_ns())
        return world.mono_ns() + int(PAUSE_S * 1_000_000_000)

    def beat(self) -> dict[str, Any]:
        """How many steps."""
        return {"counters": {"steps": self.steps}}

    def close(self) -> None:
        """A last row."""
        world = self._bench.world
        row = f'{{"at_wall_ns":{world.wall_ns()},"id":"{self._bench.writer.run}-last"}}\n'
        due_ms = world.wall_ns() // 1_000_000
        recorder = self._bench.recorder
        recorder.append(self._stream, row.encode(), due_ms=due_ms, wall_ns=world.wall_ns())


def _misbehave() -> None:
    match MODE:
        case "bug":
            raise RuntimeError("planted \udc80 in a step")
        case "temporary":
            raise Temporary("not now")
        case "disk":
            raise OSError(28, "No space left on device")
        case "person":
            raise NeedsAPerson("first line\nsecond line", hint="do this")


if __name__ == "__main__":
    lifecycle.GOOD_START_S = lifecycle.CRASH_REST_S = 0.2
    NAME = os.environ.get("NAME", "watchdog")
    sys.exit(lifecycle.main(NAME, StandIn))
