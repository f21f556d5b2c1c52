"""When a token was covered by the stream, from the ledgers of streamers, and why it was not.

Rows of a worker are read in the order they were written, of some hours only: that a token was
SYNCED before them is told by a seed, a book of ours that begins a segment.

Promises  a cover ends at the last moment at which the book was known to be right; without a last
          word of its connection, at the last `heard` row of it; and no later than the venue's time
          that it had reached: a connection that lags has not brought what was said since
Never     covers what nobody wrote down: a connection without a word behind its book covers nothing
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from workers.core.archive import ledger
from workers.core.instants import NS_PER_MS
from workers.core.stream.follow import Cover
from workers.core.stream.rows import Closed, Heard, Subscription, Turned
from workers.core.stream.turns import State

#: The row is still in the memory of a worker that is alive.
NOT_WRITTEN = "not_written_yet"
#: Before its first book, after its writer's death, after its last subscription.
STARTING, DOWN, UNSUBSCRIBED = "starting", "down", "unsubscribed"
SILENT = "silent"
#: Ends after which nobody wanted the token: no gap.
_UNWANTED = frozenset({UNSUBSCRIBED, "unwanted"})
#: Ends after which the stream was still wanted.
_PLANNED = frozenset({*_UNWANTED, "rotated", "stop", NOT_WRITTEN})


class Covered(msgspec.Struct, frozen=True, order=True):
    """A token was covered by a connection between two moments, both inclusive; `ended`: why.

    `ended_wall_ns`: it was over by our clock; of several, the last to end names the gap behind it.
    """

    from_wall_ns: int
    until_wall_ns: int
    connection: str
    leg: int
    ended: str
    ended_wall_ns: int

    def holds(self, at_ns: int) -> bool:
        """True when the moment lies in it."""
        return self.from_wall_ns <= at_ns <= self.until_wall_ns


class StreamGap(msgspec.Struct, frozen=True):
    """No connection covered a subscribed token in from ≤ t < until."""

    from_wall_ns: int
    until_wall_ns: int
    cause: str


class TokenCovers(msgspec.Struct, frozen=True):
    """What one token's connections covered, in order; the span in which it was wanted.

    `before` is why nothing was covered at its beginning.
    """

    covered: list[Covered] = []
    from_wall_ns: int = 0
    until_wall_ns: int = 0
    before: str = STARTING

    def at(self, at_ns: int) -> list[Covered]:
        """The covers that hold a moment."""
        return [each for each in self.covered if each.holds(at_ns)]

    def lines(self) -> list[Cover]:
        """The same, for `core.stream.follow`."""
        return [Cover(e.from_wall_ns, e.until_wall_ns, e.connection) for e in self.covered]

    def stretches(self) -> Iterator[tuple[int, int]]:
        """When any connection covered it, both ends inclusive."""
        begin_ns = end_ns = -1
        for each in self.covered:
            if begin_ns >= 0 and each.from_wall_ns <= end_ns + 1:
                end_ns = max(end_ns, each.until_wall_ns)
                continue
            if begin_ns >= 0:
                yield begin_ns, end_ns
            begin_ns, end_ns = each.from_wall_ns, each.until_wall_ns
        if begin_ns >= 0:
            yield begin_ns, end_ns

    def gaps(self) -> Iterator[StreamGap]:
        """Where it was wanted and no connection covered it."""
        reached_ns, ended_ns, cause = self.from_wall_ns, 0, self.before
        for each in self.covered:
            if each.from_wall_ns > reached_ns + 1 and cause not in _UNWANTED:
                yield StreamGap(reached_ns, each.from_wall_ns, cause)
            reached_ns = max(reached_ns, each.until_wall_ns)
            if each.ended_wall_ns >= ended_ns:
                ended_ns, cause = each.ended_wall_ns, each.ended
        if self.until_wall_ns > reached_ns + 1 and cause not in _UNWANTED:
            yield StreamGap(reached_ns, self.until_wall_ns, cause)

    def gap_at(self, at_ns: int) -> StreamGap | None:
        """The gap that holds a moment."""
        return next((e for e in self.gaps() if e.from_wall_ns <= at_ns < e.until_wall_ns), None)


class _Begun(msgspec.Struct, frozen=True):
    """A cover that has not ended; `is_seed`: it began before, nobody read when."""

    at_ns: int
    leg: int
    is_seed: bool = False


class _End(msgspec.Struct, frozen=True):
    """Why a cover ended; nothing was heard after `heard_ns`, and it was over at `ended_ns`."""

    cause: str
    heard_ns: int
    ended_ns: int


class _Watched:
    """One token while rows are read."""

    def __init__(self) -> None:
        self.open: dict[str, _Begun] = {}
        self.covered: list[Covered] = []
        self.subscribed: dict[str, int] = {}
        self.first_ns: int | None = None
        self.last_ns = 0
        self.is_cut = False
        self.before = STARTING

    def begin(self, connection: str, begun: _Begun) -> None:
        self.open[connection] = begun
        self.want(begun.at_ns)

    def want(self, at_ns: int) -> None:
        self.first_ns = at_ns if self.first_ns is None else min(self.first_ns, at_ns)

    def end(self, connection: str, at_ns: int, end: _End) -> None:
        begun = self.open.pop(connection, None)
        if begun is None or (end.heard_ns < begun.at_ns and not begun.is_seed):
            return
        # What was said before a book came with it: so much holds, and names the gap behind it.
        # A seed is no word of the venue: where proof ended before it, it is in the gap itself.
        at_ns = at_ns if begun.is_seed else max(at_ns, begun.at_ns)
        from_ns = min(at_ns, begun.at_ns)
        self.covered.append(Covered(from_ns, at_ns, connection, begun.leg, end.cause, end.ended_ns))

    def leave(self, connection: str, at_ns: int, cause: str) -> None:
        """The connection does not carry the token any more."""
        self.subscribed.pop(connection, None)
        self.last_ns = max(self.last_ns, at_ns)
        self.is_cut = cause not in _PLANNED and not self.subscribed


class Covers:
    """The covers of some tokens; rows in, `listed` out."""

    def __init__(self, token_ids: Iterable[str]) -> None:
        self._tokens = {each: _Watched() for each in token_ids}
        self._heard: dict[str, tuple[int, int | None]] = {}
        self._closed: set[str] = set()

    def read(self, rows: Iterable[ledger.Row]) -> None:
        """Read rows of one worker's ledgers, in their order."""
        for row in rows:
            match row:
                case Turned():
                    self._turned(row)
                case Subscription():
                    self._subscription(row)
                case Heard():
                    self._heard[row.connection] = row.at_wall_ns, row.told_ms
                case Closed():
                    heard_ns = row.heard_wall_ns or row.at_wall_ns
                    # A silence is noticed long after it began; any other end at once.
                    ended_ns = heard_ns if row.cause == SILENT else row.at_wall_ns
                    self._ended(row.connection, _End(row.cause, heard_ns, ended_ns), row.told_ms)
                    self._closed.add(row.connection)

    def seeded(self, token_id: str, connection: str, leg: int, at_ns: int) -> None:
        """A segment begins with a book of this token: it was SYNCED then; before `read`."""
        token = self._tokens.get(token_id)
        if token is not None and connection not in token.open:
            token.begin(connection, _Begun(at_ns, leg, is_seed=True))
            token.subscribed[connection] = at_ns

    def _turned(self, row: Turned) -> None:
        token = self._tokens.get(row.token_id)
        if token is None:
            return
        # Its subscription may lie before the rows that are read.
        token.want(row.at_wall_ns)
        token.subscribed.setdefault(row.connection, row.at_wall_ns)
        begun = token.open.get(row.connection)
        if begun is not None and begun.at_ns > row.at_wall_ns:
            # What is read began before the seed, and the seed stands for what this turn began.
            token.open.pop(row.connection)
        if not (token.covered or token.open) and row.state != State.SYNCED:
            token.before = row.reason
        since_ns = row.since_wall_ns if begun is None else max(row.since_wall_ns, begun.at_ns)
        token.end(row.connection, row.since_wall_ns, _End(row.reason, since_ns, since_ns))
        if row.state == State.SYNCED:
            token.begin(row.connection, _Begun(row.since_wall_ns, row.leg))

    def _subscription(self, row: Subscription) -> None:
        for token_id in row.token_ids:
            token = self._tokens.get(token_id)
            if token is None:
                continue
            if row.operation == "subscribe":
                token.want(row.at_wall_ns)
                token.subscribed[row.connection] = row.at_wall_ns
            else:
                end = _End(UNSUBSCRIBED, row.at_wall_ns, row.at_wall_ns)
                token.end(row.connection, row.at_wall_ns, end)
                token.leave(row.connection, row.at_wall_ns, UNSUBSCRIBED)

    def _ended(self, connection: str, end: _End, told_ms: int | None) -> None:
        at_ns = end.heard_ns if told_ms is None else min(end.heard_ns, told_ms * NS_PER_MS)
        for token in self._tokens.values():
            if connection in token.subscribed or connection in token.open:
                token.end(connection, at_ns, end)
                token.leave(connection, at_ns, end.cause)

    def listed(
        self, running: Collection[tuple[str, str]], wanted_until_ns: Mapping[str, int]
    ) -> dict[str, TokenCovers]:
        """The covers by token.

        Args:
            running: the worker and run of everyone who is alive.
            wanted_until_ns: when a token that was lost is not wanted any more, by token.
        """
        left = {
            name for token in self._tokens.values() for name in [*token.open, *token.subscribed]
        }
        for connection in left - self._closed:
            worker, run, _ = connection.split(".")
            heard_ns, told_ms = self._heard.get(connection, (0, None))
            if (worker, run) in running:
                # Nothing has ended: what it has not told yet may be nothing.
                self._ended(connection, _End(NOT_WRITTEN, heard_ns, heard_ns), None)
            else:
                self._ended(connection, _End(DOWN, heard_ns, heard_ns), told_ms)
        return {n: _of(each, wanted_until_ns.get(n, 0)) for n, each in self._tokens.items()}


