"""A batch of raw segments becomes derived files: parsed, checked, written, committed.

Reads     raw segments, the manifests of derived files
Writes    one file for each table and batch, and its manifest
Promises  a segment whose rows are in force already is not read again; side tables (`bad`, `stats`)
          are committed before the main one, so that a segment in the main table is done
Fails     Unfit for the one segment at fault: nothing of the batch is committed then
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec

from workers.core.archive.story import ManifestMarket
from workers.core.books.states import States
from workers.core.instants import utc_text
from workers.core.tables.events import FramesReader, Voucher
from workers.core.tables.manifests import Source, TableManifest, covered, table_name
from workers.core.tables.normalizing import BadRow, BooksReader
from workers.core.tables.retelling import Reader, stats_row
from workers.core.tables.tables import SPARSE, TABLES, TABLES_OF_KIND
from workers.edge import parquet
from workers.edge.derived import shelf, source
from workers.edge.derived.drafts import RUN_BYTES, Draft
from workers.edge.derived.shelf import Batch
from workers.edge.derived.source import Segment, Unfit
from workers.edge.spool.directory import DataDir

_NO_MARKET = ManifestMarket(slug="", condition_id="", series="", tokens={})


#: Tables whose rows begin with the market, as segments come: one market's can be written for good.
_BY_MARKET = ("books", "snapshots", "changes")
Has = Mapping[str, Mapping[str, Source]]


class Part(msgspec.Struct, frozen=True):
    """What one segment gave: rows by table, bad ones by reason, checks of the main table."""

    segment: Segment
    rows: dict[str, int]
    bad: dict[str, int]
    checks: dict[str, int]


def build(
    batch: Batch, hour_ms: int, kind: str, segments: Sequence[Segment]
) -> list[TableManifest]:
    """Derive the segments of one kind and hour; returns what was committed.

    Raises:
        Unfit: a segment is not what its manifest says; the caller leaves it out and calls again.
    """
    tables = TABLES_OF_KIND.get(kind, ())
    if not tables:
        return []
    has = {name: covered(shelf.manifests(batch.data, name, hour_ms)) for name in tables}
    todo = {each.name: each for each in segments if each.name not in has[tables[-1]]}
    if not todo:
        return []
    drafts = drafts_of(batch.data, hour_ms, kind)
    try:
        parts = read_all(batch.data, list(todo.values()), drafts, has)
        return [
            made
            for name in tables
            if (made := _commit(batch, hour_ms, name, drafts[name], _without(parts, has[name])))
        ]
    finally:
        for draft in drafts.values():
            draft.abandon()


def drafts_of(data: DataDir, hour_ms: int, kind: str) -> dict[str, Draft]:
    """A draft for each table that segments of a kind become."""
    # Two tables of the stream are large at once, and share what one has elsewhere.
    run_bytes = RUN_BYTES // 2 if kind == "frames" else RUN_BYTES
    return {
        name: Draft(shelf.draft_path(data, name, hour_ms, kind), TABLES[name], run_bytes)
        for name in TABLES_OF_KIND[kind]
    }


def read_all(
    data: DataDir,
    segments: Sequence[Segment],
    drafts: Mapping[str, Draft],
    has: Has,
) -> list[Part]:
    """Prove and read segments into drafts, but for the rows a table has already."""
    parts = []
    in_order = sorted(segments, key=_by_market)
    for _, of_market in groupby(in_order, key=lambda each: _by_market(each)[0]):
        parts += [_read(data, each, drafts, has) for each in of_market]
        for name in drafts.keys() & _BY_MARKET:
            drafts[name].settle()
    return parts


def _by_market(segment: Segment) -> tuple[str, str]:
    market = segment.manifest.told.market or _NO_MARKET
    return market.condition_id, segment.name


def _read(
    data: DataDir,
    segment: Segment,
    drafts: Mapping[str, Draft],
    has: Has,
) -> Part:
    source.prove(data, segment)
    read = {"books": _read_books, "frames": _read_frames}.get(segment.manifest.kind, _read_other)
    part = read(data, segment, drafts, has)
    told = segment.manifest.told.rows
    if segment.manifest.kind == "books" and part.rows["books"] + sum(part.bad.values()) != told:
        raise Unfit(segment.name, f"{part.rows['books']} rows, its manifest says {told}")
    return part


def _read_books(
    data: DataDir,
    segment: Segment,
    drafts: Mapping[str, Draft],
    has: Has,
) -> Part:
    manifest = segment.manifest
    market = manifest.told.market or _NO_MARKET
    reader = BooksReader(segment.name, market, States())
    for lines in source.portions(data, segment):
        _add_bad(drafts["bad"], reader.read(lines), has["bad"])
        if reader.is_full:
            drafts["books"].add(parquet.from_chunk(reader.chunk(), segment.name, market))
    drafts["books"].add(parquet.from_chunk(reader.chunk(), segment.name, market))
    if segment.name not in has["stats"]:
        drafts["stats"].add_rows([stats_row(manifest, reader.found)])
    found = reader.found
    checks = {**found.flags, **{f"hash_{name}": count for name, count in found.verdicts.items()}}
    return Part(segment, {"stats": 1, "books": found.rows}, dict(found.bad), checks)


def _read_frames(data: DataDir, segment: Segment, drafts: Mapping[str, Draft], has: Has) -> Part:
    """Read twice: what a connection was worth at a line is known when the later ones are read."""
    market = segment.manifest.told.market or _NO_MARKET
    voucher = Voucher(market)
    for lines in source.portions(data, segment):
        voucher.read(lines)
    reader = FramesReader(segment.name, market, voucher.vouching)
    for lines in source.portions(data, segment):
        reader.read(lines)
        _add(drafts, has, segment, reader.taken())
    reader.finish()
    _add(drafts, has, segment, reader.taken())
    return Part(segment, dict(reader.counts), dict(reader.bad_counts), dict(reader.checks))


def _read_other(
    data: DataDir,
    segment: Segment,
    drafts: Mapping[str, Draft],
    has: Has,
) -> Part:
    kind = segment.manifest.kind
    reader = Reader(segment.name, kind)
    for lines in source.portions(data, segment):
        _add(drafts, has, segment, reader.read(lines))
    return Part(segment, dict(reader.counts), dict(reader.bad), {})


def _add(
    drafts: Mapping[str, Draft],
    has: Has,
    segment: Segment,
    read: tuple[Mapping[str, Sequence[Sequence[object]]], Sequence[BadRow]],
) -> None:
    """Add rows to the tables that do not have this segment's yet."""
    for table, rows in read[0].items():
        if segment.name not in has[table]:
            drafts[table].add_rows(rows)
    _add_bad(drafts["bad"], read[1], has["bad"])


