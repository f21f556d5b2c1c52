"""Files of an hour merged into one, or made anew from raw and exchanged for the proven result.

Reads     derived files and their manifests, raw segments
Writes    the file that takes their place; removes the replaced ones afterwards
Promises  the merged file has the bytes that the same raw gives in one batch; what is replaced was
          proven against its manifest first, what replaces it was read back whole
Fails     Refused: a file is damaged, or a segment whose rows stand is no longer there
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from workers.core.books.payloads import Hashed, hash_of
from workers.core.errors import Refused
from workers.core.instants import utc_text
from workers.core.tables.manifests import (
    DATA_SUFFIX,
    Source,
    TableManifest,
    closure,
    table_name,
)
from workers.core.tables.tables import TABLES, TABLES_OF_KIND
from workers.edge import durable
from workers.edge.derived import shelf
from workers.edge.derived.build import drafts_of, facts_of, read_all
from workers.edge.derived.drafts import FAN_IN, merge
from workers.edge.derived.merging import merged
from workers.edge.derived.shelf import Batch
from workers.edge.derived.source import Segment
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

#: One row in so many has its hash made again from the columns.
_HASHED_OF = 50


def compact(batch: Batch, hour_ms: int, table: str) -> TableManifest | None:
    """Merge files in force of a table and hour, some at a time; None when there is one or none."""
    standing = shelf.standing(batch.data, table, hour_ms)[:FAN_IN]
    if len(standing) < 2:
        return None
    sources = _united(standing)
    for each in standing:
        problem = reader.damage(batch.data, each)
        if problem:
            raise Refused(f"{each.path}: {problem}", hint="orderbooks rebuild makes it anew")
    checks: Counter[str] = Counter()
    for each in standing:
        checks.update(each.checks)
    draft = shelf.draft_path(batch.data, table, hour_ms, "merge")
    told = [msgspec.to_builtins(each) for each in sources]
    facts = TableManifest(
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
        replaces=closure(standing),
        pruned=sum(each.pruned for each in standing),
        versions=batch.versions,
        created_at_utc=utc_text(batch.wall_ns),
    )
    try:
        rows = merge(TABLES[table], [batch.data.root / each.path for each in standing], draft, told)
        made = shelf.commit(batch.data, draft, msgspec.structs.replace(facts, rows=rows))
    finally:
        durable.remove(draft)
    shelf.clear(batch.data, table, hour_ms)
    return made


def _united(standing: Sequence[TableManifest]) -> list[Source]:
    every = sorted(source for each in standing for source in each.sources)
    names = Counter(each.name for each in every)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise Refused(
            f"merge {standing[0].table}: {twice[0]} is in two files in force",
            hint="orderbooks rebuild makes the hour anew",
        )
    return every


def rebuild(
    batch: Batch, hour_ms: int, kind: str, segments: Sequence[Segment]
) -> list[TableManifest]:
    """Make the tables of one kind and hour anew from raw; returns what took a new file's place.

    Raises:
        Refused: a segment is unfit, or one whose rows stand now is not among `segments`.
    """
    tables = TABLES_OF_KIND.get(kind, ())
    if not tables or not segments:
        return []
    drafts = drafts_of(batch.data, hour_ms, kind)
    try:
        parts = read_all(batch.data, segments, drafts, {name: {} for name in tables})
        facts = {name: facts_of(batch, hour_ms, name, parts) for name in tables}
        lost = _standing_sources(batch.data, hour_ms, tables[-1]) - {each.name for each in segments}
        if lost:
            raise Refused(
                f"rebuild {tables[-1]}: {min(lost)} is not here any more",
                hint="`orderbooks restore` fetches raw files back",
            )
        made = []
        for name in tables:
            path = drafts[name].finish(facts[name].sources)
            wanted = msgspec.structs.replace(facts[name], rows=drafts[name].rows)
            prove(path, wanted)
            standing = _standing_of(batch.data, hour_ms, name, _of_kind(kind, segments))
            made += exchange(batch.data, hour_ms, path, wanted, standing)
        return made
    finally:
        for draft in drafts.values():
            draft.abandon()


def _of_kind(kind: str, segments: Iterable[Segment]) -> set[str]:
    return {each.name for each in segments if each.manifest.kind == kind}


def _standing_sources(data: DataDir, hour_ms: int, table: str) -> set[str]:
    return {s.name for each in shelf.standing(data, table, hour_ms) for s in each.sources}


def _standing_of(data: DataDir, hour_ms: int, table: str, names: set[str]) -> list[TableManifest]:
    """The files in force that hold rows of these segments."""
    every = shelf.standing(data, table, hour_ms)
    return [each for each in every if any(source.name in names for source in each.sources)]


def exchange(
    data: DataDir,
    hour_ms: int,
    draft: Path,
    wanted: TableManifest,
    standing: Sequence[TableManifest],
) -> list[TableManifest]:
    """Put a proven draft in the place of files in force; nothing when it is as they are."""
    if not wanted.sources and not standing:
        return []
    same = [each for each in standing if each.name.startswith(wanted.name)]
    if len(standing) == 1 and same and not reader.damage(data, same[0]) and _same(draft, same[0]):
        return []
    name, number = wanted.name, 1
    # A name that was replaced once would be out of force from its beginning.
    gone = closure(standing)
    taken = {*gone, *(each.name for each in shelf.manifests(data, wanted.table, hour_ms))}
    while name in taken or (draft.parent / f"{name}{DATA_SUFFIX}").exists():
        number += 1
        name = f"{wanted.name}-{number}"
    facts = msgspec.structs.replace(wanted, name=name, replaces=gone)
    made = shelf.commit(data, draft, facts)
    shelf.clear(data, wanted.table, hour_ms)
    return [made]


def _same(draft: Path, manifest: TableManifest) -> bool:
    digest = hashlib.sha256()
    for piece in durable.read_back(draft):
        digest.update(piece)
    return digest.hexdigest() == manifest.sha256


def prove(path: Path, wanted: TableManifest) -> None:
    """Read a derived file whole: its rows counted, a part of its books hashed again.

    Raises:
        Refused: it is not what was to be written.
    """
    table = TABLES[wanted.table]
    rows = 0
    for portion in merged(table, [path]):
        rows += len(portion)
        if wanted.table in {"books", "snapshots"}:
            _prove_hashes(path, portion.slice(0, 1 + len(portion) // _HASHED_OF).to_pylist())
    if rows != wanted.rows:
        raise Refused(f"{path}: {rows} rows, {wanted.rows} were written")


def _prove_hashes(path: Path, rows: list[dict[str, object]]) -> None:
    for row in rows:
        if row["hash_verdict"] not in {"verified", "explained"}:
            continue
        if hash_of(msgspec.convert(row, Hashed, strict=False)) != row["hash"]:
            raise Refused(f"{path}: {row['segment']} row {row['row']}: its columns do not hash")
