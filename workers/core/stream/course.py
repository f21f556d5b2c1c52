"""One token's book along its line: every state the stream told, rebuilt, and what proves each.

Promises  a state is a whole book and the changes after it, in the venue's order, from inside of
          covers alone; where no connection covered, the line begins anew with a whole book
Never     judges: a state whose hash fails is told with that verdict
"""

from collections.abc import Iterable, Iterator

import msgspec

from workers.core.reading.evidence import Applied
from workers.core.stream.covers import TokenCovers
from workers.core.stream.follow import Item, Line, Step
from workers.core.stream.frames import Change, FrameRow
from workers.core.stream.rebuilt import NoBook, NoChange, Rebuilt
from workers.core.stream.shown import Shown, items_of
from workers.core.stream.tails import Tails
from workers.core.stream.witness import Seen, Witness

PROVEN = frozenset({"verified", "explained"})
UNPROVEN = "unproven"


class Place(msgspec.Struct, frozen=True):
    """Where a row stands: the file, the line of its uncompressed stream from 0."""

    path: str
    row: int


class _Placed(msgspec.Struct, frozen=True):
    """What an item of the line is of."""

    shown: Shown
    place: Place


class Stand(msgspec.Struct, frozen=True):
    """A state of the book: what it was rebuilt from, and the step that led to it.

    `item` is the step's; `changes` are () where a whole book is the state. A late one is no state:
    its changes were real, and the book of the line was a later one already.
    """

    item: Item
    row: FrameRow
    place: Place
    event: bytes
    changes: tuple[Change, ...]
    base: Place
    applied: tuple[Applied, ...]
    begins: bool
    is_late: bool = False


