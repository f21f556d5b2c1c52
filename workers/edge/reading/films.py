"""What there is of a market's stream about a time, and a way through its rows.

Reads     rows of segments that were opened
Promises  rows come in the order of their receipt, over all segments; a row that is none is a
          finding
Never     writes
"""

import heapq
from collections.abc import Iterator, Sequence

import msgspec

from workers.core.stream.course import Course, Place, Stand
from workers.core.stream.covers import TokenCovers
from workers.core.stream.frames import FrameRow, read_frame_row
from workers.core.stream.tails import Tails
from workers.core.tables.reprints import Line, Lost, Reprint, printed, without
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.findings import Findings
from workers.edge.reading.reels import Print, Reel


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
        self._covers, self._findings = film.covers[token_id], findings
        seeds = (seed for reel in film.reels if isinstance(reel, Print) for seed in reel.seeds())
        self._seeded = {connection for token, connection, _, _ in seeds if token == token_id}
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
            if row is not None and not self._is_stale(row):
                yield from self.course.took(row, Place(self._paths[at], number))
        self.at_ns = until_ns
        yield from self.course.waited(until_ns)

    def _is_stale(self, row: FrameRow) -> bool:
        """True of a table's seed where no connection that had one covered its moment."""
        if not isinstance(row, Reprint) or row.why != "opened":
            return False
        return self._seeded.isdisjoint(e.connection for e in self._covers.at(row.recv_wall_ns))

    def _row(self, line: bytes | FrameRow, path: str) -> FrameRow | None:
        try:
            return read_frame_row(line) if isinstance(line, bytes) else line
        except msgspec.MsgspecError as error:
            self._findings.damaged(path, f"a row: {error}")
            return None
