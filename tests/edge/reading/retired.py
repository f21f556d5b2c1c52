"""A data file let go as retention does it, for tests: listed first, then removed."""

from pathlib import Path

from tests.tools.archives import HOUR_MS, Fleet, S
from workers.core.archive.ledger import encode_row
from workers.core.archive.manifests import read_manifest
from workers.core.offload.offload import GoneRow, RetentionManifest
from workers.edge.spool.recorder import Stream


def release(fleet: Fleet, path: Path, at_ms: int = HOUR_MS + 100 * S) -> None:
    """Write the row that lets a segment go, and remove its data file."""
    manifest = read_manifest(
        path.with_name(path.name.replace(".jsonl.gz", ".manifest.json")).read_bytes()
    )
    row = GoneRow(
        path=manifest.path,
        bytes=manifest.bytes,
        sha256=manifest.sha256,
        proof="sha256",
        reason="age",
    )
    passed = RetentionManifest(
        batch="b",
        step="listed",
        remote="./r",
        at_utc="2026-04-17T00:00:00Z",
        files=[row],
        bytes=manifest.bytes,
    )
    worker = fleet.collector(at_ms)
    worker.recorder.append(
        Stream(subject="uploader", kind="retention"),
        encode_row(passed),
        due_ms=at_ms,
        wall_ns=at_ms * 1_000_000,
    )
    worker.stop(at_ms + S)
    path.unlink()
