"""Several connections of one market made one line: every event once, in order, where it is proven.

Offline: when the rows are read, the ledger has told when each connection was worth something.

Promises  only what was received inside a cover comes out; an event that any covering connection
          showed comes out exactly once; all but late steps are in the venue's order, and a line
          breaks (`begins`) only where no connection covered
Never     keeps more than KEYS_MAX events of a token, and AHEAD_MAX of each connection

One connection is followed. What others repeat is skipped; what they show first waits until the
followed one shows it, or shows something later: then it has lost it, and what waited comes first.
What another shows after the followed one has passed it is a late step: it was real and is lost to
the one followed, but the book of the line already is a later one. When the followed one's cover
ends, another covering one takes over, with what waits of it. A full book begins a line; where a
line goes on, a dump, a seed or a book of REST adds nothing.
"""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator

import msgspec

KEYS_MAX = 4_096
AHEAD_MAX = 4_096
_ASIDE_MAX = 1_000


class Cover(msgspec.Struct, frozen=True, order=True):
    """A token was covered by a connection from one moment to another, both inclusive."""

    from_wall_ns: int
    until_wall_ns: int
    connection: str


class Item(msgspec.Struct, frozen=True):
    """One event for one token, as one connection showed it.

    `key` is the same wherever the venue told the same event, `state` wherever it told the same
    book (its hash; "" = none). `is_whole`: a full book. `is_copy`: a full book that was no event
    of the market but was made for us: a dump, a seed, a book of REST. `of` is the caller's own.
    """

    connection: str
    recv_wall_ns: int
    timestamp_ms: int
    key: bytes
    state: str = ""
    is_whole: bool = False
    is_copy: bool = False
    of: object = None


class Step(msgspec.Struct, frozen=True):
    """An item of the line; `begins`: nothing is known of what was before it."""

    item: Item
    begins: bool = False
    is_late: bool = False


class _View:
    """One connection: its covers, and what it has shown before the followed one did."""

    def __init__(self, covers: Iterable[Cover]) -> None:
        self._covers = sorted(covers)
        self._begins = [each.from_wall_ns for each in self._covers]
        self._anchor: Cover | None = None
        self._aside: deque[Item] = deque(maxlen=_ASIDE_MAX)
        self.ahead: dict[bytes, Step] = {}
        self.reached_ms = -1

    def is_level(self, timestamp_ms: int) -> bool:
        """True when it has shown as much: an older event is then out of order, not behind."""
        return self.reached_ms >= timestamp_ms

    def stands(self, at_wall_ns: int) -> bool:
        """True inside a cover whose first book has come."""
        cover = self._cover(at_wall_ns)
        return cover is not None and cover is self._anchor

    def _cover(self, at_wall_ns: int) -> Cover | None:
        at = bisect_right(self._begins, at_wall_ns) - 1
        return (
            self._covers[at] if at >= 0 and at_wall_ns <= self._covers[at].until_wall_ns else None
        )

    def steps(self, item: Item) -> Iterator[Step]:
        """What an item brings: itself, or, with the book to stand on, what waited for the book."""
        cover = self._cover(item.recv_wall_ns)
        if cover is not None and cover is self._anchor:
            yield Step(item)
        elif cover is not None and item.is_whole:
            self._anchor = cover
            yield Step(item, begins=True)
            # A book of REST is behind the stream: what came before it may be later than it.
            later = [each for each in self._aside if each.timestamp_ms >= item.timestamp_ms]
            self._aside.clear()
            yield from map(Step, later)
        elif not item.is_whole:
            self._aside.append(item)

    def keep(self, step: Step) -> None:
        """Keep what the followed one has not shown yet; too much of it is worth nothing."""
        self.ahead.setdefault(step.item.key, step)
        if len(self.ahead) > AHEAD_MAX:
            self.ahead.clear()
            self._anchor = None

    def cut(self, item: Item) -> Iterator[Step]:
        """Take out what came before an item."""
        is_there = item.key in self.ahead
        for key, step in list(self.ahead.items()):
            if key == item.key or not (is_there or step.item.timestamp_ms < item.timestamp_ms):
                return
            yield self.ahead.pop(key)

    def next(self) -> Step:
        """Take out the first that is ahead."""
        return self.ahead.pop(next(iter(self.ahead)))


class _Known(msgspec.Struct):
    """An item that came out, and who showed it."""

    item: Item
    connections: set[str]


