"""Holds edge.spool.journal: the watchdog's history is read back, and bounded in memory."""

from pathlib import Path

import msgspec
import pytest

from workers.core.archive.manifests import Writer
from workers.core.health.disk import DiskSeen, Sample
from workers.core.health.reports import DiskManifest
from workers.edge import durable
from workers.edge.spool.directory import DataDir
from workers.edge.spool.journal import Journal, disk_history
from workers.edge.spool.recorder import Limits, Recorder

S = 1_000_000_000
NOW = 1_795_228_320 * S
HOUR_NS = 3600 * S
LIMITS = Limits(
    flush_interval_s=1,
    sync_interval_s=1,
    retry_pause_s=1,
    max_segment_bytes=1 << 20,
    deflate_level=6,
)


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    data = DataDir(tmp_path / "var")
    data.prepare()
    durable.make_directories(data.open_folder("watchdog"))
    return data


@pytest.fixture
def recorder(data: DataDir) -> Recorder:
    writer = Writer(worker="watchdog", run=str(NOW // 10**6), versions={"orderbooks": "0"})
    return Recorder(data, writer, LIMITS)


@pytest.fixture
def journal(data: DataDir, recorder: Recorder) -> Journal:
    return Journal(data, recorder, "watchdog")


def row(at_wall_ns: int, free_bytes: int = 100) -> DiskManifest:
    seen = DiskSeen(
        free_bytes=free_bytes,
        total_bytes=1000,
        free_inodes=1,
        total_inodes=2,
        directories={"raw": 30, "log": 12},
    )
    return DiskManifest(at_utc="", at_wall_ns=at_wall_ns, guard="ok", disk=seen)


def test_the_disk_history_of_the_last_hours_is_read_back(
    data: DataDir, recorder: Recorder, journal: Journal
):
    times = [NOW - 8 * HOUR_NS, NOW - 5 * HOUR_NS, NOW - HOUR_NS]
    for at_wall_ns in times:
        journal.remember("disk", row(at_wall_ns), at_wall_ns)
    recorder.close("stop", wall_ns=NOW, mono_ns=S)

    assert [Sample(each, 100, 42) for each in times[1:]] == disk_history(data, NOW, 6)


def test_history_that_is_damaged_or_strange_is_passed_over(
    data: DataDir, recorder: Recorder, journal: Journal
):
    journal.remember("disk", row(NOW), NOW)
    recorder.close("stop", wall_ns=NOW, mono_ns=S)
    folder = data.segment_folder("disk", NOW // 10**6)
    (folder / "a.jsonl.gz").write_bytes(b"no gzip")
    (folder / "b.jsonl.gz").symlink_to("/dev/zero")
    (folder / "c.jsonl.gz").mkdir()

    assert [Sample(NOW, 100, 42)] == disk_history(data, NOW, 6)


def test_history_waits_in_memory_only_up_to_a_bound(recorder: Recorder, journal: Journal):
    noise = msgspec.structs.replace(row(NOW), problems=[str(each) for each in range(30_000)])
    for each in range(400):
        journal.remember("disk", msgspec.structs.replace(noise, at_wall_ns=NOW + each), NOW)

    assert recorder.pending_bytes < 8 << 20
