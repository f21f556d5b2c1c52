"""Restoring: which files of a remote are asked for, and what makes the archive they become whole.

An archive in which only some hours or markets lie is a part of one: `restored.json` at its top
says so, and verify judges in it what the part can show.

Promises  a segment comes as both its files or is named; what coverage needs around the hours asked
          for (the ledgers beside them, the universe before them) comes too
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec

from workers.core.archive.segments import (
    DATA_SUFFIX,
    MANIFEST_SUFFIX,
    SegmentName,
    parse_name,
    safe_subject,
    segment_folder,
)
from workers.core.instants import MS_PER_HOUR, hour_parts, parse_utc
from workers.core.offload.offload import Found
from workers.core.tables.manifests import DATA_SUFFIX as TABLE_SUFFIX
from workers.core.tables.manifests import ROOT as DERIVED
from workers.core.tables.manifests import table_folder
from workers.core.tables.tables import TABLES

MARKER = "restored.json"
_HOUR = re.compile(r"/date=(\d{4}-\d\d-\d\d)/hour=(\d\d)$", re.ASCII)


class RestoredMarker(msgspec.Struct, frozen=True, kw_only=True):
    """`restored.json` (`orderbooks.restored/1`): this directory holds a part of an archive."""

    schema: str = "orderbooks.restored/1"
    remote: str
    at_utc: str
    asked: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What shall come back: files by name, or books of a market, or hours, or all of it.

    `words` is how a person asked; `needs_context` when coverage shall work on what comes;
    `needs_tables` when the derived files of the hours shall come, too.
    """

    words: str
    hours: frozenset[int] | None = None
    market: str | None = None
    files: frozenset[str] = frozenset()
    needs_context: bool = False
    needs_tables: bool = False

    def patterns(self) -> list[str]:
        """Patterns of rclone that hold everything asked for; [] = the whole remote."""
        if self.files:
            return [f"/*/*/*/*/{stem_of(each).rpartition('/')[2]}.*" for each in sorted(self.files)]
        found = patterns_of(self.hours) if self.hours else []
        tables = [f"/{DERIVED}{each}" for each in found] if self.needs_tables else []
        return found + tables


class Item(msgspec.Struct, frozen=True):
    """A published segment on the remote: its name taken apart, its hour, both files."""

    name: SegmentName
    hour_ms: int
    stem: str
    files: tuple[Found, ...]

    @property
    def data_path(self) -> str:
        """Of its data file."""
        return self.stem + DATA_SUFFIX

    @property
    def is_whole(self) -> bool:
        """True when data and manifest are each listed once."""
        return _is_whole(self)


class TableItem(msgspec.Struct, frozen=True):
    """A derived file on the remote: its hour, both files."""

    hour_ms: int
    stem: str
    files: tuple[Found, ...]

    @property
    def data_path(self) -> str:
        """Of its data file."""
        return self.stem + TABLE_SUFFIX

    @property
    def is_whole(self) -> bool:
        """As of a segment."""
        return _is_whole(self)


def _is_whole(item: Item | TableItem) -> bool:
    paths = [each.path for each in item.files]
    return sorted(paths) == sorted([item.data_path, item.stem + MANIFEST_SUFFIX])


Wanted = Callable[[Item], bool]


def stem_of(path: str) -> str:
    """A segment's name or path without the suffix of either file."""
    return path.removesuffix(DATA_SUFFIX).removesuffix(MANIFEST_SUFFIX)


def picked(items: Sequence[Item], asked: Asked) -> list[Item]:
    """The segments that were asked for, by place, without their context."""
    wanted: list[Wanted] = []
    if asked.files:
        wanted.append(of_files(asked.files))
    if asked.market is not None:
        wanted.append(of_market(asked.market))
    if asked.hours is not None:
        hours = asked.hours
        wanted.append(lambda item: item.hour_ms in hours)
    return [item for item in items if all(each(item) for each in wanted)]


def with_context(items: Sequence[Item], chosen: Sequence[Item]) -> list[Item]:
    """The chosen segments and what coverage of their hours reads besides, each once."""
    found = {item.stem: item for item in [*chosen, *beside(items, hours_of(chosen))]}
    return [found[stem] for stem in sorted(found)]


def items_of(listing: Iterable[Found]) -> tuple[list[Item], list[str]]:
    """The segments of a listing, by place, and the paths that are no part of one."""
    found: dict[str, list[Found]] = {}
    strangers = []
    for entry in listing:
        stem = stem_of(entry.path)
        if stem != entry.path and _placed(stem) is not None:
            found.setdefault(stem, []).append(entry)
        else:
            strangers.append(entry.path)
    items = []
    for stem in sorted(found):
        placed = _placed(stem)
        if placed is not None:
            items.append(Item(placed[0], placed[1], stem, tuple(found[stem])))
    return items, strangers


def tables_of(listing: Iterable[Found]) -> tuple[list[TableItem], list[Found]]:
    """The derived files of a listing, and what lies elsewhere."""
    found: dict[str, list[Found]] = {}
    others = []
    for entry in listing:
        if entry.path.startswith(f"{DERIVED}/"):
            stem = entry.path.removesuffix(TABLE_SUFFIX).removesuffix(MANIFEST_SUFFIX)
            found.setdefault(stem, []).append(entry)
        else:
            others.append(entry)
    items = []
    for stem in sorted(found):
        hour_ms = _hour_of_table(stem)
        if hour_ms is not None:
            items.append(TableItem(hour_ms, stem, tuple(found[stem])))
    return items, others


def _hour_of_table(stem: str) -> int | None:
    folder, _, name = stem.rpartition("/")
    table, place = name.partition("--")[0], _HOUR.search(folder)
    if table not in TABLES or place is None:
        return None
    try:
        hour_ms = parse_utc(f"{place[1]}T{place[2]}:00:00Z")
    except ValueError:
        return None
    return hour_ms if folder == table_folder(table, hour_ms) else None


def _placed(stem: str) -> tuple[SegmentName, int] | None:
    """The name of a segment and the hour it lies in; None for a path that is not exactly ours."""
    folder, _, last = stem.rpartition("/")
    name = parse_name(last)
    found = _HOUR.search(folder)
    if name is None or found is None:
        return None
    try:
        hour_ms = parse_utc(f"{found[1]}T{found[2]}:00:00Z")
    except ValueError:
        return None
    return (name, hour_ms) if folder == segment_folder(name.kind, hour_ms) else None


def of_market(slug: str) -> Wanted:
    """Books of a market: a slug, or a pattern with * and ?; `-t0`, `-t1` are its big books."""
    pattern = _pattern(slug if set(slug) & set("*?") else safe_subject(slug))

    def wanted(item: Item) -> bool:
        subject = item.name.subject
        market = subject[:-3] if subject.endswith(("-t0", "-t1")) else subject
        return item.name.kind == "books" and any(map(pattern.fullmatch, (subject, market)))

    return wanted


def _pattern(text: str) -> re.Pattern[str]:
    """`*` is any text, `?` one character."""
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."))


def of_files(said: Collection[str]) -> Wanted:
    """Segments by name, or by the path of either file."""
    stems = {stem_of(each) for each in said}
    return lambda item: item.stem in stems or item.stem.rpartition("/")[2] in stems


def hours_of(items: Iterable[Item]) -> set[int]:
    """The hours that segments lie in."""
    return {item.hour_ms for item in items}


def beside(items: Iterable[Item], hours: Collection[int]) -> Iterator[Item]:
    """What coverage of these hours reads: ledgers and universes of them, and around them.

    Of each worker the last ledger before the first hour, because it lists the markets of the
    shard, and the first one behind the last hour, which may hold its last answers; and the last
    publication before the first hour.
    """
    if not hours:
        return
    first, last = min(hours), max(hours)
    before: dict[str, Item] = {}
    behind: dict[str, Item] = {}
    for item in sorted(items, key=lambda each: (each.hour_ms, each.name.started)):
        if item.name.kind not in {"ledger", "universe"}:
            continue
        if item.hour_ms in hours:
            yield item
        elif item.hour_ms < first:
            before[f"{item.name.kind} {item.name.worker}"] = item
        elif item.hour_ms > last and item.name.kind == "ledger":
            behind.setdefault(item.name.worker, item)
    yield from before.values()
    yield from behind.values()


def patterns_of(hours: Collection[int]) -> list[str]:
    """Patterns of rclone for these hours and the days they and their neighbours lie in."""
    days = {hour_parts(hour + step * MS_PER_HOUR)[0] for hour in hours for step in (-24, 0, 1)}
    return [f"/*/*/date={day}/**" for day in sorted(days)]