def _of(token: _Watched, wanted_until_ns: int) -> TokenCovers:
    covered = sorted(token.covered)
    last_ns = max([token.last_ns, *(each.until_wall_ns for each in covered)])
    until_ns = max(last_ns, wanted_until_ns) if token.is_cut else last_ns
    return TokenCovers(covered, token.first_ns or 0, until_ns, token.before)


def causes(gaps: Iterable[StreamGap]) -> dict[str, int]:
    """Nanoseconds of gaps by cause."""
    found: dict[str, int] = {}
    for each in gaps:
        length_ns = each.until_wall_ns - each.from_wall_ns
        found[each.cause] = found.get(each.cause, 0) + length_ns
    return found


def clipped(gaps: Iterable[StreamGap], from_ns: int, until_ns: int) -> list[StreamGap]:
    """The parts of gaps in from ≤ t < until."""
    cut = (
        StreamGap(max(e.from_wall_ns, from_ns), min(e.until_wall_ns, until_ns), e.cause)
        for e in gaps
    )
    return [each for each in cut if each.from_wall_ns < each.until_wall_ns]


def covered_ns(stretches: Collection[tuple[int, int]], from_ns: int, until_ns: int) -> int:
    """How much of from ≤ t < until some stretches take."""
    parts = (min(end, until_ns) - max(begin, from_ns) for begin, end in stretches)
    return sum(each for each in parts if each > 0)
