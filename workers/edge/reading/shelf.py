"""Which segments may hold a market's rows: by their names, hour by hour, and those being written.

Reads     names below raw/ and spool/open, manifests of the market asked about
Promises  open segments are listed before published ones, so that one which is published meanwhile
          is found once at least; one whose manifest is on its way is read like an open one
Never     reads a manifest of another market
"""

from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import msgspec

from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.segments import (
    DATA_SUFFIX,
    MANIFEST_DRAFT_SUFFIX,
    MANIFEST_SUFFIX,
    OPEN_SUFFIX,
    ROOTS,
    SegmentName,
    parse_name,
    safe_subject,
)
from workers.core.instants import MS_PER_HOUR, parse_utc
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import Folders, hour_folder, hour_of
from workers.edge.reading.vault import Held, Vault
from workers.edge.spool.directory import DataDir

_OPEN = "spool/open"


class Piece(msgspec.Struct, frozen=True):
    """One segment: `manifest` of a published one, `path` of one that is being written."""

    name: SegmentName
    stem: str
    manifest: SegmentManifest | None
    path: Path | None = None

    @property
    def order(self) -> tuple[str, str, int]:
        """By worker, start and number: as they were written."""
        return self.name.worker, self.name.started, self.name.number


class Shelf:
    """The segments of one kind, `books` or `frames`, of an archive."""

    def __init__(self, data: DataDir, folders: Folders, vault: Vault, kind: str = "books") -> None:
        self._data, self._folders, self._vault, self._kind = data, folders, vault, kind

    def hours(self) -> list[int]:
        """Every hour that has a folder, Unix ms."""
        return list(self._folders.hours(ROOTS[self._kind]))

    def has(self, slug: str, hour_ms: int) -> bool:
        """True when a segment of this name lies in the hour."""
        return any(True for _ in self._stems(slug, hour_ms))

    def hours_of(self, slug: str, from_ms: int, until_ms: int) -> set[int]:
        """The hours of a span that hold a segment of this name, one before it as well."""
        near = (each for each in self.hours() if from_ms - 2 * MS_PER_HOUR < each < until_ms)
        return {each for each in near if self.has(slug, each)}

    def pieces(self, slug: str, condition_id: str, hour_ms: int, findings: Findings) -> list[Piece]:
        """The published segments of a market in one hour; what cannot be believed is a finding."""
        place = hour_folder(ROOTS[self._kind], hour_ms)
        found = []
        for stem, name in self._stems(slug, hour_ms):
            piece = self._published(place, stem, name, findings)
            if piece is None:
                continue
            if _is_of(piece, condition_id):
                found.append(piece)
            elif _slug_of(piece) == slug:
                findings.damaged(f"{place}/{stem}{MANIFEST_SUFFIX}", "it names another market")
        return found

    def open_pieces(self, slug: str) -> list[Piece]:
        """The segments of a market that are being written."""
        found = []
        for worker in self._folders.names(_OPEN):
            if worker.startswith("."):
                continue
            for each in self._folders.names(f"{_OPEN}/{worker}"):
                name = _named(each, OPEN_SUFFIX, slug, self._kind)
                if name is not None:
                    path = self._data.root / _OPEN / worker / each
                    found.append(Piece(name, each.removesuffix(OPEN_SUFFIX), None, path))
        return found

    def held(self, piece: Piece) -> Held | None:
        """The rows of a segment; one that was published since it was listed is read where it lies.

        None when it is nowhere.
        """
        if piece.manifest is not None:
            return self._vault.published(piece.manifest)
        held = self._vault.open(piece.path) if piece.path is not None else None
        return held or self._held_since(piece)

    def _held_since(self, piece: Piece) -> Held | None:
        begun_ms = hour_of(started_ms(piece.name))
        # Its folder is that of its first tick, its name tells no time before its writer's start.
        for hour_ms in (begun_ms, begun_ms - MS_PER_HOUR):
            place = hour_folder(ROOTS[self._kind], hour_ms)
            found = self._published(place, piece.stem, piece.name, Findings("label"))
            if found is not None and found.manifest is not None:
                return self._vault.published(found.manifest)
            held = self._vault.open(found.path) if found is not None and found.path else None
            if held is not None:
                return held
        return None

    def _stems(self, slug: str, hour_ms: int) -> Iterator[tuple[str, SegmentName]]:
        seen = set()
        names = self._folders.names(hour_folder(ROOTS[self._kind], hour_ms))
        subject = safe_subject(slug)
        for at in range(bisect_left(names, subject), len(names)):
            each = names[at]
            if not each.startswith(subject):
                return
            for suffix in (MANIFEST_SUFFIX, DATA_SUFFIX):
                name = _named(each, suffix, slug, self._kind)
                stem = each.removesuffix(suffix)
                if name is not None and stem not in seen:
                    seen.add(stem)
                    yield stem, name

    def _published(
        self, place: str, stem: str, name: SegmentName, findings: Findings
    ) -> Piece | None:
        path = self._data.root / place / f"{stem}{MANIFEST_SUFFIX}"
        try:
            manifest = self._vault.manifest(path)
        except FileNotFoundError:
            data = path.with_name(f"{stem}{DATA_SUFFIX}")
            if f"{stem}{MANIFEST_DRAFT_SUFFIX}" in self._folders.names(f"{_OPEN}/{name.worker}"):
                return Piece(name, stem, None, data)
            if path.exists():
                # It was published between the two looks.
                return self._published(place, stem, name, findings)
            findings.damaged(self._data.relative(data), "a data file without its manifest")
            return None
        if isinstance(manifest, str):
            findings.damaged(self._data.relative(path), manifest)
            return None
        return Piece(name, stem, manifest)


def _named(file: str, suffix: str, slug: str, kind: str) -> SegmentName | None:
    """The name of a segment of this market, with one stream or one for each token."""
    subject = safe_subject(slug)
    if not file.endswith(suffix) or not file.startswith(subject):
        return None
    name = parse_name(file.removesuffix(suffix))
    if name is None or name.kind != kind:
        return None
    # A subject is cut at 90 characters before -t0 or -t1 is put behind it, and again after.
    ours = {subject, safe_subject(f"{slug}-t0"), safe_subject(f"{slug}-t1")}
    return name if name.subject in ours else None


def _is_of(piece: Piece, condition_id: str) -> bool:
    """True unless the manifest names another market: two slugs may share a safe name."""
    market = piece.manifest.told.market if piece.manifest else None
    return market is None or not condition_id or market.condition_id == condition_id


def _slug_of(piece: Piece) -> str:
    market = piece.manifest.told.market if piece.manifest else None
    return market.slug if market else ""


def started_ms(name: SegmentName) -> int:
    """The tick at which a segment was begun, from its name; 0 when that is no time."""
    text = name.started
    date, clock = f"{text[:4]}-{text[4:6]}-{text[6:8]}", f"{text[9:11]}:{text[11:13]}"
    try:
        return parse_utc(f"{date}T{clock}:{text[13:15]}.{text[15:18]}Z")
    except ValueError:
        return 0
