"""The outbox: what waits for the remote, and what lies here proven.

Reads     spool/upload tickets, the manifests and data files they name, labels
Writes    the state of tickets; removes data files that retention lets go
Promises  a parcel's files are what their manifests say at the moment of the look; a data file
          is removed only by `let_go`, its manifest never
Fails     a ticket that cannot be a parcel is set aside as .failed with the reason, never raised
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from workers.core.archive.manifests import Ticket
from workers.core.archive.segments import DATA_SUFFIX, MANIFEST_SUFFIX, ROOTS
from workers.core.offload.offload import Facts, Judged
from workers.core.offload.retention import EVIDENCE, Candidate
from workers.core.tables.manifests import DATA_SUFFIX as TABLE_SUFFIX
from workers.core.tables.manifests import ROOT as DERIVED
from workers.edge import durable
from workers.edge.spool import labels, tickets
from workers.edge.spool.directory import DataDir

Picked = TypeVar("Picked")
#: Draws until a file that is proven turns up; early on most may still wait.
_DRAWS = 50


class Parcel(msgspec.Struct, frozen=True):
    """One ticket and its two files: the data as its manifest says, and the manifest itself."""

    ticket: Path
    data: Facts
    manifest: Facts

    @property
    def name(self) -> str:
        """The segment's name."""
        return self.ticket.stem

    @property
    def files(self) -> tuple[Facts, Facts]:
        """In the order in which they are copied: the manifest is the commit mark."""
        return (self.data, self.manifest)


def waiting(
    data: DataDir, *, files: int, size_bytes: int, tried: Mapping[str, int]
) -> list[Parcel]:
    """The next batch: at most `files` parcels of about `size_bytes`; the least tried, then oldest.

    What can never be a parcel is set aside as .failed on the way.
    """
    found: list[Parcel] = []
    left = size_bytes
    ready = sorted(tickets.waiting(data, "upload"), key=lambda path: tried.get(path.stem, 0))
    for path in ready:
        if len(found) == files or left <= 0:
            break
        parcel = _parcel(data, path)
        if isinstance(parcel, str):
            tickets.fail(path, parcel)
            continue
        found.append(parcel)
        left -= parcel.data.bytes
    return found


def _parcel(data: DataDir, path: Path) -> Parcel | str:
    ticket = tickets.read(path)
    if ticket is None:
        return "not a ticket"
    try:
        sealed, raw = tickets.sealed(data, ticket)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        return f"unfit: its manifest {ticket.manifest}: {error}"
    if not ticket.is_of(sealed.path, sealed.sha256):
        return f"unfit: its manifest {ticket.manifest} speaks of another file"
    facts = Facts(sealed.path, sealed.bytes, sealed.sha256, sealed.md5)
    return Parcel(path, facts, _facts_of_bytes(ticket, raw))


def _facts_of_bytes(ticket: Ticket, raw: bytes) -> Facts:
    md5 = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    return Facts(ticket.manifest, len(raw), hashlib.sha256(raw).hexdigest(), md5)


def settle(parcel: Parcel, verdicts: Collection[Judged]) -> str:
    """Move the parcel's ticket as the verdicts on its files say; returns its new state."""
    if all(each.is_proven for each in verdicts):
        tickets.finish(parcel.ticket)
        return tickets.DONE
    for each in verdicts:
        if each.verdict in {"conflict", "duplicate", "unfit"}:
            tickets.fail(parcel.ticket, f"{each.verdict}: {each.facts.path}: {each.detail}")
            return tickets.FAILED
    return tickets.READY


def candidates(data: DataDir) -> Iterator[Candidate]:
    """Every data file with a ticket that lies here, and what bars it from going."""
    unreadable: list[str] = []
    labelled = {each.artifact for each in labels.all_labels(data, unreadable)}
    unproven: set[str] = set()
    for state in (tickets.READY, tickets.FAILED, tickets.DONE):
        for path in tickets.waiting(data, "upload", state):
            if path.stem in unproven:
                continue  # Its name has two tickets: the one that is not done has to be judged.
            if state != tickets.DONE:
                unproven.add(path.stem)
            ticket = tickets.read(path)
            if ticket is not None and (data.root / ticket.path).exists():
                bar = "unproven" if state != tickets.DONE else _bar(data, ticket, labelled)
                # A label that cannot be read may be about any file.
                bar = "labelled" if unreadable and not bar else bar
                facts = Facts(ticket.path, ticket.bytes, ticket.sha256, "")
                yield Candidate(ticket.name, facts, bar)


