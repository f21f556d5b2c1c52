"""The archive read for coverage: publications, ledgers and captured runs between two moments.

Reads     universe, ledger and books segments, published or being written; universe.json; labels
Promises  of a long archive only the hours asked for are opened, and before them only as much as
          is needed to know which worker was alive with which markets; what cannot be read is
          listed, never skipped in silence; a data file that retention let go is no damage: its
          manifest still says what was captured, and where a ledger is gone the stretch is named;
          nor is one that a label calls invalid: no captured run of it is believed, and what a
          ledger lost explains nothing
Never     writes
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import zip_longest

import msgspec

from workers.core.archive import ledger, story
from workers.core.archive.labels import Acknowledged, Label, stretch_of
from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.runs import Run, Runs
from workers.core.archive.segments import DATA_SUFFIX, MANIFEST_SUFFIX
from workers.core.coverage.coverage import MarketCoverage, Offloaded, Seen, answers_by_market, judge
from workers.core.coverage.lives import NS_PER_MS, Lives
from workers.core.coverage.plans import Known, Plans
from workers.core.instants import MS_PER_HOUR
from workers.core.universe.universe import Universe, read_universe
from workers.edge.spool import labels
from workers.edge.spool.directory import DataDir
from workers.edge.spool.parts import LOADED, Part, lines_of, listed


class Gathered(msgspec.Struct):
    """Everything coverage is judged from; `seen` by token, not yet by market.

    `plans_from_ms`: what was due before it is told by publications that were offloaded.
    `rests_on` is the SHA-256 of each published segment that was read, or its manifest, by name.
    """

    plans: Plans
    lives: Lives
    captured: dict[str, list[Run]] = {}
    invalid: dict[str, list[Run]] = {}
    acknowledged: list[Acknowledged] = []
    unreadable: list[str] = []
    offloaded: list[Offloaded] = []
    plans_from_ms: int = 0
    rests_on: dict[str, str] = {}

    def whole_from_ms(self) -> int:
        """From here on nothing that an account needs was offloaded."""
        return max([self.plans_from_ms, *(each.until_ms for each in self.offloaded)])

    def seen(self, tokens: tuple[str, ...]) -> Seen:
        """What is held of one market."""
        return Seen(
            captured={token: self.captured.get(token, []) for token in tokens},
            invalid={token: self.invalid.get(token, []) for token in tokens},
            offloaded=self.offloaded,
        )


class Judge:
    """Accounts for markets from what was gathered; lives and answers are laid out once for all."""

    def __init__(self, gathered: Gathered, markets: Iterable[Known]) -> None:
        self.gathered, self.lives = gathered, gathered.lives.listed()
        owners = {token: each.condition_id for each in markets for token in each.tokens}
        self._answers = answers_by_market(self.lives, owners)

    def judged(self, known: Known, *, from_ms: int, until_ms: int, gap_ms: int) -> MarketCoverage:
        """As `core.coverage.coverage.judge`, of one of the markets."""
        return judge(
            known,
            self.gathered.seen(known.tokens),
            self.lives,
            self._answers.get(known.condition_id, []),
            [label for label in self.gathered.acknowledged if label.is_about(known.slug)],
            from_ms=from_ms,
            until_ms=until_ms,
            gap_ms=gap_ms,
        )


class _Published(msgspec.Struct, frozen=True):
    """A row of a universe segment, as far as coverage needs it."""

    universe: Universe


def gather(
    data: DataDir,
    *,
    from_ms: int,
    until_ms: int,
    running: Mapping[str, str],
    released: Container[str] = (),
) -> Gathered:
    """Read what bears on the ticks of from_ms ≤ due < until_ms.

    Args:
        data: the directory.
        from_ms: the first moment.
        until_ms: the end, exclusive.
        running: the run of each worker that is alive now, by worker.
        released: paths of data files that retention let go; asked of those that are not here.
    """
    gathered = Gathered(Plans(), Lives())
    said = list(labels.all_labels(data, gathered.unreadable))
    invalid = frozenset(each.artifact for each in said if each.kind == "invalid")
    gathered.acknowledged = [stretch_of(each) for each in said if _is_of_coverage(each)]
    parts = listed(data, gathered.unreadable, released, from_ms, until_ms)
    _read_universes(data, gathered, parts["universe"], until_ms)
    _read_ledgers(gathered, parts["ledger"], until_ms)
    for worker, run in running.items():
        life = gathered.lives.find(worker, run)
        if life is not None and life.stopped_ms is None:
            life.is_running = True
    _read_books(data, gathered, parts["books"], invalid, from_ms)
    gathered.unreadable = [each for each in gathered.unreadable if _artifact(each) not in invalid]
    gathered.offloaded = [each for each in gathered.offloaded if each.until_ms > from_ms]
    return gathered


def _is_of_coverage(label: Label) -> bool:
    return label.kind == "acknowledged" and label.market is not None


def _read_universes(data: DataDir, gathered: Gathered, parts: list[Part], until_ms: int) -> None:
    """The publications in force, and the very first, which begins the archive."""
    found: list[Universe] = []
    behind_gap = 0
    _rest(gathered, parts)
    for part in parts:
        if part.is_offloaded:
            behind_gap = len(found)
        for line in lines_of(part.rows()):
            try:
                found.append(msgspec.json.decode(line, type=_Published).universe)
            except msgspec.MsgspecError as error:
                gathered.unreadable.append(f"{_place(part)}: a row: {error}")
    last_seq = max((each.seq for each in found), default=0)
    try:
        newest = read_universe(data.universe.read_bytes())
        found += [newest] if newest.seq > last_seq and newest.published_ms < until_ms else []
    except FileNotFoundError:
        pass
    except (OSError, msgspec.MsgspecError) as error:
        gathered.unreadable.append(f"{data.relative(data.universe)}: {error}")
    if any(part.is_offloaded for part in parts):
        # Each publication lists every market of its time.
        published_ms = (each.published_ms for each in found[behind_gap:])
        gathered.plans_from_ms = min(published_ms, default=until_ms)
    ordered = sorted(found, key=lambda each: each.published_ms)
    for universe, later in zip_longest(ordered, ordered[1:]):
        # A crash between the row and universe.json repeats the number: only the later one was
        # ever to be seen.
        if later is None or later.seq != universe.seq:
            gathered.plans.saw(universe)


def _read_ledgers(gathered: Gathered, parts: list[Part], until_ms: int) -> None:
    for worker in sorted({part.name.worker for part in parts}):
        own = [part for part in parts if part.name.worker == worker]
        _rest(gathered, own)
        for part in own:
            manifest = part.manifest
            gathered.lives.read(
                worker,
                _ledger_rows(part, gathered.unreadable),
                run=manifest.run if manifest else "",
                shard=manifest.shard if manifest else None,
                shards=manifest.shards if manifest else None,
            )
            if manifest is not None and manifest.ended == "cut_short":
                gathered.lives.ledger_cut_short(worker)
        gathered.offloaded += _stretches(own, until_ms)


def _rest(gathered: Gathered, parts: list[Part]) -> None:
    published = (part.manifest for part in parts if part.manifest is not None)
    gathered.rests_on.update((each.name, each.sha256) for each in published)


def _stretches(parts: list[Part], until_ms: int) -> Iterator[Offloaded]:
    """The stretches of one worker that nothing here tells of.

    Each lasts until a row lists the shard's markets again; where no later segment is here, to the
    end of its hour.
    """
    gap: Part | None = None
    end_ms = 0
    for part in parts:
        loaded_ms = _first_load_ms(part.rows()) if gap else None
        if part.is_offloaded:
            gap, end_ms = gap or part, part.hour_ms + MS_PER_HOUR
        elif gap and loaded_ms is not None:
            yield from _stretch(gap, loaded_ms)
            gap = None
        elif gap:
            end_ms = until_ms
    if gap:
        yield from _stretch(gap, end_ms)


def _stretch(gap: Part, until_ms: int) -> Iterator[Offloaded]:
    manifest = gap.manifest
    if manifest is not None and manifest.shard is not None and manifest.shards:
        yield Offloaded(gap.hour_ms, until_ms, manifest.shard, manifest.shards)


def _first_load_ms(rows: bytes) -> int | None:
    at = rows.find(LOADED)
    if at < 0:
        return None
    try:
        row = ledger.read_row(rows[rows.rfind(b"\n", 0, at) + 1 : rows.find(b"\n", at)])
    except msgspec.MsgspecError:
        return None  # _ledger_rows names it.
    return row.at_wall_ns // NS_PER_MS + 1 if isinstance(row, ledger.Loaded) else None


def _ledger_rows(part: Part, unreadable: list[str]) -> Iterator[ledger.Row]:
    for line in lines_of(part.rows()):
        try:
            yield ledger.read_row(line)
        except msgspec.MsgspecError as error:
            unreadable.append(f"{_place(part)}: a row: {error}")


def _place(part: Part) -> str:
    return part.manifest.path if part.manifest else f"an open {part.name.kind} segment"


def _artifact(unreadable: str) -> str:
    """The name that a label has for what an entry of `unreadable` is about."""
    name = unreadable.partition(": ")[0].rpartition("/")[2]
    return name.removesuffix(DATA_SUFFIX).removesuffix(MANIFEST_SUFFIX)


def _read_books(
    data: DataDir, gathered: Gathered, parts: list[Part], invalid: frozenset[str], from_ms: int
) -> None:
    for part in parts:
        manifest = part.manifest
        if manifest is None:
            for run in _runs_of(part.rows()):
                gathered.captured.setdefault(run.token_id, []).append(run)
            continue
        if manifest.ended == "cut_short":
            gathered.lives.cut_short(manifest.worker, manifest.told.run or manifest.run)
        is_invalid = manifest.name in invalid
        problem = "" if part.is_offloaded else _problem_of_file(data, manifest)
        if problem and not is_invalid:
            gathered.unreadable.append(f"{manifest.path}: {problem}")
            continue
        if manifest.told.last_due_ms is None or manifest.told.last_due_ms >= from_ms:
            _rest(gathered, [part])
        held = gathered.invalid if is_invalid else gathered.captured
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


def _runs_of(rows: bytes) -> list[Run]:
    """The captured runs of an open books segment."""
    runs: dict[str, Runs] = {}
    for line in lines_of(rows):
        row = story.read_row(line)
        runs.setdefault(row.token_id, Runs(row.token_id)).add(row.tick_ms())
    return [run for token in runs.values() for run in token.listed()]
