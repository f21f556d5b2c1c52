"""Bugs planted on purpose: a harness that misses them proves nothing.

Each breaks one promise of the commit protocol inside a test process; workers/ knows none of them.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from workers.core.archive import segments
from workers.core.archive.manifests import Head, SegmentManifest
from workers.edge import durable
from workers.edge.spool import publish, recovery, segment, tickets
from workers.edge.spool.directory import DataDir


def _manifest_first() -> None:
    def commit(data: DataDir, manifest: SegmentManifest, source: Path) -> None:
        draft = source.with_name(f"{manifest.name}.manifest.json.tmp")
        final, target = publish.manifest_path(data, manifest), data.root / manifest.path
        durable.make_directories(target.parent)
        if not final.exists():
            durable.move(draft, final)
        if not target.exists():
            durable.move(source, target)
        tickets.issue(data, manifest, data.relative(final))

    publish.commit = commit


def _chain_after_commit() -> None:
    real_replace, real_commit = durable.replace, publish.commit
    kept: list[tuple[Path, bytes]] = []

    def replace(path: Path, data: bytes) -> None:
        if path.name == "chain.json":
            kept.append((path, data))
        else:
            real_replace(path, data)

    def commit(data: DataDir, manifest: SegmentManifest, source: Path) -> None:
        real_commit(data, manifest, source)
        while kept:
            real_replace(*kept.pop())

    durable.replace, publish.commit = replace, commit


def _ticket_first() -> None:
    real = publish.commit

    def commit(data: DataDir, manifest: SegmentManifest, source: Path) -> None:
        tickets.issue(data, manifest, data.relative(publish.manifest_path(data, manifest)))
        real(data, manifest, source)

    publish.commit = commit


def _no_fsync() -> None:
    durable.sync_data = lambda _fd: None
    os.fsync = lambda _fd: None


def _no_directory_fsync() -> None:
    durable.sync_directory = lambda _folder: None


def _trust_cache() -> None:
    def read_back(path: Path) -> Iterator[bytes]:
        yield path.read_bytes()

    durable.read_back = read_back


def _retry_fsync() -> None:
    real = durable.sync_data

    def sync_data(fd: int) -> None:
        try:
            real(fd)
        except OSError:
            real(fd)

    durable.sync_data = sync_data


def _no_tickets_after_death() -> None:
    publish.ticket_head = lambda _data, _head: 0


def _salvage_drops_a_row() -> None:
    real = recovery.scan_rows

    def scan_rows(stream: bytes) -> segments.Scan:
        scan = real(stream)
        start = stream.rfind(b"\n", 0, max(0, scan.good_bytes - 1)) + 1
        return segments.Scan(scan.rows - 1, start, "planted") if start else scan

    recovery.scan_rows = scan_rows


def _forked_chain() -> None:
    def settled_head(data: DataDir, worker: str) -> Head:
        head = publish.load_head(data, worker)
        return head.previous or Head() if head.seq > 2 else head

    publish.settled_head = settled_head


def _eager_acknowledgement() -> None:
    real = segment.OpenSegment.flush

    def flush(self: segment.OpenSegment) -> None:
        if self.path.exists():
            self.flushed_rows = self.story.rows
        else:
            real(self)

    segment.OpenSegment.flush = flush


def _told_too_early() -> None:
    segment.OpenSegment.sync = lambda self: setattr(self, "synced_rows", self.flushed_rows)


PLANTS: dict[str, Callable[[], None]] = {
    "manifest_first": _manifest_first,
    "chain_after_commit": _chain_after_commit,
    "ticket_first": _ticket_first,
    "no_fsync": _no_fsync,
    "no_directory_fsync": _no_directory_fsync,
    "trust_cache": _trust_cache,
    "retry_fsync": _retry_fsync,
    "no_tickets_after_death": _no_tickets_after_death,
    "salvage_drops_a_row": _salvage_drops_a_row,
    "forked_chain": _forked_chain,
    "eager_acknowledgement": _eager_acknowledgement,
    "told_too_early": _told_too_early,
}


def plant(name: str) -> None:
    """Break this process; "" leaves it whole."""
    if name:
        PLANTS[name]()
