"""Homecoming: files fetched from the remote into a data directory of their own, and proven.

Reads     the remote; the local manifests and the offload ledger of the archive, as far as they are
          left
Writes    the target directory: files under their own paths, restored.json
Promises  a file that lies there is never overwritten; each segment is read to its last row against
          its manifest, a derived file hashed, and the manifest compared with ours and the ledger
Fails     Temporary: the remote does not answer; NeedsAPerson: nothing matches, or the target holds
          another file under a name
"""

import hashlib
from collections import Counter
from collections.abc import Callable

import msgspec

from workers.core.archive.segments import MANIFEST_SUFFIX
from workers.core.errors import NeedsAPerson, Temporary
from workers.core.instants import MS_PER_HOUR, ms_text
from workers.core.offload.offload import HASH_TYPES, Found
from workers.core.offload.rclone_failures import Failure
from workers.core.offload.restores import (
    MARKER,
    Asked,
    Item,
    RestoredMarker,
    TableItem,
    items_of,
    picked,
    stem_of,
    tables_of,
    with_context,
)
from workers.edge.offload import ledger
from workers.edge.offload.courier import Courier, Said
from workers.edge.offload.foreground import batches, finished
from workers.edge.spool import proving, state, tables
from workers.edge.spool.directory import DataDir

_BATCH_FILES = 500
_BATCH_BYTES = 1 << 30


