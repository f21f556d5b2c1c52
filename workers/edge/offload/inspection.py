"""Inspection: everything the ledger calls proven, asked for again on the remote.

Reads     the remote: one listing of it all, and every byte of it where that is wished for
Promises  each file that was asked about gets one verdict; what could not be asked is "unknown"
Never     writes, here or there
"""

from collections.abc import Callable, Sequence

import msgspec

from workers.core.offload.offload import BY_DOWNLOAD, Facts, Found, Judged, judged
from workers.edge.offload.courier import Courier, Job, Said
from workers.edge.offload.foreground import batches

#: What the remote says of a file that was proven, where nothing can be wrong with it.
FINE = frozenset({"proven", "unproven"})
_BATCH_FILES = 50
_BATCH_BYTES = 256 << 20


class Inspected(msgspec.Struct, frozen=True):
    """The verdicts in the order of the question, and paths that nobody asked about."""

    verdicts: list[Judged]
    strangers: list[str]


def inspected(
    courier: Courier, facts: Sequence[Facts], patterns: Sequence[str], said: Said
) -> Job[Inspected]:
    """Judge files by what the remote lists; `patterns` of rclone hold them all, [] = no bounds."""
    wanted = {each.path for each in facts}
    found: list[Found] = []
    strangers: list[str] = []

    def take(entry: Found) -> None:
        if entry.path in wanted:
            found.append(entry)
        else:
            strangers.append(entry.path)

    hash_type = yield from courier.hash_type(said)
    if said.failure is None:
        yield from courier.surveyed(patterns, hash_type, take, said)
    if said.failure is not None:
        return Inspected([_unknown(each, said.failure.detail) for each in facts], [])
    return Inspected(judged(facts, found), sorted(strangers))


def read_again(
    courier: Courier, verdicts: Sequence[Judged], said: Said, advance: Callable[[], None]
) -> Job[list[Judged]]:
    """Read the content of every file that its listing does not accuse; `advance` for each."""
    asked = [each.facts for each in verdicts if each.verdict in FINE]
    sizes = [(each.path, each.bytes) for each in asked]
    there: dict[str, str] = {}
    for paths in batches(sizes, files=_BATCH_FILES, size_bytes=_BATCH_BYTES):
        there |= yield from _read(courier, paths, said)
        for _ in paths:
            advance()
    return [
        _by_content(each, there.get(each.facts.path)) if each.verdict in FINE else each
        for each in verdicts
    ]


def _read(courier: Courier, paths: Sequence[str], said: Said) -> Job[dict[str, str]]:
    """SHA-256 by path; of a batch with an unreadable file each by itself."""
    told = Said()
    there = yield from courier.read_back(paths, told)
    if told.failure is not None and len(paths) > 1:
        there = {}
        for path in paths:
            there |= yield from _read(courier, [path], said)
        return there
    said.commands += told.commands
    said.failure = said.failure or told.failure
    return there


def _by_content(verdict: Judged, there: str | None) -> Judged:
    facts = verdict.facts
    if there is None:
        return _unknown(facts, "listed, but it could not be read back")
    if there != facts.sha256:
        return Judged(facts, "conflict", f"read back with sha256 {there}, {facts.sha256} here")
    return Judged(facts, "proven", proof=BY_DOWNLOAD)


def _unknown(facts: Facts, detail: str) -> Judged:
    return Judged(facts, "unknown", detail)
