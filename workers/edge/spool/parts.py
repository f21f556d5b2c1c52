"""The parts of an archive: every segment that bears on some hours, published or being written.

A segment lies in the folder of the hour that it was begun in, so names tell which manifests the
hours need, and no other is opened:

| kind     | those that matter                                                               |
|----------|---------------------------------------------------------------------------------|
| books    | of the hours, and of the one before                                             |
| universe | of the hours, the last before them, and the very first of the archive           |
| ledger   | of each collector, as nobody else owes ticks: of the hours, the first behind    |
|          | them, and back to one that lists the markets of its shard, or to one that was   |
|          | offloaded, which no one can read                                                |

Reads     universe, ledger and books segments and their manifests; spool/open/*/chain.json
Promises  the cost is that of the hours and of how long a worker was away around them, not of the
          archive's age; rows of published segments are read when they are asked for; what cannot
          be read is added to `unreadable`
Never     writes
"""

from collections.abc import Callable, Container, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from workers.core.archive.manifests import SegmentManifest, read_manifest
from workers.core.archive.segments import MANIFEST_SUFFIX, ROOTS, SegmentName, parse_name
from workers.core.instants import MS_PER_DAY, MS_PER_HOUR, parse_utc
from workers.edge.spool import publish, reader
from workers.edge.spool.directory import DataDir

_KINDS = frozenset({"universe", "ledger", "books"})
_LEDGERS = frozenset({"ledger"})
#: In each ledger segment that lists the markets of its shard.
LOADED = b'"kind":"universe"'
#: A worker's newest link is published within this of the beginning of its newest ledger segment:
#: every hour ends the ledger, and a books segment ends with its hour or its market.
_LINK_LAG_MS = MS_PER_DAY
_FOREVER_MS = 1 << 62
_Order = Callable[[list[Any]], Iterable[Any]]


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
    data: DataDir, unreadable: list[str], released: Container[str], from_ms: int, until_ms: int
) -> dict[str, list[Part]]:
    """The segments that bear on ticks of from_ms ≤ due < until_ms, by kind, in order.

    An open one that is published meanwhile counts once.
    """
    shelf = _Shelf(data, unreadable, released, until_ms)
    begin_ms = from_ms - MS_PER_HOUR + 1
    # Ledgers first, as in _opened.
    found: dict[str, Iterable[Part]] = {
        "ledger": chain.from_iterable(
            _followed(shelf, worker, begin_ms, until_ms)
            for worker in shelf.collectors(begin_ms, until_ms)
        ),
        "books": shelf.oldest_first("books", begin_ms - MS_PER_HOUR, until_ms),
        "universe": chain(
            islice(shelf.oldest_first("universe", 0, begin_ms), 1),
            islice(shelf.newest_first("universe", 0, begin_ms), 1),
            shelf.oldest_first("universe", begin_ms, until_ms),
        ),
    }
    # One that was open and is published has the same name: it comes last, and stands.
    return {
        kind: sorted({each.name: each for each in parts}.values(), key=lambda each: each.order)
        for kind, parts in found.items()
    }


def _followed(shelf: "_Shelf", worker: str, begin_ms: int, until_ms: int) -> Iterator[Part]:
    """The ledgers of one collector, and those before and behind that say when it lived."""
    reach_ms = shelf.reach_ms(worker)
    for part in shelf.newest_first("ledger", 0, min(begin_ms, reach_ms), worker):
        yield part
        if part.is_offloaded or LOADED in part.rows():
            break
    yield from shelf.oldest_first("ledger", begin_ms, until_ms, worker)
    yield from islice(shelf.oldest_first("ledger", until_ms, reach_ms, worker), 1)


