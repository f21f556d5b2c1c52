"""Which markets there are: their tokens, their windows, and when they were due.

Reads     universe segments, published or being written; spool/universe/universe.json
Promises  of a long archive only the hours asked about are opened, and the very first publication,
          from which on ticks were due
Never     guesses an outcome's token: it is as a publication or a manifest says
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import zip_longest

import msgspec

from workers.core.archive.segments import MANIFEST_SUFFIX, OPEN_SUFFIX, ROOTS, parse_name
from workers.core.coverage.plans import Known, Plans
from workers.core.instants import MS_PER_HOUR
from workers.core.universe.markets import Market
from workers.core.universe.slugs import Window
from workers.core.universe.universe import Universe, read_universe
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import Folders, hour_folder, hour_of
from workers.edge.reading.vault import Held, Vault, stamp_of
from workers.edge.spool.directory import DataDir

_ROOT = ROOTS["universe"]
_OPEN = "spool/open/discovery"
#: Hours of publications that are kept in memory, folded.
_EPOCHS = 64


class Subject(msgspec.Struct, frozen=True):
    """A market that can be asked about; `tokens` are (token id, outcome) in the venue's order."""

    slug: str
    condition_id: str
    series: str
    tokens: tuple[tuple[str, str], ...]
    window: Window | None
    known: Known | None


class Epoch:
    """The publications that bear on some hours, folded."""

    def __init__(self) -> None:
        self.plans = Plans()
        self.markets: dict[str, Market] = {}
        self.slugs: dict[str, str] = {}

    def saw(self, universe: Universe) -> None:
        """Fold in a publication; they come in the order they were published."""
        self.plans.saw(universe)
        for market in universe.markets:
            self.markets[market.condition_id] = market
            self.slugs[market.slug] = market.condition_id

    def subject(self, condition_id: str) -> Subject | None:
        """One market, or None."""
        market = self.markets.get(condition_id)
        if market is None:
            return None
        return Subject(
            market.slug,
            market.condition_id,
            market.series,
            tuple((each.token_id, each.outcome) for each in market.tokens),
            market.window,
            self.plans.markets[condition_id],
        )


class _Published(msgspec.Struct, frozen=True):
    universe: Universe


class Catalogue:
    """The markets of an archive, by the hours in which they were published."""

    def __init__(self, data: DataDir, folders: Folders, vault: Vault) -> None:
        self._data, self._folders, self._vault = data, folders, vault
        self._epochs: OrderedDict[tuple[object, ...], tuple[Epoch, list[tuple[str, str]]]] = (
            OrderedDict()
        )

    def hours(self) -> list[int]:
        """Every hour that has publications, Unix ms."""
        return list(self._folders.hours(_ROOT))

    def epoch(self, from_ms: int, until_ms: int, findings: Findings) -> Epoch:
        """What was published for the hours that from_ms ≤ t < until_ms touches."""
        sources = [*self._sources(hour_of(from_ms), max(until_ms, from_ms + 1))]
        key = (hour_of(from_ms), hour_of(until_ms - 1), *(each[0] for each in sources))
        kept = self._epochs.get(key)
        if kept is None:
            own = Findings("label")
            found = self._universes(sources, until_ms, own)
            kept = self._epochs[key] = (_folded(found), own.pairs)
            while len(self._epochs) > _EPOCHS:
                self._epochs.popitem(last=False)
        self._epochs.move_to_end(key)
        findings.repeat(kept[1])
        return kept[0]

    def _sources(self, from_ms: int, until_ms: int) -> Iterator[tuple[object, str, bool]]:
        """What is read for some hours: a key that changes with it, its place, and if it is open."""
        hours = self.hours()
        before = [hour for hour in hours if hour + MS_PER_HOUR <= from_ms]
        within = [hour for hour in hours if from_ms - MS_PER_HOUR < hour < until_ms]
        for hour in dict.fromkeys([*before[:1], *before[-1:], *within]):
            place = hour_folder(_ROOT, hour)
            names = [each for each in self._folders.names(place) if _is_ours(each)]
            yield from ((f"{place}/{each}", f"{place}/{each}", False) for each in names)
        for each in self._folders.names(_OPEN):
            name = parse_name(each.removesuffix(OPEN_SUFFIX))
            if each.endswith(OPEN_SUFFIX) and name is not None and name.kind == "universe":
                yield self._stamp(f"{_OPEN}/{each}"), f"{_OPEN}/{each}", True
        place = self._data.relative(self._data.universe)
        yield self._stamp(place), place, True

    def _stamp(self, place: str) -> object:
        try:
            return stamp_of(self._data.root / place)
        except FileNotFoundError:
            return None

    def _universes(
        self, sources: list[tuple[object, str, bool]], until_ms: int, findings: Findings
    ) -> list[Universe]:
        """Every publication of these files, in order; a crash may have repeated a number."""
        found: list[Universe] = []
        newest = self._data.relative(self._data.universe)
        for _, place, is_open in sources:
            if place == newest:
                continue
            held = self._open(place) if is_open else self._published(place, findings)
            if held is not None:
                found += _rows(held, findings)
        last_seq = max((each.seq for each in found), default=0)
        now = self._newest(newest, findings)
        if now is not None and now.seq > last_seq and now.published_ms < until_ms:
            found.append(now)
        return sorted(found, key=lambda each: each.published_ms)

    def _open(self, place: str) -> Held | None:
        return self._vault.open(self._data.root / place)

    def _published(self, place: str, findings: Findings) -> Held | None:
        try:
            manifest = self._vault.manifest(self._data.root / place)
        except FileNotFoundError:
            return None
        if isinstance(manifest, str):
            findings.damaged(place, manifest)
            return None
        return self._vault.published(manifest)

    def _newest(self, place: str, findings: Findings) -> Universe | None:
        try:
            return read_universe((self._data.root / place).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            findings.damaged(place, str(error))
            return None


def _is_ours(file: str) -> bool:
    name = parse_name(file.removesuffix(MANIFEST_SUFFIX))
    return file.endswith(MANIFEST_SUFFIX) and name is not None and name.kind == "universe"


def _rows(held: Held, findings: Findings) -> Iterator[Universe]:
    if held.is_offloaded:
        findings.offloaded(held.path)
    if held.damage:
        findings.damaged(held.path, held.damage)
    for line in held.rows[:-1].split(b"\n") if held.rows else []:
        try:
            yield msgspec.json.decode(line, type=_Published).universe
        except msgspec.MsgspecError as error:
            findings.damaged(held.path, f"a row of a universe segment: {error}")


def _folded(universes: list[Universe]) -> Epoch:
    epoch = Epoch()
    for universe, later in zip_longest(universes, universes[1:]):
        # A crash between the row and universe.json repeats the number: only the later one was
        # ever to be seen.
        if later is None or later.seq != universe.seq:
            epoch.saw(universe)
    return epoch
