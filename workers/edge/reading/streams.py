"""The stream as a source of answers: the books of a token along its line, and where it has none.

Reads     frames segments of the market asked about; ledgers of streamers
Promises  a book of the stream is one that a connection covered; an instant is answered from the
          segments that hold it, each of which can be read alone; what was offloaded is not covered
Never     writes
"""

import heapq
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from workers.core.course import Course, Place, Stand
from workers.core.covers import Covered, Covers, TokenCovers
from workers.core.frames import FrameRow, read_frame_row
from workers.core.instants import MS_PER_HOUR, NS_PER_MS
from workers.core.ledger import Row
from workers.core.tails import Tails
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import hour_of
from workers.edge.reading.logs import Logs
from workers.edge.reading.shelf import Piece, Shelf, started_ms
from workers.edge.reading.vault import Held, Vault
from workers.edge.spool import state

_RECEIVED = re.compile(rb'\{"recv_wall_ns":(\d{1,19}),')
_SEED = b'"type":"snapshot"'
#: A connection that is never renewed may be as old; what covers from before it is not seen.
_LOOKED_BACK_MS = 25 * MS_PER_HOUR
#: Courses that go on where the last question left them.
_COURSES = 8


class Reel(msgspec.Struct, frozen=True):
    """One segment that is here: its rows, up to a damage."""

    piece: Piece
    held: Held

    @property
    def sha256(self) -> str | None:
        """Of the file; None of one that is being written."""
        return self.piece.manifest.sha256 if self.piece.manifest else None

    def lines(self, token_id: str) -> Iterator[tuple[int, int, bytes]]:
        """When it was received, its number, and the line, of each row that names a token."""
        wanted, received = token_id.encode(), 0
        for row, line in enumerate(self.held.rows.split(b"\n")):
            if wanted in line:
                found = _RECEIVED.match(line)
                received = int(found[1]) if found else received
                yield received, row, line


class Film(msgspec.Struct, frozen=True):
    """What there is of a market about a time: its segments in order, its tokens' covers."""

    reels: tuple[Reel, ...]
    covers: dict[str, TokenCovers]

    def sha256(self, path: str) -> str | None:
        """Of one of its files."""
        return next((each.sha256 for each in self.reels if each.held.path == path), None)


class Playing:
    """A course on its way through the rows of a film."""

    def __init__(self, subject: Subject, token_id: str, film: Film, findings: Findings) -> None:
        covers = film.covers[token_id]
        self.course = Course(subject.condition_id, token_id, covers, Tails())
        self.at_ns = 0
        self._findings = findings
        reels = [
            ((received, at, row, line) for received, row, line in reel.lines(token_id))
            for at, reel in enumerate(film.reels)
        ]
        self._paths = [each.held.path for each in film.reels]
        self._rows = heapq.merge(*reels)
        self._next = next(self._rows, None)

    def states(self, until_ns: int) -> Iterator[Stand]:
        """Go on through the rows received up to a moment, inclusive."""
        while self._next is not None and self._next[0] <= until_ns:
            _, at, number, line = self._next
            self._next = next(self._rows, None)
            row = self._row(line, self._paths[at])
            if row is not None:
                yield from self.course.took(row, Place(self._paths[at], number))
        self.at_ns = until_ns
        yield from self.course.waited(until_ns)

    def _row(self, line: bytes, path: str) -> FrameRow | None:
        try:
            return read_frame_row(line)
        except msgspec.MsgspecError as error:
            self._findings.damaged(path, f"a row: {error}")
            return None


class Wanted(msgspec.Struct, frozen=True):
    """A market whose covers are asked for; `until_ms`: its recording was over."""

    slug: str
    condition_id: str
    tokens: tuple[str, ...]
    until_ms: int


_Key = tuple[str, tuple[tuple[str, int], ...], tuple[Covered, ...]]


