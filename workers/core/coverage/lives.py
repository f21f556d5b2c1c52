"""What the workers did, from their ledgers: lives, loaded universes, answers and skipped ticks.

Rows of one worker are read in the order they were written. A life is one run of one worker; it
is alive from its `started` row to its `stopped` row, or without one to its last ledger row.

Promises  what was asked is kept as runs of grid points by what came of it, so that a day of a
          collector is a few thousand numbers.
"""

from collections.abc import Iterable, Iterator

import msgspec

from workers.core.archive import ledger
from workers.core.archive.runs import Run, Runs
from workers.core.causes import ABSENT, OK
from workers.core.stream.rows import Frame

NS_PER_MS = 1_000_000
#: A clean stop ends with the step that is under way: a request, then a publish. The ticks that
#: fall due meanwhile are the stop's.
STOP_GRACE_MS = 15_000
FOREVER_MS = 1 << 62


class Life(msgspec.Struct):
    """One run of one worker, while its rows are read; changed in place by `Lives`."""

    worker: str
    run: str
    shard: int | None
    shards: int | None
    started_ms: int
    last_ms: int
    last_due_ms: int = 0
    stopped_ms: int | None = None
    is_running: bool = False
    is_cut_short: bool = False
    loads: list[ledger.Loaded] = []
    skips: list[ledger.Skipped] = []
    holes: list[tuple[int, int]] = []
    hole_from_ms: int | None = None
    answers: dict[tuple[str, tuple[str, ...]], Runs] = {}

    @property
    def ended_ms(self) -> int:
        """From this due time on nothing was expected of it any more."""
        if self.is_running:
            return FOREVER_MS
        if self.stopped_ms is None:
            return self.last_due_ms or self.last_ms
        return min(
            self.stopped_ms - 1000, max(self.last_due_ms + 1, self.stopped_ms - STOP_GRACE_MS)
        )

    @property
    def how_it_ended(self) -> str:
        """`stopped` by its own last row, or `crashed`."""
        return "crashed" if self.stopped_ms is None else "stopped"

    @property
    def may_have_lost_rows(self) -> bool:
        """True when a row that its ledger promises may have died with it."""
        return self.is_cut_short or (self.stopped_ms is None and not self.is_running)

    def answered(self) -> Iterator[tuple[str, tuple[str, ...], list[Run]]]:
        """What came of the requests: the cause, the tokens, and the ticks."""
        for (cause, tokens), runs in self.answers.items():
            yield cause, tokens, runs.listed()


class Lives:
    """All lives, in the order their rows were read; changed in place by its one owner."""

    def __init__(self) -> None:
        self._lives: dict[tuple[str, str], Life] = {}
        self._now: Life | None = None

    def listed(self) -> list[Life]:
        """Every collector's life, oldest first: nobody else owes ticks."""
        lives = (each for each in self._lives.values() if each.shard is not None)
        found = [each for each in lives if each.worker.startswith("collector-")]
        return sorted(found, key=lambda each: each.started_ms)

    def find(self, worker: str, run: str) -> Life | None:
        """The life of one run, or None."""
        return self._lives.get((worker, run))

    def read(
        self,
        worker: str,
        rows: Iterable[ledger.Row],
        *,
        run: str = "",
        shard: int | None = None,
        shards: int | None = None,
    ) -> None:
        """Read one ledger segment of a worker.

        Args:
            worker: whose.
            rows: in their order.
            run: of the first row, where its `started` row is not at hand; "" = unknown.
            shard: as `run`.
            shards: as `run`.
        """
        self._now = self._lives.get((worker, run)) or self._latest(worker)
        for row in rows:
            if isinstance(row, ledger.Started):
                self._now = self._begin(row.worker, row.run, row.shard, row.shards, row)
            elif self._now is None or (run and self._now.run != run):
                self._now = self._begin(worker, run, shard, shards, row)
            self._take(self._now, row)

    def cut_short(self, worker: str, run: str) -> None:
        """A segment of this run lost its end."""
        life = self._lives.get((worker, run))
        if life is not None:
            life.is_cut_short = True

    def ledger_cut_short(self, worker: str) -> None:
        """The ledger segment read last lost its end: what follows it in this life is a hole."""
        if self._now is not None and self._now.worker == worker:
            self._now.is_cut_short = True
            self._now.hole_from_ms = (self._now.last_due_ms or self._now.last_ms) + 1

    def _latest(self, worker: str) -> Life | None:
        lives = [each for each in self._lives.values() if each.worker == worker]
        return max(lives, key=lambda each: each.started_ms, default=None)

    def _begin(
        self, worker: str, run: str, shard: int | None, shards: int | None, row: ledger.Row
    ) -> Life:
        at_ms = _at_ms(row)
        life = Life(worker, run, shard, shards, started_ms=at_ms, last_ms=at_ms)
        return self._lives.setdefault((worker, run), life)

    def _take(self, life: Life, row: ledger.Row) -> None:
        life.last_ms = max(life.last_ms, _at_ms(row))
        if isinstance(row, ledger.Request):
            self._close_hole(life, row.due_ms)
            life.last_due_ms = max(life.last_due_ms, row.due_ms)
            for cause, tokens in outcomes(row):
                if (cause, tokens) not in life.answers:
                    life.answers[cause, tokens] = Runs("")
                life.answers[cause, tokens].add(row.due_ms)
        elif isinstance(row, ledger.Skipped):
            self._close_hole(life, row.from_due_ms)
            life.last_due_ms = max(life.last_due_ms, row.until_due_ms)
            life.skips.append(row)
        elif isinstance(row, ledger.Loaded):
            life.loads.append(row)
        elif isinstance(row, ledger.Stopped):
            life.stopped_ms = row.at_wall_ns // NS_PER_MS

    def _close_hole(self, life: Life, due_ms: int) -> None:
        if life.hole_from_ms is not None:
            life.holes.append((life.hole_from_ms, due_ms))
            life.hole_from_ms = None


def outcomes(row: ledger.Request) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What came of each token a request asked for, tokens of one outcome together.

    `ok` promises a row in a books segment; `absent` is a token the venue left out; a refused book
    gives its reason; a failed request gives its cause to every token.
    """
    if row.cause != OK:
        yield row.cause, tuple(row.asked)
        return
    if not row.missing and not row.refused:
        yield OK, tuple(row.asked)
        return
    asked = set(row.asked)
    refused = {
        each.token_id: each.reason
        for each in row.refused
        if each.reason != "duplicate" and each.token_id in asked
    }
    without = refused.keys() | set(row.missing)
    yield OK, tuple(token for token in row.asked if token not in without)
    if row.missing:
        yield ABSENT, tuple(row.missing)
    for token, reason in refused.items():
        yield reason, (token,)


def _at_ms(row: ledger.Row) -> int:
    at_ns = row.recv_wall_ns if isinstance(row, ledger.Request | Frame) else row.at_wall_ns
    return at_ns // NS_PER_MS
