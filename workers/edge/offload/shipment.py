"""A shipment: a batch of parcels copied to the remote, and the verdict on each of their files.

Reads     the parcels' local files, the remote
Writes    the remote
Promises  the verdicts rest on what the remote lists after the copy, never on the copy's exit
          code; one bad file changes no other's verdict
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from workers.core.instants import utc_text
from workers.core.offload.offload import Facts, FileRow, Found, Judged, UploadManifest, judged
from workers.edge.offload.courier import Courier, Job, Said
from workers.edge.spool import outbox, reader
from workers.edge.spool.directory import DataDir
from workers.edge.spool.outbox import Parcel

UNKNOWN = "unknown"
#: Hashed between two looks at the rest of the worker: 0.3 s on a core without SHA instructions. A
#: look after each file cost 30 ms of waiting each, 2 s a batch (tests/bench/offload.py).
HASHED_AT_ONCE_BYTES = 64 << 20
NS_PER_S = 1_000_000_000


class Shipped(msgspec.Struct, frozen=True):
    """What became of a batch: a verdict on every file, and the commands it took."""

    verdicts: list[Judged]
    said: Said

    def of(self, parcel: Parcel) -> list[Judged]:
        """The verdicts on a parcel's two files."""
        paths = {each.path for each in parcel.files}
        return [each for each in self.verdicts if each.facts.path in paths]


def shipped(
    courier: Courier,
    data: DataDir,
    parcels: Sequence[Parcel],
    *,
    prove_by_download: str,
    begin: str,
) -> Job[Shipped]:
    """Copy parcels and judge what the remote has then.

    Args:
        prove_by_download: "never" or "without_hash", as the setting.
        begin: "copy", or "list" to ask the remote first: a dead S3 takes a copy 20 s a file to
            give up, a listing 10 s; and after a death some files are there already.
    """
    said = Said()
    fit: list[Facts] = []
    refused: list[Judged] = []
    hashed = 0
    for parcel in parcels:
        problem = reader.damage(data, parcel.data)
        hashed += parcel.data.bytes
        if hashed >= HASHED_AT_ONCE_BYTES:
            hashed = 0
            yield
        if problem:
            refused += [Judged(each, "unfit", problem) for each in parcel.files]
        else:
            fit += parcel.files
    verdicts: list[Judged] = []
    lacking = fit
    if fit and begin == "list":
        verdicts = yield from proven(courier, fit, said, prove_by_download=prove_by_download)
        lacking = [each.facts for each in verdicts if each.verdict == "missing"]
    if lacking and said.failure is None:
        yield from courier.copied([each.path for each in lacking], said)
        verdicts = yield from proven(courier, fit, said, prove_by_download=prove_by_download)
    return Shipped([*refused, *verdicts], said)


def proven(
    courier: Courier, facts: Sequence[Facts], said: Said, *, prove_by_download: str
) -> Job[list[Judged]]:
    """The verdict on files as the remote lists them now; "unknown" where it cannot be asked."""
    asked = Said()
    hash_type = yield from courier.hash_type(asked)
    found: list[Found] = []
    if asked.failure is None:
        found = yield from courier.listed([each.path for each in facts], hash_type, asked)
    verdicts = judged(facts, found)
    hashless = [each.facts.path for each in verdicts if each.verdict == "unproven"]
    if asked.failure is None and hashless and prove_by_download != "never":
        read_back = yield from courier.read_back(hashless, asked)
        verdicts = judged(facts, found, read_back)
    said.commands += asked.commands
    said.failure = said.failure or asked.failure
    if asked.failure is not None:
        return [Judged(each, UNKNOWN, asked.failure.detail) for each in facts]
    return verdicts


def manifest_of(
    done: Shipped,
    *,
    batch: str,
    remote: str,
    versions: dict[str, str],
    started_wall_ns: int,
    wall_ns: int,
    tries: Mapping[str, int],
) -> UploadManifest:
    """What the offload ledger says of a batch; `tries` by segment name."""
    size = sum(each.facts.bytes for each in done.verdicts if each.is_proven)
    failure = done.said.failure
    return UploadManifest(
        batch=batch,
        remote=remote,
        versions=versions,
        started_at_utc=utc_text(started_wall_ns),
        ended_at_utc=utc_text(wall_ns),
        commands=done.said.commands,
        files=[
            FileRow(
                **msgspec.structs.asdict(each.facts),
                verdict=each.verdict,
                detail=each.detail,
                proof=each.proof,
                tries=tries.get(outbox.name_of(each.facts.path), 1),
            )
            for each in done.verdicts
        ],
        bytes=size,
        bytes_per_s=size * NS_PER_S // max(1, wall_ns - started_wall_ns),
        cause=failure.cause if failure else None,
        verdicts=dict(Counter(each.verdict for each in done.verdicts)),
    )
