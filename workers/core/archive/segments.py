"""Segments: their names, and how rows are cut, spliced and scanned. Bytes in, bytes out.

Promises  a name is unique for ever and safe on every filesystem and remote; a row is one line;
          a scan finds every whole row in front of a damage and says where the damage is.
"""

import re
from collections.abc import Iterator

import msgspec

from workers.core.instants import compact_text, hour_parts

ROOTS = {
    "books": "raw/venue=polymarket",
    "frames": "raw/venue=polymarket",
    "ledger": "raw/venue=polymarket",
    "pages": "raw/venue=polymarket",
    "universe": "manifests/discovery",
    "health": "manifests/health",
    "disk": "manifests/disk",
    "alerts": "manifests/alerts",
    "upload": "manifests/upload",
    "retention": "manifests/retention",
    "drill": "manifests/drill",
    "soak": "manifests/soak",
}
DATA_SUFFIX = ".jsonl.gz"
OPEN_SUFFIX = ".jsonl.gz.open"
MANIFEST_SUFFIX = ".manifest.json"
MANIFEST_DRAFT_SUFFIX = ".manifest.json.tmp"
SUBJECT_MAX = 90
_NAME = re.compile(
    rf"([a-z0-9][a-z0-9-]{{0,89}}?)--({'|'.join(ROOTS)})--([a-z]+(?:-\d\d)?)"
    r"--(\d{8}T\d{9}Z)-(\d{4,6})",
    re.ASCII,
)
_UNSAFE = re.compile(r"[^a-z0-9]+")


class SegmentName(msgspec.Struct, frozen=True):
    """A segment's name, taken apart."""

    subject: str
    kind: str
    worker: str
    started: str
    number: int


def safe_subject(text: str) -> str:
    """Remote text as a file name part: lower case, `[a-z0-9-]`, at most 90 characters.

    A slug is remote input: `..`, `/`, NUL, spaces and `$(…)` all become one `-`.
    """
    return _UNSAFE.sub("-", text.lower()).strip("-")[:SUBJECT_MAX].strip("-") or "unnamed"


def segment_name(subject: str, kind: str, worker: str, *, started_ms: int, number: int) -> str:
    """`<subject>--<kind>--<worker>--<start>-<number>`, without a suffix."""
    return f"{safe_subject(subject)}--{kind}--{worker}--{compact_text(started_ms)}-{number:04d}"


def parse_name(text: str) -> SegmentName | None:
    """The parts of a segment name (no suffix), or None when it is not one of ours."""
    found = _NAME.fullmatch(text)
    if found is None:
        return None
    return SegmentName(found[1], found[2], found[3], found[4], int(found[5]))


def segment_folder(kind: str, due_ms: int) -> str:
    """Where a segment of this hour is published, relative to the data directory."""
    date, hour = hour_parts(due_ms)
    return f"{ROOTS[kind]}/date={date}/hour={hour}"


def spliced_row(envelope: bytes, key: str, raw: bytes) -> bytes:
    """One JSON line: an encoded envelope object with `raw` as its last member, verbatim.

    A body with a line feed would break the line format; it is stored as an escaped JSON string
    under `<key>_text` instead, from which the exact bytes come back.
    """
    if b"\n" in raw:
        return spliced_row(envelope, f"{key}_text", msgspec.json.encode(raw.decode()))
    return b'%b,"%b":%b}\n' % (envelope[:-1], key.encode(), raw)


class Scan(msgspec.Struct, frozen=True):
    """What a scan over an uncompressed stream found."""

    rows: int
    good_bytes: int
    damage: str


class _Object(msgspec.Struct):
    """Any JSON object: msgspec checks the syntax of what it skips."""


_object = msgspec.json.Decoder(_Object)


def row_problem(line: bytes) -> str:
    """Why a line (without its line feed) is not a JSON object, or ""."""
    try:
        if not line.isascii():
            line.decode()
        _object.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return str(error)
    return ""


def scan_rows(stream: bytes) -> Scan:
    """The longest prefix of whole JSON lines, and what stands behind it."""
    rows = start = 0
    for end in _line_ends(stream):
        problem = row_problem(stream[start:end])
        if problem:
            return Scan(rows, start, f"row {rows + 1} at byte {start}: {problem}")
        rows, start = rows + 1, end + 1
    torn = len(stream) - start
    return Scan(rows, start, f"a torn row of {torn} bytes at byte {start}" if torn else "")


def _line_ends(stream: bytes) -> Iterator[int]:
    end = stream.find(b"\n")
    while end >= 0:
        yield end
        end = stream.find(b"\n", end + 1)
