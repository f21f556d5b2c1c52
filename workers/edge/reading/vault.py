"""Segments, read and proven: what comes out of here is what the manifest says, or says why not.

A published file is hashed (SHA-256) when this process first reads it, and again whenever its path,
inode, size or time of change is another. Each reading checks its gzip CRC and its length. A file
that flips a bit on the disk after it was hashed, without a new time of change, is caught by the
CRC the next time it is read from the disk, not while its stream is in memory.

Reads     raw segments and manifests
Promises  damage is told with the stream up to it; at most `cache_bytes` of streams stay in memory
Never     writes
"""

import hashlib
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

from workers.core.archive.manifests import SegmentManifest, read_manifest
from workers.core.archive.proofs import examine_place
from workers.core.archive.segments import MANIFEST_SUFFIX, parse_name, scan_rows
from workers.edge import deflate
from workers.edge.offload import ledger
from workers.edge.reading.findings import Findings
from workers.edge.reading.sheet import Index, Sheet
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

#: Of path, inode, size and time of change: a file with the same ones is the same file.
Stamp = tuple[str, int, int, int]
#: Segments whose rows are found without reading them all again: 28 bytes a row.
_INDEXES = 1000
#: How an open segment ends that is in order: its end was not written yet.
_UNFINISHED = "the gzip stream ends unfinished"
MISSING = "the data file is missing; its manifest is there"


class Held:
    """The uncompressed rows of one segment, up to `damage`; `is_offloaded`: it is not here."""

    def __init__(
        self,
        path: str,
        rows: bytes,
        damage: str = "",
        *,
        manifest: SegmentManifest | None = None,
        index: Index | None = None,
        place: Literal["here", "offloaded"] = "here",
    ) -> None:
        self.path, self.rows, self._manifest, self._index = path, rows, manifest, index
        self.sha256 = manifest.sha256 if manifest else None
        self.is_offloaded = place == "offloaded"
        self._damage = damage

    @cached_property
    def sheet(self) -> Sheet:
        """The rows by token, of a books segment."""
        sheet = Sheet(self.rows, self._index)
        if not self._damage and not sheet.damage and self._manifest is not None:
            sheet.index.damage = sheet.index.differs(self._manifest.told)
        return sheet

    @property
    def damage(self) -> str:
        """What is wrong with the file, or with the first row that is none of ours."""
        return self._damage or ("sheet" in self.__dict__ and self.sheet.damage) or ""


