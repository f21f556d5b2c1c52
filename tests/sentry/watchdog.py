"""The watchdog with a wall clock that can be set: graces and holds last up to an hour.

    python -m tests.sentry.watchdog FILE --config FILE

FILE holds by how many milliseconds its clock is wrong, read at each look at the clock. Everything
else of it is the real process.
"""

import sys
from pathlib import Path

from workers import watchdog
from workers.edge import lifecycle
from workers.edge.world import World

WRONG_BY = Path(sys.argv[1])
NS_PER_MS = 1_000_000


class Wrong(World):
    """Clock, dice and the wish to stop; the clock is as wrong as the file says."""

    def wall_ns(self) -> int:
        """Unix nanoseconds, and the fault."""
        return super().wall_ns() + int(WRONG_BY.read_text()) * NS_PER_MS


if __name__ == "__main__":
    lifecycle.World = Wrong  # type: ignore[attr-defined]
    raise SystemExit(watchdog.main(sys.argv[2:]))
