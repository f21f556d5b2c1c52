"""Ticks that asked nothing, gathered into one ledger row for a run of them with one cause."""

import msgspec

from workers.core.archive.ledger import Skipped

#: A run is written at least this often, so that a death cannot lose much of it.
WRITE_EVERY_MS = 10_000


class SkipRun(msgspec.Struct, frozen=True):
    """Consecutive ticks of the whole shard skipped for one cause."""

    cause: str
    after: str | None
    from_due_ms: int
    until_due_ms: int

    def grown(self, cause: str, after: str | None, due_ms: int) -> "SkipRun | None":
        """The run with one more tick, or None when the tick belongs to another one."""
        if (cause, after) != (self.cause, self.after):
            return None
        return SkipRun(cause, after, self.from_due_ms, due_ms)

    def is_long(self) -> bool:
        """True when it should be written now."""
        return self.until_due_ms - self.from_due_ms >= WRITE_EVERY_MS

    def row(self, at_wall_ns: int) -> Skipped:
        """The ledger row."""
        return Skipped(
            at_wall_ns=at_wall_ns,
            from_due_ms=self.from_due_ms,
            until_due_ms=self.until_due_ms,
            cause=self.cause,
            after=self.after,
        )