class Vault:
    """Streams by file; one for each archive and process."""

    def __init__(self, data: DataDir, cache_bytes: int) -> None:
        self.data = data
        self._cache_bytes = cache_bytes
        self._held: OrderedDict[Stamp, Held] = OrderedDict()
        self._held_bytes = 0
        self._indexes: dict[Stamp, Index] = {}
        self._proven: dict[Stamp, str] = {}
        self._manifests: dict[Stamp, SegmentManifest | str] = {}
        self._gone = ledger.Gone(data)
        self.hashed = 0

    def is_offloaded(self, path: str) -> bool:
        """True when a data file that is not here was let go, and lies on the remote."""
        return path in self._gone

    def manifest(self, path: Path) -> SegmentManifest | str:
        """A segment's manifest, or why it cannot be believed; OSError when it is gone."""
        stamp = stamp_of(path)
        found = self._manifests.get(stamp)
        if found is None:
            found = self._manifests[stamp] = self._read_manifest(path)
        return found

    def _read_manifest(self, path: Path) -> SegmentManifest | str:
        name = parse_name(path.name.removesuffix(MANIFEST_SUFFIX))
        try:
            manifest = read_manifest(path.read_bytes())
        except msgspec.MsgspecError as error:
            return f"its manifest cannot be read: {error}"
        if name is None:
            return "its name is not one of ours"
        place = self.data.relative(path).removesuffix(MANIFEST_SUFFIX) + ".jsonl.gz"
        return next(examine_place(manifest, name, place), "") or manifest

    def published(self, manifest: SegmentManifest) -> Held:
        """The rows of a published segment."""
        path = self.data.root / manifest.path
        try:
            stamp = stamp_of(path)
            return self._kept(stamp) or self._keep(stamp, self._read(stamp, path, manifest))
        except FileNotFoundError:
            if self.is_offloaded(manifest.path):
                return Held(manifest.path, b"", place="offloaded")
            return Held(manifest.path, b"", MISSING)

    def prove(self, path: Path, findings: Findings) -> None:
        """Compare a published file with its manifest, without keeping its rows."""
        try:
            manifest = self.manifest(path)
        except FileNotFoundError:
            return
        if isinstance(manifest, str):
            findings.damaged(self.data.relative(path), manifest)
            return
        data = self.data.root / manifest.path
        try:
            damage = self.difference(data, manifest.bytes, manifest.sha256)
        except FileNotFoundError:
            if self.is_offloaded(manifest.path):
                findings.offloaded(manifest.path)
                return
            damage = MISSING
        if damage:
            findings.damaged(manifest.path, damage)

    def open(self, path: Path) -> Held | None:
        """The whole rows of a segment that is being written; None when it was just published."""
        try:
            stamp = stamp_of(path)
            return self._kept(stamp) or self._keep(stamp, self._read_open(path))
        except FileNotFoundError:
            return None

    def _read(self, stamp: Stamp, path: Path, manifest: SegmentManifest) -> Held:
        packed = path.read_bytes()
        damage = self._difference(stamp, packed, manifest)
        try:
            rows = deflate.inflate_body(packed, max(manifest.raw_bytes, 1))
        except deflate.BadBody as bad:
            stream = reader.read_stream(path)
            rows, damage = stream.data, damage or stream.damage or f"compressed: {bad.detail}"
        if len(rows) != manifest.raw_bytes:
            damage = damage or f"{len(rows)} bytes inside, its manifest says {manifest.raw_bytes}"
        if damage:
            # Before a damage every whole row counts, and nothing behind it.
            rows = rows[: scan_rows(rows).good_bytes]
        index = None if damage else self._indexes.get(stamp)
        return Held(manifest.path, rows, damage, manifest=manifest, index=index)

    def _difference(self, stamp: Stamp, packed: bytes, manifest: SegmentManifest) -> str:
        """Why a file's bytes are not the manifest's, or ""; hashes a file once."""
        if len(packed) != manifest.bytes:
            return f"{len(packed)} bytes, its manifest says {manifest.bytes}"
        digest = self._proven.get(stamp)
        if digest is None:
            digest = self._proven[stamp] = hashlib.sha256(packed).hexdigest()
            self.hashed += 1
        if digest != manifest.sha256:
            return f"sha256 {digest}, its manifest says {manifest.sha256}"
        return ""

    def difference(self, path: Path, size_bytes: int, sha256: str) -> str:
        """Why any file is not what its manifest says, or ""; OSError when it is gone."""
        stamp = stamp_of(path)
        if stamp[2] != size_bytes:
            return f"{stamp[2]} bytes, its manifest says {size_bytes}"
        if stamp not in self._proven:
            with path.open("rb") as file:
                self._proven[stamp] = hashlib.file_digest(file, "sha256").hexdigest()
            self.hashed += 1
        if self._proven[stamp] != sha256:
            return f"sha256 {self._proven[stamp]}, its manifest says {sha256}"
        return ""

    def _read_open(self, path: Path) -> Held:
        stream = reader.read_stream(path)
        scan = scan_rows(stream.data)
        is_torn = stream.damage and not stream.damage.startswith(_UNFINISHED)
        # A row that is cut is not written yet; one that is whole and no JSON is damage.
        broken = scan.damage if stream.data.find(b"\n", scan.good_bytes) >= 0 else ""
        damage = stream.damage if is_torn else broken
        return Held(self.data.relative(path), stream.data[: scan.good_bytes], damage)

    def _kept(self, stamp: Stamp) -> Held | None:
        held = self._held.get(stamp)
        if held is not None:
            self._held.move_to_end(stamp)
        return held

    def _keep(self, stamp: Stamp, held: Held) -> Held:
        self._held[stamp] = held
        self._held_bytes += len(held.rows)
        while self._held_bytes > self._cache_bytes and len(self._held) > 1:
            at, old = self._held.popitem(last=False)
            self._held_bytes -= len(old.rows)
            if "sheet" in old.__dict__ and not old.damage:
                self._indexes[at] = old.sheet.index
            while len(self._indexes) > _INDEXES:
                self._indexes.pop(next(iter(self._indexes)))
        return held


def stamp_of(path: Path) -> Stamp:
    """What tells one state of a file from another; FileNotFoundError when there is none."""
    found = path.stat()
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns
