"""Scenes out of the raw segments: every row, in the bytes of the venue.

Reads     what `edge.reading.archive` reads
Promises  memory holds the segments of one hour of the markets that are replayed
Never     writes
"""

from collections.abc import Iterator

from workers.core.instants import MS_PER_HOUR, NS_PER_MS
from workers.core.replay import Scene, merged, scene_of
from workers.edge.reading.archive import Reader
from workers.edge.reading.catalogue import Subject
from workers.edge.replaying.cast import Cast

_HOUR_NS = MS_PER_HOUR * NS_PER_MS


def scenes(reader: Reader, cast: Cast) -> Iterator[Scene]:
    """Every scene of a replay, by time; a gap that crosses an hour is told once for each."""
    for from_ns, until_ns in hours(cast):
        yield from merged(_scenes(reader, each, from_ns, until_ns) for each in cast.subjects)


def _scenes(reader: Reader, subject: Subject, from_ns: int, until_ns: int) -> Iterator[Scene]:
    return map(scene_of, reader.books(subject.slug, from_ns, until_ns))


def hours(cast: Cast) -> Iterator[tuple[int, int]]:
    """The time of a replay, cut at the UTC hours."""
    at_ns = cast.from_ns
    while at_ns < cast.until_ns:
        end_ns = min(cast.until_ns, (at_ns // _HOUR_NS + 1) * _HOUR_NS)
        yield at_ns, end_ns
        at_ns = end_ns
