"""How the offload stands: tickets, the ledger, the newest manifests, what the uploader says.

Reads     spool/upload, the offload ledger, manifests/{upload,retention,drill}/latest.json, the
          heartbeat of the uploader
Never     asks the remote, or writes
"""

from collections import Counter

import msgspec

from workers.core.health.heartbeats import Heartbeat
from workers.core.offload.offload import DrillManifest, RetentionManifest, UploadManifest
from workers.edge.offload import foreground, ledger
from workers.edge.spool import locks, state, tickets
from workers.edge.spool.directory import DataDir
from workers.edge.spool.tickets import Queue


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that status tells; `last_*` without their lists of files."""

    remote: str
    is_second_copy: bool
    uploader_runs: bool
    waiting: Queue
    proven_files: int
    proven_bytes: int
    remotes: dict[str, int]
    released_files: int
    released_bytes: int
    last_batch: UploadManifest | None
    last_retention: RetentionManifest | None
    last_drill: DrillManifest | None
    conditions: dict[str, str]
    damage: list[str]

    def is_fine(self) -> bool:
        """True when nobody has to look."""
        has_failed = self.last_drill is not None and not self.last_drill.passed
        return not (self.waiting.failed or self.conditions or self.damage or has_failed)


def status_of(data: DataDir, remote: str, wall_ns: int) -> Status:
    """Read everything that says how the offload stands."""
    damage: list[str] = []
    proven = ledger.proven_files(data, damage).values()
    gone = ledger.released(data, damage).values()
    beat = state.read(data.heartbeat("uploader"), Heartbeat)
    batch = state.read(data.latest("upload"), UploadManifest)
    retention = state.read(data.latest("retention"), RetentionManifest)
    return Status(
        remote=remote,
        is_second_copy=not foreground.is_same_filesystem(data, remote),
        uploader_runs=locks.is_owned(data.queue("upload")),
        waiting=tickets.counted(data, "upload", wall_ns),
        proven_files=len(proven),
        proven_bytes=sum(each.bytes for each in proven),
        remotes=dict(Counter(each.remote for each in proven)),
        released_files=len(gone),
        released_bytes=sum(each.row.bytes for each in gone),
        last_batch=batch and msgspec.structs.replace(batch, files=[]),
        last_retention=retention and msgspec.structs.replace(retention, files=[]),
        last_drill=state.read(data.latest("drill"), DrillManifest),
        conditions={each.alert: each.detail for each in beat.conditions} if beat else {},
        damage=damage,
    )
