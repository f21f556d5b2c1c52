"""Derived files at rest, as far as their bytes tell: listed, proven against their manifests.

Reads     derived/: manifests, Parquet files as bytes; manifests of segments; labels
Promises  a file passes only when it lies where it must and has the size, SHA-256 and MD5 that its
          manifest says; what another file replaces may be half gone and is no damage
Never     writes, or opens a Parquet file: that is `edge.parquet`'s
"""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from workers.core.archive.segments import MANIFEST_SUFFIX
from workers.core.instants import MS_PER_HOUR, parse_utc
from workers.core.tables.manifests import (
    DATA_SUFFIX,
    ROOT,
    TableManifest,
    read_manifest,
    table_folder,
)
from workers.edge.spool.directory import DataDir

_HOURS = "*/venue=*/date=*/hour=*"
_PIECE_BYTES = 1 << 20


class TableProof(msgspec.Struct):
    """One manifest: what it says, None when it is none; what is wrong with its file.

    `absent` is the path of a data file that is not there: damage, unless retention let it go or
    another file replaces it.
    """

    path: str
    manifest: TableManifest | None = None
    problems: list[str] = []
    absent: str = ""


def manifest_paths(data: DataDir) -> list[Path]:
    """The manifests of all derived files, by table, then by time."""
    return sorted((data.root / ROOT).glob(f"{_HOURS}/*{MANIFEST_SUFFIX}"))


def is_derived(path: str) -> bool:
    """True for a path, relative to the data directory, below the derived tables."""
    return path.startswith(f"{ROOT}/")


def proved(root: Path, paths: list[Path], *, jobs: int) -> Iterator[TableProof]:
    """`prove` each manifest, in `jobs` processes."""
    function = partial(prove, root)
    if jobs <= 1 or len(paths) < 2 * jobs:
        yield from map(function, paths)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(function, paths, chunksize=4)


def prove(root: Path, path: Path) -> TableProof:
    """Compare a derived file with its manifest.

    Args:
        root: the data directory.
        path: of the manifest.
    """
    proof = TableProof(path.relative_to(root).as_posix())
    try:
        proof.manifest = manifest = read_manifest(path.read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        proof.problems.append(f"its manifest cannot be read: {error}")
        return proof
    stem = path.name.removesuffix(MANIFEST_SUFFIX)
    folder = path.parent.relative_to(root).as_posix()
    if manifest.name != stem or manifest.path != f"{folder}/{stem}{DATA_SUFFIX}":
        proof.problems.append(f"its manifest speaks of {manifest.path}")
    if folder != _folder_of(manifest.table, path):
        proof.problems.append(f"it lies in {folder}, which is no place of {manifest.table}")
    try:
        proof.problems += _differences(manifest, path.with_name(f"{stem}{DATA_SUFFIX}"))
    except FileNotFoundError:
        proof.absent = f"{folder}/{stem}{DATA_SUFFIX}"
    except OSError as error:
        proof.problems.append(f"its data file: {error.strerror}")
    return proof


def _folder_of(table: str, path: Path) -> str:
    date, hour = path.parent.parent.name, path.parent.name
    try:
        at_ms = parse_utc(f"{date.removeprefix('date=')}T{hour.removeprefix('hour=')}:00:00Z")
    except ValueError:
        return ""
    return table_folder(table, at_ms // MS_PER_HOUR * MS_PER_HOUR)


def _differences(manifest: TableManifest, path: Path) -> Iterator[str]:
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            sha256.update(piece)
            md5.update(piece)
            size += len(piece)
    for member, said, found in (
        ("bytes", manifest.bytes, size),
        ("sha256", manifest.sha256, sha256.hexdigest()),
        ("md5", manifest.md5, md5.hexdigest()),
    ):
        if said != found:
            yield f"manifest: {member} is {said}, the file has {found}"


def strange_sources(
    data: DataDir, manifest: TableManifest, segments: Mapping[str, str]
) -> Iterator[str]:
    """What a file rests on and is not here as it was; `segments` is SHA-256 by segment name."""
    for each in manifest.sources:
        found = segments.get(each.name) or _sha256_of_label(data, each.name)
        if not found:
            yield f"its source {each.name} is not here"
        elif found != each.sha256:
            yield f"its source {each.name} has sha256 {found}, it was made from {each.sha256}"


def _sha256_of_label(data: DataDir, name: str) -> str:
    if not name.startswith("labels/"):
        return ""
    try:
        return hashlib.sha256((data.root / name).read_bytes()).hexdigest()
    except OSError:
        return ""


def strays(data: DataDir) -> Iterator[tuple[str, str]]:
    """Paths below derived/ that no manifest accounts for, and what is wrong; no drafts."""
    for path in sorted((data.root / ROOT).rglob("*")):
        is_draft = path.name.startswith(".") and path.name.endswith(".tmp")
        if path.is_dir() or is_draft or path.name.endswith(MANIFEST_SUFFIX):
            continue
        name = path.name.removesuffix(DATA_SUFFIX)
        if name == path.name:
            yield data.relative(path), "a stray file, none of ours"
        elif path.exists() and not path.with_name(f"{name}{MANIFEST_SUFFIX}").exists():
            yield data.relative(path), "a derived file without its manifest"
