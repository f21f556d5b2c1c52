"""The stream as a source of answers: the books of a token along its line, and where it has none.

Reads     frames segments of the market asked about; ledgers of streamers
Promises  a book of the stream is one that a connection covered; an instant is answered from the
          segments that hold it, each of which can be read alone; what was offloaded is not covered;
          ledgers are read first: what they speak of is in its segment by then; who is alive before
          that or after all has not died
Never     writes
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from workers.core.archive.ledger import Row
from workers.core.instants import MS_PER_HOUR, NS_PER_MS
from workers.core.stream.course import Course
from workers.core.stream.covers import NOT_WRITTEN, Covered, Covers, TokenCovers
from workers.core.tables.reprints import Lost, without
from workers.core.tables.stream import CHANGES
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.films import Film, Playing
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import hour_of
from workers.edge.reading.leaves import Source
from workers.edge.reading.logs import Logs
from workers.edge.reading.reels import Print, Reel
from workers.edge.reading.reels import printed as printed_of
from workers.edge.reading.shelf import Piece, Shelf, started_ms
from workers.edge.reading.tables import IN_NO_TABLE, Tables
from workers.edge.reading.vault import Held, Vault
from workers.edge.spool import state

#: Why a segment is not read; UNREAD: it is damaged, or in no table, and the findings say so.
OFFLOADED, PRUNED, UNREAD = "offloaded", "pruned", "unread"
#: A connection that is never renewed may be as old; what covers from before it is not seen.
_LOOKED_BACK_MS = 25 * MS_PER_HOUR
#: Courses that go on where the last question left them.
_COURSES = 8
#: Segments that are kept from tables.
_PRINTS = 4


class Wanted(msgspec.Struct, frozen=True):
    """A market whose covers are asked for; `until_ms`: its recording was over."""

    slug: str
    condition_id: str
    tokens: tuple[str, ...]
    until_ms: int


class Told(msgspec.Struct, frozen=True):
    """What streamers said, by worker, and the (worker, run) of who was alive before."""

    rows: list[list[Row]]
    alive: frozenset[tuple[str, str]]


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
        listed = self._wanted(subject, from_ns, until_ns, findings)
        if not listed:
            return None
        begins_ms = min(from_ns // NS_PER_MS, *(started_ms(each.name) for each in listed))
        # What ended a cover may have been noticed later.
        told = self._told(begins_ms, until_ns // NS_PER_MS + MS_PER_HOUR, findings)
        found = self._opened(subject, from_ns, until_ns, findings)
        return self._film(subject, found, told, until_ns, findings) if any(found[1]) else None

    def _wanted(
        self, subject: Subject, from_ns: int, until_ns: int, findings: Findings
    ) -> list[Piece]:
        """The segments begun in a span, and of each streamer the last one before it."""
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
        return [piece for pieces in before.values() for piece in pieces] + inside

    def _opened(
        self, subject: Subject, from_ns: int, until_ns: int, findings: Findings
    ) -> tuple[list[Piece], list[Reel | Print | None]]:
        """The segments of a span, and what can be read of each."""
        pieces = self._wanted(subject, from_ns, until_ns, findings)
        return pieces, self._reels(pieces, findings)

    def ledgers(self, from_ms: int, until_ms: int, findings: Findings) -> Told:
        """What streamers said that bears on from_ms ≤ t < until_ms; no rows: none ran."""
        begin_ms = max(0, from_ms - _LOOKED_BACK_MS)
        return self._told(begin_ms, until_ms + MS_PER_HOUR, findings)

    def _told(self, from_ms: int, until_ms: int, findings: Findings) -> Told:
        alive = frozenset(state.running(self._vault.data).items())
        return Told([*self._logs.rows(from_ms, until_ms, findings)], alive)

    def _listed(
        self, covers: Covers, told: Told, until_ns: dict[str, int]
    ) -> dict[str, TokenCovers]:
        for rows in told.rows:
            covers.read(rows)
        alive = told.alive | state.running(self._vault.data).items()
        return covers.listed(alive, until_ns)

    def covers(
        self, wanted: Iterable[Wanted], told: Told
    ) -> Iterator[tuple[Wanted, dict[str, TokenCovers]]]:
        """When the tokens of some markets were covered, from what `ledgers` told alone."""
        markets = [*wanted]
        covers = Covers(token for each in markets for token in each.tokens)
        until_ns = {token: e.until_ms * NS_PER_MS for e in markets for token in e.tokens}
        found = self._listed(covers, told, until_ns)
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
            found = [self._shelf.held(each) for each in pieces]
            reels = [self._reel(*each, findings) for each in zip(pieces, found, strict=True)]
            if not any(held is not None and held.is_offloaded for held in found):
                return reels
        prints: list[Reel | Print | None] = [self._print(each, findings) for each in pieces]
        return max(prints, reels, key=lambda each: len(each) - each.count(None))

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
            is_pruned = self._is_pruned(piece, findings)
            why = "its changes were pruned: raw has them" if is_pruned else IN_NO_TABLE
            findings.damaged(piece.stem, why)
        return kept

    def _is_pruned(self, piece: Piece, findings: Findings) -> bool:
        manifest = piece.manifest
        return manifest is not None and self._tables.is_pruned(manifest, findings, CHANGES)

    def _film(
        self,
        subject: Subject,
        found: tuple[list[Piece], list[Reel | Print | None]],
        told: Told,
        until_ns: int,
        findings: Findings,
    ) -> Film:
        covers = Covers(token for token, _ in subject.tokens)
        reels = [each for each in found[1] if each is not None]
        for reel in reels:
            for seed in reel.seeds():
                covers.seeded(*seed)
        window = subject.window
        end_ns = window.end_ms * NS_PER_MS if window else until_ns
        listed = self._listed(covers, told, {token: end_ns for token, _ in subject.tokens})
        for piece, lost in _missing(*found):
            cause, worker = self._why_lost(piece, findings), piece.name.worker
            listed = {n: without(each, worker, [lost], cause) for n, each in listed.items()}
        return Film(tuple(reels), listed)

    def _why_lost(self, piece: Piece, findings: Findings) -> str:
        if piece.manifest is None:
            return NOT_WRITTEN
        if self._is_pruned(piece, findings):
            return PRUNED
        return OFFLOADED if self._vault.is_offloaded(piece.manifest.path) else UNREAD

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
) -> Iterator[tuple[Piece, Lost]]:
    """What segments that were not read hold: each until the next one of its streamer begins."""
    for at, (piece, reel) in enumerate(zip(pieces, reels, strict=True)):
        if reel is None and (piece.manifest is None or piece.manifest.told.rows):
            worker = piece.name.worker
            later = (each for each in pieces[at + 1 :] if each.name.worker == worker)
            begins = (started_ms(each.name) * NS_PER_MS - 1 for each in later)
            yield piece, (started_ms(piece.name) * NS_PER_MS, next(begins, None))