def _bar(data: DataDir, ticket: Ticket, labelled: Collection[str]) -> str:
    if ticket.kind in EVIDENCE:
        return "evidence"
    if ticket.name in labelled or ticket.path in labelled:
        return "labelled"
    queue = data.queue("normalize")
    is_read = not any(
        (queue / f"{ticket.name}{state}").exists() for state in (tickets.READY, tickets.FAILED)
    )
    has_consumer = (queue / ".lock").exists()
    return "" if is_read or not has_consumer else "not_normalized"


def proven_parcel(data: DataDir, name: str) -> Parcel | None:
    """The parcel of a finished ticket, or None when its files no longer agree with it."""
    path = data.queue("upload") / f"{name}{tickets.DONE}"
    parcel = _parcel(data, path)
    return None if isinstance(parcel, str) else parcel


def let_go(data: DataDir, path: str) -> None:
    """Remove a data file whose proof is written down, then its tickets."""
    name = name_of(path)
    durable.remove(data.root / path)
    durable.remove(data.queue("upload") / f"{name}{tickets.DONE}")
    for state in tickets.STATES:
        # Ready only where no normalizer was ever installed: else such a file stays.
        durable.remove(data.queue("normalize") / f"{name}{state}")


def clear(data: DataDir) -> None:
    """Remove finished tickets whose data file is gone: an earlier `let_go` died before them."""
    for path in tickets.waiting(data, "upload", tickets.DONE):
        ticket = tickets.read(path)
        if ticket is not None and not (data.root / ticket.path).exists():
            let_go(data, ticket.path)


def is_waiting(data: DataDir, name: str) -> bool:
    """True while a segment's ticket is ready."""
    return (data.queue("upload") / f"{name}{tickets.READY}").exists()


def name_of(path: str) -> str:
    """The segment or derived file that a data file or a manifest belongs to."""
    name = path.rpartition("/")[2].removesuffix(DATA_SUFFIX).removesuffix(TABLE_SUFFIX)
    return name.removesuffix(MANIFEST_SUFFIX)


def offloaded_one(data: DataDir, roll: Callable[[], float]) -> str | None:
    """The path of a data file, any that is proven, here or gone; None when none was found.

    Derived files are one root among the others: what they hold can be made again.

    Args:
        roll: a number in 0 ≤ roll < 1, each time another.
    """
    for _ in range(_DRAWS):
        root = _pick([*sorted(ROOTS.values()), DERIVED], roll)
        suffix = TABLE_SUFFIX if root == DERIVED else DATA_SUFFIX
        inner = ("*", "venue=*") if root == DERIVED else ()
        place = data.root
        for pattern in (root, *inner, "date=*", "hour=*"):
            folders = sorted(place.glob(pattern))
            if not folders:
                break
            place = _pick(folders, roll)
        manifests = sorted(place.glob(f"*{MANIFEST_SUFFIX}"))
        if manifests:
            path = _pick(manifests, roll)
            found = path.with_name(path.name.removesuffix(MANIFEST_SUFFIX) + suffix)
            if is_offloaded(data, found):
                return data.relative(found)
    return None


def is_offloaded(data: DataDir, path: Path) -> bool:
    """True when a data file is proven on the remote: its ticket is done, or retention took both."""
    name, queue = name_of(path.name), data.queue("upload")
    has = {state for state in tickets.STATES if (queue / f"{name}{state}").exists()}
    return has == {tickets.DONE} or not (has or path.exists())


def _pick(among: Sequence[Picked], roll: Callable[[], float]) -> Picked:
    return among[int(roll() * len(among))]
