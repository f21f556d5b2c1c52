"""The commit: a finished segment becomes a published one. Re-entrant at every step.

Reads     spool/open/<worker>/chain.json
Writes    the manifest draft, chain.json, the data file and manifest under their final names,
          one ticket for each consumer
Promises  in this order: draft synced, chain synced, data read back and equal, data renamed,
          manifest renamed (the commit), tickets. Running it again after any crash or error
          between two of them finishes the same commit. A new link hangs on the newest manifest
          that is published, and that one has its tickets.
Fails     OSError from the disk; Suspect when the disk does not hold what was written
Never     overwrites a published name
"""

import errno
import hashlib
from pathlib import Path

import msgspec

from workers.core.archive.manifests import Head, SegmentManifest, encode, read_head, read_manifest
from workers.core.archive.segments import (
    DATA_SUFFIX,
    MANIFEST_DRAFT_SUFFIX,
    MANIFEST_SUFFIX,
    OPEN_SUFFIX,
)
from workers.edge import durable
from workers.edge.spool import tickets
from workers.edge.spool.directory import DataDir


class Suspect(Exception):
    """The disk does not hold the bytes that were written; only salvage may touch the file."""


def load_head(data: DataDir, worker: str) -> Head:
    """The newest link of a worker's chain that is, or is about to be, published."""
    path = data.open_folder(worker) / "chain.json"
    try:
        return read_head(path.read_bytes())
    except FileNotFoundError:
        return Head()


def settled_head(data: DataDir, worker: str) -> Head:
    """The newest link that stands: an attempt that was never published is stepped back from."""
    head = load_head(data, worker)
    if head.previous is not None and not manifest_path(data, head).exists():
        return head.previous
    return head


def ticket_head(data: DataDir, head: Head) -> int:
    """Give a published link the tickets it lacks; returns how many were new."""
    path = manifest_path(data, head)
    if head.name is None or not path.exists():
        return 0
    return tickets.issue_lacking(data, read_manifest(path.read_bytes()), data.relative(path))


def manifest_path(data: DataDir, link: Head | SegmentManifest) -> Path:
    """Where the manifest of a link is published."""
    return data.root / str(link.path).replace(DATA_SUFFIX, MANIFEST_SUFFIX)


def publish(data: DataDir, facts: SegmentManifest, source: Path) -> SegmentManifest:
    """Publish `source` with the manifest `facts`, whose chain entry is set here.

    Args:
        facts: everything but the chain; `path` is the final place of the data.
        source: the finished file in the worker's open folder, or already at `path` when an
            earlier attempt got that far.

    Returns:
        The manifest as published.

    Raises:
        Suspect: the file on the disk is not the one `facts` describes, or its name is taken.
        OSError: the disk refused; call again later.
    """
    published = manifest_path(data, facts)
    if published.exists():
        manifest = read_manifest(published.read_bytes())
        if manifest.sha256 != facts.sha256:
            raise Suspect(f"{published}: published already, with other bytes")
        tickets.issue(data, manifest, data.relative(published))
        return manifest
    base = settled_head(data, facts.worker)
    ticket_head(data, base)
    manifest = msgspec.structs.replace(facts, chain=base.link(facts.worker))
    encoded = encode(manifest)
    folder = data.open_folder(facts.worker)
    durable.replace(folder / f"{facts.name}{MANIFEST_DRAFT_SUFFIX}", encoded)
    durable.replace(folder / "chain.json", encode(base.after(manifest, encoded)))
    commit(data, manifest, source)
    return manifest


def commit(data: DataDir, manifest: SegmentManifest, source: Path) -> None:
    """Walk from a synced draft to the tickets, from wherever an earlier attempt stopped."""
    target = data.root / manifest.path
    final = manifest_path(data, manifest)
    draft = data.open_folder(manifest.worker) / f"{manifest.name}{MANIFEST_DRAFT_SUFFIX}"
    durable.make_directories(target.parent)
    if not final.exists():
        here = target if target.exists() else source
        if not proves(manifest, here):
            if here is target:
                _take_back(data, manifest)
            raise Suspect(f"{here}: the disk does not hold what the manifest says")
        if here is source:
            durable.move(source, target)
        durable.move(draft, final)
    tickets.issue(data, manifest, data.relative(final))


def _take_back(data: DataDir, manifest: SegmentManifest) -> None:
    """Bring unproven data home, where salvage looks; without a manifest it is not published."""
    target = data.root / manifest.path
    home = data.open_folder(manifest.worker) / f"{manifest.name}{OPEN_SUFFIX}"
    if home.exists():
        # The original is still there: what lies at the target is a draft salvage made of it.
        target.unlink()
    else:
        durable.move(target, home)


def proves(manifest: SegmentManifest, path: Path) -> bool:
    """True when the bytes on the disk are the ones the manifest describes."""
    digest, size = hashlib.sha256(), 0
    try:
        for piece in durable.read_back(path):
            digest.update(piece)
            size += len(piece)
    except OSError as error:
        # One bad sector is this file's trouble: as "try again" it would stop all recording.
        if error.errno != errno.EIO:
            raise
        return False
    return (size, digest.hexdigest()) == (manifest.bytes, manifest.sha256)
