"""A sweep: retention lets proven data files go, in two steps that are both written down.

Reads     spool/upload tickets, manifests, labels, the remote
Writes    removes data files; manifests stay
Promises  a file goes only after the remote listed it, just now, with our hash, and after the
          manifest that says so is on the disk; what dies between the steps is finished by the
          next sweep
Never     a file that is unproven, labelled, or still to be normalised
"""

from collections import Counter
from collections.abc import Iterable

import msgspec

from workers.core.instants import utc_text
from workers.core.offload.offload import GoneRow, Judged, RetentionManifest
from workers.core.offload.retention import Plan
from workers.edge.offload.courier import Courier, Job, Said
from workers.edge.offload.shipment import proven
from workers.edge.spool import outbox
from workers.edge.spool.directory import DataDir

#: Files of one sweep: what one retention manifest lists. The next sweep takes the rest.
SWEEP_MAX_FILES = 500


class Swept(msgspec.Struct, frozen=True):
    """What may go now on fresh proof, what the remote no longer proves, and what stays."""

    rows: list[GoneRow]
    lost: list[Judged]
    kept: dict[str, int]
    said: Said


def listed(courier: Courier, data: DataDir, plan: Plan, *, prove_by_download: str) -> Job[Swept]:
    """Ask the remote again for everything the plan lets go."""
    said = Said()
    outbox.clear(data)
    parcels, kept = {}, Counter(plan.kept)
    reasons = {}
    for going in plan.going[:SWEEP_MAX_FILES]:
        parcel = outbox.proven_parcel(data, going.candidate.name)
        if parcel is None:
            kept["unproven"] += 1
        else:
            parcels[parcel.data.path] = parcel
            reasons[parcel.data.path] = going.reason
    facts = [each for parcel in parcels.values() for each in parcel.files]
    verdicts: list[Judged] = []
    if facts:
        verdicts = yield from proven(courier, facts, said, prove_by_download=prove_by_download)
    proofs = {each.facts.path: each for each in verdicts if each.is_proven}
    rows = [
        GoneRow(
            path=path,
            bytes=parcel.data.bytes,
            sha256=parcel.data.sha256,
            proof=proofs[path].proof,
            reason=reasons[path],
        )
        for path, parcel in parcels.items()
        if path in proofs and parcel.manifest.path in proofs
    ]
    kept["unproven"] += len(parcels) - len(rows)
    lost = [each for each in verdicts if each.verdict in {"missing", "conflict", "duplicate"}]
    return Swept(rows, lost, {key: count for key, count in kept.items() if count}, said)


def let_go(data: DataDir, rows: Iterable[GoneRow]) -> None:
    """Remove what a written manifest lists."""
    for row in rows:
        outbox.let_go(data, row.path)


def done(listed_first: RetentionManifest, wall_ns: int) -> RetentionManifest:
    """The second manifest of a sweep: what the first one listed is gone."""
    return msgspec.structs.replace(listed_first, step="deleted", at_utc=utc_text(wall_ns))
