"""A derived file as an earlier version wrote it, for tests."""

import hashlib

import msgspec
import pyarrow.parquet as pq

from tests.tools.archives import HOUR_MS
from workers.core.archive.manifests import encode
from workers.core.tables.manifests import TableManifest
from workers.edge.derived import shelf
from workers.edge.spool.directory import DataDir


def aged(data: DataDir, table: str, *gone: str, schema: str = "") -> TableManifest:
    """Write a table's first file as an earlier version did, without some columns."""
    manifest = shelf.standing(data, table, HOUR_MS)[0]
    path = data.root / manifest.path
    whole = pq.read_table(path)
    told = dict(whole.schema.metadata)
    if schema:
        told[b"orderbooks.schema"] = schema.encode()
    older = whole.drop_columns([*gone]) if gone else whole
    pq.write_table(older.replace_schema_metadata(told), path)
    packed = path.read_bytes()
    changed = msgspec.structs.replace(
        manifest,
        bytes=len(packed),
        sha256=hashlib.sha256(packed).hexdigest(),
        md5=hashlib.md5(packed, usedforsecurity=False).hexdigest(),
        table_schema=schema or manifest.table_schema,
    )
    path.with_name(f"{manifest.name}.manifest.json").write_bytes(encode(changed))
    return changed
