"""One token's line through the connections of a segment, and what stands beside it.

Promises  each event comes out once: with a line where a connection vouches for it, else without;
          what waits for its place is bounded
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from workers.core.stream.follow import AHEAD_MAX, Cover, Item, Line, Step
from workers.core.stream.vouching import Opening

#: Keys that are remembered, and items that wait: a little more than a line lets wait.
KNOWN_MAX, WAITING_MAX = 8_192, AHEAD_MAX + 1_024

_NOBODY: frozenset[str] = frozenset()


class Placed(msgspec.Struct, frozen=True):
    """The caller's own of an item, and its line; None = beside every line."""

    of: object
    line: int | None


class Follower:
    """Changed in place by its one owner; moments are numbers of lines."""

    def __init__(self, covers: Sequence[Cover], opening: Opening | None) -> None:
        self._follow = Line(covers)
        self._opening = opening
        self._line = 0
        self._known: dict[bytes, None] = {}
        self._waiting: dict[bytes, tuple[int, object]] = {}
        self._union, self._times = array("q"), list[int]()
        self._shown: Counter[str] = Counter()
        self._first_ms: dict[str, int] = {}
        self._last_ms: dict[str, int] = {}
        self._showed: dict[bytes, tuple[int, frozenset[str]]] = {}
        self._behind: set[str] = set()
        self._early: list[Item] = []

    def seeded(self, item: Item, of: object, number: int) -> Iterator[Placed]:
        """Take a seed of the segment's beginning: all connections stand on the furthest one.

        What one of them shows up to that state is in the segment before.
        """
        opening = self._opening
        if opening is None:
            return
        if item.state != opening.hash:
            self._behind.add(item.connection)
        same = msgspec.structs.replace(
            item,
            recv_wall_ns=max(number, opening.number),
            timestamp_ms=opening.ms,
            state=opening.hash,
            key=b"opening",
        )
        if number < opening.number:
            self._early.append(same)
        elif number == opening.number:
            yield from self._stepped(self._follow.took(same), same.key, of)
            for each in self._early:
                yield from self._stepped(self._follow.took(each), each.key, None)
        else:
            yield from self._stepped(self._follow.took(same), same.key, None)
        if number != opening.number:
            yield Placed(of, None)

    def is_past(self, connection: str, timestamp_ms: int, state: str) -> bool:
        """True when an event is of the segment before: its connection is behind the opening."""
        if connection not in self._behind or self._opening is None:
            return False
        if state == self._opening.hash or timestamp_ms > self._opening.ms:
            self._behind.discard(connection)
        return timestamp_ms <= self._opening.ms

    def took(self, item: Item, of: object, rank: int = 0) -> Iterator[Placed]:
        """Take what may stand on the line; others' that it gives a place come out with it.

        Of several connections that show the same the caller's own of the lowest rank comes out,
        of equal ones the first.
        """
        best, first = self._waiting.get(item.key, (rank + 1, None))
        of = first if best <= rank else of
        yield from self._stepped(self._follow.took(item), item.key, of)
        yield from self.beside(item, of, rank)

    def beside(self, item: Item, of: object, rank: int) -> Iterator[Placed]:
        """Let an item wait; what waits longest comes out without a line."""
        key, waiting = item.key, self._waiting
        if key in self._known:
            return
        if key not in waiting or rank < waiting[key][0]:
            waiting[key] = (rank, of)
        if len(waiting) > WAITING_MAX:
            oldest = next(iter(waiting))
            yield self._out(oldest, waiting[oldest][1], None)

    def finish(self) -> Iterator[Placed]:
        """Everything that still waits."""
        yield from self._stepped(self._follow.finish(), b"", None)
        for key, (_, of) in list(self._waiting.items()):
            yield self._out(key, of, None)
        for key in list(self._showed):
            self._settle(key)
        self._times = sorted(self._union)

    def _stepped(self, steps: Sequence[Step], key: bytes, of: object) -> Iterator[Placed]:
        for step in steps:
            item = step.item
            own = of if item.key == key else self._waiting.get(item.key, (0, None))[1]
            self._line += step.begins
            if own is not None:
                yield self._out(item.key, own, None if step.is_late else self._line)

    def _out(self, key: bytes, of: object, line: int | None) -> Placed:
        self._known[key] = None
        self._waiting.pop(key, None)
        if len(self._known) > KNOWN_MAX:
            self._known = dict.fromkeys(islice(self._known, len(self._known) // 2, None))
        return Placed(of, line)

    def showed(self, item: Item) -> None:
        """Note what a connection has shown of the token: an event, a dump or a seed."""
        connection, ms = item.connection, item.timestamp_ms
        self._first_ms.setdefault(connection, ms)
        self._last_ms[connection] = max(ms, self._last_ms.get(connection, ms))
        if item.is_copy:
            return
        _, by = self._showed.get(item.key, (ms, _NOBODY))
        if connection not in by:
            self._showed[item.key] = (ms, by | {connection})
        if len(self._showed) > KNOWN_MAX:
            self._settle(next(iter(self._showed)))

    def _settle(self, key: bytes) -> None:
        ms, by = self._showed.pop(key)
        self._union.append(ms)
        self._shown.update(each for each in by if self._first_ms[each] < ms < self._last_ms[each])

    def lost(self, connection: str) -> tuple[int, int]:
        """After `finish`: events that any connection showed in the time of one, and those it did.

        Its time is the venue's, between the first and the last that it showed.
        """
        if connection not in self._first_ms:
            return 0, 0
        first, last = self._first_ms[connection], self._last_ms[connection]
        times = self._times
        due = bisect_left(times, last) - bisect_right(times, first)
        return max(due, 0), self._shown[connection]
