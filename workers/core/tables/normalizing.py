"""Raw rows to columns: the rows of one books segment, piece by piece, as flat arrays.

Promises  every line becomes one row or one bad row, in order; the same lines, cut into the same
          pieces, give the same columns
Source    one array for each column and one parse for each distinct level: 60,000 books a CPU-second
          parsed, hashed and checked; tests/bench/normalize.py measures the whole way to the file
"""

from collections import Counter

import msgspec

from workers.core.archive.story import ManifestMarket
from workers.core.books import checks
from workers.core.books.levels import LEVELS_MAX
from workers.core.books.states import NO_STATE, Bad, State, States
from workers.core.tables.chunks import Chunk, Envelope, Writer

_TEXT_MAX, _DETAIL_MAX = 2000, 200
#: Rows of one chunk: of each, 400 bytes are held until it is made and 1.5 kB in columns.
_CHUNK_ROWS = 2000
_BOOK = b',"book":'


class BadRow(msgspec.Struct, frozen=True):
    """A line that became no row: where, why, and its beginning."""

    segment: str
    row: int
    reason: str
    detail: str
    text: str


def bad_row(segment: str, row: int, line: bytes, error: Bad) -> BadRow:
    """A line that became no row, with its beginning."""
    text = line[:_TEXT_MAX].decode("utf-8", "backslashreplace")[:_TEXT_MAX]
    detail = error.detail.encode("utf-8", "backslashreplace").decode()[:_DETAIL_MAX]
    return BadRow(segment, row, error.reason, detail, text)


class _Row(msgspec.Struct, frozen=True, gc=False):
    """A row, the state in it, its token's state before, and where the row is written."""

    envelope: Envelope
    state: State
    before: State
    at: int


class _Track(msgspec.Struct):
    """What is known of a token: its last state, the bytes of it, and when it was received."""

    seen_ns: int
    before: State = NO_STATE
    raw: bytes = b""


class Found(msgspec.Struct):
    """What the rows of a segment told, counted."""

    rows: int = 0
    changes: int = 0
    mirrored: int = 0
    first_recv_wall_ns: int | None = None
    last_recv_wall_ns: int | None = None
    longest_silence_ns: int = 0
    verdicts: Counter[str] = msgspec.field(default_factory=Counter)
    flags: Counter[str] = msgspec.field(default_factory=Counter)
    bad: Counter[str] = msgspec.field(default_factory=Counter)


_envelope = msgspec.json.Decoder(Envelope)


