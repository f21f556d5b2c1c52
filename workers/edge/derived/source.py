"""Raw segments as a source of rows: proven against their manifests first, then read in pieces.

Reads     published segments and their manifests
Promises  no line of a file comes out whose bytes are not those its manifest names
Fails     Unfit: missing, cut, changed, exchanged, not decompressible; with the reason
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from workers.core.archive.manifests import SegmentManifest, Ticket, read_manifest
from workers.core.archive.segments import MANIFEST_SUFFIX
from workers.core.errors import Refused
from workers.core.instants import MS_PER_HOUR, parse_utc
from workers.edge import durable
from workers.edge.deflate import BadStream, unpacked
from workers.edge.spool.directory import DataDir
from workers.edge.spool.tickets import MANIFEST_MAX_BYTES

_READ_BYTES = 1 << 18
#: Uncompressed bytes of one portion: some books, in a processor's cache.
PIECE_BYTES = 1 << 18


class Unfit(Refused):
    """A segment that cannot be read for what it should be; `segment` names it."""

    def __init__(self, segment: str, reason: str) -> None:
        super().__init__(f"{segment}: {reason}")
        self.segment, self.reason = segment, reason


class Segment(msgspec.Struct, frozen=True):
    """A published segment, and the hour of its folder."""

    manifest: SegmentManifest
    hour_ms: int

    @property
    def name(self) -> str:
        """Of the segment."""
        return self.manifest.name


def find(data: DataDir, path: str, name: str) -> Segment:
    """The segment whose manifest lies at a path; Unfit when it does not hold one of that name."""
    try:
        manifest = read_manifest(durable.read_regular(data.root / path, MANIFEST_MAX_BYTES))
        hour_ms = hour_of(manifest.path)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise Unfit(name, f"its manifest: {error}") from error
    beside = path.rpartition("/")[0]
    if manifest.name != name or manifest.path.rpartition("/")[0] != beside:
        raise Unfit(name, f"its manifest speaks of {manifest.path}")
    return Segment(manifest, hour_ms)


def of_ticket(data: DataDir, ticket: Ticket) -> Segment:
    """The segment a ticket asks for."""
    segment = find(data, ticket.manifest, ticket.name)
    if not ticket.is_of(segment.manifest.path, segment.manifest.sha256):
        raise Unfit(ticket.name, "its manifest speaks of another file than its ticket")
    return segment


def of_path(data: DataDir, path: Path) -> Segment:
    """The segment that a data file or a manifest belongs to."""
    name = path.name.removesuffix(".jsonl.gz").removesuffix(MANIFEST_SUFFIX)
    return find(data, data.relative(path.with_name(f"{name}{MANIFEST_SUFFIX}")), name)


def hour_of(path: str) -> int:
    """The hour of a path with `date=` and `hour=`; ValueError when it has none."""
    parts = dict(part.partition("=")[::2] for part in path.split("/") if "=" in part)
    if not {"date", "hour"} <= parts.keys():
        raise ValueError(f"no date= and hour= in {path}")
    hour_ms = parse_utc(f"{parts['date']}T{parts['hour']}:00:00Z")
    return hour_ms // MS_PER_HOUR * MS_PER_HOUR


def prove(data: DataDir, segment: Segment) -> None:
    """Compare the file with its manifest, byte for byte; Unfit when they differ."""
    manifest = segment.manifest
    digest, size = hashlib.sha256(), 0
    try:
        for piece in _pieces(data.root / manifest.path):
            digest.update(piece)
            size += len(piece)
    except OSError as error:
        raise Unfit(segment.name, f"its file: {error.strerror}") from error
    if size != manifest.bytes:
        raise Unfit(segment.name, f"{size} bytes, its manifest says {manifest.bytes}")
    if digest.hexdigest() != manifest.sha256:
        raise Unfit(segment.name, f"sha256 {digest.hexdigest()}, not {manifest.sha256}")


def portions(data: DataDir, segment: Segment) -> Iterator[list[bytes]]:
    """Its lines, without line feeds, some at a time; Unfit for a stream that is none."""
    rest = b""
    try:
        for piece in unpacked(_pieces(data.root / segment.manifest.path), PIECE_BYTES):
            lines = piece.split(b"\n")
            lines[0] = rest + lines[0]
            rest = lines.pop()
            yield lines
    except (OSError, BadStream) as error:
        raise Unfit(segment.name, f"its stream: {error}") from error
    if rest:
        raise Unfit(segment.name, "its last line has no end")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            yield piece
