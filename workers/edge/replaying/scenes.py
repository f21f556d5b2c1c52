"""All scenes of a replay, out of raw segments or derived tables, with the silences between them.

Reads     what `edge.replaying.raw` and `edge.replaying.tables` read
Promises  both sources give the same books at the same times; only raw gives every byte
Never     writes
"""

from collections.abc import Iterator

from workers.core.replay import Scene, with_silences
from workers.edge.reading.archive import Reader
from workers.edge.replaying import raw
from workers.edge.replaying.cast import Cast

SOURCES = ("raw", "derived")


def scenes_of(reader: Reader, cast: Cast, source: str) -> Iterator[Scene]:
    """The scenes by time.

    Args:
        reader: the archive.
        cast: who, from when, until when.
        source: "raw" or "derived".
    """
    if source == "raw":
        found = raw.scenes(reader, cast)
    else:
        # pyarrow costs 60 MB: only who reads tables pays for it.
        from workers.edge.replaying.tables import Tables  # noqa: PLC0415

        found = Tables(reader, cast).scenes()
    known = {each.condition_id: each.known for each in cast.subjects if each.known is not None}
    return with_silences(found, known, cast.until_ns)
