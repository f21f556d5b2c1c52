"""Rebuild one HTTP response byte for byte, and check its SHA-256.

The body goes to stdout (or a file), the verdict to stderr. The ledger row of the request says
how: the books (or `rest`) rows and refused books in their order, or the body kept in the row, or
the page.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from workers.core.archive import ledger, story
from workers.core.archive.manifests import SegmentManifest, read_manifest
from workers.core.archive.segments import MANIFEST_SUFFIX, parse_name
from workers.core.errors import NeedsAPerson
from workers.edge import terminal
from workers.edge.offload import ledger as offloads
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks response collector-00.1776326395000.17 | jq length
  orderbooks response discovery.1776326390000.1 -o page.json

A request id stands in every books row and ledger row as `request` or `id`.

exit codes: 0 whole, SHA-256 equal; 1 it cannot be rebuilt, or differs; 2 cannot do it, no such
request, or its hour was offloaded
"""


class _Incomplete(Exception):
    """A piece of the response is not in the archive."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("id", metavar="ID", help="<worker>.<run>.<n>")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the body there")


def run(arguments: argparse.Namespace) -> int:
    """Print the body; 0 when its SHA-256 is the recorded one."""
    data = DataDir(arguments.data)
    row = _find(data, arguments.id)
    try:
        body = _body(data, row)
    except _Incomplete as missing:
        terminal.complain(f"{row.id}: cannot be rebuilt: {missing}")
        return EXIT_WRONG
    if arguments.output:
        arguments.output.write_bytes(body)
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    digest = hashlib.sha256(body).hexdigest()
    said = f"{row.id}: {row.endpoint} {row.status} {row.cause}, {len(body)} bytes"
    if row.sha256 is None or digest != row.sha256:
        terminal.complain(f"{said}, sha256 {digest}, the ledger says {row.sha256}")
        return EXIT_WRONG
    print(f"{said}, sha256 {digest} as recorded", file=sys.stderr)
    return EXIT_FINE


def _find(data: DataDir, request: str) -> ledger.Request:
    worker, run, number = _parts(request)
    needle = f'"id":"{request}"'.encode()
    for rows in _streams(data, "ledger", worker, run, number):
        at = rows.find(needle)
        if at >= 0:
            start, end = rows.rfind(b"\n", 0, at) + 1, rows.find(b"\n", at)
            row = ledger.read_row(rows[start:end])
            if isinstance(row, ledger.Request):
                return row
    raise NeedsAPerson(
        f"find {request}: no ledger has it",
        hint="ids look like collector-00.1776326395000.17; is --data the right directory?",
    )


def _parts(request: str) -> tuple[str, str, int]:
    worker, _, rest = request.partition(".")
    run, _, number = rest.partition(".")
    if not (worker and run.isdigit() and number.isdigit()):
        raise NeedsAPerson(
            f"read the request id {request!r}: expected <worker>.<run>.<n>",
            hint="such as collector-00.1776326395000.17",
        )
    return worker, run, int(number)


def _streams(data: DataDir, kind: str, worker: str, run: str, number: int) -> Iterator[bytes]:
    """The uncompressed segments that may hold rows of a request, published ones first."""
    for path in data.manifest_paths():
        name = parse_name(path.name.removesuffix(MANIFEST_SUFFIX))
        if name is None or name.kind != kind or name.worker != worker:
            continue
        manifest = _manifest(path)
        if manifest is not None and _may_hold(manifest, run, number):
            try:
                yield reader.read_stream(data.root / manifest.path).data
            except OSError as error:
                _refuse_offloaded(data, manifest.path)
                terminal.complain(f"{manifest.path}: {error.strerror}")
    for stream in reader.open_streams(data, kinds=frozenset({kind})):
        if stream.name.worker == worker:
            yield stream.rows


def _refuse_offloaded(data: DataDir, path: str) -> None:
    """Raises NeedsAPerson when retention let go of a data file that may hold what is looked for."""
    entry = offloads.Gone(data).get(path)
    if entry is not None:
        parts = dict(part.partition("=")[::2] for part in path.split("/"))
        hour = f"--day {parts.get('date')} --hour {parts.get('hour')}"
        raise NeedsAPerson(
            f"read {path}: it was offloaded to {entry.remote} and let go here",
            hint=f"orderbooks restore --to DIR {hour}, then this with --data DIR",
        )


def _manifest(path: Path) -> SegmentManifest | None:
    try:
        return read_manifest(path.read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        terminal.complain(f"{path}: {error}", hint="orderbooks verify")
        return None


def _may_hold(manifest: SegmentManifest, run: str, number: int) -> bool:
    told = manifest.told
    if told.first_request is None or told.last_request is None:
        # Segments that do not count requests: pages.
        return manifest.kind == "pages"
    return (told.run or manifest.run) == run and told.first_request <= number <= told.last_request


def _body(data: DataDir, row: ledger.Request) -> bytes:
    if row.layout == "kept":
        if row.body_kept_bytes != row.body_bytes:
            kept, whole = row.body_kept_bytes, row.body_bytes
            raise _Incomplete(f"only {kept} of its {whole} bytes were kept (kept_body_bytes)")
        return row.kept_body()
    if row.layout == "pages":
        return _page(data, row)
    if row.layout == "array":
        return _array(data, row)
    if row.body_bytes:
        raise _Incomplete(f"its {row.body_bytes} bytes were not kept")
    return b""


class _PageRow(msgspec.Struct, frozen=True):
    body: msgspec.Raw = msgspec.Raw()
    body_text: str | None = None


def _page(data: DataDir, row: ledger.Request) -> bytes:
    for line in _lines(data, "pages", row):
        page = msgspec.json.decode(line, type=_PageRow)
        return page.body_text.encode() if page.body_text is not None else bytes(page.body)
    raise _Incomplete("its row in a pages segment is missing")


class _Placed(msgspec.Struct, frozen=True):
    position: int


class _Book(msgspec.Struct, frozen=True):
    asset_id: str


_book = msgspec.json.Decoder(_Book)


def _array(data: DataDir, row: ledger.Request) -> bytes:
    pieces = {each.position: each.raw.encode() for each in row.refused}
    owners = {each.position: each.token_id for each in row.refused}
    kind = "frames" if row.id.startswith("streamer-") else "books"
    for line in _lines(data, kind, row):
        found = story.read_row(line)
        if found.request == row.id:
            position = msgspec.json.decode(line, type=_Placed).position
            pieces[position] = found.raw_book()
            owners[position] = found.token_id or _book.decode(pieces[position]).asset_id
    absent = set(row.asked) - set(row.missing) - set(owners.values())
    gaps = [each for each in range(len(pieces)) if each not in pieces]
    if absent or gaps:
        some = ", ".join(sorted(absent)[:3]) or f"position {gaps[0]}"
        raise _Incomplete(f"{max(len(absent), len(gaps))} books are missing, of token {some}")
    return b"[" + b",".join(pieces[each] for each in sorted(pieces)) + b"]"


def _lines(data: DataDir, kind: str, row: ledger.Request) -> Iterator[bytes]:
    """The rows of a request in the segments of one kind."""
    worker, run, number = _parts(row.id)
    needle = f'"request":"{row.id}"'.encode()
    for rows in _streams(data, kind, worker, run, number):
        at = rows.find(needle)
        while at >= 0:
            start, end = rows.rfind(b"\n", 0, at) + 1, rows.find(b"\n", at)
            yield rows[start:end]
            at = rows.find(needle, end)
