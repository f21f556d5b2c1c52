"""The samples of soaks, as segments: a chain like every other, proven and copied like every other.

Reads     segments of kind soak, published or being written
Writes    spool/open/soak/, manifests/soak/
Promises  a row is on the disk when `add` returns; a killed sampler costs no row before its last,
          and what it left is salvaged by the next one
Fails     Temporary while another soak samples the same directory; OSError while the disk refuses
"""

import sys
from pathlib import Path

import msgspec

from workers import VERSION
from workers.core.archive.manifests import Writer, read_manifest
from workers.core.archive.segments import MANIFEST_SUFFIX, OPEN_SUFFIX, ROOTS
from workers.core.soak.samples import Begun, Row, read_row
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Limits, Recorder, Stream
from workers.edge.spool.takeover import take_over

WORKER = KIND = "soak"
NS_PER_MS = 1_000_000
_LEVEL = 9
_LIMITS = Limits(
    flush_interval_s=0,
    sync_interval_s=0,
    retry_pause_s=5,
    max_segment_bytes=1 << 26,
    deflate_level=_LEVEL,
)
_STREAM = Stream(subject=WORKER, kind=KIND)


class Tape:
    """The one writer of a data directory's soaks."""

    def __init__(self, data: DataDir, wall_ns: int) -> None:
        versions = {"orderbooks": VERSION, "python": sys.version.split()[0]}
        writer = Writer(worker=WORKER, run=str(wall_ns // NS_PER_MS), versions=versions)
        take_over(data, writer, level=_LEVEL, wall_ns=wall_ns)
        self._recorder = Recorder(data, writer, _LIMITS)

    def add(self, row: Row, mono_ns: int) -> None:
        """Write a row, flushed and synced; a disk that refuses gets it with a later one."""
        line = msgspec.json.encode(row) + b"\n"
        at_ns = row.at_wall_ns
        self._recorder.append(_STREAM, line, due_ms=at_ns // NS_PER_MS, wall_ns=at_ns)
        self._recorder.flush_now(wall_ns=at_ns, mono_ns=mono_ns)

    def close(self, wall_ns: int, mono_ns: int) -> None:
        """Publish what was written."""
        self._recorder.close("stop", wall_ns=wall_ns, mono_ns=mono_ns)


class Told(msgspec.Struct, frozen=True):
    """The rows of one soak in their order, and the SHA-256 of the published files they are in."""

    rows: list[Row]
    files: dict[str, str]
    damage: list[str]


def soaks(data: DataDir) -> list[Begun]:
    """The first row of each soak, oldest first."""
    first: dict[str, Begun] = {}
    for _, _, rows, _ in _segments(data):
        for row in rows:
            if isinstance(row, Begun):
                first.setdefault(row.soak, row)
    return list(first.values())


def told(data: DataDir, soak: str) -> Told:
    """Everything of one soak."""
    found = Told([], {}, [])
    for path, sha256, rows, damage in _segments(data):
        own = [row for row in rows if row.soak == soak]
        found.rows.extend(own)
        found.damage.extend(damage)
        if own and sha256:
            found.files[path] = sha256
    found.rows.sort(key=lambda row: row.at_wall_ns)
    return found


def _segments(data: DataDir) -> list[tuple[str, str, list[Row], list[str]]]:
    """(path, sha256 or "" while it is written, rows, damage) of every segment."""
    # The open ones first: one that is published meanwhile is then read as published.
    opened = list(reader.open_streams(data, kinds=frozenset({KIND})))
    found, published = [], set()
    for path in sorted((data.root / ROOTS[KIND]).glob(f"date=*/hour=*/*{MANIFEST_SUFFIX}")):
        published.add(path.name.removesuffix(MANIFEST_SUFFIX))
        found.append(_published(data, path))
    for each in opened:
        if each.path.name.removesuffix(OPEN_SUFFIX) not in published:
            place = data.relative(each.path)
            rows, damage = _rows(place, each.rows)
            found.append((place, "", rows, damage))
    return found


def _published(data: DataDir, path: Path) -> tuple[str, str, list[Row], list[str]]:
    place = data.relative(path)
    try:
        manifest = read_manifest(path.read_bytes())
        stream = reader.read_stream(data.root / manifest.path)
    except (OSError, msgspec.MsgspecError) as error:
        return place, "", [], [f"{place}: {error}"]
    rows, damage = _rows(manifest.path, stream.data)
    if stream.damage:
        damage.append(f"{manifest.path}: {stream.damage}")
    return manifest.path, manifest.sha256, rows, damage


def _rows(place: str, data: bytes) -> tuple[list[Row], list[str]]:
    rows, damage = [], []
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            rows.append(read_row(line))
        except msgspec.MsgspecError as error:
            damage.append(f"{place}: row {number}: {error}")
    return rows, damage
