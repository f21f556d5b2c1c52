"""The alarm is heard in the work it was set for, and nowhere else."""

import signal
import time

import pytest

from workers.edge.deadlines import Alarm, DeadlinePassed


def busy(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_work_that_takes_too_long_is_ended_and_the_signal_is_as_before():
    before = signal.getsignal(signal.SIGALRM)

    with pytest.raises(DeadlinePassed):
        Alarm().during(0.01, lambda: busy(60))

    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[1]) == (
        before,
        0,
    )
    assert Alarm().during(60, lambda: 7) == 7


def test_rings_after_the_work_are_not_heard_however_busy_the_machine_is(
    monkeypatch: pytest.MonkeyPatch,
):
    really, rung = signal.setitimer, 0

    def late(which: int, *seconds: float) -> tuple[float, float]:
        nonlocal rung
        if seconds == (0,):
            signal.raise_signal(signal.SIGALRM)
            rung += 1
        return really(which, *seconds)

    monkeypatch.setattr(signal, "setitimer", late)

    assert Alarm().during(60, lambda: 7) == 7
    with pytest.raises(DeadlinePassed):
        Alarm().during(0.01, lambda: busy(60))
    assert 2 == rung
