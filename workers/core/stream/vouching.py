"""What each connection of a frames segment was worth: its books rebuilt, every hash checked.

The same table of states as the streamer's (`core.stream.sync`), but each change is checked, where
the streamer checks the newest of a second.

Promises  a change that `stands` was applied to a book that is known to be right, or waits for one;
          the same lines give the same answer
Source    covers and all moments here are numbers of lines: they never go back, as clocks may
"""

import msgspec

from workers.core.stream.follow import Cover
from workers.core.stream.frames import Change, Event
from workers.core.stream.lines import BOOKS, Heard
from workers.core.stream.rebuilt import NoBook, Rebuilt
from workers.core.stream.sync import Token
from workers.core.stream.tails import Tail, Tails
from workers.core.stream.turns import State, Turns

VERDICTS = ("verified", "explained", "failed", "unproven", "absent")
_CODES = {verdict: code for code, verdict in enumerate(VERDICTS)}
_FAILED, _UNPROVEN = _CODES["failed"], _CODES["unproven"]
_STANDS = 8
_PROVEN = frozenset({"verified", "explained"})
Key = tuple[str, str]


class Leg(msgspec.Struct):
    """A connection in this segment: its last line with an event, its first and last moment."""

    leg: int
    first_wall_ns: int
    last_wall_ns: int
    last_number: int = 0
    tails: Tails = msgspec.field(default_factory=Tails)


class Opening(msgspec.Struct, frozen=True):
    """The furthest of a token's seeds at the segment's start; `number` is its line."""

    number: int
    ms: int
    hash: str


