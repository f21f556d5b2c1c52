"""What ends an exchange that takes too long: an alarm, where there can be one.

Promises  DeadlinePassed comes out of `during` only, whenever the alarm rings; afterwards the
          process handles its signals as before
Source    a socket's own timeout starts anew with each byte; only a signal interrupts whatever
          call is blocking, and only in the main thread.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Protocol, TypeVar

#: The alarm repeats: a first one that fell into a destructor would be swallowed there.
AGAIN_S = 0.1
Found = TypeVar("Found")


class DeadlinePassed(Exception):
    """Raised by the alarm in whatever call is blocking."""


class Deadline(Protocol):
    """How long work may take."""

    def during(self, limit_s: float, work: Callable[[], Found]) -> Found:
        """Do the work; DeadlinePassed when it took longer."""


class Alarm:
    """For the main thread."""

    def during(self, limit_s: float, work: Callable[[], Found]) -> Found:
        """Do the work, and let the alarm ring in it."""
        previous = signal.signal(signal.SIGALRM, _on_alarm)
        signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
        try:
            return _interruptible(work)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)


class Unalarmed:
    """For other threads, which nothing can interrupt.

    Each wait for the peer is bounded by the socket's timeout; whoever waits for the whole gives
    the thread up.
    """

    def during(self, limit_s: float, work: Callable[[], Found]) -> Found:  # noqa: ARG002
        """Do the work."""
        return work()


def _interruptible(work: Callable[[], Found]) -> Found:
    return work()


def _on_alarm(_signal: int, frame: FrameType | None) -> None:
    # A machine that is busy for AGAIN_S rings twice, the second time in whoever handles the first;
    # so it is heard in the work and nowhere else.
    while frame is not None:
        if frame.f_code is _interruptible.__code__:
            raise DeadlinePassed
        frame = frame.f_back
