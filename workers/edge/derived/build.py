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

from workers.core.instants import utc_text
from workers.core.normalizing import BadRow, BooksReader
from workers.core.retelling import Reader, stats_row
from workers.core.states import States
from workers.core.story import ManifestMarket
from workers.core.table_manifests import Source, TableManifest, covered, table_name
from workers.core.tables import TABLES, TABLES_OF_KIND
from workers.edge import parquet
from workers.edge.derived import shelf, source
from workers.edge.derived.drafts import Draft
from workers.edge.derived.shelf import Batch
from workers.edge.derived.source import Segment, Unfit
from workers.edge.spool.directory import DataDir

_NO_MARKET = ManifestMarket(slug="", condition_id="", series="", tokens={})


class Part(msgspec.Struct, frozen=True):
    """What one segment gave to the main table; `side` its rows for others, by table."""

    segment: Segment
    rows: int
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
    return {
        name: Draft(shelf.draft_path(data, name, hour_ms, kind), TABLES[name])
        for name in TABLES_OF_KIND[kind]
    }


def read_all(
    data: DataDir,
    segments: Sequence[Segment],
    drafts: Mapping[str, Draft],
    has: Mapping[str, Mapping[str, Source]],
) -> list[Part]:
    """Prove and read segments into drafts, but for the rows a table has already."""
    parts = []
    in_order = sorted(segments, key=_by_market)
    for _, of_market in groupby(in_order, key=lambda each: _by_market(each)[0]):
        parts += [_read(data, each, drafts, has) for each in of_market]
        if "books" in drafts:
            drafts["books"].settle()
    return parts


def _by_market(segment: Segment) -> tuple[str, str]:
    market = segment.manifest.told.market or _NO_MARKET
    return market.condition_id, segment.name


def _read(
    data: DataDir,
    segment: Segment,
    drafts: Mapping[str, Draft],
    has: Mapping[str, Mapping[str, Source]],
) -> Part:
    source.prove(data, segment)
    read = _read_books if segment.manifest.kind == "books" else _read_other
    part = read(data, segment, drafts, has)
    told = segment.manifest.told.rows
    if segment.manifest.kind == "books" and part.rows + sum(part.bad.values()) != told:
        raise Unfit(segment.name, f"{part.rows} rows, its manifest says {told}")
    return part


def _read_books(
    data: DataDir,
    segment: Segment,
    drafts: Mapping[str, Draft],
    has: Mapping[str, Mapping[str, Source]],
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
    return Part(segment, found.rows, dict(found.bad), checks)


def _read_other(
    data: DataDir,
    segment: Segment,
    drafts: Mapping[str, Draft],
    has: Mapping[str, Mapping[str, Source]],
) -> Part:
    kind = segment.manifest.kind
    reader = Reader(segment.name, kind)
    for lines in source.portions(data, segment):
        rows, bad = reader.read(lines)
        drafts[TABLES_OF_KIND[kind][-1]].add_rows(rows)
        _add_bad(drafts["bad"], bad, has["bad"])
    return Part(segment, reader.rows, dict(reader.bad), {})


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
    sources = sorted(_source(table, each) for each in parts if table != "bad" or each.bad)
    checks: Counter[str] = Counter()
    for part in parts:
        checks.update(part.checks if table == "books" else {})
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
    rows = {"stats": 1, "bad": sum(part.bad.values())}.get(table, part.rows)
    bad = {} if table in ("stats", "bad") else dict(sorted(part.bad.items()))
    return Source(name=manifest.name, sha256=manifest.sha256, rows=rows, bad=bad)
