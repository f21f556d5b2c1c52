"""Answers of the stream: what stood at a moment, every state between two, changes and trades.

Reads     what `edge.reading.streams` reads; labels
Promises  an answer is a book that a connection covered, with the hash's verdict on that state;
          what was not proven is SUSPECT, and its tail, which was guessed, is left out
Never     answers across a gap
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from workers.core.books.amounts import Inexact, micros
from workers.core.books.book import Book, BookReader
from workers.core.books.bookhash import Verdict
from workers.core.errors import Refused
from workers.core.instants import NS_PER_MS
from workers.core.reading.evidence import STREAM, Answer, Change, Provenance, State
from workers.core.stream.course import PROVEN, Course, Stand
from workers.core.stream.covers import StreamGap
from workers.core.stream.frames import FrameRow, read_frame, read_frame_row
from workers.core.tables.reprints import Reprint
from workers.core.tables.stream import CHANGES, SNAPSHOTS, TRADES
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.films import Film, Playing
from workers.edge.reading.findings import Findings
from workers.edge.reading.leaves import Leaves
from workers.edge.reading.streams import Streams

Token = tuple[str, str]
_VERDICTS = {"verified": Verdict.VERIFIED, "explained": Verdict.VERIFIED, "failed": Verdict.FAILED}
#: A connection may show a trade this many trades later than another did.
_SHOWN_MAX = 4_096


class Shot(msgspec.Struct, frozen=True):
    """What the stream has of a moment: an answer, or the gap that holds it, or neither."""

    answer: Answer | None = None
    course: Course | None = None
    gap: StreamGap | None = None


class Fact(msgspec.Struct, frozen=True):
    """An event that changes no book: a trade, a new tick; the venue's bytes."""

    recv_wall_ns: int
    type: str
    raw: bytes
    token_id: str
    provenance: Provenance


class _Asked(msgspec.Struct, frozen=True):
    """Whose states are told, from which files, and what stands against these."""

    subject: Subject
    token: Token
    film: Film
    said: list[str]


