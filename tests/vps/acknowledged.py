"""What the venue outside has sent, against what the archive has: the loss of a power cut, exactly.

Reads     the venue's own ledger (tests.venue.truth), and every row of the archive's books
Promises  a book is known by its request, its token and the venue's hash of it: a row of another
          answer does not stand for it. An answer that did not arrive in time is no loss: the
          archive's ledger says so, by its cause
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.venue.truth import Truth
from workers.core.archive.ledger import Request, read_row
from workers.core.archive.manifests import SegmentManifest
from workers.core.causes import OK
from workers.core.settings.settings import Settings
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

BOOKS, LEDGER = frozenset({"books"}), frozenset({"ledger"})
NS_PER_S = 1_000_000_000
_SETTINGS = Settings()
#: From the end of one sync to the moment at which the next one is due.
SYNC_S = _SETTINGS.segments.sync_interval_s
#: A collector looks whether it is when it has the answer that it waits for. No setting bounds how
#: long an fdatasync takes: on the machine of a rehearsal it must fit in here as well.
LATE_S = _SETTINGS.collector.request_timeout_s
PROMISED_NS = int((SYNC_S + LATE_S) * NS_PER_S)
Row = tuple[str, str, str]


class _Book(msgspec.Struct):
    hash: str = ""


class _Line(msgspec.Struct):
    request: str
    token_id: str
    book: _Book


@dataclass(frozen=True)
class Sent:
    """A book that went out to a collector."""

    at_wall_ns: int
    row: Row


@dataclass
class Excuses:
    """Spans in which an answer may have been lost: before a cut, and while there was no cable."""

    spans: list[tuple[int, int]] = field(default_factory=list)

    def cut(self, at_wall_ns: int) -> None:
        """A power cut."""
        self.spans.append((at_wall_ns - PROMISED_NS, at_wall_ns + NS_PER_S))

    def covers(self, sent: Sent) -> bool:
        """True when its loss is what was promised."""
        return any(since <= sent.at_wall_ns <= until for since, until in self.spans)


@dataclass(frozen=True)
class Held:
    """What an archive has: its books, and the requests that its ledger says came to nothing."""

    rows: frozenset[Row]
    failed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Judged:
    """How many books were sent, came too late, were lost within the promise; which beyond it."""

    sent: int
    late: int
    excused: int
    lost: tuple[Row, ...]
    age_s: float
    """The age of the oldest missing book at the cut."""


def sent_before(state_dir: Path, until_wall_ns: int) -> list[Sent]:
    """Every book that a whole answer carried to a collector before a moment."""
    return [
        Sent(answer.sent_wall_ns, (answer.request_id, book.token_id, book.hash))
        for answer in Truth(state_dir).answers()
        if answer.delivered and answer.sent_wall_ns and answer.sent_wall_ns < until_wall_ns
        for book in answer.books
        if answer.request_id.startswith("collector-")
    ]


def held(data: DataDir) -> Held:
    """What an archive has, published or still being written."""
    books = frozenset(_row(line) for line in _lines(data, BOOKS))
    ledger = (read_row(line) for line in _lines(data, LEDGER))
    failed = (each.id for each in ledger if isinstance(each, Request) and each.cause != OK)
    return Held(books, frozenset(failed))


def _lines(data: DataDir, kinds: frozenset[str]) -> Iterator[bytes]:
    for stream in reader.open_streams(data, kinds=kinds):
        yield from stream.rows.splitlines()
    for _, manifest in reader.manifests(data, kinds=kinds):
        if isinstance(manifest, SegmentManifest):
            yield from reader.read_stream(data.root / manifest.path).data.splitlines()


def _row(line: bytes) -> Row:
    told = msgspec.json.decode(line, type=_Line)
    return told.request, told.token_id, told.book.hash


def judge(sent: Sequence[Sent], archive: Held, excuses: Excuses, cut_wall_ns: int) -> Judged:
    """What is missing, and whether it may be."""
    missing = [each for each in sent if each.row not in archive.rows]
    late = [each for each in missing if each.row[0] in archive.failed]
    gone = [each for each in missing if each.row[0] not in archive.failed]
    lost = tuple(each.row for each in gone if not excuses.covers(each))
    last = [each.at_wall_ns for each in gone if each.at_wall_ns >= cut_wall_ns - PROMISED_NS]
    age_s = (cut_wall_ns - min(last)) / NS_PER_S if last else 0.0
    return Judged(len(sent), len(late), len(gone) - len(lost), lost, age_s)
