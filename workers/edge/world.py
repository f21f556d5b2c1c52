"""What a process may know of the outside: two clocks, dice, signals, and the wish to stop.

Promises  time and chance reach the rest of the code as arguments; SIGTERM only sets a flag, so
          that a step is never torn; a dead parent takes this process with it.
"""

import contextlib
import ctypes
import os
import random
import select
import signal
import time
from types import FrameType

NS_PER_S = 1_000_000_000
_PR_SET_PDEATHSIG = 1


class Wish:
    """The wish to stop; may be set in a signal handler.

    Not a threading.Event: a handler that sets one deadlocks when it interrupts the `wait` of the
    same thread between two of its locks (seen after some ten thousand signals).
    """

    def __init__(self) -> None:
        self._is_set = False
        self._ear, self._mouth = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def is_set(self) -> bool:
        """True once it was set; for ever."""
        return self._is_set

    def set(self) -> None:
        """Wish to stop."""
        self._is_set = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._mouth, b".")

    def wait(self, timeout_s: float) -> bool:
        """Rest until it is set or the time is over; returns is_set()."""
        if not self._is_set:
            select.select([self._ear], [], [], timeout_s)
        return self._is_set


class World:
    """Clock, dice and the wish to stop: what a worker may know of the outside, as one value."""

    def __init__(self) -> None:
        self.stop = Wish()
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
