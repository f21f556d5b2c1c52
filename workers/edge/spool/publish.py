"""The commit: a finished segment becomes a published one. Re-entrant at every step.

Reads     spool/open/<worker>/chain.json
Writes    the manifest draft, chain.json, the data file and manifest under their final names,
          one ticket for each consumer
Promises  in this order: draft synced, chain synced, data read back and equal, data renamed,
          manifest renamed (the commit), tickets. Running it again after any crash or error
          between two of them finishes the same commit.
Fails     OSError from the disk; Suspect when the disk does not hold what was written
Never     overwrites a published name
"""

import hashlib
from pathlib import Path

import msgspec

from workers.core.manifests import Head, SegmentManifest, encode, read_head, read_manifest
from workers.core.segments import DATA_SUFFIX, MANIFEST_DRAFT_SUFFIX, MANIFEST_SUFFIX
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


def settled_head(data: DataDir, worker: str, name: str | None = None) -> Head:
    """The newest link that stands: the one before `name` if the head is an attempt at it."""
    head = load_head(data, worker)
    attempted = head.name is not None and head.name == name
    if attempted and head.previous and not manifest_path(data, head).exists():
        return head.previous
    return head


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
        Suspect: the file on the disk is not the one `facts` describes.
        OSError: the disk refused; call again later.
    """
    published = manifest_path(data, facts)
    if published.exists():
        manifest = read_manifest(published.read_bytes())
        tickets.issue(data, manifest, data.relative(published))
        return manifest
    base = settled_head(data, facts.worker, facts.name)
    manifest = msgspec.structs.replace(facts, chain=base.link(facts.worker))
    encoded = encode(manifest)
    folder = data.open_folder(facts.worker)
    durable.write_new(folder / f"{facts.name}{MANIFEST_DRAFT_SUFFIX}", encoded)
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
        here = source if source.exists() else target
        if not proves(manifest, here):
            raise Suspect(f"{here}: the disk does not hold what the manifest says")
        if here is source:
            durable.move(source, target)
        durable.move(draft, final)
    tickets.issue(data, manifest, data.relative(final))


def proves(manifest: SegmentManifest, path: Path) -> bool:
    """True when the bytes on the disk are the ones the manifest describes."""
    digest, size = hashlib.sha256(), 0
    for piece in durable.read_back(path):
        digest.update(piece)
        size += len(piece)
    return (size, digest.hexdigest()) == (manifest.bytes, manifest.sha256)