class _Shelf:
    """The segments of an archive by the hours of their folders; each manifest is read once."""

    def __init__(
        self, data: DataDir, unreadable: list[str], released: Container[str], until_ms: int
    ) -> None:
        self._data, self._unreadable, self._released = data, unreadable, released
        # Before any folder is listed: what is published meanwhile is then found there.
        self._opened = list(_opened(data, until_ms))
        self._read: dict[Path, Part | None] = {}
        self._names: dict[Path, list[tuple[SegmentName, Path]]] = {}

    def oldest_first(
        self, kind: str, from_ms: int, until_ms: int, worker: str = ""
    ) -> Iterator[Part]:
        """Segments of a kind begun in from_ms ≤ hour < until_ms; of one worker, or "" = all."""
        yield from self._published(kind, from_ms, until_ms, worker, iter)
        yield from self._open(kind, from_ms, until_ms, worker)

    def newest_first(
        self, kind: str, from_ms: int, until_ms: int, worker: str = ""
    ) -> Iterator[Part]:
        """The same backwards; what a worker has open is newer than what it published."""
        yield from reversed(self._open(kind, from_ms, until_ms, worker))
        yield from self._published(kind, from_ms, until_ms, worker, reversed)

    def collectors(self, begin_ms: int, until_ms: int) -> set[str]:
        """Those that may have been alive: with a place to write here, or a ledger of these hours.

        Of an archive without any such place the names of all ledgers tell.
        """
        places = {each.parent.name for each in self._data.open_root.glob("*/chain.json")}
        if not places:
            begin_ms, until_ms = 0, _FOREVER_MS
        hours = self._hours("ledger", begin_ms - MS_PER_HOUR, until_ms + MS_PER_HOUR, iter)
        names = [name for _, folder in hours for name, _ in self._listed(folder)]
        names += [each.name for each in self._opened]
        seen = {each.worker for each in names if each.kind == "ledger"}
        return seen | set(filter(_is_collector, places))

    def reach_ms(self, worker: str) -> int:
        """No ledger of a worker was begun from here on; far away when that is not known."""
        try:
            name = parse_name(publish.load_head(self._data, worker).name or "")
        except (OSError, msgspec.MsgspecError):
            return _FOREVER_MS
        if name is None:
            return _FOREVER_MS
        opened = (each.hour_ms for each in self._opened if each.name.worker == worker)
        return max([_started_ms(name), *opened]) + _LINK_LAG_MS

    def _open(self, kind: str, from_ms: int, until_ms: int, worker: str) -> list[Part]:
        return [
            each
            for each in self._opened
            if from_ms <= each.hour_ms < until_ms and _is_asked(each.name, kind, worker)
        ]

    def _published(
        self, kind: str, from_ms: int, until_ms: int, worker: str, order: _Order
    ) -> Iterator[Part]:
        for hour_ms, folder in self._hours(kind, from_ms, until_ms, order):
            for name, path in order(self._listed(folder)):
                part = self._part(path, name, hour_ms) if _is_asked(name, kind, worker) else None
                if part is not None:
                    yield part

    def _hours(
        self, kind: str, from_ms: int, until_ms: int, order: _Order
    ) -> Iterator[tuple[int, Path]]:
        """The folders of hours that are there; only the days asked for are looked into."""
        for date in order(sorted((self._data.root / ROOTS[kind]).glob("date=*"))):
            day_ms = _hour_ms(date.name, "hour=00")
            if day_ms >= until_ms or day_ms + MS_PER_DAY <= from_ms:
                continue
            for folder in order(sorted(date.glob("hour=*"))):
                hour_ms = _hour_ms(date.name, folder.name)
                if from_ms <= hour_ms < until_ms:
                    yield hour_ms, folder

    def _listed(self, folder: Path) -> list[tuple[SegmentName, Path]]:
        """The published segments of a folder, by worker, then by when they were begun."""
        if folder not in self._names:
            paths = folder.glob(f"*{MANIFEST_SUFFIX}")
            named = [(parse_name(each.name.removesuffix(MANIFEST_SUFFIX)), each) for each in paths]
            found = [(name, path) for name, path in named if name and _tells_of_ticks(name)]
            found.sort(key=lambda each: (each[0].worker, each[0].started, each[0].number))
            self._names[folder] = found
        return self._names[folder]

    def _part(self, path: Path, name: SegmentName, hour_ms: int) -> Part | None:
        if path not in self._read:
            self._read[path] = self._made(path, name, hour_ms)
        return self._read[path]

    def _made(self, path: Path, name: SegmentName, hour_ms: int) -> Part | None:
        data = self._data
        try:
            manifest = read_manifest(path.read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            self._unreadable.append(f"{data.relative(path)}: {error}")
            return None
        gone = not (data.root / manifest.path).exists() and manifest.path in self._released
        rows = _given(b"") if gone else _rows_of(data, manifest, self._unreadable)
        return Part(name, hour_ms, manifest, rows, is_offloaded=gone)


def _tells_of_ticks(name: SegmentName) -> bool:
    return name.kind in _KINDS and (name.kind != "ledger" or _is_collector(name.worker))


def _is_collector(worker: str) -> bool:
    return worker.startswith("collector-")


def _is_asked(name: SegmentName, kind: str, worker: str) -> bool:
    return name.kind == kind and worker in ("", name.worker)


def _opened(data: DataDir, until_ms: int) -> Iterator[Part]:
    """What is being written; of books and publications nothing that is begun after the hours.

    Ledgers are read before the others are listed: a writer flushes them last, so that whatever a
    row of them claims is in a file by then.
    """
    names = (reader.open_names(data, kinds=kinds) for kinds in (_LEDGERS, _KINDS - _LEDGERS))
    for path, name in chain.from_iterable(names):
        hour_ms = _started_ms(name) // MS_PER_HOUR * MS_PER_HOUR
        if _tells_of_ticks(name) and (name.kind == "ledger" or hour_ms < until_ms):
            stream = reader.open_stream(data, path, name)
            if stream is not None:
                yield Part(name, hour_ms, None, _given(stream.rows))


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
        return -_FOREVER_MS  # Not a folder of ours: `orderbooks verify` names what lies in it.


def _started_ms(name: SegmentName) -> int:
    text = name.started
    date, clock = f"{text[:4]}-{text[4:6]}-{text[6:8]}", f"{text[9:11]}:{text[11:13]}"
    return parse_utc(f"{date}T{clock}:{text[13:15]}.{text[15:18]}Z")


def lines_of(rows: bytes) -> list[bytes]:
    """The lines of whole rows; cut at the line feed only, a carriage return may stand inside."""
    return rows[:-1].split(b"\n") if rows else []
