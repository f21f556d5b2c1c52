"""Derived files of one table and hour: listed, committed, swept. Manifests decide.

Reads     derived/<table>/…/*.manifest.json
Writes    the same, and *.parquet; removes drafts, and files that another has replaced
Promises  a file counts when its manifest is there; of what replaces and what is replaced a reader
          sees the one or the other, never both, never neither
Never     removes a file with a ticket that waits for the uploader, or anything of raw
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from workers.core.archive.manifests import Ticket, encode
from workers.core.instants import parse_utc
from workers.core.tables.manifests import (
    DATA_SUFFIX,
    MANIFEST_SUFFIX,
    ROOT,
    TableManifest,
    in_force,
    read_manifest,
    table_folder,
)
from workers.core.tables.tables import TABLES
from workers.edge import durable
from workers.edge.spool import tickets
from workers.edge.spool.directory import DataDir

_HOURS = "venue=polymarket/date=*/hour=*"


class Batch(msgspec.Struct, frozen=True):
    """What a batch is made by: where, by which program, when."""

    data: DataDir
    versions: dict[str, str]
    wall_ns: int


def manifests(data: DataDir, table: str, hour_ms: int) -> list[TableManifest]:
    """Every committed file of a table and hour, replaced or not.

    Raises:
        msgspec.MsgspecError: a manifest is none.
    """
    folder = data.root / table_folder(table, hour_ms)
    while True:
        try:
            return [
                read_manifest(path.read_bytes())
                for path in sorted(folder.glob(f"*{MANIFEST_SUFFIX}"))
            ]
        except FileNotFoundError:
            # It was replaced since the names were listed; what replaces it may not be among them.
            continue


def standing(data: DataDir, table: str, hour_ms: int) -> list[TableManifest]:
    """The files in force of a table and hour."""
    return in_force(manifests(data, table, hour_ms))


def hours(data: DataDir, table: str) -> Iterator[tuple[int, Path]]:
    """The hours that a table has a folder of, oldest first."""
    for folder in sorted((data.root / ROOT / table).glob(_HOURS)):
        date, hour = folder.parent.name.removeprefix("date="), folder.name.removeprefix("hour=")
        try:
            yield parse_utc(f"{date}T{hour}:00:00Z"), folder
        except ValueError:
            continue


def draft_path(data: DataDir, table: str, hour_ms: int, label: str) -> Path:
    """Where a file is written before it has its name; the folder is made."""
    folder = data.root / table_folder(table, hour_ms)
    durable.make_directories(folder)
    return folder / f".{table}.{os.getpid()}.{label}.tmp"


def commit(data: DataDir, draft: Path, facts: TableManifest) -> TableManifest:
    """Publish a finished draft under its name; its manifest comes last.

    Args:
        data: the directory.
        draft: a whole file in the folder of its table and hour.
        facts: everything but what is counted here: path, bytes, sha256, md5.

    Raises:
        FileExistsError: a file of that name is published.
    """
    target = draft.with_name(f"{facts.name}{DATA_SUFFIX}")
    if target.with_name(f"{facts.name}{MANIFEST_SUFFIX}").exists():
        raise FileExistsError(f"{target} is published; a published name is never overwritten")
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    for piece in durable.read_back(draft):
        sha256.update(piece)
        md5.update(piece)
        size += len(piece)
    manifest = msgspec.structs.replace(
        facts,
        path=data.relative(target),
        bytes=size,
        sha256=sha256.hexdigest(),
        md5=md5.hexdigest(),
    )
    # A name without a manifest is what an earlier attempt left.
    durable.remove(target)
    durable.move(draft, target)
    durable.replace(target.with_name(f"{facts.name}{MANIFEST_SUFFIX}"), encode(manifest))
    return manifest


def sweep(data: DataDir) -> list[str]:
    """Remove drafts and data files without a manifest; only the queue's owner may do so."""
    gone = []
    folders = (each for table in TABLES for each in (data.root / ROOT / table).glob(_HOURS))
    for folder in sorted(folders):
        for path in _unpublished(folder):
            durable.remove(path)
            gone.append(data.relative(path))
    return gone


def _unpublished(folder: Path) -> Iterator[Path]:
    found = {path.name: path for path in folder.iterdir()}
    for name, path in found.items():
        is_draft = name.startswith(".") and name.endswith(".tmp")
        stem = name.removesuffix(DATA_SUFFIX)
        if is_draft or (stem != name and f"{stem}{MANIFEST_SUFFIX}" not in found):
            yield path


def clear(data: DataDir, table: str, hour_ms: int) -> list[str]:
    """Remove the files that others have replaced; returns their names.

    The manifest goes last: until then its name stands in the `replaces` of the new one.
    """
    every = manifests(data, table, hour_ms)
    kept = {each.name for each in in_force(every)}
    gone = []
    for each in every:
        waits = data.queue("upload") / f"{each.name}{tickets.READY}"
        if each.name not in kept and not waits.exists():
            path = data.root / each.path
            durable.remove(path)
            durable.remove(path.with_name(f"{each.name}{MANIFEST_SUFFIX}"))
            for state in (tickets.DONE, tickets.FAILED):
                durable.remove(data.queue("upload") / f"{each.name}{state}")
            gone.append(each.name)
    return gone


def issue(data: DataDir, manifest: TableManifest) -> bool:
    """Give the uploader its ticket for a file, unless it has one; True when it is new."""
    folder = data.queue("upload")
    path = data.root / manifest.path
    has_one = any((folder / f"{manifest.name}{state}").exists() for state in tickets.STATES)
    if has_one or not path.exists():
        return False
    ticket = Ticket(
        name=manifest.name,
        kind=manifest.table,
        path=manifest.path,
        manifest=data.relative(path.with_name(f"{manifest.name}{MANIFEST_SUFFIX}")),
        bytes=manifest.bytes,
        sha256=manifest.sha256,
    )
    durable.replace(folder / f"{manifest.name}{tickets.READY}", encode(ticket))
    return True
