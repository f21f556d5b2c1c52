"""A drill: a proven file is fetched back from the remote and read to its last row.

Of a segment that is the examination of `orderbooks verify`; of a derived file its size and hashes,
and every row group of it.

Reads     the remote; the local manifest of the file, when it is still here
Writes    spool/drill/, which is emptied again
Promises  passes only when the fetched manifest is ours byte for byte and the fetched data is
          everything the manifest says
"""

# ruff: noqa: PLC0415 - pyarrow is imported in the child only

import multiprocessing
import os
import shutil
from pathlib import Path

import msgspec

from workers.core.archive.manifests import encode
from workers.core.archive.segments import MANIFEST_SUFFIX
from workers.core.errors import Refused
from workers.core.tables.tables import TABLES
from workers.edge.offload.courier import Courier, Job, Said
from workers.edge.spool import outbox, tables
from workers.edge.spool.directory import DataDir
from workers.edge.spool.proving import prove
from workers.edge.world import die_with_parent


class Drilled(msgspec.Struct, frozen=True):
    """What the examination of a fetched file found; `problems` is empty when it is whole."""

    bytes: int = 0
    rows: int = 0
    problems: list[str] = []


def clear(data: DataDir) -> None:
    """Remove what a drill left that was killed."""
    shutil.rmtree(data.root / "spool/drill", ignore_errors=True)


def drilled(courier: Courier, data: DataDir, path: str, said: Said) -> Job[Drilled]:
    """Fetch one data file with its manifest and examine both."""
    scratch = data.root / "spool/drill"
    shutil.rmtree(scratch, ignore_errors=True)
    manifest = f"{path.rpartition('/')[0]}/{outbox.name_of(path)}{MANIFEST_SUFFIX}"
    try:
        yield from courier.fetched([path, manifest], scratch, said)
        if said.failure is not None:
            return Drilled()
        if not (scratch / manifest).exists():
            return Drilled(problems=["the remote has no manifest of it"])
        problems = []
        if _bytes(data.root / manifest) not in {None, _bytes(scratch / manifest)}:
            problems.append("its manifest on the remote is not the one that lies here")
        found = yield from _examined(scratch, scratch / manifest)
        return msgspec.structs.replace(found, problems=[*problems, *found.problems])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _examined(root: Path, manifest: Path) -> Job[Drilled]:
    """Examine in a child: a segment takes 200 MB unpacked, and a worker must stay small."""
    verdict = root / "verdict.json"
    child = multiprocessing.get_context("spawn").Process(
        target=_examine, args=(root, manifest, verdict, os.getpid()), daemon=True
    )
    child.start()
    try:
        while child.is_alive():
            yield
    finally:
        child.kill()
        child.join()
    try:
        return msgspec.json.decode(verdict.read_bytes(), type=Drilled)
    except FileNotFoundError:
        return Drilled(problems=[f"the examination ended with exit code {child.exitcode}"])


def _examine(root: Path, manifest: Path, verdict: Path, parent: int) -> None:
    # An orphan would write into the folder of the next uploader's drill.
    die_with_parent()
    if os.getppid() != parent:
        return
    if tables.is_derived(manifest.relative_to(root).as_posix()):
        verdict.write_bytes(encode(_examined_table(root, manifest)))
        return
    proof = prove(root, manifest).proof
    verdict.write_bytes(encode(Drilled(proof.bytes, proof.rows, proof.problems)))


def _examined_table(root: Path, path: Path) -> Drilled:
    from workers.edge import parquet

    proof = tables.prove(root, path)
    manifest = proof.manifest
    if manifest is None:
        return Drilled(problems=proof.problems)
    if proof.absent:
        return Drilled(problems=["its data file did not come"])
    rows = 0
    try:
        for group in parquet.groups(root / manifest.path, TABLES[manifest.table]):
            rows += len(group)
    except (Refused, OSError) as error:
        proof.problems.append(str(error))
    if rows != manifest.rows:
        proof.problems.append(f"{rows} rows, its manifest says {manifest.rows}")
    return Drilled(manifest.bytes, rows, proof.problems)
