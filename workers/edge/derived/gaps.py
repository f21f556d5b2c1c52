"""The table `gaps` of an hour: every stretch of due ticks that was not captured, with its cause.

Reads     what `accounts` reads, the manifests of derived/gaps
Writes    one file for each hour, and its manifest; what it takes the place of is removed after it
Promises  the same evidence gives the same bytes; the manifest names every segment and label that
          the account rests on, and counts all ticks that were due, so that no gaps is a statement
Fails     as `accounts` does; what stands is left alone then
"""

from collections.abc import Container

import msgspec

from workers.core.coverage.gaps import rows_of, sums_of
from workers.core.instants import utc_text
from workers.core.tables.manifests import TableManifest, table_name
from workers.core.tables.tables import GAPS
from workers.edge.derived import accounts, mending, shelf
from workers.edge.derived.accounts import Account
from workers.edge.derived.drafts import Draft
from workers.edge.derived.shelf import Batch


def renewed(batch: Batch, hour_ms: int, released: Container[str]) -> list[TableManifest]:
    """Make the table unless one stands that rests on the same evidence."""
    found = accounts.account(batch.data, hour_ms, released)
    name = table_name(GAPS.name, hour_ms, found.sources)
    standing = shelf.standing(batch.data, GAPS.name, hour_ms)
    if len(standing) == 1 and standing[0].name.startswith(name):
        return []
    return _written(batch, hour_ms, found, standing)


def anew(batch: Batch, hour_ms: int, released: Container[str]) -> list[TableManifest]:
    """Make the table; nothing when the one that stands has the same bytes."""
    found = accounts.account(batch.data, hour_ms, released)
    return _written(batch, hour_ms, found, shelf.standing(batch.data, GAPS.name, hour_ms))


def _written(
    batch: Batch, hour_ms: int, found: Account, standing: list[TableManifest]
) -> list[TableManifest]:
    wanted = TableManifest(
        name=table_name(GAPS.name, hour_ms, found.sources),
        table=GAPS.name,
        table_schema=GAPS.schema,
        path="",
        bytes=0,
        sha256="",
        md5="",
        rows=0,
        sources=found.sources,
        checks=sums_of(found.markets),
        versions=batch.versions,
        created_at_utc=utc_text(batch.wall_ns),
    )
    draft = Draft(shelf.draft_path(batch.data, GAPS.name, hour_ms, "hour"), GAPS)
    try:
        for market in found.markets:
            draft.add_rows(list(rows_of(market)))
        path = draft.finish(found.sources)
        wanted = msgspec.structs.replace(wanted, rows=draft.rows)
        mending.prove(path, wanted)
        return mending.exchange(batch.data, hour_ms, path, wanted, standing)
    finally:
        draft.abandon()
