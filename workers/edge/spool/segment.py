"""One segment being written: rows in, flushed and synced bytes on the disk.

Writes    spool/open/<worker>/NAME.jsonl.gz.open, created exclusively at the first flush
Promises  the file is always a prefix of one valid gzip stream, so every flushed row can be
          salvaged; what a full disk refused stays in memory and goes first when there is room.
Fails     OSError when the disk refuses (call flush again later); Suspect after a failed sync
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from workers.core.archive.segments import OPEN_SUFFIX
from workers.core.archive.story import ManifestMarket, Story
from workers.edge import durable
from workers.edge.deflate import Batches, Deflater
from workers.edge.spool.publish import Suspect


class OpenSegment:
    """A segment with one writer; every method is called by that writer only."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        level: int,
        window_bits: int = 15,
        market: ManifestMarket | None = None,
        make: Callable[[int, int], Deflater | Batches] = Deflater,
    ) -> None:
        self.name = name
        self.path = folder / f"{name}{OPEN_SUFFIX}"
        self.story = Story(market)
        self.started_ms: int | None = None
        self.raw_bytes = self.file_bytes = self.flushed_rows = self.synced_rows = 0
        self._deflater = make(level, window_bits)
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._raw_sha256 = hashlib.sha256()
        self._pending = bytearray()
        self._fd: int | None = None
        self._named = self._finished = False

    @property
    def pending_bytes(self) -> int:
        """Compressed bytes that are not in the file yet."""
        return len(self._pending)

    def append(self, line: bytes, *, due_ms: int, wall_ns: int) -> None:
        """Add one row (with its line feed); it is in memory until the next flush."""
        self._add(line, due_ms)
        self.story.saw_row(due_ms, wall_ns)

    def append_all(
        self, text: bytes, rows: int, *, first: tuple[int, int], last: tuple[int, int]
    ) -> None:
        """Add rows as `append` does; `first` and `last` are (due_ms, wall_ns) of theirs."""
        self._add(text, first[0])
        self.story.saw_rows(rows, first, last)

    def _add(self, text: bytes, due_ms: int) -> None:
        self._pending += self._deflater.add(text)
        self._raw_sha256.update(text)
        self.raw_bytes += len(text)
        self.started_ms = due_ms if self.started_ms is None else self.started_ms

    def flush(self) -> None:
        """Make every row so far readable from the file; a killed process keeps them.

        Raises:
            OSError: the disk refused; nothing is lost, call again.
        """
        if self._finished or (self.story.rows == self.flushed_rows and not self._pending):
            return
        if self.story.rows > self.flushed_rows:
            self._pending += self._deflater.flush()
            self.flushed_rows = self.story.rows
        self._write_pending()

    def sync(self) -> None:
        """Put the flushed rows on the disk; a power cut keeps them.

        Raises:
            Suspect: fdatasync failed. It is never retried: the kernel has already dropped the
                pages it could not write and would now say yes (tests/crash/test_order.py).
        """
        if self._fd is None or self.synced_rows == self.flushed_rows:
            return
        try:
            durable.sync_data(self._fd)
        except OSError as error:
            raise Suspect(f"{self.path}: {error}") from error
        self.synced_rows = self.flushed_rows

    def finish(self) -> None:
        """End the stream, sync and close; the file is ready to be published.

        Raises:
            OSError: the disk refused; call again.
            Suspect: the sync failed.
        """
        if not self._finished:
            self._pending += self._deflater.finish()
            self._finished, self.flushed_rows = True, self.story.rows
        self._write_pending()
        if self._fd is not None:
            self.synced_rows = -1
            self.sync()
            self._close()

    def abandon(self) -> None:
        """Close a suspect file and leave it to salvage."""
        if self._fd is not None:
            self._close()

    def _close(self) -> None:
        # A descriptor is gone even when close fails, so it is forgotten first.
        fd, self._fd = self._fd, None
        if fd is not None:
            durable.close(fd)

    def _write_pending(self) -> None:
        if self._fd is None and self._pending:
            self._fd = durable.create_exclusively(self.path)
        if self._fd is None:
            return
        if not self._named:
            durable.sync_directory(self.path.parent)
            self._named = True
        try:
            done = durable.write_all(self._fd, bytes(self._pending))
        except durable.PartialWrite as partial:
            self._wrote(partial.done)
            raise partial.error from partial
        self._wrote(done)

    def _wrote(self, done: int) -> None:
        written = bytes(self._pending[:done])
        self._sha256.update(written)
        self._md5.update(written)
        self.file_bytes += done
        del self._pending[:done]

    def digests(self) -> tuple[str, str, str]:
        """SHA-256 and MD5 of the file, SHA-256 of the uncompressed stream; hex."""
        return self._sha256.hexdigest(), self._md5.hexdigest(), self._raw_sha256.hexdigest()
