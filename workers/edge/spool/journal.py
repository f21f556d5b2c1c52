"""The watchdog's own writing: a latest.json that is replaced, and a history that is appended.

Writes    manifests/<kind>/latest.json, metrics/orderbooks.prom, and segments of kind health, disk
          and alerts
Promises  a full disk costs history rows, never the watchdog: what cannot be written is said in
          `problem`, and history waits in memory only up to a bound
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from workers.core.archive.manifests import encode
from workers.core.archive.segments import DATA_SUFFIX
from workers.core.errors import is_disk_trouble
from workers.core.health.disk import DiskSeen, Sample
from workers.core.instants import MS_PER_HOUR
from workers.edge import durable
from workers.edge.spool import state
from workers.edge.spool.directory import DataDir
from workers.edge.spool.reader import read_stream
from workers.edge.spool.recorder import Recorder, Stream

NS_PER_MS = 1_000_000
#: Compressed bytes of history held for a disk that refuses; some days of it.
_PENDING_MAX_BYTES = 4 << 20
#: An hour of disk history takes 3 KB compressed.
_HISTORY_MAX_BYTES = 1 << 20


class Journal:
    """Everything the watchdog leaves behind."""

    def __init__(self, data: DataDir, recorder: Recorder, worker: str) -> None:
        self._data, self._recorder, self._worker = data, recorder, worker
        self.problem = ""

    def replace(self, kind: str, manifest: msgspec.Struct) -> None:
        """Replace manifests/<kind>/latest.json for readers; after a power cut it may be gone."""
        self._try(lambda: durable.replace_unsynced(self._data.latest(kind), encode(manifest)))

    def replace_synced(self, kind: str, manifest: msgspec.Struct) -> None:
        """Replace manifests/<kind>/latest.json so that it survives a power cut."""
        self._try(lambda: state.write(self._data.latest(kind), manifest))

    def guard(self, guard: msgspec.Struct) -> None:
        """Replace the disk guard; unsynced, because it is written again within seconds."""
        self._try(lambda: durable.replace_unsynced(self._data.guard, encode(guard)))

    def publish(self, page: str) -> None:
        """Replace the metrics page for whoever scrapes it; written again with the next look."""
        self._try(lambda: durable.replace_unsynced(self._data.metrics, page.encode()))

    def remember(self, kind: str, row: msgspec.Struct, wall_ns: int) -> None:
        """Append one row to the history of a kind."""
        if self._recorder.pending_bytes > _PENDING_MAX_BYTES:
            return
        stream = Stream(subject=self._worker, kind=kind)
        line = msgspec.json.encode(row) + b"\n"
        self._recorder.append(stream, line, due_ms=wall_ns // NS_PER_MS, wall_ns=wall_ns)

    def tend(self, *, wall_ns: int, mono_ns: int) -> None:
        """Flush, sync and publish the history."""
        self._recorder.tend(wall_ns=wall_ns, mono_ns=mono_ns)

    def begin_look(self) -> None:
        """Forget the problems of the look before; the recorder's own last as long as it says."""
        trouble = self._recorder.trouble
        self.problem = trouble.reason if trouble else ""

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if not is_disk_trouble(error):
                raise
            self.problem = str(error)


class _DiskRow(msgspec.Struct, frozen=True):
    """The members of a disk history row that the forecast needs."""

    at_wall_ns: int
    disk: DiskSeen | None = None


_disk_row = msgspec.json.Decoder(_DiskRow)


def disk_history(data: DataDir, wall_ns: int, hours: int) -> list[Sample]:
    """The published disk history of the last hours; damaged rows and files are passed over."""
    samples = []
    for row in _disk_rows(data, wall_ns, hours):
        if row.disk is not None:
            used = sum(row.disk.directories.values())
            samples.append(Sample(row.at_wall_ns, row.disk.free_bytes, used))
    return samples


def _disk_rows(data: DataDir, wall_ns: int, hours: int) -> Iterator[_DiskRow]:
    now_ms = wall_ns // NS_PER_MS
    for hour in range(hours, -1, -1):
        folder = data.segment_folder("disk", now_ms - hour * MS_PER_HOUR)
        for path in sorted(folder.glob(f"*{DATA_SUFFIX}")):
            yield from _rows_of(path)


def _rows_of(path: Path) -> list[_DiskRow]:
    """The rows of one segment; none of a damaged one: naming damage is `verify`'s work."""
    try:
        if not path.is_file() or path.stat().st_size > _HISTORY_MAX_BYTES:
            return []
        return [_disk_row.decode(line) for line in read_stream(path).data.splitlines()]
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return []