class BooksReader:
    """Reads the lines of one books segment; changed in place by its one owner."""

    def __init__(self, segment: str, market: ManifestMarket, states: States | None = None) -> None:
        self.segment, self.market = segment, market
        self.found = Found()
        self._states = states or States()
        self._writer = Writer(self._states.levels)
        self._tracks: dict[str, _Track] = {}
        self._last: _Row | None = None
        self._pair: tuple[dict[str, State], bool] = ({}, False)
        self._row = 0

    @property
    def is_full(self) -> bool:
        """True when it is time for `chunk`."""
        return self._writer.rows >= _CHUNK_ROWS or len(self._states.levels) > LEVELS_MAX

    def read(self, lines: list[bytes]) -> list[BadRow]:
        """Take in the next lines (without line feeds); returns those that became no row."""
        bad: list[BadRow] = []
        for line in lines:
            try:
                self._take(line)
            except Bad as error:
                bad.append(bad_row(self.segment, self._row, line, error))
            self._row += 1
        self.found.bad.update(each.reason for each in bad)
        return bad

    def chunk(self) -> Chunk:
        """The rows since the last call as columns."""
        chunk = self._writer.chunk()
        self._count(chunk)
        if len(self._states.levels) > LEVELS_MAX:
            self._states = States()
            for track in self._tracks.values():
                track.before = NO_STATE
            self._pair = ({}, False)
        self._writer, self._last = Writer(self._states.levels), None
        return chunk

    def _take(self, line: bytes) -> None:
        envelope, raw = _opened(line)
        token, now_ns = envelope.token_id, envelope.recv_wall_ns
        track = self._tracks.get(token) or _Track(seen_ns=now_ns)
        before = track.before
        state = self._states.read(raw, before)
        if state is not before:
            self._check_owner(state, token)
        flags = state.flags
        if envelope.flags or token not in self.market.tokens or state.verdict != envelope.hash:
            flags = self._told_flags(envelope, state)
        row = _Row(envelope, state, before, self._writer.rows)
        if self._last is not None and not self._is_mirrored(row, self._last):
            flags = (*flags, "mirror_broken")
            self._writer.add_flag(self._last.at, "mirror_broken")
        self._writer.add(envelope, state, flags, self._row)
        self._last = row
        if state is not before:
            self._tracks[token] = track
            self.found.changes += raw != track.raw
            track.before, track.raw = state, raw
        silence_ns = now_ns - track.seen_ns
        self.found.longest_silence_ns = max(self.found.longest_silence_ns, silence_ns)
        track.seen_ns = now_ns

    def _check_owner(self, state: State, token: str) -> None:
        if state.token_id != token:
            raise Bad("wrong_token", f"its book is of {state.token_id[:90]}")
        if state.market != self.market.condition_id:
            raise Bad("wrong_market", f"its book is of {state.market[:90]}")

    def _told_flags(self, envelope: Envelope, state: State) -> tuple[str, ...]:
        flags = [*envelope.flags, *state.flags]
        if envelope.token_id not in self.market.tokens:
            flags.append("outcome_unknown")
        if state.verdict != envelope.hash:
            flags.append("verdict_differs")
        return tuple(flags)

    def _is_mirrored(self, row: _Row, other: _Row) -> bool:
        """False when two rows are the two sides of one answer, and no mirrors of each other."""
        is_pair = (
            other.envelope.recv_mono_ns == row.envelope.recv_mono_ns
            and other.state.venue_ms == row.state.venue_ms
            and other.envelope.token_id != row.envelope.token_id
        )
        if not is_pair:
            return True
        self.found.mirrored += 1
        known, holds = self._pair
        token, other_token = row.envelope.token_id, other.envelope.token_id
        one, two = known.get(token), known.get(other_token)
        if one is not row.state or two is not other.state:
            # What both kept of two mirrors is mirrored still.
            goes_on = holds and one is row.before and two is other.before
            befores = (row.before, other.before) if goes_on else (NO_STATE, NO_STATE)
            states = (row.state, other.state)
            holds = checks.are_mirrored(self._states.levels, states, befores)
            self._pair = ({token: row.state, other_token: other.state}, holds)
        return holds

    def _count(self, chunk: Chunk) -> None:
        found = self.found
        found.rows += chunk.rows
        for code, count in Counter(chunk.verdict).items():
            found.verdicts[chunk.verdicts[code]] += count
        for code, count in Counter(chunk.flags).items():
            found.flags.update(dict.fromkeys(chunk.flag_sets[code], count))
        if chunk.rows:
            if found.first_recv_wall_ns is None:
                found.first_recv_wall_ns = chunk.recv_wall_ns[0]
            found.last_recv_wall_ns = chunk.recv_wall_ns[-1]


def _opened(line: bytes) -> tuple[Envelope, bytes]:
    """A row's envelope, and the bytes of its book; Bad when it is no row."""
    at = line.find(_BOOK)
    try:
        if not line.isascii():
            line.decode()
        if at > 0 and line.endswith(b"}"):
            return _envelope.decode(line[:at] + b"}"), line[at + len(_BOOK) : -1]
        envelope = _envelope.decode(line)
    except msgspec.ValidationError as error:
        raise Bad("not_a_row", str(error)) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Bad("not_json", str(error)) from error
    told = envelope.book_text
    return envelope, bytes(envelope.book) if told is None else told.encode()
