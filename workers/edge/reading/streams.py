"""The stream as a source of answers: the books of a token along its line, and where it has none.

Reads     frames segments of the market asked about; ledgers of streamers
Promises  a book of the stream is one that a connection covered; an instant is answered from the
          segments that hold it, each of which can be read alone; what was offloaded is not covered
Never     writes
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from workers.core.archive.ledger import Row
from workers.core.instants import MS_PER_HOUR, NS_PER_MS
from workers.core.stream.course import Course, Place, Stand
from workers.core.stream.covers import Covered, Covers, TokenCovers
from workers.core.stream.frames import FrameRow, read_frame_row
from workers.core.stream.tails import Tails
from workers.core.tables.reprints import Line, Lost, printed, without
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import hour_of
from workers.edge.reading.leaves import Source
from workers.edge.reading.logs import Logs
from workers.edge.reading.reels import Print, Reel
from workers.edge.reading.reels import printed as printed_of
from workers.edge.reading.shelf import Piece, Shelf, started_ms
from workers.edge.reading.tables import Tables
from workers.edge.reading.vault import Held, Vault
from workers.edge.spool import state

OFFLOADED = "offloaded"
#: A connection that is never renewed may be as old; what covers from before it is not seen.
_LOOKED_BACK_MS = 25 * MS_PER_HOUR
#: Courses that go on where the last question left them.
_COURSES = 8
#: Segments that are kept from tables.
_PRINTS = 4


class Film(msgspec.Struct, frozen=True):
    """What there is of a market about a time: its segments in order, its tokens' covers."""

    reels: tuple[Reel | Print, ...]
    covers: dict[str, TokenCovers]

    def sha256(self, path: str) -> str | None:
        """Of one of its files; None of one that is being written."""
        manifests = (each.piece.manifest for each in self.reels if each.path == path)
        return next((each.sha256 for each in manifests if each is not None), None)

    def table(self, path: str, name: str) -> str:
        """The derived file that rows of one of its files are read from, or ""."""
        return next((each.table(name) for each in self.reels if each.path == path), "")

    def lines(self, token_id: str) -> TokenCovers:
        """When a token's line goes on, by the connections whose names are in the rows."""
        covers, prints = self.covers[token_id], [e for e in self.reels if isinstance(e, Print)]
        if not prints:
            return covers
        workers = dict.fromkeys(each.piece.name.worker for each in prints)
        found = printed(covers, workers)
        for worker in workers:
            own = [each.line(token_id) for each in prints if each.piece.name.worker == worker]
            found = without(found, worker, _lost(own), "")
        return found


def _lost(lines: Sequence[Line]) -> Iterator[Lost]:
    """What one streamer's segments have lost; what one loses last, until the next one's line."""
    for at, line in enumerate(lines):
        later = (each.begins_ns for each in lines[at + 1 :] if each.begins_ns is not None)
        begins_ns = next(later, None)
        for from_ns, until_ns in line.lost:
            is_open = until_ns is None and begins_ns is not None
            yield from_ns, begins_ns - 1 if is_open and begins_ns is not None else until_ns


