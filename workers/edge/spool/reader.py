"""Reading what lies at rest: manifests, rows of published segments, rows of open ones.

Promises  damage is said, with the byte where it begins; an open segment is read up to its last
          whole row, without touching it.
Never     writes
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from workers.core.archive.manifests import SegmentManifest, read_manifest
from workers.core.archive.segments import (
    MANIFEST_DRAFT_SUFFIX,
    OPEN_SUFFIX,
    SegmentName,
    parse_name,
    scan_rows,
)
from workers.edge.deflate import Inflated
from workers.edge.spool.directory import DataDir

_PIECE_BYTES = 1 << 20


class Stream(msgspec.Struct, frozen=True):
    """The uncompressed stream of a segment up to its first damage."""

    data: bytes
    damage: str


def read_stream(path: Path) -> Stream:
    """Decompress a segment file whole; OSError when it cannot be opened."""
    inflated = Inflated()
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(_PIECE_BYTES), b"")
        data = b"".join(inflated.pieces(pieces))
    return Stream(data, inflated.damage)


class Stored(Protocol):
    """What a data file must be: a manifest of a segment or a table, or the facts of one."""

    @property
    def path(self) -> str:
        """Relative to the data directory."""

    @property
    def bytes(self) -> int:
        """Its size."""

    @property
    def sha256(self) -> str:
        """Of the whole file."""


def damage(data: DataDir, told: Stored) -> str:
    """Why a data file is not, to its last byte, what its manifest says, or ""."""
    try:
        with (data.root / told.path).open("rb") as file:
            digest, size = hashlib.file_digest(file, "sha256"), file.tell()
    except OSError as error:
        return f"{error.strerror}; its manifest is there"
    if size != told.bytes:
        return f"{size} bytes, its manifest says {told.bytes}"
    if digest.hexdigest() != told.sha256:
        return f"sha256 {digest.hexdigest()}, its manifest says {told.sha256}"
    return ""


def manifests(
    data: DataDir, *, kinds: frozenset[str] | None = None
) -> Iterator[tuple[Path, SegmentManifest | str]]:
    """Every published manifest with its path, or why it cannot be read."""
    for path in data.manifest_paths():
        name = parse_name(path.name.removesuffix(".manifest.json"))
        if kinds is not None and name is not None and name.kind not in kinds:
            continue
        try:
            yield path, read_manifest(path.read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            yield path, str(error)


class OpenStream(msgspec.Struct, frozen=True):
    """What an unpublished segment holds so far: whole rows only; `path` is where it was written."""

    path: Path
    name: SegmentName
    rows: bytes


def open_names(data: DataDir, *, kinds: frozenset[str]) -> Iterator[tuple[Path, SegmentName]]:
    """The segments being written now, or being published, by path; none of them is opened.

    Whoever lists manifests afterwards misses none: in a commit the data move first, and until the
    manifest follows, its draft lies in the folder of the worker.
    """
    seen = set()
    for suffix in (OPEN_SUFFIX, MANIFEST_DRAFT_SUFFIX):
        for path in sorted(data.open_root.glob(f"*/*{suffix}")):
            stem = path.name.removesuffix(suffix)
            name = parse_name(stem)
            if name is not None and name.kind in kinds and stem not in seen:
                seen.add(stem)
                yield path.with_name(stem + OPEN_SUFFIX), name


def open_stream(data: DataDir, path: Path, name: SegmentName) -> OpenStream | None:
    """One segment up to its last whole flushed row; None when it was published meanwhile."""
    try:
        stream = read_stream(path).data
    except FileNotFoundError:
        draft = path.with_name(path.name.removesuffix(OPEN_SUFFIX) + MANIFEST_DRAFT_SUFFIX)
        try:
            stream = read_stream(data.root / read_manifest(draft.read_bytes()).path).data
        except (OSError, msgspec.MsgspecError):
            return None
    return OpenStream(path, name, stream[: scan_rows(stream).good_bytes])


def open_streams(data: DataDir, *, kinds: frozenset[str]) -> Iterator[OpenStream]:
    """The segments being written now, each up to its last whole flushed row."""
    for path, name in open_names(data, kinds=kinds):
        stream = open_stream(data, path, name)
        if stream is not None:
            yield stream
