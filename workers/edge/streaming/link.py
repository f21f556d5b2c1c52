"""One connection of the market channel: what it brought, what its books are worth.

Writes    frames rows through the tape, ledger rows through the diary
Promises  every message is in the market segments or in the ledger, whole; a token's state changes
          together with its ledger row
"""

import hashlib
from collections.abc import Iterator, Mapping

from workers.core.stream.frames import (
    Event,
    connection_part,
    event_row,
    read_frame,
    row_head,
    snapshot_row,
)
from workers.core.stream.happenings import Happening
from workers.core.stream.rows import Closed, Heard, Opened, Repeated, Turned, frame_row
from workers.core.stream.tokens import Tokens
from workers.core.stream.turns import Checked, State, Turn, Turns
from workers.core.stream.watching import Patience, Reached, Watch
from workers.core.universe.markets import Market
from workers.edge.spool.diary import Diary
from workers.edge.streaming.tape import Tape

#: The venue tells these to everybody, again and again (VENUE §5.3).
GLOBAL = frozenset({"new_market", "market_resolved"})
_REMEMBERED_MAX = 4096
_FIRST_BOOK_S = 2.0


class Link:
    """A connection by its name, `<worker>.<run>.<n>`; changed in place by its one owner."""

    def __init__(
        self, name: str, leg: int, *, tape: Tape, diary: Diary, patience: Patience
    ) -> None:
        self.name, self.leg, self.group = name, leg, 0
        self.tokens = Tokens()
        self.carried: set[str] = set()
        self.watch = Watch(patience)
        self.opened_mono_ns = 0
        self.has_sent = self.is_stable = False
        self.frames = self.events = self.bytes = self.last_wall_ns = self.synced_wall_ns = 0
        self.reached = Reached()
        self.resolved: list[str] = []
        self.frozen: set[str] = set()
        self._tape, self._diary = tape, diary
        self._part = connection_part(name, leg)
        self._told_frames = 0
        self._remembered: dict[bytes, int] = {}

    @property
    def is_synced(self) -> bool:
        """True when every token's book is known and good."""
        return all(each.state is State.SYNCED for each in self.tokens.values())

    def opened(self, happening: Happening, url: str) -> None:
        """It is open."""
        self.opened_mono_ns = happening.mono_ns
        row = Opened(
            connection=self.name,
            leg=self.leg,
            at_wall_ns=happening.wall_ns,
            at_mono_ns=happening.mono_ns,
            url=url,
        )
        self._diary.write(row, happening.wall_ns)

    def carry(self, markets: Mapping[str, Market], mono_ns: int) -> None:
        """Note what it is subscribed to from now."""
        for gone in self.carried - markets.keys():
            ids = self.token_ids_of(gone)
            self.watch.unsubscribed(gone, ids)
            self.frozen.discard(gone)
            for each in ids:
                self.tokens.leave(each)
        for new in markets.keys() - self.carried:
            ids = [each.token_id for each in markets[new].tokens]
            for each in ids:
                self.tokens.watch(new, each)
            self.watch.subscribed(new, ids, mono_ns)
        self.carried = set(markets)

    def hear(self, happening: Happening) -> None:
        """Take one message apart, write it, and let it change the books."""
        frame = read_frame(happening.data)
        self.frames, self.last_wall_ns = self.frames + 1, happening.wall_ns
        self.bytes += len(happening.data)
        problem = frame.problem or ("" if frame.is_whole else "not_whole")
        if problem:
            self._keep(happening, problem, happening.data, None)
        if not frame.events:
            return
        self.events += len(frame.events)
        head = row_head(happening.wall_ns, happening.mono_ns, self._part, happening.seq)
        for event in frame.events:
            if event.problem or event.type in GLOBAL or not self._tape.carries(event.market):
                self._keep_event(happening, event)
            else:
                self._take(event, head, happening)

    def _take(self, event: Event, head: bytes, happening: Happening) -> None:
        wall_ns = happening.wall_ns
        self._tape.add(
            event.market,
            event_row(head, event),
            wall_ns=wall_ns,
            kind=event.type,
            connection=self.name,
        )
        if event.market not in self.carried:
            return
        self.watch.heard(event.market, happening.mono_ns)
        turns = self.tokens.took(event, wall_ns)
        if event.type == "book":
            self.reached.book(event.timestamp_ms)
        else:
            self.reached.event(event.timestamp_ms)
        if turns:
            self.turned(turns, happening.mono_ns)

    def turned(self, turns: Turns, mono_ns: int) -> None:
        """Write what changed, and watch over what has no book."""
        for turn in turns:
            self._note_turn(turn, mono_ns)
            row = Turned(
                connection=self.name,
                leg=self.leg,
                condition_id=turn.market,
                token_id=turn.token_id,
                state=turn.state,
                reason=turn.reason,
                since_wall_ns=turn.since_wall_ns,
                at_wall_ns=turn.at_wall_ns,
            )
            self._diary.write(row, turn.at_wall_ns)

    def _note_turn(self, turn: Turn, mono_ns: int) -> None:
        self.frozen.discard(turn.market)
        if turn.state is State.SYNCED:
            self.synced_wall_ns = max(self.synced_wall_ns, turn.since_wall_ns)
            self.watch.has_book(turn.token_id)
        elif turn.reason == "freeze":
            self.frozen.add(turn.market)
        elif turn.reason != "missing_book":
            # Changes may overtake the first book by some milliseconds.
            delay_s = _FIRST_BOOK_S if turn.reason == "first_delta" else 0.0
            self.watch.lacks(turn.token_id, mono_ns, delay_s=delay_s)

    def token_ids_of(self, market: str) -> list[str]:
        """The tokens of a market here."""
        return [each.token_id for each in self.tokens.values() if each.market == market]

    def note_lacking(self, token_id: str, wall_ns: int, mono_ns: int) -> None:
        """A token without a book is due to be asked for: its first book may be missing."""
        if self.tokens[token_id].state is State.EMPTY:
            self.doubt(token_id, "missing_book", wall_ns, mono_ns)

    def doubt(self, token_id: str, reason: str, wall_ns: int, mono_ns: int) -> None:
        """Make a token SUSPECT."""
        self.turned(self.tokens[token_id].doubt(reason, wall_ns), mono_ns)

    def verify(self, wall_ns: int, mono_ns: int) -> None:
        """Check the hash of each book that changed since the last time."""
        for token in self.tokens.values():
            turns = token.verify(wall_ns).turns
            if turns:
                self.turned(turns, mono_ns)

    def compare(
        self, token_id: str, raw: bytes, *, sent_wall_ns: int, recv_wall_ns: int, mono_ns: int
    ) -> Checked:
        """Hold a token's book against REST's; where that was lost or missed, stand on REST's."""
        token = self.tokens[token_id]
        if token.state is State.EMPTY:
            # Its subscription may be on its way: what is said before that arrives never comes here.
            return Checked("older")
        if token.state is not State.SYNCED and token.reason == "freeze":
            # REST's book would be true once, and nothing would come after it.
            return Checked("not_synced")
        checked = token.rest(raw, sent_wall_ns, recv_wall_ns)
        if checked.turns:
            self.turned(checked.turns, mono_ns)
        ahead = token.ahead
        if checked.verdict == "newer" and ahead is not None:
            self.watch.doubt(token.market, token_id, ahead.timestamp_ms, mono_ns)
        return checked

    def latest_ms(self, token_id: str) -> int:
        """The venue's time of the newest event of a token here; 0 = there was none."""
        token = self.tokens.get(token_id)
        return token.latest_ms if token is not None else 0

    def snapshots(self, market: str, wall_ns: int, mono_ns: int, why: str) -> Iterator[bytes]:
        """A row with the book of each token of a market that is SYNCED."""
        head = row_head(wall_ns, mono_ns, self._part, self.frames)
        for token in [*self.tokens.values()]:
            if token.market == market and token.state is State.SYNCED:
                checked = token.verify(wall_ns)
                if checked.turns:
                    self.turned(checked.turns, mono_ns)
                yield snapshot_row(head, why, checked.verdict, token.seed())

    def _keep_event(self, happening: Happening, event: Event) -> None:
        reason = event.problem or ("global" if event.type in GLOBAL else "foreign")
        if event.type == "market_resolved" and event.market in self.carried:
            self.resolved.append(event.market)
        self._keep(happening, reason, event.raw, event.position)

    def _keep(self, happening: Happening, reason: str, raw: bytes, position: int | None) -> None:
        """Write what no market's segment holds; what came before is only counted."""
        digest = hashlib.sha256(raw).digest()
        if digest in self._remembered:
            self._remembered[digest] += 1
            return
        if len(self._remembered) >= _REMEMBERED_MAX:
            self.write_repeats(happening.wall_ns)
            self._remembered.clear()
        self._remembered[digest] = 0
        row = frame_row(
            self.name,
            happening.seq,
            wall_ns=happening.wall_ns,
            mono_ns=happening.mono_ns,
            reason=reason,
            raw=raw,
            position=position,
        )
        self._diary.write(row, happening.wall_ns)

    def write_repeats(self, wall_ns: int) -> None:
        """Count in the ledger what came again."""
        for digest, times in self._remembered.items():
            if times:
                row = Repeated(
                    connection=self.name, at_wall_ns=wall_ns, sha256=digest.hex(), times=times
                )
                self._diary.write(row, wall_ns)
        self._remembered = dict.fromkeys(self._remembered, 0)

    def write_heard(self, wall_ns: int) -> None:
        """Tell the ledger what it has brought, if that is more than was told."""
        self.write_repeats(wall_ns)
        row = Heard(
            connection=self.name,
            at_wall_ns=wall_ns,
            frames=self.frames,
            events=self.events,
            bytes=self.bytes,
            last_recv_wall_ns=self.last_wall_ns,
            told_ms=self.reached.told_ms,
        )
        self._diary.write(row, wall_ns)

    def closed(self, happening: Happening) -> None:
        """It is gone."""
        self.write_repeats(happening.wall_ns)
        row = Closed(
            connection=self.name,
            leg=self.leg,
            at_wall_ns=happening.wall_ns,
            heard_wall_ns=happening.heard_wall_ns or None,
            cause=happening.cause,
            detail=happening.detail,
            frames=self.frames,
            events=self.events,
            bytes=self.bytes,
            told_ms=self.reached.told_ms,
        )
        self._diary.write(row, happening.wall_ns)