class Vouching:
    """Reads all lines of one segment once; changed in place by its one owner.

    `opened` has the state of each seed at its beginning by its line's number, `openings` the
    furthest one of each token.
    `fates` has one byte for each item of a change, and for each book, in their order; `tails`, by
    the number of a book's line, the tail with which it has the hash told.
    """

    def __init__(self, market: str) -> None:
        self.tokens: dict[Key, Token] = {}
        self.legs: dict[str, Leg] = {}
        self.openings: dict[str, Opening] = {}
        self.opened: dict[int, str] = {}
        self.tails: dict[int, Tail] = {}
        self.fates = bytearray()
        self._market = market
        self._covers: dict[str, list[Cover]] = {}
        self._since: dict[Key, int] = {}
        self._is_opening = True

    def heard(self, heard: Heard) -> None:
        """Take the next line."""
        line = heard.line
        leg = self.legs.get(line.connection)
        if leg is None:
            leg = Leg(line.leg, line.recv_wall_ns, line.recv_wall_ns)
            self.legs[line.connection] = leg
        leg.last_wall_ns = line.recv_wall_ns
        if heard.sort not in {"seed", "rest"}:
            leg.last_number, self._is_opening = heard.number, False
        if heard.sort == "change":
            self._changes(heard)
        elif heard.sort in BOOKS:
            self._book(heard)
        elif heard.sort == "trade":
            leg.tails.traded(heard.told.price or "")
        elif heard.told.event_type == "tick_size_change":
            token, key = self._token(heard, heard.told.asset_id)
            self._turned(key, token.took_tick(heard.told.new_tick_size, heard.number))

    def unreadable(self, connection: str, number: int) -> None:
        """A line of a connection could not be read: something may be missing from here on."""
        for key, token in self.tokens.items():
            if key[0] == connection and token.state is State.SYNCED:
                self._end(key, token.doubt("gap", number))

    def covers(self, token_id: str) -> list[Cover]:
        """When each connection covered a token; the end of the segment ends them all."""
        found = list(self._covers.get(token_id, ()))
        for key, since in self._since.items():
            if key[1] == token_id:
                found.append(Cover(since, max(since, self.legs[key[0]].last_number), key[0]))
        return sorted(found)

    def _token(self, heard: Heard, token_id: str) -> tuple[Token, Key]:
        key = (heard.line.connection, token_id)
        token = self.tokens.get(key)
        if token is None:
            market = self._market or heard.told.market
            token = Token(market, token_id, self.legs[key[0]].tails)
            self.tokens[key] = token
        return token, key

    def _changes(self, heard: Heard) -> None:
        by_token: dict[str, tuple[Change, ...]] = {}
        for change in heard.changes:
            by_token[change.token_id] = (*by_token.get(change.token_id, ()), change)
        fates = {
            token_id: self._of_token(heard, token_id, items) for token_id, items in by_token.items()
        }
        for change in heard.changes:
            fate, told = fates[change.token_id]
            # Of several items with hashes of their own only the last one's is checked.
            is_last = change.hash == told or fate & ~_STANDS == _FAILED
            self.fates.append(fate if is_last else fate & _STANDS | _UNPROVEN)

    def _of_token(self, heard: Heard, token_id: str, items: tuple[Change, ...]) -> tuple[int, str]:
        """The fate of a token's items in one event, and the hash that says so."""
        token, key = self._token(heard, token_id)
        was, stale, told = token.state, token.stale, items[-1].hash
        turns = token.took_changes(items, heard.timestamp, heard.ms, heard.number)
        if was is not State.SYNCED:
            self._turned(key, turns)
            return _UNPROVEN | _STANDS, told
        if token.stale > stale:
            return _UNPROVEN, told
        checked = token.verify(heard.number) if not turns else None
        turns += checked.turns if checked is not None else ()
        self._turned(key, turns)
        if token.state is not State.SYNCED:
            return _FAILED, told
        if checked is not None and checked.verdict:
            return _CODES[checked.verdict] | _STANDS, told
        return self._unchecked(token, heard.timestamp, told) | _STANDS, told

    def _unchecked(self, token: Token, timestamp: str, told: str) -> int:
        """The verdict where the token had nothing to check: a repetition, a book's own ms."""
        if token.rebuilt is None or not told:
            return _CODES["unproven" if told else "absent"]
        is_known = token.tails.is_known(token.rebuilt.prefix(timestamp), told)
        return _CODES["verified"] if is_known else _UNPROVEN

    def _book(self, heard: Heard) -> None:
        token, key = self._token(heard, heard.told.asset_id)
        before, number = token.rebuilt, heard.number
        is_ours = heard.sort in {"seed", "rest"}
        verdict = self._by_itself(heard, token.tails) if is_ours else ""
        turns: Turns = ()
        if not is_ours:
            turns = token.took_book(_event_of(heard), number)
        elif heard.sort == "rest":
            # What was older for the streamer it did not stand on, and here nothing else would say.
            if heard.why != "older":
                turns = token.rest(heard.raw, number, number).turns
        elif token.state is not State.SYNCED and verdict != "unproven":
            # A seed that does not prove itself may be wrong from its beginning.
            token.tails.learn(heard.told)
            turns = token.rest(heard.raw, number, number).turns
        stood = token.rebuilt is not before
        self._turned(key, turns)
        if stood and key in self._since:
            checked = token.verify(number)
            self._turned(key, checked.turns)
            verdict = verdict or checked.verdict
            if not is_ours and verdict in _PROVEN:
                self.tails[number] = token.tails.guess
        verdict = verdict or self._by_itself(heard, token.tails)
        self.fates.append(_CODES[verdict] | (_STANDS if stood else 0))
        if stood and heard.sort == "seed" and self._is_opening:
            self._opens(heard)

    def _by_itself(self, heard: Heard, tails: Tails) -> str:
        """What the hash of a book says of it with the tail it tells, and else the one known."""
        told = heard.told
        own = Tails(tails.guess)
        own.learn(told)
        if not told.hash:
            return "absent"
        try:
            prefix = Rebuilt(told.market, told.asset_id, heard.raw).prefix(heard.timestamp)
        except NoBook:
            return "failed"
        if own.is_known(prefix, told.hash):
            self.tails[heard.number] = own.guess
            return "verified"
        return "failed" if heard.sort == "rest" else "unproven"

    def _opens(self, heard: Heard) -> None:
        told, state = heard.told, heard.told.hash
        if not state:
            # It was not told beside a book of the same moment; it is the seed's own all the same.
            own = Tails()
            own.learn(told)
            rebuilt = Rebuilt(told.market, told.asset_id, heard.raw)
            state = rebuilt.digest(heard.timestamp, own.guess)
        self.opened[heard.number] = state
        known = self.openings.get(told.asset_id)
        if known is None or known.ms < heard.ms:
            self.openings[told.asset_id] = Opening(heard.number, heard.ms, state)

    def _turned(self, key: Key, turns: Turns) -> None:
        for turn in turns:
            if turn.state is State.SYNCED:
                self._since[key] = turn.since_wall_ns
            else:
                self._end(key, (turn,))

    def _end(self, key: Key, turns: Turns) -> None:
        since = self._since.pop(key, None)
        if since is not None and turns:
            until = max(since, turns[-1].since_wall_ns)
            self._covers.setdefault(key[1], []).append(Cover(since, until, key[0]))


def fate_of(code: int) -> tuple[str, bool]:
    """The verdict, and whether it stands."""
    return VERDICTS[code & ~_STANDS], bool(code & _STANDS)


def _event_of(heard: Heard) -> Event:
    told = heard.told
    return Event(
        *(heard.raw, heard.line.position, "book", told.market, told.asset_id),
        *(heard.timestamp, heard.ms, (), told),
    )
