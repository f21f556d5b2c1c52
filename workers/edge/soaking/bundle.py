"""The evidence of a soak as one file, for who has not its archive: all but the books themselves.

A tar.xz of what the report's list names, and of the segments whose manifests stand on it, but for
those of LEFT_OUT: their manifests tell which ticks they hold and what SHA-256 they have.

Reads     manifests/soak/<id>.sha256 and what it names
Promises  the same evidence gives the same bytes. `damage` finds every file whose SHA-256 does not
          stand in the list or in a manifest on it, and the list by that in the report
Fails     Refused: not such a bundle; OSError: what the list names is not here
"""

import hashlib
import io
import lzma
import tarfile
from pathlib import PurePosixPath
from typing import IO

import msgspec

from workers.core.archive.manifests import SegmentManifest, read_manifest
from workers.core.archive.segments import MANIFEST_SUFFIX
from workers.core.errors import Refused
from workers.core.soak.report import Evidence
from workers.edge.soaking import evidence
from workers.edge.spool.directory import DataDir

SUFFIX = "_evidence.tar.xz"
#: Most of an archive's bytes.
LEFT_OUT = frozenset({"books", "frames", "pages"})


def packed(data: DataDir, told: Evidence) -> bytes:
    """The bundle of a report's evidence."""
    own = [each.path for each in _segments(data, told) if each.kind not in LEFT_OUT]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:xz") as tar:
        for place in [told.path, *sorted({*_listed(data, told), *own})]:
            raw = (data.root / place).read_bytes()
            entry = tarfile.TarInfo(place)
            entry.size = len(raw)
            tar.addfile(entry, io.BytesIO(raw))
    return made.getvalue()


def unpack(made: bytes, data: DataDir) -> None:
    """Write what a bundle holds into an empty directory."""
    try:
        with tarfile.open(fileobj=io.BytesIO(made), mode="r:xz") as tar:
            for entry in tar:
                _write(data, entry.name, tar.extractfile(entry))
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise Refused(f"unpack the evidence: {error}") from error


def _write(data: DataDir, name: str, held: IO[bytes] | None) -> None:
    """Write one; with a plain name, and no link or device."""
    if held is None or not _is_below(name):
        raise Refused(f"unpack {name!r}: no file of an archive")
    path = data.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(held.read())


def damage(data: DataDir, told: Evidence) -> tuple[list[str], frozenset[str]]:
    """(what is not as the report says, the files that were left out on purpose)."""
    found = evidence.changed(data, told)
    if found:
        return found, frozenset()
    left_out = set()
    named = {told.path, *_listed(data, told)}
    for each in _segments(data, told):
        path = data.root / each.path
        if each.kind in LEFT_OUT and not path.exists():
            left_out.add(each.path)
            continue
        named.add(each.path)
        is_same = path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == each.sha256
        found += [] if is_same else [f"{each.path}: not what its manifest says"]
    here = (data.relative(path) for path in sorted(data.root.rglob("*")) if path.is_file())
    found += [
        f"{each}: nothing that the report rests on names it" for each in here if each not in named
    ]
    return found, frozenset(left_out)


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _listed(data: DataDir, told: Evidence) -> list[str]:
    lines = (data.root / told.path).read_text().splitlines()
    return [line.partition("  ")[2] for line in lines]


def _segments(data: DataDir, told: Evidence) -> list[SegmentManifest]:
    """The manifests on the list, read; of the samples the list names the files themselves."""
    places = [each for each in _listed(data, told) if each.endswith(MANIFEST_SUFFIX)]
    try:
        return [read_manifest((data.root / each).read_bytes()) for each in places]
    except msgspec.MsgspecError as error:
        raise Refused(f"read the manifests of the evidence: {error}") from error
