"""The changes of an hour that is old, taken out of its derived file: raw keeps every one.

The books between which they lay stay in `snapshots`, as do trades and ticks. A reader finds the
hour's stream in raw; from tables it is told as `pruned`, never as if nothing had changed.

Reads     derived files of `changes` and their manifests; manifests of raw segments
Writes    a file without rows in their place, by the exchange of `edge.derived.mending`
Promises  what goes can be made again: each of its segments is here, or was let go on proof
Fails     Refused: a segment is gone without proof, for its rows have no other home
Never     touches raw; prunes an hour whose files are not one yet
"""

from collections.abc import Container

import msgspec

from workers.core.archive.segments import MANIFEST_SUFFIX, segment_folder
from workers.core.errors import Refused
from workers.core.instants import utc_text
from workers.core.tables.manifests import Source, TableManifest, table_name
from workers.core.tables.stream import CHANGES
from workers.edge import durable
from workers.edge.derived import mending, shelf, source
from workers.edge.derived.drafts import merge
from workers.edge.derived.hours import is_whole
from workers.edge.derived.shelf import Batch
from workers.edge.derived.source import Unfit
from workers.edge.spool.directory import DataDir

_TABLE = CHANGES.name


def prune(batch: Batch, hour_ms: int, released: Container[str]) -> TableManifest | None:
    """Take the changes of an hour out; None when there is nothing to do.

    Args:
        batch: where and when.
        hour_ms: the hour, Unix ms.
        released: paths of the data files that retention let go.
    """
    standing = shelf.standing(batch.data, _TABLE, hour_ms)
    if not is_whole(standing):
        return None
    (whole,) = standing
    for each in whole.sources:
        _assert_safe(batch.data, hour_ms, each, released)
    draft = shelf.draft_path(batch.data, _TABLE, hour_ms, "prune")
    wanted = msgspec.structs.replace(
        whole,
        name=table_name(_TABLE, hour_ms, whole.sources),
        rows=0,
        pruned=whole.pruned + whole.rows,
        versions=batch.versions,
        created_at_utc=utc_text(batch.wall_ns),
    )
    try:
        merge(CHANGES, [], draft, [msgspec.to_builtins(e) for e in whole.sources])
        mending.prove(draft, wanted)
        return mending.exchange(batch.data, hour_ms, draft, wanted, standing)[0]
    finally:
        durable.remove(draft)


def _assert_safe(data: DataDir, hour_ms: int, made_of: Source, released: Container[str]) -> None:
    place = f"{segment_folder('frames', hour_ms)}/{made_of.name}{MANIFEST_SUFFIX}"
    hint = "`orderbooks restore` fetches raw files back; normalizer.prune_changes_days: 0 keeps all"
    try:
        manifest = source.find(data, place, made_of.name).manifest
    except Unfit as error:
        raise Refused(f"prune {_TABLE}: {error}", hint=hint) from error
    is_here = (data.root / manifest.path).exists() or manifest.path in released
    if manifest.sha256 != made_of.sha256 or not is_here:
        raise Refused(
            f"prune {_TABLE}: {manifest.path} is not here, or another file, and was not let "
            "go on proof",
            hint=hint,
        )
