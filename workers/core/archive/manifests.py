"""The segment manifest: what it says, its JSON, and its place in the writer's chain.

Promises  the same facts give the same bytes (sorted keys), so that a manifest's SHA-256 is
          stable and the next link can name it; every field is explained in DATA_CONTRACT.md.
"""

import hashlib
from typing import TypeVar

import msgspec

from workers.core.archive.story import Told

SEGMENT_SCHEMA = "orderbooks.segment/1"
ENDINGS = {
    "hour": "the UTC hour of its ticks was over",
    "size": "it reached max_segment_bytes",
    "market_end": "the market's recording was over",
    "stop": "the worker was asked to stop",
    "guard": "the disk guard asked for a pause",
    "big_book": "a book passed big_book_bytes; the market goes on with one stream per token",
    "cut_short": "its writer died or its disk failed; salvaged to the last whole row",
}


class Salvage(msgspec.Struct, frozen=True, kw_only=True):
    """What recovery found in a segment that its writer did not finish."""

    damage: str
    quarantined: str | None


class Writer(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote a segment: the worker, its run (start time in ms) and versions."""

    worker: str
    run: str
    versions: dict[str, str]
    shard: int | None = None
    shards: int | None = None


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """The link to the same writer's previous manifest: its name and the SHA-256 of its bytes."""

    writer: str
    seq: int
    previous_name: str | None
    previous_sha256: str | None


class SegmentManifest(msgspec.Struct, frozen=True, kw_only=True):
    """One published segment (`orderbooks.segment/1`)."""

    schema: str = SEGMENT_SCHEMA
    name: str
    kind: str
    path: str
    subject: str
    worker: str
    shard: int | None = None
    shards: int | None = None
    run: str
    versions: dict[str, str]
    created_at_utc: str
    bytes: int
    sha256: str
    md5: str
    raw_bytes: int
    raw_sha256: str
    ended: str
    salvage: Salvage | None = None
    told: Told
    chain: Chain = Chain(writer="", seq=0, previous_name=None, previous_sha256=None)


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The newest link of a writer (`spool/open/<worker>/chain.json`) and the one before it.

    It is written before the manifest gets its final name, so that a crash between the two is
    visible: then `seq` names a manifest that is not published, and the previous link stands.
    """

    seq: int = 0
    name: str | None = None
    path: str | None = None
    sha256: str | None = None
    previous: "Head | None" = None

    def link(self, writer: str) -> Chain:
        """The chain entry of the manifest that follows this head."""
        return Chain(
            writer=writer,
            seq=self.seq + 1,
            previous_name=self.name,
            previous_sha256=self.sha256,
        )

    def after(self, manifest: SegmentManifest, encoded: bytes) -> "Head":
        """The head once `manifest` is the newest link."""
        return Head(
            seq=manifest.chain.seq,
            name=manifest.name,
            path=manifest.path,
            sha256=hashlib.sha256(encoded).hexdigest(),
            previous=msgspec.structs.replace(self, previous=None),
        )


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """Work for one consumer: the segment, where it lies and what it must hash to."""

    name: str
    kind: str
    path: str
    manifest: str
    bytes: int
    sha256: str
    reason: str | None = None

    def is_of(self, path: str, sha256: str) -> bool:
        """True when it speaks of the data file that has this path and this hash."""
        return (self.path, self.sha256) == (path, sha256)


Shape = TypeVar("Shape")
_encoder = msgspec.json.Encoder(order="sorted")
_manifest = msgspec.json.Decoder(SegmentManifest)
_head = msgspec.json.Decoder(Head)
_ticket = msgspec.json.Decoder(Ticket)


def encode(value: msgspec.Struct) -> bytes:
    """JSON for a person and a hash: indented, keys sorted, one final line feed."""
    return msgspec.json.format(_encoder.encode(value), indent=1) + b"\n"


def read_manifest(data: bytes) -> SegmentManifest:
    """A manifest from its bytes; raises msgspec.MsgspecError when it is not one.

    A newer schema number is refused here, before any field is believed.
    """
    manifest = _read(_manifest, data)
    if manifest.schema != SEGMENT_SCHEMA:
        raise msgspec.ValidationError(f"schema {manifest.schema!r}, expected {SEGMENT_SCHEMA!r}")
    return manifest


def read_head(data: bytes) -> Head:
    """A chain head from its bytes; raises msgspec.MsgspecError when it is not one."""
    return _read(_head, data)


def read_ticket(data: bytes) -> Ticket:
    """A ticket from its bytes; raises msgspec.MsgspecError when it is not one."""
    return _read(_ticket, data)


def _read(decoder: msgspec.json.Decoder[Shape], data: bytes) -> Shape:
    try:
        return decoder.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def ticket_of(manifest: SegmentManifest, manifest_path: str) -> Ticket:
    """The ticket each consumer gets for a published segment."""
    return Ticket(
        name=manifest.name,
        kind=manifest.kind,
        path=manifest.path,
        manifest=manifest_path,
        bytes=manifest.bytes,
        sha256=manifest.sha256,
    )
