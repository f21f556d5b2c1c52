"""Proving the derived files: each against its manifest, all against what they were made from.

Reads     derived/, the manifests of segments, labels
Promises  a normalizer may run meanwhile: what vanishes with its manifest was replaced, and is no
          damage; nothing of this is needed to prove raw
Never     writes
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable

import msgspec

from workers.core.archive.manifests import read_manifest
from workers.core.archive.segments import MANIFEST_SUFFIX
from workers.core.offload.restores import MARKER
from workers.core.tables.manifests import TableManifest, in_force
from workers.core.tables.manifests import read_manifest as read_table
from workers.edge.spool import tables
from workers.edge.spool.directory import DataDir
from workers.edge.spool.tables import TableProof


class Derived(msgspec.Struct):
    """What verify found of derived files; `offloaded` are files that retention let go."""

    files: dict[str, int] = {}
    rows: int = 0
    bytes: int = 0
    offloaded: int = 0
    problems: list[tuple[str, str]] = []
    notes: list[str] = []


def by_themselves(
    data: DataDir, proofs: Iterable[TableProof], released: Callable[[], Collection[str]]
) -> tuple[Derived, list[TableProof]]:
    """What proofs of single files come to, and those of files in force.

    Args:
        data: the directory.
        proofs: of manifests.
        released: gives the paths of data files that retention let go; asked after they were missed.
    """
    found = Derived()
    # A manifest that is gone by now was replaced while it was read.
    still = [each for each in list(proofs) if (data.root / each.path).exists()]
    gone = released() if any(each.absent for each in still) else ()
    replaced = _replaced(data, still)
    for proof in still:
        problems = list(proof.problems)
        if proof.absent and proof.absent in gone:
            found.offloaded += 1
        elif proof.absent and proof.path not in replaced:
            problems.append("its data file is not here, and nothing says that it was let go")
        found.problems += [(proof.path, each) for each in problems]
        _count(found, proof)
    return found, [each for each in still if each.path not in replaced]


def _count(found: Derived, proof: TableProof) -> None:
    if proof.manifest is None:
        return
    table = proof.manifest.table
    found.files[table] = found.files.get(table, 0) + 1
    found.rows += proof.manifest.rows
    found.bytes += 0 if proof.absent else proof.manifest.bytes


def _replaced(data: DataDir, proofs: Iterable[TableProof]) -> set[str]:
    """The paths of manifests that another one of their folder replaces, as it is now."""
    replaced = set()
    for place in {each.path.rpartition("/")[0] for each in proofs}:
        found: dict[str, TableManifest] = {}
        for path in sorted((data.root / place).glob(f"*{MANIFEST_SUFFIX}")):
            try:
                found[f"{place}/{path.name}"] = read_table(path.read_bytes())
            except (OSError, msgspec.MsgspecError):
                continue  # Gone since it was listed; or a problem that its proof tells.
        kept = {each.name for each in in_force(list(found.values()))}
        replaced |= {path for path, each in found.items() if each.name not in kept}
    return replaced


def across(data: DataDir, found: Derived, standing: list[TableProof]) -> None:
    """Add what no file shows by itself: its sources, two files with the same rows, strays."""
    if not (data.root / MARKER).exists():
        segments = _segments(data)
        found.problems += [
            (proof.path, what)
            for proof in standing
            if proof.manifest is not None
            for what in tables.strange_sources(data, proof.manifest, segments)
        ]
    twice: Counter[tuple[str, str]] = Counter(
        (proof.path.rpartition("/")[0], source.name)
        for proof in standing
        if proof.manifest is not None
        for source in proof.manifest.sources
    )
    found.problems += [
        (folder, f"{name} has rows in {count} files in force")
        for (folder, name), count in sorted(twice.items())
        if count > 1
    ]
    for path, what in tables.strays(data):
        if what.startswith("a stray"):
            found.problems.append((path, what))
        else:
            found.notes.append(f"{path}: {what}: the normalizer's next start sweeps it")


def _segments(data: DataDir) -> dict[str, str]:
    """The SHA-256 that the manifest of each published segment says, by name."""
    found = {}
    for path in data.manifest_paths():
        try:
            manifest = read_manifest(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue  # It is a problem of its own already.
        found[manifest.name] = manifest.sha256
    return found