class Chosen(msgspec.Struct):
    """What comes home; `problems` is (path, what) and grows, `hours` are those asked for."""

    items: list[Item]
    to_fetch: list[Found]
    hours: list[int]
    problems: list[tuple[str, str]]
    notes: list[str]
    tables: list[TableItem] = []

    @property
    def every(self) -> "list[Item | TableItem]":
        """Segments and derived files."""
        return [*self.items, *self.tables]

    @property
    def bytes_to_fetch(self) -> int:
        """What it takes on the disk."""
        return sum(each.bytes for each in self.to_fetch)


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The report: everything that was asked for, whether fetched now or there before."""

    files: int
    bytes: int
    rows: int
    segments: dict[str, int]
    derived: dict[str, int]
    fetched_files: int
    fetched_bytes: int
    from_utc: str | None
    until_utc: str | None
    problems: list[tuple[str, str]]
    notes: list[str]


class Homecoming:
    """One restore.

    Args:
        target: where to; its directories exist.
        lost: the archive that the files are of; it may be gone.
    """

    def __init__(self, courier: Courier, target: DataDir, lost: DataDir) -> None:
        self._courier, self._target, self._lost = courier, target, lost

    def chosen(self, asked: Asked) -> Chosen:
        """List the remote and choose."""
        derived, listing = tables_of(self._listed(asked.patterns()))
        items, strangers = items_of(listing)
        main = picked(items, asked)
        if not main:
            raise NeedsAPerson(
                f"restore {asked.words}: {self._courier.remote} has no such segment",
                hint="`orderbooks offload verify` lists what is proven there",
            )
        chosen = with_context(items, main) if asked.needs_context else main
        stems = {name for item in main for name in (item.stem, item.stem.rpartition("/")[2])}
        problems = [
            (each, "not on the remote")
            for each in sorted(asked.files)
            if stem_of(each) not in stems
        ]
        hours = sorted({item.hour_ms for item in main})
        came = [each for each in derived if asked.needs_tables and each.hour_ms in hours]
        every: list[Item | TableItem] = [*chosen, *came]
        problems += [(item.stem, _half(item)) for item in every if not item.is_whole]
        files = {each.path: each for item in every for each in item.files}
        return Chosen(
            items=chosen,
            to_fetch=[each for each in files.values() if not self._is_here(each)],
            hours=hours,
            tables=came,
            problems=problems,
            notes=[f"not ours, left there: {each}" for each in strangers[:3] if not asked.files],
        )

    def _listed(self, patterns: list[str]) -> list[Found]:
        found: list[Found] = []
        said = Said()
        hash_type = finished(self._courier.hash_type(said))
        if said.failure is None:
            finished(self._courier.surveyed(patterns, hash_type, found.append, said))
        if said.failure is not None:
            cause = f"{said.failure.cause}: {said.failure.detail}"
            raise Temporary(f"list {self._courier.remote}: {cause}", hint="try again")
        return found

    def _is_here(self, found: Found) -> bool:
        """True when the target has the file; raises NeedsAPerson when it has another one."""
        path = self._target.root / found.path
        if not path.exists():
            return False
        kind = next((each for each in HASH_TYPES if each in found.hashes), None)
        if path.stat().st_size != found.bytes or (
            kind is not None and self._digest(found.path, kind) != found.hashes[kind]
        ):
            raise NeedsAPerson(
                f"restore {found.path}: another file lies in {self._target.root} under that name",
                hint="--to names another directory, or move that file away",
            )
        return True

    def _digest(self, path: str, kind: str) -> str:
        with (self._target.root / path).open("rb") as file:
            made = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False))
        return made.hexdigest()

    def mark(self, words: str, at_utc: str) -> None:
        """Say in the target, before anything comes, that it is a part of an archive."""
        marker = RestoredMarker(remote=self._courier.remote, at_utc=at_utc, asked=words)
        state.write(self._target.root / MARKER, marker)

    def fetch(self, chosen: Chosen, advance: Callable[[], None]) -> None:
        """Bring the files; what did not come is a problem of `chosen`, with the cause."""
        failure: Failure | None = None
        sizes = [(each.path, each.bytes) for each in chosen.to_fetch]
        for paths in batches(sizes, files=_BATCH_FILES, size_bytes=_BATCH_BYTES):
            said = Said()
            finished(self._courier.fetched(paths, self._target.root, said))
            failure = said.failure or failure
            if failure and not any((self._target.root / path).exists() for path in paths):
                break
            for _ in paths:
                advance()
        cause = f"{failure.cause}: {failure.detail}" if failure else "rclone did not say why"
        chosen.problems += [
            (path, f"not fetched: {cause}; run the same again")
            for path, _ in sizes
            if not (self._target.root / path).exists()
        ]

    def proved(self, chosen: Chosen, *, jobs: int) -> Restored:
        """Read every segment that is here to its last row, in `jobs` processes.

        Derived files are compared with their manifests: size and hashes.
        """
        problems, notes = chosen.problems, chosen.notes
        known = ledger.proven_files(self._lost, notes)
        if not known:
            notes.append("no offload ledger is left here: proven by their own manifests alone")
        kinds: Counter[str] = Counter()
        rows = 0
        manifests = [self._target.root / f"{item.stem}{MANIFEST_SUFFIX}" for item in chosen.items]
        here = [path for path in manifests if path.exists()]
        for proven in proving.proved(self._target.root, here, jobs=jobs):
            proof = proven.proof
            kinds[proof.kind or "unreadable"] += 1
            rows += proof.rows
            problems += [(proof.path, each) for each in proof.problems]
            problems += [(proof.path, each) for each in self._strange(proof.path, known)]
        derived = self._proved_tables(chosen, known, jobs)
        hours = chosen.hours
        files = [self._target.root / each.path for item in chosen.every for each in item.files]
        sizes = [path.stat().st_size for path in set(files) if path.exists()]
        return Restored(
            files=len(sizes),
            bytes=sum(sizes),
            rows=rows,
            segments=dict(sorted(kinds.items())),
            derived=dict(sorted(derived.items())),
            fetched_files=len(chosen.to_fetch),
            fetched_bytes=chosen.bytes_to_fetch,
            from_utc=ms_text(hours[0]) if hours else None,
            until_utc=ms_text(hours[-1] + MS_PER_HOUR) if hours else None,
            problems=problems,
            notes=notes,
        )

    def _proved_tables(
        self, chosen: Chosen, known: dict[str, ledger.Proven], jobs: int
    ) -> Counter[str]:
        root = self._target.root
        manifests = [root / f"{item.stem}{MANIFEST_SUFFIX}" for item in chosen.tables]
        found: Counter[str] = Counter()
        for proof in tables.proved(root, [path for path in manifests if path.exists()], jobs=jobs):
            found[proof.manifest.table if proof.manifest else "unreadable"] += 1
            told = [*proof.problems, *(["its data file is not here"] if proof.absent else [])]
            told += self._strange(proof.path, known)
            chosen.problems += [(proof.path, each) for each in told]
        return found

    def _strange(self, manifest: str, known: dict[str, ledger.Proven]) -> list[str]:
        """In what a manifest that came is not the one that was sent."""
        raw = (self._target.root / manifest).read_bytes()
        ours = self._lost.root / manifest
        found = []
        if ours.exists() and ours.read_bytes() != raw:
            found.append("is not the manifest that lies in the data directory")
        proof = known.get(manifest)
        if proof is not None and proof.sha256 != hashlib.sha256(raw).hexdigest():
            found.append(f"is not the manifest that was proven in batch {proof.batch}")
        return found


def _half(item: Item | TableItem) -> str:
    paths = [each.path for each in item.files]
    if len(paths) != len(set(paths)):
        return "listed twice under one path: the first is fetched, the content decides"
    has_data = item.data_path in paths
    return "its manifest is not on the remote" if has_data else "its data file is not on the remote"