class Line:
    """One token's line. `shown` counts, of its `events`, those that each connection showed."""

    def __init__(self, covers: Iterable[Cover]) -> None:
        by_connection: dict[str, list[Cover]] = {}
        for each in covers:
            by_connection.setdefault(each.connection, []).append(each)
        self._views = {connection: _View(own) for connection, own in by_connection.items()}
        self._followed: _View | None = None
        self._known: dict[bytes, _Known] = {}
        self._states: dict[str, None] = {}
        self._last_ms = self._floor_ms = -1
        self.events = self.late = self.unjudged = 0
        self.shown: Counter[str] = Counter()

    def took(self, item: Item) -> list[Step]:
        """The steps that one more item brings; items come in the order of their rows."""
        out: list[Step] = []
        view = self._views.get(item.connection)
        if view is None:
            return out
        if self._followed is not None and not self._followed.stands(item.recv_wall_ns):
            self._take_over(item.recv_wall_ns, out)
        for step in view.steps(item):
            self._stepped(view, step, out)
        if self._followed is None:
            self._take_over(item.recv_wall_ns, out)
        return out

    def stands(self, at_wall_ns: int) -> bool:
        """True when a connection covers the moment and has shown the book that its cover needs."""
        return any(view.stands(at_wall_ns) for view in self._views.values())

    @property
    def is_behind(self) -> bool:
        """True when another connection has shown what the followed one has not."""
        return any(view.ahead for view in self._views.values())

    def waited(self, at_wall_ns: int) -> list[Step]:
        """The steps that time alone brings: where the followed one has lapsed, another takes over.

        Args:
            at_wall_ns: the moment; every item received before it was taken.
        """
        out: list[Step] = []
        if self._followed is None or not self._followed.stands(at_wall_ns):
            self._take_over(at_wall_ns, out)
        return out

    def finish(self) -> list[Step]:
        """What connections showed that the followed one never did; the end of the line."""
        out: list[Step] = []
        self._take_over(None, out)
        while self._known:
            self._settle()
        return out

    def _stepped(self, view: _View, step: Step, out: list[Step]) -> None:
        item = step.item
        known = self._known.get(item.key)
        if known is not None:
            known.connections.add(item.connection)
        elif item.is_copy and (view is self._followed or self._is_passed(item)):
            pass
        elif self._is_passed(item) and not view.is_level(self._last_ms):
            self._late(item, out)
        elif view is self._followed:
            self._pass(item, out)
        else:
            view.keep(step)
        view.reached_ms = max(view.reached_ms, item.timestamp_ms)

    def _is_passed(self, item: Item) -> bool:
        return item.timestamp_ms < self._last_ms or item.state in self._states

    def _late(self, item: Item, out: list[Step]) -> None:
        if item.timestamp_ms <= self._floor_ms:
            self.unjudged += 1
        else:
            self.late += 1
            self._emit(Step(item, is_late=True), out)

    def _pass(self, item: Item, out: list[Step]) -> None:
        """The followed one shows an item: what others showed before it is lost to this one.

        Another may stand on a book that the line never came to: its changes are worth nothing
        without it, and what led there nobody has shown.
        """
        lost = [each for view in self._views.values() for each in view.cut(item)]
        for each in sorted(lost, key=lambda each: each.item.timestamp_ms):
            if not each.item.is_copy:
                self._bring(Step(each.item), out)
            elif each.begins and not self._is_passed(each.item):
                self._bring(each, out)
        self._emit(Step(item), out)

    def _bring(self, step: Step, out: list[Step]) -> None:
        """What the line lacks, at its place; late where the line is already beyond it."""
        if step.item.key in self._known:
            return
        if step.item.timestamp_ms < self._last_ms and not step.begins:
            self._late(step.item, out)
        else:
            self._emit(step, out)

    def _take_over(self, at_wall_ns: int | None, out: list[Step]) -> None:
        """Follow another connection, and first let out what it has shown already.

        One that goes on with the line comes before one that begins anew; where none covers, all
        that was shown under a cover comes out before the line breaks.
        """
        self._followed = None
        while (view := self._nearest()) is not None:
            if next(iter(view.ahead.values())).begins and self._follow_level(at_wall_ns):
                return
            step = view.next()
            self._bring(step, out)
            if self._follow_level(at_wall_ns):
                return
        self._follow_level(at_wall_ns)

    def _follow_level(self, at_wall_ns: int | None) -> bool:
        """Follow a connection that covers and has shown nothing beyond the line, if there is one.

        At the end (None) there is none.
        """
        if at_wall_ns is not None:
            level = (v for v in self._views.values() if not v.ahead and v.stands(at_wall_ns))
            self._followed = next(level, None)
        return self._followed is not None

    def _nearest(self) -> _View | None:
        """The connection whose next step follows the line, or else begins first."""
        found: list[tuple[bool, int, int, _View]] = []
        for view in self._views.values():
            while view.ahead:
                step = next(iter(view.ahead.values()))
                item = step.item
                if not (item.is_copy and self._is_passed(item)):
                    found.append((step.begins, item.timestamp_ms, item.recv_wall_ns, view))
                    break
                view.next()
        return min(found, key=lambda each: each[:3])[3] if found else None

    def _emit(self, step: Step, out: list[Step]) -> None:
        item = step.item
        shown = {item.connection}
        self._known[item.key] = _Known(item, shown)
        for connection, view in self._views.items():
            if view.ahead.pop(item.key, None) is not None:
                shown.add(connection)
        if not step.is_late:
            self._last_ms = max(self._last_ms, item.timestamp_ms)
        if item.state:
            self._states[item.state] = None
        self.events += not item.is_copy
        out.append(step)
        if len(self._known) > KEYS_MAX:
            self._settle()

    def _settle(self) -> None:
        """Forget the oldest key, and count who showed it."""
        known = self._known.pop(next(iter(self._known)))
        self._floor_ms = max(self._floor_ms, known.item.timestamp_ms)
        self._states.pop(known.item.state, None)
        if not known.item.is_copy:
            self.shown.update(known.connections)
