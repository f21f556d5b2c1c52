"""Tickets: one directory = one queue = one consumer.

    NAME.ready    there is work (atomic rename)      issued by the publisher or by reconcile
    NAME.done     proven done                        renamed by the consumer
    NAME.failed   a person must look; reason inside  renamed by the consumer

Promises  a queue sees a segment once or more, never zero times; consumers are idempotent.
"""

from pathlib import Path

import msgspec

from workers.core.manifests import SegmentManifest, Ticket, encode, read_ticket, ticket_of
from workers.core.segments import ROOTS, parse_name
from workers.edge import durable
from workers.edge.spool.directory import QUEUES, DataDir

READY, DONE, FAILED = ".ready", ".done", ".failed"
STATES = (READY, DONE, FAILED)
#: The normalizer reads what came from the venue; the uploader takes everything published.
QUEUE_KINDS = {
    "normalize": frozenset({"books", "ledger", "pages", "universe"}),
    "upload": frozenset(ROOTS),
}


def issue(data: DataDir, manifest: SegmentManifest, manifest_path: str) -> int:
    """Give every consumer its ticket unless it has one in any state; returns how many were new."""
    issued = 0
    for queue in QUEUES:
        folder = data.queue(queue)
        has_one = any((folder / f"{manifest.name}{state}").exists() for state in STATES)
        if manifest.kind in QUEUE_KINDS[queue] and not has_one:
            ticket = encode(ticket_of(manifest, manifest_path))
            durable.replace(folder / f"{manifest.name}{READY}", ticket)
            issued += 1
    return issued


def issue_lacking(data: DataDir, manifest: SegmentManifest, manifest_path: str) -> int:
    """As `issue`, for a segment of any age; none for one that retention let go."""
    is_here = (data.root / manifest.path).exists()
    return issue(data, manifest, manifest_path) if is_here else 0


def waiting(data: DataDir, queue: str, state: str = READY) -> list[Path]:
    """The tickets of a queue in one state, oldest segment first."""
    return sorted(data.queue(queue).glob(f"*{state}"), key=_age)


def _age(path: Path) -> tuple[str, str]:
    """Sorts by when the segment was begun; a name that is none of ours comes first."""
    name = parse_name(path.stem)
    return (name.started if name else "", path.name)


def read(path: Path) -> Ticket | None:
    """A ticket, or None when the file is not one (it stays where it is)."""
    try:
        return read_ticket(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None


def finish(path: Path) -> None:
    """Mark a ready ticket as proven done."""
    durable.move(path, path.with_suffix(DONE))


def fail(path: Path, reason: str) -> None:
    """Set a ready ticket aside for a person, with the reason inside."""
    ticket = read(path)
    if ticket is not None:
        durable.replace(path, encode(msgspec.structs.replace(ticket, reason=reason)))
    durable.move(path, path.with_suffix(FAILED))


def retry(path: Path) -> None:
    """Put a failed ticket back to ready."""
    durable.move(path, path.with_suffix(READY))
