"""One token on one connection: its rebuilt book, its state, and the checks on it.

Promises  a change is applied once; a book that was seen to differ from the venue's is SUSPECT from
          that message on, and `since` is the last moment at which it was proven
Never     guesses: while a token is SUSPECT, changes wait for a book at least as late as the last
          event heard when the doubt arose
Source    VENUE §4, §5.3: a change's hash is that of the whole book after it, so the newest hash of
          a token proves the book it stands on; answers of REST race with the stream
"""

from collections import Counter, deque
from itertools import islice

import msgspec

from workers.core.stream.frames import Change, Event, read_told, whole_ms
from workers.core.stream.rebuilt import NoBook, NoChange, Rebuilt
from workers.core.stream.tails import Tails
from workers.core.stream.turns import RESYNCS, Ahead, Checked, State, Turn, Turns, moved
from workers.core.stream.witness import Seen, Witness

WAITING_MAX = 1_000
RECENT_MAX = 128
_EMPTY, _SYNCED, _SUSPECT = State.EMPTY, State.SYNCED, State.SUSPECT
NO_TURNS: Turns = ()


class _Waiting(msgspec.Struct, frozen=True):
    items: tuple[Change, ...]
    timestamp: str
    ms: int
    recv_wall_ns: int


class Token:
    """A token's book, state and counters on one connection."""

    def __init__(self, market: str, token_id: str, tails: Tails | None = None) -> None:
        self.market, self.token_id = market, token_id
        self.tails = tails or Tails()
        self.state, self.reason = _EMPTY, ""
        self.resyncs: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.snapshots = self.changes = self.applied = self.invalid = 0
        self.duplicates = self.stale = 0
        self.good_wall_ns = self.last_wall_ns = self.latest_ms = 0
        self.rebuilt: Rebuilt | None = None
        self.witness = Witness(self.tails)
        self._ahead: Ahead | None = None
        self._base_ms = self._last_ms = self._need_ms = 0
        self._base_hash = ""
        self._recent: deque[str] = deque(maxlen=RECENT_MAX)
        self._of_newest = 0
        self._waiting: deque[_Waiting] = deque()

    @property
    def ahead(self) -> Ahead | None:
        """What REST told and the stream has not reached yet."""
        found = self._ahead
        if found is None or found.timestamp_ms < self._last_ms or found.hash in self._recent:
            return None
        return found

    def took_changes(
        self, items: tuple[Change, ...], timestamp: str, ms: int, recv_wall_ns: int
    ) -> Turns:
        """Take the items of one `price_change` that are this token's, in their order.

        Only the last is compared: whether an item tells the book after itself or after the whole
        event, the last one tells the book after both.
        """
        self.changes += len(items)
        self.last_wall_ns, self.latest_ms = recv_wall_ns, ms
        rebuilt = self.rebuilt
        if rebuilt is None or self.state is not _SYNCED:
            return self._wait(_Waiting(items, timestamp, ms, recv_wall_ns))
        if ms < self._base_ms:
            self.stale += len(items)
            return NO_TURNS
        newest_ms = self._last_ms
        try:
            last = self._apply(rebuilt, items, ms)
        except NoChange:
            return self._unreadable(ms, recv_wall_ns)
        if last is None:
            return NO_TURNS
        if ms < newest_ms:
            # Out of order: the newest state told must be what comes of it all the same.
            self.witness.doubts()
        elif ms == self._base_ms:
            self.witness.saw(Seen(timestamp, self._told_with_book(last), recv_wall_ns))
        elif rebuilt.agrees(last):
            self.witness.saw(Seen(timestamp, last.hash, recv_wall_ns))
        else:
            return self.doubt("gap", recv_wall_ns)
        return NO_TURNS

    def _told_with_book(self, change: Change) -> str:
        """The hash that can be checked after a change in the millisecond of the full book.

        The book may be later than the change: only where it is the book's own is it known.
        """
        return change.hash if change.hash == self._base_hash else ""

    def _apply(self, rebuilt: Rebuilt, items: tuple[Change, ...], ms: int) -> Change | None:
        """Apply what is no late repetition; the last item applied.

        A repetition of the newest changes nothing; one within the millisecond cannot be told from
        a level that was set, removed and set again.
        """
        recent, last, is_late = self._recent, None, ms < self._last_ms
        before: tuple[str, ...] = ()
        if ms > self._last_ms:
            # A hash is of its time, too: what was told of others is not looked through.
            self._last_ms, self._of_newest = ms, 0
        else:
            before = (*(recent if is_late else islice(reversed(recent), self._of_newest)),)
        for change in items:
            told = change.hash
            if told in before:
                self.duplicates += 1
                if is_late:
                    continue
            elif told:
                recent.append(told)
                self._of_newest += 1
            rebuilt.apply(change)
            self.applied += 1
            last = change
        return last

    def _wait(self, event: _Waiting) -> Turns:
        self._waiting.append(event)
        if len(self._waiting) > WAITING_MAX:
            self._need_ms = max(self._need_ms, self._waiting.popleft().ms)
        self._last_ms = max(self._last_ms, event.ms)
        return self._turn("first_delta", event.recv_wall_ns) if self.state is _EMPTY else NO_TURNS

    def _unreadable(self, ms: int, recv_wall_ns: int) -> Turns:
        """What cannot be read is missing from here on."""
        self.invalid += 1
        self._last_ms = max(self._last_ms, ms)
        return self.doubt("gap", recv_wall_ns) if self.state is _SYNCED else NO_TURNS

    def took_book(self, event: Event, recv_wall_ns: int) -> Turns:
        """Take a `book` of the stream: whatever stood before, this is the book now."""
        self.snapshots += 1
        self.last_wall_ns = recv_wall_ns
        ms = event.timestamp_ms
        if ms < (self._last_ms if self.state is _SYNCED else self._need_ms):
            self.stale += 1
            return NO_TURNS
        try:
            rebuilt = Rebuilt(self.market, self.token_id, event.raw, self.rebuilt)
        except NoBook:
            return self._unreadable(ms, recv_wall_ns)
        # The book hides what was lost in front of it: check that first.
        turns = self.verify(recv_wall_ns).turns
        self.tails.learn(event.told)
        seen = Seen(event.timestamp, event.told.hash, recv_wall_ns)
        return turns + self._stand_on(rebuilt, ms, seen, "book")

    def _stand_on(self, rebuilt: Rebuilt, ms: int, seen: Seen, reason: str) -> Turns:
        """Begin anew from a full book, with the changes on top that waited and are later."""
        waiting, self._waiting = self._waiting, deque()
        self.rebuilt, self._base_ms, self._base_hash = rebuilt, ms, seen.hash
        self._last_ms = max(self._last_ms, ms)
        self.witness.saw(seen)
        if seen.hash:
            self._recent.append(seen.hash)
            self._of_newest += 1
        if not self._catch_up(rebuilt, waiting):
            self._need_ms = self._last_ms
            return NO_TURNS
        self.good_wall_ns = max(self.good_wall_ns, seen.earlier_ns)
        turns = self._turn(reason, seen.recv_wall_ns)
        if not self.witness.is_proven:
            # Until a hash has said yes none can say no, and the next change may be missing.
            self.verify(seen.recv_wall_ns)
        return turns

    def _catch_up(self, rebuilt: Rebuilt, waiting: deque[_Waiting]) -> bool:
        """True when the changes that waited lead from the book to what the last of them tells."""
        last: Change | None = None
        for each in waiting:
            if each.ms < self._base_ms:
                continue
            try:
                applied = self._apply(rebuilt, each.items, each.ms)
            except NoChange:
                self.invalid += 1
                return False
            if applied is not None:
                last = applied if each.ms > self._base_ms else None
                told = last.hash if last else self._told_with_book(applied)
                self.witness.saw(Seen(each.timestamp, told, each.recv_wall_ns))
        return last is None or rebuilt.agrees(last)

    def took_tick(self, new_tick: str | None, recv_wall_ns: int) -> Turns:
        """Take a change of the tick."""
        turns = self.doubt("tick_change", recv_wall_ns)
        self.tails.ticked(new_tick or self.tails.guess.tick_size)
        return turns

    def verify(self, at_wall_ns: int) -> Checked:
        """Check the newest hash told, once; between events, so that the event is applied whole."""
        if self.rebuilt is None or self.state is not _SYNCED:
            return Checked("")
        verdict = self.witness.check(self.rebuilt)
        if not verdict:
            return Checked("")
        self.verdicts[verdict] += 1
        if verdict == "failed":
            return Checked(verdict, self._turn("checksum", at_wall_ns))
        if verdict != "unproven":
            self.good_wall_ns = max(self.good_wall_ns, self.witness.seen.earlier_ns)
        return Checked(verdict)

    def rest(self, raw: bytes, sent_wall_ns: int, recv_wall_ns: int) -> Checked:
        """Compare with a book that REST told, or stand on it.

        REST may be some events ahead of the stream or behind it, so only other levels at the very
        state the stream stands at are a difference.
        """
        try:
            told, rebuilt = read_told(raw), Rebuilt(self.market, self.token_id, raw)
        except (msgspec.MsgspecError, NoBook):
            self.invalid += 1
            return Checked("unreadable")
        self.tails.traded(told.last_trade_price or "")
        self.tails.learn(msgspec.structs.replace(told, last_trade_price=None))
        seen = Seen(str(told.timestamp), told.hash, recv_wall_ns)
        ms = whole_ms(seen.timestamp)
        if self.state is not _SYNCED or self.rebuilt is None:
            return self._rest_anew(rebuilt, ms, seen)
        verdict = self._compared(rebuilt, ms, seen)
        if verdict == "agrees" and seen.hash == self.witness.seen.hash:
            self.good_wall_ns = max(self.good_wall_ns, sent_wall_ns)
        if verdict != "differs":
            return Checked(verdict)
        turns = self._turn("gap", recv_wall_ns)
        return Checked(verdict, turns + self._rest_anew(rebuilt, ms, seen).turns)

    def _rest_anew(self, rebuilt: Rebuilt, ms: int, seen: Seen) -> Checked:
        # Before its first change the subscription may have been on its way, and something missed.
        is_first = self.reason == "first_delta" and self._waiting
        if ms < max(self._need_ms, self._waiting[0].ms if is_first else 0):
            return Checked("older")
        return Checked("not_synced", self._stand_on(rebuilt, ms, seen, "rest"))

    def _compared(self, rebuilt: Rebuilt, ms: int, seen: Seen) -> str:
        newest = self.witness.seen.hash
        if seen.hash != newest and seen.hash in self._recent:
            return "agrees"
        if seen.hash != newest and ms < self._last_ms:
            return "older"
        if ms <= self._last_ms and self.rebuilt and self.rebuilt.levels() == rebuilt.levels():
            return "agrees"
        # States may share a millisecond: another one in it is the next, unless the stream stays.
        events, before = self.changes + self.snapshots, self.ahead
        if before is None or (before.timestamp_ms, before.hash) != (ms, seen.hash):
            before = Ahead(ms, seen.hash, seen.recv_wall_ns, -1)
        self._ahead = msgspec.structs.replace(before, events=events)
        stays = before.events == events and ms <= self._last_ms
        return "differs" if stays or seen.hash == newest else "newer"

    def doubt(self, reason: str, at_wall_ns: int) -> Turns:
        """Make the token SUSPECT for a reason of RESYNCS; what can still be proven is, first."""
        if reason == "freeze" and self.ahead is not None:
            self._last_ms = max(self._last_ms, self.ahead.timestamp_ms)
        turns = self.verify(at_wall_ns).turns if reason != "gap" else NO_TURNS
        return turns + self._turn(reason, at_wall_ns)

    def seed(self) -> bytes:
        """The rebuilt book in the venue's spelling, with the hash the venue told of it."""
        if self.rebuilt is None:
            raise NoBook(f"{self.token_id} has no book")
        seen = self.witness.seen
        return self.rebuilt.raw(seen.timestamp, self.tails.guess, seen.hash)

    def _turn(self, reason: str, at_wall_ns: int) -> Turns:
        new, old = moved(self.state, reason), self.state
        if reason in RESYNCS:
            self.resyncs[reason] += 1
        if new is _SUSPECT and old is _SYNCED:
            self._need_ms = self._last_ms
        self.state = new
        if new is old:
            return NO_TURNS
        self.reason = reason
        since = self.good_wall_ns if old is _SYNCED else at_wall_ns
        return (Turn(self.market, self.token_id, new, reason, since, at_wall_ns),)
