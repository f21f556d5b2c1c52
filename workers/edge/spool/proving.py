"""Proving what lies at rest: one published segment at a time, and what lies beside them.

Reads     every published file, open segments, chain.json, spool/quarantine
Promises  one segment is in memory at a time; damage is told by its byte; nothing that lies there
          makes it fail, a file of another kind is a finding like any other
Never     writes
"""

import hashlib
from collections.abc import Container, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from workers.core.archive.chains import Link
from workers.core.archive.manifests import Head, SegmentManifest, read_head, read_manifest
from workers.core.archive.proofs import Proof, examine, examine_place, gather, trust
from workers.core.archive.segments import (
    DATA_SUFFIX,
    MANIFEST_DRAFT_SUFFIX,
    MANIFEST_SUFFIX,
    ROOTS,
    parse_name,
)
from workers.edge.deflate import Inflated
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

_EVIDENCE = frozenset({"books", "frames", "ledger"})


class Proven(msgspec.Struct):
    """One manifest: its link in the chain, if it can be read, and what its segment proves.

    `absent` is the path of a data file that is not there: damage, unless retention let it go.
    """

    proof: Proof
    worker: str = ""
    link: Link | None = None
    absent: str = ""


def proved(root: Path, paths: list[Path], *, jobs: int) -> Iterator[Proven]:
    """`prove` each manifest, in `jobs` processes."""
    function = partial(prove, root)
    if jobs <= 1 or len(paths) < 2 * jobs:
        yield from map(function, paths)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(function, paths, chunksize=4)


def prove(root: Path, path: Path) -> Proven:
    """Read one manifest and everything it describes.

    Args:
        root: the data directory.
        path: of the manifest.
    """
    proven, manifest = _read(root, path)
    if manifest is None:
        return proven
    try:
        _prove_file(proven.proof, manifest, _data_of(path))
    except OSError as error:
        proven.proof.accuse(f"its data file: {error.strerror}")
        if isinstance(error, FileNotFoundError):
            proven.absent = _data_of(path).relative_to(root).as_posix()
    return proven


def trusted(root: Path, path: Path, sha256: str) -> Proven:
    """What the manifest of a data file says that retention let go on the proof of `sha256`."""
    proven, manifest = _read(root, path)
    if manifest is not None:
        if manifest.sha256 != sha256:
            proven.proof.accuse(
                f"retention let go of a file with sha256 {sha256}, its manifest says "
                f"{manifest.sha256}"
            )
        trust(proven.proof, manifest)
    return proven


def _data_of(path: Path) -> Path:
    return path.with_name(f"{path.name.removesuffix(MANIFEST_SUFFIX)}{DATA_SUFFIX}")


def _read(root: Path, path: Path) -> tuple[Proven, SegmentManifest | None]:
    """A manifest, its link and its place; None with the accusation when it cannot be read."""
    name = path.name.removesuffix(MANIFEST_SUFFIX)
    place = path.relative_to(root).as_posix()
    proof = Proof(name=name, path=place)
    parsed = parse_name(name)
    try:
        encoded = path.read_bytes()
        manifest = read_manifest(encoded)
    except (OSError, msgspec.MsgspecError) as error:
        proof.accuse(f"its manifest cannot be read: {error}")
        return Proven(proof), None
    digest = hashlib.sha256(encoded).hexdigest()
    link = Link(place, manifest.name, manifest.chain, digest)
    proof.kind, proof.is_cut_short = manifest.kind, manifest.ended == "cut_short"
    if parsed is None:
        proof.accuse("its name is not one of ours")
    else:
        data = _data_of(path).relative_to(root).as_posix()
        for problem in examine_place(manifest, parsed, data):
            proof.accuse(problem)
    return Proven(proof, manifest.worker, link), manifest


def _prove_file(proof: Proof, manifest: SegmentManifest, path: Path) -> None:
    data = path.read_bytes()
    proof.bytes = len(data)
    inflated = Inflated()
    stream = b"".join(inflated.pieces([data]))
    if inflated.damage:
        proof.accuse(f"compressed: {inflated.damage}")
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    for member, said, found in (
        ("bytes", manifest.bytes, len(data)),
        ("sha256", manifest.sha256, hashlib.sha256(data).hexdigest()),
        ("md5", manifest.md5, md5),
        ("raw_bytes", manifest.raw_bytes, len(stream)),
        ("raw_sha256", manifest.raw_sha256, hashlib.sha256(stream).hexdigest()),
    ):
        if said != found:
            proof.accuse(f"manifest: {member} is {said}, the file has {found}")
    del data
    examine(proof, manifest, stream)


def open_proofs(data: DataDir) -> Iterator[Proof]:
    """What the segments being written hold so far, as evidence about their published peers."""
    for stream in reader.open_streams(data, kinds=_EVIDENCE):
        proof = Proof(name=stream.path.name, path=data.relative(stream.path))
        try:
            gather(proof, stream.name.kind, stream.rows)
        except (msgspec.MsgspecError, ValueError, IndexError) as error:
            proof.accuse(f"a row is not of this schema: {error}")
        yield proof


def heads(data: DataDir) -> dict[str, tuple[Head, str]]:
    """The chain head of every worker that has a folder, and its path."""
    found = {}
    for path in sorted(data.open_root.glob("*/chain.json")):
        try:
            head = read_head(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            head = Head()
        found[path.parent.name] = (head, data.relative(path))
    return found


def has_draft(data: DataDir, worker: str, name: str | None) -> bool:
    """True when the commit of this manifest is under way: its draft waits to be renamed.

    Ask before you look for the manifest: one becomes the other, and between two looks it may.
    """
    return (data.open_folder(worker) / f"{name}{MANIFEST_DRAFT_SUFFIX}").exists()


def are_settled(data: DataDir, heads: dict[str, tuple[Head, str]], known: Container[Path]) -> bool:
    """True when none of these heads was published without being seen."""
    named = (_published(data, head.path) for head, _ in heads.values() if head.path)
    return all(path in known or not path.exists() for path in named)


def is_committing(data: DataDir, worker: str, head: Head) -> bool:
    """True when a head names what is published later than was looked: with a draft, or by now."""
    if head.path is None:
        return False
    return has_draft(data, worker, head.name) or _published(data, head.path).exists()


def _published(data: DataDir, path: str) -> Path:
    """The manifest of a data file, once it is there."""
    return data.root / (path.removesuffix(DATA_SUFFIX) + MANIFEST_SUFFIX)


def strays(data: DataDir) -> Iterator[tuple[Path, str]]:
    """Files in the hours of the archive that no manifest accounts for, and what is wrong."""
    for root in sorted(set(ROOTS.values())):
        for path in sorted((data.root / root).glob("date=*/hour=*/*")):
            if path.name.endswith(MANIFEST_SUFFIX):
                continue
            name = path.name.removesuffix(DATA_SUFFIX)
            manifest = path.with_name(f"{name}{MANIFEST_SUFFIX}")
            parsed = parse_name(name)
            if name == path.name or parsed is None:
                yield path, "a stray file, none of ours"
            elif not (has_draft(data, parsed.worker, name) or manifest.exists()):
                yield path, "a data file without its manifest"


def quarantined(data: DataDir) -> Iterator[tuple[str, str | None]]:
    """Every file in quarantine and its reason, None when nobody wrote one."""
    for path in sorted(data.quarantine.iterdir()):
        if path.name.endswith(".why"):
            continue
        why = path.with_name(f"{path.name}.why")
        try:
            yield path.name, why.read_text(errors="replace").strip()
        except OSError:
            yield path.name, None