class Course:
    """The books of one token; rows in, states out, in the order of the line."""

    def __init__(self, market: str, token_id: str, covers: TokenCovers, tails: Tails) -> None:
        self.stand: Stand | None = None
        self.heard_wall_ns = self.proven_wall_ns = 0
        self._states: dict[int, set[str]] = {}
        self._market, self._token_id, self._tails = market, token_id, tails
        self._line = Line(covers.lines())
        self._rebuilt: Rebuilt | None = None
        self._witness = Witness(tails)
        self._verdict = UNPROVEN
        self._base_ms, self._base_hash, self._begun_ms = 0, "", -1

    def took(self, row: FrameRow, place: Place) -> Iterator[Stand]:
        """The states that one more row brings; rows come in the order of their files.

        Between two states the book is that of the first of them. A seed whose hash failed when it
        was written is no book: its connection had just lost a change.
        """
        if row.hash_verdict == "failed":
            return
        for token_id, item in items_of(row):
            if token_id != self._token_id or not isinstance(item.of, Shown):
                continue
            self._learn(item.of)
            if item.is_whole or item.of.changes:
                placed = msgspec.structs.replace(item, of=_Placed(item.of, place))
                yield from self._stepped(self._line.took(placed))
            if row.origin != "snapshot":
                self.heard_wall_ns = max(self.heard_wall_ns, row.recv_wall_ns)

    def waited(self, at_wall_ns: int) -> Iterator[Stand]:
        """The states that time alone brings."""
        yield from self._stepped(self._line.waited(at_wall_ns))

    def stands(self, at_wall_ns: int) -> bool:
        """False where `stand` is of a cover before the one that holds the moment."""
        return self.stand is not None and self._line.stands(at_wall_ns)

    @property
    def is_behind(self) -> bool:
        """True when a connection has shown more than the line has: `finish` brings it."""
        return self._line.is_behind

    def finish(self) -> Iterator[Stand]:
        """The last states."""
        yield from self._stepped(self._line.finish())

    def _learn(self, shown: Shown) -> None:
        """What is hashed behind the levels is told here and there, and of both outcomes."""
        told = shown.event.told
        if shown.row.origin != "event" or shown.event.type == "book":
            self._tails.traded(told.last_trade_price or "")
            rest = shown.row.origin == "rest"
            self._tails.learn(
                msgspec.structs.replace(told, last_trade_price=None) if rest else told
            )
        elif shown.event.type == "last_trade_price":
            self._tails.traded(told.price or "")
        elif shown.event.type == "tick_size_change" and told.new_tick_size:
            self._tails.ticked(told.new_tick_size)

    def _stepped(self, steps: Iterable[Step]) -> Iterator[Stand]:
        for step in steps:
            placed = step.item.of
            if not isinstance(placed, _Placed):
                continue
            if step.is_late:
                if self.stand is not None:
                    yield self._of(step, placed, self.stand.base, ())
            elif step.item.is_whole:
                yield from self._whole(step, placed)
            else:
                yield from self._changed(step, placed)

    def _whole(self, step: Step, placed: _Placed) -> Iterator[Stand]:
        item, event = step.item, placed.shown.event
        if item.is_copy and not step.begins:
            self._proves(item, placed)
            return
        try:
            rebuilt = Rebuilt(self._market, self._token_id, event.raw)
        except NoBook:
            self._rebuilt = self.stand = None
            return
        self._rebuilt = rebuilt
        self._base_ms, self._base_hash = item.timestamp_ms, event.told.hash
        if step.begins:
            self._states.clear()
            self._begun_ms = item.timestamp_ms
        self._saw(item, event.timestamp, event.told.hash)
        yield self._stood(step, placed, placed.place, ())

    def _proves(self, item: Item, placed: _Placed) -> None:
        """A book of REST, a dump or a seed beside the line: the same state is a shorter way to it.

        Of REST the comparison that was made then is believed.
        """
        stand, row = self.stand, placed.shown.row
        if row.origin == "rest" and row.verdict == "agrees":
            self.proven_wall_ns = max(self.proven_wall_ns, row.recv_wall_ns)
        if stand is not None and item.state and item.state == self._witness.seen.hash:
            self.stand = msgspec.structs.replace(stand, base=placed.place, applied=())

    def _changed(self, step: Step, placed: _Placed) -> Iterator[Stand]:
        item, stand, rebuilt = step.item, self.stand, self._rebuilt
        if stand is None or rebuilt is None or item.timestamp_ms < self._base_ms:
            return
        changes = placed.shown.changes
        try:
            for change in changes:
                rebuilt.apply(change)
        except NoChange:
            # What cannot be read is missing from here on; the cover ends with it.
            self._rebuilt = self.stand = None
            return
        told = changes[-1].hash
        if item.timestamp_ms == self._base_ms and told != self._base_hash:
            told = ""  # the whole book may be later than the change
        self._saw(item, placed.shown.event.timestamp, told)
        yield self._stood(step, placed, stand.base, _with(stand.applied, placed.place))

    def _saw(self, item: Item, timestamp: str, told: str) -> None:
        self._witness.saw(Seen(timestamp, told, item.recv_wall_ns))
        self._verdict = UNPROVEN
        if told:
            self._states.setdefault(item.timestamp_ms, set()).add(told)

    def _stood(
        self, step: Step, placed: _Placed, base: Place, applied: tuple[Applied, ...]
    ) -> Stand:
        self.stand = self._of(step, placed, base, applied)
        return self.stand

    @staticmethod
    def _of(step: Step, placed: _Placed, base: Place, applied: tuple[Applied, ...]) -> Stand:
        shown = placed.shown
        return Stand(
            step.item,
            shown.row,
            placed.place,
            shown.event.raw if shown.row.origin == "event" else b"",
            shown.changes,
            base,
            applied,
            step.begins,
            step.is_late,
        )

    def contradicts(self, venue_ms: int, told: str) -> bool:
        """True when the stream told other states than this for that millisecond.

        Of the millisecond in which the line began it has only the last state.
        """
        states = self._states.get(venue_ms)
        return states is not None and venue_ms != self._begun_ms and told not in states

    @property
    def is_proven(self) -> bool:
        """True when a hash of this token was proven on the way: a failure then means something."""
        return self._witness.is_proven

    def verdict(self) -> str:
        """What the venue's hash says of the state: as `turns.Checked`, or "unproven"."""
        if self._rebuilt is not None and self._verdict == UNPROVEN:
            self._verdict = self._witness.check(self._rebuilt) or self._verdict
            if self._verdict in PROVEN:
                self.proven_wall_ns = max(self.proven_wall_ns, self._witness.seen.recv_wall_ns)
        return self._verdict

    def raw(self) -> bytes:
        """The book of the state, in the venue's spelling of a REST book."""
        if self._rebuilt is None:
            raise NoBook(f"{self._token_id} has no book")
        seen = self._witness.seen
        return self._rebuilt.raw(seen.timestamp, self._tails.guess, seen.hash)


def _with(applied: tuple[Applied, ...], place: Place) -> tuple[Applied, ...]:
    """One more row that was applied."""
    last = applied[-1] if applied else None
    if last is None or last.path != place.path:
        return (*applied, Applied(place.path, place.row, place.row))
    longer = Applied(last.path, min(last.first_row, place.row), max(last.last_row, place.row))
    return (*applied[:-1], longer)
