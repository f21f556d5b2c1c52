"""The ledger of one worker: every request, every skipped tick, every turn in its life.

Writes    the worker's ledger segment, through its recorder
Promises  consecutive skipped ticks of one cause are one row; a run of skips is written when it
          ends, and every ten seconds, so that a death loses little of it
"""

from collections.abc import Sequence

from workers.core.archive.ledger import (
    ClockStepped,
    Request,
    Row,
    Skipped,
    Started,
    Stopped,
    encode_row,
)
from workers.core.archive.manifests import Writer
from workers.core.polling.skips import SkipRun
from workers.edge.spool.recorder import Recorder, Stream

NS_PER_MS = 1_000_000


class Diary:
    """The ledger segment and the skips not written yet."""

    def __init__(self, recorder: Recorder, writer: Writer) -> None:
        self._recorder, self._writer = recorder, writer
        self._stream = Stream(subject=writer.worker, kind="ledger")
        self._skips: SkipRun | None = None
        self._requests = 0

    def next_request_id(self) -> str:
        """`<worker>.<run>.<n>`: unique for ever, n counts from 1 in each run."""
        self._requests += 1
        return f"{self._writer.worker}.{self._writer.run}.{self._requests}"

    @property
    def requests(self) -> int:
        """Requests of this run."""
        return self._requests

    def write(self, row: Row, wall_ns: int) -> None:
        """Append one row; a request belongs to its tick's hour, anything else to its own."""
        due_ms = row.due_ms if isinstance(row, Request) else wall_ns // NS_PER_MS
        line = encode_row(row)
        segment = self._recorder.append(self._stream, line, due_ms=due_ms, wall_ns=wall_ns)
        if isinstance(row, Request):
            segment.story.saw_request(row.id, row.status)

    def started(
        self, wall_ns: int, mono_ns: int, *, pid: int, boot_id: str, config_sha256: str
    ) -> None:
        """The worker is alive from here."""
        writer = self._writer
        row = Started(
            at_wall_ns=wall_ns,
            at_mono_ns=mono_ns,
            worker=writer.worker,
            shard=writer.shard,
            shards=writer.shards,
            run=writer.run,
            pid=pid,
            boot_id=boot_id,
            version=writer.versions["orderbooks"],
            config_sha256=config_sha256,
        )
        self.write(row, wall_ns)

    def clock_stepped(self, wall_ns: int, mono_ns: int, step_ns: int) -> None:
        """The wall clock moved against the monotonic one."""
        row = ClockStepped(at_wall_ns=wall_ns, at_mono_ns=mono_ns, step_ns=step_ns)
        self.write(row, wall_ns)

    def stopped(self, wall_ns: int, mono_ns: int) -> None:
        """The worker ends as asked."""
        self.write_skips(wall_ns)
        self.write(Stopped(at_wall_ns=wall_ns, at_mono_ns=mono_ns, reason="asked"), wall_ns)

    def skip(self, due_ms: int, cause: str, after: str | None, wall_ns: int) -> None:
        """One tick of the whole shard asked nothing."""
        grown = self._skips.grown(cause, after, due_ms) if self._skips else None
        if grown is None:
            self.write_skips(wall_ns)
        self._skips = grown or SkipRun(cause, after, due_ms, due_ms)
        if self._skips.is_long() and not self._recorder.trouble:
            self.write_skips(wall_ns)

    def skip_some(
        self, condition_ids: Sequence[str], due_ms: int, cause: str, after: str | None, wall_ns: int
    ) -> None:
        """One tick asked nothing for these markets."""
        row = Skipped(
            at_wall_ns=wall_ns,
            from_due_ms=due_ms,
            until_due_ms=due_ms,
            cause=cause,
            after=after,
            markets=list(condition_ids),
        )
        self.write(row, wall_ns)

    def write_skips(self, wall_ns: int) -> None:
        """Write the run of skips so far."""
        if self._skips is not None:
            row, self._skips = self._skips.row(wall_ns), None
            self.write(row, wall_ns)
