"""All scenes of a replay by time, with the silences between them.

Reads     what `edge.reading.archive` reads
Promises  every row, in the bytes of the venue; from tables the same books at the same times, in
          bytes that are made again; memory holds the segments of one hour of what is replayed
Never     writes
"""

from collections.abc import Iterator

from workers.core.instants import MS_PER_HOUR, NS_PER_MS
from workers.core.reading.evidence import STREAM, Answer, State
from workers.core.reading.replay import Kind, Scene, merged, scene_of, with_silences
from workers.edge.reading.archive import Reader
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.stream_sights import Fact
from workers.edge.replaying.cast import Cast

_HOUR_NS = MS_PER_HOUR * NS_PER_MS


def scenes_of(reader: Reader, cast: Cast) -> Iterator[Scene]:
    """The scenes of a replay; a gap that crosses an hour is told once for each."""
    known = {each.condition_id: each.known for each in cast.subjects if each.known is not None}
    return with_silences(_hourly(reader, cast), known, cast.until_ns)


def _hourly(reader: Reader, cast: Cast) -> Iterator[Scene]:
    for from_ns, until_ns in _hours(cast):
        yield from merged(_scenes(reader, each, from_ns, until_ns) for each in cast.subjects)


def _scenes(reader: Reader, subject: Subject, from_ns: int, until_ns: int) -> Iterator[Scene]:
    books = map(scene_of, reader.books(subject.slug, from_ns, until_ns))
    names = dict(subject.tokens)
    facts = reader.facts(subject.slug, from_ns, until_ns)
    events = (_event(subject, each, names) for each in facts if each.token_id in names)
    return merged((books, events))


def _event(subject: Subject, fact: Fact, names: dict[str, str]) -> Scene:
    """A trade or a new tick."""
    answer = Answer(
        slug=subject.slug,
        condition_id=subject.condition_id,
        token_id=fact.token_id,
        outcome=names[fact.token_id],
        at_ns=fact.recv_wall_ns,
        state=State.SYNCED,
        provenance=fact.provenance,
        source=STREAM,
        event=fact.raw,
    )
    return Scene(Kind.EVENT, answer)


def _hours(cast: Cast) -> Iterator[tuple[int, int]]:
    """The time of a replay, cut at the UTC hours."""
    at_ns = cast.from_ns
    while at_ns < cast.until_ns:
        end_ns = min(cast.until_ns, (at_ns // _HOUR_NS + 1) * _HOUR_NS)
        yield at_ns, end_ns
        at_ns = end_ns
