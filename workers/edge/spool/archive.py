"""The archive read for coverage: publications, ledgers and captured runs between two moments.

Reads     universe, ledger and books segments, published or being written; universe.json; labels
Promises  of a long archive only the hours asked for are opened, and before them only as much as
          is needed to know which worker was alive with which markets; what cannot be read is
          listed, never skipped in silence
Never     writes
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest

import msgspec

from workers.core import ledger, story
from workers.core.coverage import Seen
from workers.core.instants import MS_PER_HOUR, parse_utc
from workers.core.labels import Acknowledged, Label, stretch_of
from workers.core.lives import Lives
from workers.core.manifests import SegmentManifest, read_manifest
from workers.core.plans import Plans
from workers.core.runs import Run, Runs
from workers.core.segments import MANIFEST_SUFFIX, SegmentName, parse_name
from workers.core.universe import Universe, read_universe
from workers.edge.spool import labels, reader
from workers.edge.spool.directory import DataDir

_KINDS = frozenset({"universe", "ledger", "books"})
_LOADED = b'"kind":"universe"'


class Gathered(msgspec.Struct):
    """Everything coverage is judged from; `seen` by token, not yet by market."""

    plans: Plans
    lives: Lives
    captured: dict[str, list[Run]] = {}
    invalid: dict[str, list[Run]] = {}
    acknowledged: list[Acknowledged] = []
    unreadable: list[str] = []

    def seen(self, tokens: tuple[str, ...]) -> Seen:
        """What is held of one market."""
        return Seen(
            captured={token: self.captured.get(token, []) for token in tokens},
            invalid={token: self.invalid.get(token, []) for token in tokens},
        )


class _Published(msgspec.Struct, frozen=True):
    """A row of a universe segment, as far as coverage needs it."""

    universe: Universe


class _Part(msgspec.Struct, frozen=True):
    """One segment, wherever it lies: the rows of an open one, or the manifest's path."""

    name: SegmentName
    hour_ms: int
    manifest: SegmentManifest | None
    rows: Callable[[], bytes]

    @property
    def order(self) -> tuple[str, str, int]:
        return self.name.worker, self.name.started, self.name.number


def gather(data: DataDir, *, from_ms: int, until_ms: int, running: Mapping[str, str]) -> Gathered:
    """Read what bears on the ticks of from_ms ≤ due < until_ms.

    Args:
        data: the directory.
        from_ms: the first moment.
        until_ms: the end, exclusive.
        running: the run of each worker that is alive now, by worker.
    """
    gathered = Gathered(Plans(), Lives())
    said = list(labels.all_labels(data, gathered.unreadable))
    gathered.acknowledged = [stretch_of(each) for each in said if _is_of_coverage(each)]
    parts = _listed(data, gathered.unreadable, from_ms, until_ms)
    _read_universes(data, gathered, parts["universe"], from_ms, until_ms)
    _read_ledgers(gathered, parts["ledger"], from_ms, until_ms)
    for worker, run in running.items():
        life = gathered.lives.find(worker, run)
        if life is not None and life.stopped_ms is None:
            life.is_running = True
    invalid = frozenset(each.artifact for each in said if each.kind == "invalid")
    _read_books(data, gathered, parts["books"], invalid)
    return gathered


def _is_of_coverage(label: Label) -> bool:
    return label.kind == "acknowledged" and label.market is not None


def _listed(
    data: DataDir, unreadable: list[str], from_ms: int, until_ms: int
) -> dict[str, list[_Part]]:
    """Every segment by kind, in order; an open one that is published meanwhile counts once."""
    parts: dict[str, dict[str, _Part]] = {kind: {} for kind in _KINDS}
    for stream in reader.open_streams(data, kinds=_KINDS):
        segment = stream.path.name.partition(".")[0]
        hour_ms = _started_ms(stream.name) // MS_PER_HOUR * MS_PER_HOUR
        parts[stream.name.kind][segment] = _Part(stream.name, hour_ms, None, _given(stream.rows))
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
        rows = _rows_of(data, manifest, unreadable)
        parts[name.kind][manifest.name] = _Part(name, hour_ms, manifest, rows)
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