def _add_bad(draft: Draft, bad: Sequence[BadRow], has: Mapping[str, Source]) -> None:
    draft.add_rows([msgspec.structs.astuple(each) for each in bad if each.segment not in has])


def _without(parts: Sequence[Part], has: Mapping[str, Source]) -> list[Part]:
    return [each for each in parts if each.segment.name not in has]


def _commit(
    batch: Batch, hour_ms: int, table: str, draft: Draft, parts: Sequence[Part]
) -> TableManifest | None:
    """Publish one table's part of a batch; None when it has none."""
    facts = facts_of(batch, hour_ms, table, parts)
    if not facts.sources:
        return None
    path = draft.finish(facts.sources)
    return shelf.commit(batch.data, path, msgspec.structs.replace(facts, rows=draft.rows))


def facts_of(batch: Batch, hour_ms: int, table: str, parts: Sequence[Part]) -> TableManifest:
    """The manifest of a table's file as far as its rows do not tell it."""
    made_of = [_source(table, each) for each in parts]
    sources = sorted(each for each in made_of if each.rows or table not in SPARSE)
    checks: Counter[str] = Counter()
    for part in parts:
        is_main = table == TABLES_OF_KIND[part.segment.manifest.kind][-1]
        checks.update(part.checks if is_main else {})
    return TableManifest(
        name=table_name(table, hour_ms, sources),
        table=table,
        table_schema=TABLES[table].schema,
        path="",
        bytes=0,
        sha256="",
        md5="",
        rows=0,
        sources=sources,
        checks=dict(sorted(checks.items())),
        versions=batch.versions,
        created_at_utc=utc_text(batch.wall_ns),
    )


def _source(table: str, part: Part) -> Source:
    manifest = part.segment.manifest
    rows = sum(part.bad.values()) if table == "bad" else part.rows.get(table, 0)
    is_main = table == TABLES_OF_KIND[manifest.kind][-1]
    bad = dict(sorted(part.bad.items())) if is_main else {}
    return Source(name=manifest.name, sha256=manifest.sha256, rows=rows, bad=bad)
