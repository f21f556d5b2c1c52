"""Offload: what a file must be, what the remote says it has, and the verdict on each.

A file is proven when the remote lists it exactly once, with our size and with a hash equal to the
one our own manifest carries. Exit codes of a copy prove nothing: a copy that skipped a file, and a
check that had no hash to compare, both end with 0 (docs/OFFLOAD.md).

Promises  every file that was asked about gets one verdict; what is not proven is never called so
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from workers.core.archive.manifests import SegmentManifest

VERDICTS: dict[str, str] = {
    "proven": "listed once, size and hash are ours",
    "missing": "not listed; it is copied again",
    "conflict": "listed with another size or hash; the name is taken and nothing is overwritten",
    "duplicate": "listed more than once under one path (Google Drive allows it)",
    "unproven": "listed with our size, but with no hash that we have too",
    "unknown": "the remote could not be asked; it is asked again",
    "unfit": "not copied: the local file is not what its manifest says",
}
#: Hash types that our manifests carry, the stronger first.
HASH_TYPES = ("sha256", "md5")
BY_DOWNLOAD = "download"


class Facts(msgspec.Struct, frozen=True):
    """What a file must be; `path` is relative to the data directory and to the remote's root."""

    path: str
    bytes: int
    sha256: str
    md5: str


class Found(msgspec.Struct, frozen=True):
    """One entry of a remote's listing; `hashes` by type, lower-case hexadecimal, may be empty."""

    path: str
    bytes: int
    hashes: dict[str, str]


class Judged(msgspec.Struct, frozen=True):
    """The verdict on one file; `proof` is the hash type it rests on, or "download"."""

    facts: Facts
    verdict: str
    detail: str = ""
    proof: str = ""

    @property
    def is_proven(self) -> bool:
        """True when the local file may leave the disk on this evidence."""
        return self.verdict == "proven"


def judged(
    facts: Sequence[Facts],
    found: Iterable[Found],
    downloaded: Mapping[str, str] | None = None,
) -> list[Judged]:
    """The verdict on each of `facts`, in their order.

    Args:
        facts: what the files must be.
        found: the remote's listing; entries that nobody asked about are passed over.
        downloaded: SHA-256 by path of what was read back, for a remote without hashes.
    """
    listed: dict[str, list[Found]] = {each.path: [] for each in facts}
    for entry in found:
        if entry.path in listed:
            listed[entry.path].append(entry)
    return [_verdict(each, listed[each.path], (downloaded or {}).get(each.path)) for each in facts]


def _verdict(facts: Facts, entries: list[Found], read_back: str | None) -> Judged:
    if not entries:
        return Judged(facts, "missing")
    if len(entries) > 1:
        return Judged(facts, "duplicate", f"{len(entries)} entries under one path")
    there = entries[0]
    said = {kind: there.hashes[kind] for kind in HASH_TYPES if there.hashes.get(kind)}
    if not said and read_back is not None:
        said = {BY_DOWNLOAD: read_back}
    ours = {"sha256": facts.sha256, "md5": facts.md5, BY_DOWNLOAD: facts.sha256}
    differs = [
        f"{kind} {said[kind]} there, {ours[kind]} here" for kind in said if said[kind] != ours[kind]
    ]
    if there.bytes != facts.bytes:
        differs = [f"{there.bytes} bytes there, {facts.bytes} here"]
    if differs:
        return Judged(facts, "conflict", differs[0])
    if not said:
        return Judged(facts, "unproven", "the remote gives no hash that we have")
    return Judged(facts, "proven", proof=next(iter(said)))


def facts_of(manifest: SegmentManifest) -> Facts:
    """What a segment's data file must be."""
    return Facts(manifest.path, manifest.bytes, manifest.sha256, manifest.md5)


class CommandRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rclone process: its command line, which holds no secret, and how it ended."""

    command: list[str]
    code: int
    seconds: float
    cause: str | None = None
    said: list[str] = []


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a batch and the verdict on it; `tries` counts this run's batches with it."""

    path: str
    bytes: int
    sha256: str
    md5: str
    verdict: str
    detail: str = ""
    proof: str = ""
    tries: int = 1


class UploadManifest(msgspec.Struct, frozen=True, kw_only=True):
    """One batch (`orderbooks.upload/1`): a row of the offload ledger.

    `at_wall_ns` is when it was written down: its files are proven since then.
    `bytes` and `bytes_per_s` count what is proven now; `cause` names the failure of the batch as
    a whole, and the files of such a batch are judged all the same.
    """

    schema: str = "orderbooks.upload/1"
    batch: str
    remote: str
    versions: dict[str, str]
    started_at_utc: str
    ended_at_utc: str
    at_wall_ns: int = 0
    commands: list[CommandRow]
    files: list[FileRow]
    bytes: int
    bytes_per_s: int
    cause: str | None = None
    verdicts: dict[str, int] = {}


class GoneRow(msgspec.Struct, frozen=True, kw_only=True):
    """One local file that retention lets go, and the proof it rests on."""

    path: str
    bytes: int
    sha256: str
    proof: str
    reason: str


class RetentionManifest(msgspec.Struct, frozen=True, kw_only=True):
    """One pass of retention (`orderbooks.retention/1`), written twice.

    `step` is "listed" before anything is deleted and "deleted" after; `kept` counts what could
    not go, by reason.
    """

    schema: str = "orderbooks.retention/1"
    batch: str
    step: str
    remote: str
    at_utc: str
    at_wall_ns: int = 0
    files: list[GoneRow]
    bytes: int
    kept: dict[str, int] = {}


class DrillManifest(msgspec.Struct, frozen=True, kw_only=True):
    """One drill (`orderbooks.drill/1`): a proven file, fetched back and read to its last row.

    `problems` is empty when it is whole; `cause` says why it could not be fetched at all.
    """

    schema: str = "orderbooks.drill/1"
    batch: str
    remote: str
    at_utc: str
    at_wall_ns: int = 0
    path: str | None
    bytes: int = 0
    rows: int = 0
    seconds: float = 0.0
    problems: list[str] = []
    cause: str | None = None

    @property
    def passed(self) -> bool:
        """True when a file was fetched and nothing was wrong with it."""
        return self.path is not None and self.cause is None and not self.problems