def _read_universes(
    data: DataDir, gathered: Gathered, parts: list[_Part], from_ms: int, until_ms: int
) -> None:
    """The publications in force, and the very first, which begins the archive."""
    before = [part for part in parts if part.hour_ms + MS_PER_HOUR <= from_ms]
    within = [part for part in parts if from_ms - MS_PER_HOUR < part.hour_ms < until_ms]
    found = []
    for part in [*before[:1], *before[1:][-1:], *within]:
        for line in lines_of(part.rows()):
            try:
                found.append(msgspec.json.decode(line, type=_Published).universe)
            except msgspec.MsgspecError as error:
                gathered.unreadable.append(f"a row of a universe segment: {error}")
    last_seq = max((each.seq for each in found), default=0)
    try:
        newest = read_universe(data.universe.read_bytes())
        found += [newest] if newest.seq > last_seq and newest.published_ms < until_ms else []
    except FileNotFoundError:
        pass
    except (OSError, msgspec.MsgspecError) as error:
        gathered.unreadable.append(f"{data.relative(data.universe)}: {error}")
    ordered = sorted(found, key=lambda each: each.published_ms)
    for universe, later in zip_longest(ordered, ordered[1:]):
        # A crash between the row and universe.json repeats the number: only the later one was
        # ever to be seen.
        if later is None or later.seq != universe.seq:
            gathered.plans.saw(universe)


def _read_ledgers(gathered: Gathered, parts: list[_Part], from_ms: int, until_ms: int) -> None:
    for worker in sorted({part.name.worker for part in parts}):
        own = [part for part in parts if part.name.worker == worker]
        for part in _with_context(own, from_ms, until_ms):
            manifest = part.manifest
            gathered.lives.read(
                worker,
                _ledger_rows(part.rows(), gathered.unreadable),
                run=manifest.run if manifest else "",
                shard=manifest.shard if manifest else None,
                shards=manifest.shards if manifest else None,
            )
            if manifest is not None and manifest.ended == "cut_short":
                gathered.lives.ledger_cut_short(worker)


def _with_context(own: list[_Part], from_ms: int, until_ms: int) -> list[_Part]:
    """The segments of the hours asked for, one behind them, and those before that say who lived.

    Before them: back to one that loads a universe, because it lists every market of the shard.
    """
    first = sum(part.hour_ms + MS_PER_HOUR <= from_ms for part in own)
    last = sum(part.hour_ms < until_ms for part in own)
    while first > 0:
        first -= 1
        if _LOADED in own[first].rows():
            break
    return own[first : last + 1]


def _ledger_rows(rows: bytes, unreadable: list[str]) -> Iterator[ledger.Row]:
    for line in lines_of(rows):
        try:
            yield ledger.read_row(line)
        except msgspec.MsgspecError as error:
            unreadable.append(f"a row of a ledger segment: {error}")


def _read_books(
    data: DataDir, gathered: Gathered, parts: list[_Part], invalid: frozenset[str]
) -> None:
    for part in parts:
        manifest = part.manifest
        if manifest is None:
            for run in _runs_of(part.rows()):
                gathered.captured.setdefault(run.token_id, []).append(run)
            continue
        if manifest.ended == "cut_short":
            gathered.lives.cut_short(manifest.worker, manifest.told.run or manifest.run)
        problem = _problem_of_file(data, manifest)
        if problem:
            gathered.unreadable.append(f"{manifest.path}: {problem}")
            continue
        held = gathered.invalid if manifest.name in invalid else gathered.captured
        for run in manifest.told.captured:
            held.setdefault(run.token_id, []).append(run)


def _problem_of_file(data: DataDir, manifest: SegmentManifest) -> str:
    """Why a segment cannot be what its manifest says, as far as a glance tells, or ""."""
    try:
        size_bytes = (data.root / manifest.path).stat().st_size
    except OSError as error:
        return f"{error.strerror}; its manifest is there"
    if size_bytes != manifest.bytes:
        return f"{size_bytes} bytes, its manifest says {manifest.bytes}"
    return ""


def lines_of(rows: bytes) -> list[bytes]:
    """The lines of whole rows; cut at the line feed only, a carriage return may stand inside."""
    return rows[:-1].split(b"\n") if rows else []


def _runs_of(rows: bytes) -> list[Run]:
    """The captured runs of an open books segment."""
    runs: dict[str, Runs] = {}
    for line in lines_of(rows):
        row = story.read_row(line)
        runs.setdefault(row.token_id, Runs(row.token_id)).add(row.tick_ms())
    return [run for token in runs.values() for run in token.listed()]
