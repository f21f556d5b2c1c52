"""What a process may know of the outside: two clocks, dice, signals, and the wish to stop.

Promises  time and chance reach the rest of the code as arguments; SIGTERM only sets a flag, so
          that a step is never torn; a dead parent takes this process with it.
"""

import ctypes
import os
import random
import signal
import threading
import time
from types import FrameType

NS_PER_S = 1_000_000_000
_PR_SET_PDEATHSIG = 1


class World:
    """Clock, dice and the wish to stop: what a worker may know of the outside, as one value."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._dice = random.Random()  # noqa: S311 - jitter, not secrecy

    def wall_ns(self) -> int:
        """Unix nanoseconds; may jump."""
        return time.time_ns()

    def mono_ns(self) -> int:
        """Monotonic nanoseconds; never jumps."""
        return time.monotonic_ns()

    def roll(self) -> float:
        """A number in 0 ≤ roll < 1."""
        return self._dice.random()

    def wait_until(self, mono_ns: int) -> None:
        """Rest until a monotonic moment, or until asked to stop."""
        self.stop.wait(max(0.0, (mono_ns - time.monotonic_ns()) / NS_PER_S))


def die_with_parent() -> None:
    """Get SIGTERM when the parent dies: an orphaned collector would record beside the new one."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def stop_on_signals(world: World) -> None:
    """Let SIGTERM and SIGINT set `world.stop`; a step in progress ends first."""

    def ask(_signal: int, _frame: FrameType | None) -> None:
        world.stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