class Playing:
    """A course on its way through the rows of a film."""

    def __init__(self, subject: Subject, token_id: str, film: Film, findings: Findings) -> None:
        self.course = Course(subject.condition_id, token_id, film.lines(token_id), Tails())
        self.at_ns = 0
        self._findings = findings
        reels = [
            (
                (received, at, nth, row, line)
                for nth, (received, row, line) in enumerate(reel.rows(token_id))
            )
            for at, reel in enumerate(film.reels)
        ]
        self._paths = [each.path for each in film.reels]
        self._rows = heapq.merge(*reels)
        self._next = next(self._rows, None)

    def states(self, until_ns: int) -> Iterator[Stand]:
        """Go on through the rows received up to a moment, inclusive."""
        while self._next is not None and self._next[0] <= until_ns:
            _, at, _, number, line = self._next
            self._next = next(self._rows, None)
            row = self._row(line, self._paths[at])
            if row is not None:
                yield from self.course.took(row, Place(self._paths[at], number))
        self.at_ns = until_ns
        yield from self.course.waited(until_ns)

    def _row(self, line: bytes | FrameRow, path: str) -> FrameRow | None:
        try:
            return read_frame_row(line) if isinstance(line, bytes) else line
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

    def __init__(
        self, shelf: Shelf, logs: Logs, vault: Vault, tables: Tables, *, source: Source
    ) -> None:
        self._shelf, self._logs, self._vault = shelf, logs, vault
        self._tables, self._source = tables, source
        self._prints: OrderedDict[str, Print] = OrderedDict()
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
        reels = self._reels(wanted, findings)
        if not any(reels):
            return None
        return self._film(subject, (wanted, reels), from_ns, until_ns, findings)

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

    def hours(self, slug: str, from_ms: int, until_ms: int) -> set[int]:
        """Hours in which rows of a market were received, as far as names tell.

        All of a span are among them.
        """
        held = self._shelf.hours_of(slug, from_ms, until_ms)
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

    def _reels(self, pieces: list[Piece], findings: Findings) -> list[Reel | Print | None]:
        """The segments, from their own lines where all are here, else from what has more."""
        reels: list[Reel | Print | None] = []
        if self._source == "raw":
            found = [self._vault_of(each) for each in pieces]
            reels = [self._reel(*each, findings) for each in zip(pieces, found, strict=True)]
            if not any(held is not None and held.is_offloaded for held in found):
                return reels
        prints: list[Reel | Print | None] = [self._print(each, findings) for each in pieces]
        return max(prints, reels, key=lambda each: len(each) - each.count(None))

    def _vault_of(self, piece: Piece) -> Held | None:
        if piece.manifest is not None:
            return self._vault.published(piece.manifest)
        return self._vault.open(piece.path) if piece.path is not None else None

    @staticmethod
    def _reel(piece: Piece, held: Held | None, findings: Findings) -> Reel | None:
        if held is None or held.is_offloaded:
            return None
        if held.damage:
            findings.damaged(held.path, held.damage)
        return Reel(piece, held) if held.rows else None

    def _print(self, piece: Piece, findings: Findings) -> Print | None:
        kept = self._prints.get(piece.stem) or printed_of(piece, self._tables, findings)
        if kept is not None:
            self._prints[piece.stem] = kept
            while len(self._prints) > _PRINTS:
                self._prints.popitem(last=False)
        elif self._source == "derived":
            findings.damaged(piece.stem, "in no table: orderbooks normalize")
        return kept

    def _film(
        self,
        subject: Subject,
        found: tuple[list[Piece], list[Reel | Print | None]],
        from_ns: int,
        until_ns: int,
        findings: Findings,
    ) -> Film:
        covers = Covers(token for token, _ in subject.tokens)
        reels = [each for each in found[1] if each is not None]
        for reel in reels:
            for seed in reel.seeds():
                covers.seeded(*seed)
        begins_ms = min([from_ns // NS_PER_MS, *(started_ms(e.piece.name) for e in reels)])
        # What ended a cover may have been noticed later.
        until_ms = until_ns // NS_PER_MS + MS_PER_HOUR
        for rows in self._logs.rows(begins_ms, until_ms, findings):
            covers.read(rows)
        window = subject.window
        end_ns = window.end_ms * NS_PER_MS if window else until_ns
        wanted_ns = {token: end_ns for token, _ in subject.tokens}
        listed = covers.listed(state.running(self._vault.data), wanted_ns)
        for worker, lost in _missing(*found):
            listed = {n: without(each, worker, [lost], OFFLOADED) for n, each in listed.items()}
        return Film(tuple(reels), listed)

    def stood(
        self, subject: Subject, token_id: str, film: Film, at_ns: int, findings: Findings
    ) -> Course:
        """A course that stands at a moment, with all that any connection had shown by then."""
        rows = tuple((each.path, each.size) for each in film.reels)
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


def _missing(
    pieces: Sequence[Piece], reels: Sequence[Reel | Print | None]
) -> Iterator[tuple[str, Lost]]:
    """What segments that are not here hold, by streamer: each until its next one begins."""
    for at, (piece, reel) in enumerate(zip(pieces, reels, strict=True)):
        if reel is None and piece.manifest is not None and piece.manifest.told.rows:
            worker = piece.name.worker
            later = (each for each in pieces[at + 1 :] if each.name.worker == worker)
            begins = (started_ms(each.name) * NS_PER_MS - 1 for each in later)
            yield worker, (started_ms(piece.name) * NS_PER_MS, next(begins, None))
