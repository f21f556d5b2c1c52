"""Files for other programs: npz, raw slices, CSV; whole under their names or not there at all.

Reads     –
Writes    the file or folder it is given, by way of a draft beside it
Promises  the same content gives the same bytes; an existing name is never overwritten
Fails     NeedsAPerson when the name exists; OSError as the system gave it
"""

import gzip
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from workers.core.errors import NeedsAPerson
from workers.core.reading.export_text import MINUTE_NS, slice_line, slice_name
from workers.core.reading.hft_events import RECORD_BYTES, npy_head
from workers.edge import durable

_IN_MEMORY_BYTES = 64 << 20
_PIECE_BYTES = 1 << 20


def check_free(out: Path) -> None:
    """Refuse a name that exists, before anything is read."""
    if os.path.lexists(out):
        raise NeedsAPerson(f"write {out}: it exists", hint="another name, or move it away")
    if not out.parent.is_dir():
        raise NeedsAPerson(f"write {out}: there is no directory {out.parent}")


@contextmanager
def _draft(out: Path) -> Iterator[BinaryIO]:
    """A new file that gets its name when the block ends well."""
    path = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with path.open("xb") as file:
            yield file
            file.flush()
            durable.sync_data(file.fileno())
        durable.move(path, out)
    finally:
        path.unlink(missing_ok=True)


def write_npz(out: Path, records: Iterable[bytes]) -> None:
    """Events of hftbacktest as `data` of an npz file.

    Args:
        out: the file.
        records: whole records of `core.reading.hft_events`, one after the other.
    """
    with _draft(out) as file, tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as body:
        for each in records:
            body.write(each)
        count = body.tell() // RECORD_BYTES
        body.seek(0)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            entry = zipfile.ZipInfo("data.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as target:
                target.write(npy_head(count))
                shutil.copyfileobj(body, target, _PIECE_BYTES)


def write_text(out: Path, lines: Iterable[str]) -> None:
    """Lines of text; compressed when the name ends in `.gz`."""
    with _draft(out) as file:
        if out.suffix != ".gz":
            file.writelines(each.encode() for each in lines)
            return
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
            for each in lines:
                packed.write(each.encode())


class Slices:
    """A folder of slices, one file for each minute from the first to the last."""

    def __init__(self, out: Path, from_ns: int, until_ns: int) -> None:
        self._out = out
        self._folder = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        self._folder.mkdir()
        self._minute_ns = from_ns // MINUTE_NS * MINUTE_NS
        self._until_ns = until_ns
        self._lines: list[bytes] = []
        self._is_cut = False
        self.files = self.messages = self.disconnects = 0

    def message(self, at_ns: int, raw: bytes) -> None:
        """A message; they come in time order, and one before its minute counts in the next."""
        self._reach(at_ns)
        self._lines.append(slice_line(at_ns, raw))
        self._is_cut = False
        self.messages += 1

    def disconnect(self, at_ns: int) -> None:
        """From here on nothing is known until the next message; said once for each time."""
        self._reach(at_ns)
        if not self._is_cut:
            self._lines.append(b"\n")
            self._is_cut = True
            self.disconnects += 1

    def _reach(self, at_ns: int) -> None:
        while at_ns >= self._minute_ns + MINUTE_NS:
            self._end_minute()

    def _end_minute(self) -> None:
        path = self._folder / slice_name(self._minute_ns)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(b"".join(self._lines), 6, mtime=0))
        self._lines.clear()
        self._minute_ns += MINUTE_NS
        self.files += 1

    def publish(self) -> None:
        """Write the last minutes and give the folder its name."""
        while self._minute_ns < self._until_ns:
            self._end_minute()
        durable.move(self._folder, self._out)

    def abandon(self) -> None:
        """Take the draft away, if it is still one."""
        shutil.rmtree(self._folder, ignore_errors=True)
