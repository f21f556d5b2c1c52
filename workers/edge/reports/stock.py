"""Which files bear on a stretch of time: derived ones in force, and what is not derived yet.

Reads     manifests of derived files and their bytes; names of raw segments; labels; publications
Promises  a file is compared with its manifest before it is read; what is not derived is named
Fails     Refused for a file that is not what its manifest says; NeedsAPerson without any file
Never     writes
"""

import hashlib
from collections.abc import Iterator

import msgspec

from workers.core.archive.segments import MANIFEST_SUFFIX, OPEN_SUFFIX, ROOTS, parse_name
from workers.core.coverage.plans import DueTicks
from workers.core.errors import NeedsAPerson, Refused
from workers.core.instants import ms_text, parse_utc
from workers.core.reading.stretches import Stretch
from workers.core.tables.manifests import TableManifest, covered
from workers.edge.derived import shelf
from workers.edge.reading.catalogue import Catalogue, Subject
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import Folders, hour_folder
from workers.edge.reading.vault import Vault
from workers.edge.spool import labels
from workers.edge.spool.directory import DataDir

REBUILD = "`orderbooks rebuild` makes derived files anew from raw"
#: Streams of publications that stay in memory.
_CACHE_BYTES = 8 << 20
_BOOKS_OF_STREAM = ("snapshots", "changes")
_OF_STREAM = (*_BOOKS_OF_STREAM, "turns")


class Market(msgspec.Struct, frozen=True):
    """A market that was due in a stretch, and its ticks."""

    subject: Subject
    ticks: DueTicks


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that figures of a stretch are made from."""

    stretch: Stretch
    hours: list[list[TableManifest]]
    of_stream: list[TableManifest]
    markets: list[Market]
    invalid: tuple[str, ...]
    not_derived: list[str]
    notes: list[str]

    @property
    def files(self) -> list[TableManifest]:
        """The `books` files of all hours; a day of the stream alone has none."""
        return [each for hour in self.hours for each in hour]


def open_from_ms(data: DataDir) -> int | None:
    """When the oldest books segment that is still being written begins; None without one."""
    found = [
        _started_ms(name.started)
        for path in data.open_root.glob(f"*/*{OPEN_SUFFIX}")
        if (name := parse_name(path.name.removesuffix(OPEN_SUFFIX))) and name.kind == "books"
    ]
    return min(found, default=None)


def _started_ms(text: str) -> int:
    date, clock = f"{text[:4]}-{text[4:6]}-{text[6:8]}", f"{text[9:11]}:{text[11:13]}"
    return parse_utc(f"{date}T{clock}:{text[13:15]}.{text[15:18]}Z")


def written(data: DataDir, stretch: Stretch, now_ms: int) -> Stretch:
    """The part of a stretch that is over and published.

    Raises:
        NeedsAPerson: there is none.
    """
    ends = [stretch.until_ms, now_ms, *([each] if (each := open_from_ms(data)) else [])]
    if min(ends) <= stretch.from_ms:
        raise NeedsAPerson(
            f"look at {stretch.texts[0]}: nothing of it is published yet",
            hint="an hour is published when it is over; `orderbooks status` shows what is recorded",
        )
    return Stretch(stretch.from_ms, min(ends))


def stocked(data: DataDir, stretch: Stretch) -> Stock:
    """Find everything of a stretch that is over.

    Raises:
        NeedsAPerson: no file was derived for it, of polls or of the stream.
        Refused: a manifest is none.
    """
    folders, findings = Folders(data.root), Findings("label")
    hours = [in_force(data, "books", hour_ms) for hour_ms in stretch.hours]
    of_stream = [
        each
        for table in _OF_STREAM
        for hour_ms in stretch.hours
        for each in in_force(data, table, hour_ms)
    ]
    raw = list(raw_names(folders, stretch, "books"))
    if not any(hours) and not any(each.table in _BOOKS_OF_STREAM for each in of_stream):
        found = [*raw, *raw_names(folders, stretch, "frames")]
        raise NeedsAPerson(f"look at {_said(stretch)}: {_why_empty(found)}", hint=_hint(found))
    has = {name for hour in hours for name in covered(hour)}
    unreadable: list[str] = []
    said = labels.all_labels(data, unreadable)
    invalid = tuple(sorted({each.artifact for each in said if each.kind == "invalid"}))
    markets = list(_markets(data, folders, stretch, findings))
    return Stock(
        stretch=stretch,
        hours=hours,
        of_stream=of_stream,
        markets=markets,
        invalid=invalid,
        not_derived=[each for each in raw if each not in has],
        notes=[*findings.said, *unreadable],
    )


def _said(stretch: Stretch) -> str:
    return f"{stretch.texts[0]} to {stretch.texts[1]}"


def _why_empty(raw: list[str]) -> str:
    if raw:
        return f"{len(raw)} segments and no derived table"
    return "the archive holds no books of it, polled or streamed"


def _hint(raw: list[str]) -> str:
    if raw:
        return "`orderbooks normalize` makes the tables; the worker `normalizer` does so always"
    return "`orderbooks coverage --by hour` shows what was recorded when"


def in_force(data: DataDir, table: str, hour_ms: int) -> list[TableManifest]:
    """The files of a table and hour that count.

    Raises:
        Refused: a manifest is none.
    """
    try:
        return shelf.standing(data, table, hour_ms)
    except msgspec.MsgspecError as error:
        raise Refused(
            f"read the manifests of {table} at {ms_text(hour_ms)}: {error}", hint=REBUILD
        ) from error


def raw_names(folders: Folders, stretch: Stretch, kind: str) -> Iterator[str]:
    """The published segments of a kind in the hours of a stretch."""
    for hour_ms in stretch.hours:
        for each in folders.names(hour_folder(ROOTS[kind], hour_ms)):
            name = parse_name(each.removesuffix(MANIFEST_SUFFIX))
            if each.endswith(MANIFEST_SUFFIX) and name is not None and name.kind == kind:
                yield each.removesuffix(MANIFEST_SUFFIX)


def _markets(
    data: DataDir, folders: Folders, stretch: Stretch, findings: Findings
) -> Iterator[Market]:
    """Every market that had a tick due, by its name."""
    catalogue = Catalogue(data, folders, Vault(data, _CACHE_BYTES))
    epoch = catalogue.epoch(stretch.from_ms, stretch.until_ms, findings)
    begin_ms = max(stretch.from_ms, epoch.plans.first_ms or 0)
    for condition_id in sorted(epoch.markets):
        subject = epoch.subject(condition_id)
        if subject is None or subject.known is None:
            continue
        ticks = DueTicks(subject.known.plans, begin_ms, stretch.until_ms)
        if ticks.size:
            yield Market(subject, ticks)


def prove(data: DataDir, manifest: TableManifest) -> None:
    """Compare a derived file with its manifest.

    Raises:
        Refused: it is missing, or its bytes are others.
    """
    try:
        with (data.root / manifest.path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise Refused(f"read {manifest.path}: {error.strerror}", hint=REBUILD) from error
    if digest.hexdigest() != manifest.sha256:
        raise Refused(
            f"read {manifest.path}: sha256 {digest.hexdigest()}, its manifest says "
            f"{manifest.sha256}",
            hint=REBUILD,
        )
