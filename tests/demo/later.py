"""The uploader with its clock put forward: retention counts in whole hours, the demo lasts two minutes.

    python -m tests.demo.later SECONDS --config FILE

Everything else of it is the real process.
"""

import sys

from workers import uploader
from workers.edge import lifecycle
from workers.edge.world import NS_PER_S, World

AHEAD_NS = int(sys.argv[1]) * NS_PER_S


class Later(World):
    """Clock, dice and the wish to stop, some time from now."""

    def wall_ns(self) -> int:
        """Unix nanoseconds, put forward."""
        return super().wall_ns() + AHEAD_NS


if __name__ == "__main__":
    lifecycle.World = Later  # type: ignore[attr-defined]
    raise SystemExit(uploader.main(sys.argv[2:]))
