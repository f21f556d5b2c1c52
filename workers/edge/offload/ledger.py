"""The offload ledger read back: every batch, what is proven and since when, what was let go.

Reads     segments of kind upload, retention and drill, published or being written
Promises  rows come in the order they were written; a row that retention flushed before it removed
          a file is seen; damage is added to `damage`, never skipped in silence; who misses some
          files (`Gone`) reads of retention what was written since their hours, once
Never     writes
"""

from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from workers.core.archive.manifests import read_manifest
from workers.core.archive.segments import MANIFEST_SUFFIX, OPEN_SUFFIX, ROOTS
from workers.core.offload.offload import (
    DrillManifest,
    GoneRow,
    RetentionManifest,
    UploadManifest,
)
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
    return _by_path(retentions(data, damage))


def _by_path(rows: Iterable[RetentionManifest]) -> dict[str, Released]:
    return {
        row.path: Released(row=row, batch=each.batch, at_utc=each.at_utc, remote=each.remote)
        for each in rows
        for row in each.files
    }


class Gone(Container[str]):
    """What retention let go, for whoever misses files: nothing is read before the first is asked.

    A file goes after its hour; what retention wrote before is read only when nothing since then
    lists the file, for a clock may have been set back. A path that was not found is looked for
    again in what was written meanwhile.
    """

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._known: dict[str, Released] = {}
        self._read: set[Path] = set()

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.get(path) is not None

    def get(self, path: str) -> Released | None:
        """The row of a data file that was let go; None when none is known, or it is damaged."""
        for since in (_hour_of(path), ""):
            if path not in self._known:
                rows = _rows(
                    self._data, "retention", RetentionManifest, [], since=since, read=self._read
                )
                self._known.update(_by_path(rows))
        return self._known.get(path)


def _hour_of(path: str) -> str:
    """The date=…/hour=… of a data file, as folders are sorted by it; "" when it lies in none."""
    parts = path.split("/")[-3:-1]
    return "/".join(parts) if parts and parts[0].startswith("date=") else ""


def _rows(
    data: DataDir,
    kind: str,
    shape: type[Row],
    damage: list[str],
    *,
    since: str = "",
    read: set[Path] | None = None,
) -> Iterator[Row]:
    """Rows of manifests in folders from `since` on; those in `read` are passed over, and added."""
    decoder = msgspec.json.Decoder(shape)
    read = set() if read is None else read
    # The open ones first: one that is published meanwhile is then read as published.
    opened = list(reader.open_streams(data, kinds=frozenset({kind})))
    published = set()
    for path in _manifests(data, kind, since):
        published.add(path.name.removesuffix(MANIFEST_SUFFIX))
        if path in read:
            continue
        read.add(path)
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


def _manifests(data: DataDir, kind: str, since: str) -> Iterator[Path]:
    for folder in sorted((data.root / ROOTS[kind]).glob("date=*/hour=*")):
        if f"{folder.parent.name}/{folder.name}" >= since:
            yield from sorted(folder.glob(f"*{MANIFEST_SUFFIX}"))


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
