"""Tickets: one directory = one queue = one consumer.

    NAME.ready    there is work (atomic rename)      issued by the publisher or by reconcile
    NAME.done     proven done, or given up with a    renamed by the consumer
                  label, which is the reason inside
    NAME.failed   a person must look; reason inside  renamed by the consumer

Promises  a queue sees a segment once or more, never zero times; consumers are idempotent. A name
          that has come to two tickets (a copy by hand, rsync while it ran, two issuers at once) has
          one after it is judged: the same work is done once; of two that say different things
          the one that says what the manifest does stays, the other goes to quarantine with the why
"""

import os
from pathlib import Path

import msgspec

from workers.core.archive.manifests import SegmentManifest, Ticket, encode, read_ticket, ticket_of
from workers.core.archive.segments import ROOTS, parse_name
from workers.edge import durable
from workers.edge.spool import quarantine
from workers.edge.spool.directory import QUEUES, DataDir

READY, DONE, FAILED = ".ready", ".done", ".failed"
STATES = (READY, DONE, FAILED)
MANIFEST_MAX_BYTES = 16 << 20
#: The normalizer reads what came from the venue; the uploader takes everything published.
QUEUE_KINDS = {
    "normalize": frozenset({"books", "frames", "ledger", "pages", "universe"}),
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


class Sealed(msgspec.Struct, frozen=True):
    """What every manifest of a published file says, whatever else it holds."""

    path: str
    bytes: int
    sha256: str
    md5: str


_sealed = msgspec.json.Decoder(Sealed)


def sealed(data: DataDir, ticket: Ticket) -> tuple[Sealed, bytes]:
    """The manifest that a ticket names, and its bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: not a regular file, or too large.
        msgspec.MsgspecError: not a manifest.
    """
    raw = durable.read_regular(data.root / ticket.manifest, MANIFEST_MAX_BYTES)
    return _sealed.decode(raw), raw


def read(path: Path) -> Ticket | None:
    """A ticket, or None when the file is not one (it stays where it is)."""
    try:
        return read_ticket(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer's tickets, counted by state; `failed` is the reason by name."""

    queue: str
    ready: int
    ready_bytes: int
    oldest_s: float | None
    done: int
    failed: dict[str, str]


def counted(data: DataDir, queue: str, wall_ns: int) -> Queue:
    """How a queue stands; what its consumer moves on meanwhile is left out."""
    ready = waiting(data, queue)
    began = [each for each in map(_changed_ns, ready) if each is not None]
    return Queue(
        queue=queue,
        ready=len(ready),
        ready_bytes=sum(each.bytes for each in map(read, ready) if each is not None),
        oldest_s=round((wall_ns - min(began)) / 1e9, 1) if began else None,
        done=len(waiting(data, queue, DONE)),
        failed={path.stem: _reason(path) for path in waiting(data, queue, FAILED)},
    )


def _changed_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _reason(path: Path) -> str:
    ticket = read(path)
    return "not a ticket" if ticket is None else ticket.reason or "no reason given"


def finish(path: Path) -> None:
    """Mark a ready ticket as proven done; one that is gone is finished already."""
    _judge(path, DONE, "")


def fail(path: Path, reason: str) -> None:
    """Set a ready ticket aside for a person, with the reason inside."""
    _judge(path, FAILED, reason)


def settle(path: Path, reason: str) -> None:
    """Close a failed ticket that a person has decided on, with the reason inside."""
    _judge(path, DONE, reason)


def _judge(path: Path, state: str, reason: str) -> None:
    """Move a ticket; others of its name go with it, or it gives way to them."""
    if not os.path.lexists(path):
        return
    names = (path.with_suffix(each) for each in STATES)
    others = [each for each in names if each != path and os.path.lexists(each)]
    unlike = [each for each in others if not _is_same(path, each)]
    if unlike and not _is_true(path):
        _set_aside(path, f"{reason}; {unlike[0].name} says another thing")
        return
    ticket = read(path)
    if ticket is not None and reason:
        durable.replace(path, encode(msgspec.structs.replace(ticket, reason=reason)))
    for other in others:
        if other in unlike:
            _set_aside(other, f"{path.name} says another thing, as its manifest does")
        else:
            durable.remove(other)
    durable.move(path, path.with_suffix(state))


def retry(path: Path) -> None:
    """Put a failed or a finished ticket back to ready, unless one is."""
    ready = path.with_suffix(READY)
    if not os.path.lexists(ready):
        durable.move(path, ready)
    elif _is_same(path, ready):
        durable.remove(path)
    else:
        _set_aside(path, f"{ready.name} says another thing")


def _is_same(path: Path, other: Path) -> bool:
    """True when both name the same work; why one of them failed is no part of it."""
    here, there = read(path), read(other)
    if here is None or there is None:
        return False
    return msgspec.structs.replace(here, reason=there.reason) == there


def _is_true(path: Path) -> bool:
    """True when a ticket says what its manifest says."""
    ticket = read(path)
    if ticket is None:
        return False
    try:
        told, _ = sealed(DataDir(path.parents[2]), ticket)
    except (OSError, ValueError, msgspec.MsgspecError):
        return False
    return ticket.is_of(told.path, told.sha256)


def _set_aside(path: Path, detail: str) -> None:
    quarantine.put(DataDir(path.parents[2]), path, "twin", f"in {path.parent.name}: {detail}")
