"""A rehearsal: which batches wait, what the remote has of them already, what a copy would say.

Reads     spool/upload tickets, the files they name, the remote
Writes    manifests/upload/dry_run.json
Never     copies, moves a ticket, or needs the uploader to rest
"""

import hashlib
from collections import Counter
from collections.abc import Iterator

import msgspec

from workers.core.archive.manifests import encode, read_manifest
from workers.core.offload.offload import Facts, facts_of
from workers.core.settings.settings import Offload
from workers.edge import durable
from workers.edge.offload.courier import Courier, Job, Said
from workers.edge.offload.foreground import batches
from workers.edge.offload.shipment import proven
from workers.edge.spool import tickets
from workers.edge.spool.directory import DataDir


class PlannedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One batch; `verdicts` counts its files as the remote lists them before anything is copied.

    `said` is what rclone answers to the copy with --dry-run: names that are taken, files it
    cannot read.
    """

    files: list[str]
    bytes: int
    verdicts: dict[str, int]
    said: list[str]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be copied now (`orderbooks.offload_plan/1`); `unfit` is the reason by ticket."""

    schema: str = "orderbooks.offload_plan/1"
    at_utc: str
    remote: str
    batches: list[PlannedBatch]
    unfit: dict[str, str]
    cause: str | None = None


def rehearsed(
    courier: Courier, data: DataDir, rules: Offload, *, at_utc: str, limit: int
) -> Job[Plan]:
    """The first `limit` batches as they would be copied; written down, too."""
    facts, unfit = _waiting(data)
    names = [(name, pair[0].bytes) for name, pair in facts.items()]
    planned, said = [], Said()
    cut = batches(names, files=rules.batch_files, size_bytes=rules.batch_bytes)
    for number, batch in enumerate(cut):
        if number == limit or said.failure is not None:
            break
        files = [each for name in batch for each in facts[name]]
        planned.append((yield from _rehearse(courier, files, said)))
    cause = f"{said.failure.cause}: {said.failure.detail}" if said.failure else None
    plan = Plan(at_utc=at_utc, remote=courier.remote, batches=planned, unfit=unfit, cause=cause)
    durable.replace_unsynced(data.manifests / "upload/dry_run.json", encode(plan))
    return plan


def _rehearse(courier: Courier, files: list[Facts], said: Said) -> Job[PlannedBatch]:
    verdicts = yield from proven(courier, files, said, prove_by_download="never")
    copy = Said()
    if said.failure is None:
        yield from courier.rehearsed([each.path for each in files], copy)
    return PlannedBatch(
        files=[each.path for each in files],
        bytes=sum(each.bytes for each in files),
        verdicts=dict(Counter(each.verdict for each in verdicts)),
        said=[text for command in copy.commands for text in command.said],
    )


def _waiting(data: DataDir) -> tuple[dict[str, tuple[Facts, Facts]], dict[str, str]]:
    """The two files of each ready ticket, by name, and why another one would be set aside."""
    found, unfit = {}, {}
    for name, pair in _parcels(data):
        if isinstance(pair, str):
            unfit[name] = pair
        else:
            found[name] = pair
    return found, unfit


def _parcels(data: DataDir) -> Iterator[tuple[str, tuple[Facts, Facts] | str]]:
    for path in tickets.waiting(data, "upload"):
        ticket = tickets.read(path)
        if ticket is None:
            if path.exists():
                yield path.stem, "not a ticket"
            continue  # Else its consumer has just moved it on.
        try:
            raw = (data.root / ticket.manifest).read_bytes()
            sealed = facts_of(read_manifest(raw))
            (data.root / sealed.path).stat()
        except (OSError, msgspec.MsgspecError) as error:
            yield ticket.name, str(error)
            continue
        md5 = hashlib.md5(raw, usedforsecurity=False).hexdigest()
        digest = hashlib.sha256(raw).hexdigest()
        yield ticket.name, (sealed, Facts(ticket.manifest, len(raw), digest, md5))
