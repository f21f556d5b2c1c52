"""The past in time order: what was seen, what was missed, and when nothing was due any more.

A scene is one of

    book      a row that was captured, with its state, cause, flags and provenance
    gap       due ticks of a token that were not captured: from the first of them on
    silence   nothing was due any more: two intervals after the last book
    event     a trade or a new tick that the stream told: it changes no book
    damage    a file that was read is not what its manifest says

Promises  scenes come in the order of their times; between two books nothing is made up; a book
          is printed in the bytes it came in
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from workers.core.books.book import json_of
from workers.core.books.bookhash import Verdict
from workers.core.coverage.plans import Known
from workers.core.instants import NS_PER_MS, utc_text
from workers.core.reading.evidence import (
    FRESH_INTERVALS,
    NOT_DUE,
    Answer,
    Applied,
    Intervals,
    Provenance,
    State,
)
from workers.core.stream.covers import StreamGap

SCHEMA = "orderbooks.replay/1"


class Kind(StrEnum):
    """What a scene tells."""

    BOOK = "book"
    GAP = "gap"
    SILENCE = "silence"
    EVENT = "event"
    DAMAGE = "damage"


class Scene(msgspec.Struct, frozen=True):
    """One moment of one token; `raw` is the book in the venue's bytes, or empty.

    Of a book that the stream told as a change, and of an event, `answer.event` is what it told.
    """

    kind: Kind
    answer: Answer
    raw: bytes = b""

    @property
    def at_ns(self) -> int:
        """When: of a book its receipt, of a gap its first missed tick."""
        return self.answer.at_ns


def scene_of(answer: Answer) -> Scene:
    """The scene that an answer of the reading library tells."""
    if answer.recv_wall_ns is not None:
        return Scene(Kind.BOOK, answer, _bytes_of(answer))
    is_gap = answer.gap is not None or answer.stream_gap is not None
    return Scene(Kind.GAP if is_gap else Kind.DAMAGE, answer)


def _bytes_of(answer: Answer) -> bytes:
    """The venue's bytes; of a table's row made again, unless it was not of the hashed shape."""
    book = answer.book
    if book is None or not (book.spelling or answer.hash_verdict != Verdict.ABSENT):
        return b""
    return json_of(book)


def merged(streams: Iterable[Iterable[Scene]]) -> Iterator[Scene]:
    """Several streams in time order as one."""
    return heapq.merge(*streams, key=lambda scene: scene.at_ns)


def with_silences(
    scenes: Iterable[Scene], known: Mapping[str, Known], until_ns: int
) -> Iterator[Scene]:
    """The same scenes, and where a token has no due ticks any more a scene that says so.

    Args:
        scenes: in time order.
        known: each market's plans, by condition id.
        until_ns: the end.
    """
    waiting: dict[str, Scene] = {}
    intervals = {condition_id: Intervals(each) for condition_id, each in known.items()}
    for scene in scenes:
        yield from _due(waiting, scene.at_ns)
        if scene.kind == Kind.EVENT:
            yield scene
            continue
        waiting.pop(scene.answer.token_id, None)
        silence = _silence(scene, intervals.get(scene.answer.condition_id))
        if silence is not None:
            waiting[scene.answer.token_id] = silence
        yield scene
    yield from _due(waiting, until_ns)


def _due(waiting: dict[str, Scene], now_ns: int) -> Iterator[Scene]:
    due = [scene for scene in waiting.values() if scene.at_ns < now_ns]
    for scene in sorted(due, key=lambda each: each.at_ns):
        del waiting[scene.answer.token_id]
        yield scene


def _silence(scene: Scene, intervals: Intervals | None) -> Scene | None:
    """What follows a book when no tick is due two intervals later."""
    answer = scene.answer
    if scene.kind != Kind.BOOK or intervals is None or answer.due_ms is None:
        return None
    interval_ms = answer.interval_ms or intervals.at(answer.due_ms)
    if interval_ms is None:
        return None
    at_ns = answer.at_ns + FRESH_INTERVALS * interval_ms * NS_PER_MS
    if intervals.at(at_ns // NS_PER_MS) is not None:
        return None
    over = Answer(
        slug=answer.slug,
        condition_id=answer.condition_id,
        token_id=answer.token_id,
        outcome=answer.outcome,
        at_ns=at_ns,
        state=State.GAP,
        cause=NOT_DUE,
    )
    return Scene(Kind.SILENCE, over)


class _Gap(msgspec.Struct, frozen=True):
    from_due_ms: int
    until_due_ms: int
    length_ms: int
    states: dict[str, int]


class _Source(msgspec.Struct, frozen=True, omit_defaults=True):
    path: str
    row: int
    sha256: str | None = None
    request: str = ""
    derived: str = ""
    connection: str = ""
    changes: tuple[Applied, ...] = ()


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: str
    at_ns: int
    at_utc: str
    slug: str
    condition_id: str
    token_id: str
    outcome: str
    state: str
    cause: str = ""
    due_ms: int | None = None
    send_wall_ns: int | None = None
    recv_wall_ns: int | None = None
    hash_verdict: str | None = None
    flags: tuple[str, ...] = ()
    source: str = "polls"
    proof: str = ""
    gap: _Gap | None = None
    stream_gap: StreamGap | None = None
    provenance: _Source | None = None
    event: msgspec.Raw | None = None


_encoder = msgspec.json.Encoder()


def line_of(scene: Scene) -> bytes:
    """A scene as one JSON line; `book` is the last member, in the venue's bytes.

    Bytes with a line feed become a JSON string, `book_text`, as in a raw row.
    """
    head = _encoder.encode(_head(scene))
    if not scene.raw:
        return head + b"\n"
    if b"\n" in scene.raw:
        text = _encoder.encode(scene.raw.decode())
        return b'%b,"book_text":%b}\n' % (head[:-1], text)
    return b'%b,"book":%b}\n' % (head[:-1], scene.raw)


def _head(scene: Scene) -> _Line:
    answer, gap = scene.answer, scene.answer.gap
    return _Line(
        kind=scene.kind.value,
        at_ns=answer.at_ns,
        at_utc=utc_text(answer.at_ns),
        slug=answer.slug,
        condition_id=answer.condition_id,
        token_id=answer.token_id,
        outcome=answer.outcome,
        state=answer.state.value,
        cause=answer.cause,
        due_ms=answer.due_ms,
        send_wall_ns=answer.send_wall_ns,
        recv_wall_ns=answer.recv_wall_ns,
        hash_verdict=answer.hash_verdict.value if answer.hash_verdict else None,
        flags=answer.flags,
        source=answer.source,
        proof=answer.proof,
        gap=_Gap(gap.from_due_ms, gap.until_due_ms, gap.length_ms, gap.counts) if gap else None,
        stream_gap=answer.stream_gap,
        provenance=_source_of(answer.provenance),
        event=_event_of(answer.event),
    )


def _source_of(source: Provenance | None) -> _Source | None:
    if source is None:
        return None
    return _Source(
        source.path,
        source.row,
        source.sha256,
        source.request,
        source.derived,
        source.connection,
        source.changes,
    )


def _event_of(event: bytes) -> msgspec.Raw | None:
    """The venue's bytes inside a line; a line feed between two members becomes a blank."""
    return msgspec.Raw(event.replace(b"\n", b" ")) if event else None
