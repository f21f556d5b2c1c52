"""What an archive says of the hours of a soak: coverage, first captures, requests, files, copies.

Reads     manifests, ledgers, publications, labels, the offload ledger, the samples
Writes    manifests/soak/<id>.sha256: what a report rests on
Promises  of a time that is over the account is the same whenever it is made; what cannot be read
          is named
Never     asks the remote
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import msgspec

from workers.core.archive.manifests import SegmentManifest, read_manifest
from workers.core.archive.segments import DATA_SUFFIX, MANIFEST_SUFFIX, ROOTS
from workers.core.instants import MS_PER_HOUR, ms_text
from workers.core.report.stats import percentile
from workers.core.soak.report import Archived, Evidence, Files, Upload
from workers.core.tables.manifests import TableManifest
from workers.core.tables.manifests import read_manifest as read_table
from workers.edge import durable
from workers.edge.offload import ledger
from workers.edge.reading.folders import hour_folder
from workers.edge.soaking import tape
from workers.edge.soaking.account import Span, accounted
from workers.edge.spool import tables
from workers.edge.spool.directory import DataDir


def archived(data: DataDir, span: Span) -> Archived:
    """Everything, as it is now."""
    damage: list[str] = []
    segments = list(_segments(data, span, damage))
    return Archived(
        from_utc=ms_text(span.from_ms),
        until_utc=ms_text(span.until_ms),
        account=accounted(data, span),
        files=[*_files(segments), *_tables(data, span, damage)],
        upload=_upload(data, segments, damage),
        damage=damage,
    )


def listed(data: DataDir, soak: str, span: Span) -> dict[str, str]:
    """What a report of this soak rests on: the SHA-256 of each file.

    A segment that was begun an hour before may hold rows of its time.
    """
    samples = tape.told(data, soak).files
    beside = (data.root / (each.removesuffix(DATA_SUFFIX) + MANIFEST_SUFFIX) for each in samples)
    found = samples | {data.relative(path): _sha256(path) for path in beside}
    for kind in sorted(ROOTS.keys() - {tape.KIND}):
        for hour_ms in Span(span.from_ms - MS_PER_HOUR, span.until_ms).hours:
            folder = data.root / hour_folder(ROOTS[kind], hour_ms)
            for path in folder.glob(f"*--{kind}--*{MANIFEST_SUFFIX}"):
                found[data.relative(path)] = _sha256(path)
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written(data: DataDir, soak: str, span: Span) -> Evidence:
    """Write that list into manifests/soak."""
    found = listed(data, soak, span)
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(found.items())).encode()
    path = data.manifests / "soak" / f"{soak}.sha256"
    durable.replace(path, lines)
    return Evidence(
        path=data.relative(path), sha256=hashlib.sha256(lines).hexdigest(), files=len(found)
    )


def changed(data: DataDir, evidence: Evidence) -> list[str]:
    """What of the list is not as it was; empty when all of it is."""
    try:
        lines = (data.root / evidence.path).read_bytes()
    except OSError as error:
        return [f"{evidence.path}: {error.strerror}"]
    if hashlib.sha256(lines).hexdigest() != evidence.sha256:
        return [f"{evidence.path}: not the list that the report rests on"]
    found = []
    for line in lines.decode().splitlines():
        sha256, _, place = line.partition("  ")
        try:
            is_same = hashlib.sha256((data.root / place).read_bytes()).hexdigest() == sha256
        except OSError as error:
            found.append(f"{place}: {error.strerror}")
            continue
        found += [] if is_same else [f"{place}: another SHA-256 than the report rests on"]
    return found


def _segments(data: DataDir, span: Span, damage: list[str]) -> Iterator[SegmentManifest]:
    roots = sorted(set(ROOTS.values()) - {ROOTS[tape.KIND]})
    folders = [data.root / hour_folder(root, hour) for root in roots for hour in span.hours]
    for path in chain.from_iterable(sorted(it.glob(f"*{MANIFEST_SUFFIX}")) for it in folders):
        try:
            yield read_manifest(path.read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            damage.append(f"{data.relative(path)}: {error}")


def _files(manifests: Iterable[SegmentManifest]) -> Iterator[Files]:
    kinds: dict[str, list[SegmentManifest]] = {}
    for each in manifests:
        kinds.setdefault(each.kind, []).append(each)
    for kind, own in sorted(kinds.items()):
        rows, raw_bytes = sum(each.told.rows for each in own), sum(each.raw_bytes for each in own)
        yield _summed(kind, [each.bytes for each in own], rows, raw_bytes)


def _tables(data: DataDir, span: Span, damage: list[str]) -> Iterator[Files]:
    hours = {hour_folder("", hour_ms) for hour_ms in span.hours}
    found: dict[str, list[TableManifest]] = {}
    for path in tables.manifest_paths(data):
        if not any(path.parent.as_posix().endswith(hour) for hour in hours):
            continue
        try:
            manifest = read_table(path.read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            damage.append(f"{data.relative(path)}: {error}")
            continue
        found.setdefault(manifest.table, []).append(manifest)
    for table, own in sorted(found.items()):
        sizes = [each.bytes for each in own]
        yield _summed(f"derived {table}", sizes, sum(each.rows for each in own), 0)


def _summed(kind: str, sizes: list[int], rows: int, raw_bytes: int) -> Files:
    return Files(
        kind=kind,
        files=len(sizes),
        rows=rows,
        bytes=sum(sizes),
        raw_bytes=raw_bytes,
        p50_bytes=percentile(sorted(sizes), 50) or 0,
        max_bytes=max(sizes),
    )


def upload(data: DataDir, span: Span) -> Upload:
    """How the segments of some hours stand with the remote, by the offload ledger."""
    damage: list[str] = []
    return _upload(data, list(_segments(data, span, damage)), damage)


def _upload(data: DataDir, segments: list[SegmentManifest], unread: list[str]) -> Upload:
    damage = list(unread)
    proven = ledger.proven_files(data, damage)
    released = ledger.released(data, damage)
    batches, drills = list(ledger.uploads(data, damage)), list(ledger.drills(data, damage))
    own = [proven[each.path] for each in segments if each.path in proven]
    gone = [each.path for each in segments if not (data.root / each.path).exists()]
    return Upload(
        published=len(segments),
        proven=len(own),
        bytes=sum(each.bytes for each in own),
        batches=len(batches),
        causes=dict(Counter(each.cause for each in batches if each.cause)),
        verdicts=dict(Counter(row.verdict for each in batches for row in each.files)),
        unproven_gone=[each for each in gone if each not in released],
        drills_passed=sum(1 for each in drills if each.passed),
        drills_failed=sum(1 for each in drills if not each.passed),
        damage=damage,
    )
