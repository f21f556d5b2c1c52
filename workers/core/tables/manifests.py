"""Manifests of derived files: what one was made from, what it replaces, which are in force.

Promises  a name is made from the table's version and the sources, so that the same raw gives the
          same name; of each segment the rows are in force once, whatever was merged or made anew
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from workers.core.instants import hour_parts
from workers.core.tables.tables import TABLES

SCHEMA = "orderbooks.table/1"
ROOT = "derived"
DATA_SUFFIX = ".parquet"
MANIFEST_SUFFIX = ".manifest.json"
#: Raised when the same raw is to give other rows than before: the names change with it.
EDITION = 1


class Source(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One raw segment: its file's SHA-256, the rows it gave, and those it did not, by reason."""

    name: str
    sha256: str
    rows: int = 0
    bad: dict[str, int] = {}


class TableManifest(msgspec.Struct, frozen=True, kw_only=True):
    """One derived file (`orderbooks.table/1`); written last: the commit mark.

    `pruned`: rows that were taken out for their age; the file is not the whole of its sources.
    """

    schema: str = SCHEMA
    name: str
    table: str
    table_schema: str
    path: str
    bytes: int
    sha256: str
    md5: str
    rows: int
    sources: list[Source]
    checks: dict[str, int] = {}
    replaces: list[str] = []
    pruned: int = 0
    versions: dict[str, str]
    created_at_utc: str


_manifest = msgspec.json.Decoder(TableManifest)


def read_manifest(data: bytes) -> TableManifest:
    """A manifest from its bytes; raises msgspec.MsgspecError when it is not one."""
    try:
        manifest = _manifest.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
    if manifest.schema != SCHEMA or manifest.table not in TABLES:
        raise msgspec.ValidationError(f"schema {manifest.schema!r}, expected {SCHEMA!r}")
    return manifest


def table_folder(table: str, hour_ms: int) -> str:
    """Where files of a table and hour lie, relative to the data directory."""
    date, hour = hour_parts(hour_ms)
    return f"{ROOT}/{table}/venue=polymarket/date={date}/hour={hour}"


def table_name(table: str, hour_ms: int, sources: Iterable[Source]) -> str:
    """`<table>--<hour>--<hash of the sources>`: the same for the same raw, for ever."""
    date, hour = hour_parts(hour_ms)
    digest = hashlib.sha256(f"{TABLES[table].schema} {EDITION}".encode())
    for each in sorted(sources):
        digest.update(f"\n{each.name} {each.sha256}".encode())
    return f"{table}--{date.replace('-', '')}T{hour}--{digest.hexdigest()[:16]}"


def in_force(manifests: Sequence[TableManifest]) -> list[TableManifest]:
    """Those that no other replaces, by name; all are of one table and hour."""
    gone = {name for each in manifests for name in each.replaces}
    return sorted((each for each in manifests if each.name not in gone), key=lambda each: each.name)


def covered(manifests: Sequence[TableManifest]) -> dict[str, Source]:
    """The segments whose rows are in force, by name."""
    return {source.name: source for each in in_force(manifests) for source in each.sources}


def closure(replaced: Iterable[TableManifest]) -> list[str]:
    """Everything that a file which replaces these replaces: them, and what they replaced."""
    return sorted({name for each in replaced for name in (each.name, *each.replaces)})
