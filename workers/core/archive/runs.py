"""Captured grid points as arithmetic runs: how a manifest says what it holds in a few numbers."""

import msgspec


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Grid points of one token captured without a hole: both ends inclusive."""

    token_id: str
    interval_ms: int
    first_due_ms: int
    last_due_ms: int


class Runs:
    """Points as arithmetic runs, built while they arrive; changed in place by its one owner.

    Greedy and exact: a run claims only points that were added. Two points are not yet a rhythm,
    so a pair is split again when the next point shows a smaller step.
    """

    def __init__(self, token_id: str) -> None:
        self._token_id = token_id
        self._closed: list[Run] = []
        self._first = self._last = self._step = self._count = 0

    def add(self, due_ms: int) -> None:
        """Add a point; a repeated one counts once, a smaller one starts a new run."""
        distance = due_ms - self._last
        if self._count and distance == 0:
            return
        if self._count == 1 and distance > 0:
            self._last, self._step, self._count = due_ms, distance, 2
        elif self._count >= 2 and distance == self._step:
            self._last, self._count = due_ms, self._count + 1
        elif self._count == 2 and 0 < distance < self._step:
            self._closed.append(Run(self._token_id, 1, self._first, self._first))
            self._first, self._last, self._step = self._last, due_ms, distance
        else:
            self._close()
            self._first, self._last, self._step, self._count = due_ms, due_ms, 0, 1

    def _close(self) -> None:
        if self._count:
            self._closed.append(self._open_run())

    def _open_run(self) -> Run:
        return Run(self._token_id, self._step or 1, self._first, self._last)

    def listed(self) -> list[Run]:
        """All runs so far, in the order of their points."""
        return [*self._closed, self._open_run()] if self._count else list(self._closed)


def points_of(run: Run) -> range:
    """Every captured grid point of a run."""
    return range(run.first_due_ms, run.last_due_ms + 1, run.interval_ms)
