"""Which hours of the archive are over, and what of them is still to be tidied or pruned.

Reads     the names in spool/normalize, spool/open and derived/; manifests of `changes`
Never     writes
"""

from collections.abc import Iterable, Sequence

import msgspec

from workers.core.archive.segments import OPEN_SUFFIX, SegmentName, parse_name
from workers.core.instants import MS_PER_HOUR, parse_utc
from workers.core.tables.manifests import DATA_SUFFIX, TableManifest
from workers.core.tables.stream import CHANGES
from workers.core.tables.tables import TABLES
from workers.edge.derived import shelf
from workers.edge.spool import tickets
from workers.edge.spool.directory import DataDir

#: Files of `bad` are few and small, and each is of one kind of segments, which `rebuild` relies on;
#: a file of `gaps` is of a whole hour, and the next one takes its place.
UNMERGED = frozenset({"bad", "gaps"})


class Untidy(msgspec.Struct, frozen=True, order=True):
    """An hour of a table that is not one file with a ticket for the uploader."""

    hour_ms: int
    table: str


def started_hour_ms(name: SegmentName) -> int:
    """The hour in which a segment was begun."""
    text = name.started
    return parse_utc(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:00:00Z")


def is_over(data: DataDir, hour_ms: int, *, now_ms: int, grace_ms: int) -> bool:
    """True when nothing more of an hour is to come: no open segment of it, no ticket.

    A segment that crosses the hour is begun in it: names tell.
    """
    if now_ms < hour_ms + MS_PER_HOUR + grace_ms:
        return False
    return hour_ms not in _hours(_moving(data))


def _hours(names: Iterable[str]) -> set[int]:
    parsed = (parse_name(name) for name in names)
    return {started_hour_ms(each) for each in parsed if each is not None}


def is_evidence(name: SegmentName) -> bool:
    """True for what says of a collector's ticks what was due, and what became of them."""
    is_ledger = name.kind == "ledger" and name.worker.startswith("collector-")
    return is_ledger or name.kind in {"books", "universe"}


def unsettled(data: DataDir) -> set[int]:
    """The hours whose account something can still change that is open, or waits to be derived.

    Of an hour its own segments, and the ledgers behind it: they hold the answers, and the skipped
    stretches, that ended after it.
    """
    names = [name for name in map(parse_name, _moving(data)) if name and is_evidence(name)]
    placed = {(name.kind, started_hour_ms(name)) for name in names}
    behind = {hour_ms - MS_PER_HOUR for kind, hour_ms in placed if kind == "ledger"}
    return {hour_ms for _, hour_ms in placed} | behind


def _moving(data: DataDir) -> list[str]:
    opened = data.open_root.glob(f"*/*{OPEN_SUFFIX}")
    names = [path.name.removesuffix(OPEN_SUFFIX) for path in opened]
    return names + [path.stem for path in tickets.waiting(data, "normalize")]


def untidy(data: DataDir, hours_ms: set[int] | None = None) -> list[Untidy]:
    """Hours with several files of a table, or with one that has no ticket; by names alone.

    Args:
        data: the directory.
        hours_ms: only these; None = every hour there is.
    """
    queue = data.queue("upload")
    found = []
    for table in TABLES:
        for hour_ms, folder in shelf.hours(data, table):
            if hours_ms is not None and hour_ms not in hours_ms:
                continue
            names = [
                path.name.removesuffix(DATA_SUFFIX) for path in folder.glob(f"[a-z]*{DATA_SUFFIX}")
            ]
            # Of an hour whose file retention let go the manifest alone is here.
            is_one = len(names) <= 1 or table in UNMERGED
            have_tickets = all(
                any((queue / f"{name}{state}").exists() for state in tickets.STATES)
                for name in names
            )
            if not (is_one and have_tickets):
                found.append(Untidy(hour_ms, table))
    return sorted(found)


def prunable(data: DataDir, before_ms: int) -> list[int]:
    """The hours that ended by a moment and still have price changes, oldest first."""
    ended = (each for each, _ in shelf.hours(data, CHANGES.name) if each + MS_PER_HOUR <= before_ms)
    return [each for each in ended if is_whole(shelf.standing(data, CHANGES.name, each))]


def is_whole(standing: Sequence[TableManifest]) -> bool:
    """True of an hour that is one file, with rows."""
    return len(standing) == 1 and standing[0].rows > 0