class StreamSights:
    """The answers of one archive's stream."""

    def __init__(self, streams: Streams, leaves: Leaves) -> None:
        self._streams, self._leaves = streams, leaves
        self._books = BookReader()

    def hours(self, slug: str, from_ns: int, until_ns: int) -> set[int]:
        """Hours in which rows of a market were received; all of a span are among them."""
        return self._streams.hours(slug, from_ns // NS_PER_MS, -(-until_ns // NS_PER_MS))

    def film(
        self, subject: Subject, from_ns: int, until_ns: int, findings: Findings
    ) -> Film | None:
        """What there is of a market between two moments."""
        return self._streams.within(subject, from_ns, until_ns, findings)

    def at(self, subject: Subject, token: Token, at_ns: int, findings: Findings) -> Shot:
        """What stood at a moment."""
        film = self._streams.about(subject, at_ns, findings)
        if film is None:
            return Shot()
        covers = film.covers[token[0]]
        if not covers.at(at_ns):
            return Shot(gap=covers.gap_at(at_ns))
        course = self._streams.stood(subject, token[0], film, at_ns, findings)
        if course.stand is None or not course.stands(at_ns):
            return Shot()
        asked = _Asked(subject, token, film, self._said(film, findings))
        return Shot(self._answer(asked, course.stand, course, at_ns), course)

    def states(
        self,
        subject: Subject,
        token: Token,
        film: Film,
        span_ns: tuple[int, int],
        findings: Findings,
    ) -> Iterator[tuple[Course, Answer]]:
        """Every state of a token received in from ≤ t < until, and the one that stands at from."""
        playing = Playing(subject, token[0], film, findings)
        for _ in playing.states(span_ns[0] - 1):
            pass
        asked = _Asked(subject, token, film, self._said(film, findings))
        for stand in self._stands(playing, span_ns[1] - 1):
            if not stand.is_late and stand.item.recv_wall_ns >= span_ns[0]:
                at_ns = stand.item.recv_wall_ns
                yield playing.course, self._answer(asked, stand, playing.course, at_ns)

    @staticmethod
    def _stands(playing: Playing, until_ns: int) -> Iterator[Stand]:
        yield from playing.states(until_ns)
        yield from playing.course.finish()

    def changes(
        self,
        subject: Subject,
        token: Token,
        film: Film,
        span_ns: tuple[int, int],
        findings: Findings,
    ) -> Iterator[Change]:
        """Every change of a token's line in from ≤ t < until, in the venue's order."""
        playing = Playing(subject, token[0], film, findings)
        for stand in self._stands(playing, span_ns[1] - 1):
            if span_ns[0] <= stand.item.recv_wall_ns:
                yield from _changes(token[0], stand, film)

    @staticmethod
    def facts(subject: Subject, film: Film, span_ns: tuple[int, int]) -> Iterator[Fact]:
        """Trades and new ticks received in from ≤ t < until, each once, as first received.

        They are true whether the book was known then or not.
        """
        found = []
        for reel in film.reels:
            for received, row, line in reel.facts(subject.condition_id):
                if received < span_ns[1]:
                    found.append((received, reel, row, line))
        shown: OrderedDict[bytes, None] = OrderedDict()
        for received, reel, row, line in sorted(found, key=lambda each: each[0]):
            read = read_frame_row(line) if isinstance(line, bytes) else line
            key = hashlib.sha1(read.raw, usedforsecurity=False).digest()
            if key in shown:
                continue
            shown[key] = None
            if len(shown) > _SHOWN_MAX:
                shown.popitem(last=False)
            if received < span_ns[0]:
                continue
            source = _source(film, reel.path, row, read, TRADES.name)
            for event in read_frame(read.raw).events:
                yield Fact(received, event.type, event.raw, event.token_id, source)

    def _said(self, film: Film, findings: Findings) -> list[str]:
        """What was found to be damaged, or is called invalid."""
        invalid = self._leaves.invalid(findings)
        stems = [each.piece.stem for each in film.reels]
        labels = [f"invalid: {each}: {invalid[each]}" for each in stems if each in invalid]
        return [*findings.said, *labels]

    def _answer(self, asked: _Asked, stand: Stand, course: Course, at_ns: int) -> Answer:
        verdict = course.verdict()
        book, unreadable = self._book(course, verdict)
        doubts = [f"unreadable: {unreadable}"] if unreadable else []
        if verdict not in PROVEN and (verdict == "failed" or not course.is_proven):
            doubts.append(f"hash {verdict}")
        state = State.LABELLED if asked.said else State.SUSPECT if doubts else State.SYNCED
        return Answer(
            slug=asked.subject.slug,
            condition_id=asked.subject.condition_id,
            token_id=asked.token[0],
            outcome=asked.token[1],
            at_ns=at_ns,
            state=state,
            cause="; ".join([*asked.said, *doubts]),
            book=book,
            recv_wall_ns=stand.item.recv_wall_ns,
            hash_verdict=_VERDICTS.get(verdict, Verdict.ABSENT),
            provenance=_place(asked.film, stand),
            source=STREAM,
            proof=verdict,
            heard_wall_ns=max(course.heard_wall_ns, stand.item.recv_wall_ns),
            proven_wall_ns=course.proven_wall_ns or None,
            event=stand.event,
        )

    def _book(self, course: Course, verdict: str) -> tuple[Book | None, str]:
        try:
            book = self._books.read(course.raw())
        except Refused as error:
            return None, str(error)
        if verdict in PROVEN:
            return book, ""
        guessed = dict.fromkeys(
            ("tick_micros", "min_order_size_micros", "neg_risk", "last_trade_price_micros")
        )
        return msgspec.structs.replace(book, spelling=b"", **guessed), ""


def _place(film: Film, stand: Stand) -> Provenance:
    base = _source(film, stand.base.path, stand.base.row, stand.row, SNAPSHOTS.name)
    return msgspec.structs.replace(base, changes=stand.applied)


def _source(film: Film, path: str, row: int, shown: FrameRow, table: str) -> Provenance:
    """Where a row stands; `shown` tells the connection, `table` which one it may be read from."""
    return Provenance(
        path=path,
        row=row,
        sha256=film.sha256(path),
        source=STREAM,
        derived=film.table(path, table),
        connection=shown.shown_by if isinstance(shown, Reprint) else shown.connection,
    )


def _changes(token_id: str, stand: Stand, film: Film) -> Iterator[Change]:
    place = _source(film, stand.place.path, stand.place.row, stand.row, CHANGES.name)
    for change in stand.changes:
        try:
            price, size = micros(change.price), micros(change.size)
        except Inexact:
            continue
        yield Change(
            token_id=token_id,
            venue_ms=stand.item.timestamp_ms,
            recv_wall_ns=stand.item.recv_wall_ns,
            side=change.side,
            price_micros=price,
            size_micros=size,
            hash=change.hash,
            provenance=place,
        )
