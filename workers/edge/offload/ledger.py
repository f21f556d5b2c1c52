"""The offload ledger read back: every batch, what is proven and since when, what was let go.

Reads     segments of kind upload, retention and drill, published or being written
Promises  rows come in the order they were written; a row that retention flushed before it removed
          a file is seen; damage is added to `damage`, never skipped in silence
Never     writes
"""

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from workers.core.manifests import read_manifest
from workers.core.offload import (
    DrillManifest,
    GoneRow,
    RetentionManifest,
    UploadManifest,
)
from workers.core.segments import MANIFEST_SUFFIX, OPEN_SUFFIX, ROOTS
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

Row = TypeVar("Row", UploadManifest, RetentionManifest, DrillManifest)


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the remote listed as ours; `batch` and `since_wall_ns` are of the first proof."""

    path: str
    bytes: int
    sha256: str
    md5: str
    remote: str
    proof: str
    since_wall_ns: int
    batch: str


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """A data file that retention let go from here: its row, and the pass that wrote it."""

    row: GoneRow
    batch: str
    at_utc: str
    remote: str


def uploads(data: DataDir, damage: list[str]) -> Iterator[UploadManifest]:
    """Every batch, oldest first."""
    return _rows(data, "upload", UploadManifest, damage)


def retentions(data: DataDir, damage: list[str]) -> Iterator[RetentionManifest]:
    """Every step of retention, oldest first."""
    return _rows(data, "retention", RetentionManifest, damage)


def drills(data: DataDir, damage: list[str]) -> Iterator[DrillManifest]:
    """Every drill, oldest first."""
    return _rows(data, "drill", DrillManifest, damage)


def proven_files(data: DataDir, damage: list[str]) -> dict[str, Proven]:
    """What is proven, by path; the latest proof says where, the first one since when."""
    found: dict[str, Proven] = {}
    for batch in uploads(data, damage):
        for row in batch.files:
            if row.verdict != "proven":
                continue
            before = found.get(row.path)
            is_same = before and (before.remote, before.sha256) == (batch.remote, row.sha256)
            found[row.path] = Proven(
                path=row.path,
                bytes=row.bytes,
                sha256=row.sha256,
                md5=row.md5,
                remote=batch.remote,
                proof=row.proof,
                since_wall_ns=before.since_wall_ns if before and is_same else batch.at_wall_ns,
                batch=before.batch if before and is_same else batch.batch,
            )
    return found


def released(data: DataDir, damage: list[str]) -> dict[str, Released]:
    """The data files that a retention manifest lists, by path.

    They may lie here all the same: while a sweep runs, or when they were brought back.
    """
    return {
        row.path: Released(row=row, batch=each.batch, at_utc=each.at_utc, remote=each.remote)
        for each in retentions(data, damage)
        for row in each.files
    }


def _rows(data: DataDir, kind: str, shape: type[Row], damage: list[str]) -> Iterator[Row]:
    decoder = msgspec.json.Decoder(shape)
    # The open ones first: one that is published meanwhile is then read as published.
    opened = list(reader.open_streams(data, kinds=frozenset({kind})))
    published = set()
    for path in sorted((data.root / ROOTS[kind]).glob(f"date=*/hour=*/*{MANIFEST_SUFFIX}")):
        published.add(path.name.removesuffix(MANIFEST_SUFFIX))
        try:
            stream = reader.read_stream(data.root / read_manifest(path.read_bytes()).path)
        except (OSError, msgspec.MsgspecError) as error:
            damage.append(f"{data.relative(path)}: {error}")
            continue
        if stream.damage:
            damage.append(f"{data.relative(path)}: {stream.damage}")
        yield from _decoded(stream.data, decoder, data.relative(path), damage)
    for each in opened:
        if each.path.name.removesuffix(OPEN_SUFFIX) not in published:
            yield from _decoded(each.rows, decoder, data.relative(each.path), damage)


def _decoded(
    rows: bytes, decoder: msgspec.json.Decoder[Row], place: str, damage: list[str]
) -> Iterator[Row]:
    wanted = decoder.type.__struct_defaults__[0]
    for number, line in enumerate(rows.split(b"\n")[:-1], 1):
        try:
            row = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            damage.append(f"{place}: row {number}: {error}")
            continue
        if row.schema == wanted:
            yield row
        else:
            damage.append(f"{place}: row {number}: schema {row.schema!r}, expected {wanted!r}")