class Streams:
    """The stream of one archive."""

    def __init__(self, shelf: Shelf, logs: Logs, vault: Vault) -> None:
        self._shelf, self._logs, self._vault = shelf, logs, vault
        self._playing: OrderedDict[_Key, Playing] = OrderedDict()

    def about(self, subject: Subject, at_ns: int, findings: Findings) -> Film | None:
        """What an instant needs: of each streamer the last segment begun before it."""
        return self.within(subject, at_ns, at_ns + 1, findings)

    def within(
        self, subject: Subject, from_ns: int, until_ns: int, findings: Findings
    ) -> Film | None:
        """Everything of from ≤ t < until, and the books that stood where it begins."""
        before: dict[str, list[Piece]] = {}
        inside: list[Piece] = []
        for piece in self._pieces(
            subject, from_ns // NS_PER_MS, -(-until_ns // NS_PER_MS), findings
        ):
            begins_ns, worker = started_ms(piece.name) * NS_PER_MS, piece.name.worker
            if begins_ns > from_ns:
                inside += [piece] if begins_ns < until_ns else []
            elif from_ns - begins_ns < NS_PER_MS:
                # Names tell milliseconds: its first row may still be to come.
                before.setdefault(worker, []).append(piece)
            else:
                before[worker] = [piece]
        wanted = [piece for pieces in before.values() for piece in pieces] + inside
        reels = [reel for each in wanted if (reel := self._reel(each, findings)) is not None]
        return self._film(subject, reels, from_ns, until_ns, findings) if reels else None

    def ledgers(self, from_ms: int, until_ms: int, findings: Findings) -> list[list[Row]]:
        """What streamers said that bears on from_ms ≤ t < until_ms, by worker; empty: none ran."""
        begin_ms = max(0, from_ms - _LOOKED_BACK_MS)
        return [*self._logs.rows(begin_ms, until_ms + MS_PER_HOUR, findings)]

    def covers(
        self, wanted: Iterable[Wanted], told: Iterable[list[Row]]
    ) -> Iterator[tuple[Wanted, dict[str, TokenCovers]]]:
        """When the tokens of some markets were covered, from what `ledgers` told alone."""
        markets = [*wanted]
        covers = Covers(token for each in markets for token in each.tokens)
        for rows in told:
            covers.read(rows)
        until_ns = {token: e.until_ms * NS_PER_MS for e in markets for token in e.tokens}
        found = covers.listed(state.running(self._vault.data), until_ns)
        for each in markets:
            yield each, {token: found[token] for token in each.tokens}

    def hours(self, slug: str) -> set[int]:
        """The hours in which rows of a market were received, as far as names tell."""
        held = {hour for hour in self._shelf.hours() if self._shelf.has(slug, hour)}
        return held | {hour_of(started_ms(e.name)) for e in self._shelf.open_pieces(slug)}

    def _pieces(
        self, subject: Subject, from_ms: int, until_ms: int, findings: Findings
    ) -> list[Piece]:
        """The segments of some hours and of the one before, in order."""
        found = {each.stem: each for each in self._shelf.open_pieces(subject.slug)}
        for hour_ms in range(hour_of(from_ms) - MS_PER_HOUR, until_ms, MS_PER_HOUR):
            pieces = self._shelf.pieces(subject.slug, subject.condition_id, hour_ms, findings)
            found |= {each.stem: each for each in pieces}
        return sorted(found.values(), key=lambda each: each.order)

    def _reel(self, piece: Piece, findings: Findings) -> Reel | None:
        if piece.manifest is not None:
            held: Held | None = self._vault.published(piece.manifest)
        else:
            held = self._vault.open(piece.path) if piece.path is not None else None
        if held is None or held.is_offloaded:
            return None
        if held.damage:
            findings.damaged(held.path, held.damage)
        return Reel(piece, held) if held.rows else None

    def _film(
        self, subject: Subject, reels: list[Reel], from_ns: int, until_ns: int, findings: Findings
    ) -> Film:
        covers = Covers(token for token, _ in subject.tokens)
        for reel in reels:
            for row in _seeds(reel.held):
                covers.seeded(*row)
        begins_ms = min([from_ns // NS_PER_MS, *(started_ms(e.piece.name) for e in reels)])
        # What ended a cover may have been noticed later.
        until_ms = until_ns // NS_PER_MS + MS_PER_HOUR
        for rows in self._logs.rows(begins_ms, until_ms, findings):
            covers.read(rows)
        window = subject.window
        end_ns = window.end_ms * NS_PER_MS if window else until_ns
        wanted_ns = {token: end_ns for token, _ in subject.tokens}
        return Film(tuple(reels), covers.listed(state.running(self._vault.data), wanted_ns))

    def stood(
        self, subject: Subject, token_id: str, film: Film, at_ns: int, findings: Findings
    ) -> Course:
        """A course that stands at a moment, with all that any connection had shown by then."""
        rows = tuple((each.held.path, len(each.held.rows)) for each in film.reels)
        key = (token_id, rows, tuple(film.covers[token_id].covered))
        playing = self._playing.pop(key, None)
        if playing is None or playing.at_ns > at_ns:
            playing = Playing(subject, token_id, film, findings)
        for _ in playing.states(at_ns):
            pass
        if playing.course.is_behind:
            for _ in playing.course.finish():
                pass
            return playing.course
        self._playing[key] = playing
        while len(self._playing) > _COURSES:
            self._playing.popitem(last=False)
        return playing.course


def _seeds(held: Held) -> Iterator[tuple[str, str, int, int]]:
    """Token, connection, leg and time of the books that a segment begins with."""
    start = 0
    while (end := held.rows.find(b"\n", start)) >= 0:
        line = held.rows[start:end]
        if _SEED not in line:
            return
        row = read_frame_row(line)
        start = end + 1
        asset = msgspec.json.decode(row.raw, type=_Named).asset_id
        yield asset, row.connection, row.leg, row.recv_wall_ns


class _Named(msgspec.Struct, frozen=True):
    asset_id: str = ""
