"""The parts of an archive: every segment that bears on coverage, published or being written.

Reads     universe, ledger and books segments and their manifests
Promises  rows are read when they are asked for; what cannot be read is added to `unreadable`
Never     writes
"""

from collections.abc import Callable, Collection

import msgspec

from workers.core.instants import MS_PER_HOUR, parse_utc
from workers.core.manifests import SegmentManifest, read_manifest
from workers.core.segments import MANIFEST_SUFFIX, SegmentName, parse_name
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

_KINDS = frozenset({"universe", "ledger", "books"})


class Part(msgspec.Struct, frozen=True):
    """One segment, wherever it lies: the rows of an open one, or the manifest's path."""

    name: SegmentName
    hour_ms: int
    manifest: SegmentManifest | None
    rows: Callable[[], bytes]
    is_offloaded: bool = False

    @property
    def order(self) -> tuple[str, str, int]:
        """By worker, then by when it was begun."""
        return self.name.worker, self.name.started, self.name.number


def listed(
    data: DataDir, unreadable: list[str], released: Collection[str], from_ms: int, until_ms: int
) -> dict[str, list[Part]]:
    """Every segment by kind, in order; an open one that is published meanwhile counts once."""
    parts: dict[str, dict[str, Part]] = {kind: {} for kind in _KINDS}
    for stream in reader.open_streams(data, kinds=_KINDS):
        segment = stream.path.name.partition(".")[0]
        hour_ms = _started_ms(stream.name) // MS_PER_HOUR * MS_PER_HOUR
        parts[stream.name.kind][segment] = Part(stream.name, hour_ms, None, _given(stream.rows))
    for path in data.manifest_paths():
        name = parse_name(path.name.removesuffix(MANIFEST_SUFFIX))
        if name is None or name.kind not in _KINDS:
            continue
        hour_ms = _hour_ms(path.parent.parent.name, path.parent.name)
        if name.kind == "books" and not from_ms - 2 * MS_PER_HOUR < hour_ms < until_ms:
            continue
        try:
            manifest = read_manifest(path.read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            unreadable.append(f"{data.relative(path)}: {error}")
            continue
        gone = manifest.path in released and not (data.root / manifest.path).exists()
        rows = _given(b"") if gone else _rows_of(data, manifest, unreadable)
        parts[name.kind][manifest.name] = Part(name, hour_ms, manifest, rows, is_offloaded=gone)
    return {
        kind: sorted(found.values(), key=lambda each: each.order) for kind, found in parts.items()
    }


def _given(rows: bytes) -> Callable[[], bytes]:
    return lambda: rows


def _rows_of(
    data: DataDir, manifest: SegmentManifest, unreadable: list[str]
) -> Callable[[], bytes]:
    def rows() -> bytes:
        try:
            stream = reader.read_stream(data.root / manifest.path)
        except OSError as error:
            unreadable.append(f"{manifest.path}: {error.strerror}")
            return b""
        if stream.damage:
            unreadable.append(f"{manifest.path}: {stream.damage}")
        return stream.data[: stream.data.rfind(b"\n") + 1]

    return rows


def _hour_ms(date: str, hour: str) -> int:
    try:
        return parse_utc(f"{date.removeprefix('date=')}T{hour.removeprefix('hour=')}:00:00Z")
    except ValueError:
        return 0


def _started_ms(name: SegmentName) -> int:
    text = name.started
    date, clock = f"{text[:4]}-{text[4:6]}-{text[6:8]}", f"{text[9:11]}:{text[11:13]}"
    return parse_utc(f"{date}T{clock}:{text[13:15]}.{text[15:18]}Z")


def lines_of(rows: bytes) -> list[bytes]:
    """The lines of whole rows; cut at the line feed only, a carriage return may stand inside."""
    return rows[:-1].split(b"\n") if rows else []
