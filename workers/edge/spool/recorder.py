"""All segments of one worker: opened when a row comes, flushed, synced, rotated, published.

Reads     nothing
Writes    spool/open/<worker>/ and, through publish, everything a published segment is
Promises  rows of one stream stay in order; a segment holds one UTC hour of ticks; disk trouble
          never loses a row that is in memory and never stops the other segments.
Fails     never by exception for disk trouble: `trouble` says what is wrong, `tend` tries again
"""

from collections.abc import Callable

import msgspec

from workers.core.archive.manifests import SegmentManifest, Writer
from workers.core.archive.segments import DATA_SUFFIX, segment_folder, segment_name
from workers.core.archive.story import ManifestMarket
from workers.core.errors import is_disk_trouble
from workers.core.instants import MS_PER_HOUR, utc_text
from workers.edge.deflate import Batches, Deflater
from workers.edge.spool import recovery
from workers.edge.spool.directory import DataDir
from workers.edge.spool.publish import Suspect, publish
from workers.edge.spool.segment import OpenSegment

NS_PER_S = 1_000_000_000


def _nothing() -> None:
    """Nobody holds rows back."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When segments are flushed, synced and cut; seconds and bytes from the settings.

    `max_segment_bytes` is of the uncompressed stream: what salvage and readers hold in memory.
    """

    flush_interval_s: float
    sync_interval_s: float
    retry_pause_s: float
    max_segment_bytes: int
    deflate_level: int


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A row's destination: one kind of one subject, for books one market or one token of it.

    `window_bits`: how far back deflate must see to find the row of the same token (14 or 15).
    `batch_level`: not 0 for rows that come fast and are added many at once: the level of
    `deflate.Batches`.
    """

    subject: str
    kind: str
    market: ManifestMarket | None = None
    window_bits: int = 15
    batch_level: int = 0


class Trouble(msgspec.Struct, frozen=True):
    """The disk refuses: since when, what it said, and when to try again."""

    reason: str
    since_wall_ns: int
    retry_mono_ns: int


class Recorder:
    """The open segments of one worker and those waiting to be published."""

    def __init__(self, data: DataDir, writer: Writer, limits: Limits) -> None:
        self.trouble: Trouble | None = None
        self.published = self.salvaged = 0
        self.news: list[SegmentManifest] = []
        #: Called before rows go to the disk: whoever holds some back adds them now.
        self.before_flush: Callable[[], None] = _nothing
        self._data, self._writer, self._limits = data, writer, limits
        self._folder = data.open_folder(writer.worker)
        self._open: dict[str, tuple[Stream, OpenSegment]] = {}
        self._finished: list[tuple[Stream, OpenSegment, str]] = []
        self._suspects: list[tuple[Stream, OpenSegment]] = []
        self._number = 0
        self._flush_due_mono_ns = self._sync_due_mono_ns = 0

    def append(self, stream: Stream, line: bytes, *, due_ms: int, wall_ns: int) -> OpenSegment:
        """Add a row to the stream's segment, opening or rotating it first; returns the segment."""
        segment = self.segment(stream, due_ms)
        segment.append(line, due_ms=due_ms, wall_ns=wall_ns)
        return segment

    def segment(self, stream: Stream, due_ms: int) -> OpenSegment:
        """The open segment a row of this tick belongs to."""
        key = f"{stream.subject}/{stream.kind}"
        if key in self._open:
            segment = self._open[key][1]
            ended = self._ended(segment, due_ms)
            if not ended:
                return segment
            self.seal(stream, ended)
        self._number += 1
        name = segment_name(
            stream.subject,
            stream.kind,
            self._writer.worker,
            started_ms=max(due_ms, int(self._writer.run)),
            number=self._number,
        )
        segment = OpenSegment(
            self._folder,
            name,
            level=stream.batch_level or self._limits.deflate_level,
            window_bits=stream.window_bits,
            market=stream.market,
            make=Batches if stream.batch_level else Deflater,
        )
        self._open[key] = (stream, segment)
        return segment

    def _ended(self, segment: OpenSegment, due_ms: int) -> str:
        if segment.raw_bytes >= self._limits.max_segment_bytes:
            return "size"
        started_ms = due_ms if segment.started_ms is None else segment.started_ms
        return "hour" if started_ms // MS_PER_HOUR != due_ms // MS_PER_HOUR else ""

    def streams(self) -> list[Stream]:
        """Every stream with an open segment."""
        return [stream for stream, _ in self._open.values()]

    def seal(self, stream: Stream, ended: str) -> None:
        """Close a stream's segment; `tend` publishes it."""
        _, segment = self._open.pop(f"{stream.subject}/{stream.kind}", (None, None))
        if segment is not None and segment.story.rows:
            self._finished.append((stream, segment, ended))

    def seal_all(self, ended: str) -> None:
        """Close every segment, ledgers last, so that none claims what is not yet published."""
        for stream in sorted(self.streams(), key=lambda each: each.kind == "ledger"):
            self.seal(stream, ended)

    @property
    def pending_bytes(self) -> int:
        """Compressed bytes in memory that the disk has not taken."""
        segments = [each for _, each in self._open.values()]
        segments += [each for _, each, _ in self._finished]
        return sum(segment.pending_bytes for segment in segments)

    def counters(self) -> dict[str, int]:
        """What a heartbeat says of the segments."""
        return {
            "published": self.published,
            "salvaged": self.salvaged,
            "pending_bytes": self.pending_bytes,
        }

    def has_unpublished(self) -> bool:
        """True while sealed segments wait to be published."""
        return bool(self._finished or self._suspects)

    def tend(self, *, wall_ns: int, mono_ns: int) -> None:
        """Flush and sync what is due, publish one sealed segment, retry after disk trouble."""
        if self._must_wait(mono_ns):
            return
        try:
            self._flush_and_sync(mono_ns)
            self._salvage_suspects(wall_ns)
            if self._finished:
                self._publish_next(wall_ns)
            self.trouble = None
        except OSError as error:
            if not is_disk_trouble(error):
                raise
            since_wall_ns = self.trouble.since_wall_ns if self.trouble else wall_ns
            retry_mono_ns = mono_ns + int(self._limits.retry_pause_s * NS_PER_S)
            self.trouble = Trouble(str(error), since_wall_ns, retry_mono_ns)

    def _must_wait(self, mono_ns: int) -> bool:
        return self.trouble is not None and mono_ns < self.trouble.retry_mono_ns

    def _flush_and_sync(self, mono_ns: int) -> None:
        flush_due = mono_ns >= self._flush_due_mono_ns
        sync_due = mono_ns >= self._sync_due_mono_ns
        if not (flush_due or sync_due or self.trouble or self._is_ledger_next()):
            return
        self.before_flush()
        for stream, segment in self._unpublished():
            try:
                segment.flush()
                if sync_due:
                    segment.sync()
            except Suspect:
                self._forget(segment)
                self._suspects.append((stream, segment))
        self._flush_due_mono_ns = mono_ns + int(self._limits.flush_interval_s * NS_PER_S)
        if sync_due:
            self._sync_due_mono_ns = mono_ns + int(self._limits.sync_interval_s * NS_PER_S)

    def _is_ledger_next(self) -> bool:
        return bool(self._finished) and self._finished[0][0].kind == "ledger"

    def _unpublished(self) -> list[tuple[Stream, OpenSegment]]:
        """Ledgers last: a ledger row must not claim a capture whose row is not in its file yet.

        One that is sealed may wait long for its turn.
        """
        sealed = [(stream, segment) for stream, segment, _ in self._finished]
        return sorted([*sealed, *self._open.values()], key=lambda each: each[0].kind == "ledger")

    def _forget(self, segment: OpenSegment) -> None:
        self._open = {key: each for key, each in self._open.items() if each[1] is not segment}
        self._finished = [each for each in self._finished if each[1] is not segment]

    def flush_now(self, *, wall_ns: int, mono_ns: int) -> None:
        """Flush and sync everything at once (before a file that refers to the rows)."""
        self._flush_due_mono_ns = self._sync_due_mono_ns = 0
        self.tend(wall_ns=wall_ns, mono_ns=mono_ns)

    def _publish_next(self, wall_ns: int) -> None:
        stream, segment, ended = self._finished[0]
        try:
            segment.finish()
            facts = self._facts(stream, segment, ended, wall_ns)
            self.news.append(publish(self._data, facts, segment.path))
        except Suspect:
            self._suspects.append((stream, segment))
        else:
            self.published += 1
        self._finished.pop(0)

    def _salvage_suspects(self, wall_ns: int) -> None:
        salvager = recovery.Salvager(self._data, self._writer, self._limits.deflate_level)
        while self._suspects:
            stream, segment = self._suspects[0]
            segment.abandon()
            markets = {stream.market.condition_id: stream.market} if stream.market else {}
            salvager.settle(segment.path, markets, wall_ns)
            self._suspects.pop(0)
            self.salvaged += 1

    def close(self, ended: str, *, wall_ns: int, mono_ns: int) -> None:
        """Seal and publish everything; returns early when the disk refuses (recovery goes on)."""
        self.seal_all(ended)
        while self.has_unpublished() and not self._must_wait(mono_ns):
            self.tend(wall_ns=wall_ns, mono_ns=mono_ns)

    def _facts(
        self, stream: Stream, segment: OpenSegment, ended: str, wall_ns: int
    ) -> SegmentManifest:
        folder = segment_folder(stream.kind, segment.started_ms or 0)
        sha256, md5, raw_sha256 = segment.digests()
        return SegmentManifest(
            name=segment.name,
            kind=stream.kind,
            path=f"{folder}/{segment.name}{DATA_SUFFIX}",
            subject=stream.subject,
            **msgspec.structs.asdict(self._writer),
            created_at_utc=utc_text(wall_ns),
            bytes=segment.file_bytes,
            raw_bytes=segment.raw_bytes,
            sha256=sha256,
            md5=md5,
            raw_sha256=raw_sha256,
            ended=ended,
            told=segment.story.told(),
        )
