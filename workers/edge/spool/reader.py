"""Reading what lies at rest: manifests, rows of published segments, rows of open ones.

Promises  damage is said, with the byte where it begins; an open segment is read up to its last
          whole row, without touching it.
Never     writes
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from workers.core.manifests import SegmentManifest, read_manifest
from workers.core.segments import (
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
    """What an unpublished segment holds so far: whole rows only."""

    path: Path
    name: SegmentName
    rows: bytes


def open_names(data: DataDir, *, kinds: frozenset[str]) -> Iterator[tuple[Path, SegmentName]]:
    """The segments being written now, by path; none of them is opened."""
    for path in sorted(data.open_root.glob(f"*/*{OPEN_SUFFIX}")):
        name = parse_name(path.name.removesuffix(OPEN_SUFFIX))
        if name is not None and name.kind in kinds:
            yield path, name


def open_stream(path: Path, name: SegmentName) -> OpenStream | None:
    """One segment up to its last whole flushed row; None when it is open no more."""
    try:
        stream = read_stream(path).data
    except FileNotFoundError:
        return None
    return OpenStream(path, name, stream[: scan_rows(stream).good_bytes])


def open_streams(data: DataDir, *, kinds: frozenset[str]) -> Iterator[OpenStream]:
    """The segments being written now, each up to its last whole flushed row."""
    for path, name in open_names(data, kinds=kinds):
        stream = open_stream(path, name)
        if stream is not None:
            yield stream
